package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// takings is what a walk has taken in, in a database that several may walk.
type takings struct {
	t     *testing.T
	db    *store.DB
	clock *testkit.Clock
	taken []string
}

func walks(t *testing.T, test func(t *testing.T, k *takings)) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) { test(t, &takings{t: t, db: db, clock: clock}) })
}

// walk is one more process's walk.
func (k *takings) walk(holder string) *store.Walk[*psd2.Payment] {
	return &store.Walk[*psd2.Payment]{
		DB: k.db, Name: "test", Holder: holder,
		Read: func(ctx context.Context, m store.Mark) (*psd2.Payment, error) { return k.db.Payment(ctx, m.ObjectID) },
		Take: func(_ *store.Tx, p *psd2.Payment) error { k.taken = append(k.taken, p.ID); return nil },
	}
}

func (k *takings) pay(n int) (ids []string) {
	k.t.Helper()
	for i := range n {
		ids = append(ids, created(k.t, k.db, "mer_a", fmt.Sprint("player", i)).ID)
	}
	sequence(k.t, k.db, k.db.Sequencer("one"))
	return ids
}

// rest steps until there is nothing to do.
func (k *takings) rest(w *store.Walk[*psd2.Payment]) {
	k.t.Helper()
	for {
		next, err := w.Step(ctx, k.clock.Now())
		if err != nil {
			k.t.Fatal(err)
		}
		if next.After(k.clock.Now()) {
			return
		}
	}
}

func (k *takings) want(ids ...string) {
	k.t.Helper()
	if !slices.Equal(k.taken, ids) {
		k.t.Fatalf("taken in\n%v\nwant\n%v", k.taken, ids)
	}
}

func (k *takings) asides() []store.Aside {
	k.t.Helper()
	list, err := k.db.Asides(ctx, 100)
	if err != nil {
		k.t.Fatal(err)
	}
	return list
}

func TestWalkTakesEachEventInOnceAndInOrder(t *testing.T) {
	walks(t, func(t *testing.T, k *takings) {
		one, two := k.walk("one"), k.walk("two")
		one.Batch, two.Batch = 4, 4
		ids := k.pay(10)
		k.rest(one)
		k.rest(two)
		k.want(ids...)
		ids = append(ids, k.pay(3)...)
		k.clock.Add(time.Minute) // one's lease is over
		k.rest(two)
		k.rest(one)
		k.want(ids...)
	})
}

func TestWalkWithNothingNewWritesNothing(t *testing.T) {
	walks(t, func(t *testing.T, k *takings) {
		w := k.walk("one")
		k.pay(1)
		k.rest(w)
		_, before := k.db.Stats()
		for range 5 {
			k.clock.Add(2 * time.Minute)
			k.rest(w)
		}
		if _, after := k.db.Stats(); after != before {
			t.Errorf("%d commits while idle", after-before)
		}
	})
}

// TestWalkThatWasReplacedTakesNothingInAndMovesNothing: its lease ends while it
// reads, and another process does the work; also when it then holds the lease
// again.
func TestWalkThatWasReplacedTakesNothingInAndMovesNothing(t *testing.T) {
	for name, owner := range map[string]string{"another leads": "two", "it leads again": "slow"} {
		t.Run(name, func(t *testing.T) {
			walks(t, func(t *testing.T, k *takings) {
				slow, other := k.walk("slow"), k.walk(owner)
				ids := k.pay(2)
				read := slow.Read
				slow.Read = func(ctx context.Context, m store.Mark) (*psd2.Payment, error) {
					if m.ObjectID == ids[0] {
						k.clock.Add(time.Minute)
						ids = append(ids, k.pay(1)...)
						k.rest(other)
					}
					return read(ctx, m)
				}
				if _, err := slow.Step(ctx, k.clock.Now()); err != nil {
					t.Fatal(err)
				}
				k.want(ids...)
				k.clock.Add(time.Minute)
				k.rest(k.walk("three"))
				k.want(ids...)
			})
		})
	}
}

func TestWalkThatFailsTakesTheBatchAgain(t *testing.T) {
	walks(t, func(t *testing.T, k *takings) {
		w := k.walk("one")
		ids, take := k.pay(3), w.Take
		w.Take = func(tx *store.Tx, p *psd2.Payment) error {
			if p.ID == ids[1] {
				return errors.New("no")
			}
			return nil
		}
		if next, err := w.Step(ctx, k.clock.Now()); err == nil || !strings.Contains(err.Error(), ids[1]) || !next.After(k.clock.Now()) {
			t.Fatalf("%v, again at %s", err, next)
		}
		w.Take = take
		k.rest(w)
		k.want(ids...)
		if len(k.asides()) != 0 {
			t.Error("what merely failed was set aside")
		}
	})
}

