package consent

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
)

// maxForm bounds a form post; ours have under 1500 bytes.
const maxForm = 4 << 10

// visit is one request.
type visit struct {
	*Room
	echo.Context
	lang     page.Lang
	payment  *psd2.Payment
	merchant *psd2.Merchant
	secret   string // of this browser, once it is known to be the bound one
}

// errElsewhere says that this browser may not act on the payment.
var errElsewhere = errors.New("another browser")

func (r *Room) serve(h func(*visit) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		v := &visit{Room: r, Context: c, lang: page.Negotiate(c.Response(), c.Request(), "")}
		if err := r.perIP.Check(edge.AddrKey(edge.ClientAddr(v.ctx()))); err != nil {
			return err
		}
		err := h(v)
		if errors.Is(err, errElsewhere) {
			return v.elsewhere()
		}
		return err
	}
}

func (v *visit) ctx() context.Context { return v.Request().Context() }

// open finds the payment of a link.
func (v *visit) open() (token string, err error) {
	token = v.Param("token")
	if err := v.perLink.Check(token); err != nil {
		return "", err
	}
	p, err := v.Hub.ByLink(v.ctx(), token)
	if err != nil {
		return "", err
	}
	return token, v.found(p)
}

// mine finds the payment in the path, for the browser that is bound to it.
// Without the right cookie the answer is the same whether or not there is such
// a payment.
func (v *visit) mine() error {
	id := v.Param("id")
	if !psd2.IsID(psd2.PrefixPayment, id) {
		return psd2.NotFound("payment")
	}
	secret := cookie(v.Request(), bindCookie(id))
	if secret == "" {
		return errElsewhere
	}
	if err := v.perLink.Check(id); err != nil {
		return err
	}
	p, err := v.Hub.Payment(v.ctx(), id)
	if psd2.CodeOf(err) == psd2.CodeNotFound && err != nil || err == nil && !v.Hub.IsBoundTo(p, secret) {
		return errElsewhere
	}
	if err != nil {
		return err
	}
	v.secret = secret
	return v.found(p)
}

func (v *visit) found(p *psd2.Payment) (err error) {
	edge.Annotate(v.ctx(), "payment_id", p.ID)
	edge.Annotate(v.ctx(), "merchant_id", p.MerchantID)
	v.payment = p
	v.lang = page.Negotiate(v.Response(), v.Request(), p.Locale)
	v.merchant, err = v.Hub.Merchant(v.ctx(), p.MerchantID)
	return err
}

// form reads a post's fields.
func (v *visit) form() (url.Values, error) { return edge.ReadForm(v.Request(), maxForm) }

// to is the path of one of the payment's own pages.
func (v *visit) to(sub string) string { return "/pay/" + v.payment.ID + sub }

// away answers 303, never 307: the next request is a GET and carries no form.
func (v *visit) away(target string) error {
	h := v.Response().Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Location", target)
	v.Response().WriteHeader(http.StatusSeeOther)
	return nil
}

// say is a text in the reader's language.
func (v *visit) say(key string, pairs ...any) string { return v.pages.Say(v.lang, key, pairs...) }

// show renders a page of the payment.
func (v *visit) show(p page.Page) error {
	p.Lang = v.lang
	if v.merchant != nil {
		p.Accent = v.merchant.Accent
	}
	return v.pages.Render(v.Response(), p)
}

// psu is what the bank is told about the payer's browser. Header values are
// cut to lengths that no bank refuses.
func (v *visit) psu() psd2.PSU {
	h := v.Request().Header
	psu := psd2.PSU{Port: edge.ClientPort(v.ctx()), UserAgent: clip(h.Get("User-Agent")),
		Accept: clip(h.Get("Accept")), AcceptLanguage: clip(h.Get("Accept-Language"))}
	if a := edge.ClientAddr(v.ctx()); a.IsValid() {
		psu.IP = a.String()
	}
	return psu
}

func clip(header string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, header[:min(len(header), 256)])
}

// sums are what every page of a payment shows of it.
type sums struct {
	Payment   *psd2.Payment
	Merchant  *psd2.Merchant
	OnBehalf  bool   // the payee's name is not the merchant's: say both
	Spending  string // the line beside gambling payments, or ""
	HelpURL   string
	CancelURL string
	Token     string // of the cancel form
	Limit     *limit // his time, while it is ours to move
}

func (v *visit) sums() sums {
	s := sums{Payment: v.payment, Merchant: v.merchant,
		OnBehalf: v.merchant.Name != v.payment.Personal.Payee.Name, CancelURL: v.to("/cancel")}
	s.Limit = v.limit()
	if v.secret != "" {
		s.Token = formToken(v.secret, forCancelling, v.payment.ID)
	}
	if v.merchant.Gambling {
		s.HelpURL = v.Config.Gambling.HelpURL
		if s.Spending = v.Config.Gambling.Text[v.lang]; s.Spending == "" {
			s.Spending = v.say("gambling.line")
		}
	}
	return s
}
