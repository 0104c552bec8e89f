package berlingroup

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

func kindOf(err error) banks.Kind {
	var b *banks.Error
	if errors.As(err, &b) {
		return b.Kind
	}
	return ""
}

// stub is a bank that says what a test wants: answers by "METHOD path-suffix".
type stub struct {
	*httptest.Server
	answers map[string]func(http.ResponseWriter)
	seen    []*http.Request
	bodies  []string
}

func newStub(t *testing.T) *stub {
	s := &stub{answers: map[string]func(http.ResponseWriter){}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.seen, s.bodies = append(s.seen, r), append(s.bodies, string(body))
		for suffix, answer := range s.answers {
			if method, path, _ := strings.Cut(suffix, " "); method == r.Method && strings.HasSuffix(r.URL.Path, path) {
				answer(w)
				return
			}
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(s.Close)
	return s
}

func says(status int, body string, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const post = "POST /instant-sepa-credit-transfers"

// bank makes an adapter whose payers are sent to https://login.bank.example.
func (s *stub) bank(t *testing.T, change func(*Config)) *Bank {
	t.Helper()
	c := Config{BaseURL: s.URL + "/psd2", RedirectOrigins: []string{"https://login.bank.example"}, InsecureLoopback: true}
	if change != nil {
		change(&c)
	}
	return s.open(t, c, banks.Deps{Wrap: func(_ string, rt http.RoundTripper) http.RoundTripper { return rt }})
}

func (s *stub) open(t *testing.T, c Config, d banks.Deps) *Bank {
	t.Helper()
	wrap := d.Wrap
	d.Wrap = func(id string, rt http.RoundTripper) http.RoundTripper {
		t.Cleanup(rt.(*http.Transport).CloseIdleConnections)
		return wrap(id, rt)
	}
	b, err := New("stub", c, d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// judged is bank with all traffic held against the standard, both ways.
func (s *stub) judged(t *testing.T, change func(*Config)) *Bank {
	t.Helper()
	c := Config{BaseURL: s.URL + "/psd2", RedirectOrigins: []string{"https://login.bank.example"}, InsecureLoopback: true, DebtorAccount: DebtorEmpty}
	if change != nil {
		change(&c)
	}
	return s.open(t, c, banks.Deps{Wrap: newJudge(t, true).wrap})
}

// accepts lets the next initiation succeed with these links.
func (s *stub) accepts(links string) {
	s.answers[post] = says(201, `{"transactionStatus":"RCVD","paymentId":"p 1/2","_links":{"scaRedirect":{"href":"https://login.bank.example/sca?x=1"}`+links+`}}`)
}

func (s *stub) initiated(t *testing.T, b *Bank) banks.Ref {
	t.Helper()
	o := order(psd2.Euro(2500))
	in, err := b.Initiate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s.seen, s.bodies = nil, nil
	return banks.Ref{EndToEndID: o.EndToEndID, RequestID: uuid.NewString(), TraceID: o.TraceID, State: in.State, PSU: o.PSU}
}

func TestInitiationCarriesOrderAndPayersBrowser(t *testing.T) {
	s := newStub(t)
	s.accepts("")
	b := s.bank(t, func(c *Config) { c.ExtraHeaders = map[string]string{"X-Brand": "Rialto"} })
	o := order(psd2.Euro(2500))
	in, err := b.Initiate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if in.Prompt.RedirectURL != "https://login.bank.example/sca?x=1" || in.Status != "RCVD" || in.Approach != banks.Redirect {
		t.Errorf("%+v", in)
	}
	r := s.seen[0]
	for name, want := range map[string]string{
		"X-Request-ID": o.RequestID, "PSU-IP-Address": o.PSU.IP, "PSU-IP-Port": o.PSU.Port, "PSU-User-Agent": o.PSU.UserAgent,
		"PSU-Accept": o.PSU.Accept, "PSU-Accept-Language": o.PSU.AcceptLanguage, "PSU-Http-Method": "POST",
		"TPP-Redirect-Preferred": "true", "TPP-Redirect-URI": o.ReturnURL, "TPP-Nok-Redirect-URI": o.FailURL,
		"TPP-Explicit-Authorisation-Preferred": "false", "Content-Type": "application/json", "Accept": "application/json",
		"Idempotency-Key": "", "X-Brand": "Rialto", "Accept-Encoding": "",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if tp := strings.Split(r.Header.Get("Traceparent"), "-"); len(tp) != 4 || tp[1] != o.TraceID || len(tp[2]) != 16 {
		t.Errorf("traceparent %q does not carry trace id %s", tp, o.TraceID)
	}
	want := `{"endToEndIdentification":"` + o.EndToEndID + `","instructedAmount":{"currency":"EUR","amount":"25.00"},` +
		`"creditorAccount":{"iban":"DE89370400440532013000"},"creditorAgent":"COBADEFFXXX","creditorName":"Lucky Lagoon Casino",` +
		`"remittanceInformationUnstructured":"Deposit 4711"}`
	if s.bodies[0] != want || r.URL.Path != "/psd2/v1/payments/instant-sepa-credit-transfers" {
		t.Errorf("%s\n got %s\nwant %s", r.URL.Path, s.bodies[0], want)
	}
}

// TestRefusalsByMessageCode: what a bank's no means for the order.
func TestRefusalsByMessageCode(t *testing.T) {
	messages := func(code string) string {
		return `{"tppMessages":[{"category":"WARNING","code":"NOTHING"},{"category":"ERROR","code":"` + code + `","text":"x"}]}`
	}
	for _, c := range []struct {
		status int
		body   string
		kind   banks.Kind
		code   string
	}{
		{400, messages("FORMAT_ERROR"), banks.BadRequest, "FORMAT_ERROR"},
		{400, messages("PAYMENT_FAILED"), banks.Refused, "PAYMENT_FAILED"},
		{400, messages("AM04"), banks.Refused, "AM04"},
		{400, `{"tppMessages":[{"category":"ERROR","code":"PAYMENT_FAILED"},{"category":"ERROR","code":"AC06"}]}`, banks.Refused, "AC06"},
		{400, `{"type":"https://bank.example/errors/1","code":"PRODUCT_INVALID"}`, banks.BadRequest, "PRODUCT_INVALID"},
		{400, `<html>`, banks.BadRequest, ""},
		{401, messages("CERTIFICATE_EXPIRED"), banks.BadRequest, "CERTIFICATE_EXPIRED"},
		{403, messages("SERVICE_BLOCKED"), banks.Refused, "SERVICE_BLOCKED"},
		{404, messages("PRODUCT_UNKNOWN"), banks.BadRequest, "PRODUCT_UNKNOWN"},
		{408, messages("TIMED_OUT"), banks.Uncertain, "TIMED_OUT"},
		{409, messages("STATUS_INVALID"), banks.BadRequest, "STATUS_INVALID"},
		{409, `<html>`, banks.Uncertain, ""},
		{429, ``, banks.Unavailable, ""},
		{500, messages("INTERNAL_SERVER_ERROR"), banks.Uncertain, "INTERNAL_SERVER_ERROR"},
		{503, messages("SERVICE_UNAVAILABLE"), banks.Unavailable, "SERVICE_UNAVAILABLE"},
		{503, `upstream connect error`, banks.Uncertain, ""},
		{201, `{"transactionStatus":"RJCT","paymentId":"1","_links":{},"tppMessages":[{"category":"ERROR","code":"AC01"}]}`, banks.Refused, "AC01"},
		{201, `{"transactionStatus":"RCVD","paymentId":"1","_links":{"startAuthorisationWithProprietaryData":{"href":"/x"}}}`, banks.Uncertain, "SCA_APPROACH_NOT_SUPPORTED"},
	} {
		s := newStub(t)
		s.answers[post] = says(c.status, c.body)
		in, err := s.bank(t, nil).Initiate(t.Context(), order(psd2.Euro(1)))
		var e *banks.Error
		if !errors.As(err, &e) || e.Kind != c.kind || e.Code != c.code || e.HTTPStatus != c.status || in.State != nil {
			t.Errorf("%d %s: %+v", c.status, c.body, e)
		}
	}
}

// TestAnswerMustSayItIsJSON: what a proxy's page happens to hold is not read.
func TestAnswerMustSayItIsJSON(t *testing.T) {
	const body = `{"transactionStatus":"RCVD","paymentId":"1","_links":{"scaRedirect":{"href":"https://login.bank.example/x"}}}`
	for contentType, want := range map[string]banks.Kind{
		"application/json": "", "application/hal+json;charset=UTF-8": "", "text/html": banks.Uncertain, "text/json+x": banks.Uncertain, "application/jsonp": banks.Uncertain,
	} {
		s := newStub(t)
		s.answers[post] = says(201, body, "Content-Type", contentType)
		if _, err := s.bank(t, nil).Initiate(t.Context(), order(psd2.Euro(1))); kindOf(err) != want {
			t.Errorf("%s: %v", contentType, err)
		}
	}
}

// TestExemptedOrderNeedsNoRedirect: a bank that wants nothing of the payer.
func TestExemptedOrderNeedsNoRedirect(t *testing.T) {
	for _, body := range []string{
		`{"transactionStatus":"ACSC","paymentId":"1","_links":{}}`,
		`{"transactionStatus":"RCVD","scaStatus":"exempted","paymentId":"1","_links":{}}`,
	} {
		s := newStub(t)
		s.answers[post] = says(201, body)
		if in, err := s.bank(t, nil).Initiate(t.Context(), order(psd2.Euro(1))); err != nil || in.Prompt.RedirectURL != "" || in.State == nil {
			t.Errorf("%s: %+v %v", body, in, err)
		}
	}
}

// TestExemptionIsHintedOnlyWhereTheProfileSaysHow: the standard has no place for
// it, so without one nothing of it is sent.
func TestExemptionIsHintedOnlyWhereTheProfileSaysHow(t *testing.T) {
	words := ExemptionHint{Header: "X-Bank-Exemption", Values: map[string]string{"low_value": "LOW", "transaction_risk": "TRA"}}
	for _, c := range []struct {
		hint       ExemptionHint
		exemptions []string
		want       string
	}{
		{words, []string{"low_value", "transaction_risk"}, "LOW"},
		{words, []string{"trusted_beneficiary", "transaction_risk"}, "TRA"},
		{words, []string{"recurring"}, ""},
		{words, nil, ""},
		{ExemptionHint{}, []string{"low_value"}, ""},
	} {
		s := newStub(t)
		s.accepts("")
		b := s.bank(t, func(p *Config) { p.ExemptionHint = c.hint })
		o := order(psd2.Euro(2500))
		o.Exemptions = c.exemptions
		if _, err := b.Initiate(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if got := s.seen[0].Header.Get("X-Bank-Exemption"); got != c.want {
			t.Errorf("%v %v: sent %q", c.hint, c.exemptions, got)
		}
		if c.hint.Header == "" {
			for name, values := range s.seen[0].Header {
				if strings.Contains(strings.ToLower(name+strings.Join(values, " ")), "low") {
					t.Errorf("without a place for it: %s: %v", name, values)
				}
			}
		}
		if b.Info().RiskAtOnce != (c.hint.Header != "") {
			t.Error("a bank that is asked for an exemption may grant it")
		}
	}
}

// TestLinksStayAtTheBank: relative and absolute links are resolved; one that
// leads elsewhere is not followed, the standard's own path is used.
func TestLinksStayAtTheBank(t *testing.T) {
	own := "/psd2/v1/payments/instant-sepa-credit-transfers/p%201%2F2/status"
	for href, want := range map[string]string{
		"/psd2/v1/x/status":                        "/psd2/v1/x/status",
		"/v1/x/status":                             "/psd2/v1/x/status", // its base path left out
		"v1/x/status":                              "/psd2/v1/x/status",
		"SELF/psd2/v1/x/status?a=b":                "/psd2/v1/x/status?a=b",
		"https://evil.example/psd2/status":         own, // C36
		"//evil.example/psd2/status":               own,
		"SELF@evil.example/psd2/status":            own,
		"SELF/admin/status":                        own,
		"/psd2/../../admin/status":                 own,
		"javascript:status":                        own,
		"SELF/psd2/v1/x/status#fragment":           own,
		"http://127.0.0.1:1/psd2/status":           own,
		"/psd2/v1/x/status\r\nX-Request-ID: other": own,
		"": own,
	} {
		s := newStub(t)
		link := strings.Replace(href, "SELF", s.URL, 1)
		b := s.bank(t, nil)
		s.accepts(`,"status":{"href":"` + strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(link) + `"}`)
		ref := s.initiated(t, b)
		s.answers["GET /status"] = says(200, `{"transactionStatus":"ACSP"}`)
		_, err := b.Status(t.Context(), ref)
		if err != nil || len(s.seen) != 1 || s.seen[0].RequestURI != want {
			t.Errorf("%q: asked %v (%v), want %s", href, s.seen, err, want)
		}
	}
}

func TestStatusGathersWhatTheBankSays(t *testing.T) {
	const sca = `,"scaStatus":{"href":"/psd2/v1/p/authorisations/a"},"self":{"href":"/psd2/v1/p"}`
	const paid = `{"transactionStatus":"ACSC","instructedAmount":{"currency":"EUR","amount":"25"},"creditorAccount":{"iban":"DE89370400440532013000"},` +
		`"debtorAccount":{"iban":"DE02120300000000202051"},"debtorName":"Paula Payer"}`
	for name, c := range map[string]struct {
		status, sca, payment string
		change               func(*Config)
		want                 banks.Status
		requests             int
	}{
		"before": {status: `{"transactionStatus":"RCVD"}`, sca: `{"scaStatus":"psuIdentified"}`,
			want: banks.Status{Transaction: "RCVD", SCA: "psuIdentified"}, requests: 2},
		"status carries sca": {status: `{"transactionStatus":"PDNG","scaStatus":"started"}`,
			want: banks.Status{Transaction: "PDNG", SCA: "started"}, requests: 1},
		"sca not to be had": {status: `{"transactionStatus":"RCVD"}`, sca: `<html>`,
			want: banks.Status{Transaction: "RCVD", SCA: psd2.SCAUnread}, requests: 2},
		"alias": {status: `{"transactionStatus":"ACTV"}`, sca: `{"scaStatus":"finalised"}`, change: func(c *Config) { c.StatusAliases = map[string]string{"ACTV": "ACTC"} },
			want: banks.Status{Transaction: "ACTC", SCA: "finalised"}, requests: 2},
		"unknown code": {status: `{"transactionStatus":"WXYZ"}`, sca: `{}`, want: banks.Status{Transaction: "WXYZ"}, requests: 2},
		"odd code":     {status: `{"transactionStatus":"<script>DE89370400440532013000"}`, sca: `{}`, want: banks.Status{Transaction: "?"}, requests: 2},
		"rejected": {status: `{"transactionStatus":"RJCT","tppMessages":[{"category":"ERROR","code":"PAYMENT_FAILED"},{"category":"ERROR","code":"AM04"}]}`,
			want: banks.Status{Transaction: "RJCT", Reason: "AM04"}, requests: 1},
		"rejected at login": {status: `{"transactionStatus":"RJCT"}`, sca: `{"scaStatus":"failed"}`,
			want: banks.Status{Transaction: "RJCT", SCA: "failed"}, requests: 2},
		"rejected, own field": {status: `{"transactionStatus":"RJCT","reason":"AC06"}`, change: func(c *Config) { c.ReasonFields = []string{"reason"} },
			want: banks.Status{Transaction: "RJCT", Reason: "AC06"}, requests: 1},
		"executed": {status: `{"transactionStatus":"ACSC"}`, payment: paid,
			want: banks.Status{Transaction: "ACSC", Payer: psd2.Party{Name: "Paula Payer", IBAN: "DE02120300000000202051"}}, requests: 2},
		"owners before debtor": {status: `{"transactionStatus":"ACCC","ownerNames":[{"name":"Paula Payer","role":"owner"},{"name":"Ben Bot","role":"authorisedUser"},{"name":"Otto Owner"}]}`, payment: paid,
			want: banks.Status{Transaction: "ACCC", Payer: psd2.Party{Name: "Paula Payer / Otto Owner", IBAN: "DE02120300000000202051"}}, requests: 2},
		"name in the authorisation": {status: `{"transactionStatus":"ACSC"}`, sca: `{"scaStatus":"finalised","psuName":"Anna Auth"}`, payment: paid,
			change: func(c *Config) { c.HolderName = []string{"authorisation.psuName"} },
			want:   banks.Status{Transaction: "ACSC", SCA: "finalised", Payer: psd2.Party{Name: "Anna Auth", IBAN: "DE02120300000000202051"}}, requests: 3},
		"impossible account and name": {status: `{"transactionStatus":"ACSC"}`, payment: `{"debtorAccount":{"iban":"DE00"},"debtorName":"evil\u202ename"}`,
			want: banks.Status{Transaction: "ACSC"}, requests: 2},
		"payment not to be had": {status: `{"transactionStatus":"ACSC"}`, payment: `[`, want: banks.Status{Transaction: "ACSC"}, requests: 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStub(t)
			s.accepts(sca)
			b := s.bank(t, c.change)
			ref := s.initiated(t, b)
			s.answers["GET /status"], s.answers["GET /authorisations/a"], s.answers["GET /v1/p"] = says(200, c.status), says(200, c.sca), says(200, c.payment)
			got, err := b.Status(t.Context(), ref)
			if err != nil || got != c.want || len(s.seen) != c.requests {
				t.Errorf("%d requests, %+v, %v; want %d, %+v", len(s.seen), got, err, c.requests, c.want)
			}
			ids := map[string]bool{}
			for _, r := range s.seen {
				ids[r.Header.Get("X-Request-ID")] = true
			}
			if len(ids) != len(s.seen) {
				t.Error("two calls share an X-Request-ID")
			}
		})
	}
}

// TestBankThatExecutesAnotherOrderIsNotBelieved. C36: amount or payee changed.
func TestBankThatExecutesAnotherOrderIsNotBelieved(t *testing.T) {
	for _, payment := range []string{
		`{"instructedAmount":{"currency":"EUR","amount":"250.00"}}`,
		`{"instructedAmount":{"currency":"EUR","amount":"25.00"},"creditorAccount":{"iban":"DE02120300000000202051"}}`,
	} {
		s := newStub(t)
		s.accepts(`,"self":{"href":"/psd2/v1/p"}`)
		b := s.bank(t, nil)
		ref := s.initiated(t, b)
		s.answers["GET /status"], s.answers["GET /v1/p"] = says(200, `{"transactionStatus":"ACCC"}`), says(200, payment)
		st, err := b.Status(t.Context(), ref)
		if kindOf(err) != banks.Uncertain || st.Transaction != "" {
			t.Errorf("%s: %+v %v", payment, st, err)
		}
	}
}

func TestStatusFailures(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		kind   banks.Kind
	}{
		{404, `{"tppMessages":[{"category":"ERROR","code":"RESOURCE_UNKNOWN"}]}`, banks.NotFound},
		{403, `{"tppMessages":[{"category":"ERROR","code":"RESOURCE_UNKNOWN"}]}`, banks.NotFound},
		{404, `<html>no route</html>`, banks.Uncertain}, // a gateway's 404 says nothing of the order
		{404, `{}`, banks.Uncertain},
		{500, ``, banks.Uncertain},
		{200, `{}`, banks.Uncertain},
		{302, ``, banks.Uncertain},
		{401, `{"tppMessages":[{"category":"ERROR","code":"TOKEN_EXPIRED"}]}`, banks.BadRequest},
	} {
		s := newStub(t)
		s.accepts("")
		b := s.bank(t, nil)
		ref := s.initiated(t, b)
		s.answers["GET /status"] = says(c.status, c.body)
		if _, err := b.Status(t.Context(), ref); kindOf(err) != c.kind {
			t.Errorf("%d %s: %v, want %s", c.status, c.body, err, c.kind)
		}
	}
}

func TestCancel(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		done   bool
		kind   banks.Kind
	}{
		{204, ``, true, ""},
		{202, `{"transactionStatus":"ACTC","_links":{"startAuthorisation":{"href":"/x"}}}`, false, ""},
		{200, `{"transactionStatus":"CANC"}`, true, ""},
		{202, `<html>`, false, ""},
		{405, `{"tppMessages":[{"category":"ERROR","code":"CANCELLATION_INVALID"}]}`, false, banks.BadRequest},
		{404, `{"tppMessages":[{"category":"ERROR","code":"RESOURCE_UNKNOWN"}]}`, false, banks.NotFound},
		{500, ``, false, banks.Uncertain},
	} {
		s := newStub(t)
		s.accepts("")
		b := s.bank(t, nil)
		ref := s.initiated(t, b)
		s.answers["DELETE /2"] = says(c.status, c.body)
		got, err := b.Cancel(t.Context(), ref)
		if got.Done != c.done || kindOf(err) != c.kind || s.seen[0].Header.Get("X-Request-ID") != ref.RequestID {
			t.Errorf("%d %s: %v %v", c.status, c.body, got, err)
		}
	}
}

// TestUnsendableOrdersAreNotSent: what a profile demands, before any request.
func TestUnsendableOrdersAreNotSent(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		spoil  func(*banks.Order)
	}{
		"debtor":       {func(c *Config) { c.DebtorAccount = DebtorMandatory }, func(*banks.Order) {}},
		"header":       {func(c *Config) { c.RequiredHeaders = []string{"PSU-User-Agent"} }, func(o *banks.Order) { o.PSU.UserAgent = "\x01\x02" }},
		"ip":           {nil, func(o *banks.Order) { o.PSU.IP = "" }},
		"request id":   {nil, func(o *banks.Order) { o.RequestID = "1" }},
		"debtor wrong": {nil, func(o *banks.Order) { o.Debtor = "DE1" }},
	} {
		s := newStub(t)
		s.accepts("")
		o := order(psd2.Euro(100))
		c.spoil(&o)
		if _, err := s.bank(t, c.change).Initiate(t.Context(), o); kindOf(err) != banks.BadRequest || len(s.seen) != 0 {
			t.Errorf("%s: %v after %d requests", name, err, len(s.seen))
		}
	}
}

func TestOwnTimeLimitEndsACall(t *testing.T) {
	s := newStub(t)
	held := make(chan struct{})
	s.answers[post] = func(http.ResponseWriter) { <-held }
	defer close(held)
	b := s.bank(t, func(c *Config) { c.Timeout = time.Second }) // dialling included
	_, err := b.Initiate(context.Background(), order(psd2.Euro(1)))
	if kindOf(err) != banks.Uncertain || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
