package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/demo"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/webhooks"
)

// bankServer is the sandbox behind a door that notes who comes in.
type bankServer struct {
	URL      string
	Operator psu.Operator

	mu   sync.Mutex
	seen []*http.Request
	hold func(*http.Request) // may keep a request waiting
}

func startBank(t *testing.T) *bankServer {
	t.Helper()
	s, err := sandbox.Open(sandbox.Config{}, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &bankServer{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.seen = append(b.seen, r.Clone(context.Background()))
		hold := b.hold
		b.mu.Unlock()
		if hold != nil {
			hold(r)
		}
		s.Handler().ServeHTTP(w, r)
	}))
	stop := run.Loop(t.Context(), slog.New(slog.DiscardHandler), "bank", s.Step, s.Wake())
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		stop()
		_ = s.Close() // nothing is kept
	})
	b.URL = server.URL
	b.Operator = psu.Operator{Client: payer.NewClient(nil), Origin: b.URL}
	return b
}

// initiations are the orders that came in, oldest first.
func (b *bankServer) initiations() []*http.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []*http.Request
	for _, r := range b.seen {
		if r.Method == http.MethodPost && r.Header.Get("X-Request-ID") != "" {
			list = append(list, r)
		}
	}
	return list
}

// holding makes every request wait in f.
func (b *bankServer) holding(f func(*http.Request)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold = f
}

// entries are the bank as a hub's registry has it.
func (b *bankServer) entries() []banks.Entry {
	return demo.BankEntries(b.URL, b.URL, sandbox.DefaultBanks()[:1], nil)
}

// hubConfig reads a configuration and adds what every hub of the tests needs.
func hubConfig(t *testing.T, b *bankServer, text string) configs.Config {
	t.Helper()
	text = "sandbox: true\ndata_dir: " + filepath.Join(t.TempDir(), "hub") + "\n" + text
	cfg, err := configs.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	cfg.HTTP.Ops, cfg.HTTP.Admin, cfg.HTTP.Officers = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if b != nil {
		cfg.Banks.Entries = b.entries()
	}
	return cfg
}

