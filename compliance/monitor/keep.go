package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Retention and erasure. The monitor's records are the obliged entity's proof
// that it watched (GwG §8(1)): they stay Config.KeepYears, then they go, unless
// the Keeper says that somebody's have to stay. What the officers made of them
// follows the desk's own retention.

const (
	driftEvery  = time.Minute
	retainEvery = time.Hour
	retainBatch = 200
)

// housekeep does what has time.
func (m *Monitor) housekeep(ctx context.Context, now time.Time) error {
	if !now.Before(m.measured.Add(driftEvery)) {
		m.measured = now
		if err := m.measureDrift(ctx); err != nil {
			return err
		}
	}
	if m.deps.Keeper == nil || now.Before(m.retained.Add(retainEvery)) {
		return nil
	}
	m.retained = now
	return m.retain(ctx, now)
}

// oldRow is a transaction whose time may be over.
type oldRow struct {
	ID       string `db:"id"`
	At       int64  `db:"at"`
	PersonID string `db:"person_id"`
}

// retain deletes what is older than the time of keeping, page by page, and
// notes how much that was.
func (m *Monitor) retain(ctx context.Context, now time.Time) error {
	until := now.AddDate(-m.cfg.KeepYears, 0, 0).UnixMicro()
	var after oldRow
	for {
		var rows []oldRow
		err := m.deps.Store.Select(ctx, &rows, `SELECT id, at, person_id FROM monitor_transactions WHERE at < ? AND (at > ? OR at = ? AND id > ?) ORDER BY at, id LIMIT ?`,
			until, after.At, after.At, after.ID, retainBatch)
		if err != nil {
			return fmt.Errorf("retention: %w", err)
		}
		if len(rows) == 0 {
			break
		}
		after = rows[len(rows)-1]
		if err := m.deleteOld(ctx, rows, until); err != nil {
			return fmt.Errorf("retention: %w", err)
		}
	}
	if err := m.deleteHours(ctx, until); err != nil {
		return fmt.Errorf("retention: %w", err)
	}
	return nil
}

// note tells the audit chain, in the transaction of what it tells of.
func (m *Monitor) note(tx *store.Tx, action, object string, detail map[string]any) error {
	if m.deps.Audit == nil {
		return nil
	}
	return m.deps.Audit.RecordIn(tx, compliance.ActorSystem, "rialto", action, object, detail)
}

func (m *Monitor) deleteOld(ctx context.Context, rows []oldRow, until int64) error {
	deleted := 0
	err := m.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		deleted = 0
		if err := moveState(tx); err != nil {
			return err
		}
		kept := map[string]bool{}
		for _, r := range rows {
			if _, asked := kept[r.PersonID]; !asked && r.PersonID != "" {
				var err error
				if kept[r.PersonID], err = m.deps.Keeper.Kept(tx, r.PersonID); err != nil {
					return err
				}
			}
			if kept[r.PersonID] {
				continue
			}
			if err := m.deleteOne(tx, r.ID); err != nil {
				return err
			}
			deleted++
		}
		if deleted == 0 {
			return nil
		}
		return m.note(tx, "monitor.retained", "monitor",
			map[string]any{"deleted": deleted, "kept": len(rows) - deleted, "before": time.UnixMicro(until).UTC().Format(time.DateOnly)})
	})
	if err == nil && deleted > 0 {
		m.metrics.deleted.Add(float64(deleted))
		m.deps.Log.InfoContext(ctx, "monitor: retention", "deleted", deleted, "kept", len(rows)-deleted)
	}
	return err
}

// deleteOne removes a transaction and everything that was said of it.
func (m *Monitor) deleteOne(tx *store.Tx, id string) error {
	m.past.forget(id)
	if err := m.forgetSeen(tx, id); err != nil {
		return err
	}
	for _, query := range []string{`DELETE FROM monitor_hits WHERE transaction_id = ?`, `DELETE FROM monitor_decisions WHERE transaction_id = ?`,
		`DELETE FROM monitor_transactions WHERE id = ?`} {
		if _, err := tx.Exec(query, id); err != nil {
			return err
		}
	}
	return nil
}

// forgetSeen removes what those who only watch said of a transaction.
func (m *Monitor) forgetSeen(tx *store.Tx, id string) error {
	if m.deps.Book != nil {
		if err := m.deps.Book.Forget(tx, id); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`DELETE FROM monitor_scores WHERE transaction_id = ?`, id)
	return err
}

// deleteHours removes merchants' hours and the findings about them; they are
// about nobody.
func (m *Monitor) deleteHours(ctx context.Context, until int64) error {
	var old int
	err := m.deps.Store.Get(ctx, &old, `SELECT COUNT(*) FROM monitor_hours WHERE hour < ?`, until/1e6/3600)
	if err != nil || old == 0 {
		return err
	}
	return m.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM monitor_hours WHERE hour < ?`, until/1e6/3600); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM monitor_hits WHERE at < ? AND transaction_id LIKE 'mer%@%'`, until)
		return err
	})
}

