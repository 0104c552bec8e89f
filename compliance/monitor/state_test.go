package monitor_test

import (
	"context"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2/store"
)

func played(id string, at time.Time, revision int64, status rules.Status, amount int64) *rules.Fact {
	return &rules.Fact{ID: id, Revision: revision, At: at, Kind: rules.Deposit, Status: status, Amount: amount, Merchant: "m", Player: "p", Person: "p",
		PersonLinked: true, IBAN: "i", IBANCountry: "DE", Gambling: true}
}

// Rules take accepted and settled for one: the second is not judged again, and
// neither are those after it; a failure is.
func TestWhatRulesDoNotSeeIsNotJudgedAgain(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m, now := w.monitor(nil), w.clock.Now()
		looked := func(id string) int {
			return w.number(`SELECT looked FROM monitor_decisions WHERE transaction_id = ?`, id)
		}
		must(t, m.Observe(ctx, played("a", now, 1, rules.Accepted, 5000)))
		must(t, m.Observe(ctx, played("b", now.Add(time.Minute), 1, rules.Settled, 5000)))
		must(t, m.Observe(ctx, played("a", now, 2, rules.Settled, 5000)))
		if a, b := looked("a"), looked("b"); a != 1 || b != 1 {
			t.Errorf("looked %d and %d times, want once each", a, b)
		}
		if n := w.number(`SELECT COUNT(*) FROM monitor_transactions WHERE id = 'a' AND revision = 2 AND status = 'settled'`); n != 1 {
			t.Error("the new state is not remembered")
		}
		if n := w.number(`SELECT SUM(deposit_sum) FROM monitor_hours`); n != 10000 {
			t.Errorf("the hour has %d, want 10000", n)
		}
		must(t, m.Observe(ctx, played("a", now, 3, rules.Failed, 5000)))
		if a, b := looked("a"), looked("b"); a != 2 || b != 2 {
			t.Errorf("looked %d and %d times after the failure, want twice each", a, b)
		}
		if n := w.number(`SELECT SUM(deposit_sum) FROM monitor_hours`); n != 5000 {
			t.Errorf("the hour has %d after the failure, want 5000", n)
		}
	})
}

// Facts of one batch see each other, in order of time, whatever order they
// come in; each is judged once.
func TestABatchSeesItself(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m, now := w.monitor(nil), w.clock.Now()
		must(t, m.Observe(ctx, played("c", now.Add(2*time.Minute), 1, rules.Settled, 40000), played("b", now.Add(time.Minute), 1, rules.Accepted, 40000),
			played("a", now, 1, rules.Settled, 40000), played("b", now.Add(time.Minute), 2, rules.Settled, 40000)))
		for id, want := range map[string]bool{"a": false, "b": false, "c": true} {
			if _, hit := w.hits(id)["R10"]; hit != want {
				t.Errorf("%s: over the month's limit %t, want %t", id, hit, want)
			}
		}
		if n := w.number(`SELECT SUM(looked) FROM monitor_decisions`); n != 3 {
			t.Errorf("judged %d times, want 3", n)
		}
	})
}

// meddling stores something else while a batch is read.
type meddling struct {
	calls  int
	meddle func()
}

func (m *meddling) Screened(context.Context, string) (*rules.Screening, *rules.PEP, error) {
	if m.calls++; m.calls == 1 {
		m.meddle()
	}
	return nil, nil, nil
}

// What was judged by a state that has changed is not stored: it is read and
// judged again.
func TestAStateThatMovedIsJudgedAnew(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		other := w.monitor(nil)
		s := &meddling{}
		s.meddle = func() { must(t, other.Observe(ctx, played("x", w.clock.Now(), 1, rules.Settled, 1000))) }
		m := w.start(nil, nil, []func(*monitor.Deps){func(d *monitor.Deps) { d.Screened = s }})
		p := w.deposit(payment{player: "p1", amount: 5000, holder: "Anna Koch"})
		must(t, w.catchUp(m))
		if s.calls != 2 {
			t.Errorf("read %d times, want twice", s.calls)
		}
		if n := w.number(`SELECT looked FROM monitor_decisions WHERE transaction_id = ?`, p.ID); n != 1 {
			t.Errorf("judged %d times, want once", n)
		}
	})
}

// What another process has erased is gone from this one's memory too.
func TestAnErasedPlaceIsNotRemembered(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		for _, erased := range []bool{false, true} {
			m, now := w.monitor(nil), w.clock.Now()
			at := func(id string, after time.Duration, lat float64) *rules.Fact {
				f := played(id, now.Add(after), 1, rules.Settled, 1000)
				f.Player, f.Person = "p"+id[:1], "p"+id[:1]
				f.Place = &rules.Place{Lat: lat, Lon: 10}
				return f
			}
			run := map[bool]string{false: "s", true: "e"}[erased]
			must(t, m.Observe(ctx, at(run+"1", 0, 50)))
			must(t, m.Observe(ctx, at(run+"2", time.Minute, 50))) // remembers the first
			if erased {
				must(t, w.db.Tx(ctx, func(tx *store.Tx) error {
					_, err := tx.Exec(`UPDATE monitor_transactions SET device_key = '', ip_key = '', network_key = '', placed = 0, lat = 0, lon = 0 WHERE player_key = 'pe'`)
					return err
				}))
			}
			must(t, m.Observe(ctx, at(run+"3", 2*time.Minute, 10)))
			if _, hit := w.hits(run + "3")["R25"]; hit == erased {
				t.Errorf("erased %t: impossible travel %t", erased, hit)
			}
		}
	})
}
