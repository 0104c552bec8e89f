package berlingroup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rialto-hub/rialto/banks"
)

// maxBody is the most we read of an answer; the standard's are a few hundred
// bytes.
const maxBody = 1 << 20

// Causes without a word of the bank's or the payer's in them.
var (
	errLost      = errors.New("the connection was lost before the answer was complete")
	errTooLarge  = errors.New("the answer is larger than 1 MiB")
	errUnwritten = errors.New("the request could not be written")
)

// client sends single requests to one bank.
type client struct {
	bankID  string
	rt      http.RoundTripper
	p       *profile
	timeout time.Duration
	log     *slog.Logger
	now     func() time.Time
}

func newClient(bankID string, p *profile, d banks.Deps) *client {
	dial := &dialer{net: net.Dialer{KeepAlive: 30 * time.Second}, tls: p.tls, timeout: p.ConnectTimeout}
	var rt http.RoundTripper = &http.Transport{
		DialContext:            dial.plain,
		DialTLSContext:         dial.secure,
		MaxIdleConns:           p.IdleConnections,
		MaxIdleConnsPerHost:    p.IdleConnections,
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true, // no decompression bombs
		MaxResponseHeaderBytes: 64 << 10,
		Proxy:                  nil, // an order never takes a detour
	}
	if d.Wrap != nil {
		rt = d.Wrap(bankID, rt)
	}
	return &client{bankID: bankID, rt: rt, p: p, timeout: p.Timeout, log: d.Log, now: d.Now}
}

// request is one call to the bank.
type request struct {
	what      string // for the log
	method    string
	url       *url.URL
	header    http.Header
	body      []byte // JSON unless xml or header says otherwise; nil for none
	xml       bool   // the body is XML
	foreign   bool   // to the authorisation server: not signed, without the profile's headers
	token     string // OAuth access token; "" for none
	requestID string
	traceID   string
}

// reply is a complete answer, whatever its status.
type reply struct {
	status int
	header http.Header
	json   []byte // the body if it says it is JSON, else nil
	xml    []byte // the same for XML
}

// once carries a body that can be read a single time: not being one of the
// types net/http knows, it gets no GetBody, and so is never sent again.
type once struct{ r io.Reader }

func (o *once) Read(p []byte) (int, error) { return o.r.Read(p) }
func (o *once) Close() error               { return nil }

// do sends one request and reads the whole answer. The error says whether the
// bank may have received it.
func (c *client) do(ctx context.Context, r request) (*reply, *banks.Error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	start := c.now()
	var wrote sent
	rep, err := c.exchange(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: wrote.got}), r)
	attrs := []any{"bank", c.bankID, "call", r.what, "ms", c.now().Sub(start).Milliseconds(), "request_id", r.requestID, "trace_id", r.traceID}
	if err == nil {
		c.log.DebugContext(ctx, "bank call", append(attrs, "http_status", rep.status)...)
		return rep, nil
	}
	failure := &banks.Error{Kind: banks.Uncertain, Err: afterwards(ctx, err)}
	if !wrote.anything(ctx) {
		failure = &banks.Error{Kind: banks.Unavailable, Err: beforehand(ctx, err)}
	}
	if rep != nil {
		failure.HTTPStatus = rep.status
	}
	c.log.WarnContext(ctx, "bank call failed", append(attrs, "kind", failure.Kind, "http_status", failure.HTTPStatus, "error", failure.Err)...)
	return nil, failure
}

// exchange returns a reply with the status alone beside an error when the
// answer broke off within its body.
func (c *client) exchange(ctx context.Context, r request) (*reply, error) {
	header := c.header(r)
	if err := c.p.sign(r, header, c.now()); err != nil {
		return nil, err
	}
	req := (&http.Request{Method: r.method, URL: r.url, Host: r.url.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	if r.body != nil {
		req.Body, req.ContentLength = &once{bytes.NewReader(r.body)}, int64(len(r.body))
	}
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	rep := &reply{status: resp.StatusCode, header: resp.Header}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return rep, err
	}
	if len(body) > maxBody {
		return rep, errTooLarge
	}
	switch contentType := resp.Header.Get("Content-Type"); {
	case isKind(contentType, "json"):
		rep.json = body
	case isKind(contentType, "xml"):
		rep.xml = body
	}
	return rep, nil
}

func isKind(contentType, kind string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/"+kind || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+"+kind))
}

