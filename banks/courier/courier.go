package courier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/banks"
)

// Causes without a word of the bank's or of the order in them.
var (
	errLost      = errors.New("the connection was lost before the answer was complete")
	errTooLarge  = errors.New("the answer is larger than we read")
	errUnwritten = errors.New("the request could not be written")
)

// Options of a Line. Zero fields take the defaults.
type Options struct {
	TLS             *tls.Config   // of TLS.Load; nil: no client certificate, the system's roots
	ConnectTimeout  time.Duration // TCP and TLS together; 0 is 5 s
	Timeout         time.Duration // of a call whose context has no nearer deadline; 0 is 30 s
	IdleConnections int           // kept alive; 0 is 8
	MaxBody         int64         // of an answer; 0 is 1 MiB
}

// Line sends single requests to one counterpart and is safe for concurrent use.
type Line struct {
	id      string
	rt      http.RoundTripper
	options Options
	log     *slog.Logger
	now     func() time.Time
}

// New makes a line to the bank id.
func New(id string, o Options, d banks.Deps) *Line {
	o.ConnectTimeout = orDefault(o.ConnectTimeout, 5*time.Second)
	o.Timeout = orDefault(o.Timeout, 30*time.Second)
	o.IdleConnections = orDefault(o.IdleConnections, 8)
	o.MaxBody = orDefault(o.MaxBody, 1<<20)
	if o.TLS == nil {
		o.TLS = baseTLS()
	}
	dial := &dialer{net: net.Dialer{KeepAlive: 30 * time.Second}, tls: o.TLS, timeout: o.ConnectTimeout}
	var rt http.RoundTripper = &http.Transport{
		DialContext:            dial.plain,
		DialTLSContext:         dial.secure,
		MaxIdleConns:           o.IdleConnections,
		MaxIdleConnsPerHost:    o.IdleConnections,
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true, // no decompression bombs
		MaxResponseHeaderBytes: 64 << 10,
		Proxy:                  nil, // an order never takes a detour
	}
	if d.Wrap != nil {
		rt = d.Wrap(id, rt)
	}
	l := &Line{id: id, rt: rt, options: o, log: d.Log, now: d.Now}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.now == nil {
		l.now = time.Now
	}
	return l
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Request is one call.
type Request struct {
	What      string // for the log, e.g. "pay"
	Method    string
	URL       *url.URL
	Header    http.Header // without X-Request-ID, Traceparent and User-Agent, which Do sets
	Body      []byte      // nil for none
	RequestID string
	TraceID   string
	// Seal adds a signature to the complete header; nil for none. When it fails
	// nothing is sent, and its error, which must say nothing of the order, is
	// the cause.
	Seal func(h http.Header) error
}

// Reply is a complete answer, whatever its status.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// once carries a body that can be read a single time: not being one of the
// types net/http knows, it gets no GetBody, and so is never sent again.
type once struct{ r io.Reader }

func (o *once) Read(p []byte) (int, error) { return o.r.Read(p) }
func (o *once) Close() error               { return nil }

// Do sends one request and reads the whole answer. The error is Unavailable
// when the counterpart certainly got nothing, else Uncertain.
func (l *Line) Do(ctx context.Context, r Request) (*Reply, *banks.Error) {
	ctx, cancel := context.WithTimeout(ctx, l.options.Timeout)
	defer cancel()
	start := l.now()
	var wrote sent
	rep, err := l.exchange(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: wrote.got}), r)
	attrs := []any{"bank", l.id, "call", r.What, "ms", l.now().Sub(start).Milliseconds(), "request_id", r.RequestID, "trace_id", r.TraceID}
	if err == nil {
		l.log.DebugContext(ctx, "bank call", append(attrs, "http_status", rep.Status)...)
		return rep, nil
	}
	failure := &banks.Error{Kind: banks.Uncertain, Err: afterwards(ctx, err)}
	if !wrote.anything(ctx) {
		failure = &banks.Error{Kind: banks.Unavailable, Err: beforehand(ctx, err)}
	}
	if rep != nil {
		failure.HTTPStatus = rep.Status
	}
	l.log.WarnContext(ctx, "bank call failed", append(attrs, "kind", failure.Kind, "http_status", failure.HTTPStatus, "error", failure.Err)...)
	return nil, failure
}

// exchange returns a reply with the status alone beside an error when the
// answer broke off within its body.
func (l *Line) exchange(ctx context.Context, r Request) (*Reply, error) {
	h := header(r)
	if r.Seal != nil {
		if err := r.Seal(h); err != nil {
			return nil, &unsentError{err}
		}
	}
	req := (&http.Request{Method: r.Method, URL: r.URL, Host: r.URL.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	if r.Body != nil {
		req.Body, req.ContentLength = &once{bytes.NewReader(r.Body)}, int64(len(r.Body))
	}
	resp, err := l.rt.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // the answer has been read, or given up
	rep := &Reply{Status: resp.StatusCode, Header: resp.Header}
	body, err := io.ReadAll(io.LimitReader(resp.Body, l.options.MaxBody+1))
	if err != nil {
		return rep, err
	}
	if int64(len(body)) > l.options.MaxBody {
		return rep, errTooLarge
	}
	rep.Body = body
	return rep, nil
}

func header(r Request) http.Header {
	h := r.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("X-Request-ID", r.RequestID)
	if tp := traceparent(r.TraceID, r.RequestID); tp != "" {
		h.Set("Traceparent", tp)
	}
	h.Set("User-Agent", "rialto")
	return h
}

// traceparent is the W3C header that carries the trace id to the bank; the
// call is its span. "" when the trace id is not of that form.
func traceparent(traceID, requestID string) string {
	if b, err := hex.DecodeString(traceID); err != nil || len(b) != 16 || strings.ToLower(traceID) != traceID {
		return ""
	}
	span := sha256.Sum256([]byte(requestID))
	return "00-" + traceID + "-" + hex.EncodeToString(span[:8]) + "-01"
}

// afterwards describes a failure after bytes may have left. Transport errors
// may quote what the bank sent, so they are not passed on.
func afterwards(ctx context.Context, err error) error {
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errTooLarge):
		return err
	case errors.As(err, &op):
		return op
	}
	return errLost
}

// beforehand describes a failure to get a connection or a signature: addresses
// and certificates, nothing of the order.
func beforehand(ctx context.Context, err error) error {
	var failed *unsentError
	switch {
	case errors.As(err, &failed):
		return failed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return errUnwritten
}

// RetryAfter reads the header in both its forms (RFC 9110 §10.2.3), at most a
// day; 0 when there is none.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(s)*time.Second, 24*time.Hour)
	}
	if t, err := http.ParseTime(v); err == nil && t.After(now) {
		return min(t.Sub(now), 24*time.Hour)
	}
	return 0
}
