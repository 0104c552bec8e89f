package berlingroup

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/psd2"
)

func TestProfileErrorsNameTheField(t *testing.T) {
	good := Config{BaseURL: "https://api.bank.example/psd2", RedirectOrigins: []string{"https://login.bank.example"}}
	for want, spoil := range map[string]func(*Config){
		"base_url is missing":          func(c *Config) { c.BaseURL = "" },
		"base_url must be https":       func(c *Config) { c.BaseURL = "http://api.bank.example" },
		"base_url must be https ":      func(c *Config) { c.BaseURL, c.InsecureLoopback = "http://192.0.2.1", true },
		"base_url must be scheme":      func(c *Config) { c.BaseURL = "https://user@api.bank.example" },
		"redirect_origins is missing":  func(c *Config) { c.RedirectOrigins = nil },
		`"https://x.example/path"`:     func(c *Config) { c.RedirectOrigins = []string{"https://x.example/path"} },
		`"javascript:1"`:               func(c *Config) { c.RedirectOrigins = []string{"javascript:1"} },
		"product":                      func(c *Config) { c.Product = "../x" },
		"status_aliases":               func(c *Config) { c.StatusAliases = map[string]string{"A B": "ACTC"} },
		"holder_name":                  func(c *Config) { c.HolderName = []string{"elsewhere.name"} },
		"debtor_account":               func(c *Config) { c.DebtorAccount = "maybe" },
		"header Idempotency-Key":       func(c *Config) { c.ExtraHeaders = map[string]string{"idempotency-key": "1"} }, // it makes net/http repeat a POST
		"header X-Request-Id":          func(c *Config) { c.ExtraHeaders = map[string]string{"X-Request-ID": "1"} },
		"header X-Key":                 func(c *Config) { c.SecretHeaders = map[string]string{"X-Key": "/nonexistent"} },
		"header X-A has no value":      func(c *Config) { c.ExtraHeaders = map[string]string{"X-A": "a\nb"} },
		"tls: our certificate":         func(c *Config) { c.TLS.CertFile = "/nonexistent" },
		"tls: ca_file":                 func(c *Config) { c.TLS.CAFile = "/nonexistent" },
		"exemption_hint: header and":   func(c *Config) { c.ExemptionHint.Header = "X-Exempt" },
		"exemption_hint: header and ":  func(c *Config) { c.ExemptionHint.Values = map[string]string{"low_value": "LV"} },
		"exemption_hint: header Date":  func(c *Config) { c.ExemptionHint = ExemptionHint{"Date", map[string]string{"low_value": "LV"}} },
		`exemption_hint: "lowvalue"`:   func(c *Config) { c.ExemptionHint = ExemptionHint{"X-Exempt", map[string]string{"lowvalue": "LV"}} },
		`exemption_hint: "low_value"`:  func(c *Config) { c.ExemptionHint = ExemptionHint{"X-Exempt", map[string]string{"low_value": "a\nb"}} },
		"times and counts must not be": func(c *Config) { c.Timeout = -1 },
	} {
		c := good
		spoil(&c)
		if _, err := New("b", c, banks.Deps{}); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%q: %v", want, err)
		}
	}
	if _, err := New("b", good, banks.Deps{}); err != nil {
		t.Error(err)
	}
}

