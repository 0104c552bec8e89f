package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
)

// QSeal is a qualified seal certificate with its key: what a payment
// initiation service seals its messages to banks with (RTS 2018/389 Art. 34).
// It is immutable and safe for concurrent use.
type QSeal struct {
	leaf *x509.Certificate
	der  [][]byte // the chain, leaf first
	key  crypto.Signer
	info *Certificate
}

// LoadQSeal reads a certificate chain and its key from PEM files.
func LoadQSeal(certFile, keyFile string) (*QSeal, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("jose: seal: %w", err)
	}
	return NewQSeal(pair)
}

// NewQSeal takes a certificate chain whose key is RSA of 2048 to 4096 bits,
// P-256, P-521 or Ed25519. The roles are the caller's to check.
func NewQSeal(pair tls.Certificate) (*QSeal, error) {
	if len(pair.Certificate) == 0 {
		return nil, errors.New("jose: seal: there is no certificate")
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("jose: seal: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("jose: seal: the key cannot sign")
	}
	if len(sealAlgorithms(leaf.PublicKey)) == 0 {
		return nil, errors.New("jose: seal: the key must be P-256, P-521, Ed25519, or RSA of 2048 to 4096 bits")
	}
	info, err := InspectCertificate(leaf)
	if err != nil {
		return nil, err
	}
	return &QSeal{leaf: leaf, der: pair.Certificate, key: key, info: info}, nil
}

// Certificate says whose seal it is.
func (s *QSeal) Certificate() Certificate {
	c := *s.info
	c.Roles = slices.Clone(c.Roles)
	return c
}

// String names the seal without its key.
func (s *QSeal) String() string { return "seal " + s.info.Serial }

// GoString keeps the key out of %#v as well.
func (s *QSeal) GoString() string { return s.String() }

// RS256 is RSASSA-PKCS1-v1_5. Banks still want it of seals; nothing of our own
// is signed with it, and no Key has it.
const RS256 Algorithm = "RS256"

// sealAlgorithms are the JWS algorithms a certificate's key may be used with.
// HMAC is in no list, so a public key can never pass for a secret.
func sealAlgorithms(public any) []Algorithm {
	alg, ok := algorithmOf(public)
	switch {
	case !ok:
		return nil
	case alg == PS256:
		return []Algorithm{PS256, RS256}
	}
	return []Algorithm{alg}
}

var pss = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}

// sealBytes makes the raw JWS signature (RFC 7518 §3).
func sealBytes(key crypto.Signer, alg Algorithm, input []byte) ([]byte, error) {
	signed.Add(1)
	sum := sha256.Sum256(input)
	switch alg {
	case RS256:
		return key.Sign(rand.Reader, sum[:], crypto.SHA256)
	case PS256:
		return key.Sign(rand.Reader, sum[:], pss)
	case EdDSA:
		return key.Sign(rand.Reader, input, crypto.Hash(0))
	case ES256, ES512:
		digest, size := sum[:], 32
		if alg == ES512 {
			wide := sha512.Sum512(input)
			digest, size = wide[:], 66
		}
		r, s, err := signEC(key, digest)
		if err != nil {
			return nil, err
		}
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), nil
	}
	return nil, errors.New("jose: seal: unknown algorithm")
}

func signEC(key crypto.Signer, digest []byte) (r, s *big.Int, err error) {
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, errors.New("jose: seal: the key is not of the certificate's kind")
	}
	return ecdsa.Sign(rand.Reader, private, digest)
}

var errSeal = errors.New("the signature does not match")

// checkSeal verifies a raw JWS signature. The key decides: an algorithm that
// is not of its kind is refused before anything is computed.
func checkSeal(public any, alg Algorithm, input, signature []byte) error {
	verified.Add(1)
	sum := sha256.Sum256(input)
	switch key := public.(type) {
	case *rsa.PublicKey:
		switch alg {
		case RS256:
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature)
		case PS256:
			return rsa.VerifyPSS(key, crypto.SHA256, sum[:], signature, pss)
		}
	case ed25519.PublicKey:
		if alg == EdDSA && ed25519.Verify(key, input, signature) {
			return nil
		}
	case *ecdsa.PublicKey:
		digest, size := sum[:], 32
		switch {
		case alg == ES512 && key.Curve == elliptic.P521():
			wide := sha512.Sum512(input)
			digest, size = wide[:], 66
		case alg != ES256 || key.Curve != elliptic.P256():
			return errSeal
		}
		if len(signature) == 2*size && ecdsa.Verify(key, digest, new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])) {
			return nil
		}
	}
	return errSeal
}

// Message is an HTTP request as a bank's signature profile sees it.
type Message struct {
	Method string // e.g. POST
	Target string // path and query as on the wire
	Host   string
	Header http.Header
	Body   []byte
}

// Digest is the value of the header Digest for a body (RFC 3230), also for an
// empty one.
func Digest(body []byte) string {
	sum := sha256.Sum256(body)
	return "SHA-256=" + base64.StdEncoding.EncodeToString(sum[:])
}

const requestTarget = "(request-target)"

// value gives what is signed for a name; false when the message has no such
// header.
func (m Message) value(name string) (string, bool) {
	switch name {
	case requestTarget:
		return strings.ToLower(m.Method) + " " + m.Target, true
	case "host":
		return m.Host, m.Host != ""
	}
	values := slices.Clone(m.Header.Values(name))
	for i, v := range values {
		values[i] = strings.TrimSpace(v)
	}
	return strings.Join(values, ", "), len(values) > 0
}

// lines is what is signed: "name: value" for each name, joined by line feeds
// (draft-cavage-http-signatures-10 §2.3, ETSI TS 119 182-1 §5.2.8.2).
func (m Message) lines(names []string) ([]byte, error) {
	lines := make([]string, len(names))
	for i, name := range names {
		value, ok := m.value(name)
		switch {
		case !ok:
			return nil, errors.New("the message has no header " + name)
		case strings.ContainsAny(value, "\r\n"):
			return nil, errors.New("the header " + name + " holds a line break")
		}
		lines[i] = name + ": " + value
	}
	return []byte(strings.Join(lines, "\n")), nil
}

// present keeps the names that the message has, lower case, each once.
func (m Message) present(names []string) []string {
	var out []string
	for _, name := range names {
		name = strings.ToLower(name)
		if _, ok := m.value(name); ok && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// with is the message with one more header.
func (m Message) with(name, value string) Message {
	m.Header = m.Header.Clone()
	if m.Header == nil {
		m.Header = http.Header{}
	}
	m.Header.Set(name, value)
	return m
}

// Encoded is the certificate as TPP-Signature-Certificate carries it: base64
// of the DER form.
func (s *QSeal) Encoded() string { return base64.StdEncoding.EncodeToString(s.der[0]) }
