package consent_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// chromium is a headless browser with everything that a page complains about.
type chromium struct {
	context.Context
	t *testing.T

	mu         sync.Mutex
	complaints []string
	bytes      map[string]int64 // by request, of what crossed the wire
	urls       map[string]string
}

func newChromium(t *testing.T) *chromium {
	t.Helper()
	path := testkit.Tool(t, "chromium", "chromium-browser", "google-chrome")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("lang", "en"))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancelTab := chromedp.NewContext(ctx)
	t.Cleanup(cancelTab)
	c := &chromium{t: t, bytes: map[string]int64{}, urls: map[string]string{}}
	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as this context
		t.Fatal(err)
	}
	ctx, cancelTime := context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(cancelTime)
	c.Context = ctx
	if err := chromedp.Listen(ctx, c.listen); err != nil {
		t.Fatal(err)
	}
	send(c, network.Enable, network.EnableParams{})
	send(c, log.Enable, cdp.Empty{})
	return c
}

// send gives the tab a protocol command.
func send[P, R any](c *chromium, command cdp.Command[P, R], params P) {
	c.t.Helper()
	c.run(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	}))
}

func (c *chromium) listen(event any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			c.complaints = append(c.complaints, e.Entry.Text+" "+e.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			c.complaints = append(c.complaints, fmt.Sprint(e.Args))
		}
	case *runtime.EventExceptionThrown:
		c.complaints = append(c.complaints, e.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		c.complaints = append(c.complaints, "a dialog opened: "+e.Message)
	case *network.EventRequestWillBeSent:
		c.urls[string(e.RequestID)] = e.Request.URL
	case *network.EventLoadingFinished:
		c.bytes[string(e.RequestID)] += int64(e.EncodedDataLength)
	}
}

func (c *chromium) run(actions ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	if err := chromedp.Do(c, actions...); err != nil {
		c.t.Fatal(err)
	}
}

// quiet fails when a page complained: a policy violated, a script broken, a
// file missing.
func (c *chromium) quiet() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.complaints) > 0 {
		c.t.Errorf("the browser complains:\n%s", strings.Join(c.complaints, "\n"))
	}
}

// shot saves the page as a picture, when a folder for pictures is given.
func (c *chromium) shot(name string) {
	c.t.Helper()
	dir := os.Getenv("RIALTO_SCREENSHOT_DIR")
	if dir == "" {
		return
	}
	png := value(c, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// value runs an action that gives one.
func value[T any](c *chromium, a chromedp.Action[T]) T {
	c.t.Helper()
	v, err := chromedp.Run(c, a)
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

func test(name string) chromedp.CSS { return chromedp.CSS(`[data-test="` + name + `"]`) }

func (c *chromium) text(selector chromedp.CSS) string {
	c.t.Helper()
	return strings.TrimSpace(value(c, chromedp.TextContent(selector)))
}

// click presses what leads to another page and waits for it.
func (c *chromium) click(selector, next chromedp.CSS) {
	c.t.Helper()
	c.run(chromedp.Click(selector), chromedp.WaitVisible(next))
}

// newLoopbackWorld runs the hosted page without TLS under pay.localhost, as
// the demo does: browsers treat that name as trustworthy.
func newLoopbackWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: testkit.NewClock(), changed: make(chan struct{}, 8)}
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

func TestPersonPaysInChromium(t *testing.T) { // B13, B18, B19
	for _, lang := range []string{"en", "de"} {
		for _, script := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, JavaScript %t", lang, script), func(t *testing.T) {
				w := newLoopbackWorld(t)
				c := newChromium(t)
				id, path := w.start()
				send(c, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !script})
				c.run(chromedp.EmulateViewport(390, 844))
				c.run(chromedp.Navigate(w.server.URL+path+"?lang="+lang), chromedp.WaitVisible(test("bank-sandbank")))
				if total := c.weight(); total > 60<<10 {
					t.Errorf("the first page weighs %d bytes", total)
				}
				c.click(test("bank-sandbank"), test("pay"))
				c.click(test("pay"), "#bank")
				w.sites.Lock()
				for _, r := range w.seen {
					if ref := r.Header.Get("Referer"); ref != "" {
						t.Errorf("B13: the bank was told %q", ref)
					}
				}
				w.sites.Unlock()
				w.sandbank.decide(banks.Status{Transaction: "RCVD"})
				c.run(chromedp.Navigate(w.server.URL+w.returnPath()), chromedp.WaitVisible(test("status")))
				w.clock.Add(2 * time.Second)
				w.sandbank.decide(banks.Status{Transaction: "ACSC"})
				if _, err := w.hub.Refresh(c, id); err != nil { // what background work does
					t.Fatal(err)
				}
				w.changed <- struct{}{}
				c.run(chromedp.WaitVisible(chromedp.CSS(`[data-situation="paid"]`))) // without a click
				want := map[string]string{"en": "You have paid €25.00 to Casino Example Ltd.", "de": "Sie haben 25,00\u00a0€ an Casino Example Ltd bezahlt."}[lang]
				if got := c.text(test("lead")); got != want {
					t.Errorf("result %q", got)
				}
				c.quiet()
			})
		}
	}
}

