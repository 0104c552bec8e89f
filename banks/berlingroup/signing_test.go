package berlingroup

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// ownCert copies a test certificate with its key to where a profile finds it.
func ownCert(t *testing.T, name string) (cert, key string) {
	t.Helper()
	return testkit.Standard(t, "certs", name+".pem"), testkit.Standard(t, "certs", name+".key")
}

func issuer(t *testing.T) *x509.CertPool {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(testkit.ReadStandard(t, "certs", "test-ca.pem")) {
		t.Fatal("no issuer")
	}
	return roots
}

// message is what the bank received.
func (s *stub) message(i int) jose.Message {
	r := s.seen[i]
	return jose.Message{Method: r.Method, Target: r.RequestURI, Host: r.Host, Header: r.Header, Body: []byte(s.bodies[i])}
}

// signs lets a bank with that signing take an order, be asked and be cancelled,
// and hands every request to check.
func signs(t *testing.T, sign Signing, check func(jose.Message) (*jose.Certificate, error)) {
	t.Helper()
	s := newStub(t)
	s.answers[post] = created("", href("startAuthorisation", payment+"/authorisations"))
	s.answers["POST /authorisations"] = step(201, "received", "", href("scaRedirect", "https://login.bank.example/sca"))
	s.answers["GET /status"] = says(200, `{"transactionStatus":"RCVD"}`, "X-Request-ID", uuid.NewString())
	s.answers["GET /a1"] = says(200, `{"scaStatus":"started"}`, "X-Request-ID", uuid.NewString())
	s.answers["DELETE /p1"] = says(204, ``, "X-Request-ID", uuid.NewString())
	sign.CertFile, sign.KeyFile = ownCert(t, "qseal-pisp")
	b := s.judged(t, func(c *Config) { c.Signing = sign })
	o := order(psd2.Euro(2500))
	in, err := b.Initiate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Status(t.Context(), refOf(o, in)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Cancel(t.Context(), refOf(o, in)); err != nil {
		t.Fatal(err)
	}
	if len(s.seen) != 5 {
		t.Fatalf("%v", s.requests())
	}
	for i := range s.seen {
		m := s.message(i)
		if who, err := check(m); err != nil || !who.Has(jose.RolePISP) {
			t.Errorf("%s %s: %v", m.Method, m.Target, err)
		}
		m.Header = m.Header.Clone()
		m.Header.Set("X-Request-ID", uuid.NewString())
		if _, err := check(m); err == nil && sign.Headers == nil {
			t.Errorf("%s %s: another X-Request-ID passes", m.Method, m.Target)
		}
		m.Body = append(m.Body, 'x')
		if _, err := check(m); err == nil {
			t.Errorf("%s %s: another body passes", m.Method, m.Target)
		}
	}
}

func TestRequestsAreSealedAsTheBankWants(t *testing.T) {
	roots := issuer(t)
	block, _ := pem.Decode(testkit.ReadStandard(t, "certs", "qseal-pisp.pem"))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	cavage := func(m jose.Message) (*jose.Certificate, error) { return jose.VerifyCavage(m, roots, time.Now()) }
	t.Run("cavage", func(t *testing.T) { signs(t, Signing{Mode: SigningCavage}, cavage) })
	t.Run("cavage with more", func(t *testing.T) {
		signs(t, Signing{Mode: SigningCavage, Headers: []string{"(request-target)", "PSU-IP-Address"}, Date: "rfc3339"}, func(m jose.Message) (*jose.Certificate, error) {
			if _, err := time.Parse(time.RFC3339, m.Header.Get("Date")); err != nil || !strings.Contains(m.Header.Get("Signature"), "psu-ip-address") {
				t.Errorf("%v", m.Header)
			}
			return cavage(m)
		})
	})
	for name, s := range map[string]Signing{
		"jades":          {},
		"jades old time": {SigT: true, Chain: true},
		"jades digest":   {Headers: []string{"digest"}, EncodePayload: true, HexThumbprint: true, Date: "none", SendCertificate: true},
	} {
		s.Mode = SigningJAdES
		t.Run(name, func(t *testing.T) {
			signs(t, s, func(m jose.Message) (*jose.Certificate, error) {
				if s.Date == "none" && m.Header.Get("Date") != "" || s.SendCertificate && m.Header.Get("TPP-Signature-Certificate") == "" {
					t.Errorf("%v", m.Header)
				}
				return jose.VerifyJAdES(m, (&profile{Config: Config{Signing: s}}).jades(), []*x509.Certificate{leaf}, roots, time.Now())
			})
		})
	}
}

// TestUnsealedIsNotSent: a request that cannot be sealed does not leave.
func TestUnsealedIsNotSent(t *testing.T) {
	s := newStub(t)
	s.accepts("")
	cert, key := ownCert(t, "qseal-pisp")
	b := s.bank(t, func(c *Config) {
		c.Signing = Signing{Mode: SigningJAdES, Headers: []string{"x-request-id"}, CertFile: cert, KeyFile: key} // covers no body
	})
	if _, err := b.Initiate(t.Context(), order(psd2.Euro(1))); kindOf(err) != banks.Unavailable || len(s.seen) != 0 {
		t.Errorf("%v after %v", err, s.requests())
	}
}

// TestOnlyCertificatesOfAPaymentInitiationServiceAreTaken: RTS Art. 34, facts
// §8.7.
func TestOnlyCertificatesOfAPaymentInitiationServiceAreTaken(t *testing.T) {
	good := Config{BaseURL: "https://api.bank.example/psd2", RedirectOrigins: []string{"https://login.bank.example"}}
	for name, want := range map[string]string{"qseal-pisp": "", "qseal-aisp-only": "no role PSP_PI", "qseal-no-psd2": "no role PSP_PI", "qwac-pisp": "not a qseal"} {
		cert, key := ownCert(t, name)
		c := good
		c.Signing = Signing{Mode: SigningCavage, CertFile: cert, KeyFile: key}
		_, err := New("b", c, banks.Deps{})
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "signing: ")) {
			t.Errorf("%s as seal: %v", name, err)
		}
		if strings.HasPrefix(name, "qseal") { // none of them is for connections
			c = good
			c.TLS = courier.TLS{CertFile: cert, KeyFile: key}
			if _, err := New("b", c, banks.Deps{}); err == nil {
				t.Errorf("%s is taken for a connection", name)
			}
		}
	}
}

