package run

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rialto-hub/rialto/banks/courier"
)

type held []courier.Certificate

func (h held) Certificates() []courier.Certificate { return h }

// TestExpiryIsMeasuredPerBankAndUse: an expired certificate is below zero, and
// who holds none is not there.
func TestExpiryIsMeasuredPerBankAndUse(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	e := expiry{now: func() time.Time { return now }, holders: map[string]Certified{
		"sealed": held{{Use: "qwac", NotAfter: now.Add(time.Hour)}, {Use: "qseal", NotAfter: now.Add(-time.Minute)}},
		"plain":  held(nil),
	}}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(e)
	want := `# HELP rialto_certificate_expiry_seconds Time until our certificate for a counterpart ends; negative once it has.
# TYPE rialto_certificate_expiry_seconds gauge
rialto_certificate_expiry_seconds{bank="sealed",use="qseal"} -60
rialto_certificate_expiry_seconds{bank="sealed",use="qwac"} 3600
`
	page := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	if page.Body.String() != want {
		t.Error(page.Body)
	}
}
