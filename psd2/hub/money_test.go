package hub_test

import (
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit/account"
)

func TestRefundIsSentOnceAndExecuted(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		p := w.deposit("p1", 2500, anna)
		r := w.refund(p, 1000)
		w.run(time.Minute)
		r = w.want(r, psd2.TransferExecuted, "", false)
		w.wantEvents(r.ID, "created authorized executed")
		if w.account.Paid(r.EndToEndID) != 1 || w.account.Calls("pay") != 1 {
			t.Fatalf("paid %d times with %d calls", w.account.Paid(r.EndToEndID), w.account.Calls("pay"))
		}
		if got := w.load(p.ID).View().Refunded; got == nil || *got != psd2.Euro(1000) {
			t.Fatalf("refunded %v", got)
		}
	})
}

// TestRefundsNeverExceedTheDeposit: C44. Fifty refunds of which thirty fit, at
// once, through two hubs.
func TestRefundsNeverExceedTheDeposit(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		p := w.deposit("p1", 3000, anna)
		other := w.newHub("till-2", w.db)
		var wg sync.WaitGroup
		results := make(chan error, 50)
		for i := range 50 {
			h := []*hub.Hub{w.hub, other}[i%2]
			wg.Go(func() {
				results <- w.db.Tx(ctx, func(tx *store.Tx) error {
					_, err := h.RefundIn(tx, w.merchant, p.ID, hub.RefundRequest{Amount: psd2.Euro(100), Reference: "Refund"})
					return err
				})
			})
		}
		wg.Wait()
		close(results)
		made := 0
		for err := range results {
			if err == nil {
				made++
				continue
			}
			wantReason(t, err, "refund_exceeds_payment")
		}
		if made != 30 {
			t.Fatalf("%d refunds were made, want 30", made)
		}
		w.run(time.Minute)
		if n := w.account.Paid(""); n != 30 {
			t.Fatalf("the bank paid %d times", n)
		}
	})
}

func TestFailedRefundFreesItsPart(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		p := w.deposit("p1", 2500, anna)
		w.account.Next(account.Refused, "AC04")
		r := w.refund(p, 2500)
		if _, err := w.tryRefund(p, 1); reasonOf(err) != "refund_exceeds_payment" {
			t.Fatal(err)
		}
		w.step()
		w.want(r, psd2.TransferFailed, psd2.ReasonAccountBlocked, false)
		if got := w.load(p.ID).RefundedMinor; got != 0 {
			t.Fatalf("refunded %d", got)
		}
		w.account.Next(account.None, "")
		again := w.refund(p, 2500)
		w.step()
		w.want(again, psd2.TransferExecuted, "", false)
	})
}

func TestRefundWaitsForItsSource(t *testing.T) {
	w := oneTill(t)
	p := w.deposit("p1", 2500, psd2.Party{})
	_, err := w.tryRefund(p, 100)
	wantReason(t, err, "source_unknown")
	w.account.Book(banks.Booking{Kind: banks.BookingCredit, In: true, Amount: psd2.Euro(2500), EndToEndID: p.Last().EndToEndID, Counterparty: anna})
	w.read()
	p = w.load(p.ID)
	if p.State != psd2.StateSettled || p.PayerCheck != psd2.PayerMatched || p.CreditableAt == nil {
		t.Fatalf("%s %s %v", p.State, p.PayerCheck, p.CreditableAt)
	}
	r := w.refund(p, 100)
	w.step()
	if r = w.want(r, psd2.TransferExecuted, "", false); r.Personal.Payee.IBAN != anna.IBAN {
		t.Fatal("the refund went elsewhere")
	}
}

func TestRefundNeedsMoneyThatMoved(t *testing.T) {
	w := oneTill(t)
	p := w.started("p1", 2500)
	_, err := w.tryRefund(p, 100)
	wantReason(t, err, "payment_not_refundable")
	if _, err = w.tryRefund(&psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, w.clock.Now(), rand.Reader)}, 100); psd2.CodeOf(err) != psd2.CodeNotFound {
		t.Fatal(err)
	}
	paid := w.deposit("p2", 2500, anna)
	stranger := *w.merchant
	stranger.ID = "mer_00000000000000000000000009"
	err = w.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := w.hub.RefundIn(tx, &stranger, paid.ID, hub.RefundRequest{Amount: psd2.Euro(1), Reference: "x"})
		return err
	})
	wantReason(t, err, "payment_not_found")
}

