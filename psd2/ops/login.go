package ops

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
)

type loginPage struct {
	Next  string // where to go on, a path of ours
	Ended bool   // the browser brought a session that is over
	Wrong bool   // the token just given was wrong
}

// loginForm is GET /login.
func (v *visit) loginForm() error {
	secret := sessionOf(v.Request())
	next := safeNext(v.QueryParam("next"))
	if secret != "" && v.sessions.valid(secret, true) {
		return v.away(next)
	}
	return v.showLogin(http.StatusOK, loginPage{Next: next, Ended: secret != ""})
}

// login is POST /login. Every try counts, the right one too: otherwise the
// limit would tell which it was.
func (v *visit) login() error {
	if err := v.logins.Check(edge.AddrKey(edge.ClientAddr(v.ctx()))); err != nil {
		edge.Annotate(v.ctx(), "login", "throttled")
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	next := safeNext(form.Get("next"))
	given, want := sha256.Sum256([]byte(strings.TrimSpace(form.Get("token")))), sha256.Sum256([]byte(v.Token))
	if subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
		edge.Annotate(v.ctx(), "login", "refused")
		return v.showLogin(http.StatusForbidden, loginPage{Next: next, Wrong: true})
	}
	if old := sessionOf(v.Request()); old != "" {
		v.sessions.end(old)
	}
	secret, err := v.sessions.begin()
	if err != nil {
		return err
	}
	edge.Annotate(v.ctx(), "login", "accepted")
	setSession(v.Response(), secret)
	return v.away(next)
}

// logout is POST /logout; it needs no session, so that it always succeeds.
func (v *visit) logout() error {
	if secret := sessionOf(v.Request()); secret != "" {
		v.sessions.end(secret)
	}
	edge.Annotate(v.ctx(), "login", "ended")
	setSession(v.Response(), "")
	v.Response().Header().Set("Clear-Site-Data", `"cache"`) // nothing is stored anyway; the back/forward cache is emptied too
	return v.away("/login")
}

func (v *visit) showLogin(status int, l loginPage) error {
	self := &url.URL{Path: "/login"}
	if l.Next != "/payments" {
		self.RawQuery = url.Values{"next": {l.Next}}.Encode()
	}
	return v.show(page.Page{Name: "login", Title: v.say("login.title"), Status: status, Self: self, Layout: "dense", Data: l})
}

// toLogin sends a visitor without session to the login page, which leads back
// to the page he wanted when that is one of ours.
func (v *visit) toLogin() error {
	if v.Staff != nil {
		next := "/payments"
		if v.Request().Method != http.MethodPost {
			next = safeNext(v.Request().URL.Path)
		}
		return v.away(v.Staff.LoginURL(next))
	}
	target := "/login"
	if next := safeNext(v.Request().URL.Path); v.Request().Method != http.MethodPost && next != "/payments" {
		target += "?" + url.Values{"next": {next}}.Encode()
	}
	return v.away(target)
}

// safeNext lets through the paths that exist and nothing that a stranger made
// up: no other host, no other page.
func safeNext(path string) string {
	id, isPayment := strings.CutPrefix(path, "/payments/")
	transfer, isTransfer := strings.CutPrefix(path, "/transfers/")
	switch {
	case path == "/banks", path == "/transfers", path == "/unknown", isPayment && psd2.IsID(psd2.PrefixPayment, id),
		isTransfer && (psd2.IsID(psd2.PrefixRefund, transfer) || psd2.IsID(psd2.PrefixPayout, transfer)):
		return path
	}
	return "/payments"
}
