package store_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// sequence lets a sequencer run until it has nothing more to do.
func sequence(t testing.TB, db *store.DB, s *store.Sequencer) {
	t.Helper()
	for {
		now := db.Now()
		next, err := s.Step(ctx, now)
		if err != nil {
			t.Fatal(err)
		}
		if next.After(now) {
			return
		}
	}
}

// journal reads all events by position and checks what always holds: no gap,
// and each object in its own order from its beginning.
func journal(t testing.TB, db *store.DB, want int) []psd2.Event {
	t.Helper()
	var all []psd2.Event
	last := map[string]int64{}
	for {
		after := int64(len(all))
		page, err := db.WantedFrom(ctx, after, 100, nil)
		if err != nil {
			t.Fatal(err)
		}
		marks, err := db.MarksFrom(ctx, after, 100)
		if err != nil || len(marks) != len(page) {
			t.Fatalf("%d marks for %d events, %v", len(marks), len(page), err)
		}
		for i, e := range page {
			if m := marks[i]; m.ID != e.ID || m.Position != e.Position || m.Type != e.Type || m.ObjectID != e.ObjectID || m.MerchantID != e.MerchantID {
				t.Fatalf("mark %+v of event %+v", m, e)
			}
			if e.Position != int64(len(all))+1 {
				t.Fatalf("position %d follows %d", e.Position, len(all))
			}
			if e.Sequence != last[e.ObjectID]+1 {
				t.Fatalf("event %d of %s follows %d", e.Sequence, e.ObjectID, last[e.ObjectID])
			}
			last[e.ObjectID] = e.Sequence
			all = append(all, e)
		}
		if len(page) == 0 { // a short one may be what this process has in memory
			break
		}
	}
	if n, err := db.LastPosition(ctx); err != nil || n != int64(len(all)) || len(all) != want {
		t.Fatalf("%d events of %d, last position %d, %v", len(all), want, n, err)
	}
	return all
}

func TestJournalTellsEachPaymentsStory(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		db := w.open(t)
		p, q := created(t, db, "mer_a", "player"), created(t, db, "mer_b", "player")
		seq := db.Sequencer("one")
		if w.kind == "postgres" {
			journal(t, db, 0) // nothing has a position yet
		}
		sequence(t, db, seq)
		for p.State != psd2.StateSettled {
			p = update(t, db, p.ID, func(p *psd2.Payment) error { return advance(p, db.Now()) })
			sequence(t, db, seq)
		}
		all := journal(t, db, 6)
		mine, err := db.PaymentEvents(ctx, p.ID)
		if err != nil || len(mine) != 5 {
			t.Fatalf("%d events, %v", len(mine), err)
		}
		var types []string
		for _, e := range mine {
			types = append(types, e.Type)
		}
		if want := []string{psd2.EventCreated, psd2.EventAttemptStarted, psd2.EventAuthorized, psd2.EventExecuted, psd2.EventSettled}; !slices.Equal(types, want) {
			t.Errorf("types %v", types)
		}
		theirs, err := db.EventsAfter(ctx, "mer_b", 0, 10)
		if err != nil || len(theirs) != 1 || theirs[0].ObjectID != q.ID {
			t.Errorf("the other merchant's: %+v, %v", theirs, err)
		}
		if rest, err := db.EventsAfter(ctx, "mer_a", mine[2].Position, 1); err != nil || len(rest) != 1 || rest[0].ID != mine[3].ID {
			t.Errorf("after a position: %+v, %v", rest, err)
		}
		byID, err := db.EventsByID(ctx, all[0].ID, all[5].ID, "evt_unknown")
		if err != nil || len(byID) != 2 || byID[all[5].ID].Position != 6 {
			t.Errorf("by id: %+v, %v", byID, err)
		}
		if none, err := db.EventsByID(ctx); err != nil || len(none) != 0 {
			t.Errorf("by no id: %+v, %v", none, err)
		}
	})
}

// TestLateCommitIsNotSkipped holds a transaction with an event open while later
// ones commit and get their positions, and then commits it.
func TestLateCommitIsNotSkipped(t *testing.T) {
	w := newWorld(t, "postgres", nil)
	db := w.open(t)
	seq := db.Sequencer("one")
	late := newPayment(db, "mer_a", "late")
	written, wait := make(chan struct{}), make(chan struct{})
	c := start(w.open(t), ctx, func(tx *store.Tx) error {
		err := tx.CreatePayment(late)
		close(written)
		<-wait
		return err
	})
	<-written
	for i := range 3 {
		created(t, db, "mer_a", fmt.Sprint("early ", i))
		sequence(t, db, seq)
	}
	journal(t, db, 3)
	reader := int64(3) // has read all there is
	close(wait)
	if <-c.done; c.err != nil {
		t.Fatal(c.err)
	}
	sequence(t, db, seq)
	journal(t, db, 4)
	for name, read := range map[string]func() ([]psd2.Event, error){
		"EventsAfter": func() ([]psd2.Event, error) { return db.EventsAfter(ctx, "mer_a", reader, 10) },
		"WantedFrom":  func() ([]psd2.Event, error) { return db.WantedFrom(ctx, reader, 10, nil) },
	} {
		events, err := read()
		if err != nil || len(events) != 1 || events[0].ObjectID != late.ID || events[0].Position != 4 {
			t.Errorf("%s: %+v, %v", name, events, err)
		}
	}
}

