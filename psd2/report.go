package psd2

import (
	"slices"
	"time"
)

// Returned notes that the payer's browser came back from the bank. It proves
// nothing about the money.
func (p *Payment) Returned(attemptID string, now time.Time) {
	if a := p.Attempt(attemptID); a != nil && a.State.open() && a.ReturnedAt == nil {
		a.ReturnedAt = &now
		p.UpdatedAt = now
	}
}

// Report is a bank's answer about an order.
type Report struct {
	Status     string // raw transactionStatus
	SCAStatus  string // raw scaStatus, if known
	ReasonCode string // raw reason of a refusal, if given
	Payer      Party  // the paying account and its holder, as far as the bank says
	// AskedAt is when the bank was asked; zero: just now. What it said may be as
	// old as that.
	AskedAt time.Time
}

// Report applies a bank's answer. It never goes back: an answer that
// contradicts what the bank said before is counted in Odd and changes nothing,
// except that executed money is always believed, even after we gave up. It
// reports false when the status code was not understood.
func (p *Payment) Report(attemptID string, r Report, now time.Time) (understood bool) {
	a := p.Attempt(attemptID)
	if a == nil {
		return true
	}
	standing := StandingOf(r.Status)
	asked := r.AskedAt
	if asked.IsZero() {
		asked = now
	}
	a.AskedAt, a.AnsweredAt, a.BankStatus = &asked, &now, r.Status
	if r.SCAStatus != "" {
		a.SCAStatus = r.SCAStatus
	}
	switch standing {
	case StandingPending:
		p.reportPending(a, now)
	case StandingAuthorized:
		if !a.Decision.onlyWord() { // it may still be under way at the bank: that contradicts nobody
			p.advance(a, standing, now)
		}
	case StandingExecuted, StandingSettled:
		a.Decision.heard(true)
		p.advance(a, standing, now)
	case StandingRefused, StandingCanceled:
		p.reportEnd(a, standing, r, now)
	}
	if (a.State.open() || a.State == AttemptExecuted || a.State == AttemptSettled) && !p.paidByOther(a) {
		p.noteSource(r.Payer)
	}
	return standing != StandingKeep
}

func (p *Payment) noteSource(payer Party) {
	if payer.IBAN != "" {
		p.Personal.Source.IBAN = payer.IBAN
	}
	if payer.Name != "" {
		p.Personal.Source.Name = payer.Name
	}
	if payer.BIC != "" {
		p.Personal.Source.BIC = payer.BIC
	}
}

func (p *Payment) reportPending(a *Attempt, now time.Time) {
	switch a.State {
	case AttemptAuthorizing:
		if a.SCAStatus == SCAFailed {
			p.endAttempt(a, AttemptRefused, ReasonAuthenticationFailed, "", now)
		}
	case AttemptUnknown: // known again, unless only an end could still settle it
		if p.AuthorizedAt != nil {
			a.Odd++ // it was further once
		} else if p.CancelledBy == "" && now.Before(p.ExpiresAt) && !p.paidByOther(a) {
			a.State, p.State, p.UpdatedAt = AttemptAuthorizing, StateAuthorizing, now
		}
	case AttemptPreparing, AttemptSubmitting, AttemptRefused, AttemptCanceled, AttemptAbandoned:
	default:
		if !a.Decision.onlyWord() {
			a.Odd++
		}
	}
}

// advance moves the attempt and the payment up to a standing, telling each
// milestone on the way, so that a merchant who waits for one of them never
// misses it.
func (p *Payment) advance(a *Attempt, to Standing, now time.Time) {
	if a.State == AttemptPreparing || a.State == AttemptSubmitting || !a.State.open() && to == StandingAuthorized && a.State != AttemptExecuted && a.State != AttemptSettled {
		a.Odd++ // an order we gave up, alive again: watched, but only executed money counts
		return
	}
	if a.State != AttemptExecuted && a.State != AttemptSettled && p.paidByOther(a) {
		a.Odd++ // a second attempt pays: an operator must see it, the payment cannot say it
		if to >= StandingExecuted {
			a.State = attemptStanding(to)
		}
		return
	}
	if !a.State.open() && a.State != AttemptExecuted && a.State != AttemptSettled {
		p.reopen(a)
	}
	if a.State == AttemptUnknown && to == StandingAuthorized && p.AuthorizedAt != nil {
		return // that much was known; only an end settles it
	}
	if a.AtRiskAt == nil {
		a.AtRiskAt = &now
	}
	steps := []struct {
		standing Standing
		attempt  AttemptState
		state    State
		at       **time.Time
		event    string
	}{
		{StandingAuthorized, AttemptAuthorized, StateAuthorized, &p.AuthorizedAt, EventAuthorized},
		{StandingExecuted, AttemptExecuted, StateExecuted, &p.ExecutedAt, EventExecuted},
		{StandingSettled, AttemptSettled, StateSettled, &p.SettledAt, EventSettled},
	}
	for _, s := range steps {
		if s.standing > to {
			break
		}
		if standingOfAttempt(a.State) > s.standing || a.State == s.attempt {
			continue
		}
		a.State, p.State = s.attempt, s.state
		if *s.at == nil { // told already, when an unknown outcome was authorized before
			*s.at = &now
			p.emit(s.event, now)
		}
	}
	if to < standingOfAttempt(a.State) {
		a.Odd++
	}
	if !a.State.open() && a.EndedAt == nil {
		a.EndedAt = &now
	}
}

