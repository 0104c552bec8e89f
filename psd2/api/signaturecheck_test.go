package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/jose"
)

const checkPath = "/v1/signature/check"

func TestSignatureCheckSaysWhatDiffers(t *testing.T) { // C19
	w := newWorld(t)
	m, other := w.merchant("Casino"), w.merchant("Shop")
	const body = `{"b":{"x":"a, b: \"c\"","n":2500},"a":[1,2]}`
	sign := func(method, target, key, body string, at time.Time) func(*http.Request) {
		return func(r *http.Request) {
			s, err := jose.SignRequest(m.key, method, target, []jose.Header{{Name: "Idempotency-Key", Value: key}}, []byte(body), at)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(jose.HeaderSignature, s)
		}
	}
	signed := func(body string) func(*http.Request) { return sign("POST", checkPath, "k", body, w.now()) }
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(body), "", "  "); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, sent, part, differs string
		change                    func(*http.Request)
	}{
		{"good", body, "", "", func(*http.Request) {}},
		{"good without a body", "", "", "", func(*http.Request) {}},
		{"none", body, "form", "", func(r *http.Request) { r.Header.Del(jose.HeaderSignature) }},
		{"garbage", body, "form", "", setHeader(jose.HeaderSignature, "x")},
		{"slow clock", body, "iat", "", sign("POST", checkPath, "k", body, w.now().Add(-time.Hour))},
		{"fast clock", body, "iat", "", sign("POST", checkPath, "k", body, w.now().Add(time.Hour))},
		{"another's key", body, "kid", "", func(r *http.Request) {
			s, err := jose.SignRequest(other.key, "POST", checkPath, []jose.Header{{Name: "Idempotency-Key", Value: "k"}}, []byte(body), w.now())
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(jose.HeaderSignature, s)
		}},
		{"no Idempotency-Key", body, "header", "", func(r *http.Request) { r.Header.Del("Idempotency-Key") }},
		{"other Idempotency-Key", body, "signature", "", setHeader("Idempotency-Key", "k2")},
		{"quoted Idempotency-Key", body, "signature", "header", sign("POST", checkPath, `"k"`, body, w.now())},
		{"path without /v1", body, "signature", "path", sign("POST", "/signature/check", "k", body, w.now())},
		{"path with a slash", body, "signature", "path", sign("POST", checkPath+"/", "k", body, w.now())},
		{"path of another call", body, "signature", "path", sign("POST", "/v1/payments", "k", body, w.now())},
		{"query not signed", body, "signature", "path", func(r *http.Request) { r.URL.RawQuery = "a=b" }},
		{"method", body, "signature", "method", sign("post", checkPath, "k", body, w.now())},
		{"re-serialised: indented", indented.String(), "signature", "body", signed(body)},
		{"re-serialised: made compact", body, "signature", "body", signed(indented.String())},
		{"re-serialised: blanks", body, "signature", "body", signed(`{"b": {"x": "a, b: \"c\"", "n": 2500}, "a": [1, 2]}`)},
		{"re-serialised: sorted before it was signed", body, "signature", "body", signed(`{"a":[1,2],"b":{"n":2500,"x":"a, b: \"c\""}}`)},
		{"line break added", body + "\n", "signature", "body", signed(body)},
		{"body not signed", body, "signature", "body", signed("")},
		{"hash signed", body, "signature", "body", func(r *http.Request) {
			sum := sha256.Sum256([]byte(body))
			signed(hex.EncodeToString(sum[:]))(r)
		}},
		{"another body", body, "signature", "", signed(strings.Replace(body, "2500", "2501", 1))},
	} {
		got := m.post(checkPath, "k", tc.sent, tc.change)
		var report apiclient.SignatureReport
		if err := json.Unmarshal(got.body, &report); err != nil || got.StatusCode != 200 {
			t.Errorf("%s: %d %s", tc.name, got.StatusCode, got.body)
			continue
		}
		if report.Valid != (tc.part == "") || report.Part != tc.part || report.Differs != tc.differs || report.Detail == "" {
			t.Errorf("%s: %s", tc.name, got.body)
		}
		sum := sha256.Sum256([]byte(tc.sent))
		if report.BodySHA256 != hex.EncodeToString(sum[:]) || report.BodyBytes != len(tc.sent) {
			t.Errorf("%s: of the body it says %s", tc.name, got.body)
		}
		if tc.part != "signature" {
			continue
		}
		// The head and the body that was sent are the bytes to sign.
		sum = sha256.Sum256([]byte(report.SignedHead + tc.sent))
		if report.SignedSHA256 != hex.EncodeToString(sum[:]) || !strings.HasPrefix(report.SignedHead, "POST "+checkPath) {
			t.Errorf("%s: head %q, digest %s", tc.name, report.SignedHead, report.SignedSHA256)
		}
	}
	report, err := m.client().CheckSignature(t.Context(), []byte(body), "k")
	if err != nil || !report.Valid {
		t.Errorf("the client's own: %+v, %v", report, err)
	}
}

func TestSignatureCheckKeepsNothingAndNeedsAToken(t *testing.T) {
	w := newWorld(t)
	m := w.merchant("Casino")
	for range 2 {
		if got := m.post(checkPath, "k", m.depositJSON()); got.StatusCode != 200 || got.Header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
	}
	if got := m.post("/v1/payments", "k", m.depositJSON()); got.StatusCode != 201 {
		t.Errorf("the key was taken: %d %s", got.StatusCode, got.body)
	}
	if got := w.send(w.request(http.MethodPost, checkPath, "")); got.code() != "token_missing" {
		t.Errorf("without a token: %d %s", got.StatusCode, got.body)
	}
}

func TestSignatureCheckIsInTheSandboxOnly(t *testing.T) { // C45
	w := newWorld(t, func(d *api.Deps) { d.Sandbox = false })
	m := w.merchant("Casino")
	if got := m.post(checkPath, "k", "{}"); got.StatusCode != 404 || got.code() != "route_not_found" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}
