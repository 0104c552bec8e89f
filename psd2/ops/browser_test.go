package ops_test

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/ops"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// chromium is a headless browser with everything that a page complains about.
type chromium struct {
	context.Context
	t *testing.T

	mu         sync.Mutex
	complaints []string
}

func newChromium(t *testing.T) *chromium {
	t.Helper()
	path := testkit.Tool(t, "chromium", "chromium-browser", "google-chrome")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("lang", "en"))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancelTab := chromedp.NewContext(ctx)
	t.Cleanup(cancelTab)
	c := &chromium{t: t}
	must(t, chromedp.Do(ctx)) // the browser lives as long as this context
	ctx, cancelTime := context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(cancelTime)
	c.Context = ctx
	must(t, chromedp.Listen(ctx, c.listen))
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
	case *runtime.EventExceptionThrown:
		c.complaints = append(c.complaints, e.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		c.complaints = append(c.complaints, "a dialog opened: "+e.Message)
	}
}

func (c *chromium) run(actions ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	must(c.t, chromedp.Do(c, actions...))
}

// value runs an action that gives one.
func value[T any](c *chromium, a chromedp.Action[T]) T {
	c.t.Helper()
	v, err := chromedp.Run(c, a)
	must(c.t, err)
	return v
}

// quiet fails when a page complained: a policy violated, a script broken.
func (c *chromium) quiet() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.complaints) > 0 {
		c.t.Errorf("the browser complains:\n%s", strings.Join(c.complaints, "\n"))
	}
}

func (c *chromium) shot(name string) {
	c.t.Helper()
	png := value(c, chromedp.FullScreenshot(100))
	must(c.t, os.WriteFile(filepath.Join(os.Getenv("RIALTO_SCREENSHOT_DIR"), name+".png"), png, 0o644))
}

func test(name string) chromedp.CSS { return chromedp.CSS(`[data-test="` + name + `"]`) }

// newLoopbackWorld runs the room without TLS under ops.localhost, as the demo
// does: browsers treat that name as trustworthy.
func newLoopbackWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: testkit.NewClock(), log: &logs{}, webhooks: &webhooks{}}
	w.server = httptest.NewUnstartedServer(nil)
	w.build()
	_, port, err := net.SplitHostPort(w.server.Listener.Addr().String())
	must(t, err)
	w.server.Start()
	w.server.URL = "http://ops.localhost:" + port
	t.Cleanup(w.server.Close)
	t.Cleanup(w.room.Close)
	return w
}

func (c *chromium) signIn(w *world) {
	c.t.Helper()
	c.run(chromedp.Navigate(w.server.URL+"/"), chromedp.WaitVisible(test("login")),
		chromedp.SendKeys(chromedp.CSS("#token"), token), chromedp.Click(test("login")), chromedp.WaitVisible(test("logout")))
}

// key presses a key as a keyboard does: what the page prevents is not typed.
func (c *chromium) key(k string) {
	c.t.Helper()
	send(c, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: k, Text: k})
	send(c, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: k})
}

func TestOperatorWorksByKeyboard(t *testing.T) {
	w := newLoopbackWorld(t)
	w.create("Deposit 1")
	p := w.create("Deposit 2")
	c := newChromium(t)
	c.signIn(w)
	focused := func() string {
		return value(c, chromedp.Evaluate[string](`document.activeElement.id || document.activeElement.title`))
	}
	c.key("j")
	if got := focused(); got != p.ID {
		t.Errorf("j leads to %q", got)
	}
	c.key("?")
	c.run(chromedp.WaitVisible(chromedp.CSS("dialog[open]")))
	c.run(chromedp.Click(chromedp.CSS("dialog .button")), chromedp.WaitNotVisible(chromedp.CSS("#keys")))
	c.key("/")
	if got := focused(); got != "q" {
		t.Errorf("/ leads to %q", got)
	}
	if got := value(c, chromedp.Evaluate[string](`document.activeElement.value`)); got != "" {
		t.Errorf("the key itself was typed: %q", got)
	}
	c.run(chromedp.KeyEvent("Deposit 2\r"), chromedp.WaitVisible(test("payment-id"))) // the letters of other keys are just letters here
	if got := strings.TrimSpace(value(c, chromedp.TextContent(test("payment-id")))); got != p.ID {
		t.Errorf("found %q", got)
	}
	if got := value(c, chromedp.Evaluate[string](`location.pathname + location.search`)); got != "/search" {
		t.Errorf("the search is at %q", got)
	}
	c.quiet()
}

func TestForeignTextRunsNowhere(t *testing.T) { // B14
	w := newLoopbackWorld(t)
	evil := `<img src=x onerror=alert(1)>"'><script>alert(2)</script>`
	p := w.create(evil, func(p *psd2.Payment) { p.Personal.Payee.Name = `</title><svg onload=alert(3)>` })
	w.attempt(p.ID, evil)
	w.report(p.ID, evil, evil)
	w.webhooks.list = []ops.Delivery{{ID: evil, Type: evil, Host: evil, State: evil, Tries: []ops.Try{{Error: evil}}}}
	c := newChromium(t)
	c.signIn(w)
	c.run(chromedp.Navigate(w.server.URL+"/payments/"+p.ID), chromedp.WaitVisible(test("payment-id")))
	c.quiet()
}

func TestPictures(t *testing.T) {
	if os.Getenv("RIALTO_SCREENSHOT_DIR") == "" {
		t.Skip("RIALTO_SCREENSHOT_DIR names no folder for pictures of the pages")
	}
	w := newLoopbackWorld(t)
	story, unknown := w.busyDay()
	c := newChromium(t)
	c.run(chromedp.Navigate(w.server.URL+"/login"), chromedp.WaitVisible(test("login")))
	for _, lang := range []string{"en", "de"} {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{390, 1280} {
				name := func(page string) string { return fmt.Sprintf("%s-%s-%s-%d", page, lang, scheme, width) }
				c.run(chromedp.EmulateViewport(width, 844))
				send(c, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
				c.run(chromedp.Navigate(w.server.URL+"/login?lang="+lang), chromedp.WaitVisible(test("login")))
				c.shot(name("1-login"))
				c.signIn(w)
				c.shot(name("2-payments"))
				c.run(chromedp.Navigate(w.server.URL+"/payments/"+story), chromedp.WaitVisible(test("payment-id")))
				c.shot(name("3-story"))
				c.run(chromedp.Navigate(w.server.URL+"/payments/"+unknown), chromedp.WaitVisible(test("payment-id")))
				c.shot(name("4-unknown"))
				c.run(chromedp.Navigate(w.server.URL+"/banks"), chromedp.WaitVisible(test("summary")))
				c.shot(name("5-banks"))
				c.run(chromedp.SendKeys(chromedp.CSS("#q"), payerIBAN), chromedp.Click(test("search")), chromedp.WaitVisible(test("searched")))
				c.shot(name("6-search"))
				c.key("?")
				c.run(chromedp.WaitVisible(chromedp.CSS("dialog[open]")))
				c.shot(name("7-keys"))
				c.run(chromedp.Click(chromedp.CSS("dialog .button")), chromedp.WaitNotVisible(chromedp.CSS("#keys")))
				c.run(chromedp.Click(test("logout")), chromedp.WaitVisible(test("login")))
				w.clock.Add(time.Minute)
			}
		}
	}
	c.quiet()
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
	w.registry.Observe("sandbank", nil, 120*time.Millisecond)
	for range 10 {
		w.registry.Observe("cafe", &banks.Error{Kind: banks.Unavailable}, time.Second)
	}
	return story, unknown
}
