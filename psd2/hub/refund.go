package hub

import (
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// RefundRequest is a merchant's wish to send (a part of) a deposit back.
type RefundRequest struct {
	Amount    psd2.Money
	Reference string // on the payer's statement
	Metadata  map[string]string
}

// notProvided is what SEPA writes for a name that nobody knows.
const notProvided = "NOTPROVIDED"

// RefundIn creates a refund in the caller's transaction. The money goes to the
// account it came from and nowhere else. Both the sum and the refund are
// written under the payment's version: of two that together exceed the
// deposit, one is refused, in whatever process.
func (h *Hub) RefundIn(tx *store.Tx, m *psd2.Merchant, paymentID string, r RefundRequest) (*psd2.Transfer, error) {
	if err := checkTransfer(r.Amount, r.Reference, r.Metadata); err != nil {
		return nil, err
	}
	if !psd2.IsID(psd2.PrefixPayment, paymentID) {
		return nil, psd2.NotFound("payment")
	}
	p, err := tx.UpdatePayment(paymentID, func(p *psd2.Payment) error {
		if p.MerchantID != m.ID {
			return psd2.NotFound("payment")
		}
		refunded, err := tx.Refunded(p.ID)
		if err != nil {
			return err
		}
		if err := p.Refundable(r.Amount, refunded); err != nil {
			return err
		}
		p.RefundedMinor = refunded + r.Amount.AmountMinor
		return nil
	})
	if err != nil {
		return nil, err
	}
	payer, err := h.payer(m, p.PayeeAccountID)
	if err != nil {
		return nil, err
	}
	payee := p.Personal.Source
	if payee.Name == "" {
		payee.Name = p.Personal.Player.Name
	}
	if payee.Name == "" {
		payee.Name = notProvided
	}
	t := &psd2.Transfer{
		ID: psd2.NewID(psd2.PrefixRefund, tx.Now, h.random), Kind: psd2.KindRefund, MerchantID: m.ID, PersonID: p.PersonID,
		Amount: r.Amount, AccountID: p.PayeeAccountID, PaymentID: p.ID, SourceID: p.SourceID,
		Personal: psd2.TransferPersonal{Reference: r.Reference, Player: p.Personal.Player, Payer: payer, Payee: payee, Metadata: r.Metadata},
	}
	return h.created(tx, t)
}

func (h *Hub) created(tx *store.Tx, t *psd2.Transfer) (*psd2.Transfer, error) {
	t.Create(tx.Now)
	if err := tx.CreateTransfer(t); err != nil {
		return nil, err
	}
	h.countedTransfer(t)
	return t, nil
}

// checkTransfer says what is wrong with what all wishes to pay have.
func checkTransfer(amount psd2.Money, reference string, metadata map[string]string) error {
	if err := amount.CheckSCTInst(); err != nil {
		return err
	}
	if err := psd2.CheckReference(reference); err != nil {
		return err
	}
	return checkMetadata(metadata)
}

func (h *Hub) countedTransfer(t *psd2.Transfer) {
	h.metrics.transfers.WithLabelValues(string(t.Kind), string(t.State)).Inc()
}
