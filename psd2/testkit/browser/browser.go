// Package browser is a person at headless Chromium, for tests. Whatever the
// console or the Content-Security-Policy complains about is kept, and Quiet
// fails the test for it.
package browser

import (
	"context"
	"fmt"
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
	shots      int
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
	ctx, cancelTime := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancelTime)
	b := &Browser{t: t, ctx: ctx, name: o.Name}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	Send(b, network.Enable, network.EnableParams{})
	Send(b, log.Enable, cdp.Empty{})
	Send(b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": o.Language}})
	Send(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: o.NoScript})
	scheme := "light"
	if o.Dark {
		scheme = "dark"
	}
	Send(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	b.Do("set the window", chromedp.EmulateViewport(o.Width, 900))
	return b
}

// Send gives the tab a protocol command.
func Send[P, R any](b *Browser, command cdp.Command[P, R], params P) {
	b.t.Helper()
	b.Do("send a command", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	}))
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

// Named selects what carries that data-test name.
func Named(name string) chromedp.CSS { return chromedp.CSS(`[data-test="` + name + `"]`) }

// Go opens an address and waits for something on its page.
func (b *Browser) Go(url string, wait chromedp.CSS) {
	b.t.Helper()
	b.Do("go to "+url, chromedp.Navigate(url), chromedp.WaitVisible(wait))
}

// Press clicks something and waits for something, usually on the next page.
func (b *Browser) Press(what, wait chromedp.CSS) {
	b.t.Helper()
	b.Do("press "+string(what), chromedp.Click(what), chromedp.WaitVisible(wait))
}

// Type types into a field.
func (b *Browser) Type(field chromedp.CSS, text string) {
	b.t.Helper()
	b.Do("type into "+string(field), chromedp.SendKeys(field, text))
}

// Text is what an element says.
func (b *Browser) Text(what chromedp.CSS) string {
	b.t.Helper()
	s, err := chromedp.Run(b.ctx, chromedp.TextContent(what))
	if err != nil {
		b.t.Fatalf("%s: read %s: %v", b.name, what, err)
	}
	return strings.TrimSpace(s)
}

// Shot keeps a screenshot in screenshots/, which is not committed.
func (b *Browser) Shot(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Logf("screenshot %s: %v", name, err)
		return
	}
	dir := filepath.Join(testkit.Root(b.t), "screenshots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.shots++
	file := filepath.Join(dir, fmt.Sprintf("%s-%02d-%s.png", b.name, b.shots, name))
	if err := os.WriteFile(file, png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// Quiet fails the test when a page complained: a policy violated, a script
// broken, a file missing.
func (b *Browser) Quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		b.t.Errorf("%s: the browser complained: %s", b.name, c)
	}
}
