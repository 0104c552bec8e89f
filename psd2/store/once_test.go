package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// C46: 50 callers in two processes consume one thing; one of them gets it.
func TestConsumeSucceedsOnce(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		dbs := []*store.DB{w.open(t), w.open(t)}
		until := dbs[0].Now().Add(time.Minute)
		var got atomic.Int64
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				var mine bool
				err := dbs[i%2].Tx(ctx, func(tx *store.Tx) (err error) {
					mine, err = tx.Consume("jti", "one", until)
					return err
				})
				if err != nil {
					t.Error(err)
				}
				if mine {
					got.Add(1)
				}
			})
		}
		wg.Wait()
		if got.Load() != 1 {
			t.Fatalf("%d callers got it", got.Load())
		}
		for _, other := range [][2]string{{"jti", "two"}, {"otp", "one"}} {
			if !consume(t, dbs[0], other[0], other[1], until) {
				t.Errorf("%v was never used", other)
			}
		}
		boom := errors.New("boom")
		err := dbs[0].Tx(ctx, func(tx *store.Tx) error {
			_, err := tx.Consume("jti", "three", until)
			return errors.Join(err, boom)
		})
		if !errors.Is(err, boom) || !consume(t, dbs[1], "jti", "three", until) {
			t.Errorf("a rolled back use counts: %v", err)
		}
	})
}

func consume(t *testing.T, db *store.DB, kind, key string, until time.Time) (mine bool) {
	t.Helper()
	err := db.Tx(ctx, func(tx *store.Tx) (err error) {
		mine, err = tx.Consume(kind, key, until)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return mine
}

// reserve takes a key in a transaction of its own and, if it is new, finishes
// it with body unless body is nil.
func reserve(t *testing.T, db *store.DB, merchant, key, hash string, body []byte) (a *store.Answer) {
	t.Helper()
	err := db.Tx(ctx, func(tx *store.Tx) (err error) {
		if a, err = tx.ReserveKey(merchant, key, hash); err != nil || a != nil || body == nil {
			return err
		}
		return tx.FinishKey(merchant, key, hash, 201, body)
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestIdempotencyKeyAnswersTheSame(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		clock := testkit.NewClock()
		w.now = clock.Now
		db, other := w.open(t), w.open(t)
		body := []byte("{\"id\": \"pay_1\"} \x00\xff\n")
		if a := reserve(t, db, "mer_a", "key", "hash", body); a != nil {
			t.Fatalf("a new key: %+v", a)
		}
		for range 2 { // byte by byte, as often as asked, in each process
			a := reserve(t, other, "mer_a", "key", "hash", nil)
			if a == nil || a.Status != 201 || !bytes.Equal(a.Body, body) || a.InFlight || a.RequestHash != "hash" {
				t.Fatalf("the repetition: %+v", a)
			}
		}
		if a := reserve(t, db, "mer_a", "key", "another body", nil); a == nil || a.RequestHash != "hash" {
			t.Fatalf("another body: %+v", a)
		}
		if a := reserve(t, db, "mer_b", "key", "hash", nil); a != nil {
			t.Fatalf("another merchant's key: %+v", a)
		}
		clock.Add(29*24*time.Hour + 23*time.Hour)
		sweep(t, db, clock.Now())
		if a := reserve(t, db, "mer_a", "key", "hash", nil); a == nil || !bytes.Equal(a.Body, body) {
			t.Fatalf("within 30 days: %+v", a)
		}
		clock.Add(2 * time.Hour)
		sweep(t, db, clock.Now())
		if a := reserve(t, db, "mer_a", "key", "hash", nil); a != nil {
			t.Fatalf("after 30 days: %+v", a)
		}
	})
}

func TestIdempotencyKeyInFlight(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		clock := testkit.NewClock()
		w.now = clock.Now
		db := w.open(t)
		boom := errors.New("boom")
		err := db.Tx(ctx, func(tx *store.Tx) error {
			a, err := tx.ReserveKey("mer_a", "key", "hash")
			if a != nil || err != nil {
				t.Errorf("a new key: %+v, %v", a, err)
			}
			if a, err = tx.ReserveKey("mer_a", "key", "hash"); err != nil || a == nil || !a.InFlight {
				t.Errorf("the same key in the same transaction: %+v, %v", a, err)
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		if a := reserve(t, db, "mer_a", "key", "hash", nil); a != nil {
			t.Fatalf("a rolled back key is free, not %+v", a)
		}
		clock.Add(2 * time.Minute)
		if a := reserve(t, db, "mer_a", "key", "hash", nil); a == nil || !a.InFlight || a.RequestHash != "hash" {
			t.Fatalf("in flight: %+v", a)
		}
		clock.Add(time.Second)
		if a := reserve(t, db, "mer_a", "key", "another body", nil); a == nil || !a.InFlight {
			t.Fatalf("another body takes nothing over: %+v", a)
		}
		if a := reserve(t, db, "mer_a", "key", "hash", nil); a != nil {
			t.Fatalf("its process is dead, so it is taken over, not %+v", a)
		}
		if a := reserve(t, db, "mer_a", "key", "hash", nil); a == nil || !a.InFlight {
			t.Fatalf("taken over once: %+v", a)
		}
	})
}

// A process that slept for longer than its key was kept for it changes nothing:
// neither what the one that took it over has answered, nor another request's
// key, nor a key that is free again.
func TestProcessThatSleptDoesNotOverwriteAnAnswer(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		clock := testkit.NewClock()
		w.now = clock.Now
		db := w.open(t)
		wakes := func(key string) {
			t.Helper()
			err := db.Tx(ctx, func(tx *store.Tx) error { return tx.FinishKey("mer_a", key, "hash", 500, []byte("slept")) })
			if psd2.CodeOf(err) != psd2.CodeConflict {
				t.Errorf("%s: %v", key, err)
			}
		}
		for _, key := range []string{"answered", "another's", "free"} {
			if a := reserve(t, db, "mer_a", key, "hash", nil); a != nil {
				t.Fatalf("%+v", a)
			}
		}
		clock.Add(3 * time.Minute)
		if a := reserve(t, db, "mer_a", "answered", "hash", []byte("first")); a != nil {
			t.Fatalf("not taken over: %+v", a)
		}
		if n, err := db.ReleaseOrphans(ctx, time.Unix(0, 0), clock.Now()); err != nil || n != 2 {
			t.Fatalf("%d released, %v", n, err)
		}
		reserve(t, db, "mer_a", "another's", "another body", nil)
		for _, key := range []string{"answered", "another's", "free"} {
			wakes(key)
		}
		if a := reserve(t, db, "mer_a", "answered", "hash", nil); a == nil || a.Status != 201 || string(a.Body) != "first" {
			t.Errorf("the answer is now %+v", a)
		}
		if a := reserve(t, db, "mer_a", "another's", "another body", nil); a == nil || !a.InFlight {
			t.Errorf("the other request's key is now %+v", a)
		}
		if a := reserve(t, db, "mer_a", "free", "another body", nil); a != nil {
			t.Errorf("the free key is now %+v", a)
		}
	})
}

func TestOneOfManyReservesTheKey(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		dbs := []*store.DB{w.open(t), w.open(t)}
		var first atomic.Int64
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if a := reserve(t, dbs[i%2], "mer_a", "key", "hash", []byte("done")); a == nil {
					first.Add(1)
				} else if string(a.Body) != "done" {
					t.Errorf("answer %+v", a)
				}
			})
		}
		wg.Wait()
		if first.Load() != 1 {
			t.Fatalf("%d callers were first", first.Load())
		}
	})
}

