package psd2

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Terms are what an order says. They are committed, as a hash, with the intent
// to send it; an order that says anything else must not be sent.
type Terms struct {
	EndToEndID string
	RequestID  string
	Amount     Money
	Creditor   Party
	Remittance string
	Debtor     IBAN // "": the payer chooses at his bank
}

func (t Terms) hash() string {
	b, _ := json.Marshal(t) // cannot fail: strings and integers
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// terms are those of an attempt as the payment stands.
func (p *Payment) terms(a *Attempt) Terms {
	return Terms{
		EndToEndID: a.EndToEndID, RequestID: a.RequestID, Amount: p.Amount, Creditor: p.Personal.Payee,
		Remittance: p.Personal.Reference, Debtor: p.Personal.Attempts[a.ID].PSU.Account,
	}
}

// AsCommitted reports whether an order says what was committed for the attempt.
func (p *Payment) AsCommitted(attemptID string, t Terms) bool {
	a := p.Attempt(attemptID)
	return a != nil && a.SubmittedAt != nil && p.Personal.Attempts[attemptID].OrderHash == t.hash()
}
