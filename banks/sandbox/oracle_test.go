package sandbox_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/rialto-hub/rialto/psd2/testkit"
)

const oracleFile = "berlin-group/psd2-api_v1.3.12-2022-07-06.yaml"

var oracle struct {
	once   sync.Once
	router routers.Router
	err    error
}

// loadOracle reads the official OpenAPI once; nil when it is not at hand.
func loadOracle(t *testing.T) (routers.Router, error) {
	oracle.once.Do(func() { oracle.router, oracle.err = readOracle(testkit.StandardPath(t, oracleFile)) })
	return oracle.router, oracle.err
}

func readOracle(file string) (routers.Router, error) {
	raw, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil, nil
	}
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
	// One example of the file is invalid (Error409_NG_AIS); its schemas are not.
	if err := doc.Validate(context.Background(), openapi3.DisableExamplesValidation()); err != nil {
		return nil, err
	}
	for path, item := range doc.Paths.Map() {
		if strings.Contains(path, "authorisations") {
			loosen(item.Post)
			loosen(item.Put)
		}
	}
	return gorillamux.NewRouter(doc)
}

// loosen takes the alternatives of an authorisation's steps for what they are
// meant to be: the standard's file lists them under oneOf, though an empty
// object is among them, so that no body matches exactly one.
func loosen(op *openapi3.Operation) {
	if op == nil {
		return
	}
	contents := []openapi3.Content{op.RequestBody.Value.Content}
	for _, res := range op.Responses.Map() {
		contents = append(contents, res.Value.Content)
	}
	for _, content := range contents {
		for _, media := range content {
			if s := media.Schema.Value; s.OneOf != nil {
				media.Schema = &openapi3.SchemaRef{Value: &openapi3.Schema{AnyOf: s.OneOf}}
			}
		}
	}
}

// needOracle skips the test without the file, or fails it where it has to be there.
func needOracle(t *testing.T) {
	t.Helper()
	testkit.Standard(t, oracleFile)
	if _, err := loadOracle(t); err != nil {
		t.Fatal(err)
	}
}

// checked validates every answer of the interface, and every request the bank
// accepted, against the official OpenAPI.
type checked struct {
	t    *testing.T
	next http.RoundTripper
}

func (c checked) RoundTrip(r *http.Request) (*http.Response, error) {
	router, err := loadOracle(c.t)
	if err != nil {
		c.t.Error("oracle:", err)
	}
	_, path, inside := strings.Cut(r.URL.Path[1:], "/")
	if router == nil || !inside || !strings.HasPrefix(path, "v1/payments/") && path != "v1/funds-confirmations" || strings.HasPrefix(path, "v1/payments/sepa-") {
		return c.next.RoundTrip(r)
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	res, err := c.next.RoundTrip(r)
	if err != nil {
		return res, err
	}
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(answer))
	c.check(router, r, "/"+path, body, res, answer)
	return res, nil
}

func (c checked) check(router routers.Router, r *http.Request, path string, body []byte, res *http.Response, answer []byte) {
	ctx := context.Background()
	own := r.Clone(ctx)
	own.URL.Path, own.URL.Host, own.URL.Scheme, own.Host = path, "", "", ""
	own.Body = io.NopCloser(bytes.NewReader(body))
	route, params, err := router.FindRoute(own)
	if err != nil {
		if res.StatusCode != http.StatusNotFound {
			c.t.Errorf("oracle: %s %s: %v", r.Method, path, err)
		}
		return
	}
	in := &openapi3filter.RequestValidationInput{Request: own, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true,
			ExcludeRequestBody: r.Header.Get("Content-Type") == "application/xml"}} // which the filter cannot read
	if res.StatusCode < 300 {
		if err := openapi3filter.ValidateRequest(ctx, in); err != nil {
			c.t.Errorf("the bank accepted a request that is not valid: %s %s: %v", r.Method, path, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: res.StatusCode, Header: res.Header, Options: in.Options}
	out.SetBodyBytes(answer)
	if err := openapi3filter.ValidateResponse(ctx, out); err != nil {
		c.t.Errorf("answer %d to %s %s is not valid: %v\n%s", res.StatusCode, r.Method, path, err, answer)
	}
}

// TestEveryAnswerFollowsTheStandard walks through all calls and the failures
// that can be provoked from outside; checked does the judging, here and in all
// other tests.
func TestEveryAnswerFollowsTheStandard(t *testing.T) {
	needOracle(t)
	w := open(t)
	id := w.initiate("sandbank", order{}).PaymentID
	base := payments("sandbank") + "/" + id
	sca := w.get(base+"/authorisations", http.StatusOK).strings("authorisationIds")[0]
	calls := []struct {
		method, path string
		want         int
	}{
		{"GET", base, 200}, {"GET", base + "/status", 200}, {"GET", base + "/authorisations/" + sca, 200},
		{"GET", payments("sandbank") + "/absent", 404}, {"GET", payments("sandbank") + "/absent/status", 404},
		{"GET", base + "/authorisations/absent", 404}, {"DELETE", payments("sandbank") + "/absent", 404},
		{"GET", payments("nobank") + "/absent", 404}, {"GET", payments("ebbebank") + "/absent", 503},
		{"DELETE", base, 204}, {"DELETE", base, 405}, {"GET", base + "/status", 200},
	}
	for _, c := range calls {
		if got := w.call(c.method, c.path, nil, nil).status; got != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, got, c.want)
		}
	}
}

// TestOracleNoticesAWrongAnswer shows that the judging above can fail.
func TestOracleNoticesAWrongAnswer(t *testing.T) {
	needOracle(t)
	router, _ := loadOracle(t)
	var probe testing.T
	r, _ := http.NewRequest("GET", "/v1/payments/instant-sepa-credit-transfers/1/status", nil)
	h := http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {newUUID()}}
	func() {
		defer func() { _ = recover() }() // a testing.T of our own has nowhere to print
		checked{t: &probe}.check(router, r, r.URL.Path, nil, &http.Response{StatusCode: 200, Header: h}, []byte(`{"transactionStatus":"PAID"}`))
	}()
	if !probe.Failed() {
		t.Error("an unknown transactionStatus was accepted")
	}
}
