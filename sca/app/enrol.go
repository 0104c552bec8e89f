package app

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/sca"
)

// isToken reports whether a path holds something like a token of ours.
func isToken(s string) bool { return len(s) == 43 }

// link is GET of a one-time link: a page with a button. Previews, prefetches
// and scanners spend nothing.
func (v *visit) link() error {
	if !isToken(v.Param("token")) {
		return psd2.NotFound("page")
	}
	kind := "enrol"
	if v.Path() == "/sca/phone/:token" {
		kind = "phone"
	}
	action := v.Request().URL.EscapedPath()
	if from := v.QueryParam("payment"); psd2.IsID(psd2.PrefixPayment, from) {
		action += "?payment=" + from
	}
	if v.Staff != nil {
		kind += "_staff"
	}
	return v.show(page.Page{Name: "link", Title: v.say("link." + kind + ".title"), Data: map[string]string{
		"Lead": v.say("link." + kind + ".lead"), "Button": v.say("link." + kind + ".button"), "Action": action}})
}

// enter is POST /sca/enrol/{token}.
func (v *visit) enter() error {
	secret, err := v.SCA.OpenEnrolment(v.ctx(), v.Param("token"))
	if sca.Refused(err) {
		return echo.NewHTTPError(http.StatusGone)
	}
	if err != nil {
		return err
	}
	v.setCookie(enrolCookie, secret, 30*time.Minute)
	if from := v.QueryParam("payment"); psd2.IsID(psd2.PrefixPayment, from) {
		v.setCookie(fromCookie, from, 30*time.Minute)
	}
	return v.away("/sca/factors")
}

// own serves a person at his own factors. Staff come with their session as
// well, which they have proved themselves for.
func own(h func(*visit) error) func(*visit) error { return atOwn(h, true) }

// watching is own for what a page does by itself: it does not count as use.
func watching(h func(*visit) error) func(*visit) error { return atOwn(h, false) }

func atOwn(h func(*visit) error, touch bool) func(*visit) error {
	return func(v *visit) (err error) {
		v.session, err = v.ownSession(touch)
		if sca.NoSession(err) {
			return v.noSession()
		}
		if err != nil {
			return err
		}
		return h(v)
	}
}

func (v *visit) ownSession(touch bool) (sca.Session, error) {
	if v.Staff != nil {
		if _, err := v.Staff.Watching(v.Request()); err == nil { // roles unchanged
			return v.SCA.Session(v.ctx(), sca.SessionStaff, v.cookie(sca.StaffCookie), touch)
		}
	}
	return v.SCA.Session(v.ctx(), sca.SessionEnrol, v.cookie(enrolCookie), touch)
}

// idle is how many seconds a person's session still has when nothing is done.
func (v *visit) idle() int { return int(v.session.EndsAt.Sub(v.Now()) / time.Second) }

// stay is POST /sca/stay: somebody is still there (WCAG 2.2.1). A script asks,
// so that what a page shows only once stays on it.
func (v *visit) stay() error {
	if !wantsJSON(v.Request()) {
		return v.away("/sca/factors")
	}
	return v.answer(map[string]int{"seconds": v.idle()})
}

// noSession says that a session is over, or was never there.
func (v *visit) noSession() error {
	if wantsJSON(v.Request()) {
		return psd2.Fail(psd2.CodeUnauthorized, "session_over", "the session is over")
	}
	return v.show(page.Page{Name: "error", Status: http.StatusUnauthorized, Title: v.say("over.title"), Data: page.Problem{Lead: v.say("over.lead"), Next: v.say("over.next")}})
}

// shownOnce is GET of what only a POST shows: it is gone.
func (v *visit) shownOnce() error { return echo.NewHTTPError(http.StatusGone) }

// changeLine is one of a person's changes in his language.
type changeLine struct {
	At   time.Time
	Text string
}

// blockedLine is a method that takes no tries now.
type blockedLine struct {
	Method sca.Method
	Text   string
	Here   bool // it can be unblocked in this session, if another method proved it
}

