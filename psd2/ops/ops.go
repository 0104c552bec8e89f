package ops

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/psd2/store"
)

//go:embed pages parts static text
var files embed.FS

// Deps is what the room needs from others.
type Deps struct {
	Hub   *hub.Hub
	Store *store.DB
	Bus   *bus.Bus // nil: an open story looks for changes by itself
	Edge  *edge.Edge
	// Deliveries knows what webhooks were sent. Nil: the story says that none
	// are known.
	Deliveries Deliveries
	// Staff signs people in. Nil: nobody has a name here.
	Staff Staff
	// Token opens a session for reading; at least 16 characters.
	Token    string
	Provider page.Provider // the zero value is the test environment
	Now      func() time.Time
	Random   io.Reader
	Log      *slog.Logger
}

// Deliveries gives the webhook deliveries of an object (pay_…), oldest first.
type Deliveries interface {
	Deliveries(ctx context.Context, objectID string) ([]Delivery, error)
}

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	ID         string // dlv_…
	EventID    string // evt_…
	Type       string // of the event
	EndpointID string // whe_…
	Host       string // of the endpoint's URL; its path and query may be secret
	State      string // pending, delivered or failed
	Attempts   int64  // requests made so far
	CreatedAt  time.Time
	NextAt     *time.Time // of the next request, when pending
	Tries      []Try      // oldest first, as many as are kept
}

// Try is one request to an endpoint.
type Try struct {
	At     time.Time
	Took   time.Duration
	Status int    // of the answer; 0: there was none
	Error  string // why it failed, a few words without personal data
}

// minToken is the shortest operator token that is taken for a secret.
const minToken = 16

// Limits on guessing the token: tries a minute from one address (/64 for IPv6).
const triesPerMinute = 5

// Room answers for the operator's pages.
type Room struct {
	Deps
	handler  http.Handler
	pages    *page.Set
	csrf     *http.CrossOriginProtection
	sessions *sessions
	logins   *edge.Limiter
	streams  streams
	closed   chan struct{}
	once     sync.Once
}

// New makes the room. It fails when the token is too short to be a secret, or
// when a page or a text is wrong.
func New(d Deps) (*Room, error) {
	d.setDefaults()
	if len(d.Token) < minToken {
		return nil, errors.New("ops: the operator token needs at least 16 characters")
	}
	if d.Hub == nil || d.Store == nil {
		return nil, errors.New("ops: hub and store are needed")
	}
	pages, err := page.New(page.Room{Files: files, Provider: d.Provider})
	if err != nil {
		return nil, err
	}
	r := &Room{
		Deps: d, pages: pages, csrf: http.NewCrossOriginProtection(),
		sessions: newSessions(d.Now, d.Random),
		logins:   edge.NewLimiter(d.Now, triesPerMinute/60.0, triesPerMinute),
		closed:   make(chan struct{}),
	}
	r.handler = d.Edge.Wrap("ops", edge.SecurityHeaders(page.CSP(), r.routes()))
	return r, nil
}

func (d *Deps) setDefaults() {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Random == nil {
		d.Random = rand.Reader
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Edge == nil {
		d.Edge = &edge.Edge{Now: d.Now, Random: d.Random, Log: d.Log}
	}
	if d.Provider == (page.Provider{}) {
		d.Provider = page.SandboxProvider()
	}
}

// ServeHTTP implements http.Handler.
func (r *Room) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.handler.ServeHTTP(w, req) }

// Close ends all streams, so that a server can shut down without waiting for
// open pages. Call it before http.Server.Shutdown.
func (r *Room) Close() { r.once.Do(func() { close(r.closed) }) }

func (r *Room) routes() http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = r.failed
	e.Use(r.enter)
	read := []string{http.MethodGet, http.MethodHead}
	e.Match(read, "/login", r.open((*visit).loginForm))
	e.POST("/login", r.open((*visit).login))
	e.POST("/logout", r.open((*visit).logout))
	e.Match(read, "/static/*", echo.WrapHandler(r.pages.Assets()))

	e.Match(read, "/", r.signedIn((*visit).home))
	e.Match(read, "/payments", r.signedIn((*visit).payments))
	e.Match(read, "/payments/:id", r.signedIn((*visit).payment))
	e.Match(read, "/payments/:id/live", r.open((*visit).live)) // checks the session without prolonging it
	e.POST("/search", r.signedIn((*visit).search))
	e.Match(read, "/search", r.signedIn((*visit).home))
	e.Match(read, "/transfers", r.signedIn((*visit).transfers))
	e.Match(read, "/transfers/:id", r.signedIn((*visit).transfer))
	e.Match(read, "/transfers/:id/live", r.open((*visit).live))
	e.Match(read, "/unknown", r.signedIn((*visit).queue))
	e.POST("/decisions", r.signedIn((*visit).propose))
	e.POST("/decisions/:id/approve", r.signedIn((*visit).approve))
	e.POST("/decisions/:id/return", r.signedIn((*visit).giveBack))
	e.Match(read, "/banks", r.signedIn((*visit).banks))
	return e
}

// enter is what every request passes: its route for the log, methods we
// answer, and where a form came from.
func (r *Room) enter(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		req := c.Request()
		edge.SetRoute(req.Context(), c.Path())
		switch req.Method {
		case http.MethodGet, http.MethodHead, http.MethodPost:
		default: // echo would answer OPTIONS by itself
			c.Response().Header().Set("Allow", "GET, HEAD, POST")
			return echo.ErrMethodNotAllowed
		}
		if err := r.csrf.Check(req); err != nil {
			edge.Annotate(req.Context(), "problem", "cross_origin")
			return echo.ErrForbidden
		}
		return next(c)
	}
}
