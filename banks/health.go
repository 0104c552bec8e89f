package banks

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// TripAfter is how many calls in a row without an answer take a bank out of the
// choice: RTS Art. 33(1) speaks of five requests, each unanswered for 30 s, and
// no payer should have to be the fifth.
const TripAfter = 3

// The pause doubles each time the trial after it fails, up to maxPause.
const (
	firstPause = 30 * time.Second
	maxPause   = 10 * time.Minute
	// unavailableAfter is the law's own measure (RTS Art. 33(1)).
	unavailableAfter = 5
)

// breaker is one bank's circuit breaker, as one process sees it.
//
//	closed ──TripAfter failures, or 503 with Retry-After──→ open until `until`
//	open ──time passes──→ half-open: offered again, its first call is the trial
//	half-open ──failure──→ open, twice as long      any answer ──→ closed
//
// Status requests for orders under way go on while it is open, and so do
// probes, so a bank that recovers is often seen before its pause is over.
type breaker struct {
	Failures int       `json:"failures,omitempty"` // in a row
	Trips    int       `json:"trips,omitempty"`    // since the last answer
	Until    time.Time `json:"until,omitzero"`
	Reason   string    `json:"reason,omitempty"`
	Answered time.Time `json:"answered,omitzero"` // last answer of any kind
	Tripped  time.Time `json:"tripped,omitzero"`  // last time it opened
}

// observe reports whether the breaker opened or closed.
func (b *breaker) observe(err error, failed bool, now time.Time) (turned bool) {
	was := now.Before(b.Until)
	if !failed {
		*b = breaker{Answered: now}
		return was
	}
	b.Failures++
	if e := asError(err); e.HTTPStatus == http.StatusServiceUnavailable && e.RetryAfter > 0 {
		b.pause(min(e.RetryAfter, maxPause), ReasonBusy, now)
		return !was
	}
	if b.Failures < TripAfter || was { // late answers of calls made before it opened do not lengthen it
		return false
	}
	pause := min(firstPause<<min(b.Trips, 10), maxPause)
	b.Trips++
	b.pause(pause, ReasonNotAnswering, now)
	return true
}

func (b *breaker) pause(d time.Duration, reason string, now time.Time) {
	if end := now.Add(d); end.After(b.Until) {
		b.Until, b.Reason, b.Tripped = end, reason, now
	}
}

// unanswered says whether an error speaks of the bank's health at all, and if
// so, whether the bank failed to answer. A refusal is an answer. A call that
// our own side gave up says nothing.
func unanswered(err error) (failed, counts bool) {
	if err == nil {
		return false, true
	}
	e := asError(err)
	if e == nil || errors.Is(err, context.Canceled) {
		return false, false
	}
	switch e.Kind {
	case Unavailable:
		return true, true
	case Uncertain:
		return e.HTTPStatus == 0 || e.HTTPStatus >= 500, e.HTTPStatus == 0 || e.HTTPStatus >= 500
	}
	// Invalid and not-found answers are answers, but one that was decided
	// before anything was sent has no status and says nothing.
	return false, e.HTTPStatus != 0
}

func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
