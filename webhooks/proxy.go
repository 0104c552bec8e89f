package webhooks

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// errProxy is the cause of what a forward proxy does to us: never a fault of
// the endpoint behind it.
var errProxy = errors.New("webhooks: the forward proxy does not serve us")

// proxy is a forward proxy that every delivery goes through, so that merchants
// see one address of ours. We tell it the address that the guard has checked
// and pinned, never a name: what the proxy would resolve nobody has checked.
type proxy struct {
	address       string // host:port
	authorization string // of Proxy-Authorization
	tls           *tls.Config
	dialer        net.Dialer
}

// newProxy reads http:// or https://[user:password@]host:port.
func newProxy(text string, config *tls.Config) (*proxy, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Port() == "" || (u.Scheme != "http" && u.Scheme != "https") || u.Path != "" {
		return nil, errors.New("webhooks: proxy must be http:// or https:// with host and port") // the text may hold a password
	}
	p := &proxy{address: u.Host, dialer: net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}}
	if u.Scheme == "https" {
		p.tls = config.Clone()
		p.tls.ServerName = u.Hostname()
	}
	if u.User != nil {
		password, _ := u.User.Password()
		p.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	return p, nil
}

// dial opens a tunnel to a checked address (RFC 9110 §9.3.6).
func (p *proxy) dial(ctx context.Context, target string) (net.Conn, error) {
	conn, err := p.dialer.DialContext(ctx, "tcp", p.address)
	if err == nil && p.tls != nil {
		secure := tls.Client(conn, p.tls)
		if err = secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close() // it was never used
		}
		conn = secure
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProxy, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // ends what hangs
	err = p.connect(conn, target)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close() // it was never used
		return nil, err
	}
	return conn, nil
}

func (p *proxy) connect(conn net.Conn, target string) error {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{"User-Agent": {userAgent}}}
	if p.authorization != "" {
		request.Header.Set("Proxy-Authorization", p.authorization)
	}
	if err := request.Write(conn); err != nil {
		return fmt.Errorf("%w: %w", errProxy, err)
	}
	// One byte at a time: what follows the answer is the endpoint's.
	answer, err := http.ReadResponse(bufio.NewReaderSize(oneByte{conn}, 16), request)
	if err != nil {
		return fmt.Errorf("%w: %w", errProxy, err)
	}
	_ = answer.Body.Close() // a successful answer to CONNECT has none
	switch {
	case answer.StatusCode >= 200 && answer.StatusCode < 300:
		return nil
	case answer.StatusCode >= 502 && answer.StatusCode <= 504: // it works, and cannot get there
		return errors.New("webhooks: the endpoint cannot be reached through the proxy")
	}
	return fmt.Errorf("%w: it answered %d", errProxy, answer.StatusCode)
}

// oneByte keeps a buffered reader from reading further than it must.
type oneByte struct{ net.Conn }

func (c oneByte) Read(b []byte) (int, error) {
	if len(b) > 1 {
		b = b[:1]
	}
	return c.Conn.Read(b)
}

// clientCertificate is what we show to endpoints that ask for one. It is read
// anew at each handshake, so that renewing it needs no restart; one that cannot
// be read leaves the last good one in use.
type clientCertificate struct {
	cert, key string
	mu        sync.Mutex
	last      *tls.Certificate
}

func newClientCertificate(cert, key string) (*clientCertificate, error) {
	if cert == "" && key == "" {
		return nil, nil
	}
	c := &clientCertificate{cert: cert, key: key}
	_, err := c.get(nil)
	return c, err
}

func (c *clientCertificate) get(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.last = &pair
	}
	if c.last == nil {
		return nil, fmt.Errorf("webhooks: client certificate: %w", err)
	}
	return c.last, nil
}
