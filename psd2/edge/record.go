package edge

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
)

// record is what the edge knows about one request. It travels in the context.
type record struct {
	trace  string // 32 hex digits
	client netip.Addr
	port   string // "" when unknown
	secure bool   // the client spoke TLS, to us or to a trusted proxy

	mu    sync.Mutex
	route string
	attrs []slog.Attr
}

type recordKey struct{}

func recordOf(ctx context.Context) *record {
	rec, _ := ctx.Value(recordKey{}).(*record)
	return rec
}

func (e *Edge) newRecord(r *http.Request) *record {
	rec := &record{secure: r.TLS != nil}
	var trusted bool
	rec.client, rec.port, trusted = e.client(r)
	if trusted {
		rec.trace = parseTraceparent(r.Header.Get("Traceparent"))
		rec.secure = rec.secure || lastToken(r.Header.Values("X-Forwarded-Proto")) == "https"
	}
	if rec.trace == "" {
		rec.trace = newTrace(e.random())
	}
	return rec
}

func newTrace(random io.Reader) string {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return strings.Repeat("0", 31) + "1" // a trace id secures nothing: go on without one
	}
	return hex.EncodeToString(b[:])
}

// parseTraceparent reads the trace id of a W3C traceparent header
// (00-<32 hex>-<16 hex>-<2 hex>), or returns "".
func parseTraceparent(s string) string {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || s[:2] == "ff" || (s[:2] == "00" && len(s) != 55) {
		return ""
	}
	id := s[3:35]
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return ""
		}
	}
	if id == strings.Repeat("0", 32) {
		return ""
	}
	return id
}

func lastToken(values []string) string {
	if len(values) == 0 {
		return ""
	}
	last := values[len(values)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}

// TraceID is the request's trace id: 32 hex digits, in every problem answer,
// in the log, and sent on to the bank. It is "" outside a wrapped request.
func TraceID(ctx context.Context) string {
	if rec := recordOf(ctx); rec != nil {
		return rec.trace
	}
	return ""
}

// ClientAddr is the address of the client after trusted proxies; the zero
// Addr outside a wrapped request or when the transport has no IP.
func ClientAddr(ctx context.Context) netip.Addr {
	if rec := recordOf(ctx); rec != nil {
		return rec.client
	}
	return netip.Addr{}
}

// ClientPort is the client's source port, or "" when a proxy did not say.
func ClientPort(ctx context.Context) string {
	if rec := recordOf(ctx); rec != nil {
		return rec.port
	}
	return ""
}

// IsSecure reports whether the client spoke TLS, to us or to a trusted proxy.
func IsSecure(ctx context.Context) bool {
	rec := recordOf(ctx)
	return rec != nil && rec.secure
}

// Annotate adds a field to the request's wide event; the same key again
// replaces the value. Give ids and codes only: nothing personal, no secrets.
func Annotate(ctx context.Context, key string, value any) {
	if rec := recordOf(ctx); rec != nil {
		if s, ok := value.(string); ok {
			value = clip(s, 300)
		}
		rec.set(key, value)
	}
}

// SetRoute names the route pattern that matched, e.g. "/v1/payments/:id". A
// room whose router is not http.ServeMux calls it; requests without one are
// counted as "unmatched", so that no path ever becomes a label.
func SetRoute(ctx context.Context, pattern string) {
	if rec := recordOf(ctx); rec != nil {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		rec.route = pattern
	}
}

func (rec *record) set(key string, value any) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for i := range rec.attrs {
		if rec.attrs[i].Key == key {
			rec.attrs[i] = slog.Any(key, value)
			return
		}
	}
	rec.attrs = append(rec.attrs, slog.Any(key, value))
}

func (rec *record) attributes() []slog.Attr {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return append([]slog.Attr(nil), rec.attrs...)
}

func (rec *record) pattern(r *http.Request) string {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	switch {
	case rec.route != "":
		return rec.route
	case r.Pattern != "":
		return r.Pattern
	}
	return "unmatched"
}
