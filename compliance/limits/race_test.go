package limits_test

import (
	"crypto/rand"
	"errors"
	"sync"
	"testing"

	"github.com/rialto-hub/rialto/compliance/limits"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// send is what commits an order: the reservation is held, the attempt begins.
func (w *world) send(k *limits.Keeper, p *psd2.Payment, before func()) error {
	return w.db.Tx(ctx, func(tx *store.Tx) error {
		if err := k.Hold(tx, p.ID, p.Amount.AmountMinor); err != nil {
			return err
		}
		if before != nil {
			before()
		}
		_, err := tx.UpdatePayment(p.ID, func(p *psd2.Payment) error {
			id := psd2.NewID(psd2.PrefixAttempt, tx.Now, rand.Reader)
			return p.BeginAttempt(psd2.Attempt{ID: id, BankID: "b", EndToEndID: psd2.NewEndToEndID(id)}, psd2.PSU{}, tx.Now)
		})
		return err
	})
}

// TestNoOrderLeavesWithoutItsReservation: one tab's order goes out while
// another's refusal withdraws the room. Whichever is first, what went out is
// reserved. // C43
func TestNoOrderLeavesWithoutItsReservation(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		own := limits.New(w.db, nil)
		for i, k := range []*limits.Keeper{own, w.Keeper, own, w.Keeper, own, w.Keeper} {
			p := w.deposit()
			before, err := k.Left(ctx, "anna")
			must(t, err)
			a, err := k.Reserve(ctx, limits.Request{PaymentID: p.ID, PersonKey: "anna", AmountMinor: p.Amount.AmountMinor})
			if err != nil || !a.Granted {
				t.Fatalf("%+v %v", a, err)
			}
			var tabs sync.WaitGroup
			withdraw := func() {
				tabs.Go(func() {
					if _, err := k.Withdraw(ctx, p.ID); err != nil {
						t.Error(err)
					}
				})
			}
			var sent error
			if i%3 == 0 { // the order holds the reservation when the other tab comes
				sent = w.send(k, p, withdraw)
			} else {
				withdraw()
				sent = w.send(k, p, nil)
			}
			tabs.Wait()
			left, err := k.Left(ctx, "anna")
			must(t, err)
			switch {
			case sent == nil && left != before-p.Amount.AmountMinor:
				t.Errorf("round %d: the order is out, and %d of %d are left: it is not reserved", i, left, before)
			case sent != nil && (psd2.CodeOf(sent) != psd2.CodeConflict || left != before):
				t.Errorf("round %d: not sent: %v; %d of %d are left", i, sent, left, before)
			case i%3 == 0 && sent != nil:
				t.Errorf("round %d: who held the reservation was not sent: %v", i, sent)
			}
		}
	})
}

// What was withdrawn, or is smaller than the order, does not let it go.
func TestHoldWantsTheWholeReservation(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		own := limits.New(w.db, nil)
		p := w.deposit()
		hold := func(minor int64) error {
			return w.db.Tx(ctx, func(tx *store.Tx) error { return own.Hold(tx, p.ID, minor) })
		}
		if err := hold(1); psd2.CodeOf(err) != psd2.CodeConflict {
			t.Errorf("never reserved: %v", err)
		}
		_, err := own.Reserve(ctx, limits.Request{PaymentID: p.ID, PersonKey: "anna", AmountMinor: 8000})
		must(t, err)
		if err := errors.Join(hold(8000), hold(7000)); err != nil {
			t.Errorf("reserved: %v", err)
		}
		if err := hold(8001); psd2.CodeOf(err) != psd2.CodeConflict {
			t.Errorf("more than is reserved: %v", err)
		}
		if _, err := own.Reserve(ctx, limits.Request{PaymentID: p.ID, PersonKey: "anna", AmountMinor: 8001}); psd2.CodeOf(err) != psd2.CodeConflict {
			t.Errorf("more than was granted: %v", err)
		}
		_, err = own.Withdraw(ctx, p.ID)
		must(t, err)
		if err := hold(8000); psd2.CodeOf(err) != psd2.CodeConflict {
			t.Errorf("withdrawn: %v", err)
		}
	})
}

// What is paid less than was reserved is free again: here as soon as less is
// asked for or paid, at the service with the confirmation.
func TestLessPaidFreesTheRest(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		p := w.deposit() // of 10000
		for _, c := range []struct{ ask, left int64 }{{60000, 40000}, {25000, 75000}, {25000, 75000}} {
			if a, err := w.reserve(p.ID, c.ask); err != nil || !a.Granted {
				t.Fatalf("%+v %v", a, err)
			}
			if left, err := w.Left(ctx, "anna"); err != nil || left != c.left {
				t.Errorf("asked for %d: %d left, %v; want %d", c.ask, left, err, c.left)
			}
		}
		for range 2 { // it may come twice
			w.end(w.Confirm, p.ID)
			w.step()
			w.wantLeft(limits.DefaultLimit - 10000)
		}
		if state := w.service.State(p.ID); state != "confirmed" {
			t.Errorf("the service has it %s", state)
		}
	})
}
