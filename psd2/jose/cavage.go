package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// mustBeSigned are the headers that a NextGenPSD2 signature has to cover where
// the message has them; the first two always (implementation guidelines §12).
var mustBeSigned = []string{"digest", "x-request-id", "psu-id", "psu-corporate-id", "tpp-redirect-uri", "date"}

// Header names of the profile.
const (
	headerDigest    = "Digest"
	headerSignature = "Signature"
	headerSigner    = "TPP-Signature-Certificate"
)

// SignCavage makes the headers of a NextGenPSD2 message signature (HTTP
// signatures, draft-cavage-http-signatures-10): Digest, Signature and
// TPP-Signature-Certificate. more names headers to be signed beside those the
// standard demands; what the message lacks is left out.
func (s *QSeal) SignCavage(m Message, more ...string) (http.Header, error) {
	digest := Digest(m.Body)
	m = m.with(headerDigest, digest)
	names := m.present(append(slices.Clone(mustBeSigned), more...))
	if !slices.Contains(names, "x-request-id") {
		return nil, errors.New("jose: http signature: the message has no X-Request-ID")
	}
	input, err := m.lines(names)
	if err != nil {
		return nil, errors.New("jose: http signature: " + err.Error())
	}
	alg, signature, err := s.cavage(input)
	if err != nil {
		return nil, err
	}
	return http.Header{
		http.CanonicalHeaderKey(headerDigest): {digest},
		http.CanonicalHeaderKey(headerSigner): {s.Encoded()},
		http.CanonicalHeaderKey(headerSignature): {`keyId="` + cavageKeyID(s.leaf) + `",algorithm="` + alg + `",headers="` + strings.Join(names, " ") +
			`",signature="` + base64.StdEncoding.EncodeToString(signature) + `"`},
	}, nil
}

// cavageKeyID names a certificate by serial number and issuer. The issuer is
// percent-encoded: its text may hold quotation marks.
func cavageKeyID(c *x509.Certificate) string {
	return serialOf(c) + ",CA=" + url.PathEscape(c.Issuer.String())
}

func serialOf(c *x509.Certificate) string { return "SN=" + strings.ToUpper(c.SerialNumber.Text(16)) }

func (s *QSeal) cavage(input []byte) (alg string, signature []byte, err error) {
	signed.Add(1)
	sum := sha256.Sum256(input)
	switch s.leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		alg = "rsa-sha256"
	case *ecdsa.PublicKey:
		alg = "ecdsa-sha256"
	default:
		return "", nil, errors.New("jose: http signature: this profile takes RSA and ECDSA keys only")
	}
	signature, err = s.key.Sign(rand.Reader, sum[:], crypto.SHA256) // ECDSA in ASN.1, as the draft has it
	return alg, signature, err
}

// VerifyCavage checks a message signed by SignCavage, as a bank does: the
// certificate of the message leads to one of roots, the digest is the body's,
// everything that has to be signed is. It returns the signer's certificate;
// what that allows is the caller's question. The error is a *SignatureError.
func VerifyCavage(m Message, roots *x509.CertPool, now time.Time) (*Certificate, error) {
	c, refused := verifyCavage(m, roots, now)
	if refused != nil {
		return nil, refused
	}
	return c, nil
}

func verifyCavage(m Message, roots *x509.CertPool, now time.Time) (*Certificate, *SignatureError) {
	leaf, refused := signerOf(m, roots, now)
	if refused != nil {
		return nil, refused
	}
	p, refused := parseCavage(m.Header.Values(headerSignature))
	if refused != nil {
		return nil, refused
	}
	if id, err := url.PathUnescape(p["keyId"]); err != nil || id != serialOf(leaf)+",CA="+leaf.Issuer.String() {
		return nil, refuse(PartKid, "keyId does not name the certificate that comes with the message")
	}
	if refused := checkDigest(m); refused != nil {
		return nil, refused
	}
	names := strings.Fields(strings.ToLower(p["headers"]))
	for i, name := range mustBeSigned {
		if _, has := m.value(name); (has || i < 2) && !slices.Contains(names, name) {
			return nil, refuse(PartHeader, "the signature does not cover "+name)
		}
	}
	input, err := m.lines(names)
	if err != nil {
		return nil, refuse(PartHeader, "the signature names a header that the message lacks, or one that cannot be signed")
	}
	if refused := checkCavage(leaf.PublicKey, p["algorithm"], input, p["signature"]); refused != nil {
		return nil, refused
	}
	info, err := InspectCertificate(leaf)
	if err != nil {
		return nil, refuse(PartKid, "the certificate's statements cannot be read")
	}
	return info, nil
}

// checkCavage holds the algorithm to the key's kind.
func checkCavage(public any, alg string, input []byte, encoded string) *SignatureError {
	signature, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return refuse(PartForm, "the signature is not base64")
	}
	verified.Add(1)
	sum := sha256.Sum256(input)
	good := false
	switch key := public.(type) {
	case *rsa.PublicKey:
		if alg != "rsa-sha256" {
			return refuse(PartAlg, "algorithm is not one of the certificate's key")
		}
		good = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	case *ecdsa.PublicKey:
		if alg != "ecdsa-sha256" {
			return refuse(PartAlg, "algorithm is not one of the certificate's key")
		}
		good = ecdsa.VerifyASN1(key, sum[:], signature)
	}
	if !good {
		return refuse(PartSignature, "the signature does not match these headers")
	}
	return nil
}

// signerOf reads the certificate of the message and follows it to a root.
func signerOf(m Message, roots *x509.CertPool, now time.Time) (*x509.Certificate, *SignatureError) {
	values := m.Header.Values(headerSigner)
	if len(values) != 1 || len(values[0]) > 16<<10 {
		return nil, refuse(PartKid, "there must be one "+headerSigner)
	}
	der, err := base64.StdEncoding.DecodeString(values[0])
	if err != nil {
		return nil, refuse(PartKid, headerSigner+" is not base64")
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, refuse(PartKid, headerSigner+" is not a certificate")
	}
	return leaf, trusted(leaf, nil, roots, now)
}

// trusted follows a certificate to a root and refuses keys that are too weak.
func trusted(leaf *x509.Certificate, between *x509.CertPool, roots *x509.CertPool, now time.Time) *SignatureError {
	if len(sealAlgorithms(leaf.PublicKey)) == 0 {
		return refuse(PartKid, "the certificate's key is too weak or of a kind we do not take")
	}
	if roots == nil {
		return refuse(PartKid, "no issuer is trusted")
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return refuse(PartKid, "the certificate is not of a trusted issuer, or not valid now")
	}
	return nil
}

func checkDigest(m Message) *SignatureError {
	if values := m.Header.Values(headerDigest); len(values) != 1 || values[0] != Digest(m.Body) {
		return refuse(PartHeader, "Digest is not the body's")
	}
	return nil
}

// parseCavage reads the parameters of a Signature header, each at most once.
func parseCavage(values []string) (map[string]string, *SignatureError) {
	if len(values) != 1 || len(values[0]) > maxSignature {
		return nil, refuse(PartForm, "there must be one Signature header")
	}
	p := map[string]string{}
	for rest := values[0]; rest != ""; {
		name, after, ok := strings.Cut(rest, `="`)
		value, after, closed := strings.Cut(after, `"`)
		if _, twice := p[name]; !ok || !closed || twice || after != "" && after[0] != ',' {
			return nil, refuse(PartForm, "Signature is not a list of name=\"value\", each once")
		}
		p[name], rest = value, strings.TrimPrefix(after, ",")
	}
	return p, nil
}
