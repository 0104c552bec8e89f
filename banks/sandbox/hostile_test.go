package sandbox_test

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/berlingroup"
	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// sea is the real hub with the real adapter at two hostile banks: storm leads
// its customers to its pages, reef asks them through the hub.
type sea struct {
	t        *testing.T
	clock    *testkit.Clock
	db       *store.DB
	hub      *hub.Hub
	bank     *sandbox.Sandbox
	server   *httptest.Server
	op       psu.Operator
	merchant *psd2.Merchant
}

const storm, reef = "storm", "reef"

// newSea has a hub that waits that long for one call to a bank.
func newSea(t *testing.T, bankTimeout time.Duration) *sea {
	t.Helper()
	w := &sea{t: t, clock: testkit.NewClock()}
	w.db = testkit.SQLite(t, w.clock.Now)
	var err error
	w.bank, err = sandbox.Open(sandbox.Config{Banks: []sandbox.Bank{{ID: storm, RedirectLife: 2 * time.Hour},
		{ID: reef, Approach: sandbox.Embedded, RedirectLife: 2 * time.Hour}}}, sandbox.Options{Now: w.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewUnstartedServer(w.bank.Handler())
	var own tls.Certificate
	w.server.TLS = &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return w.bank.Certificate(&own)(h) }}
	w.server.StartTLS()
	own = w.server.TLS.Certificates[0]
	w.server.TLS.Certificates = nil
	t.Cleanup(func() {
		w.server.Close()
		if err := w.bank.Close(); err != nil {
			t.Error(err)
		}
	})
	w.op = psu.Operator{Client: w.server.Client(), Origin: w.server.URL}
	w.merchant = &psd2.Merchant{ID: "mer_00000000000000000000000001", Name: "Lucky Lagoon", ReturnURIs: []string{"https://casino.example/back"},
		Accounts: []psd2.PayeeAccount{{ID: "acc_00000000000000000000000001", Name: "Lucky Lagoon Ltd", IBAN: payeeIBAN, BIC: "COBADEFFXXX"}}}
	w.hub = hub.New(hub.Config{PublicURL: "https://pay.example", BankTimeout: bankTimeout},
		hub.Deps{Store: w.db, Banks: w.registry(), Holder: "hub-1", Now: w.clock.Now, Random: rand.Reader})
	t.Cleanup(w.hub.Close)
	return w
}

func (w *sea) registry() *banks.Registry {
	root := filepath.Join(w.t.TempDir(), "root.pem")
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw}), 0o600); err != nil {
		w.t.Fatal(err)
	}
	var entries []banks.Entry
	adapters := map[string]banks.Bank{}
	for _, id := range []string{storm, reef} {
		c := berlingroup.Config{BaseURL: w.server.URL + "/" + id, RedirectOrigins: []string{w.server.URL}, DebtorAccount: berlingroup.DebtorEmpty,
			TLS: courier.TLS{CAFile: root}, IdleConnections: 1}
		if id == reef {
			c.Approaches = []banks.Approach{banks.Embedded}
		}
		b, err := berlingroup.New(id, c, banks.Deps{Now: w.clock.Now})
		if err != nil {
			w.t.Fatal(err)
		}
		entries, adapters[id] = append(entries, banks.Entry{ID: id, Name: id, Adapter: "berlingroup"}), b
	}
	return banks.NewRegistry(entries, adapters, w.clock.Now)
}

func (w *sea) set(bank string, switches map[string]any) {
	w.t.Helper()
	if len(switches) == 0 {
		return
	}
	w.clock.Add(time.Second)
	if err := w.op.Switch(w.t.Context(), bank, switches); err != nil {
		w.t.Fatal(err)
	}
}

// calm turns every switch off.
func (w *sea) calm(bank string) {
	w.t.Helper()
	res, err := w.server.Client().PostForm(w.server.URL+"/sandbox/"+bank+"/switches", url.Values{"action": {"reset"}})
	if err != nil {
		w.t.Fatal(err)
	}
	_ = res.Body.Close()
}

