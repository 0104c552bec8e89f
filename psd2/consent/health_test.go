package consent_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/rialto-hub/rialto/banks"
)

// TestStatusPageShowsHowEachBankDoes: to anybody, in shares and times, and never
// how many payments there were.
func TestStatusPageShowsHowEachBankDoes(t *testing.T) {
	w := newWorld(t)
	for range 997 {
		w.registry.Observe("sandbank", banks.Redirect, nil, 40*time.Millisecond)
	}
	for range 3 {
		w.registry.Observe("sandbank", banks.Redirect, &banks.Error{Kind: banks.Uncertain}, 20*time.Second)
	}
	w.clock.Add(time.Second)
	b := w.browser()
	page := b.get("/status").want(http.StatusOK)
	text := page.main()
	for _, want := range []string{"Sandbank", "Does not answer", "99.7%", "50\u00a0ms", "Not every bank"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q: %s", want, text)
		}
	}
	for _, never := range []string{"997", "1000", "Closed Bank", "<script>alert"} {
		if strings.Contains(page.body, never) {
			t.Errorf("the page says %q", never)
		}
	}
	charts := 0
	first(page.doc, func(n *html.Node) bool {
		if n.Data == "svg" && attr(n, "role") == "img" && strings.Contains(attr(n, "aria-label"), "last seven days") {
			charts++
		}
		return false
	})
	if charts != 3 {
		t.Errorf("%d charts with words", charts)
	}
	b.lang = "de"
	if text := b.get("/status").want(http.StatusOK).main(); !strings.Contains(text, "99,7\u00a0%") || !strings.Contains(text, "Antwortet nicht") {
		t.Error(text)
	}
}
