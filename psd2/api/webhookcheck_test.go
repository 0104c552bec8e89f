package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// TestSignatureCheckJudgesADeliverySentOn: a merchant whose receiver refuses
// our webhooks sends one on, as he received it, and is told why.
func TestSignatureCheckJudgesADeliverySentOn(t *testing.T) { // C19
	w := newWorld(t)
	m, other, sink := w.hooked("Casino"), w.hooked("Shop"), newSink(t)
	m.endpoint("http://127.0.0.1:9/", []string{"payment.settled"})
	e := m.endpoint(sink.URL, nil)
	failEvent(t, w, m.create().ID)
	w.until("delivered", func() bool { return len(sink.hits()) == 1 })
	h := sink.hits()[0]
	var indented bytes.Buffer
	if err := json.Indent(&indented, h.body, "", "  "); err != nil {
		t.Fatal(err)
	}
	plain := func(http.Header) {}
	noJWS := func(h http.Header) { h.Del(verify.HeaderJWS) }
	for _, c := range []struct {
		name, body, part, differs, scheme, endpoint string
		who                                         *merchant
		late                                        time.Duration
		change                                      func(http.Header)
	}{
		{name: "as received", scheme: "v1", endpoint: e.ID},
		{name: "later than its window", late: time.Hour, part: "clock", scheme: "v1", endpoint: e.ID},
		{name: "written anew", body: indented.String(), part: "signature", differs: "body"},
		{name: "written anew, and late", body: indented.String(), late: time.Hour, part: "signature", differs: "body"},
		{name: "another body", body: `{"id":"evt_1"}`, part: "signature"},
		{name: "no id", part: "header", change: func(h http.Header) { h.Del(verify.HeaderID) }},
		{name: "no time", part: "header", change: func(h http.Header) { h.Del(verify.HeaderTimestamp) }},
		{name: "signature cut off", part: "header", change: func(h http.Header) { h.Set(verify.HeaderSignature, "v1") }},
		{name: "another id", part: "signature", change: func(h http.Header) { h.Set(verify.HeaderID, "evt_1") }},
		{name: "by our own key alone", scheme: "jws", change: func(h http.Header) { h.Del(verify.HeaderSignature) }},
		{name: "somebody else's, by our own key", who: other, scheme: "jws"},
		{name: "somebody else's, by his", who: other, part: "key", change: noJWS},
	} {
		if c.who == nil {
			c.who = m
		}
		if c.body == "" {
			c.body = string(h.body)
		}
		if c.change == nil {
			c.change = plain
		}
		w.pass(c.late)
		got := c.who.post(checkPath, "k", c.body, func(r *http.Request) {
			r.Header.Del("Idempotency-Key")
			for _, name := range []string{verify.HeaderID, verify.HeaderTimestamp, verify.HeaderSignature, verify.HeaderJWS} {
				r.Header.Set(name, h.header.Get(name))
			}
			c.change(r.Header)
		})
		w.pass(-c.late)
		var report apiclient.SignatureReport
		if err := json.Unmarshal(got.body, &report); err != nil || got.StatusCode != 200 {
			t.Errorf("%s: %d %s", c.name, got.StatusCode, got.body)
			continue
		}
		if report.Valid != (c.part == "") || report.Part != c.part || report.Differs != c.differs || report.Scheme != c.scheme || report.EndpointID != c.endpoint || report.Detail == "" {
			t.Errorf("%s: %s", c.name, got.body)
		}
	}
}
