package berlingroup

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// Paths of the stub's one payment, and of its authorisation.
const (
	payment   = "/psd2/v1/payments/instant-sepa-credit-transfers/p1"
	authority = payment + "/authorisations/a1"
)

func href(name, path string) string { return `"` + name + `":{"href":"` + path + `"}` }

// created is a bank's good answer to an initiation with these links.
func created(header string, links ...string) func(http.ResponseWriter) {
	h := []string{"Location", payment, "X-Request-ID", "99391c7e-ad88-49ec-a2ad-99ddcb1f7721"}
	if header != "" {
		h = append(h, "ASPSP-SCA-Approach", header)
	}
	return says(201, `{"transactionStatus":"RCVD","paymentId":"p1","_links":{`+strings.Join(append(links, href("self", payment), href("status", payment+"/status")), ",")+`}}`, h...)
}

// step is a bank's good answer within an authorisation.
func step(status int, sca, more string, links ...string) func(http.ResponseWriter) {
	id := ""
	if status == 201 {
		id = `"authorisationId":"a1",`
	}
	return says(status, `{`+id+`"scaStatus":"`+sca+`"`+more+`,"_links":{`+strings.Join(append(links, href("scaStatus", authority)), ",")+`}}`,
		"X-Request-ID", "99391c7e-ad88-49ec-a2ad-99ddcb1f7721")
}

func refOf(o banks.Order, in banks.Initiation) banks.Ref {
	return banks.Ref{EndToEndID: o.EndToEndID, RequestID: uuid.NewString(), TraceID: o.TraceID, State: in.State, PSU: o.PSU, ReturnURL: o.ReturnURL, FailURL: o.FailURL}
}

// creations counts the requests that could create a payment.
func (s *stub) creations() (n int) {
	for _, r := range s.seen {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/instant-sepa-credit-transfers") {
			n++
		}
	}
	return n
}

func (s *stub) requests() (out []string) {
	for _, r := range s.seen {
		out = append(out, r.Method+" "+strings.TrimPrefix(r.URL.Path, payment))
	}
	return out
}

func TestExplicitAuthorisationIsStartedOnce(t *testing.T) {
	s := newStub(t)
	s.answers[post] = created("", href("startAuthorisation", payment+"/authorisations"))
	s.answers["POST /authorisations"] = step(201, "received", "", href("scaRedirect", "https://login.bank.example/sca"))
	b := s.judged(t, func(c *Config) { c.ExplicitAuthorisation = true })
	o := order(psd2.Euro(2500))
	in, err := b.Initiate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if in.Prompt.Kind != psd2.PromptRedirect || in.Prompt.RedirectURL != "https://login.bank.example/sca" || in.Approach != banks.Redirect || in.Status != "RCVD" || in.SCA != "received" {
		t.Errorf("%+v", in)
	}
	if len(s.seen) != 2 || s.creations() != 1 || s.seen[0].Header.Get("TPP-Explicit-Authorisation-Preferred") != "true" || s.seen[1].Header.Get("TPP-Redirect-URI") != o.ReturnURL || s.bodies[1] != "{}" {
		t.Errorf("%v %q", s.requests(), s.bodies)
	}
	if s.seen[0].Header.Get("X-Request-ID") == s.seen[1].Header.Get("X-Request-ID") {
		t.Error("two requests share an X-Request-ID")
	}
	s.answers["GET /status"] = says(200, `{"transactionStatus":"RCVD"}`, "X-Request-ID", uuid.NewString())
	s.answers["GET /a1"] = says(200, `{"scaStatus":"psuAuthenticated"}`, "X-Request-ID", uuid.NewString())
	if st, err := b.Status(t.Context(), refOf(o, in)); err != nil || st.SCA != "psuAuthenticated" {
		t.Errorf("the authorisation that was started is not asked about: %+v %v", st, err)
	}
}

