package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// call is a transaction under way.
type call struct {
	err  error
	done chan struct{}
}

func start(db *store.DB, ctx context.Context, fn func(*store.Tx) error) *call {
	c := &call{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = db.Tx(ctx, fn)
	}()
	return c
}

// together runs transactions of SQLite in one group, in their order: the
// writer is held until all of them wait.
func together(t *testing.T, db *store.DB, fns ...func(*store.Tx) error) []error {
	t.Helper()
	calls, release := hold(t, db)
	for _, fn := range fns {
		calls = append(calls, start(db, ctx, fn))
		waitQueued(t, db, len(calls)-1)
	}
	release()
	errs := make([]error, 0, len(fns))
	for _, c := range calls {
		<-c.done
		errs = append(errs, c.err)
	}
	return errs[1:]
}

// hold keeps the writer busy with a transaction that does nothing.
func hold(t *testing.T, db *store.DB) (first []*call, release func()) {
	t.Helper()
	entered, wait := make(chan struct{}, 2), make(chan struct{})
	c := start(db, ctx, func(*store.Tx) error {
		entered <- struct{}{}
		<-wait
		return nil
	})
	<-entered
	return []*call{c}, func() { close(wait) }
}

func waitQueued(t *testing.T, db *store.DB, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); store.Queued(db) != n; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d transactions wait, not %d", store.Queued(db), n)
		}
	}
}

func setCursor(name string, v int64) func(*store.Tx) error {
	return func(tx *store.Tx) error { return tx.SetCursor(name, v) }
}

func cursor(t testing.TB, db *store.DB, name string) (v int64) {
	t.Helper()
	err := db.Tx(ctx, func(tx *store.Tx) (err error) {
		v, err = tx.Cursor(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// C42: one failure stays its own.
func TestFailingTransactionLeavesItsNeighboursAlone(t *testing.T) {
	boom := errors.New("boom")
	for name, fail := range map[string]func(*store.Tx) error{
		"error":               func(*store.Tx) error { return boom },
		"panic":               func(*store.Tx) error { panic("boom") },
		"statement":           func(tx *store.Tx) error { _, err := tx.Exec(`INSERT INTO meta (name) VALUES ('boom')`); return err },
		"statement swallowed": func(tx *store.Tx) error { _, _ = tx.Exec(`INSERT INTO meta (name) VALUES ('boom')`); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			db := testkit.SQLite(t, nil)
			p := newPayment(db, "mer_a", "new player")
			errs := together(t, db,
				setCursor("one", 1),
				func(tx *store.Tx) error { // writes much, then fails
					if err := errors.Join(tx.SetCursor("two", 2), tx.SetCursor("one", 9), tx.CreatePayment(p)); err != nil {
						return err
					}
					return fail(tx)
				},
				setCursor("three", 3),
				func(tx *store.Tx) error { // fails again: by now everybody is behind a savepoint
					if err := tx.SetCursor("three", 9); err != nil {
						return err
					}
					return fail(tx)
				},
				func(tx *store.Tx) error { // sees those before it, and nothing of those that failed
					one, e1 := tx.Cursor("one")
					three, e2 := tx.Cursor("three")
					return errors.Join(e1, e2, tx.SetCursor("sum", one+three))
				})
			for i, failed := range []bool{false, true, false, true, false} {
				if (errs[i] != nil) != failed || failed && !strings.Contains(errs[i].Error(), "boom") && !strings.Contains(errs[i].Error(), "NOT NULL") {
					t.Errorf("transaction %d: %v", i, errs[i])
				}
			}
			for name, want := range map[string]int64{"one": 1, "two": 0, "three": 3, "sum": 4} {
				if got := cursor(t, db, name); got != want {
					t.Errorf("cursor %s is %d, not %d", name, got, want)
				}
			}
			if _, err := db.Payment(ctx, p.ID); psd2.CodeOf(err) != psd2.CodeNotFound {
				t.Errorf("the rolled back payment: %v", err)
			}
			create(t, db, p) // and can be created after all, with its events
			if events, err := db.PaymentEvents(ctx, p.ID); err != nil || len(events) != 1 {
				t.Errorf("%d events, %v", len(events), err)
			}
		})
	}
}

func TestTransactionThatRunsAgainWritesItsEventsAgain(t *testing.T) {
	db := testkit.SQLite(t, nil)
	p := newPayment(db, "mer_a", "player")
	runs := 0
	errs := together(t, db,
		func(tx *store.Tx) error { runs++; return tx.CreatePayment(p) },
		func(tx *store.Tx) error { return errors.Join(tx.SetCursor("x", 1), errors.New("boom")) })
	if errs[0] != nil || errs[1] == nil || runs != 2 {
		t.Fatalf("%v after %d runs", errs, runs)
	}
	if events, err := db.PaymentEvents(ctx, p.ID); err != nil || len(events) != 1 {
		t.Fatalf("%d events, %v", len(events), err)
	}
}

// deferred makes a table whose violations show at the commit.
func deferred(t *testing.T, db *store.DB) (violate func(*store.Tx) error) {
	t.Helper()
	err := db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`CREATE TABLE late (id TEXT PRIMARY KEY, meta TEXT REFERENCES meta (name) DEFERRABLE INITIALLY DEFERRED)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO late (id, meta) VALUES ('1', 'nothing')`)
		return err
	}
}

func TestFailedCommitIsToldToEverybody(t *testing.T) {
	db := testkit.SQLite(t, nil)
	violate := deferred(t, db)
	refused := psd2.Fail(psd2.CodeConflict, "already", "somebody was first")
	errs := together(t, db, setCursor("one", 1), violate,
		func(tx *store.Tx) error { // its answer follows from what will not be
			if one, err := tx.Cursor("one"); err != nil || one != 1 {
				return err
			}
			return refused
		},
		setCursor("two", 2))
	for i, err := range errs {
		if err == nil || errors.Is(err, refused) || !strings.Contains(err.Error(), "commit") {
			t.Errorf("transaction %d: %v", i, err)
		}
	}
	if one, two := cursor(t, db, "one"), cursor(t, db, "two"); one != 0 || two != 0 {
		t.Errorf("cursors %d, %d", one, two)
	}
	if errs := together(t, db, setCursor("one", 1), setCursor("two", 2)); errors.Join(errs...) != nil {
		t.Errorf("afterwards: %v", errs)
	}
}

func TestFailedCommitIsAnError(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		violate := deferred(t, db)
		err := db.Tx(ctx, func(tx *store.Tx) error { return errors.Join(tx.SetCursor("one", 1), violate(tx)) })
		if err == nil || cursor(t, db, "one") != 0 {
			t.Fatalf("commit: %v, cursor %d", err, cursor(t, db, "one"))
		}
	})
}