type factorsPage struct {
	Factors []sca.Factor
	Blocked []blockedLine
	Changes []changeLine
	Idle    int  // seconds
	Help    bool // he has nothing to fall back on: no recovery codes
	Payer   bool
	Fresh   bool // a change needs no further proof now
	Methods map[string]bool
	Notice  string
	Back    page.Link // to the payment he came from; for staff, to their work
	Trusted []sca.Payee
	Others  []sca.Payee // whom he may trust
	Strong  bool        // he has something with which that list is changed
}

// factors is GET /sca/factors.
func (v *visit) factors() error {
	list, err := v.SCA.Factors(v.ctx(), v.session.PersonID)
	if err != nil {
		return err
	}
	changes, err := v.SCA.Changes(v.ctx(), v.session.PersonID, 10)
	if err != nil {
		return err
	}
	p := factorsPage{Factors: list, Payer: v.Staff == nil, Fresh: len(list) == 0 || v.fresh(), Methods: map[string]bool{}, Changes: v.lines(changes), Idle: v.idle()}
	if p.Blocked, err = v.blocked(); err != nil {
		return err
	}
	for _, f := range list {
		p.Methods[string(f.Method)] = true
	}
	if p.Payer {
		if p.Trusted, p.Others, err = v.SCA.Trusted(v.ctx(), v.session.PersonID); err != nil {
			return err
		}
		p.Strong = p.Methods[string(sca.Passkey)] || p.Methods[string(sca.Push)]
	}
	p.Back = v.back()
	p.Help = len(list) > 0 && !p.Methods[string(sca.Recovery)]
	if v.QueryParam("done") != "" {
		p.Notice = v.say("factors.done")
	}
	return v.show(page.Page{Name: "factors", Title: v.say("factors.title"), Self: &url.URL{Path: "/sca/factors"}, Scripts: []string{"passkey.js", "limit.js"}, Data: p})
}

// back is where a person goes from his factors. Href is "" when that is nowhere.
func (v *visit) back() page.Link {
	if v.Staff != nil {
		return page.Link{Href: v.Home, Text: v.say("factors.work")}
	}
	if from := v.cookie(fromCookie); psd2.IsID(psd2.PrefixPayment, from) {
		return page.Link{Href: "/pay/" + from, Text: v.say("factors.payment")}
	}
	return page.Link{}
}

// lines are changes in the reader's language.
func (v *visit) lines(changes []sca.Change) []changeLine {
	list := make([]changeLine, len(changes))
	for i, c := range changes {
		list[i] = changeLine{c.At, v.say("change." + c.What)}
		if c.Method != "" && c.What != sca.FactorCloned {
			list[i].Text = v.say("change.of", "method", v.say("method."+string(c.Method)), "text", list[i].Text)
		}
	}
	return list
}

// recent are the changes that a person is shown wherever he confirms.
func (v *visit) recent(personID string) ([]changeLine, error) {
	changes, err := v.SCA.Recent(v.ctx(), personID)
	return v.lines(changes), err
}

// blocked says which methods take no tries, and until when.
func (v *visit) blocked() ([]blockedLine, error) {
	methods, err := v.SCA.Blocked(v.ctx(), v.session.PersonID)
	var list []blockedLine
	for _, m := range []sca.Method{sca.Passkey, sca.Push, sca.TOTP, sca.Recovery} {
		until, ok := methods[m]
		if !ok {
			continue
		}
		text := v.say("blocked.locked", "method", v.say("method."+string(m)))
		if !until.IsZero() {
			text = v.say("blocked.until", "method", v.say("method."+string(m)), "time", page.Moment(v.lang, v.pages.Local(until)))
		}
		list = append(list, blockedLine{m, text, v.fresh()})
	}
	return list, err
}

// unblock is POST /sca/unblock. Whoever has not proved himself with another
// method is sent to do so.
func (v *visit) unblock() error {
	form, err := v.form()
	if err == nil {
		err = v.SCA.Unblock(v.ctx(), v.session, sca.Method(form.Get("method")))
	}
	if err != nil {
		return v.reauthenticate(err)
	}
	return v.away("/sca/factors?done=1")
}

