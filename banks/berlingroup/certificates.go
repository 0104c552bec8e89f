package berlingroup

import (
	"fmt"

	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// Certificates lists the certificates this bank is reached with, none when the
// profile names none: its QWAC (the connection), then its QSEAL (the messages).
// An expired one does not keep the hub from starting.
func (b *Bank) Certificates() []courier.Certificate {
	var out []courier.Certificate
	for _, c := range b.p.certificates {
		out = append(out, courier.Describe(string(c.use), c.Certificate))
	}
	return out
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
