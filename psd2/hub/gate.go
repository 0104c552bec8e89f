package hub

import (
	"context"
	"net/netip"
	"slices"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Gate decides whether money may move: package compliance, behind an interface
// of ours.
type Gate interface {
	// MayPayIn is asked before a deposit's order goes to a bank, each time. With
	// an error the verdict is the one to act on all the same.
	MayPayIn(ctx context.Context, p *psd2.Payment, m *psd2.Merchant) (PayIn, error)
	// MayPayOut is asked before every refund and payout is sent, also when the
	// payee's bank knows another holder, and again while it holds one or waits. It
	// returns the decision and, when it refuses, a reason a merchant may be told:
	// "" or one he may not be told becomes payment_not_possible. An error holds.
	MayPayOut(ctx context.Context, f psd2.TransferFacts) (decision psd2.GateDecision, publicReason string, err error)
}

// PayIn is the gate's verdict on a deposit.
type PayIn struct {
	Refuse bool
	Reason psd2.FailureReason // of a refusal; one the payer may not know becomes payment_not_possible
	StepUp bool               // the payer has to confirm at the hub as well
	Wait   bool               // it cannot be said yet: nothing is sent, and the payer may try again
	Risk   Risk               // of an order that may go on
	// LeftMinor is what the person could still pay, of a refusal with
	// limit_exceeded; 0 when it is nothing, or nobody knows.
	LeftMinor int64
	// Keep records why; nil when there is nothing to keep. It is called as soon as
	// the verdict is there and may be called again for the same payment: that
	// changes nothing.
	Keep func(*store.Tx) error
	// Recheck holds what the verdict rests on against what stands now, in the
	// transaction that commits the order; nil when nothing can have changed.
	Recheck func(*store.Tx) error
}

// Risk is what monitoring found about a payment that may go on (RTS Art. 2(2)).
type Risk struct {
	Score   int      // 0 to 100, of what the payer may notice
	Reasons []string // the families of the rules that found it
	// Quiet says that there is more, which the payer must not notice (tipping
	// off). It asks nothing more of him; a bank is not told that all is normal.
	Quiet bool
}

// Confirmation is the payer's confirmation at the hub (package sca), where the
// policy wants one beside the bank's.
type Confirmation interface {
	// Need says what the policy wants of the payer before the order.
	Need(ctx context.Context, a Ask) (Needed, error)
	// Recheck holds the payment against what was confirmed, in the transaction
	// that commits the order to the bank (RTS Art. 5(1)(d)). It fails when
	// anything differs; then Voided ends the confirmation.
	Recheck(tx *store.Tx, p *psd2.Payment) error
	Voided(ctx context.Context, paymentID string) error
}

// Ask is a payment before its order, with what the policy goes by.
type Ask struct {
	Payment  *psd2.Payment
	Merchant *psd2.Merchant
	Approach string // the bank's, as far as it is known
	StepUp   bool   // the gate wants it
	Risk     Risk   // what the gate found
	Browser  Browser
}

// Needed is the policy's answer.
type Needed struct {
	Path    string // of the page on which the payer confirms; "": nothing is needed, or he has
	Blocked bool   // the payment must not go on
	// Keep records the decision in the transaction that acts on it, before
	// Recheck: sending the order, or ending the payment. Nil where Path leads the
	// payer away: then it is kept already.
	Keep func(*store.Tx) error
	// PerformedBy is psd2.SCAByASPSP or SCAByHub; Exemptions are the hints that go
	// with the order.
	PerformedBy string
	Exemptions  []string
}

// Browser is what is known of the browser that consents; none of it is stored
// here.
type Browser struct {
	Secret       string     // that the payment is bound to
	DeviceSecret string     // of a browser that was here before
	DeviceProof  string     // made with the browser's own key
	Behaviour    string     // how the page was used, in coarse words, when the payer agreed
	Amount       psd2.Money // that the payer was shown and agreed to
	Address      netip.Addr // where it is
	Language     string     // that its reader has chosen or asks for: in which he is shown what he confirms
}

// leave is what gate and policy say before an order goes to a bank.
type leave struct {
	confirm string        // the page on which the payer has to confirm first
	ended   *psd2.Payment // the payment, when it must not go on
	keep    func(*store.Tx) error
	recheck func(*store.Tx) error
	need    Needed // what stands of the policy's answer when the order goes on
}

// notYet is the reason of a payment that cannot be judged yet.
const notYet = "not_yet"

// mayGoOn asks the gate and the policy.
func (h *Hub) mayGoOn(ctx context.Context, p *psd2.Payment, approach string, b Browser, at beat) (l leave, err error) {
	if h.gate == nil && h.confirmation == nil {
		return l, nil
	}
	m, err := h.Merchant(ctx, p.MerchantID)
	if err != nil {
		return l, err
	}
	var verdict PayIn
	if h.gate != nil {
		if verdict, err = h.gate.MayPayIn(ctx, p, m); err != nil {
			h.log.Error("the gate failed", "payment", p.ID, "error", err.Error())
		}
	}
	if verdict.Keep != nil {
		if err := h.store.Tx(context.WithoutCancel(ctx), verdict.Keep); err != nil {
			return l, err
		}
	}
	if less := verdict.offers(p, m); less != nil {
		return l, less
	}
	if verdict.Wait && !verdict.Refuse {
		return l, psd2.Fail(psd2.CodeConflict, notYet, "the payment cannot be started yet; try again")
	}
	l.recheck = verdict.Recheck
	why, keep := verdict.Reason, (func(*store.Tx) error)(nil)
	if h.confirmation != nil && !verdict.Refuse {
		need, err := h.confirmation.Need(ctx, Ask{Payment: p, Merchant: m, Approach: approach, StepUp: verdict.StepUp, Risk: verdict.Risk, Browser: b})
		if err != nil || need.Path != "" {
			return leave{confirm: need.Path}, err
		}
		l.need = need
		if l.keep = need.Keep; need.Blocked {
			verdict.Refuse, why, keep = true, "", need.Keep
		}
	}
	if !verdict.Refuse {
		return l, nil
	}
	if !slices.Contains(publicReasons, why) {
		why = psd2.ReasonPaymentNotPossible
	}
	at.commit(ctx)
	l.ended, err = h.stop(context.WithoutCancel(ctx), p.ID, why, keep)
	return l, err
}

// stop ends a payment before any order of it was sent.
func (h *Hub) stop(ctx context.Context, paymentID string, why psd2.FailureReason, keep func(*store.Tx) error) (p *psd2.Payment, err error) {
	err = h.store.Tx(ctx, func(tx *store.Tx) error {
		p, err = tx.UpdatePayment(paymentID, func(p *psd2.Payment) error { return p.Refuse(why, tx.Now) })
		if err != nil || keep == nil {
			return err
		}
		return keep(tx)
	})
	if err == nil {
		h.counted(p)
	}
	return p, err
}

// Disowned ends a payment whose payer says that it is not his. It is a conflict
// when an order is under way or the payment has ended: then there is nothing
// left to stop.
func (h *Hub) Disowned(ctx context.Context, paymentID string) error {
	_, err := h.stop(ctx, paymentID, psd2.ReasonAuthenticationFailed, nil)
	return err
}
