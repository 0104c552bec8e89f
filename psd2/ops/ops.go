package ops

import (
	"crypto/rand"
	"embed"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/psd2/room"
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
	// Webhooks knows what merchants were told. Nil: the pages say that nothing is
	// known.
	Webhooks Webhooks
	// Docs is the address of the merchants' own interface to the same facts;
	// "" hides the link.
	Docs string
	// Staff signs people in; the pages open for nobody else.
	Staff    Staff
	Provider page.Provider // the zero value is the test environment
	Now      func() time.Time
	Random   io.Reader
	Log      *slog.Logger
}

// Room answers for the operator's pages.
type Room struct {
	Deps
	handler http.Handler
	pages   *page.Set
	streams *edge.Streams
	closed  chan struct{}
	once    sync.Once
}

// New makes the room. It fails without hub, store or staff, or when a page or a
// text is wrong.
func New(d Deps) (*Room, error) {
	d.setDefaults()
	if d.Hub == nil || d.Store == nil || d.Staff == nil {
		return nil, errors.New("ops: hub, store and staff are needed")
	}
	pages, err := page.New(page.Room{Files: files, Provider: d.Provider})
	if err != nil {
		return nil, err
	}
	r := &Room{Deps: d, pages: pages, streams: &edge.Streams{All: streamsMax}, closed: make(chan struct{})}
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
	e := room.New(room.Options{Pages: r.pages, Layout: "dense", Explain: r.explain})
	get := func(path string, h func(*visit) error) { room.Get(e, path, r.signedIn(h)) }
	post := func(path string, h func(*visit) error) { e.POST(path, r.signedIn(h)) }
	get("/", (*visit).home)
	get("/payments", (*visit).payments)
	get("/payments/:id", (*visit).payment)
	room.Get(e, "/payments/:id/live", r.open((*visit).live)) // checks the session without prolonging it
	post("/search", (*visit).search)
	get("/search", (*visit).home)
	get("/transfers", (*visit).transfers)
	get("/transfers/:id", (*visit).transfer)
	room.Get(e, "/transfers/:id/live", r.open((*visit).live))
	get("/unknown", (*visit).queue)
	post("/decisions", (*visit).propose)
	post("/decisions/:id/approve", (*visit).approve)
	post("/decisions/:id/return", (*visit).giveBack)
	get("/recalls", (*visit).recalls)
	get("/banks", (*visit).banks)
	get("/webhooks", (*visit).webhooks)
	return e
}

// explain completes the page about a failure: the way back, and the trace id
// that the log has the cause under.
func (r *Room) explain(req *http.Request, lang page.Lang, _ error, p *page.Problem) {
	p.TraceID = edge.TraceID(req.Context())
	p.Links = []page.Link{{Text: r.pages.Say(lang, "error.home"), Href: "/payments"}}
}