// TestLostStartOfAuthorisationIsUncertain: the order exists, so whatever goes
// wrong afterwards is never a refusal, and nothing is sent twice.
func TestLostStartOfAuthorisationIsUncertain(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"refused":     says(403, `{"tppMessages":[{"category":"ERROR","code":"SERVICE_BLOCKED"}]}`),
		"busy":        says(503, `{"tppMessages":[{"category":"ERROR","code":"SERVICE_UNAVAILABLE"}]}`, "Retry-After", "5"),
		"not found":   says(404, `{"tppMessages":[{"category":"ERROR","code":"RESOURCE_UNKNOWN"}]}`),
		"HTML":        says(201, `<html>`, "Content-Type", "text/html"),
		"elsewhere":   step(201, "received", "", href("scaRedirect", "https://evil.example/")), // C36
		"script":      step(201, "received", "", href("scaRedirect", "javascript:alert(1)")),
		"in a circle": step(201, "received", "", href("startAuthorisation", payment+"/authorisations")),
		"answer gone": func(w http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		s := newStub(t)
		s.answers[post] = created("", href("startAuthorisation", payment+"/authorisations"))
		s.answers["POST /authorisations"] = answer
		in, err := s.bank(t, nil).Initiate(t.Context(), order(psd2.Euro(1)))
		s.Close()
		if kindOf(err) != banks.Uncertain || in.State != nil || s.creations() != 1 || len(s.seen) > 3 {
			t.Errorf("%s: %v after %v", name, err, s.requests())
		}
	}
}

// TestLinksOfAnAuthorisationStayAtTheBank: a step is never sent elsewhere. C36
func TestLinksOfAnAuthorisationStayAtTheBank(t *testing.T) {
	elsewhere := newStub(t)
	for _, link := range []string{"startAuthorisation", "updatePsuAuthentication", "startAuthorisationWithPsuIdentification", "authoriseTransaction"} {
		s := newStub(t)
		s.answers[post] = created("EMBEDDED", href(link, elsewhere.URL+"/psd2/v1/steal"))
		if _, err := s.bank(t, func(c *Config) { c.Approaches = []banks.Approach{banks.Embedded} }).Initiate(t.Context(), order(psd2.Euro(1))); kindOf(err) != banks.Uncertain {
			t.Errorf("%s: %v", link, err)
		}
	}
	if len(elsewhere.seen) != 0 {
		t.Errorf("somebody else was called: %v", elsewhere.requests())
	}
}