// reopen makes room for the truth after we had given the payment up: the bank
// executed an order we thought dead. Money that moved is never shown as failed.
func (p *Payment) reopen(a *Attempt) {
	p.FailedAt, p.Failure, p.FailureStage, p.BankCode = nil, "", "", ""
	p.forgetSource()
	a.Failure, a.EndedAt = "", nil
	a.State = AttemptAuthorizing
	for i := range p.Attempts { // a younger attempt that is still open stays watched, but no longer leads
		if o := &p.Attempts[i]; o.ID != a.ID && o.State.open() {
			o.Odd++
		}
	}
}

func (p *Payment) paidByOther(a *Attempt) bool {
	return slices.ContainsFunc(p.Attempts, func(o Attempt) bool {
		return o.ID != a.ID && (o.State == AttemptExecuted || o.State == AttemptSettled)
	})
}

func attemptStanding(s Standing) AttemptState {
	if s == StandingSettled {
		return AttemptSettled
	}
	return AttemptExecuted
}

func standingOfAttempt(s AttemptState) Standing {
	switch s {
	case AttemptAuthorized:
		return StandingAuthorized
	case AttemptExecuted:
		return StandingExecuted
	case AttemptSettled:
		return StandingSettled
	}
	return StandingPending
}

func (p *Payment) reportEnd(a *Attempt, s Standing, r Report, now time.Time) {
	if a.Decision.onlyWord() && a.State == AttemptExecuted {
		p.retract(a)
	}
	a.Decision.heard(false)
	if !a.State.open() {
		if a.State == AttemptExecuted || a.State == AttemptSettled {
			a.Odd++
		}
		return
	}
	a.BankReason = r.ReasonCode
	if s == StandingCanceled {
		why := p.CancelledBy
		if why == "" {
			why = ReasonPayerRejected
		}
		p.endAttempt(a, AttemptCanceled, why, r.ReasonCode, now)
		return
	}
	why := ReasonOf(r.ReasonCode)
	if a.SCAStatus == SCAFailed && r.ReasonCode == "" {
		why = ReasonAuthenticationFailed
	}
	p.endAttempt(a, AttemptRefused, why, r.ReasonCode, now)
}

// Silent records that the bank did not answer a status request. Once the payer
// is back, the bank has had its ten seconds (Reg. 260/2012 Art. 5a as amended
// by Reg. 2024/886) and patience on top, the outcome is unknown.
func (p *Payment) Silent(attemptID string, patience time.Duration, now time.Time) {
	a := p.Attempt(attemptID)
	if a == nil {
		return
	}
	a.AskedAt = &now
	if a.State != AttemptAuthorizing && a.State != AttemptAuthorized {
		return
	}
	since := a.ReturnedAt
	if a.State == AttemptAuthorized {
		since = p.AuthorizedAt
	}
	if since != nil && now.Sub(*since) >= patience {
		p.toUnknown(a, now)
	}
}

// Overdue makes an order unknown that the bank accepted and still reports as
// under way after patience: an instant transfer is confirmed within ten
// seconds or its outcome is open (Reg. 260/2012 Art. 5a), and a late
// confirmation is believed whenever it comes. Call it after Report.
func (p *Payment) Overdue(attemptID string, patience time.Duration, now time.Time) {
	a := p.Attempt(attemptID)
	if a != nil && a.State == AttemptAuthorized && p.AuthorizedAt != nil && now.Sub(*p.AuthorizedAt) >= patience {
		p.toUnknown(a, now)
	}
}
