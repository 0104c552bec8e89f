package bankstest

import (
	"context"
	"log/slog"
	"net/http/httptrace"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/rialto-hub/rialto/banks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// withConn tells whether a request had a connection.
func withConn(ctx context.Context, connected *atomic.Bool) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
}

// TestWellBehavedAdapterPasses: a suite that fails everybody says nothing.
func TestWellBehavedAdapterPasses(t *testing.T) {
	bank := newToyBank()
	defer bank.Close()
	Run(t, bank.target(""))
}

func TestWindowThatHoldsPasses(t *testing.T) {
	bank := newToyBank()
	bank.dedup = true
	defer bank.Close()
	if r := Do(t.Context(), find(t, "duplicates"), bank.target("has a window")); r.Outcome != Passed {
		t.Error(r.Detail)
	}
}

// TestEachFlawIsFound: an adapter with one flaw fails the check that is about
// it.
func TestEachFlawIsFound(t *testing.T) {
	for flaw, check := range map[string]string{
		"changing info":              "info-constant",
		"retries":                    "lost-request",
		"idempotency key":            "stale-connection",
		"repeats 500":                "server-errors",
		"refuses on 5xx":             "server-errors",
		"unavailable when lost":      "lost-answer",
		"forgets retry-after":        "busy",
		"follows redirects":          "redirected",
		"panics":                     "garbage",
		"foreign errors":             "refused-connection",
		"no limit":                   "huge",
		"deaf":                       "cancel-context",
		"float amounts":              "amounts-exact",
		"any redirect":               "redirect-elsewhere",
		"trusts state":               "bad-state",
		"goes back":                  "final-stays",
		"claims to cancel":           "cancelled",
		"declares a window it lacks": "duplicates",
		"sends anything":             "wrong-order",
		"quotes":                     "quiet",
		"logs bodies":                "one-request",
		"asks in its app":            "risk-declared",
		"asks nobody":                "risk-declared",
	} {
		t.Run(flaw, func(t *testing.T) {
			bank := newToyBank()
			defer bank.Close()
			c := find(t, check)
			if r := Do(t.Context(), c, bank.target("")); r.Outcome != Passed {
				t.Fatalf("%s fails without the flaw: %s", check, r.Detail)
			}
			if r := Do(t.Context(), c, bank.target(flaw)); r.Outcome != Failed {
				t.Errorf("%s %s an adapter that %q", check, r.Outcome, flaw)
			} else {
				t.Log(r.Detail)
			}
		})
	}
}

// TestDeclaredRiskPasses: an app may ask, and an order may be exempt, where the
// hub knows before it sends the order.
func TestDeclaredRiskPasses(t *testing.T) {
	bank := newToyBank()
	defer bank.Close()
	for _, flaw := range []string{"asks in its app", "asks nobody"} {
		target := bank.target(flaw)
		adapter := target.New
		target.New = func(base string, log *slog.Logger) (banks.Bank, error) {
			b, err := adapter(base, log)
			return declared{b, flaw}, err
		}
		if r := Do(t.Context(), find(t, "risk-declared"), target); r.Outcome != Passed {
			t.Errorf("%s: %s", flaw, r.Detail)
		}
	}
}

// declared is an adapter that says what its bank does.
type declared struct {
	banks.Bank
	flaw string
}

func (d declared) Info() banks.Info {
	i := d.Bank.Info()
	if d.flaw == "asks nobody" {
		i.RiskAtOnce = true
	} else {
		i.Approaches = append(i.Approaches, banks.Decoupled)
	}
	return i
}

// TestSkipSaysWhy: what a target cannot do is skipped, never passed.
func TestSkipSaysWhy(t *testing.T) {
	bank := newToyBank()
	defer bank.Close()
	target := bank.target("")
	target.Decline, target.ForgeRedirect = nil, nil
	for _, id := range []string{"declined", "redirect-elsewhere"} {
		if r := Do(t.Context(), find(t, id), target); r.Outcome != Skipped || r.Detail == "" {
			t.Errorf("%s: %+v", id, r)
		}
	}
}

func find(t *testing.T, id string) Check {
	t.Helper()
	for _, c := range Checks() {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("there is no check %s", id)
	return Check{}
}