func TestOpenDecodesAProfileStrictly(t *testing.T) {
	e := banks.Entry{ID: "b", Profile: map[string]any{"base_url": "https://api.bank.example", "redirect_origins": []string{"https://login.bank.example:443"}, "redirect_life": "15m", "risk_at_once": true}}
	b, err := Open(e, banks.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if i := b.Info(); i.RedirectLife != 15*time.Minute || !i.RiskAtOnce || i.RedirectOrigins[0] != "https://login.bank.example" || i.Dedup != 0 {
		t.Errorf("%+v", i)
	}
	e.Profile["redirect_lief"] = "15m"
	if _, err := Open(e, banks.Deps{}); err == nil || !strings.Contains(err.Error(), "redirect_lief") {
		t.Errorf("a misspelt field: %v", err)
	}
}

func secretFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSecretHeaderComesFromItsFile(t *testing.T) {
	file := secretFile(t, "s3cret\n")
	s := newStub(t)
	s.accepts("")
	if _, err := s.bank(t, func(c *Config) { c.SecretHeaders = map[string]string{"X-Api-Key": file} }).Initiate(t.Context(), order(psd2.Euro(1))); err != nil {
		t.Fatal(err)
	}
	if got := s.seen[0].Header.Get("X-API-Key"); got != "s3cret" {
		t.Errorf("%q", got)
	}
}

func TestOriginsAreWrittenOneWay(t *testing.T) {
	for in, want := range map[string]string{
		"https://A.Example": "https://a.example", "https://a.example:443/x": "https://a.example", "https://a.example:8443": "https://a.example:8443",
		"http://[::1]:80": "http://[::1]", "http://[::1]:81": "http://[::1]:81", "HTTPS://a.example": "https://a.example",
	} {
		u, err := url.Parse(in)
		if err != nil || origin(u) != want {
			t.Errorf("%s: %s, want %s", in, origin(u), want)
		}
	}
}

// TestWeakOrForeignTLSIsRefused. C48: old version, CBC suite, wrong name,
// unknown issuer; each fails before the order is sent.
func TestWeakOrForeignTLSIsRefused(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		host   string
		server *tls.Config
		works  bool
	}{
		"good":       {host: "127.0.0.1", server: &tls.Config{}, works: true},
		"TLS 1.2":    {host: "127.0.0.1", server: &tls.Config{MaxVersion: tls.VersionTLS12}, works: true},
		"TLS 1.1":    {host: "127.0.0.1", server: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}},
		"CBC only":   {host: "127.0.0.1", server: &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}},
		"wrong name": {host: "other.example", server: &tls.Config{}},
	} {
		t.Run(name, func(t *testing.T) {
			cert, ca := certificate(t, c.host, dir)
			s := newStub(t)
			s.accepts("")
			server := httptest.NewUnstartedServer(s.Config.Handler)
			c.server.Certificates = []tls.Certificate{cert}
			server.TLS, server.Config.ErrorLog = c.server, quiet()
			server.StartTLS()
			defer server.Close()
			b := s.bank(t, func(cfg *Config) { cfg.BaseURL, cfg.TLS.CAFile = server.URL, ca })
			_, err := b.Initiate(t.Context(), order(psd2.Euro(1)))
			if c.works && err != nil || !c.works && (kindOf(err) != banks.Unavailable || len(s.seen) != 0) {
				t.Errorf("%v after %d requests", err, len(s.seen))
			}
			if unknown := s.bank(t, func(cfg *Config) { cfg.BaseURL = server.URL }); c.works {
				if _, err := unknown.Initiate(t.Context(), order(psd2.Euro(1))); kindOf(err) != banks.Unavailable {
					t.Errorf("an unknown issuer: %v", err)
				}
			}
		})
	}
}

// TestOurCertificateIsPresented: mutual TLS, and no order to a bank that
// refuses it.
func TestOurCertificateIsPresented(t *testing.T) {
	dir := t.TempDir()
	cert, ca := certificate(t, "127.0.0.1", dir)
	own, key := write(t, dir, cert)
	s := newStub(t)
	s.accepts("")
	server := httptest.NewUnstartedServer(s.Config.Handler)
	server.TLS, server.Config.ErrorLog = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, quiet()
	server.StartTLS()
	defer server.Close()
	with := s.bank(t, func(c *Config) { c.BaseURL, c.TLS = server.URL, courier.TLS{CertFile: own, KeyFile: key, CAFile: ca} })
	if _, err := with.Initiate(t.Context(), order(psd2.Euro(1))); err != nil || len(s.seen[0].TLS.PeerCertificates) != 1 {
		t.Error(err)
	}
	s.seen = nil
	without := s.bank(t, func(c *Config) { c.BaseURL, c.TLS.CAFile = server.URL, ca })
	if _, err := without.Initiate(t.Context(), order(psd2.Euro(1))); kindOf(err) != banks.Unavailable || len(s.seen) != 0 {
		t.Error(err)
	}
}

// statements writes the qcStatements of a PSD2 certificate (ETSI TS 119 495).
func statements(t *testing.T, kind string, roles ...string) pkix.Extension {
	t.Helper()
	type role struct {
		ID   asn1.ObjectIdentifier
		Name string `asn1:"utf8"`
	}
	psd2 := struct {
		Roles    []role
		Name, ID string `asn1:"utf8"`
	}{Name: "Test Authority", ID: "XX-TEST"}
	for _, r := range roles {
		n := map[string]int{"PSP_AS": 1, "PSP_PI": 2, "PSP_AI": 3, "PSP_IC": 4}[r]
		psd2.Roles = append(psd2.Roles, role{asn1.ObjectIdentifier{0, 4, 0, 19495, 1, n}, r})
	}
	use := map[string]int{"sign": 1, "seal": 2, "web": 3}[kind]
	list := []any{struct {
		ID    asn1.ObjectIdentifier
		Types []asn1.ObjectIdentifier
	}{asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6}, []asn1.ObjectIdentifier{{0, 4, 0, 1862, 1, 6, use}}}}
	if roles != nil {
		list = append(list, struct {
			ID   asn1.ObjectIdentifier
			Info any
		}{asn1.ObjectIdentifier{0, 4, 0, 19495, 2}, psd2})
	}
	var der []byte
	for _, s := range list {
		one, err := asn1.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		der = append(der, one...)
	}
	der, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: der})
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Value: der}
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// certificate makes a server certificate that is its own issuer.
func certificate(t *testing.T, host, dir string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bank"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtraExtensions: []pkix.Extension{statements(t, "web", "PSP_PI")}}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(dir, host+".pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, ca
}

