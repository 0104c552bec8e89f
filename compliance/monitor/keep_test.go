package monitor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// keeper keeps some persons' data.
type keeper map[string]bool

func (k keeper) Kept(_ *store.Tx, personID string) (bool, error) { return k[personID], nil }

func (w *world) keeping(k keeper, change ...func(*monitor.Deps)) *monitor.Monitor {
	w.t.Helper()
	return w.start(nil, nil, append(change, func(d *monitor.Deps) { d.Audit = w.desk }, func(d *monitor.Deps) {
		if k != nil {
			d.Keeper = k
		}
	}))
}

// everything counts the monitor's rows.
func (w *world) everything() int {
	w.t.Helper()
	n := 0
	for _, table := range []string{"monitor_transactions", "monitor_decisions", "monitor_hits", "monitor_hours", "monitor_scores", "rulebook_verdicts"} {
		n += w.number(`SELECT COUNT(*) FROM ` + table)
	}
	return n
}

// Five years, then all of it goes, and the chain says that it did; a day before
// nothing does.
func TestWhatIsFiveYearsOldGoes(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		book := w.book()
		w.shadowed(book, "30000")
		m := w.keeping(keeper{}, func(d *monitor.Deps) { d.Book, d.Model = book, trained(t) })
		for range 3 {
			w.deposit(payment{player: "p1", holder: "Peter Fremd", amount: 5000})
		}
		must(t, w.catchUp(m))
		before := w.everything()
		if before < 3+3+3+1+3+3 {
			t.Fatalf("%d rows to begin with", before)
		}
		begin := w.clock.Now()
		w.clock.Add(begin.AddDate(5, 0, -1).Sub(begin))
		must(t, w.catchUp(m))
		if n := w.everything(); n != before {
			t.Errorf("a day before: %d rows of %d", n, before)
		}
		w.clock.Add(26 * time.Hour)
		must(t, w.catchUp(m))
		if n := w.everything(); n != 0 {
			t.Errorf("%d rows stayed", n)
		}
		if n := w.number(`SELECT COUNT(*) FROM compliance_audit WHERE action = 'monitor.retained' AND detail LIKE '%"deleted":3%'`); n != 1 {
			t.Errorf("%d rows of the chain say so", n)
		}
	})
}

// Who is under a legal hold stays, and keeps nobody else's data; without
// anybody to ask nothing goes.
func TestALegalHoldOutlivesRetention(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		held := w.deposit(payment{player: "p1", holder: "Peter Fremd", amount: 5000})
		gone := w.deposit(payment{player: "p2", holder: "Peter Fremd", amount: 5000})
		unasked := w.keeping(nil)
		must(t, w.catchUp(unasked))
		w.clock.Add(6 * 366 * 24 * time.Hour)
		must(t, w.catchUp(unasked))
		if n := w.number(`SELECT COUNT(*) FROM monitor_transactions`); n != 2 {
			t.Fatalf("%d transactions left with nobody to ask", n)
		}
		m := w.keeping(keeper{held.PersonID: true})
		must(t, w.catchUp(m))
		for id, want := range map[string]int{held.ID: 1, gone.ID: 0} {
			if n := w.number(`SELECT COUNT(*) FROM monitor_decisions WHERE transaction_id = ?`, id); n != want {
				t.Errorf("%d decisions about %s, want %d", n, id, want)
			}
		}
		if _, err := m.Erase(ctx, held.PersonID); psd2.CodeOf(err) != psd2.CodeConflict {
			t.Errorf("erased under a legal hold: %v", err)
		}
	})
}

