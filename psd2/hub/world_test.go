package hub_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/berlingroup"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) {
	code := testkit.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var ctx = context.Background()

const (
	merchantID = "mer_00000000000000000000000001"
	accountID  = "acc_00000000000000000000000001"
	returnURI  = "https://casino.example/back"
	hour       = time.Hour
)

// Banks of the world, named by what is special about them. All are real
// sandbox banks behind the real adapter.
const (
	plain    = "plain"    // names the holder in the status; does not say how long its redirect lives
	lapsing  = "lapsing"  // its redirect lives 20 minutes, then it rejects the order
	slack    = "slack"    // its profile says 20 minutes too, but it keeps the order for two hours
	risky    = "risky"    // may exempt an order from SCA
	slip     = "slip"     // names the holder only in the payee's statement
	discreet = "discreet" // never names the holder
	acsc     = "acsc"     // reports no further than ACSC
)

func sandboxBanks() []sandbox.Bank {
	long := 2 * hour
	list := []sandbox.Bank{
		{ID: plain, RedirectLife: long}, {ID: lapsing, RedirectLife: 20 * time.Minute}, {ID: slack, RedirectLife: long}, {ID: risky, RedirectLife: long},
		{ID: slip, RedirectLife: long, Holder: sandbox.HolderInStatement}, {ID: discreet, RedirectLife: long, Holder: sandbox.HolderNever},
		{ID: acsc, RedirectLife: long, Final: "ACSC"},
	}
	for name, by := range lateBanks {
		list = append(list, sandbox.Bank{ID: name, RedirectLife: long, LateBy: by})
	}
	return list
}

// lateBanks execute the orders of late payers after that time.
var lateBanks = map[string]time.Duration{
	"late9.9s": 9900 * time.Millisecond, "late10.1s": 10100 * time.Millisecond, "late40s": 40 * time.Second, "late-never": 1000 * hour,
}

// world is a hub on a real database, with pretend banks behind real HTTP and a
// clock that all of them share.
type world struct {
	t        *testing.T
	clock    *testkit.Clock
	db       *store.DB
	sandbox  *sandbox.Sandbox
	tap      *tap
	server   *httptest.Server
	op       psu.Operator
	entries  []banks.Entry
	adapters map[string]banks.Bank
	metrics  *prometheus.Registry
	hub      *hub.Hub
	merchant *psd2.Merchant
	players  int
}

// both runs a test in a world on SQLite and in one on PostgreSQL.
func both(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) { test(t, newWorld(t, clock, db)) })
}

// one runs in a world on SQLite, for rules in which the database has no part.
func one(t *testing.T) *world {
	t.Helper()
	clock := testkit.NewClock()
	return newWorld(t, clock, testkit.SQLite(t, clock.Now))
}

