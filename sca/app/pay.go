package app

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/sca"
)

// asked finds the challenge in the path for the browser that is bound to its
// payment, or for the phone it was handed to. Everybody else is told that there
// is none.
func asked(h func(*visit) error) func(*visit) error {
	return func(v *visit) (err error) {
		payment, id := v.Param("payment"), v.Param("id")
		if !psd2.IsID(psd2.PrefixPayment, payment) || !psd2.IsID("chl", id) {
			return psd2.NotFound("challenge")
		}
		edge.Annotate(v.ctx(), "payment_id", payment)
		secrets := []string{v.Bound(v.Request(), payment), v.cookie(phoneCookie)}
		for _, secret := range secrets {
			if secret == "" {
				continue
			}
			v.browser = sca.SessionHash(secret)
			if v.challenge, err = v.SCA.Challenge(v.ctx(), id, v.browser); err == nil {
				break
			}
		}
		if v.challenge.ID == "" || v.challenge.PaymentID != payment {
			return psd2.NotFound("challenge")
		}
		v.lang = page.Negotiate(v.Response(), v.Request(), v.challenge.Display.Language)
		return h(v)
	}
}

func (v *visit) here(sub string) string {
	return "/sca/pay/" + v.challenge.PaymentID + "/" + v.challenge.ID + sub
}

// onPhone reports whether this browser is the phone the challenge was handed to.
func (v *visit) onPhone() bool {
	return v.Bound(v.Request(), v.challenge.PaymentID) == "" || sca.SessionHash(v.Bound(v.Request(), v.challenge.PaymentID)) != v.browser
}

type payPage struct {
	Challenge sca.Challenge
	Lines     []string // as displayed and signed
	Here      string
	Can       map[string]bool
	Watching  bool // the phone has it
	Phone     bool // this is the phone
	Options   string
	Left      int // minutes
	Seconds   int // the same
	State     string
	Wrong     string
	Notice    string
	Hint      string // how long codes are
	Changes   []changeLine
}

// pay is GET /sca/pay/{payment}/{challenge}.
func (v *visit) pay() error {
	notice := ""
	if v.QueryParam("more") != "" {
		notice = v.say("pay.extended")
	}
	return v.showPay(http.StatusOK, "", notice)
}

func (v *visit) showPay(status int, wrong, notice string) error {
	c := v.challenge
	if c.State != sca.Open {
		return v.ended()
	}
	p := payPage{Challenge: c, Lines: c.Display.Lines(), Here: v.here(""), Can: map[string]bool{}, Phone: v.onPhone(),
		Options: string(c.Options), State: fingerprint(c), Wrong: wrong, Notice: notice}
	p.Watching = c.HandedOn && !p.Phone
	factors, err := v.SCA.Factors(v.ctx(), c.PersonID)
	if err != nil {
		return err
	}
	p.Hint = v.codeHint(factors)
	changes, err := v.SCA.Recent(v.ctx(), c.PersonID)
	if err != nil {
		return err
	}
	p.Changes = v.lines(slices.DeleteFunc(changes, sca.Change.OfTries)) // whoever only tries must not learn whether he is locked out
	left := c.ExpiresAt.Sub(v.Now())
	p.Seconds, p.Left = int(left/time.Second), max(1, int((left+30*time.Second)/time.Minute))
	for _, m := range c.Methods {
		p.Can[string(m)] = true
	}
	out := page.Page{Name: "pay", Status: status, Title: v.say("pay.title"), Self: &url.URL{Path: v.here("")}, Scripts: []string{"passkey.js", "live.js", "limit.js"}, Data: p}
	if c.PushSent || p.Watching {
		out.Refresh = 5 * time.Second
	}
	return v.show(out)
}

// ended leads on: the payment's own page says what became of it.
func (v *visit) ended() error {
	if !v.onPhone() {
		return v.away(v.Done(v.challenge.PaymentID))
	}
	key := "phone.ended"
	if v.challenge.State == sca.Approved {
		key = "phone.approved"
	}
	return v.show(page.Page{Name: "error", Title: v.say(key + ".title"), Data: page.Problem{Lead: v.say(key + ".lead"), Next: v.say(key + ".next")}})
}

func fingerprint(c sca.Challenge) string {
	return fmt.Sprintf("%s-%t-%t", c.State, c.PushSent, c.HandedOn)
}

// livePause is how often an open page is told.
const livePause = 2 * time.Second

