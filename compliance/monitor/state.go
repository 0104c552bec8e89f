package monitor

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2/store"
)

// reader reads within a transaction or outside of one.
type reader interface {
	Select(dst any, query string, args ...any) error
}

const observed = `SELECT id, at, kind, status, amount_minor, merchant_id, player_key, iban_key, iban_country, device_key, ip_key, holder_key,
	gambling, placed, lat, lon FROM monitor_transactions`

const upToHere = ` AND at >= ? AND at <= ? AND NOT (at = ? AND id >= ?) ORDER BY at DESC, id DESC LIMIT ?`

// The past of one entity, newest first.
const (
	ofPlayer  = observed + ` WHERE player_key = ?` + upToHere
	ofPerson  = observed + ` WHERE person_key = ?` + upToHere
	ofIBAN    = observed + ` WHERE iban_key = ? AND iban_key <> ''` + upToHere
	ofDevice  = observed + ` WHERE device_key = ? AND device_key <> ''` + upToHere
	ofNetwork = observed + ` WHERE network_key = ? AND network_key <> ''` + upToHere
)

// How many are read. What a player or person did is needed whole; thresholds on
// shared things are small, so the newest will do.
const (
	ownLimit    = 4096
	sharedLimit = 256
)

// history reads the past of everyone in a fact, as far back as rules look over
// each kind of entity.
func history(r reader, reach func(over string) time.Duration, f *rules.Fact) (*rules.History, error) {
	var h rules.History
	lists := []struct {
		to         *[]rules.Observation
		over       string
		query, key string
		limit      int
	}{
		{&h.Player, "player", ofPlayer, f.Player, ownLimit},
		{&h.Person, "person", ofPerson, f.Person, ownLimit},
		{&h.IBAN, "iban", ofIBAN, f.IBAN, sharedLimit},
		{&h.Device, "device", ofDevice, f.Device, sharedLimit},
		{&h.Network, "network", ofNetwork, f.Network, sharedLimit},
	}
	at := f.At.UnixMicro()
	for _, l := range lists {
		if l.key == "" {
			continue
		}
		err := r.Select(l.to, l.query, l.key, f.At.Add(-reach(l.over)).UnixMicro(), at, at, f.ID, l.limit)
		if err != nil {
			return nil, fmt.Errorf("history: %w", err)
		}
		slices.Reverse(*l.to)
	}
	return &h, nil
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

// remember stores a fact unless this revision, or a newer one, is known. It
// keeps the merchant's hours in step.
func remember(tx *store.Tx, f *rules.Fact, personID string) (fresh bool, err error) {
	var old row
	err = tx.Get(&old, selectRow+`id = ?`, f.ID)
	known := err == nil
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	if known && old.Revision >= f.Revision {
		return false, nil
	}
	if known {
		before, err := old.fact()
		if err != nil {
			return false, err
		}
		if err := count(tx, before, -1); err != nil {
			return false, err
		}
	}
	doc, err := json.Marshal(f)
	if err != nil {
		return false, err
	}
	o := f.Observe()
	_, err = tx.Exec(`INSERT INTO monitor_transactions (id, revision, at, seen_at, kind, status, amount_minor, merchant_id, person_id, player_key, person_key,
		iban_key, iban_country, device_key, ip_key, network_key, holder_key, gambling, placed, lat, lon, decided, facts)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,0,?)
		ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, status = excluded.status, amount_minor = excluded.amount_minor,
			player_key = excluded.player_key, person_key = excluded.person_key, iban_key = excluded.iban_key, iban_country = excluded.iban_country,
			device_key = excluded.device_key, ip_key = excluded.ip_key, network_key = excluded.network_key, holder_key = excluded.holder_key,
			placed = excluded.placed, lat = excluded.lat, lon = excluded.lon, facts = excluded.facts`,
		f.ID, f.Revision, o.At, tx.Now.UnixMicro(), string(o.Kind), string(o.Status), o.Amount, o.Merchant, personID, o.Player, f.Person,
		o.IBAN, o.Country, o.Device, o.IP, f.Network, o.Holder, number(o.Gambling), number(o.Placed), o.Lat, o.Lon, string(doc))
	if err != nil {
		return false, err
	}
	return true, count(tx, f, 1)
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// count adds a fact to its merchant's hour, or takes it out.
func count(tx *store.Tx, f *rules.Fact, sign int64) error {
	h := rules.Hour{Hour: f.At.Unix() / 3600}
	h.Count(f, sign)
	_, err := tx.Exec(`INSERT INTO monitor_hours (merchant_id, hour, deposits, deposit_sum, refund_sum, failed, judged) VALUES (?,?,?,?,?,?,0)
		ON CONFLICT (merchant_id, hour) DO UPDATE SET deposits = monitor_hours.deposits + excluded.deposits,
			deposit_sum = monitor_hours.deposit_sum + excluded.deposit_sum, refund_sum = monitor_hours.refund_sum + excluded.refund_sum,
			failed = monitor_hours.failed + excluded.failed`,
		f.Merchant, h.Hour, h.Deposits, h.Sum, h.Refunds, h.Failed)
	return err
}

// laterLimit bounds how many are judged again when one comes late.
const laterLimit = 128

const fromHere = ` AND decided = 1 AND at >= ? AND NOT (at = ? AND id <= ?) ORDER BY at, id LIMIT ?`

const (
	laterOfPlayer  = selectRow + `player_key = ?` + fromHere
	laterOfPerson  = selectRow + `person_key = ?` + fromHere
	laterOfIBAN    = selectRow + `iban_key = ? AND iban_key <> ''` + fromHere
	laterOfDevice  = selectRow + `device_key = ? AND device_key <> ''` + fromHere
	laterOfNetwork = selectRow + `network_key = ? AND network_key <> ''` + fromHere
)

// later lists what shares an entity with a fact, came after it and has been
// judged without it.
func later(tx *store.Tx, f *rules.Fact) ([]row, error) {
	at := f.At.UnixMicro()
	seen := map[string]bool{}
	var out []row
	for _, q := range []struct{ query, key string }{
		{laterOfPlayer, f.Player}, {laterOfPerson, f.Person}, {laterOfIBAN, f.IBAN}, {laterOfDevice, f.Device}, {laterOfNetwork, f.Network},
	} {
		if q.key == "" {
			continue
		}
		var rows []row
		if err := tx.Select(&rows, q.query, q.key, at, at, f.ID, laterLimit); err != nil {
			return nil, err
		}
		for _, r := range rows {
			if !seen[r.ID] {
				seen[r.ID] = true
				out = append(out, r)
			}
		}
	}
	return out, nil
}

// hours reads a merchant's past up to an hour.
func hours(r reader, merchant string, hour int64) (rules.Hours, error) {
	var out rules.Hours
	err := r.Select(&out, `SELECT hour, deposits, deposit_sum, refund_sum, failed FROM monitor_hours
		WHERE merchant_id = ? AND hour <= ? AND hour >= ? AND (hour > ? OR hour % 24 = ?) ORDER BY hour`,
		merchant, hour, hour-28*24, hour-7*24, hour%24)
	return out, err
}