func TestDecoupledWaitsForTheBanksApp(t *testing.T) {
	s := newStub(t)
	message := `"psuMessage":"Please confirm\n25,00 EUR in your \u202eapp",`
	s.answers[post] = says(201, `{"transactionStatus":"RCVD","paymentId":"p1",`+message+`"_links":{`+href("scaStatus", authority)+`}}`,
		"ASPSP-SCA-Approach", "DECOUPLED", "Location", payment, "X-Request-ID", uuid.NewString())
	b := s.judged(t, func(c *Config) {
		c.Approaches, c.PSUID, c.PSUIDType, c.RedirectOrigins, c.Notifications = []banks.Approach{banks.Decoupled}, PSUIDMandatory, "LOGIN", nil, true
	})
	if i := b.Info(); i.First != psd2.PromptIdentify || i.Approaches[0] != banks.Decoupled {
		t.Errorf("%+v", i)
	}
	o := order(psd2.Euro(2500))
	o.NotifyURL = "https://pay.example/notify/att_1"
	if _, err := b.Initiate(t.Context(), o); kindOf(err) != banks.BadRequest || len(s.seen) != 0 {
		t.Errorf("without PSU-ID: %v", err)
	}
	o.PSU.ID = "paula"
	in, err := b.Initiate(t.Context(), o)
	want := psd2.Prompt{Kind: psd2.PromptApp, Message: "Please confirm 25,00 EUR in your app"}
	if err != nil || in.Prompt.Kind != want.Kind || in.Prompt.Message != want.Message || in.Approach != banks.Decoupled {
		t.Fatalf("%+v %v", in, err)
	}
	for name, want := range map[string]string{"PSU-ID": "paula", "PSU-ID-Type": "LOGIN", "TPP-Redirect-Preferred": "false", "TPP-Decoupled-Preferred": "true", "TPP-Notification-URI": o.NotifyURL} {
		if got := s.seen[0].Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if bytes.Contains(in.State, []byte("paula")) {
		t.Error("the state holds the payer's name at the bank")
	}
}

// TestDecoupledAsksForTheName: where the order was taken without a PSU-ID.
func TestDecoupledAsksForTheName(t *testing.T) {
	s := newStub(t)
	s.answers[post] = created("DECOUPLED", href("startAuthorisationWithPsuIdentification", payment+"/authorisations"))
	s.answers["POST /authorisations"] = step(201, "psuIdentified", `,"psuMessage":"Use your app"`)
	b := s.judged(t, func(c *Config) { c.Approaches = []banks.Approach{banks.Decoupled} })
	o := order(psd2.Euro(2500))
	in, err := b.Initiate(t.Context(), o)
	if err != nil || in.Prompt.Kind != psd2.PromptIdentify || len(s.seen) != 1 {
		t.Fatalf("%+v %v", in, err)
	}
	in, err = b.Answer(t.Context(), refOf(o, in), psd2.PromptAnswer{PSUID: "paula"})
	if err != nil || in.Prompt.Kind != psd2.PromptApp || in.Prompt.Message != "Use your app" || s.seen[1].Header.Get("PSU-ID") != "paula" {
		t.Errorf("%+v %v", in, err)
	}
	s.seen = nil // a payer who is known is named at once
	o = order(psd2.Euro(2500))
	o.PSU.ID = "paula"
	if in, err = b.Initiate(t.Context(), o); err != nil || in.Prompt.Kind != psd2.PromptApp || len(s.seen) != 2 || s.seen[1].Header.Get("PSU-ID") != "paula" {
		t.Errorf("%+v %v %v", in, err, s.requests())
	}
}

const (
	methods = `,"scaMethods":[{"authenticationType":"SMS_OTP","authenticationMethodId":"m1","name":"SMS to +49 160 xxxxx 28"},{"authenticationType":"PHOTO_OTP","authenticationMethodId":"m2"}]`
	chosen  = `,"chosenScaMethod":{"authenticationType":"PHOTO_OTP","authenticationMethodId":"m2","name":"Photo TAN"},"challengeData":{"image":"%s","data":["4711","<b>0815</b>"],"otpFormat":"integer","otpMaxLength":6,"additionalInformation":"Scan it"}`
)

var png = []byte("\x89PNG\r\n\x1a\nrest")

// embeddedBank goes through all four steps and records what was said.
func embeddedBank(t *testing.T, change func(*stub)) (*stub, *Bank) {
	t.Helper()
	s := newStub(t)
	s.answers[post] = created("EMBEDDED", href("startAuthorisationWithPsuIdentification", payment+"/authorisations"))
	s.answers["POST /authorisations"] = step(201, "psuIdentified", "", href("updatePsuAuthentication", authority))
	s.answers["PUT /a1"] = func(w http.ResponseWriter) {
		switch said := s.bodies[len(s.bodies)-1]; {
		case strings.Contains(said, "psuData"):
			step(200, "psuAuthenticated", methods, href("selectAuthenticationMethod", authority))(w)
		case strings.Contains(said, "authenticationMethodId"):
			step(200, "scaMethodSelected", fmt.Sprintf(chosen, base64.StdEncoding.EncodeToString(png)), href("authoriseTransaction", authority))(w)
		default:
			step(200, "finalised", "")(w)
		}
	}
	if change != nil {
		change(s)
	}
	return s, s.judged(t, func(c *Config) { c.Approaches, c.RedirectOrigins = []banks.Approach{banks.Embedded}, nil })
}

func TestEmbeddedRelaysStepByStep(t *testing.T) {
	s, b := embeddedBank(t, nil)
	o := order(psd2.Euro(2500))
	in, err := b.Initiate(t.Context(), o)
	if err != nil || in.Prompt.Kind != psd2.PromptIdentify || in.Approach != banks.Embedded || s.seen[0].Header.Get("TPP-Redirect-Preferred") != "false" {
		t.Fatalf("%+v %v", in, err)
	}
	answer := func(a psd2.PromptAnswer, want psd2.PromptKind, request, body string) {
		t.Helper()
		s.seen, s.bodies = nil, nil
		if in, err = b.Answer(t.Context(), refOf(o, in), a); err != nil || in.Prompt.Kind != want || in.Prompt.Again {
			t.Fatalf("%+v %v, want %q", in, err, want)
		}
		if got := s.requests(); !slices.Equal(got, []string{request}) || s.bodies[0] != body {
			t.Errorf("%v %s, want %s %s", got, s.bodies, request, body)
		}
	}
	answer(psd2.PromptAnswer{PSUID: "paula"}, psd2.PromptPassword, "POST /authorisations", `{}`)
	if in.Prompt.AskID || s.seen[0].Header.Get("PSU-ID") != "paula" {
		t.Errorf("asked for the name again: %+v", in.Prompt)
	}
	answer(psd2.PromptAnswer{PSUID: "mallory", Password: "secret"}, psd2.PromptMethod, "PUT /authorisations/a1", `{"psuData":{"password":"secret"}}`)
	if s.seen[0].Header.Get("PSU-ID") != "" {
		t.Error("a name was sent that nobody asked for")
	}
	if m := in.Prompt.Methods; len(m) != 2 || m[0] != (psd2.Method{ID: "m1", Name: "SMS to +49 160 xxxxx 28", Type: "SMS_OTP"}) || m[1].Name != "PHOTO_OTP" {
		t.Errorf("%+v", m)
	}
	if _, err := b.Answer(t.Context(), refOf(o, in), psd2.PromptAnswer{MethodID: "m9"}); kindOf(err) != banks.BadRequest || len(s.seen) != 1 {
		t.Errorf("a method that was not offered: %v", err)
	}
	answer(psd2.PromptAnswer{MethodID: "m2"}, psd2.PromptCode, "PUT /authorisations/a1", `{"authenticationMethodId":"m2"}`)
	if p := in.Prompt; p.Method != "Photo TAN" || !bytes.Equal(p.Challenge.Image, png) || p.Challenge.Format != "integer" || p.Challenge.MaxLength != 6 || len(p.Challenge.Data) != 2 || p.Challenge.Additional != "Scan it" {
		t.Errorf("%+v", p)
	}
	answer(psd2.PromptAnswer{Code: "123456"}, psd2.PromptNone, "PUT /authorisations/a1", `{"scaAuthenticationData":"123456"}`)
	if in.SCA != psd2.SCAFinalised {
		t.Errorf("%+v", in)
	}
	if _, err := b.Answer(t.Context(), refOf(o, in), psd2.PromptAnswer{Code: "123456"}); kindOf(err) != banks.BadRequest {
		t.Errorf("an answer to nothing: %v", err)
	}
}

// TestNameAndPasswordTogether: a bank that starts with the password needs the
// name with it.
func TestNameAndPasswordTogether(t *testing.T) {
	s, b := embeddedBank(t, func(s *stub) {
		s.answers[post] = created("EMBEDDED", href("startAuthorisationWithPsuAuthentication", payment+"/authorisations"))
		s.answers["POST /authorisations"] = step(201, "psuAuthenticated", methods, href("selectAuthenticationMethod", authority))
	})
	o := order(psd2.Euro(2500))
	in, err := b.Initiate(t.Context(), o)
	if err != nil || in.Prompt.Kind != psd2.PromptPassword || !in.Prompt.AskID {
		t.Fatalf("%+v %v", in, err)
	}
	if _, err := b.Answer(t.Context(), refOf(o, in), psd2.PromptAnswer{Password: "secret"}); kindOf(err) != banks.BadRequest || len(s.seen) != 1 {
		t.Errorf("without a name: %v", err)
	}
	if in, err = b.Answer(t.Context(), refOf(o, in), psd2.PromptAnswer{PSUID: "paula", Password: "secret"}); err != nil || in.Prompt.Kind != psd2.PromptMethod ||
		s.seen[1].Header.Get("PSU-ID") != "paula" || s.bodies[1] != `{"psuData":{"password":"secret"}}` {
		t.Errorf("%+v %v %s", in, err, s.bodies)
	}
}

// TestWrongAnswers: which may be given again, and which end the authorisation.
func TestWrongAnswers(t *testing.T) {
	wrong := `{"tppMessages":[{"category":"ERROR","code":"PSU_CREDENTIALS_INVALID"}]}`
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter)
		sca    string
		again  bool
		kind   banks.Kind
		failed bool
	}{
		"again":               {answer: says(401, wrong), sca: "scaMethodSelected", again: true},
		"too often":           {answer: says(401, wrong), sca: "failed", kind: banks.Refused},
		"cannot be asked":     {answer: says(401, wrong), sca: "", again: true},
		"says so itself":      {answer: says(401, `{"scaStatus":"failed",`+wrong[1:]), sca: "started", kind: banks.Refused},
		"again with success":  {answer: step(200, "scaMethodSelected", "", href("authoriseTransaction", authority)), again: true},
		"failed with success": {answer: step(200, "failed", ""), failed: true},
		"blocked":             {answer: says(403, `{"tppMessages":[{"category":"ERROR","code":"SERVICE_BLOCKED"}]}`), kind: banks.Refused},
		"malformed":           {answer: says(400, `{"tppMessages":[{"category":"ERROR","code":"FORMAT_ERROR"}]}`), kind: banks.BadRequest},
		"busy":                {answer: says(429, ``), kind: banks.Unavailable},
		"broken":              {answer: says(500, ``), kind: banks.Uncertain},
		"unreadable":          {answer: says(200, `<html>`), kind: banks.Uncertain},
		"lost":                {answer: func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, kind: banks.Uncertain},
	} {
		s := newStub(t)
		s.answers[post] = created("EMBEDDED", href("authoriseTransaction", authority), href("scaStatus", authority))
		b := s.bank(t, func(c *Config) { c.Approaches = []banks.Approach{banks.Embedded} })
		o := order(psd2.Euro(2500))
		in, err := b.Initiate(t.Context(), o)
		if err != nil || in.Prompt.Kind != psd2.PromptCode {
			t.Fatalf("%s: %+v %v", name, in, err)
		}
		s.answers["PUT /a1"], s.answers["GET /a1"] = c.answer, says(200, `{"scaStatus":"`+c.sca+`"}`)
		s.seen = nil
		in, err = b.Answer(t.Context(), refOf(o, in), psd2.PromptAnswer{Code: "000000"})
		s.Close()
		puts := 0
		for _, r := range s.seen {
			if r.Method == http.MethodPut {
				puts++
			}
		}
		var be *banks.Error
		if kindOf(err) != c.kind || in.Prompt.Again != c.again || (in.SCA == psd2.SCAFailed) != c.failed || puts != 1 {
			t.Errorf("%s: %+v %v after %v", name, in, err, s.requests())
		}
		if c.again && (in.Prompt.Kind != psd2.PromptCode || in.State == nil) {
			t.Errorf("%s: the prompt is gone: %+v", name, in)
		}
		if errors.As(err, &be) && c.kind == banks.Refused && psd2.ReasonOf(be.Code) != psd2.ReasonAuthenticationFailed && be.Code != "SERVICE_BLOCKED" {
			t.Errorf("%s: %v", name, be)
		}
	}
}

