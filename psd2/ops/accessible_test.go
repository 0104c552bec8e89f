package ops_test

import (
	"testing"

	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/ops"
	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
)

// TestPagesAreAccessible holds every page of the operators against axe-core, in
// every look, in both languages.
func TestPagesAreAccessible(t *testing.T) {
	for _, lang := range []string{"en", "de"} {
		var h *hub.Hub
		w := newLoopbackWorld(t, func(d *ops.Deps) { h = d.Hub })
		w.webhooks.endpoints = w.endpoints()
		w.create("Deposit 1")
		p := w.create("Deposit 2")
		w.attempt(p.ID, "sandbank")
		w.recalled(h, w.report(p.ID, "ACSC", ""))
		w.stuck()
		c := chromium.Open(t, chromium.Options{Name: lang, Language: lang})
		c.Axe()
		signIn(c, w, "olga/operator")
		c.Accessible("payments")
		for _, path := range []string{"/payments/" + p.ID, "/banks", "/unknown", "/transfers", "/recalls", "/webhooks"} {
			c.Go(w.server.URL+path, `main h1:not(:has(+ [data-test="lead"]))`) // not the page of an error
			c.Accessible(path)
		}
		c.Go(w.server.URL+"/nowhere", "h1")
		c.Accessible("not found")
	}
}
