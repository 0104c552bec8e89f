package consent_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"
	"golang.org/x/net/html"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/consent"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
	"github.com/rialto-hub/rialto/sca"
	"github.com/rialto-hub/rialto/sca/app"
)

// confirming is hub.Confirmation with the real parts beneath it: it asks at a
// level that the test sets.
type confirming struct {
	*sca.Service
	pages *app.Room
	db    *store.DB
	level sca.Level
	risk  int
	seen  []hub.Browser
}

func (c *confirming) open(t *testing.T, w *world, origin string) *confirming {
	t.Helper()
	c.db = w.db
	var err error
	named := strings.Replace(origin, "127.0.0.1", "localhost", 1) // passkeys refuse bare addresses
	if c.Service, err = sca.New(sca.Config{Origin: named}, sca.Deps{Store: w.db, Now: w.clock.Now}); err != nil {
		t.Fatal(err)
	}
	c.pages, err = app.New(app.Deps{SCA: c.Service, Origin: origin, Now: w.clock.Now, Bound: consent.BoundSecret, Done: func(id string) string { return "/pay/" + id }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.pages.Close)
	return c
}

// beside puts the pages of sca/app on the hosted page's origin.
func (c *confirming) beside(room http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if c.pages.Handles(r.URL.Path) {
			c.pages.ServeHTTP(rw, r)
			return
		}
		room.ServeHTTP(rw, r)
	})
}

func bound(p *psd2.Payment) sca.Linked {
	return sca.Linked{PaymentID: p.ID, Amount: p.Amount, CreditorName: p.Personal.Payee.Name, CreditorIBAN: p.Personal.Payee.IBAN, DebtorRef: p.Personal.Reference}
}

func (c *confirming) Need(ctx context.Context, a hub.Ask) (hub.Needed, error) {
	p, b := a.Payment, a.Browser
	c.seen = append(c.seen, b)
	need, err := c.Require(ctx, sca.PaymentFacts{PaymentID: p.ID, PersonID: p.PersonID, Amount: p.Amount, Approach: a.Approach, Merchant: c.level,
		Risk: sca.Risk{Score: c.risk}, DeviceSecret: b.DeviceSecret, DeviceProof: b.DeviceProof, Behaviour: b.Behaviour})
	if err != nil || need.Level == sca.None {
		return hub.Needed{Keep: need.Keep}, err
	}
	if c.db.Tx(ctx, func(tx *store.Tx) error { return c.Confirmed(tx, p.ID, need.Decision, bound(p)) }) == nil {
		return hub.Needed{Keep: need.Keep}, nil
	}
	challenge, err := c.Begin(ctx, sca.BeginRequest{PersonID: p.PersonID, Linked: bound(p), Level: need.Level, Session: sca.SessionHash(b.Secret), Language: b.Language, Keep: need.Keep})
	return hub.Needed{Path: "/sca/pay/" + p.ID + "/" + challenge.ID}, err
}

func (c *confirming) Recheck(tx *store.Tx, p *psd2.Payment) error {
	return c.Service.Recheck(tx, p.ID, bound(p))
}

// newAskingWorld is a world whose payer has an authenticator app and is asked.
func newAskingWorld(t *testing.T) (w *world, code func() string) {
	t.Helper()
	w = &world{t: t, clock: testkit.NewClock(), changed: make(chan struct{}, 8), ask: &confirming{level: sca.Any}}
	site := httptest.NewTLSServer(http.NotFoundHandler())
	w.build(site, httptest.NewUnstartedServer(nil), true)
	return w, w.withTOTP()
}

func (w *world) person() string { return w.db.PersonID(merchantID, "p-1") }