// TestNothingOfAnAnswerIsKept: the canaries of name, password and code are in
// the request that relays them and nowhere else: no log, error or state
// (PSD2 Art. 66(3)(b), (e)). C39
func TestNothingOfAnAnswerIsKept(t *testing.T) {
	said := psd2.PromptAnswer{PSUID: "canary-name-1", Password: "canary-password-2", MethodID: "m2", Code: "canary-code-3"}
	var kept bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&kept, &slog.HandlerOptions{Level: slog.LevelDebug}))
	note := func(in banks.Initiation, err error) {
		fmt.Fprintf(&kept, "%s %+v %v %#v\n", in.State, in.Prompt, err, err)
		for cause := err; cause != nil; cause = errors.Unwrap(cause) {
			fmt.Fprintf(&kept, "%+v\n", cause)
		}
	}
	echo := func(s *stub, status int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { // a bank that repeats everything
			says(status, `{"tppMessages":[{"category":"ERROR","code":"FORMAT_ERROR","text":"`+strings.ReplaceAll(s.bodies[len(s.bodies)-1], `"`, "")+`"}]}`)(w)
		}
	}
	relayed := 0
	for _, kind := range []psd2.PromptKind{psd2.PromptIdentify, psd2.PromptPassword, psd2.PromptMethod, psd2.PromptCode} {
		for _, fault := range []string{"", "echo", "error", "lost", "slow"} {
			s, _ := embeddedBank(t, nil)
			b := s.open(t, Config{BaseURL: s.URL + "/psd2", InsecureLoopback: true, Approaches: []banks.Approach{banks.Embedded}}, banks.Deps{Log: log, Wrap: func(_ string, rt http.RoundTripper) http.RoundTripper { return rt }})
			o := order(psd2.Euro(2500))
			in, err := b.Initiate(t.Context(), o)
			note(in, err)
			for err == nil && in.Prompt.Kind != psd2.PromptNone && in.Prompt.Kind != kind {
				in, err = b.Answer(t.Context(), refOf(o, in), said)
				note(in, err)
			}
			switch fault {
			case "echo":
				s.answers["POST /authorisations"], s.answers["PUT /a1"] = echo(s, 400), echo(s, 400)
			case "error":
				s.answers["POST /authorisations"], s.answers["PUT /a1"] = echo(s, 500), echo(s, 500)
			case "lost":
				gone := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
				s.answers["POST /authorisations"], s.answers["PUT /a1"] = gone, gone
			}
			in, err = b.Answer(t.Context(), refOf(o, in), said)
			note(in, err)
			s.Close() // whoever is still being answered
			for i, r := range s.seen {
				if strings.Contains(s.bodies[i]+r.Header.Get("PSU-ID"), "canary") {
					relayed++
				}
				if strings.Contains(r.URL.String(), "canary") {
					t.Errorf("in an address: %s", r.URL)
				}
			}
		}
	}
	if relayed == 0 {
		t.Fatal("nothing was relayed")
	}
	if i := strings.Index(kept.String(), "canary"); i >= 0 {
		t.Errorf("kept: …%.200s", kept.String()[max(0, i-100):])
	}
}