func sweep(t *testing.T, db *store.DB, now time.Time) (steps int) {
	t.Helper()
	for steps = 1; ; steps++ {
		next, err := db.Sweep(ctx, now)
		if err != nil {
			t.Fatal(err)
		}
		if next.After(now) {
			return steps
		}
	}
}

func TestSweepIsBoundedAndGoesOn(t *testing.T) {
	testkit.Databases(t, nil, func(t *testing.T, db *store.DB) {
		now := db.Now()
		err := db.Tx(ctx, func(tx *store.Tx) error {
			for i := range 2500 {
				if _, err := tx.Consume("jti", fmt.Sprint(i), now); err != nil {
					return err
				}
			}
			_, err := tx.Consume("jti", "young", now.Add(time.Minute))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if steps := sweep(t, db, now.Add(time.Second)); steps != 3 {
			t.Errorf("%d steps", steps)
		}
		if consume(t, db, "jti", "young", now.Add(time.Minute)) {
			t.Error("what is still valid was swept")
		}
		if !consume(t, db, "jti", "17", now) {
			t.Error("what is too old was not swept")
		}
	})
}

func TestLeaseHasOneOwnerAndItsFenceGrows(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		clock := testkit.NewClock()
		w.now = clock.Now
		db := w.open(t)
		lease := func(holder string) (fence int64, held bool) {
			t.Helper()
			err := db.Tx(ctx, func(tx *store.Tx) (err error) {
				fence, held, err = tx.Lease("job", holder, time.Minute)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return fence, held
		}
		work := func(fence int64) error {
			return db.Tx(ctx, func(tx *store.Tx) error {
				return errors.Join(tx.SetCursor("work", fence), tx.CheckFence("job", fence))
			})
		}
		expect := func(holder string, fence int64, held bool) {
			t.Helper()
			if f, h := lease(holder); f != fence || h != held {
				t.Fatalf("%s: fence %d, held %v", holder, f, h)
			}
		}
		expect("a", 1, true)
		expect("b", 0, false)
		clock.Add(59 * time.Second)
		expect("b", 0, false)
		expect("a", 1, true) // renewed
		clock.Add(59 * time.Second)
		expect("b", 0, false)
		if err := work(1); err != nil {
			t.Fatal(err)
		}
		clock.Add(time.Second)
		expect("b", 2, true)
		if err := work(1); psd2.CodeOf(err) != psd2.CodeConflict || cursor(t, db, "work") != 1 {
			t.Fatalf("the former owner works on: %v", err)
		}
		expect("a", 0, false)
		release := func(fence int64) {
			t.Helper()
			if err := db.Tx(ctx, func(tx *store.Tx) error { return tx.Release("job", fence) }); err != nil {
				t.Fatal(err)
			}
		}
		release(1) // not his to give
		expect("a", 0, false)
		release(2)
		expect("a", 3, true)
	})
}

func TestLeaseIsTakenByOneOfMany(t *testing.T) {
	both(t, nil, func(t *testing.T, w *world) {
		dbs := []*store.DB{w.open(t), w.open(t)}
		var owners atomic.Int64
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				err := dbs[i%2].Tx(ctx, func(tx *store.Tx) error {
					_, held, err := tx.Lease("job", fmt.Sprint(i), time.Hour)
					if held {
						owners.Add(1)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if owners.Load() != 1 {
			t.Fatalf("%d owners", owners.Load())
		}
	})
}