// Erasure is what became of a person's data.
type Erasure struct {
	Deleted  int // transactions whose time of keeping was over: gone whole
	Stripped int // transactions that have to stay, without what Gone lists
	// Until is when the last of them goes by itself; zero when none is left.
	Until time.Time
	Gone  []string // what went
	Stays []string // what stays, and why
}

// What goes and what stays when a person asks for erasure while the law keeps
// the proof (GDPR Art. 17(3)(b) with GwG §8(1), (4)).
var (
	goesAtErasure = []string{"device", "address, network, place and country of the address", "residence and age", "registration, stake and limit",
		"words found in the purpose", "screening results", "the model's numbers and score", "verdicts of rule sets in shadow"}
	staysAtErasure = []string{"time, kind, state and amount (GwG §8(1) no. 1)", "keyed hashes of player, person, account and holder, which join his transactions (GwG §8(1) no. 1)",
		"the decision and the findings with their inputs (GwG §8(1) no. 3)"}
)

// Erase removes of a person what may go: transactions whose time is over
// entirely, of younger ones everything but what the law keeps. Somebody whose
// data have to stay as they are is a conflict. What the hub, the desk and
// screening hold is theirs to erase; rules that count over shared devices or
// addresses no longer see him.
func (m *Monitor) Erase(ctx context.Context, personID string) (out Erasure, err error) {
	err = m.deps.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if m.deps.Keeper != nil {
			kept, err := m.deps.Keeper.Kept(tx, personID)
			if err != nil {
				return err
			}
			if kept {
				return psd2.Fail(psd2.CodeConflict, "legal_hold", "a legal hold or a case keeps this data")
			}
		}
		if out, err = m.erase(tx, personID); err != nil {
			return err
		}
		return m.note(tx, "monitor.erased", personID, map[string]any{"deleted": out.Deleted, "stripped": out.Stripped})
	})
	if err != nil {
		return Erasure{}, fmt.Errorf("monitor: erase: %w", err)
	}
	return out, nil
}

// Forget is Erase within the transaction of whoever has decided that nothing
// obliges to keep the person, and notes it: compliance.Deps.Forget takes it.
func (m *Monitor) Forget(tx *store.Tx, personID string) error {
	_, err := m.erase(tx, personID)
	return err
}

func (m *Monitor) erase(tx *store.Tx, personID string) (Erasure, error) {
	out := Erasure{Gone: goesAtErasure, Stays: staysAtErasure}
	if err := moveState(tx); err != nil { // who is judging what goes now has to read again
		return out, err
	}
	var rows []row
	if err := tx.Select(&rows, selectRow+`person_id = ?`, personID); err != nil {
		return out, err
	}
	for _, r := range rows {
		if err := m.eraseOne(tx, r, &out); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (m *Monitor) eraseOne(tx *store.Tx, r row, out *Erasure) error {
	f, err := r.fact()
	if err != nil {
		return err
	}
	until := f.At.AddDate(m.cfg.KeepYears, 0, 0)
	if !tx.Now.Before(until) {
		out.Deleted++
		return m.deleteOne(tx, r.ID)
	}
	out.Stripped++
	m.past.forget(r.ID)
	if until.After(out.Until) {
		out.Until = until
	}
	if err := m.forgetSeen(tx, r.ID); err != nil {
		return err
	}
	doc, err := json.Marshal(&rules.Fact{
		ID: f.ID, Revision: f.Revision, At: f.At, Kind: f.Kind, Status: f.Status, Amount: f.Amount, Currency: f.Currency, Merchant: f.Merchant, Player: f.Player,
		Person: f.Person, PersonLinked: f.PersonLinked, IBAN: f.IBAN, SourceIBAN: f.SourceIBAN, BIC: f.BIC, IBANCountry: f.IBANCountry, Gambling: f.Gambling,
		Holder: f.Holder, HolderMatch: f.HolderMatch, VoP: f.VoP, MuleListed: f.MuleListed, VASPListed: f.VASPListed,
	})
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE monitor_transactions SET device_key = '', ip_key = '', network_key = '', placed = 0, lat = 0, lon = 0, facts = ? WHERE id = ?`, string(doc), r.ID)
	return err
}

// Archive gives the stored transactions to whoever judges them again; it is the
// rulebook's History.
type Archive struct{ Store *store.DB }

// Facts lists transactions as they stand, from one moment to before another, in
// order of time, at most limit of them.
func (a Archive) Facts(ctx context.Context, from, until time.Time, limit int) ([]*rules.Fact, error) {
	var rows []row
	err := a.Store.Select(ctx, &rows, selectRow+`at >= ? AND at < ? ORDER BY at, id LIMIT ?`, from.UnixMicro(), until.UnixMicro(), limit)
	if err != nil {
		return nil, fmt.Errorf("monitor: archive: %w", err)
	}
	out := make([]*rules.Fact, len(rows))
	for i, r := range rows {
		if out[i], err = r.fact(); err != nil {
			return nil, err
		}
	}
	return out, nil
}