// TestWordsOfABankArePlainAndBounded. C36: what a bank has us show.
func TestWordsOfABankArePlainAndBounded(t *testing.T) {
	for _, c := range []struct {
		in, want string
		limit    int
	}{
		{"Bitte bestätigen", "Bitte bestätigen", 500},
		{"two\nlines\tand\x00null", "two lines andnull", 500},
		{"\u202eevil\u2066\u200b", "evil", 500},
		{strings.Repeat("ä", 600), strings.Repeat("ä", 500), 500},
		{"bad\xffutf8", "badutf8", 500},
	} {
		if got := plain(c.in, c.limit); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
	many := strings.TrimSuffix(strings.Repeat(`{"authenticationType":"SMS_OTP","authenticationMethodId":"m","name":"n"},`, 100), ",")
	a, _ := parse([]byte(`{"scaMethods":[{"authenticationType":"X"},` + many + `],"challengeData":{"image":"` + base64.StdEncoding.EncodeToString([]byte("<svg onload=x>")) + `","imageLink":"https://evil.example/x","otpFormat":"html","otpMaxLength":1000000,"data":["1","\u202e"]}}`))
	if m := a.methods(); len(m) != maxMethods {
		t.Errorf("%d methods", len(m))
	}
	if c := a.challenge(); c.Image != nil || c.Format != "" || c.MaxLength != 0 || len(c.Data) != 1 {
		t.Errorf("%+v", c)
	}
}

// TestEncryptedPasswordAloneIsNotSupported: said plainly instead of guessed.
func TestEncryptedPasswordAloneIsNotSupported(t *testing.T) {
	s := newStub(t)
	s.answers[post] = created("EMBEDDED", href("startAuthorisationWithEncryptedPsuAuthentication", payment+"/authorisations"))
	var e *banks.Error
	if _, err := s.bank(t, nil).Initiate(t.Context(), order(psd2.Euro(1))); !errors.As(err, &e) || e.Code != "SCA_APPROACH_NOT_SUPPORTED" || e.Kind != banks.Uncertain {
		t.Error(e)
	}
}
