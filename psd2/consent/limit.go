package consent

import (
	"net/url"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// warnBefore is how long before the end of his time a payer is warned.
const warnBefore = 2 * time.Minute

// limit is the payer's time as a page shows it: until when, and a button for
// more, which works without JavaScript (WCAG 2.2.1). A script warns of the end.
type limit struct {
	Until   time.Time
	Seconds int
	Before  int    // seconds before the end at which the script warns
	Warning string // what it says
	Action  string // of the form
	Token   string
	At      string // the page he is on, to which he comes back
	More    bool   // there is more time to be had
}

// limit is v.payment's; nil when it is over, or his bank's. Where no browser is
// bound to the payment yet it has no form of its own.
func (v *visit) limit() *limit {
	p, now := v.payment, v.Now()
	if !p.MayHaveMoreTime(now) {
		return nil
	}
	l := &limit{Until: p.ExpiresAt, Seconds: int(p.ExpiresAt.Sub(now) / time.Second), Before: int(warnBefore / time.Second),
		More: v.Hub.MayHaveMoreTime(p, now), Warning: v.say("limit.warn")}
	if !l.More {
		l.Warning = v.say("limit.last")
	}
	if v.secret == "" {
		return l
	}
	l.Action, l.Token = v.to("/more"), formToken(v.secret, forMoreTime, p.ID)
	if u := v.Request().URL; v.Request().Method == "GET" && strings.HasPrefix(u.Path, v.to("")) {
		l.At = u.RequestURI()
	}
	return l
}

// more is POST /pay/{id}/more.
func (v *visit) more() error {
	if err := v.mine(); err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	if !checkToken(form.Get("token"), v.secret, forMoreTime, v.payment.ID) {
		return psd2.Fail(psd2.CodeForbidden, "form_token_invalid", "the form was not made for this browser")
	}
	if _, err := v.Hub.MoreTime(v.ctx(), v.payment.ID); err != nil && psd2.CodeOf(err) != psd2.CodeConflict {
		return err
	}
	return v.away(v.cameFrom(form.Get("at"))) // when it came too late, that page says so
}

// cameFrom is one of the payment's own pages, whatever a form says.
func (v *visit) cameFrom(at string) string {
	u, err := url.Parse(at)
	if err != nil || u.Host != "" || u.Scheme != "" {
		return v.to("")
	}
	for _, sub := range []string{"/banks", "/confirm"} {
		if u.Path == v.to(sub) {
			return (&url.URL{Path: u.Path, RawQuery: u.Query().Encode()}).RequestURI()
		}
	}
	return v.to("")
}
