package sca

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Follower takes what became of payments from the journal into the history
// that the exemptions go by: executed transfers, and those that turned out to
// be fraud; and gives those that were authorised at their bank alone a receipt.
// A transfer is counted by its payment, so nothing counts twice.
type Follower struct {
	s    *Service
	walk *store.Walk[*psd2.Payment]
}

// Follower makes this process's follower; holder names the process in the
// lease. One process at a time follows.
func (s *Service) Follower(holder string) *Follower {
	return &Follower{s, &store.Walk[*psd2.Payment]{
		DB: s.db, Name: "sca.follow", Holder: holder, Wants: tells, PerObject: true,
		// A payment as it is now is at least as new as what the event says.
		Read: func(ctx context.Context, m store.Mark) (*psd2.Payment, error) { return s.db.Payment(ctx, m.ObjectID) },
		Take: s.count,
	}}
}

// Step takes in what the journal has had since the last time.
func (f *Follower) Step(ctx context.Context, now time.Time) (time.Time, error) {
	next, err := f.walk.Step(ctx, now)
	f.s.rates.committed()
	return next, err
}

// tells are the events of payments that say something that counts.
func tells(eventType string) bool {
	switch eventType {
	case psd2.EventAuthorized, psd2.EventExecuted, psd2.EventSettled, psd2.EventFailed, psd2.EventRecallRequested, psd2.EventReturned:
		return true
	}
	return false
}

// fraudulent is the reason (ISO 20022 FRAD) with which a payer's bank calls a
// transfer back that its customer did not authorise, or was made to.
const fraudulent = "FRAD"

// count brings the history to where a payment stands. It changes nothing when
// it is there already.
func (s *Service) count(tx *store.Tx, p *psd2.Payment) error {
	if err := s.witness(tx, p); err != nil {
		return err
	}
	if !p.State.MoneyMoved() { // its bank took back what operators had said
		s.rates.changed.Store(true)
		_, err := tx.Exec(`DELETE FROM sca_transfers WHERE payment_id = ?`, p.ID)
		return err
	}
	if err := s.paidFrom(tx, p); err != nil {
		return err
	}
	strong, err := s.strong(tx, p)
	if err != nil {
		return err
	}
	var reports int
	if err := tx.Get(&reports, `SELECT COUNT(*) FROM sca_challenges WHERE payment_id = ? AND state = 'reported'`, p.ID); err != nil {
		return err
	}
	fraud := p.RecallCode == fraudulent || p.ReturnCode == fraudulent || reports > 0
	at := tx.Now
	if p.ExecutedAt != nil {
		at = *p.ExecutedAt
	}
	return s.enter(tx, transfer{p.ID, p.PersonID, p.Amount, p.Personal.Payee.IBAN, strong, fraud, at})
}

// paidFrom notes the bank account that a payment came from, once it was found to
// be its payer's own. A new one of somebody who has factors is written into his
// history, and what he pays next is looked at more closely.
func (s *Service) paidFrom(tx *store.Tx, p *psd2.Payment) error {
	account := p.Personal.Source.IBAN
	if p.PayerCheck != psd2.PayerMatched || account == "" {
		return nil
	}
	var had struct {
		Accounts int `db:"accounts"`
		Factors  int `db:"factors"`
	}
	err := tx.Get(&had, `SELECT (SELECT COUNT(*) FROM sca_accounts WHERE person_id = ?) AS accounts,
		(SELECT COUNT(*) FROM sca_factors WHERE person_id = ? AND state IN ('active', 'blocked')) AS factors`, p.PersonID, p.PersonID)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`INSERT INTO sca_accounts (person_id, account_hash, first_at) VALUES (?, ?, ?) ON CONFLICT (person_id, account_hash) DO NOTHING`,
		p.PersonID, s.db.Lookup("sca/account", string(account)), tx.Now.UnixMicro())
	if err != nil || n == 0 || had.Accounts == 0 || had.Factors == 0 {
		return err
	}
	_, err = s.note(tx, Notice{PersonID: p.PersonID, PaymentID: p.ID, What: OtherAccount})
	return err
}

// transfer is one that was carried out.
type transfer struct {
	paymentID, personID string
	amount              psd2.Money
	creditor            psd2.IBAN
	strong              bool // strong customer authentication was applied, by bank or hub
	fraud               bool // unauthorised or fraudulent (RTS Art. 19)
	executed            time.Time
}

// enter writes a transfer down; once fraud, always fraud.
func (s *Service) enter(tx *store.Tx, t transfer) error {
	if t.fraud {
		s.rates.changed.Store(true)
	}
	number := map[bool]int{true: 1}
	_, err := tx.Exec(`INSERT INTO sca_transfers (payment_id, person_id, payee_hash, amount_minor, strong, fraud, executed_at) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (payment_id) DO UPDATE SET fraud = CASE WHEN sca_transfers.fraud = 1 THEN 1 ELSE excluded.fraud END`,
		t.paymentID, t.personID, s.payee(t.creditor), t.amount.AmountMinor, number[t.strong], number[t.fraud], t.executed.UnixMicro())
	return err
}

// strong reports whether strong customer authentication was applied to a
// payment: its bank says so of the order that was executed, or the payer has
// confirmed it here with two elements. A bank that says nothing has not.
func (s *Service) strong(tx *store.Tx, p *psd2.Payment) (bool, error) {
	for _, a := range p.Attempts {
		if (a.State == psd2.AttemptExecuted || a.State == psd2.AttemptSettled) && a.SCAStatus == psd2.SCAFinalised {
			return true, nil
		}
	}
	var confirmed int
	err := tx.Get(&confirmed, `SELECT COUNT(*) FROM sca_challenges WHERE payment_id = ? AND purpose = 'payment' AND state = 'approved' AND method IN ('passkey', 'push')`, p.ID)
	return confirmed > 0, err
}
