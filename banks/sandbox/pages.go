package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
)

// frame is what every page has; its fields are promoted into the page's data.
type frame struct {
	Title    string
	BankName string
	Mark     string // the bank's logo: one letter
	Style    string // address of the style sheet
	Problem  problem
	Refresh  int // seconds until the page renews itself
	Wide     bool
}

func frameOf(b *bank) frame {
	return frame{BankName: b.Name, Mark: b.mark, Style: b.style}
}

// stylePath changes with the sheet, so that browsers may keep it for ever.
func stylePath(id string, css []byte) string {
	sum := sha256.Sum256(css)
	return "/" + id + "/style.css?v=" + hex.EncodeToString(sum[:4])
}

// payerPage is the data of the login and confirm pages.
type payerPage struct {
	frame
	Base     string // path of the order's pages
	User     string
	Order    order
	Accounts []account
	Phone    string
}

// messagePage is a page with one sentence and perhaps a way back.
type messagePage struct {
	frame
	Lead string
	Back string
}

// cookieName holds the payer's session; its path is one order's pages, so that
// two orders in one browser do not disturb each other.
const cookieName = "psu"

func (s *Sandbox) payerRoutes(e *echo.Echo) {
	g := e.Group("/:bank", s.payerPages)
	g.GET("/pay/:token", s.showOrder)
	g.POST("/pay/:token/login", s.postLogin)
	g.POST("/pay/:token/confirm", s.postConfirm)
	g.GET("/phone/:user", s.showPhone)
	g.POST("/phone/:user/:auth", s.postPhone)
	e.GET("/:bank/style.css", s.style)
}

// payerPages resolves the bank, refuses while it is down, and answers failures
// with a page.
func (s *Sandbox) payerPages(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		b := s.banks[c.Param("bank")]
		if b == nil {
			return echo.ErrNotFound
		}
		c.Set(bankKey, b)
		if b.switches.get().Down {
			return s.message(c, http.StatusServiceUnavailable, "down_title", "down_lead", "")
		}
		err := next(c)
		if psd2.CodeOf(err) == psd2.CodeNotFound {
			return s.message(c, http.StatusNotFound, "gone_title", "gone_lead", "")
		}
		if isNoRows(err) {
			return s.message(c, http.StatusNotFound, "unknown_title", "unknown_lead", "")
		}
		return err
	}
}

// showOrder shows where the order stands for this browser: login, confirm or
// closed.
func (s *Sandbox) showOrder(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	o, err := s.orderByPage(c.Request().Context(), b.ID, c.Param("token"))
	if err != nil {
		return err
	}
	return s.showStep(c, b, o, "", "")
}

// showStep renders the page of the order's present step.
func (s *Sandbox) showStep(c echo.Context, b *bank, o order, p problem, user string) error {
	if !o.waits() {
		return s.showClosed(c, b, o)
	}
	page := payerPage{frame: frameOf(b), Base: "/" + b.ID + "/pay/" + c.Param("token"), User: user, Order: o}
	page.Problem = p
	code, login, check := statusOf(p), "login_title", "confirm_title"
	if o.Cancelling {
		login, check = "login_cancel_title", "cancel_title"
	}
	if !o.holds(session(c)) {
		return s.render(c, code, "login", login, &page, formTargets(o))
	}
	if err := s.file.sel(c.Request().Context(), &page.Accounts, accountsQuery, b.ID, o.SessionUser); err != nil {
		return err
	}
	page.Accounts = usable(page.Accounts, o.DebtorAsked)
	if len(page.Accounts) == 0 && p == "" && !o.Cancelling {
		page.Problem = noAccount
	}
	page.Phone = "/" + b.ID + "/phone/" + url.PathEscape(o.SessionUser)
	return s.render(c, code, "confirm", check, &page, formTargets(o))
}

