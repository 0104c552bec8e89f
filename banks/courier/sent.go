package courier

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

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

// unsentError is a failure of DNS, TCP, TLS or our own seal: nothing was sent.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

type dialer struct {
	net     net.Dialer
	tls     *tls.Config
	timeout time.Duration
}

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
		_ = raw.Close() // what failed is said already
		return nil, &unsentError{err}
	}
	return &countedConn{Conn: conn}, nil
}

// connect dials TCP. Names under localhost are the loopback address, whatever
// a resolver says (RFC 6761 §6.3).
func (d *dialer) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(addr); err == nil && strings.HasSuffix(strings.ToLower("."+strings.TrimSuffix(host, ".")), ".localhost") {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	conn, err := d.net.DialContext(ctx, network, addr)
	if err != nil {
		return nil, &unsentError{err}
	}
	return conn, nil
}
