package ops

import (
	"slices"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
)

// saw is what the payer saw and did, as far as it left a trace, and what the
// hosted page tells him now.
func (v *visit) saw(p *psd2.Payment) []entry {
	names := v.bankNames()
	var list []entry
	add := func(at *time.Time, kind, key string, pairs ...any) {
		if at != nil {
			list = append(list, entry{At: v.fine(*at), Kind: kind, Title: v.say("saw."+key, pairs...)})
		}
	}
	add(&p.CreatedAt, "", "link")
	for i := range p.Attempts {
		a := &p.Attempts[i]
		bank := nameOr(names, a.BankID)
		add(&a.StartedAt, "", "consented", "amount", page.Money(v.lang, p.Amount), "bank", bank)
		if a.Approach != "" { // the bank took the order; only then was there a link to follow
			add(a.AtRiskAt, "", "sent_to_bank", "bank", bank)
		}
		add(a.ReturnedAt, "", "returned", "bank", bank)
		if a.Failure != "" && a.EndedAt != nil {
			add(a.EndedAt, "failed", "attempt_failed", "reason", v.reason(a.Failure))
		}
	}
	slices.SortStableFunc(list, func(a, b entry) int { return a.At.T.Compare(b.At.T) })
	var before time.Time
	for i := range list {
		list[i].Since = v.since(before, list[i].At.T)
		before = list[i].At.T
	}
	now := situation(p, v.Now())
	text := v.say("saw.bound")
	if p.BrowserHash == "" {
		text = v.say("saw.unbound")
	}
	return append(list, entry{At: v.fine(v.Now()), Kind: situationKinds[now], Title: v.say("saw.now." + now), Meta: text})
}

var situationKinds = map[string]string{"sent": "done", "arrived": "done", "no_payment": "failed", "expired": "failed", "unknown": "look", "cancelling": "look"}

// situation is what the hosted page says of a payment's money now.
func situation(p *psd2.Payment, now time.Time) string {
	switch p.State {
	case psd2.StateSettled:
		return "arrived"
	case psd2.StateExecuted:
		return "sent"
	case psd2.StateAuthorized:
		return "on_its_way"
	case psd2.StateFailed:
		if p.Failure == psd2.ReasonExpired {
			return "expired"
		}
		return "no_payment"
	case psd2.StateAuthorizationRequired:
		switch {
		case !now.Before(p.ExpiresAt):
			return "expired"
		case p.Last() == nil:
			return "choose"
		}
		return "try_again"
	}
	if p.CancelledBy != "" {
		return "cancelling"
	}
	if p.State == psd2.StateOutcomeUnknown {
		return "unknown"
	}
	if a := p.Open(); a != nil && a.State != psd2.AttemptSubmitting && a.ReturnedAt == nil {
		return "at_bank"
	}
	return "waiting"
}
