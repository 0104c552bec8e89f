package bankstest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// Proxy stands between an adapter and a bank. Without a fault it passes
// everything on. It never sends a request twice itself.
type Proxy struct {
	URL string // http://127.0.0.1:port

	bank    *url.URL
	rt      http.RoundTripper
	creates func(*http.Request) bool
	server  *http.Server

	mu      sync.Mutex
	fault   *Fault
	paused  int // callers whose requests are none of the check's
	creator int // requests seen that could create a payment
	all     int
	reused  bool // the last one came on a connection that had carried another
}

// Fault is what the proxy does to requests; of what is set below Met, the first decides.
type Fault struct {
	// Only limits it to requests; nil: those that could create a payment.
	Only func(*http.Request) bool
	// Met, if set, is called when a request meets it.
	Met func()
	// Reset closes the connection hard at the request's first bytes.
	Reset bool
	// CutBefore closes the connection instead of passing the request on;
	// CutAfter passes it on and closes the connection instead of answering.
	// Partial sends the beginning of an answer first.
	CutBefore, CutAfter, Partial bool
	// Hold answers nothing until the adapter gives up.
	Hold bool
	// Answer answers instead of the bank.
	Answer http.HandlerFunc
	// Rewrite changes the bank's answer.
	Rewrite func(body []byte) []byte
}

type connKey struct{}

func newProxy(bank *url.URL, rt http.RoundTripper, creates func(*http.Request) bool) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if rt == nil {
		rt = &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, DialContext: dialLoopback}
	}
	p := &Proxy{URL: "http://" + l.Addr().String(), bank: bank, rt: rt, creates: creates}
	p.server = &http.Server{
		Handler:           p,
		ReadHeaderTimeout: 10 * time.Second,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	go func() { _ = p.server.Serve(listener{l, p}) }()
	return p, nil
}

// dialLoopback takes names under localhost to the loopback address, as
// browsers do.
func dialLoopback(ctx context.Context, network, addr string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(addr); err == nil && strings.HasSuffix("."+host, ".localhost") {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// Close ends all connections; from then on the address refuses.
func (p *Proxy) Close() {
	_ = p.server.Close()
	if t, ok := p.rt.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// Set puts a fault in place until Clear.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = &f
}

// Clear ends a fault and forgets the counts.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.creator, p.all, p.reused = nil, 0, 0, false
}

// Pause takes faults and the count of requests out of work until the function it
// returns is called: what the suite itself needs of the bank is not what it
// looks at. Requests that could create a payment are counted all the same.
func (p *Proxy) Pause() (resume func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.paused--
	}
}

// Creations is how many requests arrived that could create a payment, whole or
// broken off.
func (p *Proxy) Creations() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.creator
}

// Requests is how many requests of any kind arrived.
func (p *Proxy) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}

// Reused reports whether the last creating request came on a connection that
// had carried a request before.
func (p *Proxy) Reused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reused
}

func (p *Proxy) applies(r *http.Request) bool {
	if p.fault == nil || p.paused > 0 {
		return false
	}
	if p.fault.Only != nil {
		return p.fault.Only(r)
	}
	return p.creates(r)
}

// arrived counts a request and gives the fault that applies to it.
func (p *Proxy) arrived(r *http.Request, c *conn) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused == 0 {
		p.all++
	}
	if p.creates(r) {
		p.creator++
		p.reused = c != nil && c.served > 0
	}
	if c != nil {
		c.served++
		c.within = false
	}
	if !p.applies(r) {
		return nil
	}
	if p.fault.Met != nil {
		p.fault.Met()
	}
	return p.fault
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	c, _ := r.Context().Value(connKey{}).(*conn)
	f := p.arrived(r, c) // from here on, what the connection brings is another request
	if f == nil {
		f = &Fault{}
	}
	switch {
	case f.CutBefore:
		cut(w, f.Partial)
		return
	case f.Hold:
		<-r.Context().Done()
		return
	case f.Answer != nil:
		f.Answer(w, r)
		return
	}
	resp, err := p.forward(r, body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || f.CutAfter {
		cut(w, f.Partial)
		return
	}
	if f.Rewrite != nil {
		answer = f.Rewrite(answer)
	}
	for name, values := range resp.Header {
		if name != "Content-Length" && name != "Connection" && name != "Date" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(answer)
}

func (p *Proxy) forward(r *http.Request, body []byte) (*http.Response, error) {
	u := *r.URL
	u.Scheme, u.Host = p.bank.Scheme, p.bank.Host
	out, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, u.String(), io.NopCloser(bytes.NewReader(body)))
	if err != nil {
		return nil, err
	}
	out.ContentLength = int64(len(body))
	if len(body) == 0 {
		out.Body = nil
	}
	out.Header = r.Header.Clone()
	return p.rt.RoundTrip(out)
}

// cut ends the connection, after the beginning of an answer if partial. The
// latter matters because clients may repeat a request on their own when a used
// connection ends without a byte.
func cut(w http.ResponseWriter, partial bool) {
	c, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if partial {
		_, _ = buf.WriteString("HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 4096\r\n\r\n{\"transaction")
		_ = buf.Flush()
	}
	_ = c.Close()
}

// listener and conn let a fault act on the first bytes of a request, before it
// has been read.
type listener struct {
	net.Listener
	p *Proxy
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, p: l.p}, nil
}

type conn struct {
	net.Conn
	p       *Proxy
	served  int    // under p.mu
	within  bool   // under p.mu: a request has begun that the handler has not read to its end
	head    []byte // of a request that is being gathered
	pending []byte // read ahead, not yet handed on
}

// Read hands bytes on as they come, but for the header of a request that may be
// met with a reset: however small its pieces, it is gathered whole first.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.pending) == 0 {
		if c.head == nil {
			n, err := c.Conn.Read(b)
			if n == 0 || !c.begins() {
				return n, err
			}
			c.head = bytes.Clone(b[:n])
		}
		if err := c.gather(); err != nil {
			return 0, err
		}
		head := c.head
		c.head = nil
		if c.reset(head) {
			if t, ok := c.Conn.(*net.TCPConn); ok {
				_ = t.SetLinger(0)
			}
			_ = c.Conn.Close()
			return 0, net.ErrClosed
		}
		c.pending = head
	}
	n := copy(b, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

// gather reads on to the end of the header. When time runs out it is not over:
// the server ends its reads in that way between two requests, and the next one
// goes on.
func (c *conn) gather() error {
	more := make([]byte, 2048)
	for !bytes.Contains(c.head, []byte("\r\n\r\n")) && len(c.head) < http.DefaultMaxHeaderBytes {
		n, err := c.Conn.Read(more)
		c.head = append(c.head, more[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err != nil {
			break // the server may have what there is
		}
	}
	return nil
}

// begins says whether bytes that just came are the first of a request that may
// be met with a reset.
func (c *conn) begins() bool {
	p := c.p
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !c.within
	c.within = true
	return first && p.fault != nil && p.paused == 0 && p.fault.Reset
}

// reset says whether a request that begins so is to be met with a reset, and
// counts the request then, since nobody else will see it.
func (c *conn) reset(head []byte) bool {
	p := c.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == nil || !p.fault.Reset {
		return false
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil || !p.applies(r) {
		return false
	}
	p.all++
	if p.creates(r) {
		p.creator++
		p.reused = c.served > 0
	}
	return true
}
