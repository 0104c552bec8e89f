package console

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/goaml"
	"github.com/rialto-hub/rialto/compliance/names"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/psd2/room"
)

//go:embed pages parts static text
var files embed.FS

// Session is who sends a request, and since when.
type Session struct {
	compliance.Officer
	Passkey bool      // it began with a passkey, and the person was verified (UV)
	Began   time.Time //
	Used    time.Time // by a person, before this request
}

// Rights are what a session's officer may do at the desk, by the names under
// which whoever keeps people's rights knows them.
var Rights = map[string]compliance.Role{
	"desk:read": compliance.Viewer, "desk:analyst": compliance.Analyst, "desk:mlro": compliance.MLRO, "desk:admin": compliance.Admin, "audit:read": compliance.Auditor,
}

// How long a session lasts.
const (
	sessionIdle = 15 * time.Minute
	sessionLife = 8 * time.Hour
)

// Login is the sign-in of officers; the capability that authenticates people
// provides it.
type Login interface {
	// Session says whose a request is. It is asked at every request, so that
	// taking a role or an officer away works at once. An error of code
	// unauthorized means nobody's.
	Session(r *http.Request) (Session, error)
	// SignIn answers a request of nobody: it leads to the sign-in page, which
	// leads back.
	SignIn(w http.ResponseWriter, r *http.Request)
	// SignOut ends the session and answers.
	SignOut(w http.ResponseWriter, r *http.Request)
	// Colleagues are the officers a case may be given to.
	Colleagues(ctx context.Context) ([]compliance.Officer, error)
	// Names are those of everybody who works here or has, by id.
	Names(ctx context.Context) (map[string]string, error)
}

// Facts gives what is known of a case's person; *compliance.Desk does.
type Facts interface {
	FactsOf(ctx context.Context, c *compliance.Case) (*compliance.Facts, error)
}

// Watch tells what those who judge transactions see, and do not see;
// monitor.Monitor is one.
type Watch interface {
	// Blind says which rules saw too little of the newest transactions, of how many.
	Blind(ctx context.Context) (list []compliance.Blind, of int, err error)
	// BlindTo is Blind for some transactions.
	BlindTo(ctx context.Context, transactionIDs []string) ([]compliance.Blind, error)
	// Drift says how far what the fraud score sees has moved from what it learned.
	Drift(ctx context.Context) ([]score.Drifted, error)
}

// Screening computes a list hit again; screening.Service does.
type Screening interface {
	Again(stored json.RawMessage) (hit names.Hit, possible bool, err error)
}

// Deps is what the room needs from others.
type Deps struct {
	Desk      *compliance.Desk
	Login     Login
	Facts     Facts          // nil: Desk
	Book      *rulebook.Book // how rules change; nil: there are no pages for it
	Goaml     goaml.Profile  // for new reports
	Watch     Watch          // nil: nobody watches
	Screening Screening      // nil: list hits are not computed again
	Merchant  func(ctx context.Context, id string) string
	Edge      *edge.Edge
	Provider  page.Provider // the zero value is the test environment
	Now       func() time.Time
	Log       *slog.Logger
}

// Room answers for the officers' pages.
type Room struct {
	Deps
	handler http.Handler
	pages   *page.Set
}

// New makes the room. It fails without desk or login, or when a page or a text
// is wrong.
func New(d Deps) (*Room, error) {
	if d.Desk == nil || d.Login == nil {
		return nil, errors.New("console: desk and login are needed")
	}
	if d.Facts == nil {
		d.Facts = d.Desk
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Edge == nil {
		d.Edge = &edge.Edge{Now: d.Now, Log: d.Log}
	}
	if d.Provider == (page.Provider{}) {
		d.Provider = page.SandboxProvider()
	}
	if d.Merchant == nil {
		d.Merchant = func(_ context.Context, id string) string { return id }
	}
	pages, err := page.New(page.Room{Files: files, Provider: d.Provider})
	if err != nil {
		return nil, err
	}
	r := &Room{Deps: d, pages: pages}
	r.handler = d.Edge.Wrap("console", edge.SecurityHeaders(page.CSP(), r.routes()))
	return r, nil
}

// ServeHTTP implements http.Handler.
func (r *Room) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.handler.ServeHTTP(w, req) }

func (r *Room) routes() http.Handler {
	e := room.New(room.Options{Pages: r.pages, Layout: "dense", Explain: r.explain})
	get := func(path string, h func(*visit) error) { room.Get(e, path, r.signedIn(h)) }
	post := func(path string, h func(*visit) error) { e.POST(path, r.signedIn(h)) }
	e.POST("/logout", func(c echo.Context) error { r.Login.SignOut(c.Response(), c.Request()); return nil })

	get("/", (*visit).home)
	get("/queue", (*visit).queue)
	post("/queue/next", (*visit).next)
	post("/queue/bulk", (*visit).bulk)
	post("/queue/views", (*visit).saveView)
	post("/queue/csv", (*visit).csv)
	get("/cases/:id", (*visit).showCase)
	post("/cases/:id/act", (*visit).act)
	post("/cases/:id/reveal", (*visit).reveal)
	get("/cases/:id/report", (*visit).report)
	post("/cases/:id/report", (*visit).saveReport)
	post("/cases/:id/report/file", (*visit).reportFile)
	post("/proposals/:id", (*visit).decideMany)
	get("/alerts/:id", (*visit).alert)
	get("/rules", (*visit).rules)
	get("/rules/changes", (*visit).changes)
	post("/rules/changes", (*visit).draft)
	get("/rules/changes/:id", (*visit).change)
	post("/rules/changes/:id", (*visit).changeDo)
	post("/rules/changes/:id/backtest", (*visit).backtest)
	get("/screening", (*visit).screening)
	get("/runs", (*visit).runs)
	get("/holds", (*visit).holds)
	post("/holds/:id", (*visit).decideHold)
	post("/alerts/:id/judge", (*visit).judgeAgain)
	post("/alerts/:id/proof", (*visit).proof)
	get("/audit", (*visit).audit)
	post("/audit/export", (*visit).exportAudit)
	get("/keeping", (*visit).keeping)
	post("/keeping", (*visit).keep)
	get("/persons/:id/data", (*visit).personData)
	post("/search", (*visit).search)
	return e
}
