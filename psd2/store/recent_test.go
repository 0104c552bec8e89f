package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

var errOurs = errors.New("of the transaction's own")

// TestMemoryTellsWhatTheJournalHolds has two processes write, fail and erase, in
// any order, and asks one of them, again and again, for what follows any
// position: what it has kept in memory is what the database holds.
func TestMemoryTellsWhatTheJournalHolds(t *testing.T) {
	clock := testkit.NewClock()
	w := newWorld(t, "sqlite", clock.Now)
	dbs, kept, run := []*store.DB{w.open(t), w.open(t)}, 0, 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		var open []*psd2.Payment
		player := func() string { return fmt.Sprint("player", run, "-", rapid.IntRange(0, 2).Draw(r, "player")) }
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			db := dbs[rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(r, "process")]
			switch rapid.SampledFrom([]string{"create", "create", "fail", "advance", "erase", "wait"}).Draw(r, "what") {
			case "create":
				open = append(open, created(t, db, "mer_a", player()))
			case "fail":
				p := newPayment(db, "mer_a", player())
				err := db.Tx(ctx, func(tx *store.Tx) error {
					if err := tx.CreatePayment(p); err != nil {
						return err
					}
					return errOurs
				})
				if !errors.Is(err, errOurs) {
					r.Fatal(err)
				}
			case "advance":
				for i, p := range open {
					if !p.State.Final() {
						open[i] = update(t, db, p.ID, func(p *psd2.Payment) error { return canceled(p, db.Now()) })
						break
					}
				}
			case "erase":
				// Another process's erasure is seen when memory has aged out.
				_, _ = erase(dbs[0], db.PersonID("mer_a", player())) // refused when there is nobody, or something is under way
			case "wait":
				clock.Add(time.Duration(rapid.IntRange(1, 7).Draw(r, "seconds")) * time.Second)
			}
			kept = max(kept, store.Kept(dbs[0]))
			last, err := dbs[0].LastPosition(ctx)
			if err != nil {
				r.Fatal(err)
			}
			compareMemory(r, dbs[0], max(last-rapid.Int64Range(-1, 14).Draw(r, "back"), 0), rapid.IntRange(1, 5).Draw(r, "limit"))
		}
	})
	if kept < 3 {
		t.Errorf("never more than %d events were kept: nothing was compared", kept)
	}
}

// compareMemory asks with what is in memory, and without. Another process may
// have written more than the first answer knows, but nothing in between.
func compareMemory(r *rapid.T, db *store.DB, position int64, limit int) {
	wanted := func(eventType string) bool { return eventType == psd2.EventFailed }
	events, e1 := db.WantedFrom(ctx, position, limit, nil)
	some, e2 := db.WantedFrom(ctx, position, limit, wanted)
	marks, e3 := db.MarksFrom(ctx, position, limit)
	store.Without(db, func() {
		all, e4 := db.WantedFrom(ctx, position, limit, nil)
		few, e5 := db.WantedFrom(ctx, position, limit, wanted)
		every, e6 := db.MarksFrom(ctx, position, limit)
		if err := errors.Join(e1, e2, e3, e4, e5, e6); err != nil {
			r.Fatal(err)
		}
		n := len(events)
		if n > len(all) || n == 0 && len(all) > 0 || len(some) != n || len(marks) != n {
			r.Fatalf("%d, %d, %d of %d events behind %d", n, len(some), len(marks), len(all), position)
		}
		if d := cmp.Diff(all[:n], events) + cmp.Diff(few[:n], some) + cmp.Diff(every[:n], marks); d != "" {
			r.Fatalf("behind %d: %s", position, d)
		}
	})
}

// TestErasedPersonsEventsLeaveMemory: what was kept to be told is not told any
// more, at once or, when another process has erased him, in a moment.
func TestErasedPersonsEventsLeaveMemory(t *testing.T) {
	for name, by := range map[string]struct {
		process int
		after   time.Duration
	}{"own": {0, 0}, "another's": {1, 6 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			clock := testkit.NewClock()
			w := newWorld(t, "sqlite", clock.Now)
			dbs := []*store.DB{w.open(t), w.open(t)}
			p := ended(t, dbs[0], "player")
			if store.Kept(dbs[0]) == 0 {
				t.Fatal("nothing is kept")
			}
			if _, err := erase(dbs[by.process], p.PersonID); err != nil {
				t.Fatal(err)
			}
			clock.Add(by.after)
			events, err := dbs[0].WantedFrom(ctx, 0, 10, nil)
			if err != nil || len(events) == 0 {
				t.Fatal(len(events), err)
			}
			for _, e := range events {
				if string(e.Data) != `{"erased":true}` {
					t.Errorf("%s: %s", e.Type, e.Data)
				}
			}
		})
	}
}

// TestWhatFailedBesideOthersIsNotRemembered: of transactions that share a commit
// some fail after they have written, so that all run again. Positions have no
// gap, and memory holds what is in the journal.
func TestWhatFailedBesideOthersIsNotRemembered(t *testing.T) {
	db := newWorld(t, "sqlite", nil).open(t)
	for round := range 5 {
		var fns []func(*store.Tx) error
		for i := range 12 {
			p := newPayment(db, "mer_a", fmt.Sprint("player", round, i))
			fns = append(fns, func(tx *store.Tx) error {
				err := tx.CreatePayment(p)
				if err == nil && i%5 == round {
					err = errOurs
				}
				return err
			})
		}
		for _, err := range together(t, db, fns...) {
			if err != nil && !errors.Is(err, errOurs) {
				t.Fatal(err)
			}
		}
	}
	last, err := db.LastPosition(ctx)
	known, e2 := db.MarksFrom(ctx, 0, 100)
	store.Forget(db)
	read, e3 := db.MarksFrom(ctx, 0, 100)
	if err := errors.Join(err, e2, e3); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(read, known); d != "" || last != int64(len(read)) || last < 40 {
		t.Errorf("the last of %d events has position %d: %s", len(read), last, d)
	}
}

// TestMemoryIsBounded: whoever lags reads the database, and memory does not grow.
func TestMemoryIsBounded(t *testing.T) {
	db := newWorld(t, "sqlite", nil).open(t)
	for range 100 {
		var list []*psd2.Payment
		for range 50 {
			list = append(list, newPayment(db, "mer_a", "player"))
		}
		create(t, db, list...)
		if n := store.Kept(db); n > 2*2048+50 {
			t.Fatalf("%d events are kept", n)
		}
	}
	events, err := db.WantedFrom(ctx, 0, 100, nil)
	if err != nil || len(events) != 100 || events[0].Position != 1 {
		t.Errorf("%d events, %v", len(events), err)
	}
}
