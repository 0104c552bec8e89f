package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("SANDBOX_TEST_CHILD"); path != "" {
		os.Exit(serveChild(path))
	}
	goleak.VerifyTestMain(m)
}

const (
	payeeIBAN = "DE89370400440532013000"
	okURI     = "https://tpp.example/return/1"
	nokURI    = "https://tpp.example/return/1/failed"
)

// world is a sandbox behind a real server, with a TPP and any number of payers.
type world struct {
	t     *testing.T
	once  sync.Once
	clock *clock
	bank  *sandbox.Sandbox
	srv   *httptest.Server
	tpp   *http.Client
	op    psu.Operator
}

// open starts a sandbox in memory, or with the configuration given.
func open(t *testing.T, cfg ...sandbox.Config) *world {
	t.Helper()
	w := &world{t: t, clock: newClock()}
	c := sandbox.Config{}
	if len(cfg) > 0 {
		c = cfg[0]
	}
	s, err := sandbox.Open(c, sandbox.Options{Now: w.clock.Now, Random: rand.NewChaCha8([32]byte{1})})
	if err != nil {
		t.Fatal(err)
	}
	w.bank = s
	w.srv = httptest.NewServer(s.Handler())
	w.tpp = &http.Client{Transport: checked{t, w.srv.Client().Transport}}
	w.op = psu.Operator{Client: w.srv.Client(), Origin: w.srv.URL}
	t.Cleanup(w.stop)
	return w
}

func (w *world) stop() {
	w.once.Do(func() {
		w.srv.Close()
		if err := w.bank.Close(); err != nil {
			w.t.Error(err)
		}
	})
}

func payments(bank string) string { return "/" + bank + "/v1/payments/instant-sepa-credit-transfers" }

func newUUID() string { return uuid.NewString() }

// answer is a decoded JSON answer.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   map[string]any
	err    error // no answer came
}

func (a answer) text(path ...string) string {
	var v any = a.body
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[p]
	}
	s, _ := v.(string)
	return s
}

func (a answer) strings(name string) []string {
	var out []string
	list, _ := a.body[name].([]any)
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	if len(out) == 0 {
		a.t.Fatalf("%s is empty: %v", name, a.body)
	}
	return out
}

// code is the first message's code.
func (a answer) code() string {
	list, _ := a.body["tppMessages"].([]any)
	if len(list) == 0 {
		return ""
	}
	m, _ := list[0].(map[string]any)
	s, _ := m["code"].(string)
	return s
}

// call makes one request of the TPP.
func (w *world) call(method, path string, header http.Header, body []byte) answer {
	w.t.Helper()
	req, err := http.NewRequest(method, w.srv.URL+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-Request-ID", newUUID())
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := w.tpp.Do(req)
	if err != nil {
		return answer{t: w.t, err: err}
	}
	defer func() { _ = res.Body.Close() }()
	a := answer{t: w.t, status: res.StatusCode, header: res.Header}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		a.err = err
	}
	if len(raw) > 0 && strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			w.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return a
}

func (w *world) get(path string, want int) answer {
	w.t.Helper()
	a := w.call("GET", path, nil, nil)
	if a.err != nil || a.status != want {
		w.t.Fatalf("GET %s: %d %v, want %d", path, a.status, a.err, want)
	}
	return a
}

// order is what the TPP sends; zero fields get usable values.
type order struct {
	amount, endToEnd, debtor, payee string
	mutate                          func(header http.Header, body map[string]any)
}

var orders atomic.Int64

