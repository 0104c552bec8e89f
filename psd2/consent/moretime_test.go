package consent_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
)

// TestPayerCanHaveMoreTimeWithoutJavaScript: WCAG 2.2.1. Every page that waits
// for him says until when, and has a button for more that leads back to it.
func TestPayerCanHaveMoreTimeWithoutJavaScript(t *testing.T) {
	w := newWorld(t)
	id, path := w.start()
	first := w.payment(id).ExpiresAt
	b := w.browser()
	open := b.get(path).want(http.StatusOK)
	w.clock.Add(5 * time.Minute)
	start := field(open, "start")
	if to := b.do(http.MethodPost, path, url.Values{"start": {start}, "more": {"yes"}}).location(); to != "/pay/"+id+"/banks" {
		t.Fatalf("before a browser is bound: %s", to)
	}
	if got := w.payment(id).ExpiresAt; !got.Equal(first.Add(5 * time.Minute)) {
		t.Fatalf("until %s, first %s", got, first)
	}
	for _, page := range []string{"/banks", "/confirm?bank=sandbank"} {
		w.clock.Add(2 * time.Minute)
		shown := b.get("/pay/" + id + page).want(http.StatusOK)
		before := w.payment(id).ExpiresAt
		if to := b.submit(shown, "more-time").location(); to != "/pay/"+id+page {
			t.Errorf("%s leads to %s", page, to)
		}
		if got := w.payment(id).ExpiresAt; !got.Equal(before.Add(2 * time.Minute)) {
			t.Errorf("%s: until %s, before %s", page, got, before)
		}
	}
	shown := b.get("/pay/" + id + "/banks")
	token := attr(shown.find("more-time").Parent, "action")
	if token != "/pay/"+id+"/more" {
		t.Fatalf("the form goes to %s", token)
	}
	b.do(http.MethodPost, token, url.Values{"token": {"x"}}).want(http.StatusForbidden)
	if to := w.browser().do(http.MethodPost, token, url.Values{}); to.StatusCode == http.StatusSeeOther && strings.HasPrefix(to.Header.Get("Location"), "/pay/") {
		t.Error("another browser moves his time")
	}
	w.clock.Add(20 * time.Minute) // too late: the page says that his time is over
	b.submit(shown, "more-time").want(http.StatusSeeOther)
	if over := b.get("/pay/" + id); over.situation() != "expired" {
		t.Errorf("%s", over.main())
	}
}

// field is the value of the first field of that name.
func field(a *answer, name string) string { return attr(first(a.doc, isNamed(name)), "value") }

// TestPageWarnsBeforeItsTimeEnds: in time to ask for more.
func TestPageWarnsBeforeItsTimeEnds(t *testing.T) {
	w := newLoopbackWorld(t)
	c := chromium.Open(t, chromium.Options{Name: "limit", Width: 390})
	id, path := w.start()
	w.clock.Add(w.payment(id).ExpiresAt.Sub(w.clock.Now()) - 90*time.Second) // within the last two minutes
	c.Go(w.server.URL+path, `[data-said].notice`)
	c.Press(chromium.Named("bank-sandbank"), chromium.Named("pay"))
	c.Go(w.server.URL+"/pay/"+id+"/confirm?bank=sandbank", `[data-said].notice`)
	c.Leave(chromium.Named("more-time"), chromium.Named("pay"))
	if got := w.payment(id).ExpiresAt.Sub(w.clock.Now()); got != 15*time.Minute {
		t.Errorf("%s left", got)
	}
	c.Quiet()
}
