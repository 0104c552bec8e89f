// Package room is what the rooms with pages share on echo: the router, where a
// form may come from, and the page that says what went wrong.
//
//	GET, HEAD         a page
//	POST              a form, from a page of the room's own alone
//	/static/…         the assets of its page.Set
//	failures          the page "error", in words by the status
//
// Neighbours: psd2/edge stands in front of the router, psd2/page renders;
// psd2/consent, psd2/ops, sca/app and compliance/console are built on it.
package room

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
)

// Options are what differs from room to room.
type Options struct {
	Pages  *page.Set
	Layout string // of the page "error", see page.Page
	// Own reports whether a POST comes from one of the room's pages. Nil:
	// http.CrossOriginProtection says so.
	Own func(r *http.Request) bool
	// Script reports whether a script of ours asks, which reads a problem
	// document instead of a page. Nil: none does.
	Script func(r *http.Request) bool
	// Explain completes the page about a failure. Nil: the texts are enough.
	Explain func(r *http.Request, lang page.Lang, err error, p *page.Problem)
}

// New makes a router without routes but for the assets.
func New(o Options) *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = o.failed
	e.Use(o.enter)
	Get(e, "/static/*", echo.WrapHandler(o.Pages.Assets()))
	return e
}

// Get adds a page: GET, and HEAD for those who only look whether it is there.
func Get(e *echo.Echo, path string, h echo.HandlerFunc) {
	e.Match([]string{http.MethodGet, http.MethodHead}, path, h)
}

var crossOrigin http.CrossOriginProtection

// enter is what every request passes: its route for the log, and where a form
// came from. Methods that no room answers the edge has refused already.
func (o Options) enter(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		edge.SetRoute(r.Context(), c.Path())
		if r.Method == http.MethodPost && !o.own(r) {
			edge.Annotate(r.Context(), "problem", "cross_origin")
			return echo.ErrForbidden
		}
		return next(c)
	}
}

func (o Options) own(r *http.Request) bool {
	if o.Own != nil {
		return o.Own(r)
	}
	return crossOrigin.Check(r) == nil
}

// failed turns what went wrong into a page, or for a script of ours into a
// problem document; the cause is in the log, under the request's trace id.
func (o Options) failed(err error, c echo.Context) {
	w, r := c.Response(), c.Request()
	if w.Committed {
		return
	}
	status, routed := statusOf(err)
	if o.Script != nil && !routed && o.Script(r) {
		edge.WriteProblem(w, r, err)
		return
	}
	edge.NoteFailure(w, r, status, err)
	lang := page.Negotiate(w, r, "")
	say := func(part string) string { return o.Pages.Say(lang, "error."+o.family(status)+"."+part) }
	problem := page.Problem{Lead: say("lead"), Next: say("next")}
	if status >= http.StatusInternalServerError {
		problem.TraceID = edge.TraceID(r.Context())
	}
	if o.Explain != nil {
		o.Explain(r, lang, err, &problem)
	}
	p := page.Page{Name: "error", Lang: lang, Layout: o.Layout, Status: status, Title: say("title"), Data: problem}
	if err := o.Pages.Render(w, p); err != nil {
		edge.Annotate(r.Context(), "error", err.Error())
	}
}

// statusOf is the status of a failure; routed says that the router or a
// handler named it instead of a psd2.Code.
func statusOf(err error) (status int, routed bool) {
	var named *echo.HTTPError
	if errors.As(err, &named) {
		return named.Code, true
	}
	return edge.StatusOf(err), false
}

// families name the texts error.FAMILY.title, .lead and .next of a status.
var families = map[int]string{
	http.StatusUnauthorized: "unauthorized", http.StatusForbidden: "forbidden", http.StatusNotFound: "not_found", http.StatusMethodNotAllowed: "method",
	http.StatusConflict: "conflict", http.StatusGone: "gone", http.StatusTooManyRequests: "limit", http.StatusServiceUnavailable: "unavailable",
}

// family is that of a status. What a room has no words for is a request that
// was wrong, or our own failure.
func (o Options) family(status int) string {
	if f := families[status]; f != "" && o.Pages.Texts().Has("error."+f+".title") {
		return f
	}
	if status >= http.StatusInternalServerError {
		return "internal"
	}
	return "request"
}
