package hub_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// TestWorkThatItsOwnerNeglectsIsDone: whoever sweeps looks at a deposit that
// nobody looks at, and sends a refund that nobody sends; once, although its
// owner wakes up after all.
func TestWorkThatItsOwnerNeglectsIsDone(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.start()
		w.clock.Add(p.ExpiresAt.Sub(w.clock.Now()) + 6*time.Minute)
		if _, err := w.hub.SweepStep(ctx, w.clock.Now()); err != nil {
			t.Fatal(err)
		}
		w.wantState(p, psd2.StateFailed, psd2.ReasonExpired)
	})
	bothTills(t, func(t *testing.T, w *till) {
		x := w.refund(w.deposit("p1", 5000, anna), 2000)
		sweep := func() {
			if _, err := w.hub.SweepStep(ctx, w.clock.Now()); err != nil {
				t.Fatal(err)
			}
		}
		sweep()
		if n := w.account.Calls("pay"); n != 0 {
			t.Fatal("who sweeps does not leave it to its owner")
		}
		w.clock.Add(6 * time.Minute)
		sweep()
		if n := w.account.Paid(x.EndToEndID); n != 1 {
			t.Fatalf("who sweeps has paid %d times", n)
		}
		sweep()
		w.step()
		if n := w.account.Paid(x.EndToEndID); n != 1 {
			t.Errorf("paid %d times", n)
		}
		w.want(x, psd2.TransferExecuted, "", false)
	})
}

// TestOrderThatCannotBeLookedAtIsHandedOver: a deposit whose row cannot be read
// holds nobody up, is listed for the operators after some tries, and not any
// longer once it goes through.
func TestOrderThatCannotBeLookedAtIsHandedOver(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		bad, good := w.start(), w.start()
		var sealed []byte
		if err := w.db.Get(ctx, &sealed, `SELECT sealed FROM payments WHERE id = ?`, bad.ID); err != nil {
			t.Fatal(err)
		}
		spoil := func(b []byte) {
			if err := w.db.Tx(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE payments SET sealed = ? WHERE id = ?`, b, bad.ID)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		spoil(append([]byte{1}, sealed...))
		pass := func(minutes int) {
			for range minutes {
				w.clock.Add(time.Minute)
				_, _ = w.hub.Step(ctx, w.clock.Now()) // it says that it failed
				if _, err := w.hub.SweepStep(ctx, w.clock.Now()); err != nil {
					t.Fatal(err)
				}
			}
		}
		list := func() []string {
			stuck, err := w.hub.Stuck(ctx, 10)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, s := range stuck {
				if ids = append(ids, s.ObjectID); s.Cause == "" || s.Tries < 3 || !s.LastAt.After(s.Since) {
					t.Errorf("%+v", s)
				}
			}
			return ids
		}
		w.clock.Add(good.ExpiresAt.Sub(w.clock.Now()))
		pass(1)
		w.wantState(good, psd2.StateFailed, psd2.ReasonExpired)
		if ids := list(); len(ids) != 0 {
			t.Fatalf("%v are handed over after one failure", ids)
		}
		pass(4)
		if ids := list(); len(ids) != 1 || ids[0] != bad.ID {
			t.Fatalf("handed over: %v", ids)
		}
		if n := gauge(t, w.metrics, "rialto_overdue_work", "handed_over"); n != 1 {
			t.Errorf("%v counted", n)
		}
		spoil(sealed)
		pass(7)
		w.wantState(bad, psd2.StateFailed, psd2.ReasonExpired)
		if ids := list(); len(ids) != 0 {
			t.Errorf("%v are still handed over", ids)
		}
	})
}

// TestOrphanedKeyIsReleased: the process died between the reservation and the
// answer. Afterwards even another request may use the key; one that is being
// worked on, or was answered, stays.
func TestOrphanedKeyIsReleased(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		orphan, answered, fresh := rand.Text(), rand.Text(), rand.Text()
		reserve := func(key, hash string) (free bool) {
			err := w.db.Tx(ctx, func(tx *store.Tx) error {
				answer, err := tx.ReserveKey(merchantID, key, hash)
				free = answer == nil
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return free
		}
		reserve(orphan, "one")
		reserve(answered, "one")
		if err := w.db.Tx(ctx, func(tx *store.Tx) error { return tx.FinishKey(merchantID, answered, "one", 201, []byte("{}")) }); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if _, err := w.hub.SweepStep(ctx, w.clock.Now()); err != nil {
				t.Fatal(err)
			}
			w.clock.Add(80 * time.Second)
		}
		reserve(fresh, "one")
		if _, err := w.hub.SweepStep(ctx, w.clock.Now()); err != nil {
			t.Fatal(err)
		}
		if !reserve(orphan, "two") || reserve(answered, "two") || reserve(fresh, "two") {
			t.Error("the wrong keys were released")
		}
	})
}

// TestWhatAWalkSetAsideIsShownToTheOperators: beside what the hub itself cannot
// look at.
func TestWhatAWalkSetAsideIsShownToTheOperators(t *testing.T) {
	w := one(t)
	p := w.start()
	if err := w.db.Tx(ctx, func(tx *store.Tx) error { return tx.SetAside("sca.follow", store.Mark{ObjectID: p.ID, Position: 1}) }); err != nil {
		t.Fatal(err)
	}
	list, err := w.hub.Stuck(ctx, 10)
	if err != nil || len(list) != 1 || list[0].ObjectID != p.ID || list[0].Cause != "sca.follow: its row is damaged" {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := w.hub.SweepStep(ctx, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if n := gauge(t, w.metrics, "rialto_overdue_work", "set_aside"); n != 1 {
		t.Errorf("%v counted", n)
	}
}
