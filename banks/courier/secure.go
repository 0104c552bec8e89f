package courier

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/rialto-hub/rialto/banks"
)

// TLS names the files of a connection with mutual TLS. All may be empty.
type TLS struct {
	CertFile string `yaml:"cert_file"` // our certificate chain, PEM
	KeyFile  string `yaml:"key_file"`  // its key, PEM
	CAFile   string `yaml:"ca_file"`   // roots to trust instead of the system's, PEM
}

// aead are the TLS 1.2 suites we speak: forward secrecy and no CBC (C48).
var aead = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

func baseTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: slices.Clone(aead), NextProtos: []string{"http/1.1"}}
}

// Load reads the files into a configuration of TLS 1.2 or later.
func (t TLS) Load() (*tls.Config, error) {
	c := baseTLS()
	if t.CertFile != "" || t.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls: our certificate: %w", err)
		}
		if _, err := Inspect(cert); err != nil {
			return nil, fmt.Errorf("tls: our certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls: ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("tls: ca_file holds no certificate")
		}
	}
	return c, nil
}

// ParseBase reads the URL that paths are appended to. It must be https; with
// insecureLoopback also http, to a loopback host and nowhere else.
func ParseBase(raw string, insecureLoopback bool) (*url.URL, error) {
	if raw == "" {
		return nil, errors.New("base_url is missing")
	}
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("base_url must be scheme://host[:port][/path]")
	}
	if !banks.MayVisit(u, insecureLoopback) {
		return nil, errors.New("base_url must be https (http only with insecure_loopback, to a loopback host)")
	}
	if u.Path == "" {
		u.Path = "/" // JoinPath would make relative paths of it
	}
	return u, nil
}
