package psd2

import "time"

// Refundable says whether that much of the deposit can be refunded when
// refunded cents have been or are being refunded already.
func (p *Payment) Refundable(m Money, refunded int64) error {
	switch {
	case !p.State.MoneyMoved():
		return Fail(CodeConflict, "payment_not_refundable", "only money that has been paid in can be refunded")
	case p.ReturnedAt != nil:
		return Fail(CodeConflict, "payment_returned", "the deposit was already sent back by the bank")
	case p.Personal.Source.IBAN == "":
		return Fail(CodeConflict, "source_unknown", "the account that paid is not known yet; ask again later")
	case m.Currency != p.Amount.Currency || m.AmountMinor > p.Amount.AmountMinor-refunded:
		return Fail(CodeConflict, "refund_exceeds_payment", "all refunds together must not exceed the deposit")
	}
	return nil
}

// SourceProven reports whether money came from an account whose holder is the
// player: one that payouts may go to.
func (p *Payment) SourceProven() bool {
	return p.State.MoneyMoved() && p.PayerCheck == PayerMatched && p.SourceID != "" && p.Personal.Source.IBAN != ""
}

// Credited believes the merchant's own statement: the money of this attempt
// has arrived. payer fills what the payer's bank did not tell; it changes
// nothing that is known. Call JudgePayer after it.
func (p *Payment) Credited(attemptID string, payer Party, now time.Time) {
	known := p.Personal.Source
	if known.IBAN != "" && payer.IBAN != known.IBAN {
		payer = Party{} // another account of his, perhaps: the two must not be mixed
	}
	if known.Name != "" {
		payer.Name = ""
	}
	p.Report(attemptID, Report{Status: "ACCC", Payer: payer}, now)
}

// SentBack records that our bank returned the deposit to the payer (pacs.004).
func (p *Payment) SentBack(code string, now time.Time) {
	if p.ReturnedAt == nil {
		p.ReturnedAt, p.ReturnCode = &now, code
		p.emit(EventReturned, now)
	}
}

// RecallRequested records that the payer's bank wants the deposit back
// (camt.056). It moves nothing: the merchant decides whether to refund.
func (p *Payment) RecallRequested(code string, now time.Time) {
	if p.RecallRequestedAt == nil {
		p.RecallRequestedAt, p.RecallCode = &now, code
		p.emit(EventRecallRequested, now)
	}
}

// RecallNotice is another bank's wish to have a deposit back (camt.056).
type RecallNotice struct {
	ID         string // the bank's
	EndToEndID string // of the deposit
	Reason     string // DUPL, TECH, FRAD, CUST, AC03, AM09
	ReceivedAt time.Time
}