// SQLite rolls the whole transaction back by itself when the disk is full or
// broken; OR ROLLBACK makes it do the same.
func TestWriterOutlivesARollbackOfTheDatabase(t *testing.T) {
	db := testkit.SQLite(t, nil)
	lost := func(tx *store.Tx) error {
		_, _ = tx.Exec(`INSERT OR ROLLBACK INTO meta (name, value) VALUES ('key_check', '')`)
		return tx.SetCursor("after", 1) // must not be committed on its own
	}
	errs := together(t, db, setCursor("one", 1), lost, setCursor("two", 2))
	if errs[0] == nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("told %v", errs)
	}
	if one, two, after := cursor(t, db, "one"), cursor(t, db, "two"), cursor(t, db, "after"); one != 0 || two != 2 || after != 0 {
		t.Errorf("cursors %d, %d, %d", one, two, after)
	}
	if err := db.Tx(ctx, lost); err == nil || cursor(t, db, "after") != 0 {
		t.Errorf("alone: %v", err)
	}
}

func TestFullDiskIsAnErrorAndPasses(t *testing.T) {
	db := testkit.SQLite(t, nil)
	pragma := func(s string) {
		t.Helper()
		if err := db.Tx(ctx, func(tx *store.Tx) error { var n int64; return tx.Get(&n, "PRAGMA "+s) }); err != nil {
			t.Fatal(err)
		}
	}
	p := created(t, db, "mer_a", "player")
	pragma("max_page_count = 1") // SQLite takes the present size
	var err error
	for i := 0; err == nil && i < 10_000; i++ {
		err = tryCreate(db, newPayment(db, "mer_a", fmt.Sprint(i)))
	}
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("a full disk: %v", err)
	}
	if _, err := db.Payment(ctx, p.ID); err != nil {
		t.Fatal(err)
	}
	pragma("max_page_count = 1000000")
	created(t, db, "mer_a", "another")
}

