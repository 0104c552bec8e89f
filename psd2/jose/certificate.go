package jose

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Role is what a payment service provider is allowed to be, as its certificate
// says (ETSI TS 119 495 §5.1).
type Role string

// Roles.
const (
	RoleASPSP Role = "PSP_AS" // holds accounts
	RolePISP  Role = "PSP_PI" // initiates payments
	RoleAISP  Role = "PSP_AI" // reads accounts
	RoleCBPII Role = "PSP_IC" // issues cards, may ask for funds
)

// CertificateUse is what a qualified certificate is for (ETSI EN 319 412-5
// QcType).
type CertificateUse string

// Uses.
const (
	UseWeb  CertificateUse = "qwac"  // authenticates a connection
	UseSeal CertificateUse = "qseal" // seals messages
	UseSign CertificateUse = "qsign" // signs for a natural person
)

// Certificate is what a PSD2 certificate says about its holder.
type Certificate struct {
	Use            CertificateUse // "" when it does not say
	Roles          []Role         // empty without a PSD2 statement
	OrganizationID string         // e.g. PSDDE-BAFIN-123456
	AuthorityID    string         // the supervisor's, e.g. DE-BAFIN
	Serial         string         // hex
	NotBefore      time.Time
	NotAfter       time.Time
}

var (
	oidQCStatements   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}
	oidPSD2           = asn1.ObjectIdentifier{0, 4, 0, 19495, 2}
	oidQcType         = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6}
	oidOrganizationID = asn1.ObjectIdentifier{2, 5, 4, 97}

	// roles go by number: the name beside it is decoration.
	roleOf = map[string]Role{
		"0.4.0.19495.1.1": RoleASPSP, "0.4.0.19495.1.2": RolePISP, "0.4.0.19495.1.3": RoleAISP, "0.4.0.19495.1.4": RoleCBPII,
	}
	useOf = map[string]CertificateUse{"0.4.0.1862.1.6.1": UseSign, "0.4.0.1862.1.6.2": UseSeal, "0.4.0.1862.1.6.3": UseWeb}
)

// InspectCertificate reads what a certificate says. It verifies nothing: whose
// certificate it is, is the caller's question. A certificate without a PSD2
// statement is no error, it has no roles; one that cannot be read is.
func InspectCertificate(c *x509.Certificate) (*Certificate, error) {
	out := &Certificate{Serial: fmt.Sprintf("%X", c.SerialNumber), NotBefore: c.NotBefore, NotAfter: c.NotAfter}
	for _, name := range c.Subject.Names {
		if text, ok := name.Value.(string); ok && name.Type.Equal(oidOrganizationID) {
			out.OrganizationID = text
		}
	}
	found := 0
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidQCStatements) {
			continue
		}
		if found++; found > 1 {
			return nil, errors.New("jose: certificate: two qcStatements extensions")
		}
		if err := out.readStatements(e.Value); err != nil {
			return nil, fmt.Errorf("jose: certificate: qcStatements: %w", err)
		}
	}
	return out, nil
}

// readStatements reads QCStatements (RFC 3739 §3.2.6).
func (c *Certificate) readStatements(der []byte) error {
	var statements []struct {
		ID   asn1.ObjectIdentifier
		Info asn1.RawValue `asn1:"optional"`
	}
	if err := decodeAll(der, &statements); err != nil {
		return err
	}
	for _, s := range statements {
		switch {
		case s.ID.Equal(oidQcType):
			var types []asn1.ObjectIdentifier
			if err := decodeAll(s.Info.FullBytes, &types); err != nil {
				return err
			}
			for _, t := range types {
				c.Use = useOf[t.String()]
			}
		case s.ID.Equal(oidPSD2):
			var psd2 struct {
				Roles []struct {
					ID   asn1.ObjectIdentifier
					Name string `asn1:"utf8"`
				}
				AuthorityName string `asn1:"utf8"`
				AuthorityID   string `asn1:"utf8"`
			}
			if err := decodeAll(s.Info.FullBytes, &psd2); err != nil {
				return err
			}
			c.AuthorityID = psd2.AuthorityID
			for _, r := range psd2.Roles {
				if role, known := roleOf[r.ID.String()]; known {
					c.Roles = append(c.Roles, role)
				}
			}
		}
	}
	return nil
}

func decodeAll(der []byte, into any) error {
	rest, err := asn1.Unmarshal(der, into)
	if err == nil && len(rest) > 0 {
		err = errors.New("something follows its end")
	}
	return err
}

// Has reports whether the holder may act in that role.
func (c *Certificate) Has(r Role) bool { return slices.Contains(c.Roles, r) }

// Check says what keeps the certificate from being used by somebody in that
// role: what it is for (when it says so) and its roles. Time is not looked at.
func (c *Certificate) Check(use CertificateUse, role Role) error {
	var wrong []string
	if c.Use != "" && c.Use != use {
		wrong = append(wrong, "it is a "+string(c.Use)+", not a "+string(use))
	}
	if !c.Has(role) {
		wrong = append(wrong, "its holder has no role "+string(role))
	}
	if wrong == nil {
		return nil
	}
	return errors.New("certificate " + c.Serial + ": " + strings.Join(wrong, "; "))
}
