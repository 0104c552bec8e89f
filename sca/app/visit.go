package app

import (
	"context"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/sca"
)

// Cookies. All are __Host-: no sibling domain can set or read them.
const (
	enrolCookie  = "__Host-rs_enrol"
	deviceCookie = "__Host-rs_device"
	phoneCookie  = "__Host-rs_phone"
	fromCookie   = "__Host-rs_from"  // the payment from which he came to his factors
	loginCookie  = "__Host-rs_login" // ties a sign-in to the browser it began in
)

// Bounds of what is read.
const (
	maxForm = 4 << 10
	maxJSON = 48 << 10
)

// visit is one request.
type visit struct {
	*Room
	echo.Context
	lang      page.Lang
	session   sca.Session   // at one's own factors, or of a device
	challenge sca.Challenge // of a payment
	browser   string        // SessionHash of the browser that answers it
}

func (r *Room) serve(h func(*visit) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		v := &visit{Room: r, Context: c, lang: page.Negotiate(c.Response(), c.Request(), "")}
		if err := r.addresses.Check(edge.AddrKey(edge.ClientAddr(v.ctx()))); err != nil {
			return err
		}
		v.Response().Header().Set("Cache-Control", "no-store")
		return h(v)
	}
}

func (v *visit) ctx() context.Context            { return v.Request().Context() }
func (v *visit) form() (url.Values, error)       { return edge.ReadForm(v.Request(), maxForm) }
func (v *visit) say(key string, p ...any) string { return v.pages.Say(v.lang, key, p...) }

// away answers 303, never 307: the next request is a GET and carries no form.
func (v *visit) away(target string) error {
	v.Response().Header().Set("Location", target)
	v.Response().WriteHeader(http.StatusSeeOther)
	return nil
}

func (v *visit) show(p page.Page) error {
	p.Lang = v.lang
	return v.pages.Render(v.Response(), p)
}

// read reads a JSON request strictly.
func (v *visit) read(dst any) error {
	body, err := edge.ReadBody(v.Request(), maxJSON)
	if err != nil {
		return err
	}
	return edge.DecodeStrict(body, dst)
}

// answer writes JSON to one of our own scripts.
func (v *visit) answer(value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	v.Response().Header().Set("Content-Type", "application/json")
	_, err = v.Response().Write(body)
	return err
}

// next tells a script where to go on.
func (v *visit) next(path string) error { return v.answer(map[string]string{"next": path}) }

// cookie gives a cookie that is there exactly once.
func (v *visit) cookie(name string) string {
	found := v.Request().CookiesNamed(name)
	if len(found) != 1 || len(found[0].Value) > 128 {
		return ""
	}
	return found[0].Value
}

// setCookie gives a secret to the browser, or takes it away with "".
func (v *visit) setCookie(name, value string, life time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(v.Response(), c)
}

// wantsJSON reports whether a script of ours asks.
func wantsJSON(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || strings.HasPrefix(r.Header.Get("Accept"), "application/json")
}

// funcs are the templates' own.
var funcs = template.FuncMap{"qr": qrSVG}

// qrSVG draws a QR code into the page: the secret in it is in no address.
func qrSVG(text, label string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return "", err
	}
	size := code.Bounds().Dx()
	var path strings.Builder
	for y := range size {
		for x := range size {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				path.WriteString("M" + strconv.Itoa(x+4) + " " + strconv.Itoa(y+4) + "h1v1h-1z")
			}
		}
	}
	side := strconv.Itoa(size + 8)                                                                                                              // the quiet zone is four modules wide (ISO/IEC 18004)
	return template.HTML(`<svg class="qr" role="img" aria-label="` + template.HTMLEscapeString(label) + `" viewBox="0 0 ` + side + ` ` + side + //nolint:gosec // escaped
		`" shape-rendering="crispEdges"><rect width="` + side + `" height="` + side + `" fill="#fff"/><path fill="#000" d="` + path.String() + `"/></svg>`), nil
}
