package banks

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// A bank is taken out of the choice after tripAfter calls in a row without an
// answer; RTS Art. 33(1) speaks of five requests, each unanswered for 30 s, and
// no payer should have to be the fifth. The pause doubles each time the trial
// after it fails, up to maxPause.
const (
	tripAfter  = 3
	firstPause = 30 * time.Second
	maxPause   = 10 * time.Minute
)

// health is one bank's circuit breaker.
//
//	closed ──tripAfter failures, or 503 with Retry-After──→ open until `until`
//	open ──time passes──→ half-open: offered again, its first call is the trial
//	half-open ──failure──→ open, twice as long      any answer ──→ closed
//
// Status requests for orders under way go on while it is open, so a bank that
// recovers is often seen before its pause is over.
type health struct {
	failures int // in a row
	trips    int // since the last answer
	until    time.Time
	reason   string
	latency  time.Duration
}

func (h *health) observe(err error, took time.Duration, now time.Time) {
	failed, counts := unanswered(err)
	switch {
	case !counts:
		return
	case !failed:
		h.failures, h.trips, h.until, h.reason = 0, 0, time.Time{}, ""
		h.smooth(took)
		return
	}
	h.failures++
	if e := asError(err); e.HTTPStatus == http.StatusServiceUnavailable && e.RetryAfter > 0 {
		h.pause(min(e.RetryAfter, maxPause), ReasonBusy, now)
		return
	}
	if h.failures < tripAfter || now.Before(h.until) { // late answers of calls made before it opened do not lengthen it
		return
	}
	pause := min(firstPause<<min(h.trips, 10), maxPause)
	h.trips++
	h.pause(pause, ReasonNotAnswering, now)
}

func (h *health) pause(d time.Duration, reason string, now time.Time) {
	if end := now.Add(d); end.After(h.until) {
		h.until, h.reason = end, reason
	}
}

func (h *health) smooth(took time.Duration) {
	if h.latency == 0 {
		h.latency = took
		return
	}
	h.latency += (took - h.latency) / 8
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