// trust is POST /sca/trust. Who has not proved himself just now, with a passkey or
// his phone, is sent to do so (RTS Art. 13(1)).
func (v *visit) trust() error {
	return v.amend(v.SCA.Trust)
}

func (v *visit) distrust() error {
	return v.amend(v.SCA.Distrust)
}

func (v *visit) amend(change func(context.Context, sca.Session, string) error) error {
	form, err := v.form()
	if err == nil && form.Get("payee") != "" { // the box was ticked
		err = change(v.ctx(), v.session, form.Get("payee"))
	}
	if err != nil {
		return v.reauthenticate(err)
	}
	return v.away("/sca/factors?done=1")
}

func (v *visit) fresh() bool {
	return !v.session.VerifiedAt.IsZero() && v.Now().Sub(v.session.VerifiedAt) < 5*time.Minute
}

// reauthenticate sends a person to prove himself when that is what is missing.
func (v *visit) reauthenticate(err error) error {
	var e *psd2.Error
	if !errors.As(err, &e) || e.Reason != "reauthenticate" {
		return err
	}
	if wantsJSON(v.Request()) {
		return v.next("/sca/verify")
	}
	return v.away("/sca/verify")
}

func (v *visit) rename() error {
	form, err := v.form()
	if err == nil {
		err = v.SCA.Rename(v.ctx(), v.session, v.Param("id"), form.Get("name"))
	}
	if err != nil {
		return v.reauthenticate(err)
	}
	return v.away("/sca/factors?done=1")
}

func (v *visit) revoke() error {
	if _, err := v.form(); err != nil {
		return err
	}
	if err := v.SCA.Revoke(v.ctx(), v.session, v.Param("id")); err != nil {
		return v.reauthenticate(err)
	}
	return v.away("/sca/factors?done=1")
}

// out is POST /sca/out.
func (v *visit) out() error {
	if secret := v.cookie(enrolCookie); secret != "" {
		if err := v.SCA.End(v.ctx(), secret); err != nil {
			return err
		}
	}
	v.setCookie(enrolCookie, "", 0)
	v.setCookie(fromCookie, "", 0)
	v.Response().Header().Set("Clear-Site-Data", `"cache"`)
	said := page.Problem{Lead: v.say("out.lead")}
	if back := v.back(); back.Href != "" { // of the request's cookies
		said.Links = []page.Link{back}
	}
	return v.show(page.Page{Name: "error", Title: v.say("out.title"), Data: said})
}

// credential is what passkey.js sends: the ceremony, a name, and the browser's
// credential as JSON in a string, so that the library reads it as it was made.
func (v *visit) credential() (id, name string, response []byte, err error) {
	var c struct {
		ID       string `json:"id"`
		Name     string `json:"name"`
		Response string `json:"response"`
	}
	err = v.read(&c)
	return c.ID, c.Name, []byte(c.Response), err
}

func (v *visit) passkeyOptions() error {
	c, err := v.SCA.BeginPasskey(v.ctx(), v.session, v.account())
	if err != nil {
		return v.reauthenticate(err)
	}
	return v.answer(map[string]any{"id": c.ID, "create": c.Options})
}

// account is what an authenticator shows beside our name.
func (v *visit) account() string {
	if v.Staff != nil {
		if u, err := v.Staff.User(v.ctx(), v.session.PersonID); err == nil {
			return u.Login
		}
	}
	return v.say("account")
}

func (v *visit) passkey() error {
	id, name, response, err := v.credential()
	if err != nil {
		return err
	}
	if name == "" {
		name = v.say("method.passkey")
	}
	if err := v.SCA.FinishPasskey(v.ctx(), v.session, id, response, name); err != nil {
		return v.reauthenticate(err)
	}
	return v.next("/sca/factors?done=1")
}

