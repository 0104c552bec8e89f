package hub

import (
	"context"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// VoP asks a payee's bank whether the name belongs to the IBAN. An error counts
// as psd2.MatchNotPossible.
type VoP interface {
	Verify(ctx context.Context, payee psd2.Party) (psd2.VoPResult, error)
}

// Transfer loads a merchant's own refund or payout.
func (h *Hub) Transfer(ctx context.Context, merchantID string, kind psd2.TransferKind, id string) (*psd2.Transfer, error) {
	prefix := psd2.PrefixRefund
	if kind == psd2.KindPayout {
		prefix = psd2.PrefixPayout
	}
	if !psd2.IsID(prefix, id) {
		return nil, psd2.NotFound(string(kind))
	}
	return h.store.MerchantTransfer(ctx, merchantID, kind, id)
}

// TransfersWake receives when StepTransfers has something to do sooner than it
// said.
func (h *Hub) TransfersWake() <-chan struct{} { return h.transfersWake }

// TransferMade makes StepTransfers look at once. Call it after the commit of
// RefundIn, PayoutIn or RecallIn; without it the transfer waits a second.
func (h *Hub) TransferMade() {
	select {
	case h.transfersWake <- struct{}{}:
	default:
	}
}

// Reconsider brings a held transfer before the gate at once: compliance has
// decided. It moves nothing by itself.
func (h *Hub) Reconsider(ctx context.Context, transferID string) error {
	_, err := h.store.UpdateTransfer(ctx, transferID, func(t *psd2.Transfer) error {
		t.Reconsider(h.store.Now())
		return nil
	})
	if err == nil {
		h.TransferMade()
	}
	return err
}

// RecallIn asks for an executed refund or payout back, in the caller's
// transaction.
func (h *Hub) RecallIn(tx *store.Tx, merchantID string, kind psd2.TransferKind, id string, why psd2.RecallReason) (*psd2.Transfer, error) {
	return tx.UpdateTransfer(id, func(t *psd2.Transfer) error {
		if t.MerchantID != merchantID || t.Kind != kind {
			return psd2.NotFound(string(kind))
		}
		return t.AskRecall(why, tx.Now)
	})
}

// payer is the account that money leaves from: one that has a channel.
func (h *Hub) payer(m *psd2.Merchant, accountID string) (psd2.Party, error) {
	account, ok := m.Account(accountID)
	if !ok {
		return psd2.Party{}, psd2.Invalid("account_id", "account_unknown", "this is not one of your accounts")
	}
	if h.channels[accountID] == nil {
		return psd2.Party{}, psd2.Fail(psd2.CodeConflict, "account_not_connected", "no money can be sent from this account through us")
	}
	return psd2.Party{Name: account.Name, IBAN: account.IBAN, BIC: account.BIC}, nil
}
