package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
)

// forwarded adds headers, as a proxy (or a liar) does.
type forwarded struct {
	http.RoundTripper
	header map[string]string
}

func (f forwarded) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for k, v := range f.header {
		r.Header.Set(k, v)
	}
	return f.RoundTripper.RoundTrip(r)
}

// TestTrustedProxiesDecideWhoTheClientIs: C08. The bank is told the payer's
// address as PSU-IP-Address: what a trusted proxy says, never what a stranger
// claims.
func TestTrustedProxiesDecideWhoTheClientIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, config, forwardedFor, want string }{
		{"trusted", "http: {trusted_proxies: [127.0.0.1/32]}\n", "198.51.100.7", "198.51.100.7"},
		{"trusted, with a liar before it", "http: {trusted_proxies: [127.0.0.1/32]}\n", "203.0.113.9, 198.51.100.7", "198.51.100.7"},
		{"two proxies", "http: {trusted_proxies: [127.0.0.1/32, 10.0.0.0/8]}\n", "198.51.100.7, 10.1.2.3", "198.51.100.7"},
		{"nobody is trusted", "", "198.51.100.7", "127.0.0.1"},
		{"others are trusted", "http: {trusted_proxies: [10.0.0.0/8]}\n", "198.51.100.7", "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := startBank(t)
			h := startHub(t, hubConfig(t, b, c.config), nil)
			s := openShop(t, h, h.PublicURL, "hook", nil)
			p := s.create(t, s.deposit("Anna Beispiel"))
			anna, err := b.Operator.Persona(t.Context(), "sandbank", "anna")
			if err != nil {
				t.Fatal(err)
			}
			payAt(t, p.HostedPage.URL, anna, psu.Wish{Decline: true}, forwarded{&http.Transport{DialContext: payer.DialLoopback}, map[string]string{"X-Forwarded-For": c.forwardedFor}})
			orders := b.initiations()
			if len(orders) != 1 {
				t.Fatalf("%d orders", len(orders))
			}
			if got := orders[0].Header.Get("PSU-IP-Address"); got != c.want {
				t.Errorf("the bank was told %q, want %q", got, c.want)
			}
		})
	}
}

// TestForgedAddressesDoNotEscapeTheLimit: C08. A thousand addresses claimed by
// one stranger share his limit; the same behind a trusted proxy are a thousand
// clients.
func TestForgedAddressesDoNotEscapeTheLimit(t *testing.T) {
	t.Parallel()
	const limits = "limits: {token: {per_second: 0.001, burst: 20}, address: {per_second: -1}}\n"
	for _, c := range []struct {
		name, config string
		want         int
	}{
		{"stranger", limits, 20},
		{"trusted proxy", limits + "http: {trusted_proxies: [127.0.0.1/32]}\n", 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := startHub(t, hubConfig(t, nil, c.config), nil)
			passed := 0
			for i := range 1000 {
				address := fmt.Sprintf("198.51.%d.%d", i/250, i%250+1)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.PublicURL+"/oauth/token", strings.NewReader("grant_type=none"))
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip"} {
					req.Header.Set(name, address)
				}
				req.Header.Set("Forwarded", "for="+address)
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				switch {
				case res.StatusCode != http.StatusTooManyRequests:
					passed++
				case res.Header.Get("Retry-After") == "":
					t.Fatal("429 without Retry-After")
				}
			}
			if passed != c.want {
				t.Errorf("%d requests passed, want %d", passed, c.want)
			}
		})
	}
}

// TestCertificateHeadersProveNothing: C37. Who claims in a header to have
// shown a certificate, or to be a merchant, is nobody.
func TestCertificateHeadersProveNothing(t *testing.T) {
	t.Parallel()
	for _, config := range []string{"", "http: {trusted_proxies: [127.0.0.1/32]}\n"} {
		h := startHub(t, hubConfig(t, nil, config), nil)
		s := openShop(t, h, h.PublicURL, "hook", nil)
		for _, name := range []string{
			"X-Client-Cert", "X-Forwarded-Client-Cert", "X-SSL-Client-Cert", "X-SSL-Client-Verify", "X-SSL-Client-S-DN", "SSL-Client-Cert", "X-ARR-ClientCert",
			"Client-Cert", "Client-Cert-Chain", "X-Remote-User", "X-Forwarded-User", "X-Auth-Request-User", "X-Merchant-Id", "X-Client-Id", "X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override",
		} {
			for _, value := range []string{s.ID, "CN=" + s.ID, "SUCCESS", "/metrics", "DELETE"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.PublicURL+"/v1/payments", nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set(name, value)
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if _ = res.Body.Close(); res.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s: %s gets %d", name, value, res.StatusCode)
				}
			}
		}
	}
}