func TestOrderWithinAPaymentSurvivesClocksThatDisagree(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		p := created(t, db, "mer_a", "player")
		for i := range 5 { // each event is older than the one before
			update(t, db, p.ID, func(p *psd2.Payment) error { return advance(p, db.Now().Add(-time.Duration(i)*time.Hour)) })
		}
		sequence(t, db, db.Sequencer("one"))
		journal(t, db, 5)
	})
}

// TestSequencerIsNotStarved: a whole batch of events that wait for those behind
// them must not stop it.
func TestSequencerIsNotStarved(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		const n = 1100 // more than two batches
		var ids []string
		err := db.Tx(ctx, func(tx *store.Tx) error {
			ids = nil
			for range n {
				p := newPayment(db, "mer_a", "player")
				ids = append(ids, p.ID)
				if err := tx.CreatePayment(p); err != nil {
					return err
				}
			}
			for _, id := range ids { // by a process whose clock is slow
				if _, err := tx.UpdatePayment(id, func(p *psd2.Payment) error { return advance(p, db.Now().Add(-time.Hour)) }); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		unposition(t, db, 0)
		seq := db.Sequencer("one")
		now := db.Now()
		if next, err := seq.Step(ctx, now); err != nil || next.After(now) {
			t.Fatalf("with more to do it wants to rest until %v (%v)", next, err)
		}
		sequence(t, db, seq)
		journal(t, db, 2*n)
	})
}

func TestFullBatchGoesOnAtOnce(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		var ps []*psd2.Payment
		for range 1001 {
			ps = append(ps, newPayment(db, "mer_a", "player"))
		}
		create(t, db, ps...)
		unposition(t, db, 0)
		seq, now := db.Sequencer("one"), db.Now()
		for step, rests := range []bool{false, false, true, true} {
			if next, err := seq.Step(ctx, now); err != nil || next.After(now) != rests {
				t.Fatalf("after step %d it wants to go on at %v (now %v), %v", step, next, now, err)
			}
		}
		journal(t, db, 1001)
	})
}

// TestTwoSequencersNeverOverlap lets two processes position while both write.
func TestTwoSequencersNeverOverlap(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		dbs := []*store.DB{w.open(t), w.open(t)}
		var writers, sequencers sync.WaitGroup
		stop := make(chan struct{})
		for i, db := range dbs {
			writers.Go(func() {
				for n := range 40 {
					p := newPayment(db, "mer_a", fmt.Sprint("player ", i, n))
					if err := tryCreate(db, p); err != nil {
						t.Error(err)
					}
					_, err := dbs[1-i].UpdatePayment(ctx, p.ID, func(p *psd2.Payment) error { return advance(p, db.Now()) })
					if err != nil {
						t.Error(err)
					}
				}
			})
			sequencers.Go(func() {
				seq := db.Sequencer(fmt.Sprint("process ", i))
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := seq.Step(ctx, db.Now()); err != nil {
						t.Error(err)
						return
					}
					giveUpLease(t, db) // the owner changes all the time
				}
			})
		}
		writers.Wait()
		close(stop)
		sequencers.Wait()
		giveUpLease(t, dbs[0])
		sequence(t, dbs[0], dbs[0].Sequencer("last"))
		journal(t, dbs[0], 160)
	})
}

// giveUpLease makes the sequencer's lease expire.
func giveUpLease(t testing.TB, db *store.DB) {
	if err := db.Tx(ctx, func(tx *store.Tx) error { _, err := tx.Exec(`UPDATE leases SET until = 0`); return err }); err != nil {
		t.Error(err)
	}
}

