package app

import (
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/sca"
)

type verifyPage struct {
	Methods map[string]bool
	Wrong   string
	Hint    string // how long codes are
	Number  string // while the push device is asked
	State   string
	Seconds int  // the device still has
	More    bool // it can have more
	Idle    int
}

// verifyPage is GET /sca/verify.
func (v *visit) verifyPage() error {
	asked, err := v.SCA.VerifyAsked(v.ctx(), v.session)
	switch {
	case err != nil:
		return err
	case asked.State == sca.Approved && v.fresh():
		return v.away("/sca/factors")
	}
	return v.showVerify(http.StatusOK, "")
}

func (v *visit) showVerify(status int, wrong string) error {
	list, err := v.SCA.Factors(v.ctx(), v.session.PersonID)
	if err != nil {
		return err
	}
	p := verifyPage{Methods: map[string]bool{}, Wrong: wrong, Hint: v.codeHint(list), Idle: v.idle()}
	for _, f := range list {
		p.Methods[string(f.Method)] = !f.Blocked || p.Methods[string(f.Method)]
	}
	out := page.Page{Name: "verify", Status: status, Title: v.say("verify.title"), Self: &url.URL{Path: "/sca/verify"}, Scripts: []string{"passkey.js", "live.js", "limit.js"}}
	asked, err := v.SCA.VerifyAsked(v.ctx(), v.session)
	if err != nil {
		return err
	}
	if asked.State == sca.Open {
		p.Number, p.State, out.Refresh = asked.Number, string(asked.State), 5*time.Second
		p.Seconds, p.More = int(asked.ExpiresAt.Sub(v.Now())/time.Second), asked.More
	}
	out.Data = p
	return v.show(out)
}

// verifyCode is POST /sca/verify: a code of the app, or a recovery code.
func (v *visit) verifyCode() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	method := sca.TOTP
	if form.Get("method") == string(sca.Recovery) {
		method = sca.Recovery
	}
	err = v.SCA.VerifyCode(v.ctx(), v.session, method, form.Get("code"))
	if sca.Refused(err) {
		return v.showVerify(http.StatusUnauthorized, v.say("refused"))
	}
	if err != nil {
		return err
	}
	return v.away("/sca/factors")
}

func (v *visit) verifyOptions() error {
	c, err := v.SCA.BeginVerify(v.ctx(), v.session)
	if err != nil {
		return err
	}
	return v.answer(map[string]any{"id": c.ID, "get": c.Options})
}

func (v *visit) verifyPasskey() error {
	id, _, response, err := v.credential()
	if err != nil {
		return err
	}
	if err := v.SCA.VerifyPasskey(v.ctx(), v.session, id, response); err != nil {
		return err
	}
	return v.next("/sca/factors")
}

// verifyPush is POST /sca/verify/push: the person's own device is asked.
func (v *visit) verifyPush() error {
	if _, err := v.form(); err != nil {
		return err
	}
	err := v.SCA.AskVerify(v.ctx(), v.session, string(v.lang))
	switch {
	case err != nil && psd2.CodeOf(err) == psd2.CodeRateLimited:
		return v.showVerify(http.StatusTooManyRequests, v.say("pay.push_limit"))
	case sca.Refused(err):
		return v.showVerify(http.StatusUnauthorized, v.say("refused"))
	case err != nil:
		return err
	}
	return v.away("/sca/verify")
}

// verifyMore is POST /sca/verify/more: more time for the device that was asked.
func (v *visit) verifyMore() error {
	if _, err := v.form(); err != nil {
		return err
	}
	if err := v.SCA.MoreVerify(v.ctx(), v.session); err != nil && psd2.CodeOf(err) != psd2.CodeConflict {
		return err
	}
	return v.away("/sca/verify")
}

// verifyLive is server-sent events: "state" when the device has answered.
func (v *visit) verifyLive() error {
	if site := v.Request().Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return echo.ErrForbidden
	}
	leave, err := v.streams.Enter("person/" + v.session.PersonID)
	if err != nil {
		return err
	}
	defer leave()
	shown := ""
	edge.Stream{Pause: livePause, Closed: v.closed}.Serve(v.Response(), v.Request(), func() (string, bool) {
		asked, err := v.SCA.VerifyAsked(v.ctx(), v.session)
		if err != nil {
			return "", false
		}
		events, state := "", asked.State
		if string(state) != shown {
			events, shown = "event: state\ndata: "+string(state)+"\n\n", string(state)
		}
		return events, state == sca.Open
	})
	return nil
}
