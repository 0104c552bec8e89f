package sctinst

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a sandbox behind a real server with one merchant's account at
// Sandbank and a channel to it.
type world struct {
	t      *testing.T
	clock  *testkit.Clock
	bank   *sandbox.Sandbox
	server *httptest.Server
	tap    *tap
	config Config
}

const merchantName = "Lucky Lagoon Casino"

func newWorld(t *testing.T) *world { return newWorldAs(t, httptest.NewServer, map[string]any{}) }

func newWorldAs(t *testing.T, serve func(http.Handler) *httptest.Server, registration map[string]any) *world {
	t.Helper()
	w := &world{t: t, clock: testkit.NewClock()}
	s, err := sandbox.Open(sandbox.Config{}, sandbox.Options{Now: w.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	w.bank = s
	w.tap = &tap{next: s.Handler()}
	w.server = serve(w.tap)
	t.Cleanup(func() {
		w.server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w.config = w.register(registration)
	return w
}

// register opens the merchant's account and writes the key files of a channel
// to it.
func (w *world) register(extra map[string]any) Config {
	w.t.Helper()
	own, err := jose.NewKeySet(rand.Reader, w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	public, err := own.PublicJWKS(w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	body := map[string]any{"id": "lagoon", "name": merchantName, "keys": json.RawMessage(public), "balance_minor": psd2.MaxSCTInstMinor}
	for k, v := range extra {
		body[k] = v
	}
	var answer struct {
		IBAN, BIC string
		BaseURL   string          `json:"base_url"`
		BankKeys  json.RawMessage `json:"bank_keys"`
	}
	w.operator("POST", "/sandbox/sandbank/h2h", body, &answer)
	dir := w.t.TempDir()
	c := Config{BaseURL: answer.BaseURL, Account: Account{Name: merchantName, IBAN: answer.IBAN, BIC: answer.BIC}, InsecureLoopback: true,
		UnknownIsFinal: true, SigningKeyFile: filepath.Join(dir, "own.jwks"), BankKeysFile: filepath.Join(dir, "bank.jwks")}
	if err := own.Save(c.SigningKeyFile); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(c.BankKeysFile, answer.BankKeys, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) operator(method, path string, in, out any) {
	w.t.Helper()
	if err := w.call(method, path, in, out); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) call(method, path string, in, out any) error {
	raw, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, w.server.URL+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := w.server.Client().Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, res.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// turn changes the channel's switches.
func (w *world) turn(switches map[string]any) {
	w.t.Helper()
	w.operator("POST", "/sandbox/sandbank/h2h/lagoon/switches", switches, nil)
}

func (w *world) channel(change ...func(*Config)) *Channel {
	w.t.Helper()
	c := w.config
	for _, f := range change {
		f(&c)
	}
	ch, err := New("lagoon", c, banks.Deps{Now: w.clock.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	return ch
}

var names sync.Mutex
var serial int

// transfer is a good one to a customer of another sandbox bank.
func (w *world) transfer(minor int64) banks.Transfer {
	names.Lock()
	serial++
	id := fmt.Sprintf("PO%d", serial)
	names.Unlock()
	return banks.Transfer{MessageID: "M" + id, EndToEndID: id, RequestID: newUUID(), TraceID: strings.Repeat("a", 32), CreatedAt: w.clock.Now(),
		Amount: psd2.Euro(minor), Creditor: psd2.Party{Name: "Anna Beispiel", IBAN: w.iban("deichbank", "anna")}, Remittance: "Payout 4711"}
}

func newUUID() string { return psd2.NewUUID(time.Now(), rand.Reader) }

func (w *world) iban(bank, user string) psd2.IBAN {
	for _, p := range w.bank.Personas(bank) {
		if p.User == user {
			return psd2.IBAN(p.Accounts[0].IBAN)
		}
	}
	panic("no such persona")
}

type bankOrder struct {
	Amount       psd2.Money
	CreditorIBAN string `json:"creditor_iban"`
	Status       string
	Booked       bool
	Returned     bool
}

// orders are the bank's own books under an EndToEndId.
func (w *world) orders(endToEndID string) ([]bankOrder, error) {
	var out struct{ Orders []bankOrder }
	err := w.call("GET", "/sandbox/sandbank/h2h/lagoon/orders?end_to_end_id="+endToEndID, nil, &out)
	return out.Orders, err
}

func (w *world) wantOrders(endToEndID string, booked int) {
	w.t.Helper()
	list, err := w.orders(endToEndID)
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, o := range list {
		if o.Booked {
			n++
		}
	}
	if n != booked {
		w.t.Errorf("%s was booked %d times, want %d", endToEndID, n, booked)
	}
}

func (w *world) target() bankstest.ChannelTarget {
	return bankstest.ChannelTarget{
		BankURL: w.config.BaseURL,
		New: func(base string, log *slog.Logger) (banks.Channel, error) {
			c := w.config
			c.BaseURL = base
			return New("lagoon", c, banks.Deps{Log: log, Now: w.clock.Now})
		},
		Transfer: func(m psd2.Money) banks.Transfer {
			t := w.transfer(m.AmountMinor)
			t.Amount = m
			return t
		},
		Ledger: func(_ context.Context, id string) ([]bankstest.Held, error) {
			list, err := w.orders(id)
			held := make([]bankstest.Held, len(list))
			for i, o := range list {
				held[i] = bankstest.Held{Amount: o.Amount, Creditor: psd2.IBAN(o.CreditorIBAN), Booked: o.Booked}
			}
			return held, err
		},
		Credit: func(ctx context.Context, m psd2.Money) (string, error) {
			return w.deposit(ctx, "sandbank", m.AmountMinor, "Paula Payer")
		},
	}
}

// deposit has a new customer of a sandbox bank pay into the merchant's account
// by way of the bank's payment initiation interface, and returns the
// EndToEndId.
func (w *world) deposit(ctx context.Context, bank string, minor int64, holder string) (string, error) {
	op := psu.Operator{Client: w.server.Client(), Origin: w.server.URL}
	list, err := op.Create(ctx, bank, psu.NewCustomers{Count: 1, Holder: holder, BalanceMinor: minor})
	if err != nil {
		return "", err
	}
	id := "DP" + strings.ReplaceAll(newUUID(), "-", "")
	order, err := json.Marshal(map[string]any{
		"endToEndIdentification": id, "debtorAccount": map[string]any{}, "creditorName": merchantName,
		"instructedAmount":                  map[string]any{"currency": "EUR", "amount": psd2.Euro(minor).Decimal()},
		"creditorAccount":                   map[string]any{"iban": w.config.Account.IBAN},
		"remittanceInformationUnstructured": "Deposit 4711",
	})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", w.server.URL+"/"+bank+"/v1/payments/instant-sepa-credit-transfers", bytes.NewReader(order))
	if err != nil {
		return "", err
	}
	for name, value := range map[string]string{"Content-Type": "application/json", "X-Request-ID": newUUID(), "PSU-IP-Address": "192.0.2.7",
		"TPP-Redirect-URI": "https://tpp.example/ok", "TPP-Nok-Redirect-URI": "https://tpp.example/nok"} {
		req.Header.Set(name, value)
	}
	res, err := w.server.Client().Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	var placed struct {
		Links struct {
			SCARedirect struct{ Href string } `json:"scaRedirect"`
		} `json:"_links"`
	}
	if err := json.NewDecoder(res.Body).Decode(&placed); err != nil {
		return "", err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	browser := &http.Client{Jar: jar, Transport: w.server.Client().Transport}
	_, err = psu.Walk(ctx, browser, placed.Links.SCARedirect.Href, list[0], psu.Wish{}, w.clock.Now)
	return id, err
}

// tap sees what passes, in both directions.
type tap struct {
	next http.Handler
	mu   sync.Mutex
	seen [][]byte // messages
}

func (p *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.URL.Path, "/h2h/") || strings.HasPrefix(r.URL.Path, "/sandbox/") {
		p.next.ServeHTTP(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.keep(body)
	p.next.ServeHTTP(&tapped{w, p}, r)
}

func (p *tap) keep(message []byte) {
	if len(message) > 0 {
		p.mu.Lock()
		p.seen = append(p.seen, bytes.Clone(message))
		p.mu.Unlock()
	}
}

func (p *tap) messages() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([][]byte(nil), p.seen...)
}

type tapped struct {
	http.ResponseWriter
	tap *tap
}

func (t *tapped) Write(b []byte) (int, error) {
	t.tap.keep(b)
	return t.ResponseWriter.Write(b)
}

func (t *tapped) Unwrap() http.ResponseWriter { return t.ResponseWriter }
