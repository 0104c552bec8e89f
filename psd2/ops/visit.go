package ops

import (
	"context"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
)

// maxForm bounds a form post; a search term has at most maxTerm bytes.
const maxForm = 4 << 10

// visit is one request.
type visit struct {
	*Room
	echo.Context
	lang   page.Lang
	person Person // who is signed in
	typed  typed  // what was posted and not accepted
}

// open serves whoever comes.
func (r *Room) open(h func(*visit) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		return h(&visit{Room: r, Context: c, lang: page.Negotiate(c.Response(), c.Request(), "")})
	}
}

// signedIn serves operators and sends everybody else to sign in.
func (r *Room) signedIn(h func(*visit) error) echo.HandlerFunc {
	return r.open(func(v *visit) error {
		switch admitted, forbidden, err := v.admit(true); {
		case err != nil:
			return err
		case forbidden:
			return echo.ErrForbidden
		case !admitted:
			return v.toSignIn()
		}
		return h(v)
	})
}

func (v *visit) ctx() context.Context { return v.Request().Context() }

// form reads a post's fields.
func (v *visit) form() (url.Values, error) { return edge.ReadForm(v.Request(), maxForm) }

// away answers 303, never 307: the next request is a GET and carries no form.
func (v *visit) away(target string) error {
	v.Response().Header().Set("Location", target)
	v.Response().WriteHeader(http.StatusSeeOther)
	return nil
}

// home is GET / and GET /search.
func (v *visit) home() error { return v.away("/payments") }

// say is a text in the reader's language.
func (v *visit) say(key string, pairs ...any) string { return v.pages.Say(v.lang, key, pairs...) }

// sayOr is a text whose key comes from elsewhere; what has none is said as word.
func (v *visit) sayOr(key, word string) string {
	if v.pages.Texts().Has(key) {
		return v.say(key)
	}
	return word
}

// show renders a page.
func (v *visit) show(p page.Page) error {
	p.Lang = v.lang
	return v.pages.Render(v.Response(), p)
}

// sections are the navigation, with the keys that open them.
var sections = []struct{ name, key string }{
	{"payments", "n"}, {"transfers", "t"}, {"unknown", "u"}, {"recalls", "r"}, {"banks", "b"}, {"webhooks", "w"},
}

// console renders a page for a signed-in operator. place is the section of the
// navigation it belongs to.
func (v *visit) console(place string, p page.Page) error {
	p.Layout = "dense"
	p.Data = framed{Bar: v.bar(), Page: p.Data}
	p.Scripts = append(p.Scripts, "keys.js", "ops.js")
	for _, s := range sections {
		p.Nav = append(p.Nav, page.Link{Text: v.say("nav." + s.name), Href: "/" + s.name, Current: s.name == place, Key: s.key})
	}
	return v.show(p)
}

// framed is a page's data and what stands above it.
type framed struct {
	Bar  bar
	Page any
}

// bar is who is signed in, and where he signs out.
type bar struct{ Who, Logout string }

func (v *visit) bar() bar {
	return bar{v.person.Name, v.Staff.LogoutURL()}
}

// found notes in the log whose story is shown.
func (v *visit) found(p *psd2.Payment) {
	edge.Annotate(v.ctx(), "payment_id", p.ID)
	edge.Annotate(v.ctx(), "merchant_id", p.MerchantID)
}
