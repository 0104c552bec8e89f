package app_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/psd2"
)

// A payer who came from a payment finds the way back to it from his factors,
// and from the page that says he is out. Nothing but a payment's id leads back.
func TestPayerGoesBackToHisPayment(t *testing.T) {
	w := newWorld(t, false)
	w.withTOTP()
	id := psd2.DeriveID(psd2.PrefixPayment, [16]byte{1})
	for from, want := range map[string]string{id: "/pay/" + id, "//evil.example": "", id + "/../../evil": "", "": ""} {
		c := w.client()
		link := strings.TrimPrefix(w.enrolLink(), w.origin) + "?payment=" + url.QueryEscape(from)
		_, page, _ := w.get(c, link)
		_, action, _ := strings.Cut(page, `action="`)
		action, _, _ = strings.Cut(action, `"`)
		if _, _, res := w.post(c, action, nil); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("%q leads to %d", action, res.StatusCode)
		}
		_, factors, _ := w.get(c, "/sca/factors")
		if got := strings.Contains(factors, `data-test="back"`); got != (want != "") || !strings.Contains(factors, `href="`+want) {
			t.Errorf("from %q the page of factors has a way back: %v", from, got)
		}
		if _, out, _ := w.post(c, "/sca/out", nil); strings.Contains(out, `href="/pay/`) != (want != "") {
			t.Errorf("from %q the last page says\n%s", from, out)
		}
	}
}
