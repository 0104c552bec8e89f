package sandbox

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/rialto-hub/rialto/psd2/jose"
)

// readRoots reads whose certificates a bank trusts when it wants requests
// signed.
func readRoots(b Bank) (*x509.CertPool, error) {
	if b.Signing == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(b.SigningRoots)
	if err != nil {
		return nil, fmt.Errorf("sandbox: bank %q: signing_roots: %w", b.ID, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("sandbox: bank %q: signing_roots holds no certificate", b.ID)
	}
	return roots, nil
}

// checkSignature refuses a request that is not sealed by a payment initiation
// service provider, where the bank wants that (NextGenPSD2 §12, ETSI TS 119
// 182-1).
func (s *Sandbox) checkSignature(r *http.Request, b *bank) error {
	header := "Signature"
	if b.Signing == SigningJAdES {
		header = "X-Jws-Signature"
	}
	switch {
	case b.Signing == "":
		return nil
	case r.Header.Get(header) == "":
		return xs2aError(http.StatusUnauthorized, "SIGNATURE_MISSING", "", "this bank wants the header "+header)
	}
	body, err := readBody(r)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	m := jose.Message{Method: r.Method, Target: r.URL.RequestURI(), Host: r.Host, Header: r.Header, Body: body}
	var signer *jose.Certificate
	if b.Signing == SigningCavage {
		signer, err = jose.VerifyCavage(m, b.roots, s.now())
	} else {
		signer, err = jose.VerifyJAdES(m, jose.JAdES{}, enclosed(r), b.roots, s.now())
	}
	var why *jose.SignatureError
	switch {
	case errors.As(err, &why):
		return xs2aError(http.StatusUnauthorized, "SIGNATURE_INVALID", "", why.Message)
	case err != nil:
		return err
	}
	if err := signer.Check(jose.UseSeal, jose.RolePISP); err != nil {
		return xs2aError(http.StatusUnauthorized, "CERTIFICATE_INVALID", "", "the certificate is not a seal of a payment initiation service provider")
	}
	return nil
}

// enclosed is the certificate that came in TPP-Signature-Certificate, if any.
func enclosed(r *http.Request) []*x509.Certificate {
	der, err := base64.StdEncoding.DecodeString(r.Header.Get("TPP-Signature-Certificate"))
	if err != nil {
		return nil
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	return []*x509.Certificate{c}
}
