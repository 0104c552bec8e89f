package bankstest

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"testing"
	"time"
)

// Outcomes of a check.
const (
	Passed  = "passed"
	Failed  = "failed"
	Skipped = "skipped"
)

// Result is how a check ended.
type Result struct {
	ID      string        `json:"id"`
	Title   string        `json:"title"`
	Outcome string        `json:"outcome"`
	Detail  string        `json:"detail,omitempty"` // of a failure or a skip
	Took    time.Duration `json:"took_ns"`
}

// checkTimeout bounds one check; the slowest wait for a bank to execute late.
const checkTimeout = time.Minute

// Exercise runs all checks, one after the other.
func Exercise(ctx context.Context, t Target) []Result {
	var results []Result
	for _, c := range Checks() {
		results = append(results, Do(ctx, c, t))
	}
	return results
}

// Do runs one check with a proxy and an adapter of its own. A panic of the
// adapter is a failure, and so is a secret in whatever it said.
func Do(ctx context.Context, c Check, t Target) (r Result) {
	r = Result{ID: c.ID, Title: c.Title, Outcome: Passed}
	start := time.Now()
	defer func() { r.Took = time.Since(start) }()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	e, err := newEnv(t)
	if err == nil {
		defer e.Proxy.Close()
		err = guarded(func() error { return c.Run(ctx, e) })
	}
	if e != nil && err == nil {
		err = e.leak()
	}
	var skip Skip
	switch {
	case errors.As(err, &skip):
		r.Outcome, r.Detail = Skipped, string(skip)
	case err != nil:
		r.Outcome, r.Detail = Failed, err.Error()
	}
	return r
}

// guarded makes a panic of the adapter an error, in the goroutine it is called in.
func guarded(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return call()
}

// Run is the suite as a test: one subtest a check.
func Run(t *testing.T, target Target) {
	t.Helper()
	for _, c := range Checks() {
		t.Run(c.ID, func(t *testing.T) {
			switch r := Do(t.Context(), c, target); r.Outcome {
			case Failed:
				t.Errorf("%s: %s", r.Title, r.Detail)
			case Skipped:
				t.Skip(r.Detail)
			}
		})
	}
}
