package sandbox_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
)

const verifier = "a-verifier-that-is-long-enough-for-rfc-7636-0123"

// authorizeURL is an authorisation request; change spoils it.
func (w *world) authorizeURL(bank, scope string, change ...func(url.Values)) string {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{"response_type": {"code"}, "client_id": {"PSDDE-BAFIN-1"}, "redirect_uri": {okURI}, "scope": {scope}, "state": {"s1"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	for _, f := range change {
		f(q)
	}
	return w.srv.URL + "/" + bank + "/oauth/authorize?" + q.Encode()
}

// redeem exchanges a code.
func (w *world) redeem(bank, code string, change ...func(url.Values)) (int, map[string]any) {
	w.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {okURI}, "client_id": {"PSDDE-BAFIN-1"}, "code_verifier": {verifier}}
	for _, f := range change {
		f(form)
	}
	res, err := w.srv.Client().PostForm(w.srv.URL+"/"+bank+"/oauth/token", form)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var out map[string]any
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		w.t.Fatal(err)
	}
	if res.Header.Get("Cache-Control") != "no-store" {
		w.t.Error("a token may be cached")
	}
	return res.StatusCode, out
}

func TestOAuthBeforeTheOrder(t *testing.T) {
	w := open(t)
	anna := w.persona("hafenbank", "anna")
	if a := w.ordered("hafenbank", order{}, http.StatusUnauthorized); a.code() != "TOKEN_UNKNOWN" {
		t.Errorf("without a token: %v", a.body)
	}
	back := w.walkTo(w.authorizeURL("hafenbank", "PIS"), anna, psu.Wish{}).Query()
	if back.Get("iss") != w.srv.URL+"/hafenbank" || back.Get("state") != "s1" || back.Get("code") == "" {
		t.Fatalf("%v", back)
	}
	for name, spoil := range map[string]func(url.Values){
		"another verifier":     func(f url.Values) { f.Set("code_verifier", strings.Repeat("x", 50)) },
		"no verifier":          func(f url.Values) { f.Del("code_verifier") },
		"another redirect_uri": func(f url.Values) { f.Set("redirect_uri", nokURI) },
		"another client":       func(f url.Values) { f.Set("client_id", "PSDDE-BAFIN-2") },
		"another code":         func(f url.Values) { f.Set("code", "x") },
	} {
		if status, out := w.redeem("hafenbank", back.Get("code"), spoil); status != http.StatusBadRequest || out["error"] != "invalid_grant" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	status, token := w.redeem("hafenbank", back.Get("code"))
	if status != http.StatusOK || token["token_type"] != "Bearer" {
		t.Fatalf("%d %v", status, token)
	}
	bearer := as("Authorization", "Bearer "+token["access_token"].(string))
	a := w.ordered("hafenbank", bearer, http.StatusCreated)
	w.walkTo(a.link("scaRedirect"), anna, psu.Wish{})
	w.wantOrder(a, "ACCC", true)
	w.ordered("hafenbank", as("Authorization", "Bearer x"), http.StatusUnauthorized)

	if status, _ := w.redeem("hafenbank", back.Get("code")); status != http.StatusBadRequest {
		t.Error("a code was exchanged twice")
	}
	if a := w.ordered("hafenbank", bearer, http.StatusUnauthorized); a.code() != "TOKEN_UNKNOWN" {
		t.Error("the token of a code that came twice still works")
	}
}

func TestOAuthTimesAndRefusals(t *testing.T) {
	w := open(t)
	anna := w.persona("hafenbank", "anna")
	code := w.walkTo(w.authorizeURL("hafenbank", "PIS"), anna, psu.Wish{}).Query().Get("code")
	w.clock.Add(61 * time.Second)
	if status, _ := w.redeem("hafenbank", code); status != http.StatusBadRequest {
		t.Error("a code of more than a minute was exchanged")
	}
	code = w.walkTo(w.authorizeURL("hafenbank", "PIS"), anna, psu.Wish{}).Query().Get("code")
	_, token := w.redeem("hafenbank", code)
	w.clock.Add(time.Hour + time.Second)
	if a := w.ordered("hafenbank", as("Authorization", "Bearer "+token["access_token"].(string)), http.StatusUnauthorized); a.code() != "TOKEN_EXPIRED" {
		t.Errorf("%v", a.body)
	}
	for name, c := range map[string]struct {
		spoil func(url.Values)
		want  string
	}{
		"no PKCE":        {func(q url.Values) { q.Del("code_challenge") }, "invalid_request"},
		"plain PKCE":     {func(q url.Values) { q.Set("code_challenge_method", "plain") }, "invalid_request"},
		"implicit":       {func(q url.Values) { q.Set("response_type", "token") }, "unsupported_response_type"},
		"another scope":  {func(q url.Values) { q.Set("scope", "AIS") }, "invalid_scope"},
		"scope of order": {func(q url.Values) { q.Set("scope", "PIS:1") }, "invalid_scope"},
	} {
		if back := w.walkTo(w.authorizeURL("hafenbank", "PIS", c.spoil), anna, psu.Wish{}).Query(); back.Get("error") != c.want || back.Get("iss") == "" || back.Get("state") != "s1" {
			t.Errorf("%s: %v", name, back)
		}
	}
	if back := w.walkTo(w.authorizeURL("hafenbank", "PIS"), anna, psu.Wish{Decline: true}).Query(); back.Get("error") != "access_denied" {
		t.Errorf("declined: %v", back)
	}
	for name, spoil := range map[string]func(url.Values){ // nobody is sent to an address that is none
		"no client": func(q url.Values) { q.Del("client_id") }, "javascript": func(q url.Values) { q.Set("redirect_uri", "javascript:alert(1)") },
	} {
		if _, err := psu.Walk(t.Context(), w.payer(), w.authorizeURL("hafenbank", "PIS", spoil), anna, psu.Wish{}, w.clock.Now); err == nil {
			t.Errorf("%s: the payer was sent somewhere", name)
		}
	}
}

func TestIntegratedOAuthConfirmsOneOrder(t *testing.T) {
	w := open(t)
	a := w.ordered("lindenbank", order{}, http.StatusCreated)
	if a.link("scaRedirect") != "" || a.link("scaOAuth") == "" {
		t.Fatalf("%v", a.body)
	}
	var meta map[string]any
	if err := json.Unmarshal([]byte(body(t, w.srv.Client(), w.srv.URL+a.link("scaOAuth"))), &meta); err != nil || meta["issuer"] != w.srv.URL+"/lindenbank" {
		t.Fatal(meta, err)
	}
	anna, scope := w.persona("lindenbank", "anna"), "PIS:"+a.text("paymentId")
	for name, link := range map[string]string{
		"without an order":     w.authorizeURL("lindenbank", "PIS"),
		"of nobody's order":    w.authorizeURL("lindenbank", "PIS:1"),
		"to another's address": w.authorizeURL("lindenbank", scope, func(q url.Values) { q.Set("redirect_uri", "https://other.example/return") }),
	} {
		if back := w.walkTo(link, anna, psu.Wish{}).Query(); back.Get("error") != "invalid_scope" {
			t.Errorf("%s: %v", name, back)
		}
	}
	back := w.walkTo(w.authorizeURL("lindenbank", scope), anna, psu.Wish{}).Query()
	if back.Get("code") == "" || back.Get("iss") != meta["issuer"] {
		t.Fatalf("%v", back)
	}
	w.wantOrder(a, "ACCC", true)
	if status, token := w.redeem("lindenbank", back.Get("code")); status != http.StatusOK || token["scope"] != scope {
		t.Errorf("%d %v", status, token)
	}
	b := w.ordered("lindenbank", order{}, http.StatusCreated)
	if back := w.walkTo(w.authorizeURL("lindenbank", "PIS:"+b.text("paymentId")), anna, psu.Wish{Decline: true}).Query(); back.Get("error") != "access_denied" {
		t.Errorf("declined: %v", back)
	}
	w.wantOrder(b, "RJCT", false)
}