func (w *sea) deposit() *psd2.Payment {
	w.t.Helper()
	var p *psd2.Payment
	err := w.db.Tx(w.t.Context(), func(tx *store.Tx) (err error) {
		if err := tx.PutMerchant(w.merchant); err != nil {
			return err
		}
		p, _, err = w.hub.StartIn(tx, w.merchant, hub.StartRequest{Amount: psd2.Euro(2500), PayeeAccountID: w.merchant.Accounts[0].ID, Reference: "Deposit 4711",
			Player: psd2.Player{Reference: "player-1", Name: "Anna Beispiel"}, ReturnURI: "https://casino.example/back"})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// pay has anna do her part: at the bank's pages, or through the hub.
func (w *sea) pay(p *psd2.Payment, bank, link string, before func()) {
	w.t.Helper()
	anna, err := w.op.Persona(w.t.Context(), bank, "anna")
	if err != nil {
		w.t.Fatal(err)
	}
	before()
	attempt := w.load(p).Last().ID
	if bank == storm {
		if _, err := psu.Walk(w.t.Context(), newBrowser(w.t, w.server.Client().Transport), link, anna, psu.Wish{}, w.clock.Now); err != nil {
			w.t.Fatal(err)
		}
		if _, _, err := w.hub.Returned(w.t.Context(), attempt, nil); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	for _, step := range []struct {
		kind psd2.PromptKind
		say  psd2.PromptAnswer
	}{{psd2.PromptPassword, psd2.PromptAnswer{PSUID: "anna", Password: anna.Password}}, {psd2.PromptMethod, psd2.PromptAnswer{MethodID: "app"}}, {psd2.PromptCode, psd2.PromptAnswer{}}} {
		if step.kind == psd2.PromptCode {
			if step.say.Code, err = psu.TOTP(anna.TOTPSecret, w.clock.Now()); err != nil {
				w.t.Fatal(err)
			}
			w.set(reef, map[string]any{"lose_step": 1})
		}
		if _, _, err := w.hub.Answer(w.t.Context(), attempt, rand.Text(), step.kind, step.say); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *sea) load(p *psd2.Payment) *psd2.Payment {
	w.t.Helper()
	p, err := w.db.Payment(w.t.Context(), p.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// follow lets the hub ask for a while.
func (w *sea) follow() {
	w.t.Helper()
	for range 12 {
		w.clock.Add(10 * time.Second)
		if _, err := w.hub.Step(w.t.Context(), w.clock.Now()); err != nil {
			w.t.Fatal(err)
		}
		w.hub.Close() // waits for the questions under way
	}
}

// takes waits until the bank holds so many orders of a payment.
func (w *sea) takes(p *psd2.Payment, orders int) {
	w.t.Helper()
	deadline := time.After(time.Minute)
	for n, _ := w.books(p); n != orders; n, _ = w.books(p) {
		select {
		case <-deadline:
			w.t.Fatalf("the bank holds %d orders", n)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// books is what the bank holds of the payment.
func (w *sea) books(p *psd2.Payment) (received, debits int) {
	w.t.Helper()
	for _, a := range w.load(p).Attempts {
		orders, err := w.op.Orders(w.t.Context(), a.EndToEndID)
		if err != nil {
			w.t.Fatal(err)
		}
		moved, err := w.op.Transfers(w.t.Context(), a.EndToEndID, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		received, debits = received+len(orders), debits+len(moved)
	}
	return received, debits
}

func (w *sea) creditable(p *psd2.Payment) (n int) {
	w.t.Helper()
	events, err := w.db.PaymentEvents(w.t.Context(), p.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range events {
		if e.Type == psd2.EventCreditable {
			n++
		}
	}
	return n
}

// storms are the rows of the table: one switch, and what may come of it.
type stormRow struct {
	bank   string         // "" is storm
	before map[string]any // set before the order
	during map[string]any // set when the payer is at the bank
	link   bool           // he gets there
	hangs  bool           // the bank never comes to an end
	late   bool           // the bank takes the order when its pause is over
	orders int            // what the bank holds of it
	debits int            // and executes
	meant  psd2.State     // while the switch is on
	after  psd2.State     // when the bank behaves again; "" is the same
}

// TestHostileBank (C36; conformance rules of a bank's failures): every switch,
// through the real hub. Money never moves twice by our doing, and no payment
// ends failed that the bank executed.
func TestHostileBank(t *testing.T) {
	open, unknown, settled := psd2.StateAuthorizationRequired, psd2.StateOutcomeUnknown, psd2.StateSettled
	before := func(name string, value any, orders int) stormRow {
		return stormRow{before: map[string]any{name: value}, orders: orders, meant: open}
	}
	during := func(name string, value any, meant psd2.State) stormRow {
		return stormRow{during: map[string]any{name: value}, link: true, orders: 1, debits: 1, meant: meant, after: settled}
	}
	hangs := func(r stormRow) stormRow {
		r.hangs = true
		return r
	}
	rows := map[string]stormRow{
		"down":                   before("down", true, 0),
		"down while he pays":     during("status_answer", "503", unknown),
		"busy":                   before("initiation_answer", "429", 0),
		"unavailable":            before("initiation_answer", "503", 0),
		"lost before":            before("lose_before", 1, 0),
		"lost after":             before("lose_after", 1, 1),
		"too slow":               {before: map[string]any{"latency_ms": 5000}, hangs: true, late: true, orders: 1, meant: open},
		"server error":           before("initiation_answer", "500", 1),
		"HTML":                   before("initiation_answer", "html", 1),
		"50 MB":                  before("initiation_answer", "huge", 1),
		"slow drip":              hangs(before("initiation_answer", "drip", 1)),
		"garbage":                before("initiation_answer", "garbage", 1),
		"moved to another host":  before("initiation_answer", "moved", 1),
		"signature refused":      before("initiation_answer", "signature", 0),
		"certificate of nobody":  before("bad_certificate", true, 0),
		"redirect to other host": before("redirect", "other_host", 1),
		"redirect to javascript": before("redirect", "javascript", 1),
		"redirect to data":       before("redirect", "data", 1),
		"redirect with userinfo": before("redirect", "userinfo", 1),
		"questions unanswered":   during("lose_status", 1000, unknown),
		"status busy":            during("status_answer", "429", unknown),
		"status error":           during("status_answer", "500", unknown),
		"status HTML":            during("status_answer", "html", unknown),
		"status 50 MB":           during("status_answer", "huge", unknown),
		"status drips":           hangs(during("status_answer", "drip", unknown)),
		"status garbage":         during("status_answer", "garbage", unknown),
		"status moved":           during("status_answer", "moved", unknown),
		"status refused":         during("status_answer", "signature", unknown),
		"unknown codes":          during("unknown_codes", true, psd2.StateAuthorizing),
		"status goes back":       during("status_back", true, settled),
		"duplicate booking":      {during: map[string]any{"duplicate_booking": true}, link: true, orders: 1, debits: 2, meant: settled},
		"changed amount":         {before: map[string]any{"changed_amount": true}, link: true, orders: 1, debits: 1, meant: unknown},
		"changed payee":          {before: map[string]any{"changed_payee": true}, link: true, orders: 1, debits: 1, meant: unknown},
		"lost step":              {bank: reef, orders: 1, debits: 1, meant: settled},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r.sail(newSea(t, r.bankTimeout()))
		})
	}
}

// bankTimeout is short only where it has to end a call: everything else may
// take its time on a busy machine.
func (r stormRow) bankTimeout() time.Duration {
	if r.hangs {
		return 2 * time.Second
	}
	return 20 * time.Second
}

func (r stormRow) sail(w *sea) {
	t, bank := w.t, r.bank
	if bank == "" {
		bank = storm
	}
	w.set(bank, r.before)
	p := w.deposit()
	_, link, err := w.hub.Authorise(t.Context(), p.ID, bank, rand.Text(), psd2.PSU{IP: "192.0.2.7", UserAgent: "test"}, hub.Browser{})
	if err != nil {
		t.Fatal(err)
	}
	if (link != "") != r.link || link != "" && !strings.HasPrefix(link, w.server.URL+"/"+bank+"/pay/") {
		t.Fatalf("the payer is sent to %q", link)
	}
	if r.link || bank == reef {
		w.pay(p, bank, link, func() { w.set(bank, r.during) })
	}
	check := func(when string, want psd2.State) {
		t.Helper()
		now := w.load(p)
		orders, debits := w.books(p)
		if now.State != want {
			t.Errorf("%s: %s, want %s (attempts %+v)", when, now.State, want, now.Attempts)
		}
		if orders != r.orders || debits != r.debits {
			t.Errorf("%s: the bank holds %d orders and debited %d times, want %d and %d", when, orders, debits, r.orders, r.debits)
		}
		if debits > 0 && now.State == psd2.StateFailed {
			t.Errorf("%s: a payment that the bank executed is shown as failed", when)
		}
		if n := w.creditable(p); n > 1 || n == 1 && now.State != psd2.StateSettled {
			t.Errorf("%s: %d times creditable, in state %s", when, n, now.State)
		}
	}
	w.follow()
	if r.late {
		w.takes(p, r.orders)
	}
	check("while it blows", r.meant)
	w.calm(bank)
	w.clock.Add(time.Hour)
	w.follow()
	switch {
	case r.after != "":
		check("in the calm", r.after)
	case r.meant == psd2.StateAuthorizationRequired: // nobody paid: its time is over
		check("in the calm", psd2.StateFailed)
	default:
		check("in the calm", r.meant)
	}
}

// TestOperatorSeesAndEndsTheStorm: the page shows what is on and ends all of it.
func TestOperatorSeesAndEndsTheStorm(t *testing.T) {
	w := open(t)
	if err := w.op.Switch(t.Context(), "sturmbank", map[string]any{"redirect": "javascript", "changed_amount": true, "lose_step": 3}); err != nil {
		t.Fatal(err)
	}
	page := pageOf(t, w.srv.Client(), w.srv.URL+"/sandbox/sturmbank/switches")
	for _, want := range []string{`value="javascript" selected`, `name="changed_amount" value="true" checked`, `name="lose_step" inputmode="numeric" pattern="[0-9]*" value="3"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, wrong := range []map[string]any{{"redirect": "elsewhere"}, {"status_answer": "maybe"}, {"lose_step": -1}} {
		if err := w.op.Switch(t.Context(), "sturmbank", wrong); err == nil {
			t.Errorf("%v was accepted", wrong)
		}
	}
	res, err := w.srv.Client().PostForm(w.srv.URL+"/sandbox/sturmbank/switches", url.Values{"action": {"reset"}})
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	_ = res.Body.Close()
	if got := body(t, w.srv.Client(), w.srv.URL+"/sandbox/sturmbank/switches"); strings.Contains(got, "javascript") || strings.Contains(got, "true") {
		t.Errorf("after the reset: %s", got)
	}
}

// pageOf is what a browser gets.
func pageOf(t *testing.T, c *http.Client, address string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
