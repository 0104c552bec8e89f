package ops_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/ops"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const (
	merchantID = "mer_00000000000000000000000001"
	payeeIBAN  = "DE89370400440532013000"
	payerIBAN  = "DE02120300000000202051"
	playerName = "Erika Mustermann"
	holderName = "Erika Musterfrau-Holder"
)

// stub is a bank that is listed and never called.
type stub struct{}

func (stub) Info() banks.Info { return banks.Info{Approaches: []banks.Approach{banks.Redirect}} }
func (stub) Initiate(context.Context, banks.Order) (banks.Initiation, error) {
	return banks.Initiation{}, &banks.Error{Kind: banks.Unavailable}
}
func (stub) Status(context.Context, banks.Ref) (banks.Status, error) {
	return banks.Status{}, &banks.Error{Kind: banks.Unavailable}
}

// logs collects what the edge writes. A request's line comes after its answer,
// so reading waits for the requests that are still under way.
type logs struct {
	requests sync.WaitGroup

	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) after(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.requests.Add(1)
		defer l.requests.Done()
		h.ServeHTTP(w, r)
	})
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.requests.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// webhooks are deliveries and endpoints from memory.
type webhooks struct {
	list      []ops.Delivery
	endpoints []ops.Endpoint
	err       error
}

func (w *webhooks) Endpoints(context.Context, int) ([]ops.Endpoint, error) {
	return w.endpoints, w.err
}

func (w *webhooks) Deliveries(context.Context, string) ([]ops.Delivery, error) { return w.list, w.err }

// world is the room on real parts over TLS.
type world struct {
	t        *testing.T
	clock    *testkit.Clock
	db       *store.DB
	registry *banks.Registry
	room     *ops.Room
	server   *httptest.Server
	log      *logs
	webhooks *webhooks
}

func newWorld(t *testing.T, change ...func(*ops.Deps)) *world {
	t.Helper()
	w := &world{t: t, clock: testkit.NewClock(), log: &logs{}, webhooks: &webhooks{}}
	w.server = httptest.NewUnstartedServer(nil)
	w.build(change...)
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	t.Cleanup(w.room.Close)
	return w
}

// build wires the room; the server is not started.
func (w *world) build(change ...func(*ops.Deps)) {
	t := w.t
	t.Helper()
	w.db = testkit.SQLite(t, w.clock.Now)
	w.registry = banks.NewRegistry([]banks.Entry{
		{ID: "sandbank", Name: "Sandbank", BICs: []string{"SANDDEFFXXX"}, Countries: []string{"DE", "AT"}, Adapter: "stub"},
		{ID: "cafe", Name: "Café Kredit", BICs: []string{"CAFEDEFF"}, Adapter: "stub"},
		{ID: "closed", Name: "Closed Bank", Adapter: "stub", Disabled: "no contract <b>yet</b>"},
	}, map[string]banks.Bank{"sandbank": stub{}, "cafe": stub{}, "closed": stub{}}, w.clock.Now)
	h := hub.New(hub.Config{PublicURL: "https://pay.example"}, hub.Deps{Store: w.db, Banks: w.registry, Now: w.clock.Now, Random: rand.Reader})
	lg := slog.New(slog.NewJSONHandler(w.log, nil))
	d := ops.Deps{Hub: h, Store: w.db, Webhooks: w.webhooks, Staff: desk{}, Now: w.clock.Now, Random: rand.Reader, Log: lg,
		Edge: &edge.Edge{Log: lg, Now: w.clock.Now, Random: rand.Reader}}
	for _, c := range change {
		c(&d)
	}
	var err error
	if w.room, err = ops.New(d); err != nil {
		t.Fatal(err)
	}
	w.server.Config.Handler = w.log.after(w.room)
	m := &psd2.Merchant{ID: merchantID, Name: "Casino Example", PayerPolicy: psd2.PayerRequired}
	if err := w.db.Tx(t.Context(), func(tx *store.Tx) error { return tx.PutMerchant(m) }); err != nil {
		t.Fatal(err)
	}
}