// weight is what has crossed the wire for our own host so far.
func (c *chromium) weight() (total int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, n := range c.bytes {
		if strings.Contains(c.urls[id], "pay.localhost") {
			total += n
		}
	}
	return total
}

func TestBankListFiltersWhileTyping(t *testing.T) {
	w := newLoopbackWorld(t)
	c := newChromium(t)
	_, path := w.start()
	c.run(chromedp.Navigate(w.server.URL+path), chromedp.WaitVisible(chromedp.CSS("#q")),
		chromedp.SendKeys(chromedp.CSS("#q"), "cafe"),
		chromedp.WaitNotVisible(test("bank-sandbank")), chromedp.WaitVisible(test("bank-cafe")))
	count := c.text("[data-count]")
	if count != "1 bank" {
		t.Errorf("the count says %q", count)
	}
	c.run(chromedp.SendKeys(chromedp.CSS("#q"), "xx"), chromedp.WaitVisible(chromedp.CSS("[data-none]")))
	c.quiet()
}

func TestBackButtonAfterPayingShowsTheResult(t *testing.T) { // B04, B20
	w := newLoopbackWorld(t)
	c := newChromium(t)
	_, path := w.start()
	c.run(chromedp.Navigate(w.server.URL+path), chromedp.WaitVisible(test("bank-sandbank")))
	c.click(test("bank-sandbank"), test("pay"))
	c.click(test("pay"), "#bank")
	w.sandbank.decide(banks.Status{Transaction: "ACSC"})
	c.run(chromedp.Navigate(w.server.URL+w.returnPath()), chromedp.WaitVisible(chromedp.CSS(`[data-situation="paid"]`)))
	// Back past the bank to the consent page: it is asked for anew and shows the result.
	value(c, chromedp.Evaluate[any](`document.body.dataset.old = "yes"; history.go(-2)`))
	c.run(chromedp.WaitVisible(chromedp.CSS(`body:not([data-old]) [data-situation="paid"]`)))
	if n := len(w.sandbank.placed()); n != 1 {
		t.Errorf("%d orders", n)
	}
	c.quiet()
}

