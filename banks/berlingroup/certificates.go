package berlingroup

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
)

// CertInfo is what an operator has to know of one of our certificates.
type CertInfo struct {
	Use      string // "qwac" (the connection) or "qseal" (the messages)
	Serial   string // hex
	NotAfter time.Time
	Roles    []string // PSP_PI, …
}

// Certificates lists the certificates this bank is reached with, none when the
// profile names none. They are what rialto doctor and the metric of expiry
// look at; an expired one does not keep the hub from starting.
func (b *Bank) Certificates() []CertInfo {
	var out []CertInfo
	for _, c := range b.p.certificates {
		info := CertInfo{Use: string(c.use), Serial: c.Serial, NotAfter: c.NotAfter}
		for _, r := range c.Roles {
			info.Roles = append(info.Roles, string(r))
		}
		out = append(out, info)
	}
	return out
}

// Expiry is when the first of Certificates ends; zero when there is none.
func (b *Bank) Expiry() time.Time {
	var first time.Time
	for _, c := range b.p.certificates {
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// ownCertificate is one of ours and what we use it for.
type ownCertificate struct {
	jose.Certificate
	use jose.CertificateUse
}

// admit takes one of our certificates if it lets its holder initiate payments
// (RTS Art. 34): a bank would refuse every order with another one.
func (p *profile) admit(use jose.CertificateUse, c jose.Certificate) error {
	if err := c.Check(use, jose.RolePISP); err != nil {
		return fmt.Errorf("%s: %w", use, err)
	}
	p.certificates = append(p.certificates, ownCertificate{c, use})
	return nil
}

func (p *profile) admitWeb(der []byte) error {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return errors.New("our certificate cannot be read")
	}
	info, err := jose.InspectCertificate(leaf)
	if err != nil {
		return err
	}
	return p.admit(jose.UseWeb, *info)
}
