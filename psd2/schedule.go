package psd2

import "time"

// Times of status requests after the payer came back or the order was
// accepted, and while he is still away. After the last one they go on hourly.
// An SCT Inst ends within ten seconds, so the first ones are close together.
var (
	pollAfterReturn = []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 5 * time.Second, 8 * time.Second,
		10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}
	pollWhileAway = []time.Duration{20 * time.Second, 40 * time.Second, time.Minute, 2 * time.Minute, 3 * time.Minute,
		5 * time.Minute, 8 * time.Minute, 12 * time.Minute}
	// Nobody comes back from a bank's app, so its answer is looked for.
	pollApp = []time.Duration{2 * time.Second, 4 * time.Second, 6 * time.Second, 9 * time.Second, 12 * time.Second, 16 * time.Second,
		20 * time.Second, 25 * time.Second, 30 * time.Second, 40 * time.Second, 50 * time.Second, time.Minute, 75 * time.Second,
		90 * time.Second, 2 * time.Minute, 150 * time.Second, 3 * time.Minute, 4 * time.Minute, 5 * time.Minute, 8 * time.Minute, 12 * time.Minute}
	// Counted from when the outcome became unknown: most banks know within the
	// minute, and a payer who approves just after the expiry and does not come
	// back must not wait an hour.
	pollUnknown = []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 5 * time.Second, 8 * time.Second,
		10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 20 * time.Minute, 40 * time.Minute}
)

// Watches are how long a payment is still looked at after its last change:
// ACCC may follow ACSC, and a lapsed order may turn out to be paid.
const (
	watchExecuted = 24 * time.Hour
	watchFailed   = 24 * time.Hour
	watchUnknown  = 90 * 24 * time.Hour // then only an operator can settle it
)

// NextStep says when background work should look at the payment again, and
// whether at all. submitTimeout is as in Lapse. Work that is due lies at or
// before the time it is asked with.
func (p *Payment) NextStep(submitTimeout time.Duration) (time.Time, bool) {
	a := p.Open()
	switch {
	case a == nil && p.State == StateAuthorizationRequired:
		return p.ExpiresAt, true
	case a != nil && a.calling(p):
		return a.calledAt().Add(submitTimeout), true
	case a != nil && a.AtRiskAt == nil:
		return p.ExpiresAt, true
	case a != nil && p.State == StateOutcomeUnknown:
		return nextPoll(pollUnknown, p.UpdatedAt, a.AskedAt, watchUnknown)
	case a != nil:
		points, from := pollAfterReturn, anchor(p, a)
		if a.ReturnedAt == nil && a.State == AttemptAuthorizing {
			points = pollWhileAway
			if a.Prompt == PromptApp {
				points = pollApp
			}
		}
		next, ok := nextPoll(points, from, a.AskedAt, watchUnknown)
		if end := p.decisiveMoment(a); ok && end.Before(next) && (a.AskedAt == nil || a.AskedAt.Before(end)) {
			next = end
		}
		return next, ok
	case p.State == StateExecuted:
		if l := p.leading(); l != nil {
			return nextPoll(pollAfterReturn, *p.ExecutedAt, l.AskedAt, l.Decision.watch(watchExecuted))
		}
	case p.State == StateSettled && p.SourceID == "": // who paid could not be read: no refund could find him
		if l := p.leading(); l != nil {
			return nextPoll(pollAfterReturn, *p.SettledAt, l.AskedAt, watchExecuted)
		}
	case p.State == StateFailed:
		if l := p.Last(); l != nil && l.State == AttemptAbandoned && l.AtRiskAt != nil && StandingOf(l.BankStatus) < StandingRefused {
			return nextPoll([]time.Duration{time.Hour, 6 * time.Hour}, *p.FailedAt, l.AskedAt, l.Decision.watch(watchFailed))
		}
	}
	return time.Time{}, false
}

// anchor is the moment from which an attempt's status requests are counted.
func anchor(p *Payment, a *Attempt) time.Time {
	switch {
	case a.State == AttemptAuthorized && p.AuthorizedAt != nil:
		return *p.AuthorizedAt
	case a.ReturnedAt != nil:
		return *a.ReturnedAt
	case a.AtRiskAt != nil:
		return *a.AtRiskAt
	}
	return a.StartedAt
}

// decisiveMoment is when time alone can change a payment at risk: its expiry,
// or the later lapse of the bank's redirect.
func (p *Payment) decisiveMoment(a *Attempt) time.Time {
	end := p.ExpiresAt
	if lapse, ok := a.LapsesAt(); ok && lapse.After(end) {
		end = lapse
	}
	return end
}

// LapsesAt is when the bank's redirect dies, if its profile says. It is counted
// from when the bank was known to have the order: it may have come later than
// the intent to send it, never later than that.
func (a *Attempt) LapsesAt() (time.Time, bool) {
	if a.AtRiskAt == nil || a.TakenAt == nil || a.RedirectLife <= 0 {
		return time.Time{}, false
	}
	from := *a.AtRiskAt
	if a.TakenAt.After(from) {
		from = *a.TakenAt
	}
	return from.Add(a.RedirectLife), true
}

// leading is the attempt that carries the outcome of a payment whose money
// moved.
func (p *Payment) leading() *Attempt {
	want := AttemptExecuted
	if p.State == StateSettled {
		want = AttemptSettled
	}
	for i := range p.Attempts {
		if p.Attempts[i].State == want {
			return &p.Attempts[i]
		}
	}
	return nil
}

// nextPoll is the first point of the schedule after the last request.
func nextPoll(points []time.Duration, from time.Time, asked *time.Time, watch time.Duration) (time.Time, bool) {
	last := from
	if asked != nil && asked.After(last) {
		last = *asked
	}
	for _, d := range points {
		if t := from.Add(d); t.After(last) {
			return t, true
		}
	}
	step := time.Hour
	if last.Sub(from) > 24*time.Hour {
		step = 6 * time.Hour
	}
	if t := last.Add(step); t.Before(from.Add(watch)) {
		return t, true
	}
	return time.Time{}, false
}
