package consent_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/consent"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// bank is an ASPSP in memory: it takes orders, sends payers to its own site,
// and says what the test has it say.
type bank struct {
	id   string
	site *httptest.Server // where payers are sent

	mu       sync.Mutex
	orders   []banks.Order
	answers  map[string]banks.Status // by EndToEndId; RCVD until set
	refuse   error                   // of Initiate
	redirect string                  // instead of its own site
	hold     chan struct{}           // Initiate waits until it is closed
	entered  chan struct{}           // receives when Initiate is called
	asked    int
	prompt   psd2.Prompt         // what it wants after the order, instead of a visit to its site
	next     []banks.Initiation  // its replies to the payer's answers
	heard    []psd2.PromptAnswer // what it was told
	wants    psd2.PromptKind     // before an order
	debtor   bool                // wants the paying account in it
}

func (b *bank) Info() banks.Info {
	return banks.Info{ID: b.id, Approaches: []banks.Approach{banks.Redirect}, RedirectOrigins: []string{b.site.URL}, First: b.wants, DebtorMandatory: b.debtor}
}

func (b *bank) Answer(_ context.Context, _ banks.Ref, a psd2.PromptAnswer) (banks.Initiation, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = append(b.heard, a)
	reply := b.next[0]
	b.next = b.next[1:]
	return reply, nil
}

func (b *bank) Initiate(_ context.Context, o banks.Order) (banks.Initiation, error) {
	b.mu.Lock()
	hold, entered := b.hold, b.entered
	b.orders = append(b.orders, o)
	refuse, target := b.refuse, b.site.URL+"/authorise?order="+o.EndToEndID
	if b.redirect != "" {
		target = b.redirect
	}
	b.mu.Unlock()
	if entered != nil {
		entered <- struct{}{}
	}
	if hold != nil {
		<-hold
	}
	if refuse != nil {
		return banks.Initiation{}, refuse
	}
	if b.prompt.Kind != psd2.PromptNone {
		return banks.Initiation{State: []byte(o.EndToEndID), Approach: banks.Embedded, Prompt: b.prompt, Status: "RCVD"}, nil
	}
	return banks.Initiation{State: []byte(o.EndToEndID), Approach: banks.Redirect, Prompt: psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: target}, Status: "RCVD"}, nil
}

func (b *bank) Status(_ context.Context, r banks.Ref) (banks.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if s, ok := b.answers[r.EndToEndID]; ok {
		return s, nil
	}
	return banks.Status{Transaction: "RCVD"}, nil
}

func (b *bank) placed() []banks.Order {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]banks.Order(nil), b.orders...)
}

func (b *bank) calls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

// decide has the bank answer for its newest order.
func (b *bank) decide(s banks.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[b.orders[len(b.orders)-1].EndToEndID] = s
}

// world is the hosted page on real parts, with banks in memory.
type world struct {
	gate     leaving
	t        *testing.T
	clock    *testkit.Clock
	db       *store.DB
	hub      *hub.Hub
	room     *consent.Room
	server   *httptest.Server
	sandbank *bank
	vop      vopBank
	registry *banks.Registry
	merchant *psd2.Merchant
	changed  chan struct{}
	ask      *confirming // nil: the hub authenticates nobody

	sites sync.Mutex
	seen  []*http.Request // at the bank's site
}

const merchantID = "mer_00000000000000000000000001"

func newWorld(t *testing.T, change ...func(*consent.Config)) *world {
	t.Helper()
	w := &world{t: t, clock: testkit.NewClock(), changed: make(chan struct{}, 8)}
	site := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.sites.Lock()
		w.seen = append(w.seen, r.Clone(context.Background()))
		w.sites.Unlock()
		fmt.Fprint(rw, "<!doctype html><title>Bank</title><h1 id=bank>The bank</h1>")
	}))
	w.build(site, httptest.NewUnstartedServer(nil), true, change...)
	return w
}

