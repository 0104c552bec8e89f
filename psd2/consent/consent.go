package consent

import (
	"crypto/rand"
	"embed"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/psd2/room"
	"github.com/rialto-hub/rialto/sca"
)

//go:embed pages parts static text
var files embed.FS

// Config is what an operator may set about the hosted page.
type Config struct {
	// Provider is who runs the page. The zero value is a test environment
	// that says so on every page.
	Provider page.Provider `yaml:"provider"`
	// TimeZone of the times shown, e.g. "Europe/Berlin" (the default).
	TimeZone string `yaml:"time_zone"`
	// Gambling is shown on payments to gambling merchants.
	Gambling SpendingLine `yaml:"gambling"`
	// PerIP and PerLink limit requests a second from one address (/64 for
	// IPv6) and to one payment; defaults 10 and 4, with bursts ten times that.
	// A negative value limits nothing.
	PerIP   float64 `yaml:"per_ip"`
	PerLink float64 `yaml:"per_link"`
}

// SpendingLine is the sentence the law asks for beside a gambling payment, by
// language, and where help is to be had. The zero value is ours.
type SpendingLine struct {
	Text    map[page.Lang]string `yaml:"text"`
	HelpURL string               `yaml:"help_url"`
}

// Deps is what the room needs from others.
type Deps struct {
	Config    Config
	PublicURL string // scheme://host[:port] under which payers reach the room
	Hub       *hub.Hub
	// Watch signals that something about a payment was published; stop ends
	// it. Nil: the page looks for itself.
	Watch func(paymentID string) (changed <-chan struct{}, stop func())
	// SealSecret is what the keys are made of to which the page encrypts the
	// payer's answers to his bank, the same in all processes; at least 32 bytes.
	// Nil: they travel as the form sends them, over TLS.
	SealSecret []byte
	// SCA is the hub's own authentication, whose confirmations the pages lead to
	// and back from; nil: there is none.
	SCA    *sca.Service
	Edge   *edge.Edge
	Now    func() time.Time
	Random io.Reader
	Log    *slog.Logger
}

// Room answers for the hosted pages.
type Room struct {
	Deps
	handler http.Handler
	pages   *page.Set
	origin  string // of PublicURL
	perIP   *edge.Limiter
	perLink *edge.Limiter
	streams *edge.Streams
	closed  chan struct{}
	once    sync.Once
}

// New makes the room. It fails when a page, a text or the configuration is
// wrong.
func New(d Deps) (*Room, error) {
	d.setDefaults()
	public, err := url.Parse(d.PublicURL)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(d.Config.TimeZone)
	if err != nil {
		return nil, err
	}
	pages, err := page.New(page.Room{Files: files, Provider: d.Config.Provider, Location: zone, Funcs: funcs})
	if err != nil {
		return nil, err
	}
	r := &Room{
		Deps: d, pages: pages, origin: public.Scheme + "://" + public.Host,
		perIP:   edge.NewLimiter(d.Now, d.Config.PerIP, int(10*d.Config.PerIP)),
		perLink: edge.NewLimiter(d.Now, d.Config.PerLink, int(10*d.Config.PerLink)),
		streams: &edge.Streams{All: streamsInAll, Per: streamsPerPay}, closed: make(chan struct{}),
	}
	r.handler = d.Edge.Wrap("consent", edge.SecurityHeaders(page.CSP(), r.routes()))
	return r, nil
}

// funcs are the pages' own functions.
var funcs = template.FuncMap{
	"stepnames": func() []string { return []string{"step.bank", "step.confirm", "step.at_bank", "step.done"} },
	"zero":      func() psd2.Money { return psd2.Euro(0) }, // we charge payers nothing
	"domains": func(hosts []string) template.HTML { // one isolated name after another
		var b strings.Builder
		for i, h := range hosts {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(`<strong class="domain"><bdi>` + template.HTMLEscapeString(h) + "</bdi></strong>")
		}
		return template.HTML(b.String()) //nolint:gosec // escaped
	},
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
	c := &d.Config
	if c.Provider == (page.Provider{}) {
		c.Provider = page.SandboxProvider()
	}
	if c.TimeZone == "" {
		c.TimeZone = "Europe/Berlin"
	}
	if c.Gambling.HelpURL == "" {
		c.Gambling.HelpURL = "https://www.check-dein-spiel.de/"
	}
	if c.PerIP == 0 {
		c.PerIP = 10
	}
	if c.PerLink == 0 {
		c.PerLink = 4
	}
}

// ServeHTTP implements http.Handler.
func (r *Room) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.handler.ServeHTTP(w, req) }

// Close ends all streams, so that a server can shut down; give it to
// http.Server.RegisterOnShutdown.
func (r *Room) Close() { r.once.Do(func() { close(r.closed) }) }

func (r *Room) routes() http.Handler {
	e := room.New(room.Options{Pages: r.pages})
	get := func(path string, h func(*visit) error) { room.Get(e, path, r.serve(h)) }
	post := func(path string, h func(*visit) error) { e.POST(path, r.serve(h)) }
	get("/status", (*visit).health)
	get("/p/:token", (*visit).link)
	post("/p/:token", (*visit).bind)
	get("/p/:token/about", (*visit).linkAbout)
	get("/pay/:id", (*visit).status)
	get("/pay/:id/banks", (*visit).banks)
	get("/pay/:id/confirm", (*visit).confirm)
	post("/pay/:id/confirm", (*visit).authorise)
	post("/pay/:id/cancel", (*visit).cancel)
	post("/pay/:id/less", (*visit).payLess)
	post("/pay/:id/more", (*visit).more)
	post("/pay/:id/enrol", (*visit).enrol)
	post("/pay/:id/answer", (*visit).answer)
	get("/pay/:id/challenge", (*visit).challenge)
	get("/pay/:id/live", (*visit).live)
	get("/pay/:id/about", (*visit).about)
	get("/return/:attempt", (*visit).returned)
	get("/return/:attempt/failed", (*visit).returned)
	post("/notify/:attempt", (*visit).notify)
	return e
}