// withTOTP enrols an authenticator app past the pages and gives what it shows.
func (w *world) withTOTP() (code func() string) {
	w.t.Helper()
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	ctx := w.t.Context()
	token, err := w.ask.EnrolPayer(ctx, w.person())
	must(err)
	secret, err := w.ask.OpenEnrolment(ctx, token)
	must(err)
	by, err := w.ask.Session(ctx, sca.SessionEnrol, secret, false)
	must(err)
	setup, err := w.ask.BeginTOTP(ctx, by, "paula")
	must(err)
	code = func() string {
		text, err := totp.GenerateCode(setup.Key, w.clock.Now())
		must(err)
		return text
	}
	must(w.ask.ConfirmTOTP(ctx, by, setup.FactorID, code(), "App"))
	w.clock.Add(31 * time.Second)
	return code
}

// post sends a form of sca/app, which wants to know where it comes from.
func (b *browser) post(path string, form url.Values) *answer {
	return b.do(http.MethodPost, path, form, "Origin", b.w.server.URL)
}

func TestWayBackFromAConfirmationIsOneButton(t *testing.T) {
	w, code := newAskingWorld(t)
	id, path := w.start()
	b := w.browser()
	ask := b.toBank(path)
	if !strings.HasPrefix(ask, "/sca/pay/"+id+"/") || len(w.sandbank.placed()) != 0 {
		t.Fatalf("sent to %s with %d orders", ask, len(w.sandbank.placed()))
	}
	open := b.get("/pay/" + id).want(http.StatusOK)
	if open.situation() != "confirm_open" || attr(open.find("to-confirm"), "href") != ask {
		t.Errorf("while it is open: %s", open.main())
	}
	if to := b.get(b.post(ask+"/code", url.Values{"code": {code()}}).location()).location(); to != "/pay/"+id {
		t.Fatalf("the confirmation leads to %s", to)
	}
	done := b.get("/pay/" + id).want(http.StatusOK)
	if done.text("lead") != "You have confirmed." || done.text("pay") != "Continue to Sandbank" || !strings.Contains(done.text("moved"), "Nothing has been paid yet") {
		t.Fatalf("%s", done.main())
	}
	if strings.Contains(done.body, `name="q"`) {
		t.Error("the list of banks is there again")
	}
	if to := b.submit(done, "pay").location(); !strings.HasPrefix(to, w.sandbank.site.URL) {
		t.Errorf("sent to %s", to)
	}
	if again := b.submit(done, "pay"); again.StatusCode != http.StatusConflict || len(w.sandbank.placed()) != 1 { // B05
		t.Errorf("the same form again: %d, %d orders", again.StatusCode, len(w.sandbank.placed()))
	}
	// A failed attempt is told, not the old confirmation. That was for one order:
	// another bank needs a new one (RTS Art. 4(1)).
	w.sandbank.decide(banks.Status{Transaction: "RJCT", Reason: "AM04"})
	if failed := b.get(b.get(w.returnPath()).location()); failed.situation() != "try_again" {
		t.Errorf("%s", failed.main())
	}
	other := b.get("/pay/" + id + "/confirm?bank=cafe").want(http.StatusOK)
	if other.find("confirmed") != nil || !strings.Contains(other.text("pay"), "Café Kredit") {
		t.Errorf("%s", other.main())
	}
	if to := b.submit(other, "pay").location(); !strings.HasPrefix(to, "/sca/pay/"+id+"/") || to == ask || len(w.sandbank.placed()) != 1 {
		t.Errorf("an approval serves a second order: sent to %s with %d orders", to, len(w.sandbank.placed()))
	}
}

