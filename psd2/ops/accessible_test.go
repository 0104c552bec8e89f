package ops_test

import (
	"testing"

	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
)

// TestPagesAreAccessible holds every page of the operators against axe-core, in
// every look, in both languages.
func TestPagesAreAccessible(t *testing.T) {
	for _, lang := range []string{"en", "de"} {
		w := newLoopbackWorld(t)
		w.create("Deposit 1")
		p := w.create("Deposit 2")
		c := chromium.Open(t, chromium.Options{Name: lang, Language: lang})
		c.Axe()
		c.Go(w.server.URL+"/", chromium.Named("login"))
		c.Accessible("sign in")
		signIn(c, w)
		c.Accessible("payments")
		for _, path := range []string{"/payments/" + p.ID, "/banks", "/unknown", "/transfers"} {
			c.Go(w.server.URL+path, `main h1:not(:has(+ [data-test="lead"]))`) // not the page of an error
			c.Accessible(path)
		}
		c.Go(w.server.URL+"/nowhere", "h1")
		c.Accessible("not found")
	}
}
