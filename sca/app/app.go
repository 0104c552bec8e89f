package app

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/psd2/room"
	"github.com/rialto-hub/rialto/sca"
)

//go:embed pages parts static text
var files embed.FS

//go:embed worker
var worker embed.FS

// Deps is what the room needs from others.
type Deps struct {
	SCA    *sca.Service
	Staff  *sca.Staff // set: the room is the consoles', not the payers'
	Origin string     // scheme://host[:port], the service's
	// Bound gives the secret of the browser that is bound to a payment, from the
	// request's cookies; "" when this is another browser. Needed for payers.
	Bound func(r *http.Request, paymentID string) string
	// Done is where a payer goes on after a confirmation has ended.
	Done func(paymentID string) string
	// MoreTime gives a payment whose payer asked for more time to confirm it more
	// time as well; nil: it has none of its own.
	MoreTime func(ctx context.Context, paymentID string) error
	// Home is where staff go after signing in, and Desk who they are, which the
	// sign-in says: operators, officers, or nothing.
	Home, Desk string
	// Refused is told of every sign-in of staff that did not work: whoever it was
	// meant for, the same; login is "" with a passkey. Nil: nobody is.
	Refused func(ctx context.Context, method sca.Method, login string)
	// Nudged calls fn with the id of every push device that is told to look,
	// by whatever process (psd2/bus). Nil: devices look by themselves.
	Nudged   func(fn func(deviceID string)) (stop func(), err error)
	VAPIDKey string // public, base64url; "" without Web Push
	Provider page.Provider
	Edge     *edge.Edge
	Now      func() time.Time
	Random   io.Reader
	Log      *slog.Logger
}

// Who signs in at a room of staff.
const (
	Operators = "operators"
	Officers  = "officers"
)

// Requests a second from one address (/64 for IPv6), and at once.
const (
	perAddress = 5
	burst      = 60
)

// Open event streams in all, and of one challenge, device or session.
const (
	streamsInAll = 4096
	streamsPer   = 4
)

// Room answers for the pages.
type Room struct {
	Deps
	handler   http.Handler
	pages     *page.Set
	assets    []string // paths of the room's own
	addresses *edge.Limiter
	streams   *edge.Streams
	devices   watchers
	stop      func()
	closed    chan struct{}
	once      sync.Once
}

// New makes the room.
func New(d Deps) (*Room, error) {
	d.setDefaults()
	origin, err := url.Parse(d.Origin)
	if err != nil || origin.Scheme+"://"+origin.Host != d.Origin {
		return nil, errors.New("sca/app: origin must be scheme://host[:port]")
	}
	if !slices.Contains([]string{"", Operators, Officers}, d.Desk) {
		return nil, errors.New("sca/app: there is no such desk")
	}
	if d.SCA == nil || d.Staff == nil && (d.Bound == nil || d.Done == nil) {
		return nil, errors.New("sca/app: the service, and for payers Bound and Done, are needed")
	}
	pages, err := page.New(page.Room{Files: files, Provider: d.Provider, Funcs: funcs})
	if err != nil {
		return nil, err
	}
	r := &Room{Deps: d, pages: pages, addresses: edge.NewLimiter(d.Now, perAddress, burst),
		streams: &edge.Streams{All: streamsInAll, Per: streamsPer}, closed: make(chan struct{}), stop: func() {}}
	for _, name := range []string{"sca.css", "passkey.js", "device.js", "receipt.js"} {
		path, err := pages.AssetURL(name)
		if err != nil {
			return nil, err
		}
		r.assets = append(r.assets, path)
	}
	if d.Nudged != nil {
		if r.stop, err = d.Nudged(r.devices.wake); err != nil {
			return nil, err
		}
	}
	r.handler = d.Edge.Wrap("sca", edge.SecurityHeaders(page.CSP(), r.routes()))
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
	if d.Home == "" {
		d.Home = "/"
	}
}

// ServeHTTP implements http.Handler.
func (r *Room) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.handler.ServeHTTP(w, req) }

// Handles reports whether a path is this room's, for whoever mounts it beside
// another room on one origin.
func (r *Room) Handles(path string) bool {
	return strings.HasPrefix(path, "/sca/") || r.Staff != nil && strings.HasPrefix(path, "/staff/") || slices.Contains(r.assets, path)
}

// Close ends all streams, so that a server can shut down.
func (r *Room) Close() { r.once.Do(func() { close(r.closed); r.stop() }) }