// payLive is server-sent events: "state" when the page is out of date. Only the
// page's own origin gets them (security row B31).
func (v *visit) payLive() error {
	if site := v.Request().Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return echo.ErrForbidden
	}
	leave, err := v.streams.Enter(v.challenge.ID)
	if err != nil {
		return err
	}
	defer leave()
	shown := ""
	edge.Stream{Pause: livePause, Closed: v.closed}.Serve(v.Response(), v.Request(), func() (string, bool) {
		c, err := v.SCA.Challenge(v.ctx(), v.challenge.ID, v.browser)
		if err != nil {
			return "", false
		}
		events, f := "", fingerprint(c)
		if f != shown {
			events, shown = "event: state\ndata: "+f+"\n\n", f
		}
		return events, c.State == sca.Open
	})
	return nil
}

// payCode is POST …/code.
func (v *visit) payCode() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	_, err = v.SCA.Answer(v.ctx(), v.challenge.ID, sca.Answer{Session: v.browser, Method: sca.TOTP, Code: form.Get("code"), From: edge.ClientAddr(v.ctx())})
	if sca.Refused(err) {
		return v.showPay(http.StatusUnauthorized, v.say("refused"), "")
	}
	return v.after(err)
}

// after goes on once a challenge has come to an end.
func (v *visit) after(err error) error {
	if err != nil && psd2.CodeOf(err) != psd2.CodeConflict {
		return err
	}
	return v.away(v.here(""))
}

func (v *visit) payPasskey() error {
	_, _, response, err := v.credential()
	if err != nil {
		return err
	}
	_, err = v.SCA.Answer(v.ctx(), v.challenge.ID, sca.Answer{Session: v.browser, Method: sca.Passkey, Assertion: response, From: edge.ClientAddr(v.ctx())})
	if err != nil && psd2.CodeOf(err) != psd2.CodeConflict {
		return err
	}
	return v.next(v.here(""))
}

func (v *visit) payPush() error {
	if _, err := v.form(); err != nil {
		return err
	}
	err := v.SCA.StartPush(v.ctx(), v.challenge.ID, v.browser)
	if psd2.CodeOf(err) == psd2.CodeRateLimited && err != nil || sca.Refused(err) {
		return v.showPay(http.StatusTooManyRequests, "", v.say("pay.push_limit"))
	}
	return v.after(err)
}

// payPhone is POST …/phone: the QR code to go on with the phone.
func (v *visit) payPhone() error {
	if _, err := v.form(); err != nil {
		return err
	}
	if v.onPhone() {
		return psd2.NotFound("page")
	}
	token, err := v.SCA.HandOver(v.ctx(), v.challenge.ID, v.browser)
	if err != nil {
		return v.after(err)
	}
	left := min(sca.QRLife, v.challenge.ExpiresAt.Sub(v.Now()))
	return v.show(page.Page{Name: "handover", Title: v.say("handover.title"), Scripts: []string{"live.js", "limit.js"}, Data: payPage{
		Challenge: v.challenge, Lines: v.challenge.Display.Lines(), Here: v.here(""), Options: v.Origin + "/sca/phone/" + token, State: fingerprint(v.challenge),
		Seconds: int(left / time.Second)}})
}

func (v *visit) payBack() error {
	if _, err := v.form(); err != nil {
		return err
	}
	return v.after(v.SCA.TakeBack(v.ctx(), v.challenge.ID, v.browser))
}

// payMore is POST …/more: time to go on, in a new challenge.
func (v *visit) payMore() error {
	if _, err := v.form(); err != nil {
		return err
	}
	c, err := v.SCA.Renew(v.ctx(), v.challenge.ID, v.browser)
	if err != nil {
		return v.after(err)
	}
	if v.MoreTime != nil {
		if err := v.MoreTime(v.ctx(), c.PaymentID); err != nil {
			return err
		}
	}
	return v.away("/sca/pay/" + c.PaymentID + "/" + c.ID + "?more=1")
}

func (v *visit) payCancel() error {
	if _, err := v.form(); err != nil {
		return err
	}
	return v.after(v.SCA.Cancel(v.ctx(), v.challenge.ID, v.browser))
}

// takeOver is POST /sca/phone/{token}.
func (v *visit) takeOver() error {
	id, secret, err := v.SCA.TakeOver(v.ctx(), v.Param("token"))
	if sca.Refused(err) {
		return echo.NewHTTPError(http.StatusGone)
	}
	if err != nil {
		return err
	}
	c, err := v.SCA.Challenge(v.ctx(), id, sca.SessionHash(secret))
	if err != nil {
		return err
	}
	v.setCookie(phoneCookie, secret, 15*time.Minute)
	return v.away("/sca/pay/" + c.PaymentID + "/" + c.ID)
}
