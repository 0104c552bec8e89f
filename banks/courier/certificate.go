package courier

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
)

// Certificate is what an operator has to know of one of our certificates.
type Certificate struct {
	Use      string // qwac and qseal need a PSD2 role; tls is a connection that needs none
	Serial   string // hex
	NotAfter time.Time
	Roles    []string // PSP_PI, …
}

// Describe is what a PSD2 certificate says, for the use it is put to.
func Describe(use string, c jose.Certificate) Certificate {
	out := Certificate{Use: use, Serial: c.Serial, NotAfter: c.NotAfter}
	for _, r := range c.Roles {
		out.Roles = append(out.Roles, string(r))
	}
	return out
}

// Certificates lists the client certificates of the line, none without mutual
// TLS. An expired one does not keep the hub from starting.
func (l *Line) Certificates() []Certificate {
	var out []Certificate
	for _, pair := range l.options.TLS.Certificates {
		if c, err := Inspect(pair); err == nil { // TLS.Load has inspected it
			out = append(out, Describe("tls", *c))
		}
	}
	return out
}

// Inspect reads what the leaf of a pair says about its holder.
func Inspect(pair tls.Certificate) (*jose.Certificate, error) {
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, err
	}
	return jose.InspectCertificate(leaf)
}
