package console_test

import (
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/compliance"
	chromium "github.com/rialto-hub/rialto/psd2/testkit/browser"
)

// TestConsoleIsAccessible holds every page against axe-core, in every look, in
// both languages.
func TestConsoleIsAccessible(t *testing.T) {
	for _, lang := range []string{"en", "de"} { // a browser each: together they take a loaded machine too long
		t.Run(lang, func(t *testing.T) { accessible(t, lang) })
	}
}

func accessible(t *testing.T, lang string) {
	w := newWorld(t)
	open, filed := w.busyWeek()
	change := w.drafted(anna, "threshold_count", "4")
	must(t, w.SetLegalHold(ctx, maria, w.db.PersonID(merchantID, "anton"), "court order 5"))
	b := sits(t, w, maria)
	b.Axe()
	for _, path := range []string{"/queue", "/queue?bucket=proposed", "/cases/" + open, "/cases/" + filed, "/cases/" + open + "/report?step=facts",
		"/cases/" + open + "/report?step=payments", "/cases/" + open + "/report?step=check", "/alerts/" + w.alertOf(&compliance.Case{ID: open}), "/rules",
		"/rules/changes", change, "/screening", "/runs", "/holds", "/audit", "/keeping", "/nowhere"} {
		w.badges.refresh()
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		ready := chromium.Named("me")
		if path == "/nowhere" {
			ready = "h1"
		}
		b.Go(w.server.URL+path+sep+"lang="+lang, ready)
		b.Accessible(lang + " " + path)
		if path == change {
			b.Press(chromium.Named("backtest"), chromium.Named("tested"))
			b.Accessible(lang + " a backtest")
		}
	}
}
