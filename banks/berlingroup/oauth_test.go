package berlingroup

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// serve lets the stub be an authorisation server too.
func (s *stub) serve(change func(map[string]any)) {
	m := map[string]any{
		"issuer": s.URL + "/psd2", "authorization_endpoint": "https://login.bank.example/authorize?brand=1", "token_endpoint": s.URL + "/psd2/oauth/token",
		"code_challenge_methods_supported": []string{"S256"}, "authorization_response_iss_parameter_supported": true,
	}
	if change != nil {
		change(m)
	}
	raw, _ := json.Marshal(m)
	s.answers["GET /.well-known/oauth-authorization-server"] = says(200, string(raw))
	s.answers["POST /oauth/token"] = says(200, `{"access_token":"canary-token","token_type":"Bearer","expires_in":600}`)
}

func (s *stub) before(c *Config) {
	c.OAuth = OAuth{Before: true, Issuer: s.URL + "/psd2", MetadataURL: s.URL + "/psd2/.well-known/oauth-authorization-server", ClientID: "PSDXX-TEST-1"}
}

func (s *stub) tokens() (n int) {
	for _, r := range s.seen {
		if strings.HasSuffix(r.URL.Path, "/oauth/token") {
			n++
		}
	}
	return n
}

// loginTo reads where the payer is sent.
func loginTo(t *testing.T, in banks.Initiation) url.Values {
	t.Helper()
	u, err := url.Parse(in.Prompt.RedirectURL)
	if err != nil || in.Prompt.Kind != psd2.PromptRedirect || u.Host != "login.bank.example" {
		t.Fatalf("%+v %v", in, err)
	}
	return u.Query()
}

func TestLoginBeforeTheOrder(t *testing.T) {
	s := newStub(t)
	s.serve(nil)
	s.accepts("")
	b := s.bank(t, s.before)
	if b.Info().First != psd2.PromptRedirect {
		t.Error("the hub is not told that the payer logs in first")
	}
	o := order(psd2.Euro(2500))
	in, err := b.Prepare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	q := loginTo(t, in)
	for name, want := range map[string]string{"response_type": "code", "client_id": "PSDXX-TEST-1", "redirect_uri": o.ReturnURL, "scope": "PIS", "code_challenge_method": "S256", "brand": "1"} {
		if q.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, q.Get(name), want)
		}
	}
	if s.creations() != 0 || len(q.Get("state")) < 43 || in.Approach != banks.Redirect || in.Ready {
		t.Errorf("%+v %v", in, s.requests())
	}
	o.State = in.State
	if _, err := b.Initiate(t.Context(), o); kindOf(err) != banks.BadRequest || s.creations() != 0 {
		t.Errorf("an order before the login: %v", err)
	}
	s.seen, s.bodies = nil, nil
	in, err = b.Return(t.Context(), refOf(o, in), url.Values{"code": {"c0de"}, "state": {q.Get("state")}, "iss": {s.URL + "/psd2"}})
	if err != nil || !in.Ready || len(s.seen) != 1 {
		t.Fatalf("%+v %v", in, err)
	}
	form, _ := url.ParseQuery(s.bodies[0])
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if got := base64.RawURLEncoding.EncodeToString(sum[:]); got != q.Get("code_challenge") {
		t.Errorf("the verifier is not that of the challenge: %s", got)
	}
	for name, want := range map[string]string{"grant_type": "authorization_code", "code": "c0de", "redirect_uri": o.ReturnURL, "client_id": "PSDXX-TEST-1"} {
		if form.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, form.Get(name), want)
		}
	}
	if s.seen[0].Header.Get("Content-Type") != "application/x-www-form-urlencoded" || bytes.Contains(in.State, []byte(form.Get("code_verifier"))) {
		t.Error("the verifier is kept, or the form is none")
	}
	s.seen = nil
	o.State = in.State
	in, err = b.Initiate(t.Context(), o)
	if err != nil || len(s.seen) != 1 || s.seen[0].Header.Get("Authorization") != "Bearer canary-token" {
		t.Fatalf("%v %v", err, s.requests())
	}
	s.answers["GET /status"] = says(200, `{"transactionStatus":"ACSP"}`)
	if _, err := b.Status(t.Context(), refOf(o, in)); err != nil || s.seen[1].Header.Get("Authorization") != "Bearer canary-token" {
		t.Errorf("the status is asked without the token: %v", err)
	}
}

