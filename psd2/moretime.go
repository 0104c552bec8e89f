package psd2

import "time"

// MayHaveMoreTime reports whether the payer's time may still be moved: it is
// running, and it is ours. While he is at his bank with an order, the bank says
// how long he has.
func (p *Payment) MayHaveMoreTime(now time.Time) bool {
	a := p.Open()
	return (p.State == StateAuthorizationRequired || p.State == StateAuthorizing) && p.CancelledBy == "" &&
		now.Before(p.ExpiresAt) && (a == nil || a.AtRiskAt == nil)
}

// MoreTime gives the payer, who has asked for it, more time (WCAG 2.2.1). It
// never takes any away.
func (p *Payment) MoreTime(until, now time.Time) error {
	if !p.MayHaveMoreTime(now) {
		return Fail(CodeConflict, "payment_expired", "the payment's time can no longer be moved")
	}
	if until.After(p.ExpiresAt) {
		p.ExpiresAt, p.UpdatedAt = until, now
	}
	return nil
}
