package consent

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
)

// failed turns what went wrong into a page. It says what it means for the
// reader's money and nothing about us; the cause is in the log.
func (r *Room) failed(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	status, key := r.classify(err)
	edge.NoteFailure(c.Response(), c.Request(), status, err)
	lang := page.Negotiate(c.Response(), c.Request(), "")
	p := page.Page{Name: "error", Lang: lang, Status: status, Title: r.pages.Say(lang, "error."+key+".title"),
		Data: page.Problem{Lead: r.pages.Say(lang, "error."+key+".lead"), Next: r.pages.Say(lang, "error."+key+".next")}}
	if status >= http.StatusInternalServerError {
		problem := p.Data.(page.Problem)
		problem.TraceID = edge.TraceID(c.Request().Context())
		p.Data = problem
	}
	if err := r.pages.Render(c.Response(), p); err != nil {
		edge.Annotate(c.Request().Context(), "error", err.Error())
	}
}

// classify gives the status and the family of texts for an error.
func (r *Room) classify(err error) (status int, key string) {
	var fromEcho *echo.HTTPError
	if errors.As(err, &fromEcho) {
		status = fromEcho.Code
	} else {
		status = edge.StatusOf(err)
	}
	switch status {
	case http.StatusNotFound:
		return status, "not_found"
	case http.StatusMethodNotAllowed:
		return status, "method"
	case http.StatusTooManyRequests:
		return status, "limit"
	case http.StatusForbidden:
		return status, "forbidden"
	case http.StatusServiceUnavailable:
		return status, "unavailable"
	}
	if status >= http.StatusInternalServerError {
		return status, "internal"
	}
	return status, "request"
}

// elsewhere is the page for a browser that may not act on a payment: one that
// opened a shared link second, or that the bank's app chose for the return.
func (v *visit) elsewhere() error {
	v.payment, v.merchant = nil, nil
	return v.show(page.Page{Name: "error", Status: http.StatusForbidden, Title: v.say("elsewhere.title"),
		Data: page.Problem{Lead: v.say("elsewhere.lead"), Next: v.say("elsewhere.next")}})
}
