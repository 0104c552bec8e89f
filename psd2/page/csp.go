package page

import (
	"net/http"
	"net/url"
	"strings"
)

// CSP is the policy of every page: nothing but our own files, no inline code
// or style, no frame around it, and forms that end here or at formAction.
//
// Chromium applies form-action to the redirects that follow a form as well: a
// form whose answer is a 303 to a bank needs every origin on the way in its
// page's policy, or the payer's consent is recorded and he stays where he is.
// What is not a plain origin is left out.
func CSP(formAction ...string) string {
	var b strings.Builder
	b.WriteString("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"manifest-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; " +
		"require-trusted-types-for 'script'; trusted-types 'none'; form-action 'self'")
	for _, o := range formAction {
		if IsOrigin(o) {
			b.WriteString(" " + o)
		}
	}
	return b.String()
}

// IsOrigin reports whether s is scheme://host[:port] with http or https and
// nothing else, so that it can stand in a header.
func IsOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" &&
		u.Scheme+"://"+u.Host == s && !strings.ContainsAny(s, " ;,'\"\t\r\n*")
}

// Headers sets what every page leaves with. Same-origin referrers keep link
// tokens from banks and merchants, and, unlike no-referrer, let our own forms
// send their Origin.
func Headers(h http.Header, formAction ...string) {
	h.Set("Content-Security-Policy", CSP(formAction...))
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
	h.Set("Cache-Control", "no-store")
}
