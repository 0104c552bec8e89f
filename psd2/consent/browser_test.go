package consent_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2/testkit"
	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
)

// newLoopbackWorld runs the hosted page without TLS under pay.localhost, as
// the demo does: browsers treat that name as trustworthy.
func newLoopbackWorld(t *testing.T) *world { t.Helper(); return loopbackWorld(t, nil) }

func loopbackWorld(t *testing.T, ask *confirming) *world {
	t.Helper()
	w := &world{t: t, clock: testkit.NewClock(), changed: make(chan struct{}, 8), ask: ask}
	site := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.sites.Lock()
		w.seen = append(w.seen, r.Clone(context.Background()))
		w.sites.Unlock()
		fmt.Fprint(rw, "<!doctype html><link rel=icon href=data:,><title>Bank</title><h1 id=bank>The bank</h1>")
	}))
	_, port, err := net.SplitHostPort(site.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	site.URL = "http://bank.localhost:" + port
	server := httptest.NewUnstartedServer(nil)
	_, port, err = net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server.URL = "http://pay.localhost:" + port
	w.build(site, server, false)
	return w
}

func TestPersonPaysInChromium(t *testing.T) { // B13, B17, B18, B19
	for _, lang := range []string{"en", "de"} {
		for _, script := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, JavaScript %t", lang, script), func(t *testing.T) {
				w := newLoopbackWorld(t)
				c := chromium.Open(t, chromium.Options{Name: "consent", Width: 390, NoScript: !script})
				id, path := w.start()
				c.Go(w.server.URL+path+"?lang="+lang, chromium.Named("bank-sandbank"))
				if total := c.Weight("pay.localhost"); total == 0 || total > 60<<10 {
					t.Errorf("the first page weighs %d bytes", total)
				}
				c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
				c.Press(chromium.Named("pay"), "#bank")
				w.sites.Lock()
				for _, r := range w.seen {
					if ref := r.Header.Get("Referer"); ref != "" {
						t.Errorf("B13: the bank was told %q", ref)
					}
				}
				w.sites.Unlock()
				w.sandbank.decide(banks.Status{Transaction: "RCVD"})
				c.Go(w.server.URL+w.returnPath(), chromium.Named("status"))
				w.clock.Add(2 * time.Second)
				w.sandbank.decide(banks.Status{Transaction: "ACSC"})
				if _, err := w.hub.Refresh(t.Context(), id); err != nil { // what background work does
					t.Fatal(err)
				}
				w.changed <- struct{}{}
				c.Wait(`[data-situation="paid"]`) // without a click
				want := map[string]string{"en": "You have paid €25.00 to Casino Example Ltd.", "de": "Sie haben 25,00\u00a0€ an Casino Example Ltd bezahlt."}[lang]
				if got := c.Text(chromium.Named("lead")); got != want {
					t.Errorf("result %q", got)
				}
				c.Quiet()
			})
		}
	}
}

func TestBankListFiltersWhileTyping(t *testing.T) {
	w := newLoopbackWorld(t)
	c := chromium.Open(t, chromium.Options{Name: "consent"})
	_, path := w.start()
	c.Go(w.server.URL+path, "#q")
	c.Type("#q", "cafe")
	c.Do("filter", chromedp.WaitNotVisible(chromium.Named("bank-sandbank")), chromedp.WaitVisible(chromium.Named("bank-cafe")))
	count := c.Text("[data-count]")
	if count != "1 bank" {
		t.Errorf("the count says %q", count)
	}
	c.Type("#q", "xx")
	c.Wait("[data-none]")
	c.Quiet()
}

func TestBackButtonAfterPayingShowsTheResult(t *testing.T) { // B04, B20
	w := newLoopbackWorld(t)
	c := chromium.Open(t, chromium.Options{Name: "consent"})
	_, path := w.start()
	c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
	c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
	c.Press(chromium.Named("pay"), "#bank")
	w.sandbank.decide(banks.Status{Transaction: "ACSC"})
	c.Go(w.server.URL+w.returnPath(), `[data-situation="paid"]`)
	// Back past the bank to the consent page: it is asked for anew and shows the result.
	chromium.Value(c, chromedp.Evaluate[any](`document.body.dataset.old = "yes"; history.go(-2)`))
	c.Wait(`body:not([data-old]) [data-situation="paid"]`)
	if n := len(w.sandbank.placed()); n != 1 {
		t.Errorf("%d orders", n)
	}
	c.Quiet()
}

