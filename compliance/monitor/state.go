package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// What is remembered has one revision, which every transaction that changes it
// counts up. Judging reads and thinks outside a transaction; the one that
// writes what came of it swaps the revision that was read, or writes nothing.

// stateName is the cursor that holds the revision.
const stateName = "compliance.monitor.state"

// errMoved says that what is remembered has changed since it was read.
var errMoved = errors.New("monitor: judged by a state that has changed")

// swapState moves the revision on, or fails when it is another than was read.
func swapState(tx *store.Tx, read int64) error {
	swapped, err := tx.SwapCursor(stateName, read, read+1)
	if err == nil && !swapped {
		return errMoved
	}
	return err
}

// moveState moves the revision on, whatever it is.
func moveState(tx *store.Tx) error { return tx.AddCursor(stateName, 1) }

// cursors reads, in a transaction that writes nothing, where the consumer is
// in the journal and the revision of what is remembered.
func (m *Monitor) cursors(ctx context.Context) (position, state int64, err error) {
	err = m.deps.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if position, err = tx.Cursor(leaseName); err == nil {
			state, err = tx.Cursor(stateName)
		}
		return err
	})
	return position, state, err
}

// behind reports whether the consumer has yet to read events that a transfer is
// to be judged by: all before its own, and those of the deposit it follows, which
// may be later (positions go by the clocks of processes).
func (m *Monitor) behind(ctx context.Context, t *psd2.Transfer) (yes bool, err error) {
	err = m.deps.Store.Get(ctx, &yes, `SELECT EXISTS (SELECT 1 FROM journal WHERE object_id IN (?, ?)
		AND (position IS NULL OR position > COALESCE((SELECT value FROM cursors WHERE name = ?), 0)))`, t.ID, t.PaymentID, leaseName)
	if err != nil {
		return true, fmt.Errorf("monitor: how far the journal is read: %w", err)
	}
	return yes, nil
}

// row is a transaction as it is remembered.
type row struct {
	ID       string `db:"id"`
	Revision int64  `db:"revision"`
	PersonID string `db:"person_id"`
	Decided  bool   `db:"decided"`
	Facts    string `db:"facts"`
}

func (r row) fact() (*rules.Fact, error) {
	var f rules.Fact
	if err := json.Unmarshal([]byte(r.Facts), &f); err != nil {
		return nil, fmt.Errorf("facts of %s: %w", r.ID, err)
	}
	return &f, nil
}

const selectRow = `SELECT id, revision, person_id, decided, facts FROM monitor_transactions WHERE `

// change is a fact to be remembered.
type change struct {
	subject
	doc  string
	old  *rules.Fact // what it replaces; nil for a new one
	same bool        // rules see nothing of the change, and have judged before
}

// changeTo compares a fact with what is remembered of it, if that is known.
func changeTo(s subject, known bool, stored row) (*change, error) {
	doc, err := json.Marshal(s.fact)
	if err != nil {
		return nil, err
	}
	c := &change{subject: s, doc: string(doc)}
	if !known {
		return c, nil
	}
	if c.old, err = stored.fact(); err != nil {
		return nil, err
	}
	before := *c.old
	before.Revision = s.fact.Revision
	if moneyCounts(before.Status) && moneyCounts(s.fact.Status) {
		before.Status = s.fact.Status
	}
	was, err := json.Marshal(&before)
	c.same = stored.Decided && string(was) == c.doc
	return c, err
}

// moneyCounts tells the states that rules take for one.
func moneyCounts(s rules.Status) bool { return s == rules.Accepted || s == rules.Settled }

