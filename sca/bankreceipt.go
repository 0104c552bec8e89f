package sca

import (
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// AtBank is the method of a receipt where the payer's bank has authenticated
// him, and the hub has asked nothing.
const AtBank Method = "bank"

// performedByHub is what a receipt says where the hub has asked beside the bank.
const performedByHub = "hub"

// BankEvidence is what the hub saw of an authentication at the bank. It proves
// what the hub was told, not what the bank has done.
type BankEvidence struct {
	BankID       string     `json:"bank_id"`
	Approach     string     `json:"approach"`
	SCAStatus    string     `json:"sca_status,omitempty"` // as the bank sent it; "exempted" is no authentication
	Status       string     `json:"status,omitempty"`     // transactionStatus, as the bank sent it
	EndToEndID   string     `json:"end_to_end_id"`
	ReturnedAt   *time.Time `json:"returned_at,omitempty"` // when his browser came back from the bank
	AuthorizedAt time.Time  `json:"authorized_at"`
}

var errPerformer = errors.New("it is not clear who has authenticated the payer")

// witness issues the receipt of a payment that was authorised at its bank alone.
// Who has confirmed here has one already.
func (s *Service) witness(tx *store.Tx, p *psd2.Payment) error {
	a := authorized(p)
	if a == nil || s.signer == nil {
		return nil
	}
	var have int
	err := tx.Get(&have, `SELECT (SELECT COUNT(*) FROM sca_receipts WHERE challenge_id = ?)
		+ (SELECT COUNT(*) FROM sca_challenges WHERE payment_id = ? AND purpose = 'payment' AND state = 'approved' AND used_at > 0)`, a.ID, p.ID)
	if err != nil || have > 0 {
		return err
	}
	r := Receipt{Version: 1, Issuer: s.cfg.Origin, PaymentID: p.ID, ChallengeID: a.ID, Method: AtBank, PerformedBy: psd2.SCAByASPSP, At: tx.Now,
		Linked: Linked{PaymentID: p.ID, Amount: p.Amount, CreditorName: p.Personal.Payee.Name, CreditorIBAN: p.Personal.Payee.IBAN, DebtorRef: p.Personal.Reference},
		Evidence: Evidence{Bank: &BankEvidence{BankID: a.BankID, Approach: a.Approach, SCAStatus: a.SCAStatus, Status: a.BankStatus,
			EndToEndID: a.EndToEndID, ReturnedAt: a.ReturnedAt, AuthorizedAt: *p.AuthorizedAt}}}
	if r.LinkHash, err = r.Linked.Hash(); err != nil {
		return err
	}
	key, err := s.signer(tx.Now)
	if err != nil {
		return fmt.Errorf("sca: receipt: %w", err)
	}
	return s.keepReceipt(tx, key, r)
}

// authorized is the attempt that the bank has authorised, or nil.
func authorized(p *psd2.Payment) *psd2.Attempt {
	if p.AuthorizedAt == nil {
		return nil
	}
	for i := len(p.Attempts) - 1; i >= 0; i-- {
		switch a := &p.Attempts[i]; a.State {
		case psd2.AttemptAuthorized, psd2.AttemptExecuted, psd2.AttemptSettled:
			return a
		}
	}
	return nil
}

func (r *Receipt) checkBank() error {
	b := r.Evidence.Bank
	switch {
	case r.PerformedBy != psd2.SCAByASPSP || b == nil || b.BankID == "" || b.EndToEndID == "" || b.AuthorizedAt.IsZero():
		return errPerformer
	case r.Display != (Display{}) || r.DisplayHash != "" || r.Linked.Nonce != "" || r.Linked.Expires != 0:
		return errors.New("it claims that the hub has shown something")
	}
	e := r.Evidence
	if e.Bank = nil; e.ClientData+e.AuthenticatorData+e.Signature+e.PublicKey+e.DeviceAnswer+string(e.DeviceKey)+e.StepHash != "" {
		return errPerformer
	}
	return nil
}
