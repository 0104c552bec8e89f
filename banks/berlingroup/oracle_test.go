package berlingroup

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

const oracle = "berlin-group/psd2-api_v1.3.12-2022-07-06.yaml"

// brief keeps what the oracle complains about and drops the schemas it quotes.
func brief(err error) string {
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if _, complaint, ok := strings.Cut(line, "Error at "); ok {
			lines = append(lines, complaint)
		}
	}
	if lines == nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return first
	}
	return strings.Join(lines, "; ")
}

// judge validates every request of the adapter, and with both every answer,
// against the official OpenAPI of NextGenPSD2 1.3.12.
type judge struct {
	next   http.RoundTripper
	both   bool
	router routers.Router // nil: the standard's file is not at hand
	judged atomic.Int64
	wrong  func(format string, args ...any)
}

// newJudge judges where the standard's file is at hand.
func newJudge(t *testing.T, both bool) *judge {
	t.Helper()
	router, err := loadOracle(testkit.StandardPath(t, oracle))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return &judge{router: router, both: both, wrong: t.Errorf}
}

func (j *judge) wrap(_ string, rt http.RoundTripper) http.RoundTripper {
	j.next = rt
	return j
}

var loadOracle = func() func(string) (routers.Router, error) {
	var once sync.Once
	var router routers.Router
	var failure error
	return func(file string) (routers.Router, error) {
		once.Do(func() { router, failure = readOracle(file) })
		return router, failure
	}
}()

func readOracle(file string) (routers.Router, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	openapi3.DefineStringFormatValidator("uuid", openapi3.NewRegexpFormatValidator(openapi3.FormatOfStringForUUIDOfRFC9562))
	openapi3.DefineIPv4Format()
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, err
	}
	doc.Servers = nil
	for path, item := range doc.Paths.Map() {
		if strings.Contains(path, "authorisations") {
			for _, op := range item.Operations() {
				loosen(op)
			}
		}
	}
	return legacy.NewRouter(doc, openapi3.DisableExamplesValidation()) // one example of the file is invalid
}

// loosen turns oneOf into anyOf in the bodies of an authorisation's steps: the
// alternatives of the standard's file overlap, the first being {}, so that by
// its letter no step would be valid. stepOf holds requests to one of them.
func loosen(op *openapi3.Operation) {
	var contents []openapi3.Content
	if op.RequestBody != nil {
		contents = append(contents, op.RequestBody.Value.Content)
	}
	for _, r := range op.Responses.Map() {
		contents = append(contents, r.Value.Content)
	}
	for _, c := range contents {
		for _, media := range c {
			if s := media.Schema.Value; s != nil {
				s.AnyOf, s.OneOf = append(s.AnyOf, s.OneOf...), nil
			}
		}
	}
}

// stepOf names the schema of an authorisation's step by its one member; "" for
// the empty object.
func stepOf(body []byte) (schema string, ok bool) {
	var members map[string]any
	if json.Unmarshal(body, &members) != nil || len(members) > 1 {
		return "", false
	}
	for name := range members {
		schema, ok = map[string]string{"psuData": "updatePsuAuthentication", "authenticationMethodId": "selectPsuAuthenticationMethod",
			"scaAuthenticationData": "transactionAuthorisation", "confirmationCode": "authorisationConfirmation"}[name]
		return schema, ok
	}
	return "", true
}

func (j *judge) RoundTrip(r *http.Request) (*http.Response, error) {
	if j.router == nil || !strings.Contains(r.URL.Path, "/v1/") { // the authorisation server has another standard
		return j.next.RoundTrip(r)
	}
	body, sent := []byte(nil), r.Clone(r.Context())
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		sent.Body = io.NopCloser(bytes.NewReader(body)) // without GetBody, so never sent twice
	}
	in := j.request(r, body)
	resp, err := j.next.RoundTrip(sent)
	if err != nil || !j.both || in == nil {
		return resp, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: resp.StatusCode, Header: resp.Header, Options: in.Options}
	out.SetBodyBytes(answer)
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		j.wrong("answer %d to %s: %s", resp.StatusCode, r.Method, brief(err))
	}
	return resp, nil
}