func TestEveryEndOfAConfirmationHasItsSentenceAndAWayOn(t *testing.T) {
	for name, c := range map[string]struct {
		end        func(w *world, b *browser, ask string)
		lead       string
		retry      bool
		back       bool
		situation  string
		acceptable bool // another consent may follow
	}{
		"cancelled": {func(_ *world, b *browser, ask string) { b.post(ask+"/cancel", url.Values{}) }, "The payment was not confirmed.", true, false, "confirm_cancelled", true},
		"expired":   {func(w *world, _ *browser, _ string) { w.clock.Add(6 * time.Minute) }, "The time to confirm was over.", true, false, "confirm_expired", true},
		"declined":  {ended("declined", ""), "The payment was not confirmed.", true, false, "confirm_declined", true},
		"wrong":     {ended("cancelled", "push"), "The number was not the right one.", true, false, "confirm_cancelled", true},
		"void":      {ended("void", ""), "The payment changed after you confirmed it.", true, false, "confirm_void", true},
		"reported":  {ended("reported", "push"), "You told us that this payment is not yours.", false, true, "confirm_reported", false},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := newAskingWorld(t)
			id, path := w.start()
			b := w.browser()
			form := b.toConfirm(path)
			c.end(w, b, b.submit(form, "pay").location())
			page := b.get("/pay/" + id).want(http.StatusOK)
			if page.situation() != c.situation || page.text("lead") != "Nothing has been paid. "+c.lead {
				t.Errorf("%s: %s", page.situation(), page.text("lead"))
			}
			if (page.find("retry") != nil) != c.retry || (page.find("back") != nil) != c.back || page.find("cancel") == nil {
				t.Errorf("ways on: %s", page.main())
			}
			again := b.get("/pay/" + id + "/confirm?bank=sandbank")
			if !c.acceptable { // neither a new form nor an old one goes on
				if again.location() != "/pay/"+id {
					t.Errorf("sent to %s", again.location())
				}
				if to := b.submit(form, "pay").location(); to != "/pay/"+id {
					t.Errorf("the old form leads to %s", to)
				}
			} else if to := b.submit(again.want(http.StatusOK), "pay").location(); !strings.HasPrefix(to, "/sca/pay/"+id+"/") {
				t.Errorf("sent to %s", to)
			}
			if len(w.sandbank.placed()) != 0 {
				t.Error("an order was placed")
			}
			if done := b.get(b.submit(page, "cancel").location()); done.situation() != "canceled" {
				t.Errorf("%s", done.main())
			}
		})
	}
}