// What may go of a person goes at once; what the law keeps stays, still makes
// its decisions provable, and is named.
func TestErasureTakesWhatMayGo(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.keeping(keeper{}, func(d *monitor.Deps) { d.Model = trained(t) })
		old := w.deposit(payment{player: "p1", holder: "Peter Fremd", device: "d", ip: "203.0.113.7", amount: 5000})
		must(t, w.catchUp(m))
		begin := w.clock.Now()
		w.clock.Add(begin.AddDate(4, 11, 0).Sub(begin))
		young := w.deposit(payment{player: "p1", born: "1950-01-01", holder: "Peter Fremd", device: "devicetoken", ip: "203.0.113.7", amount: 5000})
		other := w.deposit(payment{player: "p2", holder: "Peter Fremd", device: "devicetoken", ip: "203.0.113.7", amount: 5000})
		must(t, w.catchUp(m))
		w.clock.Add(60 * 24 * time.Hour)
		e, err := m.Erase(ctx, young.PersonID)
		must(t, err)
		if e.Deleted != 1 || e.Stripped != 1 || !e.Until.Equal(young.CreatedAt.AddDate(5, 0, 0)) || len(e.Gone) == 0 || len(e.Stays) == 0 {
			t.Errorf("%+v", e)
		}
		if n := w.number(`SELECT COUNT(*) FROM monitor_transactions WHERE id = ?`, old.ID); n != 0 {
			t.Error("what was old enough stayed")
		}
		var doc string
		must(t, w.db.Get(ctx, &doc, `SELECT facts || device_key || ip_key || network_key FROM monitor_transactions WHERE id = ?`, young.ID))
		for _, gone := range []string{`"device"`, `"ip"`, `"network"`, `"holder_age"`, `"keyword"`, `"kyc"`} {
			if strings.Contains(doc, gone) {
				t.Errorf("%s stayed: %s", gone, doc)
			}
		}
		if n := w.number(`SELECT COUNT(*) FROM monitor_transactions WHERE id = ? AND device_key = '' AND ip_key = '' AND network_key = ''`, young.ID); n != 1 {
			t.Error("the keys of device and address stayed")
		}
		if n := w.number(`SELECT COUNT(*) FROM monitor_decisions WHERE transaction_id = ?`, young.ID); n != 1 || len(w.hits(young.ID)) == 0 || !strings.Contains(doc, `"amount":5000`) {
			t.Errorf("what the law keeps went: %d decisions, %s", n, doc)
		}
		if n := w.number(`SELECT COUNT(*) FROM monitor_scores WHERE transaction_id = ?`, young.ID); n != 0 {
			t.Error("the model's numbers stayed")
		}
		if n := w.number(`SELECT COUNT(*) FROM monitor_transactions WHERE id = ? AND device_key <> ''`, other.ID); n != 1 {
			t.Error("somebody else's data went")
		}
	})
}

// The desk's erasure of a person takes what the monitor and screening hold as
// well, all in one transaction.
func TestTheDesksErasureReachesTheMonitor(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.monitor(nil)
		p := w.deposit(payment{player: "p1", holder: "Anna Koch", device: "devicetoken", amount: 5000, failed: true})
		must(t, w.catchUp(m))
		begin := w.clock.Now()
		w.clock.Add(begin.AddDate(11, 0, 0).Sub(begin))
		desk, err := compliance.NewDesk(compliance.Config{}, compliance.Deps{Store: w.db, Keys: w.keys, Now: w.clock.Now, Forget: []func(*store.Tx, string) error{m.Forget}})
		must(t, err)
		must(t, desk.Erase(ctx, compliance.Officer{ID: "ofc_adam", Roles: []compliance.Role{compliance.Admin}}, p.PersonID, "asked for it"))
		if n := w.number(`SELECT COUNT(*) FROM monitor_transactions WHERE person_id = ?`, p.PersonID); n != 0 {
			t.Errorf("%d transactions stayed", n)
		}
	})
}

// When the hub has erased somebody, a later event does not overwrite what is
// remembered with nothing.
func TestAnErasedPersonsLaterEventChangesNothing(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.monitor(nil, func(c *monitor.Config) { c.Profile = rules.ProfileOnlineDE })
		p := w.deposit(payment{player: "p1", holder: "Peter Fremd", amount: 5000})
		must(t, w.catchUp(m))
		var before, after string
		const query = `SELECT iban_key || player_key || holder_key || facts FROM monitor_transactions WHERE id = ?`
		must(t, w.db.Get(ctx, &before, query, p.ID))
		must(t, w.db.Tx(ctx, func(tx *store.Tx) error {
			if _, err := tx.Exec(`DELETE FROM person_keys WHERE person_id = ?`, p.PersonID); err != nil {
				return err
			}
			if _, err := tx.Exec(`UPDATE payments SET doc = REPLACE(doc, '"sequence":', '"sequence":1') WHERE id = ?`, p.ID); err != nil {
				return err
			}
			return tx.SetCursor("compliance.monitor", 0) // its events come again
		}))
		must(t, w.catchUp(m))
		must(t, w.db.Get(ctx, &after, query, p.ID))
		if before != after {
			t.Errorf("remembered before: %s\nafter: %s", before, after)
		}
	})
}