func TestCertificatesTellTheirEnd(t *testing.T) {
	c := Config{BaseURL: "https://api.bank.example/psd2", RedirectOrigins: []string{"https://login.bank.example"}}
	plain, err := New("b", c, banks.Deps{})
	if err != nil || plain.Certificates() != nil {
		t.Errorf("%v %v", plain.Certificates(), err)
	}
	c.TLS.CertFile, c.TLS.KeyFile = ownCert(t, "qwac-pisp")
	c.Signing.Mode = SigningCavage
	c.Signing.CertFile, c.Signing.KeyFile = ownCert(t, "qseal-pisp")
	c.OAuth.MetadataURL = "https://api.bank.example/.well-known/oauth-authorization-server"
	b, err := New("b", c, banks.Deps{Now: func() time.Time { return time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatalf("an expired certificate keeps the hub from starting: %v", err)
	}
	list := b.Certificates()
	if len(list) != 2 || list[0].Use != "qwac" || list[1].Use != "qseal" || list[0].Roles[0] != "PSP_PI" || list[0].NotAfter.Year() != 2045 {
		t.Errorf("%+v", list)
	}
	if b.p.clientID != "PSDDE-BAFIN-123456" {
		t.Errorf("the authorisation server is told %q", b.p.clientID)
	}
}

func TestProfileErrorsOfTheApproaches(t *testing.T) {
	cert, key := ownCert(t, "qseal-pisp")
	none := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(none, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := Config{BaseURL: "https://api.bank.example/psd2", RedirectOrigins: []string{"https://login.bank.example"}}
	for want, spoil := range map[string]func(*Config){
		"approaches must be":    func(c *Config) { c.Approaches = []banks.Approach{"telepathy"} },
		"approaches must be of": func(c *Config) { c.Approaches = []banks.Approach{"redirect", "redirect"} },
		"psu_id must be":        func(c *Config) { c.PSUID = "maybe" },
		"psu_id cannot be mandatory": func(c *Config) {
			c.PSUID = PSUIDMandatory
			c.OAuth = OAuth{Before: true, MetadataURL: "https://a.example", ClientID: "x"}
		},
		"redirect_origins is missing": func(c *Config) {
			c.RedirectOrigins, c.Approaches = nil, []banks.Approach{banks.Embedded, banks.Redirect}
		},
		"initiating_party":            func(c *Config) { c.Product = painProduct },
		"oauth: metadata_url":         func(c *Config) { c.OAuth = OAuth{Before: true, ClientID: "x"} },
		"oauth: metadata_url must be": func(c *Config) { c.OAuth = OAuth{MetadataURL: "http://a.example", ClientID: "x"} },
		"oauth: issuer must be":       func(c *Config) { c.OAuth = OAuth{Issuer: "javascript:1", ClientID: "x"} },
		"go together":                 func(c *Config) { c.OAuth = OAuth{TokenEndpoint: "https://a.example", ClientID: "x"} },
		"client_id is missing":        func(c *Config) { c.OAuth = OAuth{Before: true, MetadataURL: "https://a.example"} },
		"client_secret_file":          func(c *Config) { c.OAuth.ClientSecretFile = "/nonexistent" },
		"signing: mode":               func(c *Config) { c.Signing.Mode = "pgp" },
		"there is a certificate":      func(c *Config) { c.Signing.CertFile = cert },
		"signing: date":               func(c *Config) { c.Signing.Date = "stardate" },
		"signing: jose":               func(c *Config) { c.Signing = Signing{Mode: SigningJAdES, CertFile: none, KeyFile: key} },
		"header Psu-Id":               func(c *Config) { c.ExtraHeaders = map[string]string{"PSU-ID": "everybody"} },
		"header Authorization":        func(c *Config) { c.ExtraHeaders = map[string]string{"Authorization": "x"} },
		"header X-Jws-Signature":      func(c *Config) { c.ExtraHeaders = map[string]string{"x-jws-signature": "x"} },
	} {
		c := good
		spoil(&c)
		if _, err := New("b", c, banks.Deps{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
