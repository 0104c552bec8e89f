package room_test

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/psd2/room"
)

const texts = `error.forbidden.title = No
error.forbidden.lead = Not from there
error.forbidden.next = Stop
error.gone.title = Gone
error.gone.lead = Too late
error.gone.next = Start again
error.request.title = Not understood
error.request.lead = Wrong
error.request.next = Look again
`

// files are those of a room with words for some failures.
var files fs.FS = fstest.MapFS{"text/en.txt": {Data: []byte(texts)}, "text/de.txt": {Data: []byte(texts)}}

// serve makes a room whose /fail fails with err.
func serve(t *testing.T, err error, change func(*room.Options)) http.Handler {
	t.Helper()
	pages, perr := page.New(page.Room{Files: files, Provider: page.SandboxProvider()})
	if perr != nil {
		t.Fatal(perr)
	}
	o := room.Options{Pages: pages}
	if change != nil {
		change(&o)
	}
	e := room.New(o)
	room.Get(e, "/fail", func(echo.Context) error { return err })
	e.POST("/post", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	return (&edge.Edge{}).Wrap("test", e)
}

func ask(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://room.example"+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var errSecret = errors.New("dial tcp 10.0.0.7: password hunter2")

func TestFailuresAreToldInTheRoomsWords(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		says   string
	}{
		"one it has words for":              {psd2.Fail(psd2.CodeForbidden, "x", "y"), http.StatusForbidden, "Not from there"},
		"named by a handler":                {echo.NewHTTPError(http.StatusGone), http.StatusGone, "Too late"},
		"one it has no words for":           {psd2.Fail(psd2.CodeConflict, "x", "y"), http.StatusConflict, "Not understood"},
		"one that every room has words for": {psd2.NotFound("page"), http.StatusNotFound, "Page not found"},
		"unavailable, without words":        {psd2.Fail(psd2.CodeUnavailable, "x", "y"), http.StatusServiceUnavailable, "Something went wrong on our side"},
		"our own":                           {errSecret, http.StatusInternalServerError, "Something went wrong on our side"},
	} {
		w := ask(serve(t, c.err, nil), http.MethodGet, "/fail")
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%s: %d\n%s", name, w.Code, w.Body)
		}
		if named := strings.Contains(w.Body.String(), "please give this number"); named != (c.status >= http.StatusInternalServerError) {
			t.Errorf("%s: a trace id is shown: %v", name, named)
		}
	}
}

func TestRoomsMayExplainMore(t *testing.T) {
	h := serve(t, psd2.NotFound("page"), func(o *room.Options) {
		o.Layout = "dense"
		o.Explain = func(r *http.Request, lang page.Lang, err error, p *page.Problem) {
			p.Next, p.Links = string(lang)+" "+r.URL.Path+" "+string(psd2.CodeOf(err)), []page.Link{{Text: "Home", Href: "/home"}}
		}
	})
	w := ask(h, http.MethodGet, "/fail", "Accept-Language", "de")
	for _, want := range []string{"de /fail not_found", `href="/home"`, `class="dense"`, `lang="de"`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
}

// TestScriptsGetProblems: of what the room itself says; the router's answers
// are pages for everybody.
func TestScriptsGetProblems(t *testing.T) {
	script := func(o *room.Options) {
		o.Script = func(r *http.Request) bool { return r.Header.Get("Accept") == "application/json" }
	}
	w := ask(serve(t, psd2.Fail(psd2.CodeConflict, "too_late", "it is over"), script), http.MethodGet, "/fail", "Accept", "application/json")
	if w.Code != http.StatusConflict || w.Header().Get("Content-Type") != edge.ContentTypeProblem || !strings.Contains(w.Body.String(), `"too_late"`) {
		t.Errorf("%d %s\n%s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	if w = ask(serve(t, nil, script), http.MethodGet, "/nowhere", "Accept", "application/json"); w.Code != http.StatusNotFound {
		t.Errorf("nowhere: %d", w.Code)
	}
}

// TestFormsComeFromTheRoomsOwnPages: B05, and nothing but GET, HEAD and POST
// is answered.
func TestFormsComeFromTheRoomsOwnPages(t *testing.T) {
	h := serve(t, nil, nil)
	own := serve(t, nil, func(o *room.Options) { o.Own = func(r *http.Request) bool { return r.Header.Get("X-Own") != "" } })
	for name, c := range map[string]struct {
		h      http.Handler
		method string
		header []string
		status int
	}{
		"own page":            {h, http.MethodPost, []string{"Sec-Fetch-Site", "same-origin"}, http.StatusNoContent},
		"another site":        {h, http.MethodPost, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"a sibling":           {h, http.MethodPost, []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		"another origin":      {h, http.MethodPost, []string{"Origin", "https://evil.example"}, http.StatusForbidden},
		"not by its own rule": {own, http.MethodPost, []string{"Sec-Fetch-Site", "same-origin"}, http.StatusForbidden},
		"by its own rule":     {own, http.MethodPost, []string{"X-Own", "yes"}, http.StatusNoContent},
		"OPTIONS":             {h, http.MethodOptions, nil, http.StatusMethodNotAllowed},
		"DELETE":              {h, http.MethodDelete, nil, http.StatusMethodNotAllowed},
		"GET of a form":       {h, http.MethodGet, nil, http.StatusMethodNotAllowed},
	} {
		if w := ask(c.h, c.method, "/post", c.header...); w.Code != c.status {
			t.Errorf("%s: %d, want %d", name, w.Code, c.status)
		}
	}
	if w := ask(h, http.MethodHead, "/fail"); w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
}
