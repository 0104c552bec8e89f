package hub

import (
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// PayoutRequest is a merchant's wish to pay a player. The payee is either a
// source the player has paid from, or an account in his name.
type PayoutRequest struct {
	Amount    psd2.Money
	AccountID string // of the merchant, that pays
	Reference string
	Player    psd2.Player
	SourceID  string     // src_…
	Payee     psd2.Party // name and IBAN
	Metadata  map[string]string
}

// PayoutIn creates a payout in the caller's transaction. The loop is closed:
// money goes to an account this very player has paid in from and that is his
// own (the database holds that too), or to one in his own name that its bank
// confirms before anything is sent (GwG §16).
func (h *Hub) PayoutIn(tx *store.Tx, m *psd2.Merchant, r PayoutRequest) (*psd2.Transfer, error) {
	if err := checkTransfer(r.Amount, r.Reference, r.Metadata); err != nil {
		return nil, err
	}
	payer, err := h.payer(m, r.AccountID)
	if err != nil {
		return nil, err
	}
	if err := checkPlayer(&psd2.Merchant{PayerPolicy: psd2.PayerOff}, r.Player); err != nil {
		return nil, err
	}
	t := &psd2.Transfer{
		ID: psd2.NewID(psd2.PrefixPayout, tx.Now, h.random), Kind: psd2.KindPayout, MerchantID: m.ID,
		PersonID: h.store.PersonID(m.ID, r.Player.Reference), Amount: r.Amount, AccountID: r.AccountID,
		Personal: psd2.TransferPersonal{Reference: r.Reference, Player: r.Player, Payer: payer, Metadata: r.Metadata},
	}
	switch bySource, byAccount := r.SourceID != "", r.Payee != (psd2.Party{}); {
	case bySource == byAccount:
		return nil, psd2.Invalid("payment_source_id", "payee_missing", "give either payment_source_id or payee")
	case bySource:
		err = h.payToSource(tx, t, r.SourceID)
	default:
		err = h.payToOwnAccount(t, r.Payee)
	}
	if err != nil {
		return nil, err
	}
	return h.created(tx, t)
}

// payToSource pays to the account of a deposit whose holder was found to be
// the player. Another player's source does not exist for him.
func (h *Hub) payToSource(tx *store.Tx, t *psd2.Transfer, sourceID string) error {
	if !psd2.IsID(psd2.PrefixSource, sourceID) {
		return psd2.NotFound("payment_source")
	}
	p, err := tx.Source(sourceID, t.PersonID)
	if err != nil {
		return err
	}
	if p.Personal.Source.IBAN == "" {
		return psd2.Fail(psd2.CodeConflict, "source_unknown", "the account that paid is not known any more")
	}
	t.SourceID, t.PaymentID, t.Personal.Payee = sourceID, p.ID, p.Personal.Source
	if t.Personal.Player.Name == "" {
		t.Personal.Player.Name = p.Personal.Player.Name
	}
	return nil
}

// payToOwnAccount pays to an account the player has not paid from. Its bank
// is asked whose it is before the payout is sent.
func (h *Hub) payToOwnAccount(t *psd2.Transfer, payee psd2.Party) error {
	iban, err := psd2.ParseIBAN(string(payee.IBAN))
	if err != nil {
		return psd2.Invalid("payee.iban", "iban_invalid", "the payee's IBAN is not valid")
	}
	if err := psd2.CheckText("payee.name", payee.Name, 70); err != nil {
		return err
	}
	switch {
	case h.vop == nil:
		return psd2.Fail(psd2.CodeConflict, "payee_not_verifiable", "payees cannot be verified here; pay to a source the player has paid from")
	case t.Personal.Player.Name == "":
		return psd2.Invalid("player.name", "player_name_missing", "the player's name is needed to check that the account is his own")
	case !SameHolder(payee.Name, t.Personal.Player.Name):
		return psd2.Invalid("payee.name", "own_account_required", "payouts go to the player's own account only")
	}
	t.Personal.Payee = psd2.Party{Name: payee.Name, IBAN: iban}
	return nil
}