// TestMixedUpReturnIsNoLogin. B21: another bank's answer, a wrong or missing
// iss, a missing, wrong or doubled state, an injected code. Each is refused
// before the token endpoint hears of it.
func TestMixedUpReturnIsNoLogin(t *testing.T) {
	for _, sendsIss := range []bool{true, false} {
		for name, c := range map[string]struct {
			spoil  func(url.Values)
			kind   banks.Kind
			tokens int
		}{
			"good":            {func(url.Values) {}, "", 1},
			"no state":        {func(q url.Values) { q.Del("state") }, banks.BadRequest, 0},
			"empty state":     {func(q url.Values) { q.Set("state", "") }, banks.BadRequest, 0},
			"other state":     {func(q url.Values) { q.Set("state", strings.Repeat("A", 43)) }, banks.BadRequest, 0},
			"state twice":     {func(q url.Values) { q.Add("state", q.Get("state")) }, banks.BadRequest, 0},
			"other issuer":    {func(q url.Values) { q.Set("iss", "https://evil.example") }, banks.BadRequest, 0},
			"issuer, almost":  {func(q url.Values) { q.Set("iss", q.Get("iss")+"/") }, banks.BadRequest, 0},
			"empty issuer":    {func(q url.Values) { q.Set("iss", "") }, banks.BadRequest, 0},
			"issuer twice":    {func(q url.Values) { q.Add("iss", q.Get("iss")) }, banks.BadRequest, 0},
			"no code":         {func(q url.Values) { q.Del("code") }, banks.BadRequest, 0},
			"code twice":      {func(q url.Values) { q.Add("code", "other") }, banks.BadRequest, 0},
			"code of nothing": {func(q url.Values) { q.Set("code", "a\nb") }, banks.BadRequest, 0},
			"huge code":       {func(q url.Values) { q.Set("code", strings.Repeat("A", 5000)) }, banks.BadRequest, 0},
			"denied":          {func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }, banks.Refused, 0},
			"denied by whom":  {func(q url.Values) { q.Del("state"); q.Set("error", "access_denied") }, banks.BadRequest, 0},
			"error and code":  {func(q url.Values) { q.Set("error", "<script>") }, banks.Refused, 0},
			"no issuer":       {func(q url.Values) { q.Del("iss") }, map[bool]banks.Kind{true: banks.BadRequest}[sendsIss], map[bool]int{false: 1}[sendsIss]},
		} {
			s := newStub(t)
			s.serve(func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = sendsIss })
			b := s.bank(t, s.before)
			o := order(psd2.Euro(2500))
			in, err := b.Prepare(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			q := url.Values{"code": {"c0de"}, "state": {loginTo(t, in).Get("state")}, "iss": {s.URL + "/psd2"}}
			c.spoil(q)
			got, err := b.Return(t.Context(), refOf(o, in), q)
			if kindOf(err) != c.kind || s.tokens() != c.tokens || got.Ready != (c.tokens == 1) || s.creations() != 0 {
				t.Errorf("%s (iss promised: %v): %v, %d token calls", name, sendsIss, err, s.tokens())
			}
			if err != nil && strings.Contains(err.Error(), "script") {
				t.Errorf("%s: the error repeats a stranger's words", name)
			}
		}
	}
}

// TestCodeGoesToTheBankItIsFor. B21: the return of one bank, brought to the
// attempt at another, reaches neither's token endpoint.
func TestCodeGoesToTheBankItIsFor(t *testing.T) {
	honest, evil := newStub(t), newStub(t)
	honest.serve(nil)
	evil.serve(nil)
	a, b := honest.bank(t, honest.before), evil.bank(t, evil.before)
	o := order(psd2.Euro(2500))
	atHonest, err := a.Prepare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	atEvil, err := b.Prepare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	fromHonest := url.Values{"code": {"victims-code"}, "state": {loginTo(t, atEvil).Get("state")}, "iss": {honest.URL + "/psd2"}}
	if _, err := b.Return(t.Context(), refOf(o, atEvil), fromHonest); kindOf(err) != banks.BadRequest {
		t.Errorf("a code of one bank was taken for another's: %v", err)
	}
	if _, err := b.Return(t.Context(), refOf(o, atHonest), fromHonest); kindOf(err) != banks.BadRequest {
		t.Errorf("a state of one bank works at another: %v", err)
	}
	if honest.tokens()+evil.tokens() != 0 {
		t.Error("a code left the hub")
	}
}