// TestLostAnswerIsNeverSentAgain: whatever is lost, the order is sent once,
// and where it stands in the end is the bank's truth.
func TestLostAnswerIsNeverSentAgain(t *testing.T) {
	for name, c := range map[string]struct {
		fault  account.Fault
		dedup  time.Duration
		after  func(*till)
		state  psd2.TransferState
		why    psd2.FailureReason
		retry  bool
		events string
		paid   int
	}{
		"executed, answer lost":   {fault: account.LostAfter, state: psd2.TransferExecuted, events: "created outcome_unknown authorized executed", paid: 1},
		"never received":          {fault: account.LostBefore, state: psd2.TransferFailed, why: psd2.ReasonBankUnavailable, retry: true, events: "created outcome_unknown failed"},
		"certainly not sent":      {fault: account.Unreachable, state: psd2.TransferFailed, why: psd2.ReasonBankUnavailable, retry: true, events: "created failed"},
		"nobody answers":          {fault: account.Silent, state: psd2.TransferUnknown, events: "created outcome_unknown"},
		"bank's memory too short": {fault: account.LostBefore, dedup: time.Minute, state: psd2.TransferUnknown, events: "created outcome_unknown"},
		"bank remembers nothing":  {fault: account.LostBefore, dedup: -1, state: psd2.TransferUnknown, events: "created outcome_unknown"},
		"arrives late": {fault: account.Arriving, after: func(w *till) { w.run(90 * time.Second); w.account.Arrive() }, state: psd2.TransferExecuted,
			events: "created outcome_unknown authorized executed", paid: 1},
		"arrives after it was given up": {fault: account.Arriving, after: func(w *till) { w.run(time.Hour); w.account.Arrive() }, state: psd2.TransferExecuted,
			events: "created outcome_unknown failed authorized executed", paid: 1},
		"executed late": {fault: account.Late, after: func(w *till) { w.run(20 * time.Second); w.account.Finish() }, state: psd2.TransferExecuted,
			events: "created authorized outcome_unknown executed", paid: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := oneTill(t)
			if c.dedup != 0 {
				w.account.Dedup = max(c.dedup, 0)
			}
			r := w.toSource("p1")
			w.account.Next(c.fault, "")
			w.step()
			if c.after != nil {
				c.after(w)
			}
			w.run(48 * time.Hour)
			r = w.want(r, c.state, c.why, c.retry)
			w.wantEvents(r.ID, c.events)
			if n := w.account.Calls("pay"); n != 1 || w.account.Paid("") != c.paid {
				t.Fatalf("%d calls, %d payments", n, w.account.Paid(""))
			}
		})
	}
}

// TestStatementSettlesAnUnknownTransfer: the bank answers no question, but its
// statement does.
func TestStatementSettlesAnUnknownTransfer(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		r := w.toSource("p1")
		w.account.Deaf(true)
		w.account.Next(account.LostAfter, "")
		w.run(time.Minute)
		w.want(r, psd2.TransferUnknown, "", false)
		w.read()
		w.want(r, psd2.TransferExecuted, "", false)
		w.account.GiveBack(r.EndToEndID, "AC04")
		w.read()
		r = w.want(r, psd2.TransferReturned, "", false)
		if r.ReturnReason != "AC04" {
			t.Fatal(r.ReturnReason)
		}
		w.wantEvents(r.ID, "created outcome_unknown authorized executed returned")
	})
}

// TestDeadCallerLeavesAnUnknownOutcome: the process dies between intent and
// call. Nobody calls again.
func TestDeadCallerLeavesAnUnknownOutcome(t *testing.T) {
	w := oneTill(t)
	r := w.toSource("p1")
	if _, err := w.db.UpdateTransfer(ctx, r.ID, func(t *psd2.Transfer) error { return t.Submit(24*time.Hour, w.clock.Now()) }); err != nil {
		t.Fatal(err)
	}
	w.run(50 * time.Second)
	w.want(r, psd2.TransferUnknown, "", false)
	w.run(time.Hour)
	w.want(r, psd2.TransferFailed, psd2.ReasonBankUnavailable, true)
	if n := w.account.Calls("pay"); n != 0 {
		t.Fatalf("%d calls", n)
	}
}

// TestDuplicateAnswerIsNoRefusal: something between us and the bank sent the
// order twice, and we hear the answer to the second.
func TestDuplicateAnswerIsNoRefusal(t *testing.T) {
	w := oneTill(t)
	r := w.toSource("p1")
	if _, err := w.account.Pay(ctx, banks.Transfer{MessageID: r.MessageID, EndToEndID: r.EndToEndID, Amount: r.Amount, Creditor: anna}); err != nil {
		t.Fatal(err)
	}
	w.run(time.Minute)
	w.want(r, psd2.TransferExecuted, "", false)
}

