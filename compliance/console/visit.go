package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
)

// maxForm bounds a form post: a report's story and its transactions.
const maxForm = 128 << 10

// visit is one request of one officer.
type visit struct {
	*Room
	echo.Context
	lang    page.Lang
	officer compliance.Officer
}

// signedIn serves officers whose session is strong and fresh, and sends
// everybody else to sign in.
func (r *Room) signedIn(h func(*visit) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		v := &visit{Room: r, Context: c, lang: page.Negotiate(c.Response(), c.Request(), "")}
		s, err := r.Login.Session(c.Request())
		if err == nil && !r.alive(s) {
			err = psd2.Fail(psd2.CodeUnauthorized, "session_over", "the session is over, or began without a verified passkey")
		}
		switch {
		case psd2.CodeOf(err) == psd2.CodeUnauthorized && err != nil && c.Request().Method != http.MethodPost:
			edge.Annotate(v.ctx(), "problem", "nobody")
			r.Login.SignIn(c.Response(), c.Request())
			return nil
		case err != nil:
			return err
		}
		v.officer = s.Officer
		edge.Annotate(v.ctx(), "officer", s.ID)
		return h(v)
	}
}

// alive reports whether a session counts: a verified passkey, 15 idle minutes
// and 8 hours at most.
func (r *Room) alive(s Session) bool {
	now := r.Now()
	return s.ID != "" && s.Passkey && now.Sub(s.Used) < sessionIdle && now.Sub(s.Began) < sessionLife
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

func (v *visit) home() error { return v.away("/queue") }

// say is a text in the reader's language.
func (v *visit) say(key string, pairs ...any) string { return v.pages.Say(v.lang, key, pairs...) }

// sayOr is a text whose key comes from elsewhere; a word without text stands
// for itself.
func (v *visit) sayOr(key, word string) string {
	if v.pages.Texts().Has(key) {
		return v.say(key)
	}
	return word
}

// section is an entry of the navigation, for those who have a use for it.
type section struct {
	name  string
	key   string // that opens it, "" none
	roles []compliance.Role
}

var (
	everybody = []compliance.Role{compliance.Viewer, compliance.Analyst, compliance.MLRO, compliance.Admin}
	sections  = []section{
		{"queue", "q", everybody}, {"rules", "", everybody}, {"screening", "", []compliance.Role{compliance.Viewer, compliance.Analyst, compliance.MLRO}},
		{"runs", "", everybody}, {"holds", "", []compliance.Role{compliance.Analyst, compliance.MLRO, compliance.Auditor}},
		{"audit", "", []compliance.Role{compliance.Admin, compliance.MLRO, compliance.Auditor}}, {"keeping", "", []compliance.Role{compliance.Admin, compliance.MLRO}},
	}
)

// show renders a page. place is the section it belongs to.
func (v *visit) show(place string, p page.Page) error {
	p.Lang, p.Layout = v.lang, "dense"
	p.Scripts = append(p.Scripts, "keys.js", "console.js")
	p.Extra = map[string]any{"Officer": v.officer.Name, "Works": v.officer.Has(compliance.Analyst, compliance.MLRO)}
	for _, s := range sections {
		if v.officer.Has(s.roles...) {
			p.Nav = append(p.Nav, page.Link{Text: v.say("nav." + s.name), Href: "/" + s.name, Current: s.name == place, Key: s.key})
		}
	}
	return v.pages.Render(v.Response(), p)
}

// search is POST /search: an id leads to its page.
func (v *visit) search() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	q := tidy(form.Get("q"))
	switch {
	case psd2.IsID(compliance.PrefixCase, q):
		return v.away("/cases/" + q)
	case psd2.IsID(compliance.PrefixAlert, q):
		return v.away("/alerts/" + q)
	}
	return psd2.NotFound("case")
}

// attach answers with a file that no browser shows as a page of ours.
func (v *visit) attach(contentType, name string) {
	h := v.Response().Header()
	page.Headers(h)
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`) // names are ours
}

// explain completes the page about a failure: what the desk says to it, the
// way back, and the trace id that the log has the cause under.
func (r *Room) explain(req *http.Request, lang page.Lang, err error, p *page.Problem) {
	p.Next, p.TraceID = r.explained(lang, err), edge.TraceID(req.Context())
	p.Links = []page.Link{{Text: r.pages.Say(lang, "error.back"), Href: back(req)}, {Text: r.pages.Say(lang, "error.home"), Href: "/queue"}}
}

// explained is what the desk says to its officers: who was faster and when,
// what is missing. Internal errors say nothing.
func (r *Room) explained(lang page.Lang, err error) string {
	var e *psd2.Error
	if !errors.As(err, &e) || e.Code == psd2.CodeInternal || e.Code == psd2.CodeUnauthorized {
		return ""
	}
	key := "refused." + e.Reason
	if !r.pages.Texts().Has(key) {
		return e.Message
	}
	var rival *compliance.Rival
	if !errors.As(err, &rival) {
		return r.pages.Say(lang, key)
	}
	if rival.Name == "" {
		rival = &compliance.Rival{Name: r.pages.Say(lang, "actor.system"), At: rival.At}
	}
	return r.pages.Say(lang, key, "who", rival.Name, "when", page.Moment(lang, r.pages.Local(rival.At)))
}

// back is the page a form was on.
func back(r *http.Request) string {
	if u, err := url.Parse(r.Referer()); err == nil && u.Host == r.Host && u.Path != "" && r.Method == http.MethodPost {
		return u.RequestURI()
	}
	return "/queue"
}
