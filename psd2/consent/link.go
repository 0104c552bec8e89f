package consent

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
)

// maxBanks is how many banks one page lists; who looks for another types.
const maxBanks = 100

// choice is the page on which a bank is chosen: over a link that nobody has
// opened yet (a post, which binds the browser) or again later (a mere step).
type choice struct {
	sums
	Action   string // of the form with the banks
	Method   string // "post" or "get"
	Start    string // token of a post
	Search   string // action of the search form
	Query    string
	Found    []option
	Later    []option // those found that are not connected
	More     int      // banks that are not shown
	Chosen   *option
	Others   string // where all banks are, when the merchant has chosen one
	Off      string // name of a bank that cannot be used after all
	CanLeave bool   // the cancel button is in the same form (not bound yet)
}

// Hits is how many banks the page lists.
func (c choice) Hits() int { return len(c.Found) + len(c.Later) }

// option is a bank as the page shows it.
type option struct {
	ID, Name, Detail, Note, Find string
	Later                        bool // not connected: no use in waiting a minute
}

// link is GET /p/{token}: it looks and consumes nothing.
func (v *visit) link() error {
	token, err := v.open()
	if err != nil {
		return err
	}
	if v.holder() {
		return v.away(v.to(""))
	}
	switch p := v.payment; {
	case over(p, v.Now()) || p.State.Final() || p.State.MoneyMoved():
		return v.ended()
	case p.BrowserHash != "":
		return errElsewhere
	}
	visit, err := v.visitSecret()
	if err != nil {
		return err
	}
	here := "/p/" + token
	ch := choice{sums: v.sums(), Action: here, Method: "post", Search: here, CanLeave: true,
		Start: formToken(visit, forStarting, v.payment.ID)}
	ch.CancelURL = ""
	return v.choose(ch, here+"/about")
}

// holder reports whether this browser is the one bound to v.payment.
func (v *visit) holder() bool {
	secret := cookie(v.Request(), bindCookie(v.payment.ID))
	if !v.Hub.IsBoundTo(v.payment, secret) {
		return false
	}
	v.secret = secret
	return true
}