// remember stores a fact and keeps the merchant's hours in step.
func remember(tx *store.Tx, c *change) error {
	f := c.fact
	if c.same {
		_, err := tx.Exec(`UPDATE monitor_transactions SET revision = ?, status = ?, facts = ? WHERE id = ?`, f.Revision, string(f.Status), c.doc, f.ID)
		return err
	}
	o := f.Observe()
	_, err := tx.Exec(`INSERT INTO monitor_transactions (id, revision, at, seen_at, kind, status, amount_minor, merchant_id, person_id, player_key, person_key,
		iban_key, iban_country, device_key, ip_key, network_key, holder_key, gambling, placed, lat, lon, decided, facts)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,0,?)
		ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, status = excluded.status, amount_minor = excluded.amount_minor,
			player_key = excluded.player_key, person_key = excluded.person_key, iban_key = excluded.iban_key, iban_country = excluded.iban_country,
			device_key = excluded.device_key, ip_key = excluded.ip_key, network_key = excluded.network_key, holder_key = excluded.holder_key,
			placed = excluded.placed, lat = excluded.lat, lon = excluded.lon, facts = excluded.facts`,
		f.ID, f.Revision, o.At, tx.Now.UnixMicro(), string(o.Kind), string(o.Status), o.Amount, o.Merchant, c.personID, o.Player, f.Person,
		o.IBAN, o.Country, o.Device, o.IP, f.Network, o.Holder, number(o.Gambling), number(o.Placed), o.Lat, o.Lon, c.doc)
	if err != nil {
		return err
	}
	return count(tx, c)
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// count adds a fact to its merchant's hour, instead of what it replaces: when
// and whose a transaction is never changes. An hour that changes is judged again.
func count(tx *store.Tx, c *change) error {
	h := rules.Hour{Hour: c.fact.At.Unix() / 3600}
	h.Count(c.fact, 1)
	if c.old != nil {
		h.Count(c.old, -1)
		if h == (rules.Hour{Hour: h.Hour}) {
			return nil
		}
	}
	_, err := tx.Exec(`INSERT INTO monitor_hours (merchant_id, hour, deposits, deposit_sum, refund_sum, failed, judged) VALUES (?,?,?,?,?,?,0)
		ON CONFLICT (merchant_id, hour) DO UPDATE SET deposits = monitor_hours.deposits + excluded.deposits,
			deposit_sum = monitor_hours.deposit_sum + excluded.deposit_sum, refund_sum = monitor_hours.refund_sum + excluded.refund_sum,
			failed = monitor_hours.failed + excluded.failed, judged = 0`,
		c.fact.Merchant, h.Hour, h.Deposits, h.Sum, h.Refunds, h.Failed)
	return err
}

// laterLimit bounds how many of one entity are judged again at once when one
// comes late; the sweeper does the others.
const laterLimit = 128

// rest are those of one entity after a place, who were judged without something
// that came late.
type rest struct {
	entity *entity
	key    string
	after  place
}

// enqueue leaves them to the sweeper.
func (r rest) enqueue(tx *store.Tx) error {
	_, err := tx.Exec(r.entity.enqueue, r.key, r.after.at, r.after.at, r.after.id)
	return err
}

// later lists what shares an entity with a fact, came after it and has been
// judged without it: the first of each entity, and where there is more.
func (v *view) later(f *rules.Fact) (ids []string, more []rest, err error) {
	for i := range entities {
		e := &entities[i]
		key := e.key(f)
		if key == "" {
			continue
		}
		var list []struct {
			ID string `db:"id"`
			At int64  `db:"at"`
		}
		at := placeOf(f)
		if err := v.Select(&list, e.later, key, at.at, at.at, at.id, laterLimit+1); err != nil {
			return nil, nil, err
		}
		if len(list) > laterLimit {
			list = list[:laterLimit]
			last := list[laterLimit-1]
			more = append(more, rest{e, key, place{last.At, last.ID}})
		}
		for _, one := range list {
			ids = append(ids, one.ID)
		}
	}
	return ids, more, nil
}

// hours reads a merchant's past up to an hour.
func hours(tx *store.Tx, merchant string, hour int64) (rules.Hours, error) {
	var out rules.Hours
	err := tx.Select(&out, `SELECT hour, deposits, deposit_sum, refund_sum, failed FROM monitor_hours
		WHERE merchant_id = ? AND hour <= ? AND hour >= ? AND (hour > ? OR hour % 24 = ?) ORDER BY hour`,
		merchant, hour, hour-28*24, hour-7*24, hour%24)
	return out, err
}