// send posts an order.
func (w *world) send(bank string, o order) answer {
	w.t.Helper()
	header := http.Header{"Content-Type": {"application/json"}, "Psu-Ip-Address": {"192.0.2.7"},
		"Tpp-Redirect-Uri": {okURI}, "Tpp-Nok-Redirect-Uri": {nokURI}}
	body := map[string]any{
		"endToEndIdentification":            o.endToEnd,
		"debtorAccount":                     map[string]any{},
		"instructedAmount":                  map[string]any{"currency": "EUR", "amount": o.amount},
		"creditorAccount":                   map[string]any{"iban": o.payee},
		"creditorName":                      "Demo Casino GmbH",
		"remittanceInformationUnstructured": "Deposit 4711",
	}
	if o.debtor != "" {
		body["debtorAccount"] = map[string]any{"iban": o.debtor}
	}
	if o.endToEnd == "" {
		body["endToEndIdentification"] = fmt.Sprintf("E2E%d", orders.Add(1))
	}
	if o.amount == "" {
		body["instructedAmount"] = map[string]any{"currency": "EUR", "amount": "25.00"}
	}
	if o.payee == "" {
		body["creditorAccount"] = map[string]any{"iban": payeeIBAN}
	}
	if o.mutate != nil {
		o.mutate(header, body)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.call("POST", payments(bank), header, raw)
}

// placed is an order the bank has accepted.
type placed struct{ PaymentID, SCARedirect, Status, SCAStatus string }

func (w *world) initiate(bank string, o order) placed {
	w.t.Helper()
	a := w.send(bank, o)
	if a.err != nil || a.status != http.StatusCreated {
		w.t.Fatalf("initiation: %d %v %v", a.status, a.err, a.body)
	}
	return placed{a.text("paymentId"), a.text("_links", "scaRedirect", "href"), a.text("_links", "status", "href"), a.text("_links", "scaStatus", "href")}
}

// payer is a browser of its own.
func (w *world) payer() *http.Client { return newBrowser(w.t, w.srv.Client().Transport) }

func newBrowser(t *testing.T, transport http.RoundTripper) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: transport, Jar: jar}
}

func (w *world) persona(bank, user string) psu.Credentials {
	w.t.Helper()
	c, err := w.op.Persona(context.Background(), bank, user)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) customer(bank string, n psu.NewCustomers) psu.Credentials {
	w.t.Helper()
	list, err := w.op.Create(context.Background(), bank, n)
	if err != nil || len(list) != 1 {
		w.t.Fatalf("create: %v", err)
	}
	return list[0]
}

// walk authorises the order as that payer.
func (w *world) walk(p placed, c psu.Credentials, wish psu.Wish) (psu.Outcome, error) {
	return psu.Walk(context.Background(), w.payer(), p.SCARedirect, c, wish, w.clock.Now)
}

func (w *world) pays(p placed, c psu.Credentials, wish psu.Wish) psu.Outcome {
	w.t.Helper()
	out, err := w.walk(p, c, wish)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) transfers(endToEnd string) []psu.Transfer {
	w.t.Helper()
	list, err := w.op.Transfers(context.Background(), endToEnd, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// wantStatus checks status and scaStatus and returns the status answer.
func (w *world) wantStatus(p placed, status, sca, reason string) answer {
	w.t.Helper()
	a := w.get(p.Status, http.StatusOK)
	if a.text("transactionStatus") != status || a.code() != reason {
		w.t.Errorf("status %s %s, want %s %s", a.text("transactionStatus"), a.code(), status, reason)
	}
	if got := w.get(p.SCAStatus, http.StatusOK).text("scaStatus"); got != sca {
		w.t.Errorf("scaStatus %s, want %s", got, sca)
	}
	return a
}

// balance asks for an account's balance in cents.
func (w *world) balance(iban string) int64 {
	w.t.Helper()
	var out struct {
		Balance struct {
			AmountMinor int64 `json:"amount_minor"`
		} `json:"balance"`
	}
	res, err := w.srv.Client().Get(w.srv.URL + "/sandbox/accounts/" + iban + "/entries")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusNotFound {
		return 0
	}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		w.t.Fatal(err)
	}
	return out.Balance.AmountMinor
}

const second = time.Second

// clock moves only when told to.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time { return c.Add(0) }

func (c *clock) Add(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return c.t
}
