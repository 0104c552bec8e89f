package hub

import (
	"context"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// LessLeft is Authorise's error when a limit leaves less than was asked and the
// merchant takes less: nothing was sent, the payment is open, and PayLess makes
// it smaller if the payer wants that.
type LessLeft struct{ Left psd2.Money }

// Error implements error.
func (e *LessLeft) Error() string { return "hub: a limit leaves less than was asked" }

// leastOffer is what is worth offering: one euro.
const leastOffer = 100

// offers gives what is left, where it may be offered.
func (v PayIn) offers(p *psd2.Payment, m *psd2.Merchant) *LessLeft {
	if !v.Refuse || v.Reason != psd2.ReasonLimitExceeded || !m.LowerToLimit || !p.MayLower() || v.LeftMinor < leastOffer || v.LeftMinor >= p.Amount.AmountMinor {
		return nil
	}
	return &LessLeft{psd2.Money{AmountMinor: v.LeftMinor, Currency: p.Amount.Currency}}
}

// PayLess makes an open payment smaller, as its payer wants who was told that
// his limit leaves no more. Whatever was confirmed of the larger amount is void
// (RTS Art. 5(1)(d)), and the gate judges the smaller one anew. It is a
// conflict when the merchant wants all or nothing, or an order was sent.
func (h *Hub) PayLess(ctx context.Context, paymentID string, to psd2.Money) (p *psd2.Payment, err error) {
	if p, err = h.Payment(ctx, paymentID); err != nil {
		return nil, err
	}
	m, err := h.Merchant(ctx, p.MerchantID)
	if err != nil {
		return nil, err
	}
	if !m.LowerToLimit {
		return nil, psd2.Fail(psd2.CodeConflict, "amount_fixed", "this merchant wants the whole amount or nothing")
	}
	err = h.store.Tx(ctx, func(tx *store.Tx) error {
		p, err = tx.LowerPayment(paymentID, to)
		return err
	})
	return p, err
}
