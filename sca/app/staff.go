package app

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/sca"
)

func (r *Room) staffRoutes(get, post func(string, func(*visit) error)) {
	get("/staff/login", (*visit).login)
	post("/staff/login", (*visit).loginCode)
	post("/staff/login/options", (*visit).loginOptions)
	post("/staff/login/passkey", (*visit).loginPasskey)
	post("/staff/logout", (*visit).logout)
	post("/sca/password", own((*visit).password))
}

// LoginURL is where somebody without a session goes; next is a path of the same
// origin to come back to.
func LoginURL(next string) string {
	if next = safeNext(next); next == "" {
		return "/staff/login"
	}
	return "/staff/login?" + url.Values{"next": {next}}.Encode()
}

// safeNext lets a path of this origin through, and nothing that a browser could
// read as another one.
func safeNext(next string) string {
	if len(next) > 512 || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsFunc(next, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return ""
	}
	return next
}

type loginPage struct {
	Next  string
	Wrong string
}

func (v *visit) login() error {
	next := safeNext(v.QueryParam("next"))
	if _, err := v.Staff.Session(v.Request()); err == nil {
		return v.away(v.homeOr(next))
	}
	return v.showLogin(http.StatusOK, loginPage{Next: next})
}

func (v *visit) homeOr(next string) string {
	if next == "" {
		return v.Home
	}
	return next
}

func (v *visit) showLogin(status int, l loginPage) error {
	title := "login.title"
	if v.Desk != "" {
		title += "." + v.Desk
	}
	return v.show(page.Page{Name: "login", Status: status, Title: v.say(title), Self: &url.URL{Path: "/staff/login"}, Scripts: []string{"passkey.js"}, Data: l})
}

// loginCode is POST /staff/login.
func (v *visit) loginCode() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	next := safeNext(form.Get("next"))
	secret, _, err := v.Staff.LoginCode(v.ctx(), sca.CodeLogin{Login: form.Get("login"), Password: form.Get("password"), Code: form.Get("code"),
		Address: edge.AddrKey(edge.ClientAddr(v.ctx()))})
	if sca.Refused(err) {
		v.refusedSignIn(sca.Password, form.Get("login"))
		return v.showLogin(http.StatusUnauthorized, loginPage{Next: next, Wrong: v.say("refused")})
	}
	if err != nil {
		return err
	}
	if err := v.signedIn(secret); err != nil {
		return err
	}
	return v.away(v.homeOr(next))
}

// refusedSignIn tells of a sign-in that did not work.
func (v *visit) refusedSignIn(method sca.Method, login string) {
	edge.Annotate(v.ctx(), "login", "refused")
	if v.Refused != nil {
		v.Refused(v.ctx(), method, login)
	}
}

// signedIn gives the browser a session of its own; one it came with ends.
func (v *visit) signedIn(secret string) error {
	edge.Annotate(v.ctx(), "login", "accepted")
	if old := v.cookie(sca.StaffCookie); old != "" {
		if err := v.SCA.End(v.ctx(), old); err != nil {
			return err
		}
	}
	v.setCookie(sca.StaffCookie, secret, 8*time.Hour)
	return nil
}

func (v *visit) loginOptions() error {
	browser := v.cookie(loginCookie)
	if browser == "" {
		var err error
		if browser, err = v.SCA.NewDeviceSecret(); err != nil {
			return err
		}
		v.setCookie(loginCookie, browser, 10*time.Minute)
	}
	c, err := v.Staff.BeginLogin(v.ctx(), sca.SessionHash(browser))
	if err != nil {
		return err
	}
	return v.answer(map[string]any{"id": c.ID, "get": c.Options})
}

func (v *visit) loginPasskey() error {
	id, next, response, err := v.credential()
	if err != nil {
		return err
	}
	secret, _, err := v.Staff.LoginPasskey(v.ctx(), sca.SessionHash(v.cookie(loginCookie)), id, response)
	if err != nil {
		v.refusedSignIn(sca.Passkey, "")
		return err
	}
	if err := v.signedIn(secret); err != nil {
		return err
	}
	return v.next(v.homeOr(safeNext(next)))
}

// logout is POST /staff/logout; it needs no session, so that it always succeeds.
func (v *visit) logout() error {
	if secret := v.cookie(sca.StaffCookie); secret != "" {
		if err := v.SCA.End(v.ctx(), secret); err != nil {
			return err
		}
	}
	v.setCookie(sca.StaffCookie, "", 0)
	v.Response().Header().Set("Clear-Site-Data", `"cache"`)
	return v.away("/staff/login")
}

// password is POST /sca/password.
func (v *visit) password() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	if err := v.SCA.SetPassword(v.ctx(), v.session, form.Get("password")); err != nil {
		return v.reauthenticate(err)
	}
	return v.away("/sca/factors?done=1")
}
