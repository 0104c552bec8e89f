package hub_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/testkit/account"
)

// C42: the clock jumps while nobody knows whether the bank has an order, far
// ahead and far back. That sends nothing again and ends nothing: the money may
// have left, and only the bank says so.
func TestC42JumpOfTheClockNeitherResendsNorEndsMoneyThatLeft(t *testing.T) {
	const year = 365 * 24 * time.Hour
	bothTills(t, func(t *testing.T, w *till) {
		p := w.deposit("p1", 2500, anna)
		w.account.Next(account.LostAfter, "")
		r := w.refund(p, 1000)
		w.step()
		w.account.Next(account.None, "")
		w.account.Deaf(true)
		for _, jump := range []time.Duration{-2 * year, 4 * year} {
			w.clock.Add(jump)
			for range 3 {
				w.step()
				w.clock.Add(time.Minute)
			}
			w.want(r, psd2.TransferUnknown, "", false)
			if _, err := w.tryRefund(p, 2000); reasonOf(err) != "refund_exceeds_payment" {
				t.Errorf("after a jump of %v its part is free: %v", jump, err)
			}
		}
		w.account.Deaf(false)
		w.read() // nobody asks any more after such a time; the statement says it
		w.want(r, psd2.TransferExecuted, "", false)
		if paid, calls := w.account.Paid(r.EndToEndID), w.account.Calls("pay"); paid != 1 || calls != 1 {
			t.Errorf("paid %d times with %d calls", paid, calls)
		}
	})
}

// C42: the same for an order of which nobody has heard yet: it goes out once,
// whatever the clock says.
func TestC42JumpOfTheClockSendsAnOrderOnce(t *testing.T) {
	const year = 365 * 24 * time.Hour
	w := oneTill(t)
	p := w.deposit("p1", 2500, anna)
	r := w.refund(p, 1000)
	for _, jump := range []time.Duration{-year, 2 * year, -year, 0} {
		w.clock.Add(jump)
		for range 3 {
			w.step()
			w.clock.Add(time.Minute)
		}
	}
	w.run(time.Hour)
	w.want(r, psd2.TransferExecuted, "", false)
	if paid, calls := w.account.Paid(r.EndToEndID), w.account.Calls("pay"); paid != 1 || calls != 1 {
		t.Errorf("paid %d times with %d calls", paid, calls)
	}
}

// C42: a payer's order of which the bank has not said what became of it does not
// end by the clock either, and he cannot pay a second time elsewhere.
func TestC42JumpOfTheClockDoesNotEndADepositThatMayBePaid(t *testing.T) {
	const year = 365 * 24 * time.Hour
	w := one(t)
	b := &appBank{approaches: []banks.Approach{banks.Decoupled}, lose: true}
	w.app(b)
	p := w.start()
	if _, link, err := w.hub.Authorise(ctx, p.ID, "app", rand.Text(), browser, hub.Browser{}); err != nil || link != "" {
		t.Fatalf("%q %v", link, err)
	}
	for _, jump := range []time.Duration{-2 * year, 4 * year} {
		w.clock.Add(jump)
		w.run(time.Minute)
		w.wantState(p, psd2.StateOutcomeUnknown, "")
		_, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{})
		wantReason(t, err, "payment_not_open")
	}
	b.status = "ACCC"
	w.run(24 * time.Hour)
	w.wantState(p, psd2.StateSettled, "")
	if len(b.sent) != 1 {
		t.Errorf("%d orders", len(b.sent))
	}
}