func (r *Room) routes() http.Handler {
	e := room.New(room.Options{Pages: r.pages, Own: r.ownOrigin, Script: wantsJSON})
	get := func(path string, h func(*visit) error) { room.Get(e, path, r.serve(h)) }
	post := func(path string, h func(*visit) error) { e.POST(path, r.serve(h)) }
	get("/sca/enrol/:token", (*visit).link)
	post("/sca/enrol/:token", (*visit).enter)
	get("/sca/factors", own((*visit).factors))
	post("/sca/factors/:id/rename", own((*visit).rename))
	post("/sca/factors/:id/revoke", own((*visit).revoke))
	post("/sca/unblock", own((*visit).unblock))
	post("/sca/stay", own((*visit).stay))
	post("/sca/out", (*visit).out)
	get("/sca/verify", own((*visit).verifyPage))
	post("/sca/verify", own((*visit).verifyCode))
	post("/sca/verify/push", own((*visit).verifyPush))
	post("/sca/verify/more", own((*visit).verifyMore))
	get("/sca/verify/live", watching((*visit).verifyLive))
	post("/sca/verify/options", own((*visit).verifyOptions))
	post("/sca/verify/passkey", own((*visit).verifyPasskey))
	post("/sca/passkey/options", own((*visit).passkeyOptions))
	post("/sca/passkey", own((*visit).passkey))
	post("/sca/totp", own((*visit).totp))
	post("/sca/totp/confirm", own((*visit).totpConfirm))
	post("/sca/recovery", own((*visit).recovery))
	for _, path := range []string{"/sca/passkey", "/sca/totp", "/sca/recovery", "/sca/pair", "/sca/password"} {
		get(path, (*visit).shownOnce)
	}
	if r.Staff != nil {
		r.staffRoutes(get, post)
	} else {
		r.payerRoutes(get, post)
	}
	return e
}

func (r *Room) payerRoutes(get, post func(string, func(*visit) error)) {
	post("/sca/pair", own((*visit).pair))
	post("/sca/pair/confirm", own((*visit).pairConfirm))
	post("/sca/trust", own((*visit).trust))
	post("/sca/distrust", own((*visit).distrust))
	get("/sca/pay/:payment/:id", asked((*visit).pay))
	get("/sca/pay/:payment/:id/live", asked((*visit).payLive))
	post("/sca/pay/:payment/:id/code", asked((*visit).payCode))
	post("/sca/pay/:payment/:id/passkey", asked((*visit).payPasskey))
	post("/sca/pay/:payment/:id/push", asked((*visit).payPush))
	post("/sca/pay/:payment/:id/phone", asked((*visit).payPhone))
	post("/sca/pay/:payment/:id/back", asked((*visit).payBack))
	post("/sca/pay/:payment/:id/more", asked((*visit).payMore))
	post("/sca/pay/:payment/:id/cancel", asked((*visit).payCancel))
	get("/sca/phone/:token", (*visit).link)
	post("/sca/phone/:token", (*visit).takeOver)
	get("/sca/device", (*visit).device)
	get("/sca/device/manifest.webmanifest", (*visit).workerFile)
	get("/sca/device/sw.js", (*visit).workerFile)
	for _, name := range icons {
		get("/sca/device/"+name, (*visit).workerFile)
	}
	get("/sca/device/challenges", paired((*visit).deviceChallenges))
	get("/sca/device/live", paired((*visit).deviceLive))
	post("/sca/device/register", (*visit).deviceRegister)
	post("/sca/device/answer", paired((*visit).deviceAnswer))
	post("/sca/device/more", paired((*visit).deviceMore))
	post("/sca/device/subscribe", paired((*visit).deviceSubscribe))
	get("/sca/receipt", (*visit).receipt)
	get("/sca/receipt/keys", (*visit).receiptKeys)
	get("/sca/receipt/file", (*visit).receiptFile)
}

// ownOrigin reports whether a request comes from our own page. Without either
// header it is refused: every browser we support sends one.
func (r *Room) ownOrigin(req *http.Request) bool {
	h := req.Header
	origin, site := h.Values("Origin"), h.Get("Sec-Fetch-Site")
	switch {
	case len(origin) > 1 || site != "" && site != "same-origin":
		return false
	case len(origin) == 1 && origin[0] != "null":
		return origin[0] == r.Origin
	}
	return site == "same-origin"
}
