package store_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// TestListenersHearOfPositionsAndOfNothingElse: whoever gives the positions, and
// however many listen; on SQLite before the writer himself is told.
func TestListenersHearOfPositionsAndOfNothingElse(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		db := w.open(t)
		var first, second atomic.Int64
		db.OnPositioned(func() { first.Add(1) })
		db.OnPositioned(func() { second.Add(1) })
		if err := db.Tx(ctx, setCursor("one", 1)); err != nil {
			t.Fatal(err)
		}
		if first.Load() != 0 {
			t.Error("told of a transaction without events")
		}
		created(t, db, "mer_a", "player")
		if positioned := first.Load() == 1; positioned != (w.kind == "sqlite") {
			t.Errorf("told %d times by the commit", first.Load())
		}
		sequence(t, db, db.Sequencer("one"))
		journal(t, db, 1)
		if first.Load() != 1 || second.Load() != 1 {
			t.Errorf("told %d and %d times of one event", first.Load(), second.Load())
		}
	})
}

// TestManyWritersOfOneCommitAreToldOfOnce: each word wakes the same few, who
// read everything there is.
func TestManyWritersOfOneCommitAreToldOfOnce(t *testing.T) {
	w := newWorld(t, "sqlite", nil)
	db := w.open(t)
	var told atomic.Int64
	db.OnPositioned(func() { told.Add(1) })
	_, before := db.Stats()
	const writers = 40
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() { created(t, db, "mer_a", "player") })
	}
	wg.Wait()
	_, after := db.Stats()
	journal(t, db, writers)
	if commits := int64(after - before); told.Load() < 1 || told.Load() > commits {
		t.Errorf("told %d times of %d commits", told.Load(), commits)
	}
}

// TestOnlyWantedEventsAreOpened: the others keep their place in the journal.
func TestOnlyWantedEventsAreOpened(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		db := w.open(t)
		p := newPayment(db, "mer_a", "player")
		p.Cancel(psd2.ReasonMerchantCanceled, db.Now())
		if err := db.Tx(ctx, func(tx *store.Tx) error { return tx.CreatePayment(p) }); err != nil {
			t.Fatal(err)
		}
		sequence(t, db, db.Sequencer("one"))
		all := journal(t, db, 2)
		some, err := db.WantedFrom(ctx, 0, 10, func(eventType string) bool { return eventType == psd2.EventFailed })
		if err != nil || len(some) != 2 {
			t.Fatalf("%d events, %v", len(some), err)
		}
		if some[0].Type != psd2.EventCreated || some[0].Data != nil || some[0].ID != all[0].ID || some[0].Position != 1 {
			t.Errorf("what nobody wants is %+v", some[0])
		}
		if string(some[1].Data) != string(all[1].Data) || len(some[1].Data) == 0 {
			t.Errorf("what is wanted is %s", some[1].Data)
		}
	})
}
