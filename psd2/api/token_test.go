package api_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// assertion signs a client assertion whose claims a test has changed.
func (m *merchant) assertion(change func(map[string]any)) string {
	m.w.t.Helper()
	now := m.w.now()
	claims := map[string]any{"iss": m.ID, "sub": m.ID, "aud": m.w.url, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": rand.Text()}
	if change != nil {
		change(claims)
	}
	jwt, err := jose.SignJWT(m.key, jose.TypAssertion, claims)
	if err != nil {
		m.w.t.Fatal(err)
	}
	return jwt
}

func tokenForm(assertion string) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}
}

func (w *world) askToken(form url.Values, change ...func(*http.Request)) *answer {
	w.t.Helper()
	req := w.request(http.MethodPost, "/oauth/token", form.Encode())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, f := range change {
		f(req)
	}
	return w.send(req)
}

func TestTokenEndpointRefuses(t *testing.T) { // C10, C13, C46
	w := newWorld(t)
	m, other := w.merchant("Casino"), w.merchant("Shop")
	claim := func(name string, value any) url.Values {
		return tokenForm(m.assertion(func(c map[string]any) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}))
	}
	with := func(name, value string) url.Values {
		form := tokenForm(m.assertion(nil))
		form.Set(name, value)
		return form
	}
	part := func(header string) url.Values {
		_, rest, _ := strings.Cut(m.assertion(nil), ".")
		return tokenForm(base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + rest)
	}
	impostor := *m
	impostor.key = other.key
	unsigned := m.assertion(nil)
	unsigned = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + unsigned[strings.IndexByte(unsigned, '.'):strings.LastIndexByte(unsigned, '.')+1]
	now := w.now()
	for _, tc := range []struct {
		name   string
		form   url.Values
		status int
		code   string
	}{
		{"nothing", url.Values{}, 400, "invalid_request"},
		{"authorization code", with("grant_type", "authorization_code"), 400, "unsupported_grant_type"},
		{"refresh token", with("grant_type", "refresh_token"), 400, "unsupported_grant_type"},
		{"password", with("grant_type", "password"), 400, "unsupported_grant_type"},
		{"token exchange", with("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), 400, "unsupported_grant_type"},
		{"jwt bearer grant", with("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), 400, "unsupported_grant_type"},
		{"parameter twice", url.Values{"grant_type": {"client_credentials", "client_credentials"}}, 400, "invalid_request"},
		{"no assertion", with("client_assertion", ""), 401, "invalid_client"},
		{"other assertion type", with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), 401, "invalid_client"},
		{"secret", with("client_secret", "hunter2"), 401, "invalid_client"},
		{"other client_id", with("client_id", other.ID), 401, "invalid_client"},
		{"alg none", tokenForm(unsigned), 401, "invalid_client"},
		{"alg nOnE", part(`{"alg":"nOnE","kid":"` + m.key.ID() + `"}`), 401, "invalid_client"},
		{"alg HS256", part(`{"alg":"HS256","kid":"` + m.key.ID() + `"}`), 401, "invalid_client"},
		{"kid of another client", part(`{"alg":"ES256","kid":"` + other.key.ID() + `"}`), 401, "invalid_client"},
		{"another client's key", tokenForm(impostor.assertion(nil)), 401, "invalid_client"},
		{"garbage", tokenForm("a.b.c"), 401, "invalid_client"},
		{"wrong aud", claim("aud", "https://other.example"), 401, "invalid_client"},
		{"token endpoint as aud", claim("aud", w.url+"/oauth/token"), 401, "invalid_client"},
		{"aud list", claim("aud", []string{w.url, "https://other.example"}), 401, "invalid_client"},
		{"no aud", claim("aud", nil), 401, "invalid_client"},
		{"expired", claim("exp", now.Unix()), 401, "invalid_client"},
		{"no exp", claim("exp", nil), 401, "invalid_client"},
		{"lives for years", claim("exp", now.Add(8760*time.Hour).Unix()), 401, "invalid_client"},
		{"from the future", claim("iat", now.Add(61*time.Second).Unix()), 401, "invalid_client"},
		{"not yet", claim("nbf", now.Add(61*time.Second).Unix()), 401, "invalid_client"},
		{"no jti", claim("jti", nil), 401, "invalid_client"},
		{"other sub", claim("sub", other.ID), 401, "invalid_client"},
		{"unknown client", claim("iss", "mer_00000000000000000000000000"), 401, "invalid_client"},
		{"unknown scope", with("scope", "admin"), 400, "invalid_scope"},
		{"unregistered scope", with("scope", "payments:read payouts:write"), 400, "invalid_scope"},
		{"two blanks", with("scope", "payments:read  payments:write"), 400, "invalid_scope"},
	} {
		if got := w.askToken(tc.form); got.StatusCode != tc.status || got.code() != tc.code {
			t.Errorf("%s: %d %s", tc.name, got.StatusCode, got.body)
		}
	}
	good := tokenForm(m.assertion(nil))
	for name, change := range map[string]func(*http.Request){
		"in the URL": func(r *http.Request) { r.URL.RawQuery = "grant_type=client_credentials" },
		"basic":      func(r *http.Request) { r.SetBasicAuth(m.ID, "x") },
	} {
		if got := w.askToken(good, change); got.StatusCode < 400 || got.StatusCode > 401 {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
	if got := w.askToken(good, setHeader("Content-Type", "application/json")); got.StatusCode != 415 {
		t.Errorf("as JSON: %d", got.StatusCode)
	}
	if got := w.askToken(url.Values{"a": {strings.Repeat("x", 30<<10)}}); got.StatusCode != 413 {
		t.Errorf("30 kB: %d", got.StatusCode)
	}
	if got := w.askToken(good); got.StatusCode != 200 { // none of the refusals above has used it
		t.Errorf("good: %d %s", got.StatusCode, got.body)
	}
	if got := w.askToken(good); got.StatusCode != 401 || got.code() != "invalid_client" {
		t.Errorf("the same assertion again: %d %s", got.StatusCode, got.body)
	}
}

func TestTokenHoldsWhatWasAskedFor(t *testing.T) {
	w := newWorld(t)
	m := w.merchant("Casino")
	form := tokenForm(m.assertion(nil))
	form.Set("scope", "payments:read payments:read")
	got := w.askToken(form)
	var token struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
		Scope       string
	}
	if err := json.Unmarshal(got.body, &token); err != nil || token.Scope != "payments:read" || token.TokenType != "Bearer" || token.ExpiresIn != 300 {
		t.Fatalf("%s", got.body)
	}
	if got.Header.Get("Cache-Control") != "no-store" {
		t.Error("a token may be cached")
	}
	useToken := setHeader("Authorization", "Bearer "+token.AccessToken)
	read := w.request(http.MethodGet, "/v1/payments", "")
	useToken(read)
	if got := w.send(read); got.StatusCode != 200 {
		t.Errorf("read: %d", got.StatusCode)
	}
	if got := m.post("/v1/payments", "k", m.depositJSON(), useToken); got.StatusCode != 403 || got.code() != "insufficient_scope" || w.payments() != 0 {
		t.Errorf("write with a token to read: %d %s", got.StatusCode, got.body)
	}
	claims, err := jose.VerifyAccessToken(token.AccessToken, w.keys.Public(), w.url, w.url, w.now())
	if err != nil || claims.ClientID != m.ID || claims.ExpiresAt.Sub(claims.IssuedAt) != 5*time.Minute {
		t.Errorf("%+v, %v", claims, err)
	}
}

func TestTokenEndsWhenItShould(t *testing.T) {
	w := newWorld(t)
	m := w.merchant("Casino")
	token := m.token()
	try := func() *answer {
		req := w.request(http.MethodGet, "/v1/payments", "")
		req.Header.Set("Authorization", "Bearer "+token)
		return w.send(req)
	}
	if got := try(); got.StatusCode != 200 {
		t.Fatal(got.StatusCode)
	}
	w.pass(5*time.Minute - time.Second)
	if got := try(); got.StatusCode != 200 {
		t.Errorf("a second before its end: %d", got.StatusCode)
	}
	w.pass(time.Second)
	if got := try(); got.StatusCode != 401 || got.code() != "invalid_token" { // although it was found good before
		t.Errorf("at its end: %d %s", got.StatusCode, got.body)
	}
	token = m.token()
	if got := try(); got.StatusCode != 200 {
		t.Fatal(got.StatusCode)
	}
	m.Scopes = []string{api.ScopePaymentsWrite}
	m.save()
	w.pass(10 * time.Second)
	if got := try(); got.StatusCode != 403 {
		t.Errorf("after the scope was withdrawn: %d", got.StatusCode)
	}
}

func TestOnlyOurAccessTokensCount(t *testing.T) { // C10, C13
	w := newWorld(t)
	m := w.merchant("Casino")
	foreign, err := jose.NewKeySet(rand.Reader, w.now())
	if err != nil {
		t.Fatal(err)
	}
	sign := func(keys *jose.KeySet, change func(*jose.AccessToken)) string {
		key, err := keys.Signer(jose.ES256, w.now())
		if err != nil {
			t.Fatal(err)
		}
		claims := jose.AccessToken{Issuer: w.url, Audience: w.url, ClientID: m.ID, Scopes: m.Scopes, ID: "x", IssuedAt: w.now(), ExpiresAt: w.now().Add(time.Minute)}
		change(&claims)
		token, err := jose.SignAccessToken(key, claims)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	same := func(*jose.AccessToken) {}
	good := sign(w.keys, same)
	_, rest, _ := strings.Cut(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + rest
	for name, header := range map[string]string{
		"good":              "Bearer " + good,
		"lower-case scheme": "bearer " + good,
		"other scheme":      "Token " + good,
		"no scheme":         good,
		"two blanks":        "Bearer  " + good,
		"empty":             "Bearer ",
		"basic":             "Basic bWVyOng=",
		"foreign key":       "Bearer " + sign(foreign, same),
		"alg none":          "Bearer " + none,
		"cut off":           "Bearer " + good[:len(good)-4],
		"other issuer":      "Bearer " + sign(w.keys, func(c *jose.AccessToken) { c.Issuer = "https://other.example" }),
		"other audience":    "Bearer " + sign(w.keys, func(c *jose.AccessToken) { c.Audience = "https://other.example" }),
		"no such merchant":  "Bearer " + sign(w.keys, func(c *jose.AccessToken) { c.ClientID = "mer_00000000000000000000000000" }),
		"client assertion":  "Bearer " + m.assertion(nil),
	} {
		req := w.request(http.MethodGet, "/v1/payments", "")
		req.Header.Set("Authorization", header)
		got := w.send(req)
		want := 401
		if name == "good" || name == "lower-case scheme" {
			want = 200
		}
		if got.StatusCode != want || want == 401 && got.code() != "invalid_token" {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
	for _, target := range []string{"/v1/payments?access_token=" + good, "/v1/payments"} {
		req := w.request(http.MethodGet, target, "")
		req.Header.Set("Cookie", "access_token="+good)
		if got := w.send(req); got.StatusCode != 401 {
			t.Errorf("token outside the header: %d", got.StatusCode)
		}
	}
}

func TestStolenBoundTokenIsWorthless(t *testing.T) { // C47
	w := newWorld(t)
	m := w.merchant("Casino")
	newKey := func() *jose.Key {
		key, err := jose.GenerateKey(jose.ES256, rand.Reader, w.now())
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	key, thief := newKey(), newKey()
	c := m.client(func(c *apiclient.Config) { c.DPoP = key })
	p, err := c.Create(context.Background(), m.deposit(), "k")
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.Token(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	target := "/v1/payments/" + p.ID
	proof := func(key *jose.Key, method, target, token string, at time.Time) string {
		s, err := jose.SignDPoP(key, jose.DPoPRequest{Method: method, URL: w.url + target, AccessToken: token}, rand.Text(), at)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ask := func(scheme, token string, proofs ...string) *answer {
		req := w.request(http.MethodGet, target, "")
		req.Header.Set("Authorization", scheme+" "+token)
		for _, p := range proofs {
			req.Header.Add("DPoP", p)
		}
		return w.send(req)
	}
	good := proof(key, "GET", target, token, w.now())
	if got := ask("DPoP", token, good); got.StatusCode != 200 {
		t.Fatalf("with its key: %d %s", got.StatusCode, got.body)
	}
	plain := m.token()
	for name, got := range map[string]*answer{
		"without proof":            ask("DPoP", token),
		"as bearer":                ask("Bearer", token),
		"as bearer with a proof":   ask("Bearer", token, proof(key, "GET", target, token, w.now())),
		"proof by another key":     ask("DPoP", token, proof(thief, "GET", target, token, w.now())),
		"proof used before":        ask("DPoP", token, good),
		"proof for another method": ask("DPoP", token, proof(key, "POST", target, token, w.now())),
		"proof for another URL":    ask("DPoP", token, proof(key, "GET", "/v1/payments", token, w.now())),
		"proof for another token":  ask("DPoP", token, proof(key, "GET", target, plain, w.now())),
		"proof without token":      ask("DPoP", token, proof(key, "GET", target, "", w.now())),
		"old proof":                ask("DPoP", token, proof(key, "GET", target, token, w.now().Add(-2*time.Minute))),
		"two proofs":               ask("DPoP", token, proof(key, "GET", target, token, w.now()), proof(key, "GET", target, token, w.now())),
		"garbage":                  ask("DPoP", token, "x.y.z"),
		"unbound token as DPoP":    ask("DPoP", plain, proof(thief, "GET", target, plain, w.now())),
		"unbound token with proof": ask("Bearer", plain, proof(key, "GET", target, plain, w.now())),
	} {
		if got.StatusCode != 401 || !strings.Contains(got.Header.Get("WWW-Authenticate"), "DPoP") {
			t.Errorf("%s: %d %s %q", name, got.StatusCode, got.body, got.Header.Get("WWW-Authenticate"))
		}
	}
	used := proof(key, "POST", "/oauth/token", "", w.now())
	for i, want := range []int{200, 400} {
		got := w.askToken(tokenForm(m.assertion(nil)), setHeader("DPoP", used))
		if got.StatusCode != want {
			t.Errorf("token request %d with the same proof: %d %s", i+1, got.StatusCode, got.body)
		}
	}
}

func TestDiscovery(t *testing.T) {
	w := newWorld(t)
	got := w.send(w.request(http.MethodGet, "/.well-known/oauth-authorization-server", ""))
	var metadata map[string]any
	if err := json.Unmarshal(got.body, &metadata); err != nil || metadata["issuer"] != w.url || metadata["token_endpoint"] != w.url+"/oauth/token" {
		t.Errorf("%s", got.body)
	}
	keys := w.send(w.request(http.MethodGet, "/.well-known/jwks.json", ""))
	set, err := jose.ParseJWKS(keys.body) // refuses private members
	if err != nil || set.Len() != 1 {
		t.Errorf("%s: %v", keys.body, err)
	}
}

func TestClientSaysWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	m := w.merchant("Casino")
	d := m.deposit()
	d.Amount.AmountMinor = 0
	_, err := m.client().Create(context.Background(), d, "k")
	var p *apiclient.Problem
	if !errors.As(err, &p) || p.Status != 400 || p.Code != "amount_out_of_range" || p.Field != "amount.amount_minor" || len(p.TraceID) != 32 {
		t.Errorf("%v", err)
	}
	_, err = m.client(func(c *apiclient.Config) { c.Scopes = []string{"admin"} }).Get(context.Background(), psd2.NewID(psd2.PrefixPayment, w.now(), rand.Reader))
	if !errors.As(err, &p) || p.Code != "invalid_scope" {
		t.Errorf("%v", err)
	}
	c := m.client()
	first, err1 := c.Token(context.Background())
	second, err2 := c.Token(context.Background())
	w.pass(5 * time.Minute)
	third, err3 := c.Token(context.Background())
	if err := errors.Join(err1, err2, err3); err != nil || first != second || first == third {
		t.Errorf("tokens are not kept or not renewed: %v", err)
	}
}