func TestSequencerWithoutTheLeaseDoesNothing(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		clock := testkit.NewClock()
		w.now = clock.Now
		a, b := w.open(t), w.open(t)
		first, other := a.Sequencer("a"), b.Sequencer("b")
		if _, err := first.Step(ctx, clock.Now()); err != nil {
			t.Fatal(err)
		}
		var leases int
		if err := a.Get(ctx, &leases, `SELECT COUNT(*) FROM leases`); err != nil || leases != 0 {
			t.Fatalf("an idle sequencer wrote: %d, %v", leases, err)
		}
		created(t, a, "mer_a", "player")
		unposition(t, a, 0)
		sequence(t, a, first)
		select {
		case <-first.Positioned():
		default:
			t.Error("no word of the positions given")
		}
		created(t, a, "mer_a", "player")
		unposition(t, a, 1)
		if next, err := other.Step(ctx, clock.Now()); err != nil || !next.After(clock.Now()) {
			t.Errorf("without the lease: next %v, %v", next, err)
		}
		journal(t, a, 1)
		clock.Add(5 * time.Second) // its owner is dead
		sequence(t, b, other)
		journal(t, a, 2)
	})
}

// TestCommittedTellsOfEventsOnly: the sequencer is told of what waits for it, the
// relay of what SQLite has positioned itself.
func TestCommittedTellsOfEventsOnly(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		db := w.open(t)
		word, silent := db.Committed(), db.Sequencer("one").Positioned()
		if w.kind == "sqlite" {
			word, silent = silent, word
		}
		told := func() bool {
			select {
			case <-word:
				return true
			case <-silent:
				t.Error("told the other one")
			default:
			}
			return false
		}
		boom := errors.New("boom")
		_ = db.Tx(ctx, setCursor("one", 1))
		_ = db.Tx(ctx, func(tx *store.Tx) error { return errors.Join(tx.CreatePayment(newPayment(db, "mer_a", "p")), boom) })
		_ = db.Tx(ctx, setCursor("one", 2)) // what the commit before tells of has been told
		if told() {
			t.Error("told of nothing")
		}
		created(t, db, "mer_a", "player")
		if !told() || told() {
			t.Error("not told once")
		}
	})
}

// unposition takes positions behind one away again, as in a database whose
// events wait: PostgreSQL's do anyway, SQLite's were left by an older version.
func unposition(t testing.TB, db *store.DB, after int64) {
	t.Helper()
	err := db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE journal SET position = NULL WHERE position > ?`, after)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	store.Forget(db)
	select { // SQLite's word of positions that are no more
	case <-db.Sequencer("").Positioned():
	default:
	}
}

// TestSQLitePositionsWhatItCommits: events are committed with their position,
// without a gap for those that were rolled back, whichever process writes.
func TestSQLitePositionsWhatItCommits(t *testing.T) {
	w := newWorld(t, "sqlite", nil)
	dbs := []*store.DB{w.open(t), w.open(t)}
	boom := errors.New("boom")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			db := dbs[i%2]
			for n := range 20 {
				p := newPayment(db, "mer_a", fmt.Sprint("player ", i, n))
				err := db.Tx(ctx, func(tx *store.Tx) error {
					if err := tx.CreatePayment(p); err != nil || n%4 == 3 {
						return errors.Join(err, boom)
					}
					_, err := tx.UpdatePayment(p.ID, func(p *psd2.Payment) error { return advance(p, db.Now()) })
					return err
				})
				if (n%4 == 3) != errors.Is(err, boom) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	journal(t, dbs[0], 8*15*2)
}

// TestSQLiteDoesNotOvertakeWhatWaits: while events of an older version wait for
// the sequencer, later ones do too, or a payment would be told out of order.
func TestSQLiteDoesNotOvertakeWhatWaits(t *testing.T) {
	db := newWorld(t, "sqlite", nil).open(t)
	p := created(t, db, "mer_a", "player")
	unposition(t, db, 0)
	p = update(t, db, p.ID, func(p *psd2.Payment) error { return advance(p, db.Now()) })
	journal(t, db, 0)
	sequence(t, db, db.Sequencer("one"))
	journal(t, db, 2)
	for p.State != psd2.StateSettled {
		p = update(t, db, p.ID, func(p *psd2.Payment) error { return advance(p, db.Now()) })
	}
	journal(t, db, 5)
}

func TestManyProcessesMigrateAtOnce(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		for range 4 {
			db, err := store.Open(ctx, w.config, store.Options{Now: time.Now, Random: zeros{}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			wg.Go(func() {
				if err := db.Migrate(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		db := w.open(t) // again, with nothing to do
		files := map[int64]string{}
		var rows []struct {
			Number int64  `db:"number"`
			Name   string `db:"name"`
		}
		if err := db.Select(ctx, &rows, `SELECT number, name FROM migrations`); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			files[r.Number] = r.Name
		}
		if numbers := slices.Sorted(maps.Keys(files)); len(numbers) == 0 || numbers[0] != 1 || numbers[len(numbers)-1] != int64(len(numbers)) {
			t.Errorf("migrations %v", files)
		}
	})
}

// zeros is a source of randomness for who needs a key but none that is secret.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