func write(t *testing.T, dir string, c tls.Certificate) (cert, key string) {
	t.Helper()
	cert, key = filepath.Join(dir, "own.pem"), filepath.Join(dir, "own.key")
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestRedirectIsWrittenAsTheProfileWritesOrigins: the page compares origins
// again before it sends the payer away, and must find the same one.
func TestRedirectIsWrittenAsTheProfileWritesOrigins(t *testing.T) { // C36
	b, err := New("b", Config{BaseURL: "https://api.bank.example/psd2", RedirectOrigins: []string{"https://login.bank.example", "https://sca.bank.example:8443"}}, banks.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	for href, want := range map[string]string{
		"https://login.bank.example/a?b=c":     "https://login.bank.example/a?b=c",
		"https://login.bank.example:443/a?b=c": "https://login.bank.example/a?b=c",
		"https://LOGIN.Bank.example/a":         "https://login.bank.example/a",
		"https://sca.bank.example:8443/x":      "https://sca.bank.example:8443/x",
	} {
		if got, ok := b.redirect(href); !ok || got != want {
			t.Errorf("%s: %q %v, want %q", href, got, ok, want)
		}
	}
}

// FuzzAnswers: no answer makes the reader panic, and none lets a payer out.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"transactionStatus":"RCVD","paymentId":"1","_links":{"scaRedirect":{"href":"https://login.bank.example/x"}}}`))
	f.Add([]byte(`{"transactionStatus":"RCVD","paymentId":"../x","_links":{"scaRedirect":{"href":"https://login.bank.example@evil.example"}}}`))
	f.Add([]byte(`{"transactionStatus":"RCVD","paymentId":"1","scaMethods":[{"authenticationMethodId":"m"}],"challengeData":{"image":"AA==","data":["1"]},"_links":{"selectAuthenticationMethod":{"href":"/v1/a"},"startAuthorisation":{"href":"/v1/b"},"scaOAuth":{"href":"/c"}}}`))
	b, err := New("b", Config{BaseURL: "https://api.bank.example/psd2", RedirectOrigins: []string{"https://login.bank.example"}}, banks.Deps{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		rep := &reply{status: 201, header: http.Header{}, json: body}
		nowhere, cancel := context.WithCancel(t.Context()) // what the answer asks of us is not sent
		cancel()
		in, err := b.accepted(nowhere, rep, order(psd2.Euro(1)), state{})
		if err == nil && in.Prompt.RedirectURL != "" && !strings.HasPrefix(in.Prompt.RedirectURL, "https://login.bank.example/") && in.Prompt.RedirectURL != "https://login.bank.example" &&
			!strings.HasPrefix(in.Prompt.RedirectURL, "https://login.bank.example?") && !strings.HasPrefix(in.Prompt.RedirectURL, "https://login.bank.example#") && !strings.HasPrefix(in.Prompt.RedirectURL, "https://login.bank.example:443") {
			u, perr := url.Parse(in.Prompt.RedirectURL)
			if perr != nil || origin(u) != "https://login.bank.example" {
				t.Errorf("redirect to %q", in.Prompt.RedirectURL)
			}
		}
		rep.status = 400
		if e := failed(rep, true, time.Time{}); e.Kind == "" {
			t.Error("no kind")
		}
		if a, ok := parse(body); ok {
			_, _, _ = a.methods(), a.chosen(), a.challenge()
			_, _, _ = a.holder("ownerNames"), a.iban("debtorAccount"), a.reason([]string{"reasonCode"})
		}
	})
}

// TestShippedProfilesAreOurs: the registry's profiles hold only fields there
// are.
func TestShippedProfilesAreOurs(t *testing.T) {
	doc, err := os.ReadFile("../../configs/banks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := banks.ParseEntries(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := e.DecodeProfile(new(Config)); err != nil || e.Adapter != "berlingroup" {
			t.Errorf("%s: %v", e.ID, err)
		}
	}
}

// TestEveryKeyOfAProfileIsExplained: who writes a profile reads the comment of
// the registry, and nothing else.
func TestEveryKeyOfAProfileIsExplained(t *testing.T) {
	doc, err := os.ReadFile("../../configs/banks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(doc), "# # The profile of berlingroup")
	text, _, _ = strings.Cut(text, "# # The profile of remote")
	var keys func(reflect.Type)
	keys = func(c reflect.Type) {
		for f := range c.Fields() {
			key := f.Tag.Get("yaml")
			if !regexp.MustCompile(`(?m)^# +(\w+, )*` + key + `(, \w+)*: `).MatchString(text) {
				t.Errorf("%s is not explained", key)
			}
			if f.Type.Kind() == reflect.Struct {
				keys(f.Type)
			}
		}
	}
	keys(reflect.TypeFor[Config]())
}
