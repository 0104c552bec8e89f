package courier

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2/jose"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// certificate makes a self-signed one for a host and writes it as PEM.
func certificate(t *testing.T, host string, from, to time.Time) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, DNSNames: []string{host}}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses, c.DNSNames = []net.IP{ip}, nil
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func (l *Line) close() { l.rt.(*http.Transport).CloseIdleConnections() }

func ask(t *testing.T, base string, o Options) (*Reply, *banks.Error) {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	l := New("bank", o, banks.Deps{})
	defer l.close()
	return l.Do(t.Context(), Request{What: "test", Method: http.MethodPost, URL: u, Body: []byte("order"), RequestID: "1"})
}

// TestWeakOrForeignTLSIsRefused. C48: old version, CBC suite, expired, wrong
// name, unknown issuer; nothing is sent.
func TestWeakOrForeignTLSIsRefused(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		host     string
		from, to time.Time
		server   *tls.Config
		works    bool
	}{
		"good":       {host: "127.0.0.1", server: &tls.Config{}, works: true},
		"TLS 1.2":    {host: "127.0.0.1", server: &tls.Config{MaxVersion: tls.VersionTLS12}, works: true},
		"TLS 1.1":    {host: "127.0.0.1", server: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}},
		"CBC only":   {host: "127.0.0.1", server: &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}},
		"wrong name": {host: "other.example", server: &tls.Config{}},
		"expired":    {host: "127.0.0.1", from: now.Add(-48 * time.Hour), to: now.Add(-24 * time.Hour), server: &tls.Config{}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.to.IsZero() {
				c.from, c.to = now.Add(-time.Hour), now.Add(time.Hour)
			}
			cert, ca := certificate(t, c.host, c.from, c.to)
			var seen atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
			c.server.Certificates = []tls.Certificate{cert}
			server.TLS, server.Config.ErrorLog = c.server, log.New(io.Discard, "", 0)
			server.StartTLS()
			defer server.Close()
			trusted, err := TLS{CAFile: ca}.Load()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ask(t, server.URL, Options{TLS: trusted}); c.works != (err == nil) || err != nil && (err.Kind != banks.Unavailable || seen.Load() != 0) {
				t.Errorf("%v after %d requests", err, seen.Load())
			}
			before := seen.Load()
			if _, err := ask(t, server.URL, Options{}); err == nil || err.Kind != banks.Unavailable || seen.Load() != before {
				t.Errorf("an unknown issuer: %v", err)
			}
		})
	}
}

func TestBaseMustBeHTTPS(t *testing.T) {
	for raw, ok := range map[string]bool{
		"https://bank.example/x": true, "http://127.0.0.1:1": true, "http://h2h.localhost:1/x": true, "http://bank.example": false, "": false,
		"https://u:p@bank.example": false, "https://bank.example?x=1": false, "ftp://bank.example": false, "//bank.example": false,
		"http://127.0.0.1.example": false, "http://localhost.example": false,
	} {
		if _, err := ParseBase(raw, true); ok != (err == nil) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if _, err := ParseBase("http://127.0.0.1:1", false); err == nil {
		t.Error("http without insecure_loopback")
	}
}

// TestEndlessAnswerIsNotRead: the limit holds whatever the header says.
func TestEndlessAnswerIsNotRead(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 2000))
	}))
	defer server.Close()
	if _, err := ask(t, server.URL, Options{MaxBody: 1999}); err == nil || err.Kind != banks.Uncertain || err.HTTPStatus != 200 {
		t.Errorf("%v", err)
	}
	if rep, err := ask(t, server.URL, Options{MaxBody: 2000}); err != nil || len(rep.Body) != 2000 {
		t.Errorf("%v", err)
	}
}

// TestWithoutItsSealNothingIsSent: the seal sees the complete header, and a
// request it cannot be put on does not leave.
func TestWithoutItsSealNothingIsSent(t *testing.T) {
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	l := New("bank", Options{}, banks.Deps{})
	defer l.close()
	r := Request{What: "test", Method: http.MethodPost, URL: u, Body: []byte("order"), RequestID: "1", Seal: func(http.Header) error { return errors.New("no key") }}
	if _, err := l.Do(t.Context(), r); err == nil || err.Kind != banks.Unavailable || err.Err.Error() != "no key" || got != nil {
		t.Errorf("%v, sent %v", err, got)
	}
	r.Seal = func(h http.Header) error { h.Set("Signature", "over "+h.Get("X-Request-ID")); return nil }
	if _, err := l.Do(t.Context(), r); err != nil || got.Get("Signature") != "over 1" {
		t.Errorf("%v, sent %v", err, got)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{"7": 7 * time.Second, "": 0, "-1": 0, "soon": 0, "99999999": 24 * time.Hour, "0": 0, "1e3": 0, "99999999999999999999": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0} {
		if got := RetryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

// TestAnswerIsBoundToItsRequest: another status, request, body, key or time,
// two signatures, none, or our own signature sent back to us do not verify.
func TestAnswerIsBoundToItsRequest(t *testing.T) {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	set := func() *jose.KeySet {
		s, err := jose.NewKeySet(rand.Reader, now)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ours, theirs, others := set(), set(), set()
	seal := NewSeal(ours, theirs.Public())
	u, _ := url.Parse("https://bank.example/payments?x=1")
	r := Request{Method: "POST", URL: u, RequestID: "r-1", Body: []byte("order"), Header: http.Header{}}
	if err := seal.Sign(&r, now); err != nil {
		t.Fatal(err)
	}
	if _, err := jose.VerifyDetached(r.Header.Get(HeaderSignature), ours.Public(), RequestBytes("POST", "/payments?x=1", "r-1", []byte("order")), now); err != nil {
		t.Errorf("our own signature: %v", err)
	}
	by := func(s *jose.KeySet, payload []byte, at time.Time) string {
		key, err := s.Signer(jose.ES256, now)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jose.SignDetached(key, payload, at)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	good := AnswerBytes(200, "r-1", []byte("yes"))
	for name, c := range map[string]struct {
		values []string
		ok     bool
	}{
		"good":            {[]string{by(theirs, good, now)}, true},
		"none":            {nil, false},
		"two":             {[]string{by(theirs, good, now), by(theirs, good, now)}, false},
		"another key":     {[]string{by(others, good, now)}, false},
		"our key":         {[]string{by(ours, good, now)}, false},
		"ours, reflected": {[]string{r.Header.Get(HeaderSignature)}, false},
		"another status":  {[]string{by(theirs, AnswerBytes(202, "r-1", []byte("yes")), now)}, false},
		"another request": {[]string{by(theirs, AnswerBytes(200, "r-2", []byte("yes")), now)}, false},
		"another body":    {[]string{by(theirs, AnswerBytes(200, "r-1", []byte("no")), now)}, false},
		"too old":         {[]string{by(theirs, good, now.Add(-6*time.Minute))}, false},
		"rubbish":         {[]string{"a..b"}, false},
	} {
		err := seal.Verify(r, &Reply{Status: 200, Header: http.Header{http.CanonicalHeaderKey(HeaderSignature): c.values}, Body: []byte("yes")}, now)
		if c.ok != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	signed := http.Header{http.CanonicalHeaderKey(HeaderSignature): {by(theirs, good, now)}}
	if seal.Verify(r, &Reply{Status: 202, Header: signed, Body: []byte("yes")}, now) == nil {
		t.Error("a good answer passes with another status")
	}
}