// TestDamagedRowStopsNobodysWalk: found when it is read, or only when it is
// taken in. It is tried again every minute, and taken in once it opens.
func TestDamagedRowStopsNobodysWalk(t *testing.T) {
	damage := map[string]func(k *takings, w *store.Walk[*psd2.Payment], id string) (mend func()){
		"sealed": func(k *takings, _ *store.Walk[*psd2.Payment], id string) func() {
			var good []byte
			if err := k.db.Get(ctx, &good, `SELECT sealed FROM payments WHERE id = ?`, id); err != nil {
				k.t.Fatal(err)
			}
			bad := slices.Clone(good)
			bad[len(bad)-1] ^= 1
			mustExec(k.t, k.db, `UPDATE payments SET sealed = ? WHERE id = ?`, bad, id)
			return func() { mustExec(k.t, k.db, `UPDATE payments SET sealed = ? WHERE id = ?`, good, id) }
		},
		"document": func(k *takings, _ *store.Walk[*psd2.Payment], id string) func() {
			mustExec(k.t, k.db, `UPDATE payments SET doc = '!' || doc WHERE id = ?`, id)
			return func() { mustExec(k.t, k.db, `UPDATE payments SET doc = SUBSTR(doc, 2) WHERE id = ?`, id) }
		},
		"key": func(k *takings, _ *store.Walk[*psd2.Payment], id string) func() {
			var good []byte
			const person = `(SELECT person_id FROM payments WHERE id = ?)`
			if err := k.db.Get(ctx, &good, `SELECT wrapped FROM person_keys WHERE person_id = `+person, id); err != nil {
				k.t.Fatal(err)
			}
			mustExec(k.t, k.db, `UPDATE person_keys SET wrapped = ? WHERE person_id = `+person, []byte("gone"), id)
			return func() { mustExec(k.t, k.db, `UPDATE person_keys SET wrapped = ? WHERE person_id = `+person, good, id) }
		},
		"taken": func(_ *takings, w *store.Walk[*psd2.Payment], id string) func() {
			take := w.Take
			w.Take = func(tx *store.Tx, p *psd2.Payment) error {
				if p.ID == id {
					return fmt.Errorf("count: %w", store.ErrDamaged)
				}
				return nil
			}
			return func() { w.Take = take }
		},
	}
	for name, breaks := range damage {
		t.Run(name, func(t *testing.T) {
			walks(t, func(t *testing.T, k *takings) {
				w, ids := k.walk("one"), k.pay(4)
				mend := breaks(k, w, ids[1])
				k.rest(w)
				if name != "taken" {
					k.want(ids[0], ids[2], ids[3])
				}
				since := k.clock.Now()
				if a := k.asides(); len(a) != 1 || a[0].ObjectID != ids[1] || a[0].Walk != "test" || a[0].Tries != 1 || k.db.Damaged() != 1 {
					t.Fatalf("set aside %+v, %d counted", a, k.db.Damaged())
				}
				for tries := range int64(3) {
					k.clock.Add(time.Minute)
					k.rest(w)
					if a := k.asides(); len(a) != 1 || a[0].Tries != 2+tries || !a[0].Since.Equal(since) || !a[0].LastAt.Equal(k.clock.Now()) {
						t.Fatalf("set aside %+v after %d tries more", a, tries+1)
					}
				}
				mend()
				k.taken = nil
				k.clock.Add(time.Minute)
				k.rest(w)
				k.want(ids[1])
				if a := k.asides(); len(a) != 0 || k.db.Damaged() != 1 {
					t.Errorf("still aside: %+v, %d counted", a, k.db.Damaged())
				}
			})
		})
	}
}

// TestWalkPassesOverWhatIsNoMore: an erased person's payment is read without
// him, and a payment that was deleted concerns nobody.
func TestWalkPassesOverWhatIsNoMore(t *testing.T) {
	walks(t, func(t *testing.T, k *takings) {
		w, ids := k.walk("one"), k.pay(3)
		mustExec(t, k.db, `DELETE FROM person_keys WHERE person_id = (SELECT person_id FROM payments WHERE id = ?)`, ids[0])
		mustExec(t, k.db, `DELETE FROM payments WHERE id = ?`, ids[1])
		k.rest(w)
		k.want(ids[0], ids[2])
		if a := k.asides(); len(a) != 0 {
			t.Errorf("set aside: %+v", a)
		}
	})
}

// TestWhatIsNoMoreDoesNotStayAside: set aside as damaged, then deleted, it would
// keep its place among the few that are tried again.
func TestWhatIsNoMoreDoesNotStayAside(t *testing.T) {
	walks(t, func(t *testing.T, k *takings) {
		w, ids := k.walk("one"), k.pay(2)
		mustExec(t, k.db, `UPDATE payments SET doc = '!' || doc WHERE id = ?`, ids[0])
		k.rest(w)
		if a := k.asides(); len(a) != 1 {
			t.Fatalf("set aside: %+v", a)
		}
		mustExec(t, k.db, `DELETE FROM payments WHERE id = ?`, ids[0])
		k.clock.Add(time.Minute)
		k.rest(w)
		if a := k.asides(); len(a) != 0 {
			t.Errorf("still aside: %+v", a)
		}
		k.want(ids[1])
	})
}