// totp is POST /sca/totp: the secret is shown once, in the answer itself.
func (v *visit) totp() error {
	if _, err := v.form(); err != nil {
		return err
	}
	setup, err := v.SCA.BeginTOTP(v.ctx(), v.session, v.account())
	if err != nil {
		return v.reauthenticate(err)
	}
	return v.showTOTP(http.StatusOK, totpPage{FactorID: setup.FactorID, URL: setup.URL, Key: setup.Key, Hint: v.digits(setup.Params.Digits)})
}

type totpPage struct {
	FactorID string
	URL      string // "" when the secret has been shown already
	Key      string
	Hint     string
	Wrong    string
	Idle     int
}

func (v *visit) showTOTP(status int, p totpPage) error {
	p.Idle = v.idle()
	return v.show(page.Page{Name: "totp", Status: status, Title: v.say("totp.title"), Scripts: []string{"limit.js"}, Data: p})
}

// digits says how long an app's codes are.
func (v *visit) digits(list ...int) string {
	slices.Sort(list)
	if list = slices.Compact(list); len(list) != 1 {
		return v.say("code.hint_any")
	}
	return v.say("code.hint", "n", list[0])
}

// codeHint is the same for the apps a person has.
func (v *visit) codeHint(factors []sca.Factor) string {
	var list []int
	for _, f := range factors {
		if f.Digits != 0 {
			list = append(list, f.Digits)
		}
	}
	return v.digits(list...)
}

// totpConfirm is POST /sca/totp/confirm. After a wrong code the secret is not
// shown again, but the app still has it.
func (v *visit) totpConfirm() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	name := form.Get("name")
	if name == "" {
		name = v.say("method.totp")
	}
	err = v.SCA.ConfirmTOTP(v.ctx(), v.session, form.Get("factor"), form.Get("code"), name)
	if sca.Refused(err) {
		return v.showTOTP(http.StatusUnauthorized, totpPage{FactorID: form.Get("factor"), Wrong: v.say("refused"), Hint: v.digits(v.SCA.NewDigits())})
	}
	if err != nil {
		return v.reauthenticate(err)
	}
	return v.away("/sca/factors?done=1")
}

// recovery is POST /sca/recovery: ten codes, shown once.
func (v *visit) recovery() error {
	if _, err := v.form(); err != nil {
		return err
	}
	codes, err := v.SCA.NewRecoveryCodes(v.ctx(), v.session)
	if err != nil {
		return v.reauthenticate(err)
	}
	return v.show(page.Page{Name: "recovery", Title: v.say("recovery.title"), Scripts: []string{"limit.js"}, Data: map[string]any{"Codes": codes, "Idle": v.idle()}})
}

// pair is POST /sca/pair: the QR code for the push device.
func (v *visit) pair() error {
	if _, err := v.form(); err != nil {
		return err
	}
	token, err := v.SCA.PairDevice(v.ctx(), v.session)
	if err != nil {
		return v.reauthenticate(err)
	}
	return v.showPair(http.StatusOK, v.Origin+"/sca/device#"+token, "")
}

func (v *visit) showPair(status int, address, wrong string) error {
	return v.show(page.Page{Name: "pair", Status: status, Title: v.say("pair.title"), Scripts: []string{"limit.js"},
		Data: map[string]any{"URL": address, "Wrong": wrong, "Seconds": int(sca.QRLife / time.Second), "Idle": v.idle()}})
}

// pairConfirm is POST /sca/pair/confirm: the number that the device shows.
func (v *visit) pairConfirm() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	id, err := v.SCA.Pairing(v.ctx(), v.session)
	if err != nil {
		return err
	}
	if id == "" {
		return v.showPair(http.StatusConflict, "", v.say("pair.none"))
	}
	err = v.SCA.ConfirmDevice(v.ctx(), v.session, id, form.Get("number"))
	if sca.Refused(err) {
		return v.showPair(http.StatusUnauthorized, "", v.say("pair.wrong"))
	}
	if err != nil {
		return v.reauthenticate(err)
	}
	return v.away("/sca/factors?done=1")
}