// ended brings the open confirmation to an end that a device would bring.
func ended(state, method string) func(*world, *browser, string) {
	return func(w *world, _ *browser, ask string) {
		w.t.Helper()
		err := w.db.Tx(w.t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE sca_challenges SET state = ?, method = ? WHERE id = ?`, state, method, ask[strings.LastIndex(ask, "/")+1:])
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestConfirmedPaymentThatChangedIsConfirmedAgain: what was confirmed is held
// against what would be sent.
func TestConfirmedPaymentThatChangedIsConfirmedAgain(t *testing.T) { // B06
	w, code := newAskingWorld(t)
	id, path := w.start()
	b := w.browser()
	ask := b.toBank(path)
	b.post(ask+"/code", url.Values{"code": {code()}}).want(http.StatusSeeOther)
	if _, err := w.db.UpdatePayment(t.Context(), id, func(p *psd2.Payment) error {
		p.Personal.Payee.IBAN = "DE02120300000000202051"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if to := b.submit(b.get("/pay/"+id).want(http.StatusOK), "pay").location(); !strings.HasPrefix(to, "/sca/pay/"+id+"/") || to == ask || len(w.sandbank.placed()) != 0 {
		t.Errorf("sent to %s with %d orders", to, len(w.sandbank.placed()))
	}
}

func TestFactorsAreOfferedAfterAPaymentOnly(t *testing.T) {
	w := &world{t: t, clock: testkit.NewClock(), changed: make(chan struct{}, 8), ask: &confirming{}}
	w.build(httptest.NewTLSServer(http.NotFoundHandler()), httptest.NewUnstartedServer(nil), true)
	id, path := w.start()
	b := w.browser()
	form := b.toConfirm(path)
	if form.find("enrol") != nil {
		t.Error("it is in the way of a payment")
	}
	token := url.Values{"token": {attr(first(form.doc, isNamed("token")), "value")}}
	b.submit(form, "pay").location()
	b.do(http.MethodPost, "/pay/"+id+"/enrol", token).want(http.StatusNotFound)
	w.sandbank.decide(banks.Status{Transaction: "ACSC"})
	done := b.get(b.get(w.returnPath()).location()).want(http.StatusOK)
	if done.text("enrol") != "Set this up" || !strings.Contains(done.text("offer"), "You can also do without.") {
		t.Fatalf("%s", done.main())
	}
	b.do(http.MethodPost, "/pay/"+id+"/enrol", token).want(http.StatusForbidden) // another form's token
	w.browser().do(http.MethodPost, "/pay/"+id+"/enrol", token).want(http.StatusForbidden)
	link := b.submit(done, "enrol").location()
	if !regexp.MustCompile(`^/sca/enrol/[A-Za-z0-9_-]{43}\?payment=` + id + `$`).MatchString(link) {
		t.Fatalf("it leads to %s", link)
	}
	if to := b.post(link, url.Values{}).location(); to != "/sca/factors" {
		t.Errorf("the link leads to %s", to)
	}
	w.withTOTP()
	if done = b.get("/pay/" + id).want(http.StatusOK); done.text("enrol") != "Your ways to confirm payments" {
		t.Errorf("with a factor: %s", done.main())
	}
	// Who paid from somebody else's account is not known to be this player.
	if _, err := w.db.UpdatePayment(t.Context(), id, func(p *psd2.Payment) error { p.PayerCheck = psd2.PayerMismatched; return nil }); err != nil {
		t.Fatal(err)
	}
	if b.get("/pay/"+id).find("enrol") != nil {
		t.Error("a stranger is offered the player's factors")
	}
	b.submit(done, "enrol").want(http.StatusNotFound)
}

// TestFirstFactorNeedsAVerifiedAccount: whoever stole a player's login and pays
// from an account of which nobody knows whose it is makes no factor in his name.
func TestFirstFactorNeedsAVerifiedAccount(t *testing.T) { // A15
	w := &world{t: t, clock: testkit.NewClock(), changed: make(chan struct{}, 8), ask: &confirming{}}
	w.build(httptest.NewTLSServer(http.NotFoundHandler()), httptest.NewUnstartedServer(nil), true)
	id, path := w.start()
	b := w.browser()
	b.toBank(path)
	w.sandbank.decide(banks.Status{Transaction: "ACSC"})
	offered := b.get(b.get(w.returnPath()).location()).want(http.StatusOK)
	for check, may := range map[psd2.PayerCheck]bool{psd2.PayerUnknown: false, psd2.PayerMismatched: false, psd2.PayerMatched: true, psd2.PayerWaived: true} {
		if _, err := w.db.UpdatePayment(t.Context(), id, func(p *psd2.Payment) error { p.PayerCheck = check; return nil }); err != nil {
			t.Fatal(err)
		}
		if shown := b.get("/pay/"+id).find("enrol") != nil; shown != may {
			t.Errorf("%s: offered %t", check, shown)
		}
		if answer := b.submit(offered, "enrol"); (answer.StatusCode == http.StatusSeeOther) != may {
			t.Errorf("%s: %d", check, answer.StatusCode)
		}
	}
	// Who has factors proves himself there, so he may go.
	w.withTOTP()
	if _, err := w.db.UpdatePayment(t.Context(), id, func(p *psd2.Payment) error { p.PayerCheck = psd2.PayerUnknown; return nil }); err != nil {
		t.Fatal(err)
	}
	link := b.submit(offered, "enrol").location()
	b.post(link, url.Values{}).want(http.StatusSeeOther)
	if to := b.post("/sca/totp", url.Values{}).location(); to != "/sca/verify" {
		t.Errorf("without a proof it leads to %s", to)
	}
}

// TestPayerConfirmsInTheLanguageHeReads: what is frozen is what he was reading,
// whatever the merchant said, and a choice of his own wins.
func TestPayerConfirmsInTheLanguageHeReads(t *testing.T) {
	for name, c := range map[string]struct{ header, query, want string }{
		"a German browser":   {"de-DE,de;q=0.9", "", "Zahlung von 25,00 EUR"},
		"an English browser": {"en-GB", "", "Pay EUR 25.00"},
		"a choice":           {"en-GB", "?lang=de", "Zahlung von 25,00 EUR"},
	} {
		w, _ := newAskingWorld(t)
		_, path := w.start()
		b := w.browser()
		b.lang = c.header
		form := b.toConfirm(path)
		if c.query != "" {
			b.get(path + c.query)
		}
		page := b.get(b.submit(form, "pay").location()).want(http.StatusOK)
		if !strings.Contains(page.text("shown"), c.want) {
			t.Errorf("%s is shown %q", name, page.text("shown"))
		}
		if lang := attr(page.find("shown"), "lang"); lang != attr(first(page.doc, func(n *html.Node) bool { return n.Data == "html" }), "lang") {
			t.Errorf("%s: the page is in another language than the text (%s)", name, lang)
		}
	}
}

// TestPayerIsToldOfChangesWhereHePays: nobody but time makes it go away.
func TestPayerIsToldOfChangesWhereHePays(t *testing.T) { // A15
	w, _ := newAskingWorld(t)
	for range 2 {
		_, path := w.start()
		b := w.browser()
		form := b.toConfirm(path)
		if !strings.Contains(form.text("changed"), "If this was not you") {
			t.Errorf("before the bank: %s", form.main())
		}
		if page := b.get(b.submit(form, "pay").location()).want(http.StatusOK); !strings.Contains(page.text("told"), "A way to confirm was added.") {
			t.Errorf("at the confirmation: %s", page.main())
		}
	}
	w.clock.Add(31 * 24 * time.Hour)
	_, path := w.start()
	if form := w.browser().toConfirm(path); form.find("changed") != nil {
		t.Errorf("a month later: %s", form.main())
	}
}

// newAskingLoopbackWorld is for browsers.
func newAskingLoopbackWorld(t *testing.T, level sca.Level) *world {
	t.Helper()
	return loopbackWorld(t, &confirming{level: level})
}

func TestPersonConfirmsHereAndPaysInChromium(t *testing.T) { // B17
	for _, script := range []bool{true, false} {
		w := newAskingLoopbackWorld(t, sca.Any)
		code := w.withTOTP()
		c := chromium.Open(t, chromium.Options{Name: "confirm", Width: 390, NoScript: !script})
		_, path := w.start()
		c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
		c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
		c.Press(chromium.Named("pay"), chromium.Named("pay-code"))
		c.Type("#code", code())
		c.Press(chromium.Named("pay-code"), chromium.Named("confirmed"))
		c.Shot("confirmed")
		c.Press(chromium.Named("pay"), "#bank") // one press, and he is at his bank
		w.sandbank.decide(banks.Status{Transaction: "ACSC"})
		c.Go(w.server.URL+w.returnPath(), chromium.Named("enrol"))
		c.Shot("paid")
		c.Press(chromium.Named("enrol"), chromium.Named("go"))
		c.Press(chromium.Named("go"), chromium.Named("factors"))
		c.Quiet()
	}
}

// TestFamiliarBrowserIsOneThatPaidAndHoldsItsKey: the cookie and the key are
// made on the page, and nothing is said of how it was used before the payer
// agrees.
func TestFamiliarBrowserIsOneThatPaidAndHoldsItsKey(t *testing.T) {
	w := newAskingLoopbackWorld(t, "")
	c := chromium.Open(t, chromium.Options{Name: "familiar", Width: 390})
	pay := func(c *chromium.Browser, agree bool) hub.Browser {
		t.Helper()
		_, path := w.start()
		c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
		c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
		chromium.Value(c, chromedp.Poll[bool](`document.querySelector("[name=device_proof]").value !== ""`))
		if said := chromium.Value(c, chromedp.Evaluate[string](`(() => {
			const form = document.querySelector("#consent");
			form.dispatchEvent(new Event("paste"));
			form.dispatchEvent(new Event("submit"));
			return form.elements.behaviour.value;
		})()`)); said != "" {
			t.Errorf("before the payer agreed the page noticed %s", said)
		}
		if agree {
			c.Do("agree", chromedp.Click(chromedp.CSS("summary")), chromedp.Click(chromium.Named("agree")))
			c.Shot("agreed")
		}
		c.Press(chromium.Named("pay"), "#bank")
		w.sandbank.decide(banks.Status{Transaction: "ACSC"})
		c.Go(w.server.URL+w.returnPath(), `[data-situation="paid"]`)
		return w.ask.seen[len(w.ask.seen)-1]
	}
	one := pay(c, false)
	if !one.Address.IsLoopback() || one.DeviceSecret == "" || one.DeviceProof == "" || one.Behaviour != "" {
		t.Errorf("the first time the page said %+v", one)
	}
	two := pay(c, true)
	if two.DeviceSecret != one.DeviceSecret || two.Behaviour != `{"typing":"none","paste":"none","pointer":"jumped"}` { // this driver presses without moving
		t.Errorf("the second time the page said %+v", two)
	}
	d, err := w.ask.Recognise(t.Context(), w.person(), two.DeviceSecret, two.DeviceProof)
	if err != nil || !d.Known || d.Payments != 2 {
		t.Errorf("%+v %v", d, err)
	}
	// The cookie in another browser, whose key is another one: a stranger, who
	// gets a cookie of his own.
	thief := chromium.Open(t, chromium.Options{Name: "thief"})
	thief.Go(w.server.URL+"/status", "h1")
	yes := true
	chromium.Send(thief, network.SetCookie, network.SetCookieParams{Name: sca.KnownCookie, Value: two.DeviceSecret, URL: w.server.URL, Path: "/", Secure: &yes, HTTPOnly: &yes})
	three := pay(thief, false)
	if three.DeviceSecret != two.DeviceSecret {
		t.Fatal("the cookie was not copied")
	}
	if d, err := w.ask.Recognise(t.Context(), w.person(), three.DeviceSecret, three.DeviceProof); err != nil || d.Known {
		t.Errorf("a copied cookie is known: %+v %v", d, err)
	}
	if four := pay(thief, false); four.DeviceSecret == two.DeviceSecret {
		t.Error("the copied cookie stays")
	}
	c.Quiet()
	thief.Quiet()
}

func TestFactorMadeAfterOnePaymentConfirmsTheNext(t *testing.T) {
	w := newAskingLoopbackWorld(t, "")
	c := chromium.Open(t, chromium.Options{Name: "next", Width: 390})
	c.Authenticator(true)
	_, path := w.start()
	c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
	c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
	c.Press(chromium.Named("pay"), "#bank")
	w.sandbank.decide(banks.Status{Transaction: "ACSC"})
	c.Go(w.server.URL+w.returnPath(), chromium.Named("enrol"))
	c.Press(chromium.Named("enrol"), chromium.Named("go"))
	c.Press(chromium.Named("go"), chromium.Named("add-passkey"))
	c.Press(chromium.Named("add-passkey"), chromium.Named("factors"))
	w.ask.level = sca.WithPasskey
	_, path = w.start()
	c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
	c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
	c.Press(chromium.Named("pay"), chromium.Named("pay-passkey"))
	c.Press(chromium.Named("pay-passkey"), chromium.Named("confirmed"))
	c.Press(chromium.Named("pay"), "#bank")
	c.Quiet()
}