func TestEvilPageCannotAuthoriseOrFrame(t *testing.T) { // B01, B03
	w := newLoopbackWorld(t)
	c := newChromium(t)
	id, path := w.start()
	c.run(chromedp.Navigate(w.server.URL+path), chromedp.WaitVisible(test("bank-sandbank")))
	c.click(test("bank-sandbank"), test("pay"))
	bankID := value(c, chromedp.AttributeValue(chromedp.CSS(`#consent [name=bank]`), "value")).Value
	ticket := value(c, chromedp.AttributeValue(chromedp.CSS(`#consent [name=consent]`), "value")).Value
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
	c.run(chromedp.Navigate(host+"/post"), chromedp.Click(chromedp.CSS("#go")), chromedp.WaitVisible(test("lead")))
	if n := len(w.sandbank.placed()); n != 0 {
		t.Fatalf("a foreign page placed %d orders", n)
	}
	c.run(chromedp.Navigate(host+"/frame"), chromedp.WaitVisible(chromedp.CSS("#loaded")))
	c.mu.Lock()
	defer c.mu.Unlock()
	if !strings.Contains(strings.Join(c.complaints, "\n"), "frame-ancestors") {
		t.Errorf("the page let itself be framed; the browser said %q", c.complaints)
	}
}

func TestForeignTextRunsNowhere(t *testing.T) { // B14
	w := newLoopbackWorld(t)
	w.merchant.Name = `<img src=x onerror=alert(1)>"'><script>alert(2)</script>`
	w.merchant.ID = "mer_00000000000000000000000003"
	w.merchant.Accounts[0].Name = `</title><svg onload=alert(3)>`
	w.put()
	c := newChromium(t)
	_, path := w.start()
	c.run(chromedp.Navigate(w.server.URL+path), chromedp.WaitVisible(test("bank-sandbank")))
	c.click(test("bank-sandbank"), test("pay"))
	c.click(test("pay"), "#bank")
	w.sandbank.decide(banks.Status{Transaction: "RJCT", Reason: "AM04"})
	c.run(chromedp.Navigate(w.server.URL+w.returnPath()+"/failed?error="+url.QueryEscape("<script>alert(4)</script>")),
		chromedp.WaitVisible(chromedp.CSS(`[data-situation="try_again"]`)))
	c.quiet()
}

func TestPictures(t *testing.T) {
	if os.Getenv("RIALTO_SCREENSHOT_DIR") == "" {
		t.Skip("RIALTO_SCREENSHOT_DIR names no folder for pictures of the pages")
	}
	w := newLoopbackWorld(t)
	c := newChromium(t)
	for _, lang := range []string{"en", "de"} {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{390, 1280} {
				name := func(page string) string { return fmt.Sprintf("%s-%s-%s-%d", page, lang, scheme, width) }
				c.run(chromedp.EmulateViewport(width, 844))
				send(c, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
				id, path := w.start()
				c.run(chromedp.Navigate(w.server.URL+path+"?lang="+lang), chromedp.WaitVisible(test("bank-sandbank")))
				c.shot(name("1-choose"))
				c.run(chromedp.Navigate(w.server.URL+path+"/about"), chromedp.WaitVisible(test("provider")))
				c.shot(name("7-about"))
				c.run(chromedp.Navigate(w.server.URL+path), chromedp.WaitVisible(test("bank-sandbank")))
				c.click(test("bank-sandbank"), test("pay"))
				c.shot(name("2-confirm"))
				c.click(test("pay"), "#bank")
				c.run(chromedp.Navigate(w.server.URL+"/pay/"+id), chromedp.WaitVisible(test("to-bank")))
				c.shot(name("3-at-bank"))
				w.clock.Add(2 * time.Second)
				w.sandbank.decide(banks.Status{Transaction: "RJCT", Reason: "AM04"})
				c.run(chromedp.Navigate(w.server.URL+w.returnPath()), chromedp.WaitVisible(test("retry")))
				c.shot(name("4-try-again"))
				c.click(test("retry"), test("pay"))
				c.click(test("pay"), "#bank")
				w.sandbank.decide(banks.Status{Transaction: "ACSC"})
				c.run(chromedp.Navigate(w.server.URL+w.returnPath()), chromedp.WaitVisible(test("back")))
				c.shot(name("5-paid"))
				other := "/pay/pay_00000000000000000000000000"
				c.run(chromedp.Navigate(w.server.URL+other), chromedp.WaitVisible(test("lead")))
				c.shot(name("6-elsewhere"))
			}
		}
	}
}