// request validates the request and, which OpenAPI tools do not, that it has
// no header the operation does not know.
func (j *judge) request(r *http.Request, body []byte) *openapi3filter.RequestValidationInput {
	_, path, ok := strings.Cut(r.URL.Path, "/v1/")
	own := r.Clone(context.Background())
	own.URL.Path, own.URL.RawPath, own.URL.Host, own.URL.Scheme, own.Host = "/v1/"+path, "", "", "", ""
	own.Body = io.NopCloser(bytes.NewReader(body))
	route, params, err := j.router.FindRoute(own)
	if !ok || err != nil {
		j.wrong("%s %s is no operation of the standard: %v", r.Method, r.URL.Path, err)
		return nil
	}
	in := &openapi3filter.RequestValidationInput{Request: own, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true,
			ExcludeRequestBody: isXML(r)}} // the file leaves the XML body out; xmllint judges that
	if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
		j.wrong("%s %s: %s", r.Method, r.URL.Path, brief(err))
	}
	if r.Method == http.MethodPost && !isXML(r) && strings.HasSuffix(path, "credit-transfers") { // the operation also takes bulk and periodic payments: ours is a single one
		var order any
		if err := json.Unmarshal(body, &order); err != nil {
			j.wrong("POST: %v", err)
		} else if err := route.Spec.Components.Schemas["paymentInitiation_json"].Value.VisitJSON(order, openapi3.MultiErrors()); err != nil {
			j.wrong("POST as paymentInitiation_json: %s", brief(err))
		}
	}
	if r.Body != nil && strings.Contains(path, "authorisations") {
		schema, ok := stepOf(body)
		var step any
		if !ok || json.Unmarshal(body, &step) != nil {
			j.wrong("%s: the body is no step of an authorisation", r.Method)
		} else if schema != "" {
			if err := route.Spec.Components.Schemas[schema].Value.VisitJSON(step, openapi3.MultiErrors()); err != nil {
				j.wrong("%s as %s: %s", r.Method, schema, brief(err))
			}
		}
	}
	known := []string{"Accept", "Content-Type", "User-Agent", "Traceparent", "Authorization", "Date", "X-Jws-Signature"} // the last three: security scheme and signatures
	for _, p := range append(slices.Clone(route.Operation.Parameters), route.PathItem.Parameters...) {
		if p.Value.In == openapi3.ParameterInHeader {
			known = append(known, http.CanonicalHeaderKey(p.Value.Name))
		}
	}
	for name := range r.Header {
		if !slices.Contains(known, name) {
			j.wrong("%s: the operation has no header %s", r.Method, name)
		}
	}
	j.judged.Add(1)
	return in
}

func isXML(r *http.Request) bool { return r.Header.Get("Content-Type") == "application/xml" }

// TestTrafficFollowsTheStandard: every message of a payment's life, in both
// directions, approved, declined and cancelled.
func TestTrafficFollowsTheStandard(t *testing.T) {
	testkit.Standard(t, oracle)
	s := newSandbox(t)
	for _, bank := range []string{"sandbank", "deichbank", "heidebank", "endbank"} {
		c := s.profile()
		c.BaseURL = s.server.URL + "/" + bank
		j := newJudge(t, true)
		b, err := New(bank, c, banks.Deps{Wrap: j.wrap})
		if err != nil {
			t.Fatal(err)
		}
		ref := func(o banks.Order, in banks.Initiation) banks.Ref {
			return banks.Ref{EndToEndID: o.EndToEndID, RequestID: uuid.NewString(), TraceID: o.TraceID, State: in.State, PSU: o.PSU}
		}
		initiate := func() (banks.Order, banks.Initiation) {
			o := order(psd2.Euro(2500))
			in, err := b.Initiate(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			return o, in
		}
		o, in := initiate()
		if st, err := b.Status(t.Context(), ref(o, in)); err != nil || st.Transaction != "RCVD" || st.SCA != "received" || st.Payer.IBAN != "" {
			t.Errorf("%s: before: %+v %v", bank, st, err)
		}
		if err := s.walk(t.Context(), s.customer(t, bank), in, psu.Wish{}); err != nil {
			t.Fatal(err)
		}
		st, err := b.Status(t.Context(), ref(o, in))
		named := map[string]string{"sandbank": "Paula Payer", "endbank": "Paula Payer"}[bank]
		if err != nil || psd2.StandingOf(st.Transaction) < psd2.StandingExecuted || st.Payer.IBAN.Country() != "DE" || st.Payer.Name != named {
			t.Errorf("%s: after: %+v %v", bank, st, err)
		}
		if got, err := b.Cancel(t.Context(), ref(o, in)); got.Done || kindOf(err) != banks.BadRequest {
			t.Errorf("%s: an executed order was cancelled: %v %v", bank, got, err)
		}
		o, in = initiate()
		if got, err := b.Cancel(t.Context(), ref(o, in)); !got.Done || err != nil {
			t.Errorf("%s: cancel: %v %v", bank, got, err)
		}
		o, in = initiate()
		if err := s.walk(t.Context(), s.customer(t, bank), in, psu.Wish{Decline: true}); err != nil {
			t.Fatal(err)
		}
		if st, err := b.Status(t.Context(), ref(o, in)); err != nil || st.Transaction != "RJCT" || st.Reason == "" {
			t.Errorf("%s: declined: %+v %v", bank, st, err)
		}
		if j.judged.Load() < 10 {
			t.Errorf("%s: only %d messages were judged", bank, j.judged.Load())
		}
		j.next.(*http.Transport).CloseIdleConnections()
	}
}

// TestOmittedDebtorIsTheOnlyDeparture: with debtor_account optional the order
// leaves out a member that the schema makes mandatory, and nothing else.
func TestOmittedDebtorIsTheOnlyDeparture(t *testing.T) {
	testkit.Standard(t, oracle)
	s := newSandbox(t)
	c := s.profile()
	c.BaseURL, c.DebtorAccount = s.server.URL+"/sandbank", DebtorOptional
	var said []string
	j := newJudge(t, true)
	j.wrong = func(_ string, args ...any) { said = append(said, fmt.Sprint(args[len(args)-1])) }
	b, err := New("sandbank", c, banks.Deps{Wrap: j.wrap})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Initiate(t.Context(), order(psd2.Euro(1))); err != nil || len(said) == 0 {
		t.Fatal(err, said)
	}
	last := said[len(said)-1] // as a single payment; what came before speaks of bulk and periodic ones too
	if len(said) != 2 || last != `"/debtorAccount": property "debtorAccount" is missing` {
		t.Errorf("the oracle says %q", said)
	}
	j.next.(*http.Transport).CloseIdleConnections()
}
