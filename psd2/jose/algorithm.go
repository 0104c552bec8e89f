package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
)

// Algorithm is a JWS algorithm name (RFC 7518 §3.1, RFC 8037). FAPI 2.0 allows
// the first three; ES512 is what TrueLayer-style clients already hold.
type Algorithm string

// The algorithms in which Rialto signs and verifies. ES256 is the default:
// ES512 costs sixty times as much to verify, PS256 as much to sign.
const (
	ES256 Algorithm = "ES256"
	EdDSA Algorithm = "EdDSA"
	PS256 Algorithm = "PS256"
	ES512 Algorithm = "ES512"
)

// RSA moduli outside these bounds are refused: too weak, or a way to make us work.
const (
	minRSABits = 2048
	maxRSABits = 4096
)

func (a Algorithm) known() bool {
	return a == ES256 || a == EdDSA || a == PS256 || a == ES512
}

// algorithmOf returns the one algorithm a public key may be used with, and
// false for a key that we use with none. One key, one algorithm: that is what
// makes algorithm confusion impossible.
func algorithmOf(public any) (Algorithm, bool) {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return ES256, true
		case elliptic.P521():
			return ES512, true
		}
	case ed25519.PublicKey:
		return EdDSA, true
	case *rsa.PublicKey:
		// An exponent below 65537 is legal but has no honest user left; an even
		// modulus is not a product of two odd primes.
		bits := key.N.BitLen()
		ok := bits >= minRSABits && bits <= maxRSABits && key.N.Bit(0) == 1 && key.E >= 65537 && key.E&1 == 1
		return PS256, ok
	}
	return "", false
}

// IsKeyID reports whether s may be the kid of a key: 1 to 64 of [A-Za-z0-9_-].
// It keeps foreign text out of look-ups, logs and error messages.
func IsKeyID(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if !isBase64URL(s[i]) {
			return false
		}
	}
	return true
}

func isBase64URL(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
