package edge

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// bodyTime is the default of Edge.BodyTime.
const bodyTime = 15 * time.Second

// Edge holds what all rooms of one process share. The zero value works: it
// logs nothing, trusts no proxy and counts nothing.
type Edge struct {
	Log            *slog.Logger
	Now            func() time.Time // time.Now when nil
	Random         io.Reader        // trace ids; crypto/rand when nil
	TrustedProxies []netip.Prefix   // peers whose X-Forwarded-For is believed
	Metrics        *Metrics         // may be nil
	// BodyTime is how long a client may take to send a body, 15 s when zero.
	// It leaves open how long a handler may stream its answer.
	BodyTime time.Duration
}

// methods are all that any room answers. TRACE would reflect headers, CONNECT
// and OPTIONS have no use here: there is no cross-origin access.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// Wrap prepares each request for h and records how it ended: one wide event in
// the log, one observation in the metrics. room names h in both. A panic in h
// becomes a 500 problem; other methods than GET, HEAD, POST, PUT, PATCH and
// DELETE become a 405.
func (e *Edge) Wrap(room string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := e.now()
		rec := e.newRecord(r)
		r = r.WithContext(psd2.WithTrace(context.WithValue(r.Context(), recordKey{}, rec), rec.trace))
		answer := &response{ResponseWriter: w}
		e.limitBodyTime(w, r)
		closeAfterChunked(w, r)
		e.Metrics.begin(room)
		defer func() {
			e.finish(room, rec, r, answer, e.now().Sub(started), recover())
		}()
		if !slices.Contains(methods, r.Method) {
			MethodNotAllowed(answer, r, methods...)
			return
		}
		h.ServeHTTP(answer, r)
	})
}

// finish is called with what a panicking handler panicked with, or nil.
func (e *Edge) finish(room string, rec *record, r *http.Request, answer *response, took time.Duration, panicked any) {
	abort := false
	if panicked == http.ErrAbortHandler {
		abort = true
	} else if panicked != nil {
		rec.set("panic", clip(fmt.Sprint(panicked), 300))
		rec.set("stack", clip(string(debug.Stack()), 6000))
		e.Metrics.panicked(room)
		if abort = answer.status != 0; !abort {
			WriteProblem(answer, r, fmt.Errorf("panic in %s", room))
		}
	}
	if answer.status == 0 {
		answer.status = http.StatusOK // nothing written: net/http sends an empty 200
	}
	route := rec.pattern(r)
	e.Metrics.end(room, method(r.Method), route, answer.status, took)
	e.event(room, rec, r, route, answer, took)
	if abort {
		panic(http.ErrAbortHandler) // the client must see a broken answer, not a short one
	}
}

// event writes the request's wide event. Path, query, headers and bodies stay
// out: they may hold references, tokens or link secrets. Of the client only
// the network is kept.
func (e *Edge) event(room string, rec *record, r *http.Request, route string, answer *response, took time.Duration) {
	if e.Log == nil {
		return
	}
	level := slog.LevelInfo
	if answer.status >= 500 {
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("room", room),
		slog.String("trace_id", rec.trace),
		slog.String("method", method(r.Method)),
		slog.String("route", route),
		slog.Int("status", answer.status),
		slog.Float64("ms", float64(took.Microseconds())/1000),
		slog.Int64("bytes_in", max(r.ContentLength, 0)),
		slog.Int64("bytes_out", answer.bytes),
		slog.String("client_net", clientNet(rec.client)),
	}
	e.Log.LogAttrs(r.Context(), level, "request", append(attrs, rec.attributes()...)...)
}

func (e *Edge) now() time.Time {
	if e.Now == nil {
		return time.Now()
	}
	return e.Now()
}

func (e *Edge) bodyTime() time.Duration {
	if e.BodyTime <= 0 {
		return bodyTime
	}
	return e.BodyTime
}

func (e *Edge) random() io.Reader {
	if e.Random == nil {
		return rand.Reader
	}
	return e.Random
}

// method keeps a stranger's token out of logs and labels.
func method(m string) string {
	if slices.Contains(methods, m) || m == http.MethodOptions || m == http.MethodTrace || m == http.MethodConnect {
		return m
	}
	return "OTHER"
}

// MethodNotAllowed answers 405 with the methods that are allowed.
func MethodNotAllowed(w http.ResponseWriter, r *http.Request, allow ...string) {
	w.Header().Set("Allow", strings.Join(allow, ", "))
	writeProblem(w, r, http.StatusMethodNotAllowed, &psd2.Error{
		Code: "method_not_allowed", Reason: "method_not_allowed", Message: "this method is not allowed here; see the Allow header",
	})
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