// statusOf is the HTTP status of a form that is shown again.
func statusOf(p problem) int {
	if p != "" {
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}

// usable are the accounts the order may be paid from.
func usable(list []account, asked string) []account {
	if asked == "" {
		return list
	}
	for _, a := range list {
		if a.IBAN == asked {
			return []account{a}
		}
	}
	return nil
}

func (s *Sandbox) showClosed(c echo.Context, b *bank, o order) error {
	lead := "closed_paid"
	switch {
	case o.Status == rejected || o.Status == cancelled:
		lead = "closed_not_paid"
	case o.Status == inProcess:
		lead = "closed_pending"
	case o.Status == received: // unconfirmed, or a cancellation that was not wanted
		lead = "closed_open"
	}
	back, err := s.leave(c, b, o)
	if err != nil {
		return err
	}
	return s.message(c, http.StatusOK, "closed_title", lead, back)
}

// leave is where the payer goes from here, with what he has to bring there.
func (s *Sandbox) leave(c echo.Context, b *bank, o order) (string, error) {
	switch {
	case o.GrantID != "" && !o.Cancelling:
		return s.granted(c, b, o)
	case o.SCAStatus == scaUnconfirmed:
		return s.confirmation(b, o)
	}
	return o.back(), nil
}

// confirmation makes the code that the payer brings back, in place of an
// earlier one.
func (s *Sandbox) confirmation(b *bank, o order) (string, error) {
	code := s.token()
	_, err := s.change(b, s.byID(o.ID, false), func(_ *tx, o *order) error {
		if o.SCAStatus == scaUnconfirmed {
			o.ConfirmHash = hash(code)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	u, err := url.Parse(o.RedirectURI)
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("confirmationCode", code)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// goBack sends the payer away.
func (s *Sandbox) goBack(c echo.Context, b *bank, o order) error {
	to, err := s.leave(c, b, o)
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, to)
}

func (s *Sandbox) postLogin(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	token, secret, user := c.Param("token"), s.token(), c.FormValue("user")
	o, p, err := s.login(b, token, user, c.FormValue("password"), secret)
	switch {
	case err != nil:
		return err
	case !o.waits(): // the last try, or it was over before
		return s.goBack(c, b, o)
	case p != "":
		return s.showStep(c, b, o, p, user)
	}
	base := "/" + b.ID + "/pay/" + token
	c.SetCookie(&http.Cookie{Name: cookieName, Value: secret, Path: base, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(s.origin(c.Request()), "https:")}) // the order's own end ends the session
	return c.Redirect(http.StatusSeeOther, base)
}

// postConfirm takes the payer's yes or no and sends him back to where he came
// from. A second click lands at the same place.
func (s *Sandbox) postConfirm(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	token := c.Param("token")
	var (
		o   order
		p   problem
		err error
	)
	switch c.FormValue("action") {
	case "pay", "cancel":
		o, p, err = s.confirm(b, token, session(c), c.FormValue("account"), strings.TrimSpace(c.FormValue("code")))
	case "decline", "keep":
		o, err = s.decline(b, s.byPage(token))
	default:
		return echo.ErrBadRequest
	}
	if err != nil {
		return err
	}
	if o.waits() {
		return s.showStep(c, b, o, p, "")
	}
	return s.goBack(c, b, o)
}

func session(c echo.Context) string {
	cookie, err := c.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return cookie.Value
}

func (s *Sandbox) style(c echo.Context) error {
	b := s.banks[c.Param("bank")]
	if b == nil {
		return echo.ErrNotFound
	}
	c.Response().Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	return c.Blob(http.StatusOK, "text/css; charset=utf-8", b.css)
}

// message answers with a page of one sentence.
func (s *Sandbox) message(c echo.Context, code int, title, lead, back string) error {
	b, _ := c.Get(bankKey).(*bank)
	if b == nil {
		b = s.banks[s.cfg.Banks[0].ID]
	}
	return s.render(c, code, "message", title, &messagePage{frame: frameOf(b), Lead: lead, Back: back}, "")
}

// titled is any page's data: a frame whose title is set by render.
type titled interface{ setTitle(string) }

func (f *frame) setTitle(t string) { f.Title = t }

// render writes a page. formTo lists the origins outside the bank to which its
// forms may lead; browsers hold form-action against redirects too.
func (s *Sandbox) render(c echo.Context, code int, name, title string, data titled, formTo string, pairs ...any) error {
	lang := c.Request().Header.Get("Accept-Language")
	text, err := s.pages.say(lang, title, pairs...)
	if err != nil {
		return err
	}
	data.setTitle(text)
	body, err := s.pages.execute(name, lang, data)
	if err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Content-Security-Policy", contentPolicy(formTo))
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Language")
	return c.HTMLBlob(code, body)
}

func contentPolicy(formTo string) string {
	return strings.TrimSpace("default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self' " + formTo)
}

// formTargets are the origins of the two ways back.
func formTargets(o order) string {
	ok, nok := originOf(o.RedirectURI), originOf(o.NokURI)
	if ok == nok {
		return ok
	}
	return ok + " " + nok
}

func originOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// answerPage is the fallback for failures outside the PIS interface.
func (s *Sandbox) answerPage(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	var h *echo.HTTPError
	switch {
	case errors.As(err, &h) && h.Code == http.StatusNotFound:
		err = s.message(c, http.StatusNotFound, "unknown_title", "unknown_lead", "")
	case errors.As(err, &h) && h.Code < 500:
		err = s.message(c, h.Code, "error_title", "error_lead", "")
	default:
		s.log.Error("sandbox", "path", c.Path(), "err", err)
		err = s.message(c, http.StatusInternalServerError, "error_title", "error_lead", "")
	}
	if err != nil {
		s.log.Error("sandbox: answer", "path", c.Path(), "err", err)
	}
}