func (c *client) header(r request) http.Header {
	h := http.Header{}
	if !r.foreign {
		h = c.p.fixed.Clone()
	}
	for name, values := range r.header {
		h[name] = values
	}
	h.Set("X-Request-ID", r.requestID)
	if tp := traceparent(r.traceID, r.requestID); tp != "" {
		h.Set("Traceparent", tp)
	}
	h.Set("Accept", "application/json")
	h.Set("User-Agent", "rialto")
	if c.p.xml && !r.foreign {
		h.Set("Accept", "application/json, application/xml;q=0.9")
	}
	switch {
	case r.xml:
		h.Set("Content-Type", "application/xml")
	case r.body != nil && h.Get("Content-Type") == "":
		h.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		h.Set("Authorization", "Bearer "+r.token)
	}
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

// headerText drops what no header value may hold and bounds its length; a
// payer's browser decides what a user agent contains.
func headerText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s[:min(len(s), 1024)])
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

// beforehand describes a failure to get a connection: addresses and
// certificates, nothing of the order.
func beforehand(ctx context.Context, err error) error {
	var failed *connectError
	switch {
	case errors.As(err, &failed):
		return failed
	case errors.Is(err, errUnsigned):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return errUnwritten
}

// sent follows whether a byte of one request was written. A connection of
// HTTP/1.1 belongs to one request at a time, so the count of bytes it was given
// since then is the request's own.
type sent struct {
	conn   atomic.Pointer[countedConn]
	before int64
	blind  atomic.Bool
}

func (s *sent) got(info httptrace.GotConnInfo) {
	conn, ok := info.Conn.(*countedConn)
	if !ok { // somebody's transport we know nothing about: assume the worst
		s.blind.Store(true)
		return
	}
	s.before = conn.written.Load()
	s.conn.Store(conn)
}

// anything reports whether the bank may have received something. When the
// context ended, the transport returns while its writer may still be about to
// write; then having had a connection is enough to assume so.
func (s *sent) anything(ctx context.Context) bool {
	conn := s.conn.Load()
	return s.blind.Load() || conn != nil && (ctx.Err() != nil || conn.written.Load() > s.before)
}

// countedConn counts the bytes it is asked to write, before it writes them.
type countedConn struct {
	net.Conn
	written atomic.Int64
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.written.Add(int64(len(p)))
	return c.Conn.Write(p)
}

// connectError is a failure of DNS, TCP or TLS: nothing was sent.
type connectError struct{ error }

func (e *connectError) Unwrap() error { return e.error }

type dialer struct {
	net     net.Dialer
	tls     *tls.Config
	timeout time.Duration
}

// plain dials TCP. Names under localhost are the loopback address, whatever a
// resolver says (RFC 6761 §6.3).
func (d *dialer) plain(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	conn, err := d.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: conn}, nil
}

func (d *dialer) secure(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	raw, err := d.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(addr)
	cfg := d.tls.Clone()
	cfg.ServerName = host
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, &connectError{err}
	}
	return &countedConn{Conn: conn}, nil
}

func (d *dialer) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(addr); err == nil && strings.HasSuffix(strings.ToLower("."+strings.TrimSuffix(host, ".")), ".localhost") {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	conn, err := d.net.DialContext(ctx, network, addr)
	if err != nil {
		return nil, &connectError{err}
	}
	return conn, nil
}

// retryAfter reads the header in both its forms (RFC 9110 §10.2.3), at most a
// day; 0 when there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(s)*time.Second, 24*time.Hour)
	}
	if t, err := http.ParseTime(v); err == nil && t.After(now) {
		return min(t.Sub(now), 24*time.Hour)
	}
	return 0
}
