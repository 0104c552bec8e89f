package ops_test

import (
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/ops"
	"github.com/rialto-hub/rialto/psd2/testkit"
	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
)

// newLoopbackWorld runs the room without TLS under ops.localhost, as the demo
// does: browsers treat that name as trustworthy.
func newLoopbackWorld(t *testing.T, change ...func(*ops.Deps)) *world {
	t.Helper()
	w := &world{t: t, clock: testkit.NewClock(), log: &logs{}, webhooks: &webhooks{}}
	w.server = httptest.NewUnstartedServer(nil)
	w.build(change...)
	_, port, err := net.SplitHostPort(w.server.Listener.Addr().String())
	must(t, err)
	w.server.Start()
	w.server.URL = "http://ops.localhost:" + port
	t.Cleanup(w.server.Close)
	t.Cleanup(w.room.Close)
	return w
}

// signIn makes the browser that of somebody who is signed in, at the newest
// payments.
func signIn(c *chromium.Browser, w *world, who string) {
	chromium.Send(c, network.SetCookie, network.SetCookieParams{Name: "who", Value: who, URL: w.server.URL})
	c.Go(w.server.URL+"/payments", chromium.Named("logout"))
}

func TestOperatorWorksByKeyboard(t *testing.T) {
	w := newLoopbackWorld(t)
	w.create("Deposit 1")
	p := w.create("Deposit 2")
	c := chromium.Open(t, chromium.Options{Name: "ops"})
	signIn(c, w, "olga/operator")
	focused := func() string {
		return chromium.Value(c, chromedp.Evaluate[string](`document.activeElement.id || document.activeElement.title`))
	}
	c.Key("j")
	if got := focused(); got != p.ID {
		t.Errorf("j leads to %q", got)
	}
	c.Key("?")
	c.Wait("dialog[open]")
	c.Do("close the dialog", chromedp.Click(chromedp.CSS("dialog .button")), chromedp.WaitNotVisible(chromedp.CSS("#keys")))
	for _, section := range []string{"webhooks", "recalls", "banks", "unknown", "transfers", "payments"} {
		link := chromedp.CSS(`nav a[href="/` + section + `"]`)
		c.Key(chromium.Value(c, chromedp.AttributeValue(link, "data-key")).Value)
		c.Wait(link + `[aria-current="page"]`)
	}
	c.Key("/")
	if got := focused(); got != "q" {
		t.Errorf("/ leads to %q", got)
	}
	if got := chromium.Value(c, chromedp.Evaluate[string](`document.activeElement.value`)); got != "" {
		t.Errorf("the key itself was typed: %q", got)
	}
	c.Do("search", chromedp.KeyEvent("Deposit 2\r"), chromedp.WaitVisible(chromium.Named("payment-id"))) // the letters of other keys are just letters here
	if got := c.Text(chromium.Named("payment-id")); got != p.ID {
		t.Errorf("found %q", got)
	}
	if got := chromium.Value(c, chromedp.Evaluate[string](`location.pathname + location.search`)); got != "/search" {
		t.Errorf("the search is at %q", got)
	}
	c.Quiet()
}

func TestForeignTextRunsNowhere(t *testing.T) { // B14
	w := newLoopbackWorld(t)
	evil := `<img src=x onerror=alert(1)>"'><script>alert(2)</script>`
	p := w.create(evil, func(p *psd2.Payment) { p.Personal.Payee.Name = `</title><svg onload=alert(3)>` })
	w.attempt(p.ID, evil)
	w.report(p.ID, evil, evil)
	w.webhooks.list = []ops.Delivery{{ID: evil, Type: evil, Host: evil, State: evil, Tries: []ops.Try{{Error: evil}}}}
	c := chromium.Open(t, chromium.Options{Name: "ops"})
	signIn(c, w, "olga/operator")
	c.Go(w.server.URL+"/payments/"+p.ID, chromium.Named("payment-id"))
	c.Quiet()
}

func TestPictures(t *testing.T) {
	if os.Getenv("RIALTO_SCREENSHOT_DIR") == "" {
		t.Skip("RIALTO_SCREENSHOT_DIR names no folder for pictures of the pages")
	}
	w := newLoopbackWorld(t)
	story, unknown := w.busyDay()
	c := chromium.Open(t, chromium.Options{Name: "ops"})
	signIn(c, w, "olga/operator")
	for _, lang := range []string{"en", "de"} {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{390, 1280} {
				name := func(page string) string { return fmt.Sprintf("%s-%s-%s-%d", page, lang, scheme, width) }
				c.Look(width, scheme == "dark")
				c.Go(w.server.URL+"/payments?lang="+lang, chromium.Named("row"))
				c.Shot(name("2-payments"))
				c.Go(w.server.URL+"/payments/"+story, chromium.Named("payment-id"))
				c.Shot(name("3-story"))
				c.Go(w.server.URL+"/payments/"+unknown, chromium.Named("payment-id"))
				c.Shot(name("4-unknown"))
				c.Go(w.server.URL+"/banks", chromium.Named("summary"))
				c.Shot(name("5-banks"))
				c.Type("#q", payerIBAN)
				c.Press(chromium.Named("search"), chromium.Named("searched"))
				c.Shot(name("6-search"))
				c.Key("?")
				c.Wait("dialog[open]")
				c.Shot(name("7-keys"))
				c.Do("close the dialog", chromedp.Click(chromedp.CSS("dialog .button")), chromedp.WaitNotVisible(chromedp.CSS("#keys")))
			}
		}
	}
	c.Quiet()
}