// build wires the world around two servers; the second one is not started yet.
func (w *world) build(site, server *httptest.Server, tls bool, change ...func(*consent.Config)) {
	t := w.t
	w.server = server
	t.Cleanup(site.Close)
	w.sandbank = &bank{id: "sandbank", site: site, answers: map[string]banks.Status{}}
	entries := []banks.Entry{
		{ID: "sandbank", Name: "Sandbank", Aliases: []string{"Sand & Co"}, BICs: []string{"SANDDEFFXXX"}, BankCodes: []string{"50010517"}, Adapter: "stub"},
		{ID: "cafe", Name: "Café Kredit", BICs: []string{"CAFEDEFF"}, Adapter: "stub"},
		{ID: "closed", Name: "Closed Bank", BICs: []string{"CLOSDEFF"}, Adapter: "stub", Disabled: "no contract <b>yet</b>"},
		{ID: "aal", Name: "Aal <script>alert(1)</script> Bank", BICs: []string{"AALADEFF"}, Adapter: "stub"},
	}
	built := map[string]banks.Bank{"sandbank": w.sandbank}
	for _, id := range []string{"cafe", "closed", "aal"} {
		built[id] = &bank{id: id, site: site, answers: map[string]banks.Status{}}
	}
	w.db = testkit.SQLite(t, w.clock.Now)
	registry := banks.NewRegistry(entries, built, w.clock.Now)
	var front http.Handler
	server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { front.ServeHTTP(rw, r) })
	public := server.URL
	if tls {
		server.StartTLS()
	} else {
		server.URL = ""
		server.Start()
		server.URL = public
	}
	t.Cleanup(server.Close)
	w.registry = registry
	parts := hub.Deps{Store: w.db, Banks: registry, Now: w.clock.Now, Random: rand.Reader, VoP: &w.vop, Gate: &w.gate}
	if w.ask != nil {
		parts.Confirmation = w.ask.open(t, w, server.URL)
	}
	w.hub = hub.New(hub.Config{PublicURL: server.URL}, parts)
	cfg := consent.Config{PerIP: -1, PerLink: -1}
	for _, c := range change {
		c(&cfg)
	}
	d := consent.Deps{Config: cfg, PublicURL: server.URL, Hub: w.hub, SealSecret: []byte(strings.Repeat("s", 32)), Now: w.clock.Now, Random: rand.Reader,
		Watch: func(string) (<-chan struct{}, func()) { return w.changed, func() {} }}
	if w.ask != nil {
		d.SCA = w.ask.Service
	}
	room, err := consent.New(d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(room.Close) // before the server, which waits for streams
	w.room, front = room, room
	if w.ask != nil {
		front = w.ask.beside(room)
	}
	w.merchant = &psd2.Merchant{ID: merchantID, Name: "Casino Example", LegalName: "Casino Example Ltd", Website: "casino.example",
		Accounts:    []psd2.PayeeAccount{{ID: "acc_1", Name: "Casino Example Ltd", IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX"}},
		ReturnURIs:  []string{"https://casino.example/done?shop=1"},
		PayerPolicy: psd2.PayerOff, Gambling: true, Accent: "#5b2a86"}
	w.put()
}

func (w *world) put() {
	w.t.Helper()
	if err := w.db.Tx(w.t.Context(), func(tx *store.Tx) error { return tx.PutMerchant(w.merchant) }); err != nil {
		w.t.Fatal(err)
	}
}

// start makes a payment and gives its hosted page's path.
func (w *world) start(change ...func(*hub.StartRequest)) (id, path string) {
	w.t.Helper()
	r := hub.StartRequest{Amount: psd2.Euro(2500), PayeeAccountID: "acc_1", Reference: "DEPOSIT 4711",
		Player: psd2.Player{Reference: "p-1", Name: "Paula Payer"}, ReturnURI: "https://casino.example/done?shop=1", State: "s t&x=1"}
	for _, c := range change {
		c(&r)
	}
	err := w.db.Tx(w.t.Context(), func(tx *store.Tx) error {
		p, hosted, err := w.hub.StartIn(tx, w.merchant, r)
		if err != nil {
			return err
		}
		id, path = p.ID, strings.TrimPrefix(hosted, w.server.URL)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id, path
}

func (w *world) payment(id string) *psd2.Payment {
	w.t.Helper()
	p, err := w.hub.Payment(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// browser is a client with cookies that follows nothing by itself.
type browser struct {
	w      *world
	client *http.Client
	lang   string
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Transport: w.server.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &browser{w: w, client: c, lang: "en"}
}

// answer is a response with its body read and parsed.
type answer struct {
	*http.Response
	w    *world
	body string
	doc  *html.Node
}

func (b *browser) do(method, path string, form url.Values, header ...string) *answer {
	b.w.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	target := path
	if strings.HasPrefix(path, "/") {
		target = b.w.server.URL + path
	}
	r, err := http.NewRequestWithContext(b.w.t.Context(), method, target, body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	r.Header.Set("Accept-Language", b.lang)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Del(header[i])
		if header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	doc, err := html.Parse(strings.NewReader(string(raw)))
	if err != nil {
		b.w.t.Fatal(err)
	}
	return &answer{Response: resp, w: b.w, body: string(raw), doc: doc}
}

func (b *browser) get(path string) *answer { return b.do(http.MethodGet, path, nil) }

// want fails unless the answer has the status.
func (a *answer) want(status int) *answer {
	a.w.t.Helper()
	if a.StatusCode != status {
		a.w.t.Fatalf("%s %s: status %d, want %d\n%s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.main())
	}
	return a
}

// location is where a 303 leads.
func (a *answer) location() string {
	a.w.t.Helper()
	a.want(http.StatusSeeOther)
	return a.Header.Get("Location")
}

// find gives the first element with data-test=name, or nil.
func (a *answer) find(name string) *html.Node {
	return first(a.doc, func(n *html.Node) bool { return attr(n, "data-test") == name })
}

// text is what a reader sees of the element with data-test=name.
func (a *answer) text(name string) string {
	a.w.t.Helper()
	n := a.find(name)
	if n == nil {
		a.w.t.Fatalf("the page has no %q:\n%s", name, a.main())
	}
	return textOf(n)
}

// situation is the state the page shows.
func (a *answer) situation() string {
	a.w.t.Helper()
	n := a.find("status")
	if n == nil {
		a.w.t.Fatalf("this is not the status page:\n%s", a.main())
	}
	return attr(n, "data-situation")
}

func (a *answer) main() string {
	if n := first(a.doc, func(n *html.Node) bool { return n.Data == "main" }); n != nil {
		return textOf(n)
	}
	return a.body
}

// form gives action and fields of the form around the element.
func (a *answer) form(name string) (action string, fields url.Values) {
	a.w.t.Helper()
	n := a.find(name)
	if n == nil {
		a.w.t.Fatalf("the page has no %q:\n%s", name, a.main())
	}
	fields = url.Values{}
	if n.Data == "button" && attr(n, "name") != "" {
		fields.Set(attr(n, "name"), attr(n, "value"))
	}
	for n.Data != "form" {
		n = n.Parent
	}
	first(n, func(i *html.Node) bool {
		if i.Data == "input" {
			fields.Set(attr(i, "name"), attr(i, "value"))
		}
		return false
	})
	return attr(n, "action"), fields
}

// submit presses a button.
func (b *browser) submit(a *answer, name string) *answer {
	b.w.t.Helper()
	action, fields := a.form(name)
	return b.do(http.MethodPost, action, fields)
}

func first(n *html.Node, ok func(*html.Node) bool) *html.Node {
	if n.Type == html.ElementNode && ok(n) {
		return n
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if found := first(c, ok); found != nil {
			return found
		}
	}
	return nil
}

func isNamed(name string) func(*html.Node) bool {
	return func(n *html.Node) bool { return attr(n, "name") == name }
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func textOf(n *html.Node) string {
	var b strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(n)
	return strings.Join(strings.FieldsFunc(b.String(), func(r rune) bool { return r == ' ' || r == '\n' }), " ")
}

// toConfirm takes a browser from the link to the consent page.
func (b *browser) toConfirm(path string) *answer {
	b.w.t.Helper()
	page := b.get(path).want(http.StatusOK)
	return b.get(b.submit(page, "bank-sandbank").location()).want(http.StatusOK)
}

// toBank consents and gives where the payer is sent.
func (b *browser) toBank(path string) string {
	b.w.t.Helper()
	return b.submit(b.toConfirm(path), "pay").location()
}

// returnPath is where the bank sends the payer back to.
func (w *world) returnPath() string {
	orders := w.sandbank.placed()
	return strings.TrimPrefix(orders[len(orders)-1].ReturnURL, w.server.URL)
}

func testProvider() page.Provider {
	return page.Provider{Name: "Rialto", LegalName: "Rialto Payments GmbH", Address: "Brückenweg 1, 10115 Berlin",
		Email: "help@rialto.example", Authority: "BaFin", RegisterNo: "654321"}
}
