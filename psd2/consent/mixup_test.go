package consent_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// TestMixedUpCallbackReachesOnlyItsOwnOrder is B21 where no code is exchanged:
// a callback that carries another bank's issuer, a code or a state looks at
// the order its path names, at that order's own bank, and at nothing else.
func TestMixedUpCallbackReachesOnlyItsOwnOrder(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	first, path := w.start()
	b.toBank(path)
	firstReturn := w.returnPath()
	second, path := w.start()
	b.toBank(path)
	secondReturn := w.returnPath()
	w.sandbank.decide(banks.Status{Transaction: "ACSC"}) // the second order is paid
	w.clock.Add(2 * time.Second)
	for _, query := range []string{
		"?iss=https%3A%2F%2Fevil.example&code=stolen&state=" + second,
		"?code=c&state=", "?state=x&iss=", "?error=access_denied&iss=https%3A%2F%2Fevil.example",
		"?attempt=" + strings.TrimPrefix(secondReturn, "/return/"),
	} {
		if to := b.get(firstReturn + query).location(); to != "/pay/"+first {
			t.Errorf("%s leads to %s", query, to)
		}
		if p := w.payment(first); p.State != psd2.StateAuthorizing {
			t.Errorf("%s: the first payment is %s", query, p.State)
		}
	}
	if p := w.payment(second); p.State != psd2.StateAuthorizing {
		t.Errorf("nobody came back for the second payment, it is %s", p.State)
	}
	b.get(b.get(secondReturn).location()).want(http.StatusOK)
	if p := w.payment(second); p.State != psd2.StateExecuted {
		t.Errorf("the second payment is %s", p.State)
	}
}
