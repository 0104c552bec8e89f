package webhooks_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/webhooks"
)

// tunnels is a forward proxy that takes CONNECT and leads everything to one
// place, whatever it was asked for.
type tunnels struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []string
	answer int
}

func newTunnels(t *testing.T, to string) *tunnels {
	p := &tunnels{answer: 200}
	p.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.Method+" "+r.Host+" "+r.Header.Get("Proxy-Authorization"))
		answer := p.answer
		p.mu.Unlock()
		if answer != 200 {
			rw.WriteHeader(answer)
			return
		}
		upstream, err := net.Dial("tcp", to)
		if err != nil {
			rw.WriteHeader(502)
			return
		}
		conn, _, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { _, _ = io.Copy(upstream, conn); _ = upstream.Close() }()
		_, _ = io.Copy(conn, upstream)
		_ = conn.Close()
	}))
	t.Cleanup(func() { p.CloseClientConnections(); p.Close() })
	return p
}

func (p *tunnels) set(answer int) { p.mu.Lock(); p.answer = answer; p.mu.Unlock() }

func (p *tunnels) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.asked, "\n")
}

type fixed []string

func (f fixed) LookupNetIP(context.Context, string, string) (list []netip.Addr, err error) {
	for _, a := range f {
		list = append(list, netip.MustParseAddr(a))
	}
	return list, nil
}

// secure is a merchant's server with a certificate for example.com. It keeps
// the names in the clients' certificates.
type secure struct {
	*httptest.Server
	mu    sync.Mutex
	names []string
}

func newSecure(t *testing.T) (s *secure, roots *x509.CertPool) {
	s, roots = &secure{}, x509.NewCertPool()
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range r.TLS.PeerCertificates {
			s.names = append(s.names, c.Subject.CommonName)
		}
		rw.WriteHeader(204)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, SessionTicketsDisabled: true} // a resumed session shows the old one
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	roots.AddCert(s.Certificate())
	return s, roots
}

// last is the name that was shown last.
func (s *secure) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.names) == 0 {
		return ""
	}
	return s.names[len(s.names)-1]
}

// C31, C32: through a forward proxy too, the address that is connected to is
// the one that was checked; the proxy resolves nothing for us.
func TestProxyGetsTheCheckedAddress(t *testing.T) {
	server, roots := newSecure(t)
	proxy := newTunnels(t, server.Listener.Addr().String())
	for name, c := range map[string]struct {
		addresses fixed
		state     webhooks.DeliveryState
		asked     string
		word      string
	}{
		"public":   {fixed{"93.184.216.34"}, webhooks.DeliveryDelivered, "CONNECT 93.184.216.34:443 Basic dTpw", ""},
		"metadata": {fixed{"169.254.169.254"}, webhooks.DeliveryPending, "", "address_not_allowed"},
		"mixed":    {fixed{"93.184.216.34", "10.0.0.1"}, webhooks.DeliveryPending, "", "address_not_allowed"},
	} {
		proxy.mu.Lock()
		proxy.asked = nil
		proxy.mu.Unlock()
		w := simple(t, func(w *world) {
			w.roots, w.resolver = roots, c.addresses
			w.config.Proxy = strings.Replace(proxy.URL, "://", "://u:p@", 1)
		})
		e := w.put(webhooks.Endpoint{URL: "https://example.com/hook"})
		w.event(w.payment())
		w.quiet()
		if d := w.only(e.ID); d.State != c.state || d.Tries[0].Error != c.word || proxy.all() != c.asked {
			t.Errorf("%s: %s %q, the proxy was asked %q", name, d.State, d.Tries[0].Error, proxy.all())
		}
	}
}

// What the proxy does wrong is held against no endpoint, and uses up nothing
// of a delivery's schedule.
func TestProxysFaultIsNotTheEndpoints(t *testing.T) {
	server, roots := newSecure(t)
	proxy := newTunnels(t, server.Listener.Addr().String())
	w := simple(t, func(w *world) {
		w.roots, w.resolver, w.config.Proxy = roots, fixed{"93.184.216.34"}, proxy.URL
	})
	e := w.put(webhooks.Endpoint{URL: "https://example.com/hook"})
	proxy.set(407)
	w.event(w.payment())
	w.quiet()
	for range 30 { // longer than the schedule has tries
		w.jump(6 * time.Hour)
		w.quiet()
	}
	d := w.only(e.ID)
	after, err := w.nodes[0].Endpoint(t.Context(), merchant, e.ID)
	if err != nil || d.State != webhooks.DeliveryPending || d.Tries[0].Error != "proxy" || after.FailingSince != nil || after.State != webhooks.EndpointActive {
		t.Fatalf("%+v\n%+v, %v", d, after, err)
	}
	proxy.set(200)
	w.jump(time.Minute)
	w.quiet()
	if d := w.only(e.ID); d.State != webhooks.DeliveryDelivered {
		t.Errorf("%+v", d)
	}
	// That it cannot get there is the endpoint's matter.
	proxy.set(502)
	server.CloseClientConnections()
	w.until("connections are gone", func() bool {
		w.event(w.payment())
		w.quiet()
		a, _ := w.nodes[0].Endpoint(t.Context(), merchant, e.ID)
		return a.FailingSince != nil
	})
}

func TestProxysPasswordIsNotQuoted(t *testing.T) { // C39
	for _, text := range []string{"ftp://u:geheim@h:1", "http://u:geheim@", "http://u:geheim@h", "http://u:geheim@h:1/path", "://u:geheim"} {
		_, err := webhooks.New(webhooks.Config{Proxy: text}, simpleDeps(t))
		if err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// certificate writes a self-signed client certificate.
func certificate(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClientCertificateIsShownAndRenewed(t *testing.T) {
	server, roots := newSecure(t)
	dir := t.TempDir()
	certificate(t, dir, "rialto-one")
	w := simple(t, func(w *world) {
		w.roots = roots
		w.config.ClientCertFile, w.config.ClientKeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	})
	w.put(webhooks.Endpoint{URL: server.URL})
	w.event(w.payment())
	w.quiet()
	if server.last() != "rialto-one" {
		t.Fatalf("shown: %q", server.last())
	}
	certificate(t, dir, "rialto-two")
	server.CloseClientConnections()
	w.until("the new one", func() bool { // the first try may still find the old connection
		w.event(w.payment())
		return server.last() == "rialto-two"
	})
	if _, err := webhooks.New(webhooks.Config{ClientCertFile: filepath.Join(dir, "not.pem")}, w.deps("other")); err == nil {
		t.Error("a certificate that is not there was taken")
	}
}