// create makes a payment that waits for its payer.
func (w *world) create(reference string, change ...func(*psd2.Payment)) *psd2.Payment {
	w.t.Helper()
	now := w.clock.Add(time.Second)
	p := &psd2.Payment{
		ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: merchantID, PersonID: w.db.PersonID(merchantID, "player-7"),
		Amount: psd2.Euro(2500), ExpiresAt: now.Add(15 * time.Minute), LinkHash: rand.Text(), PayerPolicy: psd2.PayerRequired,
		Personal: psd2.Personal{
			Reference: reference, Player: psd2.Player{Reference: "player-7", Name: playerName},
			Payee:    psd2.Party{Name: "Casino Example Ltd", IBAN: payeeIBAN},
			Metadata: map[string]string{"note": "metadata-canary"},
		},
	}
	for _, c := range change {
		c(p)
	}
	p.Create(now)
	if err := w.db.Tx(w.t.Context(), func(tx *store.Tx) error { return tx.CreatePayment(p) }); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// change applies a step of the payment's life.
func (w *world) change(id string, fn func(p *psd2.Payment, now time.Time)) *psd2.Payment {
	w.t.Helper()
	now := w.clock.Add(1500 * time.Millisecond)
	p, err := w.db.UpdatePayment(w.t.Context(), id, func(p *psd2.Payment) error { fn(p, now); return nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// attempt sends the payer to a bank.
func (w *world) attempt(id, bankID string) *psd2.Payment {
	w.t.Helper()
	w.change(id, func(p *psd2.Payment, now time.Time) {
		a := psd2.Attempt{ID: psd2.NewID(psd2.PrefixAttempt, now, rand.Reader), BankID: bankID, RequestID: psd2.NewUUID(now, rand.Reader)}
		a.EndToEndID = psd2.NewEndToEndID(a.ID)
		must(w.t, p.BeginAttempt(a, psd2.PSU{IP: "203.0.113.77"}, now))
		p.BrowserHash = "bound"
	})
	return w.change(id, func(p *psd2.Payment, now time.Time) {
		must(w.t, p.Initiated(p.Last().ID, "redirect", psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: "https://bank.example/secret-link"}, []byte("adapter-state"), now))
	})
}

// report lets the bank say what became of it.
func (w *world) report(id, status, reason string) *psd2.Payment {
	w.t.Helper()
	return w.change(id, func(p *psd2.Payment, now time.Time) {
		p.Returned(p.Last().ID, now)
		r := psd2.Report{Status: status, ReasonCode: reason, SCAStatus: psd2.SCAFinalised}
		if psd2.StandingOf(status) == psd2.StandingExecuted {
			r.Payer = psd2.Party{Name: holderName, IBAN: payerIBAN}
		}
		p.Report(p.Last().ID, r, now)
		p.JudgePayer(func(psd2.IBAN) string { return "src_1" }, func(string, string) bool { return true }, now)
	})
}

// unknown loses sight of the money.
func (w *world) unknown(id string) *psd2.Payment {
	w.t.Helper()
	w.change(id, func(p *psd2.Payment, now time.Time) { p.Returned(p.Last().ID, now) })
	w.clock.Add(time.Minute)
	return w.change(id, func(p *psd2.Payment, now time.Time) { p.Silent(p.Last().ID, time.Second, now) })
}

func (w *world) sequence() {
	w.t.Helper()
	if _, err := w.db.Sequencer("test").Step(w.t.Context(), w.clock.Now()); err != nil {
		w.t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// browser is a client with cookies that follows nothing by itself.
type browser struct {
	w      *world
	client *http.Client
	lang   string
}

func (w *world) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	must(w.t, err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &browser{w: w, lang: "en", client: &http.Client{Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// desk signs in whom a cookie names: "olga/operator".
type desk struct{}

// rights of the roles in these tests.
var rights = map[string][]string{
	"operator": {ops.RightRead, ops.RightDecide}, "auditor": {ops.RightRead}, "decider": {ops.RightDecide}, "officer": {"desk:analyst"},
}

func (desk) Person(r *http.Request, _ bool) (ops.Person, bool, error) {
	c, err := r.Cookie("who")
	if err != nil {
		return ops.Person{}, false, nil
	}
	name, role, _ := strings.Cut(c.Value, "/")
	return ops.Person{ID: "usr_" + name, Name: strings.ToUpper(name[:1]) + name[1:] + " Beispiel", Rights: rights[role]}, true, nil
}
func (desk) LoginURL(back string) string { return "/staff/login?next=" + url.QueryEscape(back) }
func (desk) LogoutURL() string           { return "/staff/logout" }

// as is a browser of somebody who is signed in.
func (w *world) as(who string) *browser {
	w.t.Helper()
	b := w.browser()
	u, err := url.Parse(w.server.URL)
	must(w.t, err)
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "who", Value: who, Path: "/"}})
	return b
}

// operator is one of them.
func (w *world) operator() *browser { w.t.Helper(); return w.as("olga/operator") }

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
	r, err := http.NewRequestWithContext(b.w.t.Context(), method, b.w.server.URL+path, body)
	must(b.w.t, err)
	r.Header.Set("Accept-Language", b.lang)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client.Do(r)
	must(b.w.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(b.w.t, err)
	doc, err := html.Parse(bytes.NewReader(raw))
	must(b.w.t, err)
	a := &answer{Response: resp, w: b.w, body: string(raw), doc: doc}
	a.guarded()
	return a
}

func (b *browser) get(path string) *answer { b.w.t.Helper(); return b.do(http.MethodGet, path, nil) }

func (b *browser) post(path string, pairs ...string) *answer {
	b.w.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.do(http.MethodPost, path, form)
}

func (b *browser) search(q string) *answer { b.w.t.Helper(); return b.post("/search", "q", q) }

// guarded fails unless the answer carries what every answer must, and none of
// what none may.
func (a *answer) guarded() {
	a.w.t.Helper()
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
		"Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": "max-age=31536000; includeSubDomains"} {
		if got := a.Header.Get(name); got != want {
			a.w.t.Errorf("%s %s: %s is %q", a.Request.Method, a.Request.URL.Path, name, got)
		}
	}
	csp := a.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
		a.w.t.Errorf("%s %s: policy %q", a.Request.Method, a.Request.URL.Path, csp)
	}
	if static := strings.HasPrefix(a.Request.URL.Path, "/static/") && a.StatusCode == http.StatusOK; !static && a.Header.Get("Cache-Control") != "no-store" {
		a.w.t.Errorf("%s %s: Cache-Control %q", a.Request.Method, a.Request.URL.Path, a.Header.Get("Cache-Control"))
	}
	for _, secret := range secrets {
		if strings.Contains(strings.ReplaceAll(a.body, " ", ""), strings.ReplaceAll(secret, " ", "")) {
			a.w.t.Errorf("%s %s: the page holds %q", a.Request.Method, a.Request.URL.Path, secret)
		}
	}
}

// secrets may stand on no page, in no log and in no URL.
var secrets = []string{payeeIBAN, payerIBAN, playerName, holderName, "adapter-state", "secret-link", "203.0.113.77", "metadata-canary"}

func (a *answer) want(status int) *answer {
	a.w.t.Helper()
	if a.StatusCode != status {
		a.w.t.Fatalf("%s %s: status %d, want %d\n%s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.main())
	}
	return a
}

func (a *answer) location() string {
	a.w.t.Helper()
	a.want(http.StatusSeeOther)
	return a.Header.Get("Location")
}

// text is what a reader sees of the first element with data-test=name.
func (a *answer) text(name string) string {
	a.w.t.Helper()
	n := first(a.doc, func(n *html.Node) bool { return attr(n, "data-test") == name })
	if n == nil {
		a.w.t.Fatalf("the page has no %q:\n%s", name, a.main())
	}
	return textOf(n)
}

// count gives the number of elements with data-test=name.
func (a *answer) count(name string) (n int) {
	first(a.doc, func(e *html.Node) bool {
		if attr(e, "data-test") == name {
			n++
		}
		return false
	})
	return n
}

func (a *answer) main() string {
	if n := first(a.doc, func(n *html.Node) bool { return n.Data == "main" }); n != nil {
		return textOf(n)
	}
	return a.body
}

func (a *answer) says(words ...string) *answer {
	a.w.t.Helper()
	main := a.main()
	for _, w := range words {
		if !strings.Contains(main, w) {
			a.w.t.Errorf("%s %s: the page does not say %q:\n%s", a.Request.Method, a.Request.URL.Path, w, main)
		}
	}
	return a
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
	return strings.Join(strings.Fields(b.String()), " ")
}

var errDown = errors.New("down")