// TestPicturesOfDecisions: the same for what two people see.
func TestPicturesOfDecisions(t *testing.T) {
	if os.Getenv("RIALTO_SCREENSHOT_DIR") == "" {
		t.Skip("RIALTO_SCREENSHOT_DIR names no folder for pictures of the pages")
	}
	var h *hub.Hub
	w := newLoopbackWorld(t, func(d *ops.Deps) { h, d.Docs = d.Hub, "https://pay.example/docs" })
	w.busyDay()
	w.silence("cafe", 5)
	proposed, free := w.undecided(), w.transferOf(w.create("Deposit 4730"))
	w.clock.Add(time.Hour)
	_, err := h.Propose(t.Context(), hub.Operator{ID: "usr_olga", Name: "Olga Beispiel"}, hub.Draft{ObjectID: proposed.ID, Verdict: psd2.VerdictExecuted,
		Reason: "The bank’s desk confirmed it by telephone.", Evidence: "Statement 2026/117, line 4"})
	must(t, err)
	w.undecidedYet()
	back := w.create("Deposit 4732", func(p *psd2.Payment) { p.PayeeAccountID = "acc_1" })
	w.attempt(back.ID, "sandbank")
	w.recalled(h, w.report(back.ID, "ACSC", ""))
	w.webhooks.endpoints = w.endpoints()
	w.stuck()
	c := chromium.Open(t, chromium.Options{Name: "desk"})
	signIn(c, w, "piet/operator")
	for _, lang := range []string{"en", "de"} {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{390, 1280} {
				name := func(page string) string { return fmt.Sprintf("%s-%s-%s-%d", page, lang, scheme, width) }
				c.Look(width, scheme == "dark")
				c.Go(w.server.URL+"/unknown?lang="+lang, chromium.Named("summary"))
				c.Shot(name("8-queue"))
				c.Go(w.server.URL+"/payments/"+proposed.ID, chromium.Named("approve"))
				c.Shot(name("9-approve"))
				c.Go(w.server.URL+"/transfers/"+free.ID, chromium.Named("propose"))
				c.Shot(name("10-propose"))
				c.Go(w.server.URL+"/transfers", chromium.Named("transfer-row"))
				c.Shot(name("11-transfers"))
				c.Go(w.server.URL+"/banks", chromium.Named("presumed-cafe"))
				c.Shot(name("12-health"))
				c.Go(w.server.URL+"/recalls", chromium.Named("recall"))
				c.Shot(name("13-recalls"))
				c.Go(w.server.URL+"/webhooks", chromium.Named("endpoint"))
				c.Shot(name("14-webhooks"))
			}
		}
	}
	c.Quiet()
}

// undecidedYet is a payment whose bank still has time.
func (w *world) undecidedYet() {
	p := w.create("Deposit 4731")
	w.attempt(p.ID, "cafe")
	w.unknown(p.ID)
}

// busyDay makes payments of every kind; it gives one with a whole story and
// one whose outcome is unknown.
func (w *world) busyDay() (story, unknown string) {
	for i := range 24 {
		p := w.create(fmt.Sprintf("Deposit %d", 4700+i), func(p *psd2.Payment) { p.Amount = psd2.Euro(int64(1000 + 7919*i)) })
		switch i % 6 {
		case 0:
			continue
		case 1:
			w.attempt(p.ID, "sandbank")
			w.report(p.ID, "RJCT", "AM04")
			w.attempt(p.ID, "cafe")
			w.report(p.ID, "ACSC", "")
			story = p.ID
		case 2:
			w.attempt(p.ID, "cafe")
			w.report(p.ID, "ACCC", "")
		case 3:
			w.change(p.ID, func(p *psd2.Payment, now time.Time) {
				_, err := p.Cancel(psd2.ReasonMerchantCanceled, now)
				must(w.t, err)
			})
		case 4:
			w.attempt(p.ID, "sandbank")
			if i > 16 {
				w.unknown(p.ID)
				unknown = p.ID
			}
		case 5:
			w.attempt(p.ID, "sandbank")
			w.report(p.ID, "ACSP", "")
		}
	}
	w.sequence()
	next := w.clock.Now().Add(time.Minute)
	w.webhooks.list = []ops.Delivery{
		{ID: "dlv_01m7w6c478e4r9w60vqcy4mvph", Type: psd2.EventExecuted, EndpointID: "whe_01m7w6c478e4r9w60vqcy4mvpa", Host: "hooks.casino.example", State: "delivered",
			Attempts: 2, Tries: []ops.Try{{At: w.clock.Now(), Took: 10 * time.Second, Error: "timeout"}, {At: w.clock.Now(), Took: 43 * time.Millisecond, Status: 204}}},
		{ID: "dlv_01m7w6c478e4r9w60vqcy4mvpj", Type: psd2.EventCreditable, EndpointID: "whe_01m7w6c478e4r9w60vqcy4mvpa", Host: "hooks.casino.example", State: "pending",
			Attempts: 1, NextAt: &next, Tries: []ops.Try{{At: w.clock.Now(), Took: time.Second, Status: 503}}},
	}
	w.registry.Observe("sandbank", "", nil, 120*time.Millisecond)
	for range 10 {
		w.registry.Observe("cafe", "", &banks.Error{Kind: banks.Unavailable}, time.Second)
	}
	return story, unknown
}