// visitSecret is the browser's secret from before it is bound to anything.
func (v *visit) visitSecret() (string, error) {
	if s := cookie(v.Request(), visitCookie); len(s) == 43 {
		return s, nil
	}
	s, err := newSecret(v.Random)
	if err == nil {
		http.SetCookie(v.Response(), &http.Cookie{Name: visitCookie, Value: s, Path: "/",
			Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	return s, err
}

// banks is GET /pay/{id}/banks: the choice again.
func (v *visit) banks() error {
	if err := v.mine(); err != nil {
		return err
	}
	if v.payment.State != psd2.StateAuthorizationRequired || over(v.payment, v.Now()) {
		return v.away(v.to(""))
	}
	ch := choice{sums: v.sums(), Action: v.to("/confirm"), Method: "get", Search: v.to("/banks")}
	if off := v.QueryParam("off"); off != "" {
		if o, ok := v.option(off); ok {
			ch.Off = o.Name
		}
	}
	return v.choose(ch, v.to("/about"))
}

func (v *visit) choose(ch choice, about string) error {
	wanted := v.payment.BankID
	if wanted != "" && v.QueryParam("other") == "" && v.QueryParam("q") == "" && ch.Off == "" {
		if o, ok := v.option(wanted); ok && o.Note == "" {
			ch.Chosen, ch.Others = &o, ch.Search+"?other=1"
		}
	}
	ch.Query = strings.ToValidUTF8(v.QueryParam("q"), "")
	if r := []rune(ch.Query); len(r) > 60 {
		ch.Query = string(r[:60])
	}
	if ch.Chosen == nil {
		ch.Found, ch.More = v.search(ch.Query)
		if i := slices.IndexFunc(ch.Found, func(o option) bool { return o.Later }); i >= 0 {
			ch.Found, ch.Later = ch.Found[:i], ch.Found[i:]
		}
	}
	self := *v.Request().URL
	return v.show(page.Page{Name: "choose", Title: v.say("choose.title", "name", v.merchant.Name), Self: &self,
		About: about, Scripts: []string{"banks.js", "limit.js"}, Data: ch})
}

// search lists the banks that match, the one used last first, those that
// cannot be used now last.
func (v *visit) search(query string) (found []option, more int) {
	last := cookie(v.Request(), bankCookie)
	for _, l := range v.Hub.Banks() {
		if !l.Matches(query) {
			continue
		}
		o := v.optionOf(l.ID, l.Name, l.BICs, l.Aliases, l.BankCodes, l.Reason)
		if o.ID == last && o.Note == "" {
			o.Detail = v.say("choose.last")
		}
		found = append(found, o)
	}
	slices.SortStableFunc(found, func(a, b option) int { return rank(a, last) - rank(b, last) })
	if len(found) > maxBanks {
		more = len(found) - maxBanks
		found = found[:maxBanks]
	}
	return found, more
}

func rank(o option, last string) int {
	switch {
	case o.Later:
		return 3
	case o.Note != "":
		return 2
	case o.ID == last:
		return 0
	}
	return 1
}

func (v *visit) option(id string) (option, bool) {
	for _, l := range v.Hub.Banks() {
		if l.ID == id {
			return v.optionOf(l.ID, l.Name, l.BICs, l.Aliases, l.BankCodes, l.Reason), true
		}
	}
	return option{}, false
}

func (v *visit) optionOf(id, name string, bics, aliases, codes []string, reason string) option {
	o := option{ID: id, Name: name, Detail: strings.Join(bics, ", ")}
	o.Find = strings.ToLower(strings.Join(slices.Concat([]string{name}, aliases, bics, codes), " "))
	switch reason {
	case "":
	case "not_answering", "busy": // banks.ReasonNotAnswering, banks.ReasonBusy
		o.Note = v.say("choose.why." + reason)
	default:
		o.Note, o.Later = v.say("choose.why.disabled"), true
	}
	return o
}

// bind is POST /p/{token}: it ties the payment to this browser.
func (v *visit) bind() error {
	token, err := v.open()
	if err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	visit := cookie(v.Request(), visitCookie)
	if !checkToken(form.Get("start"), visit, forStarting, v.payment.ID) {
		return v.noCookies(token)
	}
	if !v.holder() {
		secret := bindSecret(visit, token, v.payment.ID)
		if _, err := v.Hub.Bind(v.ctx(), v.payment.ID, secret); err != nil {
			if psd2.CodeOf(err) == psd2.CodeConflict {
				return errElsewhere
			}
			return err
		}
		setCookie(v.Response(), bindCookie(v.payment.ID), secret, bindLife)
	}
	if form.Has("cancel") {
		if _, err := v.Hub.CancelByPayer(v.ctx(), v.payment.ID); err != nil && psd2.CodeOf(err) != psd2.CodeConflict {
			return err
		}
		return v.away(v.to(""))
	}
	if form.Has("more") {
		if _, err := v.Hub.MoreTime(v.ctx(), v.payment.ID); err != nil && psd2.CodeOf(err) != psd2.CodeConflict {
			return err
		}
		return v.away(v.to("/banks"))
	}
	return v.away(v.to("/confirm?bank=" + url.QueryEscape(form.Get("bank"))))
}

// noCookies is shown when a form comes back without the cookie it was made
// with: cookies are off, or the form is somebody else's.
func (v *visit) noCookies(token string) error {
	return v.show(page.Page{Name: "error", Status: http.StatusForbidden, Title: v.say("cookies.title"),
		Data: page.Problem{Lead: v.say("cookies.lead"), Next: v.say("cookies.next"),
			Links: []page.Link{{Text: v.say("cookies.again"), Href: "/p/" + token}}}})
}

// ended is the page of a link whose payment is over, for a browser that may
// not see more of it.
func (v *visit) ended() error {
	key := "link.expired"
	switch {
	case v.payment.State.MoneyMoved():
		key = "link.paid"
	case v.payment.State == psd2.StateFailed && v.payment.Failure != psd2.ReasonExpired:
		key = "link.canceled"
	}
	return v.show(page.Page{Name: "error", Status: http.StatusGone, Title: v.say(key + ".title"), Self: v.Request().URL,
		Data: page.Problem{Lead: v.say(key + ".lead"), Next: v.say("link.next", "name", v.merchant.Name)}})
}

// over reports whether a payment that nobody is paying has run out of time,
// whether or not background work has noticed.
func over(p *psd2.Payment, now time.Time) bool { return p.Open() == nil && !now.Before(p.ExpiresAt) }

// linkAbout is GET /p/{token}/about.
func (v *visit) linkAbout() error {
	token, err := v.open()
	if err != nil {
		return err
	}
	return v.facts("/p/" + token)
}

// about is GET /pay/{id}/about.
func (v *visit) about() error {
	if err := v.mine(); err != nil {
		return err
	}
	return v.facts(v.to(""))
}

// facts shows what PSD2 Art. 45 wants told before an initiation.
func (v *visit) facts(back string) error {
	return v.show(page.Page{Name: "about", Title: v.say("about.title"), Self: v.Request().URL, Data: struct {
		sums
		Back string
	}{v.sums(), back}})
}