func TestEvilPageCannotAuthoriseOrFrame(t *testing.T) { // B01, B03
	w := newLoopbackWorld(t)
	c := chromium.Open(t, chromium.Options{Name: "consent"})
	id, path := w.start()
	c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
	c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
	bankID := chromium.Value(c, chromedp.AttributeValue(chromedp.CSS(`#consent [name=bank]`), "value")).Value
	ticket := chromium.Value(c, chromedp.AttributeValue(chromedp.CSS(`#consent [name=consent]`), "value")).Value
	evil := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/frame" {
			fmt.Fprintf(rw, `<!doctype html><iframe src="%s/pay/%s"></iframe><p id=loaded>x`, w.server.URL, id)
			return
		}
		// Even with a stolen ticket: the cookie is not sent and the form is refused.
		fmt.Fprintf(rw, `<!doctype html><form method=post action="%s/pay/%s/confirm"><input name=bank value=%q><input name=consent value=%q><button id=go>x</button></form>`,
			w.server.URL, id, bankID, ticket)
	}))
	defer evil.Close()
	host := strings.Replace(evil.URL, "127.0.0.1", "evil.localhost", 1)
	c.Go(host+"/post", "#go")
	c.Press("#go", chromium.Named("lead"))
	if n := len(w.sandbank.placed()); n != 0 {
		t.Fatalf("a foreign page placed %d orders", n)
	}
	c.Go(host+"/frame", "#loaded")
	if said := c.Complaints(); !strings.Contains(strings.Join(said, "\n"), "frame-ancestors") {
		t.Errorf("the page let itself be framed; the browser said %q", said)
	}
}

func TestForeignTextRunsNowhere(t *testing.T) { // B14
	w := newLoopbackWorld(t)
	w.merchant.Name = `<img src=x onerror=alert(1)>"'><script>alert(2)</script>`
	w.merchant.ID = "mer_00000000000000000000000003"
	w.merchant.Accounts[0].Name = `</title><svg onload=alert(3)>`
	w.put()
	c := chromium.Open(t, chromium.Options{Name: "consent"})
	_, path := w.start()
	c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
	c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
	c.Press(chromium.Named("pay"), "#bank")
	w.sandbank.decide(banks.Status{Transaction: "RJCT", Reason: "AM04"})
	c.Go(w.server.URL+w.returnPath()+"/failed?error="+url.QueryEscape("<script>alert(4)</script>"), `[data-situation="try_again"]`)
	c.Quiet()
}

func TestPictures(t *testing.T) {
	if os.Getenv("RIALTO_SCREENSHOT_DIR") == "" {
		t.Skip("RIALTO_SCREENSHOT_DIR names no folder for pictures of the pages")
	}
	w := newLoopbackWorld(t)
	c := chromium.Open(t, chromium.Options{Name: "consent"})
	for _, lang := range []string{"en", "de"} {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{390, 1280} {
				name := func(page string) string { return fmt.Sprintf("%s-%s-%s-%d", page, lang, scheme, width) }
				c.Look(width, scheme == "dark")
				id, path := w.start()
				c.Go(w.server.URL+path+"?lang="+lang, chromium.Named("bank-sandbank"))
				c.Shot(name("1-choose"))
				c.Go(w.server.URL+path+"/about", chromium.Named("provider"))
				c.Shot(name("7-about"))
				c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
				c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
				c.Shot(name("2-confirm"))
				c.Press(chromium.Named("pay"), "#bank")
				c.Go(w.server.URL+"/pay/"+id, chromium.Named("to-bank"))
				c.Shot(name("3-at-bank"))
				w.clock.Add(2 * time.Second)
				w.sandbank.decide(banks.Status{Transaction: "RJCT", Reason: "AM04"})
				c.Go(w.server.URL+w.returnPath(), chromium.Named("retry"))
				c.Shot(name("4-try-again"))
				c.Press(chromium.Named("retry"), chromium.Named("pay"))
				c.Press(chromium.Named("pay"), "#bank")
				w.sandbank.decide(banks.Status{Transaction: "ACSC"})
				c.Go(w.server.URL+w.returnPath(), chromium.Named("back"))
				c.Shot(name("5-paid"))
				other := "/pay/pay_00000000000000000000000000"
				c.Go(w.server.URL+other, chromium.Named("lead"))
				c.Shot(name("6-elsewhere"))
			}
		}
	}
}
