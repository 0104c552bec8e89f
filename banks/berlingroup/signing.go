package berlingroup

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
)

// SigningMode is how a bank wants its requests sealed.
type SigningMode string

// Signing modes.
const (
	SigningNone   SigningMode = "none"   // mutual TLS is enough
	SigningCavage SigningMode = "cavage" // Digest, Signature, TPP-Signature-Certificate (NextGenPSD2 1.3)
	SigningJAdES  SigningMode = "jades"  // x-jws-signature (ETSI TS 119 182-1)
)

// Signing says how requests are sealed, and with which certificate (QSEAL).
type Signing struct {
	Mode     SigningMode `yaml:"mode"`      // "" is none
	CertFile string      `yaml:"cert_file"` // the seal's chain, PEM
	KeyFile  string      `yaml:"key_file"`  // its key, PEM
	// Headers to be signed. For cavage: beside those that the standard demands;
	// for jades: all of them (pars), nil for the usual ones.
	Headers []string `yaml:"headers"`
	// Date is the form of the header Date, which is sent and signed where the
	// mode is not none: http (RFC 9110, the default), rfc3339, or none.
	Date string `yaml:"date"`

	// The switches of jades; see jose.JAdES.
	EncodePayload bool `yaml:"encode_payload"` // base64url of the payload, without b64
	HexThumbprint bool `yaml:"hex_thumbprint"` // x5t#S256 in hex
	Chain         bool `yaml:"chain"`          // x5c beside it
	SigT          bool `yaml:"sig_t"`          // sigT instead of iat
	PKCS1         bool `yaml:"pkcs1"`          // RS256 for RSA keys
	// SendCertificate adds TPP-Signature-Certificate in mode jades.
	SendCertificate bool `yaml:"send_certificate"`
}

var dateForms = map[string]func(time.Time) string{
	"":        func(t time.Time) string { return t.UTC().Format(http.TimeFormat) },
	"http":    func(t time.Time) string { return t.UTC().Format(http.TimeFormat) },
	"rfc3339": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"none":    func(time.Time) string { return "" },
}

// readSeal loads the seal and holds it to its purpose.
func (p *profile) readSeal() error {
	s := p.Signing
	if _, known := dateForms[s.Date]; !known {
		return errors.New("signing: date must be http, rfc3339 or none")
	}
	switch s.Mode {
	case "", SigningNone:
		if s.CertFile != "" {
			return errors.New("signing: there is a certificate but no mode")
		}
		return nil
	case SigningCavage, SigningJAdES:
	default:
		return errors.New("signing: mode must be none, cavage or jades")
	}
	seal, err := jose.LoadQSeal(s.CertFile, s.KeyFile)
	if err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	if err := p.admit(jose.UseSeal, seal.Certificate()); err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	p.seal = seal
	return nil
}

var errUnsigned = errors.New("the request could not be signed")

// sign adds the headers of a signature to a request that is otherwise complete.
func (p *profile) sign(r request, h http.Header, now time.Time) error {
	if p.seal == nil || r.foreign {
		return nil
	}
	if date := dateForms[p.Signing.Date](now); date != "" {
		h.Set("Date", date)
	}
	m := jose.Message{Method: r.method, Target: r.url.RequestURI(), Host: r.url.Host, Header: h, Body: r.body}
	var made http.Header
	var err error
	if p.Signing.Mode == SigningCavage {
		made, err = p.seal.SignCavage(m, p.Signing.Headers...)
	} else {
		made, err = p.seal.SignJAdES(m, p.jades(), now)
		if p.Signing.SendCertificate {
			h.Set("TPP-Signature-Certificate", p.seal.Encoded())
		}
	}
	if err != nil {
		return errUnsigned
	}
	for name, values := range made {
		h[name] = values
	}
	return nil
}

func (p *profile) jades() jose.JAdES {
	s := p.Signing
	return jose.JAdES{Pars: s.Headers, Encoded: s.EncodePayload, HexThumbprint: s.HexThumbprint, Chain: s.Chain, SigT: s.SigT, PKCS1: s.PKCS1}
}