func TestCanceledBeforeItStartsNeverRuns(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		ran := false
		err := db.Tx(gone, func(tx *store.Tx) error { ran = true; return tx.SetCursor("one", 1) })
		if !errors.Is(err, context.Canceled) || ran || cursor(t, db, "one") != 0 {
			t.Fatalf("err %v, ran %v", err, ran)
		}
	})
	t.Run("while it waits", func(t *testing.T) {
		db := testkit.SQLite(t, nil)
		calls, release := hold(t, db)
		gone, cancel := context.WithCancel(ctx)
		c := start(db, gone, setCursor("one", 1))
		waitQueued(t, db, 1)
		cancel()
		release()
		<-c.done
		<-calls[0].done
		if !errors.Is(c.err, context.Canceled) || cursor(t, db, "one") != 0 {
			t.Fatalf("err %v", c.err)
		}
	})
}

func TestCanceledAfterItStartedTellsTheTruth(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		gone, cancel := context.WithCancel(ctx)
		err := db.Tx(gone, func(tx *store.Tx) error {
			err := tx.SetCursor("one", 1)
			cancel()
			return err
		})
		if got := cursor(t, db, "one"); (err == nil) != (got == 1) {
			t.Fatalf("told %v, cursor %d", err, got)
		}
		if err != nil {
			t.Fatalf("the commit was not waited for: %v", err)
		}
	})
}

func TestNobodyIsToldBeforeTheCommit(t *testing.T) {
	db := testkit.SQLite(t, nil)
	calls, release := hold(t, db)
	inside, wait := make(chan struct{}), make(chan struct{})
	fns := []func(*store.Tx) error{
		setCursor("one", 1),
		func(*store.Tx) error { return errors.New("refused") },
		func(*store.Tx) error { inside <- struct{}{}; <-wait; return nil },
	}
	for _, fn := range fns {
		calls = append(calls, start(db, ctx, fn))
		waitQueued(t, db, len(calls)-1)
	}
	release()
	<-inside
	for range 1000 { // let those run who were told
		runtime.Gosched()
	}
	for i, c := range calls {
		select {
		case <-c.done:
			t.Errorf("transaction %d was told %v", i, c.err)
		default:
		}
	}
	var n int
	if err := db.Get(ctx, &n, `SELECT COUNT(*) FROM cursors`); err != nil || n != 0 {
		t.Errorf("%d rows can be seen, %v", n, err)
	}
	close(wait)
	for _, c := range calls {
		<-c.done
	}
	if calls[1].err != nil || calls[2].err == nil || cursor(t, db, "one") != 1 {
		t.Errorf("told %v, %v", calls[1].err, calls[2].err)
	}
}

func TestCloseFinishesWhatIsUnderWay(t *testing.T) {
	for range 6 { // what the writer meets first, the next transaction or the end, is chance
		w := newWorld(t, "sqlite", nil)
		db := w.open(t)
		_, release := hold(t, db)
		var calls, racing []*call
		for i := range 128 { // the whole queue: one more than fits beside the first
			calls = append(calls, start(db, ctx, setCursor(fmt.Sprint(i), 1)))
			waitQueued(t, db, i+1)
		}
		closed := make(chan error)
		go func() { closed <- db.Close() }()
		for range 100 { // done or refused, never stuck
			racing = append(racing, start(db, ctx, setCursor("late", 1)))
		}
		release()
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
		for i, c := range calls {
			if <-c.done; c.err != nil {
				t.Errorf("transaction %d: %v", i, c.err)
			}
		}
		for _, c := range racing {
			<-c.done
		}
		if err := db.Tx(ctx, setCursor("late", 1)); err == nil {
			t.Error("a closed database took a transaction")
		}
		if err := db.Close(); err != nil {
			t.Errorf("closed again: %v", err)
		}
		var kept int
		if err := w.open(t).Get(ctx, &kept, `SELECT COUNT(*) FROM cursors WHERE name <> 'late'`); err != nil || kept != len(calls) {
			t.Fatalf("%d of %d transactions are there, %v", kept, len(calls), err)
		}
	}
}

func TestTransactionIsOverWhenItsFunctionReturns(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		var kept *store.Tx
		if err := db.Tx(ctx, func(tx *store.Tx) error { kept = tx; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := kept.SetCursor("one", 1); err == nil || cursor(t, db, "one") != 0 {
			t.Fatalf("err %v", err)
		}
	})
}

func TestStatementAfterAFailedOneIsRefused(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		err := db.Tx(ctx, func(tx *store.Tx) error {
			_, _ = tx.Exec(`INSERT INTO meta (name) VALUES ('half')`)
			return tx.SetCursor("one", 1)
		})
		if err == nil || cursor(t, db, "one") != 0 {
			t.Fatalf("err %v", err)
		}
	})
}
