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
	Number  string // while the push device is asked
	State   string
}

// verifyPage is GET /sca/verify.
func (v *visit) verifyPage() error {
	state, _, err := v.SCA.VerifyAsked(v.ctx(), v.session)
	switch {
	case err != nil:
		return err
	case state == sca.Approved && v.fresh():
		return v.away("/sca/factors")
	}
	return v.showVerify(http.StatusOK, "")
}

func (v *visit) showVerify(status int, wrong string) error {
	list, err := v.SCA.Factors(v.ctx(), v.session.PersonID)
	if err != nil {
		return err
	}
	p := verifyPage{Methods: map[string]bool{}, Wrong: wrong}
	for _, f := range list {
		p.Methods[string(f.Method)] = !f.Blocked || p.Methods[string(f.Method)]
	}
	out := page.Page{Name: "verify", Status: status, Title: v.say("verify.title"), Self: &url.URL{Path: "/sca/verify"}, Scripts: []string{"passkey.js", "live.js"}}
	state, number, err := v.SCA.VerifyAsked(v.ctx(), v.session)
	if err != nil {
		return err
	}
	if state == sca.Open {
		p.Number, p.State, out.Refresh = number, string(state), 5*time.Second
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

// verifyLive is server-sent events: "state" when the device has answered.
func (v *visit) verifyLive() error {
	if site := v.Request().Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return echo.ErrForbidden
	}
	shown := ""
	edge.Stream{Pause: livePause, Closed: v.closed}.Serve(v.Response(), v.Request(), func() (string, bool) {
		state, _, err := v.SCA.VerifyAsked(v.ctx(), v.session)
		if err != nil {
			return "", false
		}
		events := ""
		if string(state) != shown {
			events, shown = "event: state\ndata: "+string(state)+"\n\n", string(state)
		}
		return events, state == sca.Open
	})
	return nil
}
