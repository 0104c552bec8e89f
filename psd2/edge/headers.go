package edge

import (
	"net/http"
	"strings"
)

// bareCSP is the policy of an answer that is no page.
const bareCSP = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// SecurityHeaders puts on every answer of h, errors too, what tells a browser
// to be careful with it. csp is the room's Content-Security-Policy, "" for a
// room without pages; frame-ancestors 'none' is added when it is missing. A
// handler may replace any of them for one answer, e.g. Cache-Control on an
// asset or form-action on a page that leads to a bank.
func SecurityHeaders(csp string, h http.Handler) http.Handler {
	if csp == "" {
		csp = bareCSP
	}
	if !strings.Contains(csp, "frame-ancestors") {
		csp += "; frame-ancestors 'none'"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		setBaseHeaders(header, r)
		header.Set("Content-Security-Policy", csp)
		header.Set("Cache-Control", "no-store")
		h.ServeHTTP(w, r)
	})
}

// setBaseHeaders sets those that are the same everywhere. Referrer-Policy is
// same-origin and not no-referrer, which would turn the Origin of our own
// forms into "null".
func setBaseHeaders(header http.Header, r *http.Request) {
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	if r.TLS != nil || IsSecure(r.Context()) {
		header.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
}
