package verify_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/webhooks/verify"
)

// A receiver holds one of the keys and hands every request to the verifier
// before anything else reads its body.
func Example() {
	const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	verifier, err := verify.New(verify.Config{Secrets: []string{secret}, Now: func() time.Time { return now }})
	if err != nil {
		fmt.Println(err)
		return
	}
	receive := func(w http.ResponseWriter, r *http.Request) {
		event, err := verifier.Request(r, 1<<20)
		if err != nil {
			fmt.Println(err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		fmt.Println(event.ID, event.Type, string(event.Data))
		w.WriteHeader(http.StatusNoContent)
	}

	// What the hub sends:
	sent := `{"id":"evt_1","type":"payment.creditable","created_at":"2026-11-22T12:00:00Z","sequence":4,"data":{"payment_id":"pay_1"}}`
	key, _ := verify.ParseSecret(secret)
	deliver := func(body string) {
		r := httptest.NewRequest("POST", "/webhooks", strings.NewReader(body))
		r.Header.Set(verify.HeaderID, "evt_1")
		r.Header.Set(verify.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
		r.Header.Set(verify.HeaderSignature, verify.SignV1(key, "evt_1", now, []byte(sent)))
		receive(httptest.NewRecorder(), r)
	}
	deliver(sent)
	deliver(strings.Replace(sent, "pay_1", "pay_2", 1)) // altered on the way
	// Output:
	// evt_1 payment.creditable {"payment_id":"pay_1"}
	// webhook signature: no signature matches: the wrong secret or key, or the body is not what was sent
}