func newWorld(t *testing.T, clock *testkit.Clock, db *store.DB) *world {
	t.Helper()
	w := &world{t: t, clock: clock, db: db, adapters: map[string]banks.Bank{}}
	var err error
	if w.sandbox, err = sandbox.Open(sandbox.Config{Banks: sandboxBanks()}, sandbox.Options{Now: clock.Now}); err != nil {
		t.Fatal(err)
	}
	w.tap = &tap{next: w.sandbox.Handler()}
	w.server = httptest.NewServer(w.tap)
	t.Cleanup(func() {
		w.server.Close()
		if err := w.sandbox.Close(); err != nil {
			t.Error(err)
		}
	})
	w.op = psu.Operator{Client: w.server.Client(), Origin: w.server.URL}
	for _, b := range sandboxBanks() {
		c := berlingroup.Config{RiskAtOnce: b.ID == risky}
		if b.ID == lapsing || b.ID == slack {
			c.RedirectLife = 20 * time.Minute
		}
		w.connect(b.ID, c)
	}
	w.merchant = &psd2.Merchant{
		ID: merchantID, Name: "Lucky Lagoon", ReturnURIs: []string{returnURI},
		Accounts: []psd2.PayeeAccount{{ID: accountID, Name: "Lucky Lagoon Ltd", IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX"}},
	}
	w.hub = w.newHub("hub-1", w.db)
	return w
}

// connect puts a bank of the server into the registry.
func (w *world) connect(id string, c berlingroup.Config) {
	w.t.Helper()
	c.BaseURL, c.RedirectOrigins, c.InsecureLoopback = w.server.URL+"/"+id, []string{w.server.URL}, true
	b, err := berlingroup.New(id, c, banks.Deps{Now: w.clock.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	if w.adapters[id] == nil {
		w.entries = append(w.entries, banks.Entry{ID: id, Name: id, Adapter: "berlingroup"})
	}
	w.adapters[id] = b
}

// newHub is one more process on the world's database, or the same one after a
// restart.
func (w *world) newHub(name string, db *store.DB, change ...func(*hub.Config)) *hub.Hub {
	c := hub.Config{PublicURL: "https://pay.example"}
	for _, f := range change {
		f(&c)
	}
	w.metrics = prometheus.NewRegistry()
	return patient(hub.New(c, w.deps(name, db)))
}

// patient waits for every answer, so that a step has ended when it returns,
// however slow the machine.
func patient(h *hub.Hub) *hub.Hub {
	h.Linger(time.Minute)
	return h
}

func (w *world) deps(name string, db *store.DB) hub.Deps {
	return hub.Deps{
		Store: db, Banks: banks.NewRegistry(w.entries, w.adapters, w.clock.Now), Holder: name,
		Now: w.clock.Now, Random: rand.Reader, Metrics: w.metrics,
	}
}

// newHubWith is newHub with other neighbours.
func (w *world) newHubWith(name string, db *store.DB, change func(*hub.Deps)) *hub.Hub {
	w.metrics = prometheus.NewRegistry()
	d := w.deps(name, db)
	change(&d)
	return patient(hub.New(hub.Config{PublicURL: "https://pay.example"}, d))
}

func (w *world) switches(bank string, change map[string]any) {
	w.t.Helper()
	if err := w.op.Switch(ctx, bank, change); err != nil {
		w.t.Fatal(err)
	}
}

// wish is a deposit of a player of his own.
func (w *world) wish() hub.StartRequest {
	w.players++
	return hub.StartRequest{
		Amount: psd2.Euro(2500), PayeeAccountID: accountID, Reference: fmt.Sprintf("Deposit %d", w.players),
		Player: psd2.Player{Reference: fmt.Sprintf("player-%d", w.players), Name: "Anna Beispiel"}, ReturnURI: returnURI,
	}
}

func (w *world) start(change ...func(*hub.StartRequest)) *psd2.Payment {
	w.t.Helper()
	r := w.wish()
	for _, f := range change {
		f(&r)
	}
	var p *psd2.Payment
	err := w.db.Tx(ctx, func(tx *store.Tx) (err error) {
		if err := tx.PutMerchant(w.merchant); err != nil {
			return err
		}
		p, _, err = w.hub.StartIn(tx, w.merchant, r)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

var browser = psd2.PSU{IP: "192.0.2.7", UserAgent: "Mozilla/5.0 (test)"}

// toBank has the payer consent at the hub and returns the bank's link.
func (w *world) toBank(p *psd2.Payment, bank string) string {
	w.t.Helper()
	_, link, err := w.hub.Authorise(ctx, p.ID, bank, rand.Text(), browser, hub.Browser{})
	if err != nil || !strings.HasPrefix(link, w.server.URL+"/"+bank+"/pay/") {
		w.t.Fatalf("authorise: %q %v", link, err)
	}
	return link
}

// atBank is a payment whose payer has just been sent to the bank.
func (w *world) atBank(bank string) (p *psd2.Payment, link string) {
	w.t.Helper()
	p = w.start()
	link = w.toBank(p, bank)
	return w.load(p), link
}

func (w *world) customer(bank string, change ...func(*psu.NewCustomers)) psu.Credentials {
	w.t.Helper()
	n := psu.NewCustomers{Count: 1, Holder: "BEISPIEL, ANNA", BalanceMinor: 100_000}
	for _, f := range change {
		f(&n)
	}
	list, err := w.op.Create(ctx, bank, n)
	if err != nil {
		w.t.Fatal(err)
	}
	return list[0]
}

// pays walks through the bank's pages as a customer of it and returns the
// address the bank sends him to.
func (w *world) pays(link string, change ...func(*psu.NewCustomers)) string {
	w.t.Helper()
	bank := strings.Split(strings.TrimPrefix(link, w.server.URL+"/"), "/")[0]
	return w.walk(link, w.customer(bank, change...), psu.Wish{})
}

func (w *world) walk(link string, c psu.Credentials, wish psu.Wish) string {
	w.t.Helper()
	out, err := psu.Walk(ctx, psuBrowser(w), link, c, wish, w.clock.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Location
}

func late(n *psu.NewCustomers) { n.Behaviour = string(sandbox.Late) }

// returned is the payer's browser coming back for his newest attempt.
func (w *world) returned(p *psd2.Payment) *psd2.Payment {
	w.t.Helper()
	p, _, err := w.hub.Returned(ctx, w.load(p).Last().ID, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) load(p *psd2.Payment) *psd2.Payment {
	w.t.Helper()
	p, err := w.db.Payment(ctx, p.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// wantState checks a payment's state and, when it failed, the reason.
func (w *world) wantState(p *psd2.Payment, s psd2.State, why psd2.FailureReason) *psd2.Payment {
	w.t.Helper()
	p = w.load(p)
	if p.State != s || p.Failure != why {
		w.t.Fatalf("%s %s, want %s %s (attempts %+v)", p.State, p.Failure, s, why, p.Attempts)
	}
	return p
}

func (w *world) wantAttempt(p *psd2.Payment, i int, s psd2.AttemptState, why psd2.FailureReason) {
	w.t.Helper()
	p = w.load(p)
	if i >= len(p.Attempts) || p.Attempts[i].State != s || p.Attempts[i].Failure != why {
		w.t.Fatalf("attempt %d: %+v, want %s %s", i, p.Attempts, s, why)
	}
}

// types are what happened to a payment, in order.
func (w *world) types(p *psd2.Payment) []string {
	w.t.Helper()
	events, err := w.db.PaymentEvents(ctx, p.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for i, e := range events {
		if e.Sequence != int64(i+1) {
			w.t.Fatalf("event %d has sequence %d", i+1, e.Sequence)
		}
		out = append(out, strings.TrimPrefix(e.Type, "payment."))
	}
	return out
}

func (w *world) wantEvents(p *psd2.Payment, want string) {
	w.t.Helper()
	if got := strings.Join(w.types(p), " "); got != want {
		w.t.Fatalf("events %s\nwant   %s", got, want)
	}
}

// transfers counts the money the banks moved for a payment, whatever the
// EndToEndId: a second order would carry another.
func (w *world) transfers(p *psd2.Payment) int {
	w.t.Helper()
	list, err := w.op.Transfers(ctx, "", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, x := range list {
		if x.Remittance == p.Personal.Reference {
			n++
		}
	}
	return n
}

func (w *world) wantTransfers(p *psd2.Payment, want int) {
	w.t.Helper()
	if got := w.transfers(p); got != want {
		w.t.Fatalf("%d transfers, want %d", got, want)
	}
}

// metric is the sum of a counter over all its labels.
func (w *world) metric(name string) float64 {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// run lets time pass: the hub's and the banks' background work is done when it
// is due, and time jumps from one such moment to the next. Work that is due
// again at the moment it was done fails the test.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	end := w.clock.Now().Add(d)
	for {
		now := w.clock.Now()
		w.step()
		late, err := w.sandbox.Step(ctx, now)
		if err != nil {
			w.t.Fatal(err)
		}
		_, next, err := w.db.Due(ctx, now, 1)
		if err != nil {
			w.t.Fatal(err)
		}
		to := end
		for _, at := range []time.Time{next, late} {
			if at.After(now) && at.Before(to) {
				to = at
			}
		}
		if !now.Before(end) {
			return
		}
		w.clock.Add(to.Sub(now))
	}
}

// step does all the work of the hub that is due now.
func (w *world) step() {
	w.t.Helper()
	now := w.clock.Now()
	for range 100 { // batches
		next, err := w.hub.Step(ctx, now)
		if err != nil {
			w.t.Fatal(err)
		}
		if next.After(now) {
			ids, _, err := w.db.Due(ctx, now, 10)
			if err != nil || len(ids) > 0 {
				w.t.Fatalf("due again at the same instant: %v %v", ids, err)
			}
			return
		}
	}
	w.t.Fatal("the hub turns on the spot")
}

// restart puts a new process in the dead one's place: what is not in the
// database is gone.
func (w *world) restart() { w.hub = w.newHub("hub-after-restart", w.db) }

func reasonOf(err error) string {
	var e *psd2.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return fmt.Sprint(err)
}

func wantReason(t *testing.T, err error, reasons ...string) {
	t.Helper()
	if err == nil || !slices.Contains(reasons, reasonOf(err)) {
		t.Fatalf("error %v, want one of %v", err, reasons)
	}
}

// psuBrowser is a payer's browser of its own.
func psuBrowser(w *world) *http.Client {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &http.Client{Transport: w.server.Client().Transport, Jar: jar}
}
