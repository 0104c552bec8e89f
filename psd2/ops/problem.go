package ops

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
)

// failed turns what went wrong into a page; the cause is in the log, under the
// trace id that the page names.
func (r *Room) failed(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	ctx := c.Request().Context()
	status, key := classify(err)
	edge.NoteFailure(c.Response(), c.Request(), status, err)
	lang := page.Negotiate(c.Response(), c.Request(), "")
	p := page.Page{Name: "error", Lang: lang, Layout: "dense", Status: status, Title: r.pages.Say(lang, "error."+key+".title"),
		Data: page.Problem{
			Lead: r.pages.Say(lang, "error."+key+".lead"), Next: r.pages.Say(lang, "error."+key+".next"),
			Links:   []page.Link{{Text: r.pages.Say(lang, "error.home"), Href: "/payments"}},
			TraceID: edge.TraceID(ctx),
		}}
	if err := r.pages.Render(c.Response(), p); err != nil {
		edge.Annotate(ctx, "error", err.Error())
	}
}

// classify gives the status and the family of texts for an error.
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
	}
	if status >= http.StatusInternalServerError {
		return status, "internal"
	}
	return status, "request"
}