// startHub runs a hub until the test ends. Its public URL is its own unless
// the configuration names one through another listener.
func startHub(t *testing.T, cfg configs.Config, log io.Writer) *run.Hub {
	t.Helper()
	l := listenLoopback(t)
	cfg.Hub.PublicURL = "http://" + l.Addr().String()
	lg := slog.New(slog.DiscardHandler)
	if log != nil {
		lg = newLog(log, slog.LevelDebug)
	}
	h, err := run.Start(t.Context(), cfg, run.Options{Log: lg, Public: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func listenLoopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// delivery is a webhook as it came.
type delivery struct {
	Header http.Header
	Body   []byte
}

// shop is a merchant of the tests: a client with its own key, one payee
// account and one endpoint, which keeps what it is sent.
type shop struct {
	psd2.Merchant
	AccountID string
	Client    *apiclient.Client
	Key       *jose.Key
	Endpoint  *webhooks.Endpoint
	URL       string // of the API
	sink      string // where it listens for webhooks
	HTTP      *http.Client

	mu      sync.Mutex
	got     []delivery
	answer  func(w http.ResponseWriter) // nil: 204
	changed chan struct{}
}

// shopIBAN is the payee account of every shop.
const shopIBAN psd2.IBAN = "DE89370400440532013000"

// randomness is where the tests' ids come from.
var randomness = rand.Reader

// newShop makes a merchant that no hub knows yet. transport is what his client
// uses; nil: one of its own.
func newShop(t *testing.T, transport http.RoundTripper) *shop {
	t.Helper()
	if transport == nil {
		transport = &http.Transport{DialContext: payer.DialLoopback}
	}
	s := &shop{HTTP: &http.Client{Transport: transport, Timeout: 30 * time.Second}, changed: make(chan struct{})}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.sink = server.URL + "/hook"
	keys, err := jose.NewKeySet(rand.Reader, time.Now(), jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if s.Key, err = keys.Signer(jose.ES256, time.Now()); err != nil {
		t.Fatal(err)
	}
	jwks, err := keys.PublicJWKS(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.AccountID = psd2.NewID(psd2.PrefixAccount, time.Now(), randomness)
	s.Merchant = psd2.Merchant{
		ID: psd2.NewID(psd2.PrefixMerchant, time.Now(), randomness), Name: "Shop", Keys: jwks, PayerPolicy: psd2.PayerRequired,
		Accounts:   []psd2.PayeeAccount{{ID: s.AccountID, Name: "Shop Ltd", IBAN: shopIBAN}},
		ReturnURIs: []string{"https://shop.localhost/back"},
	}
	return s
}

// openShop registers a merchant at a running hub. path is the secret end of
// his endpoint's address.
func openShop(t *testing.T, h *run.Hub, baseURL, path string, transport http.RoundTripper) *shop {
	t.Helper()
	s := newShop(t, transport)
	if err := run.PutMerchant(t.Context(), h.Store, &s.Merchant); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.Endpoint, err = h.Webhooks.Put(t.Context(), webhooks.Endpoint{MerchantID: s.ID, URL: strings.TrimSuffix(s.sink, "hook") + path}); err != nil {
		t.Fatal(err)
	}
	s.URL, s.Client = baseURL, s.client(t, baseURL)
	return s
}

// client speaks for the merchant at a hub.
func (s *shop) client(t *testing.T, baseURL string) *apiclient.Client {
	t.Helper()
	c, err := apiclient.New(apiclient.Config{BaseURL: baseURL, ClientID: s.ID, Key: s.Key, Random: rand.Reader, HTTP: s.HTTP})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// secrets are the endpoint's keys: the shared secret, the hub's private key
// and its public half.
func (s *shop) secrets(t *testing.T) (secret, private, public string) {
	t.Helper()
	for _, k := range s.Endpoint.Keys {
		if p := k.Public(); p != "" {
			private, public = k.Value, p
		} else {
			secret = k.Value
		}
	}
	if secret == "" || public == "" {
		t.Fatal("the endpoint has not both kinds of keys")
	}
	return secret, private, public
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a broken delivery is missed by its reader
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer != nil {
		s.answer(w)
		return
	}
	s.got = append(s.got, delivery{r.Header.Clone(), body})
	close(s.changed)
	s.changed = make(chan struct{})
	w.WriteHeader(http.StatusNoContent)
}

// await waits for a payment's event of one of the types and returns all that
// came for the payment so far.
func (s *shop) await(t *testing.T, paymentID string, types ...string) []delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		s.mu.Lock()
		var got []delivery
		found := false
		for _, d := range s.got {
			if !bytes.Contains(d.Body, []byte(paymentID)) {
				continue
			}
			got = append(got, d)
			found = found || slices.ContainsFunc(types, func(x string) bool { return bytes.Contains(d.Body, []byte(`"type":"`+x+`"`)) })
		}
		changed := s.changed
		s.mu.Unlock()
		if found {
			return got
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("no %v came for %s", types, paymentID)
		}
	}
}

// deposit is what the shop asks for; name is the player's.
func (s *shop) deposit(name string) apiclient.Deposit {
	return apiclient.Deposit{
		Amount: psd2.Euro(2500), PayeeAccountID: s.AccountID, Reference: "Deposit 4711",
		Player: psd2.Player{Reference: "player-1", Name: name}, ReturnURI: s.ReturnURIs[0],
	}
}

func (s *shop) create(t *testing.T, d apiclient.Deposit) *apiclient.Payment {
	t.Helper()
	p, err := s.Client.Create(t.Context(), d, rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// payAt walks a payer through a hosted page.
func payAt(t *testing.T, address string, c psu.Credentials, wish psu.Wish, transport http.RoundTripper) payer.Result {
	t.Helper()
	person := payer.Payer{Client: payer.NewClient(transport), Bank: "sandbank", Credentials: c, Wish: wish, Now: time.Now, Stays: true}
	r, err := person.Pay(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// buffer collects a log that several goroutines write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
