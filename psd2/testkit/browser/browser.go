// Package browser is a person at headless Chromium, for tests. Whatever the
// console or the Content-Security-Policy complains about is kept, and Quiet
// fails the test for it.
package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/rialto-hub/rialto/psd2/testkit"
)

// Options of a browser. The zero value is an English desktop with JavaScript.
type Options struct {
	Name     string // in screenshots and messages
	Language string // Accept-Language
	Width    int64
	Dark     bool
	NoScript bool
}

// Browser is one browser with one tab and its own cookies.
type Browser struct {
	t    testing.TB
	ctx  context.Context
	name string

	mu         sync.Mutex
	complaints []string
	bytes      map[network.RequestID]int64 // of what crossed the wire
	urls       map[network.RequestID]string
	shots      int
	axe        string // the script, once Axe has been called
}

// Open starts a browser that ends with the test.
func Open(t testing.TB, o Options) *Browser {
	t.Helper()
	if o.Width == 0 {
		o.Width = 1280
	}
	if o.Language == "" {
		o.Language = "en"
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(testkit.Tool(t, "chromium", "chromium-browser", "google-chrome")),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("lang", o.Language))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(cancel)
	ctx, cancelTab := chromedp.NewContext(ctx)
	t.Cleanup(cancelTab)
	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as this context
		t.Fatal(err)
	}
	ctx, cancelTime := context.WithTimeout(ctx, patience())
	t.Cleanup(cancelTime)
	b := &Browser{t: t, ctx: ctx, name: o.Name, bytes: map[network.RequestID]int64{}, urls: map[network.RequestID]string{}}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	Send(b, network.Enable, network.EnableParams{})
	Send(b, log.Enable, cdp.Empty{})
	Send(b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": o.Language}})
	Send(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: o.NoScript})
	b.Look(o.Width, o.Dark)
	return b
}

// patience is how long a browser may take for all of a test: four minutes, or
// $RIALTO_BROWSER_PATIENCE where a test is meant to fail.
func patience() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("RIALTO_BROWSER_PATIENCE")); err == nil {
		return d
	}
	return 4 * time.Minute
}

// Look sets the window's width and the colours the person prefers.
func (b *Browser) Look(width int64, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	Send(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	b.Do("set the window", chromedp.EmulateViewport(width, 900))
}

// Send gives the tab a protocol command.
func Send[P, R any](b *Browser, command cdp.Command[P, R], params P) {
	b.t.Helper()
	Ask(b, command, params)
}

// Ask is Send for a command with an answer.
func Ask[P, R any](b *Browser, command cdp.Command[P, R], params P) (answer R) {
	b.t.Helper()
	b.Do("send a command", chromedp.Func(func(ctx context.Context, t *chromedp.Target) (err error) {
		answer, err = cdp.Call(ctx, t, command, params)
		return err
	}))
	return answer
}

func (b *Browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.complaints = append(b.complaints, e.Entry.Text+" "+e.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			b.complaints = append(b.complaints, fmt.Sprint(e.Args))
		}
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, e.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		b.complaints = append(b.complaints, "a dialog opened: "+e.Message)
	case *network.EventRequestWillBeSent:
		b.urls[e.RequestID] = e.Request.URL
	case *network.EventLoadingFinished:
		b.bytes[e.RequestID] += int64(e.EncodedDataLength)
	}
}

// Do runs actions and fails the test when one does not work.
func (b *Browser) Do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		at, _ := chromedp.Run(b.ctx, chromedp.Location()) // for the message
		b.Shot("failed")
		b.t.Fatalf("%s: %s: %v (at %s)", b.name, what, err, at)
	}
}

// Value runs an action that gives one.
func Value[T any](b *Browser, a chromedp.Action[T]) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, a)
	if err != nil {
		b.t.Fatalf("%s: %v", b.name, err)
	}
	return v
}

// Named selects what carries that data-test name.
func Named(name string) chromedp.CSS { return chromedp.CSS(`[data-test="` + name + `"]`) }

// Go opens an address and waits for something on its page.
func (b *Browser) Go(url string, wait chromedp.CSS) {
	b.t.Helper()
	b.Do("go to "+url, chromedp.Navigate(url), chromedp.WaitVisible(wait))
}

// Wait waits until something is to be seen.
func (b *Browser) Wait(what chromedp.CSS) {
	b.t.Helper()
	b.Do("wait for "+string(what), chromedp.WaitVisible(what))
}

// Press clicks something and waits for something that this page does not show
// yet, usually on the next page. Where it does, Leave waits for the other page.
func (b *Browser) Press(what, wait chromedp.CSS) {
	b.t.Helper()
	b.Do("press "+string(what), chromedp.Click(what), chromedp.WaitVisible(wait))
}

// Leave clicks something that leads to another page and waits for something
// there, even if this page shows the like of it too.
func (b *Browser) Leave(what, wait chromedp.CSS) {
	b.t.Helper()
	Value(b, chromedp.Evaluate[string](`document.documentElement.dataset.left = "yes"`))
	b.Press(what, "html:not([data-left]) "+wait)
}

// Type types into a field.
func (b *Browser) Type(field chromedp.CSS, text string) {
	b.t.Helper()
	b.Do("type into "+string(field), chromedp.SendKeys(field, text))
}

// Text is what an element says.
func (b *Browser) Text(what chromedp.CSS) string {
	b.t.Helper()
	return strings.TrimSpace(Value(b, chromedp.TextContent(what)))
}

// Key presses a key as a keyboard does: what the page prevents is not typed. It
// waits for the page's scripts, one of which may listen.
func (b *Browser) Key(k string) {
	b.t.Helper()
	Value(b, chromedp.Poll[bool](`document.readyState === "complete"`))
	Send(b, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: k, Text: k})
	Send(b, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: k})
}

// Weight is how many bytes have crossed the wire from a host so far, as they
// were encoded.
func (b *Browser) Weight(host string) (total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, n := range b.bytes {
		if strings.Contains(b.urls[id], host) {
			total += n
		}
	}
	return total
}

// Shot keeps a screenshot in $RIALTO_SCREENSHOT_DIR, else in screenshots/,
// which is not committed.
func (b *Browser) Shot(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Logf("screenshot %s: %v", name, err)
		return
	}
	dir := os.Getenv("RIALTO_SCREENSHOT_DIR")
	if dir == "" {
		dir = filepath.Join(testkit.Root(b.t), "screenshots")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.shots++
	file := filepath.Join(dir, fmt.Sprintf("%s-%02d-%s.png", b.name, b.shots, name))
	if err := os.WriteFile(file, png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// Complaints is what the pages complained about so far.
func (b *Browser) Complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.complaints)
}

// Quiet fails the test when a page complained: a policy violated, a script
// broken, a file missing.
func (b *Browser) Quiet() {
	b.t.Helper()
	for _, c := range b.Complaints() {
		b.t.Errorf("%s: the browser complained: %s", b.name, c)
	}
}