// TestHeldTransferLooksPending: GwG §47. Nothing a merchant can read tells a
// held transfer from one that is about to be sent.
func TestHeldTransferLooksPending(t *testing.T) {
	for name, hold := range map[string]func(*doorman){
		"hold":            func(g *doorman) { g.decide(psd2.GateHold, "", nil) },
		"cannot be asked": func(g *doorman) { g.decide(psd2.GateAllow, "", errors.New("down")) },
		"unknown answer":  func(g *doorman) { g.decide("perhaps", "", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w := oneTill(t)
			r := w.toSource("p1")
			hold(w.gate)
			before := r.View()
			w.run(3 * time.Hour)
			r = w.want(r, psd2.TransferPending, "", false)
			if !equalViews(t, before, r.View()) {
				t.Fatalf("the view changed: %+v", r.View())
			}
			w.wantEvents(r.ID, "created")
			w.gate.decide(psd2.GateAllow, "", nil)
			if err := w.hub.Reconsider(ctx, r.ID); err != nil {
				t.Fatal(err)
			}
			w.step()
			w.want(r, psd2.TransferExecuted, "", false)
		})
	}
}

// TestGateThatWaitsIsAskedAgainAtOnce: what cannot be judged for a moment is not
// held: it is sent as soon as the gate knows enough, and nobody has to let it go.
func TestGateThatWaitsIsAskedAgainAtOnce(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		r := w.toSource("p1")
		w.gate.decide(psd2.GateWait, "", nil)
		for range 3 {
			asked := len(w.gate.asked)
			next, err := w.hub.StepTransfers(ctx, w.clock.Now())
			if err != nil || len(w.gate.asked) != asked+1 || next.Sub(w.clock.Now()) > 100*time.Millisecond {
				t.Fatalf("asked %d times more, next in %v, %v", len(w.gate.asked)-asked, next.Sub(w.clock.Now()), err)
			}
			if r = w.want(r, psd2.TransferPending, "", false); r.HeldAt != nil || r.SubmittedAt != nil {
				t.Fatalf("held %v, submitted %v", r.HeldAt, r.SubmittedAt)
			}
			w.clock.Add(next.Sub(w.clock.Now()))
		}
		asked := len(w.gate.asked)
		w.run(time.Minute)
		if n := len(w.gate.asked) - asked; n < 60 || n > 100 { // and then less and less often
			t.Errorf("asked %d times in a minute", n)
		}
		w.gate.decide(psd2.GateAllow, "", nil)
		w.run(time.Second)
		w.want(r, psd2.TransferExecuted, "", false)
		w.wantEvents(r.ID, "created authorized executed")
	})
}

// One transfer that cannot be carried does not slow down those that wait.
func TestGateThatWaitsIsAskedBesideTrouble(t *testing.T) {
	w := oneTill(t)
	broken, waits := w.toSource("p1"), w.toSource("p2")
	if err := w.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE transfers SET sealed = ? WHERE id = ?`, []byte("damaged"), broken.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	w.gate.decide(psd2.GateWait, "", nil)
	next, err := w.hub.StepTransfers(ctx, w.clock.Now())
	if err == nil || next.Sub(w.clock.Now()) > 100*time.Millisecond {
		t.Errorf("next in %v, %v", next.Sub(w.clock.Now()), err)
	}
	w.clock.Add(next.Sub(w.clock.Now()))
	w.gate.decide(psd2.GateAllow, "", nil)
	if _, err := w.hub.StepTransfers(ctx, w.clock.Now()); err != nil {
		t.Error(err)
	}
	w.want(waits, psd2.TransferExecuted, "", false)
}

func TestRefusedTransferSaysNoMoreThanItMay(t *testing.T) {
	for reason, want := range map[string]psd2.FailureReason{
		"": psd2.ReasonPaymentNotPossible, "sanctions hit": psd2.ReasonPaymentNotPossible, "kyc_required": psd2.ReasonKYCRequired,
	} {
		w := oneTill(t)
		r := w.toSource("p1")
		w.gate.decide(psd2.GateRefuse, reason, nil)
		w.step()
		w.want(r, psd2.TransferFailed, want, false)
		if w.account.Calls("pay") != 0 {
			t.Fatal("it was sent")
		}
	}
}
