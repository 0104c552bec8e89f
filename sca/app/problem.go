package app

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
)

// failed turns what went wrong into a page, or into a problem document for our
// own scripts.
func (r *Room) failed(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	if wantsJSON(c.Request()) {
		var fromEcho *echo.HTTPError
		if !errors.As(err, &fromEcho) {
			edge.WriteProblem(c.Response(), c.Request(), err)
			return
		}
	}
	status, key := classify(err)
	edge.NoteFailure(c.Response(), c.Request(), status, err)
	lang := page.Negotiate(c.Response(), c.Request(), "")
	problem := page.Problem{Lead: r.pages.Say(lang, "error."+key+".lead"), Next: r.pages.Say(lang, "error."+key+".next")}
	if status >= http.StatusInternalServerError {
		problem.TraceID = edge.TraceID(c.Request().Context())
	}
	p := page.Page{Name: "error", Lang: lang, Status: status, Title: r.pages.Say(lang, "error."+key+".title"), Data: problem}
	if err := r.pages.Render(c.Response(), p); err != nil {
		edge.Annotate(c.Request().Context(), "error", err.Error())
	}
}

func classify(err error) (status int, key string) {
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
	case http.StatusGone:
		return status, "gone"
	case http.StatusConflict:
		return status, "ended"
	case http.StatusUnauthorized:
		return status, "refused"
	}
	if status >= http.StatusInternalServerError {
		return status, "internal"
	}
	return status, "request"
}