// TestMetadataThatLeadElsewhereAreNotUsed. B21, C36.
func TestMetadataThatLeadElsewhereAreNotUsed(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"other issuer":     func(m map[string]any) { m["issuer"] = "https://evil.example" },
		"no issuer":        func(m map[string]any) { delete(m, "issuer") },
		"login elsewhere":  func(m map[string]any) { m["authorization_endpoint"] = "https://evil.example/authorize" },
		"login by script":  func(m map[string]any) { m["authorization_endpoint"] = "javascript:alert(1)" },
		"tokens elsewhere": func(m map[string]any) { m["token_endpoint"] = "https://evil.example/token" },
		"tokens in clear":  func(m map[string]any) { m["token_endpoint"] = "http://bank.example/token" },
		"no token url":     func(m map[string]any) { delete(m, "token_endpoint") },
		"plain PKCE":       func(m map[string]any) { m["code_challenge_methods_supported"] = []string{"plain"} },
	} {
		for _, named := range []bool{true, false} { // by the profile
			s := newStub(t)
			s.serve(change)
			in, err := s.bank(t, func(c *Config) {
				if s.before(c); !named {
					c.OAuth.Issuer = ""
				}
			}).Prepare(t.Context(), order(psd2.Euro(1)))
			if kindOf(err) != banks.Uncertain || in.Prompt.RedirectURL != "" {
				t.Errorf("%s (issuer named: %v): %+v %v", name, named, in, err)
			}
		}
	}
}

func TestTokenAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		kind   banks.Kind
		code   string
	}{
		{400, `{"error":"invalid_grant","error_description":"x"}`, banks.Refused, "invalid_grant"},
		{401, `{"error":"invalid_client"}`, banks.Refused, "invalid_client"},
		{400, `<html>`, banks.BadRequest, ""},
		{500, `{"error":"server_error"}`, banks.Uncertain, ""},
		{429, ``, banks.Unavailable, ""},
		{200, `{"access_token":"x","token_type":"DPoP"}`, banks.Uncertain, "TOKEN_UNREADABLE"},
		{200, `{"access_token":"a\nb","token_type":"Bearer"}`, banks.Uncertain, "TOKEN_UNREADABLE"},
		{200, `{"token_type":"Bearer"}`, banks.Uncertain, "TOKEN_UNREADABLE"},
		{200, `x`, banks.Uncertain, "TOKEN_UNREADABLE"},
	} {
		s := newStub(t)
		s.serve(nil)
		s.answers["POST /oauth/token"] = says(c.status, c.body)
		b := s.bank(t, s.before)
		o := order(psd2.Euro(1))
		in, err := b.Prepare(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Return(t.Context(), refOf(o, in), url.Values{"code": {"c"}, "state": {loginTo(t, in).Get("state")}, "iss": {s.URL + "/psd2"}})
		var e *banks.Error
		if !errors.As(err, &e) || e.Kind != c.kind || e.Code != c.code || s.tokens() != 1 {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
	}
}

// TestIntegratedOAuthAuthorisesTheOrder: the payer logs in for this payment and
// nothing else, and the status is asked with his token.
func TestIntegratedOAuthAuthorisesTheOrder(t *testing.T) {
	s := newStub(t)
	s.serve(nil)
	s.answers[post] = created("REDIRECT", href("scaOAuth", s.URL+"/psd2/.well-known/oauth-authorization-server"))
	b := s.judged(t, func(c *Config) { c.OAuth.ClientID = "PSDXX-TEST-1" })
	o := order(psd2.Euro(2500))
	in, err := b.Initiate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	q := loginTo(t, in)
	if q.Get("scope") != "PIS:p1" || s.creations() != 1 || in.Status != "RCVD" {
		t.Errorf("%v %+v", q, in)
	}
	if _, err := b.Return(t.Context(), refOf(o, in), url.Values{"code": {"c"}, "state": {q.Get("state")}}); kindOf(err) != banks.BadRequest {
		t.Errorf("without the promised iss: %v", err)
	}
	back, err := b.Return(t.Context(), refOf(o, in), url.Values{"code": {"c"}, "state": {q.Get("state")}, "iss": {s.URL + "/psd2"}})
	if err != nil || back.Ready || back.State == nil || back.Prompt.Kind != psd2.PromptNone {
		t.Fatalf("%+v %v", back, err)
	}
	s.answers["GET /status"] = says(200, `{"transactionStatus":"ACSP"}`, "X-Request-ID", uuid.NewString())
	s.seen = nil
	if _, err := b.Status(t.Context(), refOf(o, back)); err != nil || s.seen[0].Header.Get("Authorization") != "Bearer canary-token" {
		t.Errorf("%v", err)
	}
	if again, err := b.Return(t.Context(), refOf(o, back), url.Values{"code": {"c"}, "state": {q.Get("state")}}); err != nil || again.State != nil || s.tokens() != 0 {
		t.Errorf("a replayed return: %+v %v", again, err)
	}
	evil := newStub(t)
	evil.serve(nil)
	s.answers[post] = created("REDIRECT", href("scaOAuth", evil.URL+"/.well-known/oauth-authorization-server")) // C36
	if _, err := b.Initiate(t.Context(), order(psd2.Euro(2500))); kindOf(err) != banks.Uncertain || len(evil.seen) != 0 {
		t.Errorf("metadata at somebody else's: %v", err)
	}
}

// TestFixedEndpointsAndSecret: a server without metadata, a client with a
// secret in a file.
func TestFixedEndpointsAndSecret(t *testing.T) {
	s := newStub(t)
	s.serve(nil)
	b := s.bank(t, func(c *Config) {
		c.OAuth = OAuth{Before: true, Issuer: s.URL, AuthorizationEndpoint: "https://login.bank.example/authorize", TokenEndpoint: s.URL + "/oauth/token",
			ClientID: "me", ClientSecretFile: secretFile(t, "s3:cret\n"), Scope: "pisp", RequireIss: true}
		c.ExtraHeaders = map[string]string{"X-Brand": "Rialto"}
	})
	o := order(psd2.Euro(1))
	in, err := b.Prepare(t.Context(), o)
	if err != nil || len(s.seen) != 0 || loginTo(t, in).Get("scope") != "pisp" {
		t.Fatal(in, err)
	}
	q := url.Values{"code": {"c"}, "state": {loginTo(t, in).Get("state")}}
	if _, err := b.Return(t.Context(), refOf(o, in), q); kindOf(err) != banks.BadRequest || s.tokens() != 0 {
		t.Errorf("iss is required: %v", err)
	}
	q.Set("iss", s.URL)
	if in, err = b.Return(t.Context(), refOf(o, in), q); err != nil || !in.Ready {
		t.Fatal(err)
	}
	if id, secret, _ := s.seen[0].BasicAuth(); id != "me" || secret != "s3%3Acret" || s.seen[0].Header.Get("X-Brand") != "" {
		t.Errorf("%q %q %v", id, secret, s.seen[0].Header)
	}
}

// TestConfirmationCodeIsTakenToTheBank: only the code the return brings, and
// only where the bank said it wants one.
func TestConfirmationCodeIsTakenToTheBank(t *testing.T) {
	s := newStub(t)
	s.answers[post] = created("REDIRECT", href("scaRedirect", "https://login.bank.example/sca"), href("confirmation", authority), href("scaStatus", authority))
	s.answers["PUT /a1"] = says(200, `{"scaStatus":"finalised","_links":{`+href("status", payment+"/status")+`}}`, "X-Request-ID", uuid.NewString())
	b := s.judged(t, nil)
	o := order(psd2.Euro(2500))
	in, err := b.Initiate(t.Context(), o)
	if err != nil || in.Prompt.Kind != psd2.PromptRedirect {
		t.Fatal(in, err)
	}
	s.seen, s.bodies = nil, nil
	for name, q := range map[string]url.Values{"nothing": {}, "something else": {"code": {"x"}}} {
		if got, err := b.Return(t.Context(), refOf(o, in), q); err != nil || got.State != nil || len(s.seen) != 0 {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	for name, q := range map[string]url.Values{"twice": {"confirmationCode": {"1", "2"}}, "empty": {"confirmationCode": {""}}, "odd": {"confirmationCode": {"\x00"}}} {
		if _, err := b.Return(t.Context(), refOf(o, in), q); kindOf(err) != banks.BadRequest || len(s.seen) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := b.Return(t.Context(), refOf(o, in), url.Values{"confirmationCode": {"c0nf"}})
	if err != nil || got.SCA != psd2.SCAFinalised || got.Prompt.Kind != psd2.PromptNone || len(s.seen) != 1 || s.bodies[0] != `{"confirmationCode":"c0nf"}` {
		t.Errorf("%+v %v %v %s", got, err, s.requests(), s.bodies)
	}
	if again, err := b.Return(t.Context(), refOf(o, got), url.Values{"confirmationCode": {"c0nf"}}); err != nil || again.State != nil || len(s.seen) != 1 {
		t.Errorf("taken twice: %v %v", err, s.requests())
	}
	s.answers[post] = created("REDIRECT", href("scaRedirect", "https://login.bank.example/sca"), href("confirmation", "https://evil.example/steal")) // C36
	in, err = b.Initiate(t.Context(), order(psd2.Euro(2500)))
	if err != nil {
		t.Fatal(err)
	}
	s.seen = nil
	if got, err := b.Return(t.Context(), refOf(o, in), url.Values{"confirmationCode": {"c0nf"}}); err != nil || got.State != nil || len(s.seen) != 0 {
		t.Errorf("%+v %v", got, err)
	}
}

// TestTokenIsRenewedForALateQuestion: an order may be asked about long after
// the payer's token has run out.
func TestTokenIsRenewedForALateQuestion(t *testing.T) {
	s := newStub(t)
	s.serve(nil)
	s.accepts("")
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	c := Config{BaseURL: s.URL + "/psd2", RedirectOrigins: []string{"https://login.bank.example"}, InsecureLoopback: true}
	s.before(&c)
	b := s.open(t, c, banks.Deps{Now: func() time.Time { return now }, Wrap: func(_ string, rt http.RoundTripper) http.RoundTripper { return rt }})
	s.answers["POST /oauth/token"] = says(200, `{"access_token":"first","token_type":"bearer","expires_in":600,"refresh_token":"again"}`)
	o := order(psd2.Euro(1))
	in, err := b.Prepare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if in, err = b.Return(t.Context(), refOf(o, in), url.Values{"code": {"c"}, "state": {loginTo(t, in).Get("state")}, "iss": {s.URL + "/psd2"}}); err != nil {
		t.Fatal(err)
	}
	o.State = in.State
	if in, err = b.Initiate(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	s.answers["GET /status"] = says(200, `{"transactionStatus":"ACSP","scaStatus":"finalised"}`)
	asked := func(after time.Duration, want string, requests int) {
		t.Helper()
		now = now.Add(after)
		s.seen, s.bodies = nil, nil
		if _, err := b.Status(t.Context(), refOf(o, in)); err != nil || len(s.seen) != requests || s.seen[requests-1].Header.Get("Authorization") != "Bearer "+want {
			t.Errorf("after %s: %v, %v, %v", after, err, s.requests(), s.seen[len(s.seen)-1].Header)
		}
	}
	asked(time.Minute, "first", 1)
	s.answers["POST /oauth/token"] = says(200, `{"access_token":"second","token_type":"bearer","expires_in":600,"refresh_token":"rotated"}`)
	asked(10*time.Minute, "second", 2)
	if form, _ := url.ParseQuery(s.bodies[0]); form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != "again" {
		t.Errorf("%s", s.bodies[0])
	}
	asked(time.Minute, "second", 1) // remembered
	asked(10*time.Minute, "second", 2)
	if form, _ := url.ParseQuery(s.bodies[0]); form.Get("refresh_token") != "rotated" {
		t.Errorf("%s", s.bodies[0])
	}
	s.answers["POST /oauth/token"] = says(400, `{"error":"invalid_grant"}`)
	asked(time.Hour, "first", 2) // the bank will say what it thinks
	old := o
	if _, err := b.Initiate(t.Context(), old); kindOf(err) != banks.BadRequest {
		t.Errorf("an order with a login that ran out: %v", err)
	}
}

// TestChallengeOfRFC7636: the vector of appendix B.
func TestChallengeOfRFC7636(t *testing.T) {
	var document struct {
		Vectors []struct{ Name, Verifier, Challenge string }
	}
	if err := json.Unmarshal(testkit.ReadStandard(t, "jose", "vectors.json"), &document); err != nil {
		t.Fatal(err)
	}
	for _, v := range document.Vectors {
		if v.Name == "rfc7636-pkce-s256" {
			if got := challengeOf(v.Verifier); got != v.Challenge {
				t.Errorf("%s, want %s", got, v.Challenge)
			}
			return
		}
	}
	t.Error("the vector is not in the collection")
}
