package consent_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
	"github.com/rialto-hub/rialto/sca"
)

// TestAmountsReadTheSameInSixLocales: whatever language the reader's browser
// asks for, an amount is written as the page's own language writes it, with
// both decimals and the currency, and in words for the ear. 1.000 is never left
// to be read as 1,000. The browser's own number formats are the judge.
func TestAmountsReadTheSameInSixLocales(t *testing.T) { // B28
	const minor = 102550
	words := map[string]string{"en": "1025 euros and 50 cents", "de": "1025 Euro und 50 Cent"}
	for _, locale := range []struct{ asked, page string }{{"en-GB", "en"}, {"de-AT", "de"}, {"fr-FR", "en"}, {"es-ES", "en"}, {"fi-FI", "en"}, {"et-EE", "en"}} {
		t.Run(locale.asked, func(t *testing.T) {
			w := newLoopbackWorld(t)
			c := chromium.Open(t, chromium.Options{Name: locale.asked, Language: locale.asked})
			_, path := w.start(func(r *hub.StartRequest) { r.Amount = psd2.Euro(minor) })
			plain := func(s string) string { return strings.NewReplacer("\u00a0", " ", "\u202f", " ").Replace(s) }
			judge := func(display string) string {
				return plain(chromium.Value(c, chromedp.Evaluate[string](fmt.Sprintf(
					`new Intl.NumberFormat(document.documentElement.lang, {style: "currency", currency: "EUR", currencyDisplay: %q}).format(%d / 100)`, display, minor))))
			}
			c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
			for _, name := range []string{"bank-sandbank", "pay"} {
				if got := chromium.Value(c, chromedp.Evaluate[string](`document.documentElement.lang`)); got != locale.page {
					t.Errorf("the page speaks %q, want %q", got, locale.page)
				}
				seen := chromium.Value(c, chromedp.Evaluate[string](`document.querySelector(".figure [aria-hidden]").textContent`))
				if want := judge("symbol"); plain(seen) != want {
					t.Errorf("%s: seen %q, want %q", name, plain(seen), want)
				}
				heard := chromium.Value(c, chromedp.Evaluate[string](`document.querySelector(".figure .vh").textContent`))
				if heard != words[locale.page] {
					t.Errorf("%s: heard %q, want %q", name, heard, words[locale.page])
				}
				if name == "bank-sandbank" {
					c.Press(chromium.Named(name), chromium.Named("pay"))
				}
			}
			if button := c.Text(chromium.Named("pay")); !strings.Contains(plain(button), judge("symbol")) {
				t.Errorf("the button says %q", button)
			}
			// What is confirmed and signed names the currency by its code.
			shown, err := sca.Render("p2", locale.page, sca.Linked{Amount: psd2.Euro(minor)})
			if err != nil || !strings.Contains(shown.Text, judge("code")) {
				t.Errorf("shown %q, want %q", shown.Text, judge("code"))
			}
		})
	}
}

// TestPagesListenToNoOtherPage: there is no embedded mode. That no page frames
// ours or keeps a hold of it is in the headers; no script of ours takes messages.
func TestPagesListenToNoOtherPage(t *testing.T) { // B30
	w := newAskingLoopbackWorld(t, "")
	c := chromium.Open(t, chromium.Options{Name: "messages"})
	_, path := w.start()
	listens := func() bool {
		return chromium.Value(c, chromedp.EvaluateAsDevTools[bool](`"message" in getEventListeners(window) || typeof window.onmessage === "function"`))
	}
	c.Go(w.server.URL+path, chromium.Named("bank-sandbank"))
	if listens() {
		t.Error("the choice of banks takes messages")
	}
	c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
	if listens() {
		t.Error("the consent takes messages")
	}
}
