package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/psd2/testkit/account"
	"github.com/rialto-hub/rialto/webhooks"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// world is the API on real parts: SQLite, hub, HTTP over loopback. Every
// answer is held against the contract.
type world struct {
	t    testing.TB
	db   *store.DB
	url  string
	log  *logBuffer
	http *http.Client
	keys *jose.KeySet
	hook *webhooks.Service
	hub  *hub.Hub
	till *account.Account // of whoever has the account connectedID

	mu sync.Mutex
	at time.Time
}

// merchant is a client with its key.
type merchant struct {
	*psd2.Merchant
	key *jose.Key
	w   *world
}

type option func(*api.Deps)

func limits(l api.Limits) option { return func(d *api.Deps) { d.Limits = l } }

func newWorld(t testing.TB, options ...option) *world {
	t.Helper()
	return newWorldOn(t, testkit.SQLite, options...)
}

// onDatabases runs a test on SQLite and on PostgreSQL.
func onDatabases(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, newWorld(t)) })
	t.Run("postgres", func(t *testing.T) {
		test(t, newWorldOn(t, func(t testing.TB, now func() time.Time) *store.DB {
			return testkit.Open(t, testkit.PostgresConfig(t), now)
		}))
	})
}

// began is when every world begins.
var began = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newWorldOn(t testing.TB, open func(testing.TB, func() time.Time) *store.DB, options ...option) *world {
	t.Helper()
	w := &world{t: t, at: began, log: &logBuffer{}}
	w.db = open(t, w.now)
	keys, err := jose.NewKeySet(rand.Reader, w.now())
	if err != nil {
		t.Fatal(err)
	}
	w.keys = keys
	entries := []banks.Entry{
		{ID: "alpha", Name: "Alpha Bank", BICs: []string{"ALPHDEFF"}, Countries: []string{"DE"}, Adapter: "test"},
		{ID: "omega", Name: "Omega Bank", Countries: []string{"AT"}, Adapter: "test", Disabled: "not connected yet"},
	}
	registry := banks.NewRegistry(entries, map[string]banks.Bank{"alpha": stillBank{}}, w.now)
	server := httptest.NewUnstartedServer(nil)
	w.url = "http://" + server.Listener.Addr().String()
	w.hook = newWebhooks(t, w)
	w.till = account.New("till", psd2.Party{Name: "Casino", IBAN: "DE89370400440532013000"}, 1_000_000, w.now)
	w.hub = hub.New(hub.Config{PublicURL: w.url}, hub.Deps{Store: w.db, Banks: registry, Now: w.now, Random: rand.Reader, Channels: map[string]banks.Channel{connectedID: w.till}})
	deps := api.Deps{
		Receipts: paper{}, Store: w.db, Webhooks: w.hook, Keys: keys, PublicURL: w.url, Sandbox: true, Now: w.now, Random: rand.Reader,
		Hub:  w.hub,
		Edge: &edge.Edge{Log: slog.New(slog.NewJSONHandler(w.log, nil)), Now: w.now},
		// The world's clock stands still, so limits would never recover.
		Limits: api.Limits{Token: api.Rate{PerSecond: -1}, Address: api.Rate{PerSecond: -1}, Merchant: api.Rate{PerSecond: -1}},
	}
	for _, o := range options {
		o(&deps)
	}
	handler, err := api.New(deps)
	if err != nil {
		t.Fatal(err)
	}
	server.Config = edge.NewServer(handler, nil)
	server.Start()
	t.Cleanup(server.Close)
	w.http = &http.Client{Transport: newContractTransport(t), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// merchant registers a client with a fresh key.
func (w *world) merchant(name string) *merchant {
	w.t.Helper()
	key, err := jose.GenerateKey(jose.ES256, rand.Reader, w.now())
	if err != nil {
		w.t.Fatal(err)
	}
	m := &merchant{w: w, key: key, Merchant: &psd2.Merchant{
		ID: psd2.NewID(psd2.PrefixMerchant, w.now(), rand.Reader), Name: name, LegalName: name + " Ltd", Website: "casino.example",
		Scopes:      []string{api.ScopePaymentsRead, api.ScopePaymentsWrite},
		Accounts:    []psd2.PayeeAccount{{ID: psd2.NewID(psd2.PrefixAccount, w.now(), rand.Reader), Name: name, IBAN: "DE89370400440532013000"}},
		ReturnURIs:  []string{"https://casino.example/back"},
		PayerPolicy: psd2.PayerRequired, MaxMinor: 1_000_000,
	}}
	m.Keys = jwks(w.t, key)
	m.save()
	return m
}

func (m *merchant) save() {
	m.w.t.Helper()
	copied := *m.Merchant
	if err := m.w.db.Tx(context.Background(), func(tx *store.Tx) error { return tx.PutMerchant(&copied) }); err != nil {
		m.w.t.Fatal(err)
	}
}

func jwks(t testing.TB, keys ...*jose.Key) []byte {
	t.Helper()
	var members []map[string]any
	for _, key := range keys {
		raw, err := key.MarshalJWK()
		if err != nil {
			t.Fatal(err)
		}
		var jwk map[string]any
		if err := json.Unmarshal(raw, &jwk); err != nil {
			t.Fatal(err)
		}
		delete(jwk, "d")
		members = append(members, jwk)
	}
	out, err := json.Marshal(map[string]any{"keys": members})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (m *merchant) client(change ...func(*apiclient.Config)) *apiclient.Client {
	m.w.t.Helper()
	c := apiclient.Config{BaseURL: m.w.url, ClientID: m.ID, Key: m.key, HTTP: m.w.http, Now: m.w.now, Random: rand.Reader}
	for _, f := range change {
		f(&c)
	}
	client, err := apiclient.New(c)
	if err != nil {
		m.w.t.Fatal(err)
	}
	return client
}

func (m *merchant) token() string {
	m.w.t.Helper()
	token, err := m.client().Token(context.Background())
	if err != nil {
		m.w.t.Fatal(err)
	}
	return token
}

func (m *merchant) deposit() apiclient.Deposit {
	return apiclient.Deposit{
		Amount: psd2.Euro(2500), PayeeAccountID: m.Accounts[0].ID, Reference: "Deposit 4711",
		Player:    psd2.Player{Reference: "player-1", Name: "Erika Mustermann"},
		ReturnURI: "https://casino.example/back", State: "s-1", Metadata: map[string]string{"table": "7"},
	}
}

func (m *merchant) depositJSON() string {
	body, err := json.Marshal(m.deposit())
	if err != nil {
		m.w.t.Fatal(err)
	}
	return string(body)
}

func (m *merchant) create() *apiclient.Payment {
	m.w.t.Helper()
	p, err := m.client().Create(context.Background(), m.deposit(), rand.Text())
	if err != nil {
		m.w.t.Fatal(err)
	}
	return p
}

// answer is an HTTP answer with its body read.
type answer struct {
	*http.Response
	body []byte
}

// code is the problem's code or OAuth's error; "" for a success.
func (a *answer) code() string {
	var p struct{ Code, Error string }
	_ = json.Unmarshal(a.body, &p)
	return p.Code + p.Error
}

func (a *answer) field() string {
	var p struct{ Field string }
	_ = json.Unmarshal(a.body, &p)
	return p.Field
}

func (w *world) send(req *http.Request) *answer {
	w.t.Helper()
	res, err := w.http.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return &answer{res, body}
}

func (w *world) request(method, target, body string) *http.Request {
	w.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, w.url+target, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	return req
}

func (m *merchant) get(target string) *answer {
	m.w.t.Helper()
	req := m.w.request(http.MethodGet, target, "")
	req.Header.Set("Authorization", "Bearer "+m.token())
	return m.w.send(req)
}

// post sends a signed request; change may spoil it after it was signed.
func (m *merchant) post(target, key, body string, change ...func(*http.Request)) *answer {
	m.w.t.Helper()
	return m.w.send(m.signed(target, key, body, change...))
}

func (m *merchant) signed(target, key, body string, change ...func(*http.Request)) *http.Request {
	m.w.t.Helper()
	return m.order(http.MethodPost, target, key, body, change...)
}

// order is a signed request of any method.
func (m *merchant) order(method, target, key, body string, change ...func(*http.Request)) *http.Request {
	m.w.t.Helper()
	return m.orderWith(m.token(), method, target, key, body, change...)
}

// orderWith is order with a token that is there already.
func (m *merchant) orderWith(token, method, target, key, body string, change ...func(*http.Request)) *http.Request {
	m.w.t.Helper()
	req := m.w.request(method, target, body)
	signature, err := jose.SignRequest(m.key, method, target, []jose.Header{{Name: "Idempotency-Key", Value: key}}, []byte(body), m.w.now())
	if err != nil {
		m.w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set(jose.HeaderSignature, signature)
	for _, f := range change {
		f(req)
	}
	return req
}

func setHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func setBody(body string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
}

// payments counts what is in the database.
func (w *world) payments() (n int) {
	w.t.Helper()
	if err := w.db.Get(context.Background(), &n, `SELECT COUNT(*) FROM payments`); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// stillBank takes orders and says nothing about them.
type stillBank struct{}

func (stillBank) Info() banks.Info {
	return banks.Info{ID: "alpha", Approaches: []banks.Approach{banks.Redirect}}
}

func (stillBank) Initiate(context.Context, banks.Order) (banks.Initiation, error) {
	return banks.Initiation{}, &banks.Error{Kind: banks.Unavailable}
}

func (stillBank) Status(context.Context, banks.Ref) (banks.Status, error) {
	return banks.Status{}, &banks.Error{Kind: banks.Unavailable}
}

// logBuffer collects log lines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// contractTransport holds every answer, and every request that succeeds, to
// openapi.yaml, and every problem code to the table in it.
type contractTransport struct {
	t      testing.TB
	doc    *openapi3.T
	router routers.Router
	codes  map[string]bool // "400 json_invalid"
}

var contract = sync.OnceValues(func() (*contractTransport, error) {
	doc, err := openapi3.NewLoader().LoadFromData(api.Contract())
	if err != nil {
		return nil, err
	}
	openapi3filter.RegisterBodyDecoder("application/xml", openapi3filter.FileBodyDecoder) // the schema says no more than that it is text
	openapi3filter.RegisterBodyDecoder("application/jose", openapi3filter.FileBodyDecoder)
	doc.Servers = nil // its "/" means wherever it is served; the router would look for that host
	router, err := legacy.NewRouter(doc)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Status int    `json:"status"`
		Code   string `json:"code"`
	}
	raw, err := json.Marshal(doc.Extensions["x-problems"])
	if err == nil {
		err = json.Unmarshal(raw, &rows)
	}
	codes := map[string]bool{}
	for _, r := range rows {
		codes[fmt.Sprint(r.Status, " ", r.Code)] = true
	}
	return &contractTransport{doc: doc, router: router, codes: codes}, err
})

func newContractTransport(t testing.TB) *contractTransport {
	t.Helper()
	shared, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	own := *shared
	own.t = t
	return &own
}

func (c *contractTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent []byte
	if req.Body != nil {
		sent, _ = io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(sent))
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return res, nil
	}
	c.check(req, sent, res, body)
	return res, nil
}

func (c *contractTransport) check(req *http.Request, sent []byte, res *http.Response, body []byte) {
	name := fmt.Sprintf("%s %s → %d", req.Method, req.URL.Path, res.StatusCode)
	for _, header := range []string{"X-Content-Type-Options", "Content-Security-Policy", "Cache-Control", "Referrer-Policy"} {
		if res.Header.Get(header) == "" {
			c.t.Errorf("%s: no %s", name, header)
		}
	}
	if res.Header.Get("Content-Type") == edge.ContentTypeProblem {
		var p edge.Problem
		if err := json.Unmarshal(body, &p); err != nil || p.Status != res.StatusCode || !c.codes[fmt.Sprint(p.Status, " ", p.Code)] {
			c.t.Errorf("%s: problem %q is not in the contract's table", name, p.Code)
		}
		if res.StatusCode == http.StatusUnauthorized && res.Header.Get("WWW-Authenticate") == "" {
			c.t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	again := req.Clone(context.Background())
	again.Body = io.NopCloser(bytes.NewReader(sent))
	route, params, err := c.router.FindRoute(again)
	if err != nil {
		if res.StatusCode < 400 && !strings.HasPrefix(req.URL.Path, "/docs") && !strings.HasPrefix(req.URL.Path, "/static/") {
			c.t.Errorf("%s: served, but not in the contract: %v", name, err)
		}
		return // a 404 or 405, whose form was checked above
	}
	input := &openapi3filter.RequestValidationInput{Request: again, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}}
	if res.StatusCode < 300 {
		if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
			c.t.Errorf("%s: taken, but the contract refuses it: %v", name, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: res.StatusCode, Header: res.Header, Options: input.Options}
	out.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		c.t.Errorf("%s: answer breaks the contract: %v\n%s", name, err, body)
	}
}
