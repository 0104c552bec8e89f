package hub

import (
	"context"
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
	// MayPayOut is asked before every refund and payout is sent, and again while
	// it holds one. It returns the decision and, when it refuses, a reason a
	// merchant may be told: "" or one he may not be told becomes
	// payment_not_possible. An error holds.
	MayPayOut(ctx context.Context, f psd2.TransferFacts) (decision psd2.GateDecision, publicReason string, err error)
}

// PayIn is the gate's verdict on a deposit.
type PayIn struct {
	Refuse bool
	Reason psd2.FailureReason // of a refusal; one the payer may not know becomes payment_not_possible
	StepUp bool               // the payer has to confirm at the hub as well
	// Keep records why, in the transaction that acts on the verdict; nil when
	// there is nothing to keep.
	Keep func(*store.Tx) error
}

// Confirmation is the payer's confirmation at the hub (package sca), where the
// policy wants one beside the bank's.
type Confirmation interface {
	// Need returns the path of the page on which the payer confirms, "" when
	// nothing is needed or he has confirmed. Blocked means that the payment must
	// not go on.
	Need(ctx context.Context, p *psd2.Payment, approach string, stepUp bool, b Browser) (path string, blocked bool, err error)
	// Recheck holds the payment against what was confirmed, in the transaction
	// that commits the order to the bank (RTS Art. 5(1)(d)). It fails when
	// anything differs; then Voided ends the confirmation.
	Recheck(tx *store.Tx, p *psd2.Payment) error
	Voided(ctx context.Context, paymentID string) error
}

// Browser is what is known of the browser that consents; none of it is stored
// here.
type Browser struct {
	Secret       string // that the payment is bound to
	DeviceSecret string // of a browser that was here before
	DeviceProof  string // made with the browser's own key
	Behaviour    string // how the page was used, in coarse words, when the payer agreed
}

// mayGoOn asks the gate and the policy before an order goes to a bank. It
// returns the page on which the payer has to confirm first; or the payment,
// ended, when it must not go on.
func (h *Hub) mayGoOn(ctx context.Context, p *psd2.Payment, approach string, b Browser) (confirm string, ended *psd2.Payment, err error) {
	var verdict PayIn
	if h.gate != nil {
		m, err := h.Merchant(ctx, p.MerchantID)
		if err != nil {
			return "", nil, err
		}
		if verdict, err = h.gate.MayPayIn(ctx, p, m); err != nil {
			h.log.Error("the gate failed", "payment", p.ID, "error", err.Error())
		}
	}
	if h.confirmation != nil && !verdict.Refuse {
		path, blocked, err := h.confirmation.Need(ctx, p, approach, verdict.StepUp, b)
		if err != nil || path != "" {
			return path, nil, err
		}
		if blocked {
			verdict = PayIn{Refuse: true}
		}
	}
	if !verdict.Refuse {
		return "", nil, nil
	}
	ended, err = h.refuse(ctx, p.ID, verdict)
	return "", ended, err
}

// refuse ends a payment that must not go on.
func (h *Hub) refuse(ctx context.Context, paymentID string, verdict PayIn) (p *psd2.Payment, err error) {
	why := verdict.Reason
	if !slices.Contains(publicReasons, why) {
		why = psd2.ReasonPaymentNotPossible
	}
	err = h.store.Tx(ctx, func(tx *store.Tx) error {
		p, err = tx.UpdatePayment(paymentID, func(p *psd2.Payment) error { return p.Refuse(why, tx.Now) })
		if err != nil || verdict.Keep == nil {
			return err
		}
		return verdict.Keep(tx)
	})
	if err == nil {
		h.counted(p)
	}
	return p, err
}
