package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
)

// Key is a private signing key, ours or (in a client) a merchant's. It is
// immutable and safe for concurrent use, and does not print its secret.
type Key struct {
	alg       Algorithm
	private   crypto.Signer
	public    *PublicKey
	notBefore time.Time // signs from here on
	notAfter  time.Time // verifies until here; zero: until it is rotated
}

// GenerateKey makes a key whose kid is its RFC 7638 thumbprint. random is a
// cryptographic source; PS256 keys come from the platform's own source
// whatever random says, because crypto/rsa takes no other.
func GenerateKey(alg Algorithm, random io.Reader, now time.Time) (*Key, error) {
	private, err := generate(alg, random)
	if err != nil {
		return nil, fmt.Errorf("jose: generate %s key: %w", alg, err)
	}
	return newKey("", private, now)
}

func generate(alg Algorithm, random io.Reader) (crypto.Signer, error) {
	switch alg {
	case ES256:
		return generateEC(elliptic.P256(), 32, 0xff, random)
	case ES512:
		return generateEC(elliptic.P521(), 66, 0x01, random)
	case EdDSA:
		seed := make([]byte, ed25519.SeedSize)
		if _, err := io.ReadFull(random, seed); err != nil {
			return nil, err
		}
		return ed25519.NewKeyFromSeed(seed), nil
	case PS256:
		return rsa.GenerateKey(random, minRSABits)
	}
	return nil, errors.New("unknown algorithm")
}

// generateEC draws scalars until one is in range (FIPS 186-5 A.2.2), because
// ecdsa.GenerateKey ignores the source it is given. Out of range is rare.
func generateEC(curve elliptic.Curve, size int, topMask byte, random io.Reader) (crypto.Signer, error) {
	scalar := make([]byte, size)
	for range 64 {
		if _, err := io.ReadFull(random, scalar); err != nil {
			return nil, err
		}
		scalar[0] &= topMask
		if key, err := ecdsa.ParseRawPrivateKey(curve, scalar); err == nil {
			return key, nil
		}
	}
	return nil, errors.New("the random source is broken")
}

// newKey wraps a private key. An empty kid becomes the thumbprint.
func newKey(kid string, private crypto.Signer, notBefore time.Time) (*Key, error) {
	alg, ok := algorithmOf(private.Public())
	if !ok {
		return nil, errors.New("jose: the key must be P-256, P-521, Ed25519, or RSA of 2048 to 4096 bits")
	}
	public, err := newPublicKey(kid, alg, private.Public())
	if err != nil {
		return nil, err
	}
	if kid == "" {
		public.id = public.thumbprint
	}
	if !IsKeyID(public.id) {
		return nil, errors.New("jose: kid must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -")
	}
	return &Key{alg: alg, private: private, public: public, notBefore: notBefore.UTC().Truncate(time.Second)}, nil
}

// retire returns a copy of the key that verifies until end and no longer.
func (k *Key) retire(end time.Time) *Key {
	end = end.UTC().Truncate(time.Second)
	retired, public := *k, *k.public
	public.notAfter, retired.notAfter = end, end
	retired.public = &public
	return &retired
}

// ID returns the key's kid.
func (k *Key) ID() string { return k.public.id }

// Algorithm returns the algorithm the key signs in.
func (k *Key) Algorithm() Algorithm { return k.alg }

// Public returns the verification half.
func (k *Key) Public() *PublicKey { return k.public }

// NotBefore returns the time from which the key signs.
func (k *Key) NotBefore() time.Time { return k.notBefore }

// NotAfter returns the time until which the key's signatures verify; zero
// while it has not been rotated.
func (k *Key) NotAfter() time.Time { return k.notAfter }

// MarshalJWK returns the key as a private JWK: what a client keeps of the key
// whose public half it registers. The bytes are secret.
func (k *Key) MarshalJWK() ([]byte, error) {
	return gojose.JSONWebKey{Key: k.private, KeyID: k.ID(), Algorithm: string(k.alg), Use: "sig"}.MarshalJSON()
}

// ParseKey reads a private JWK. It signs since ever and until it is replaced.
func ParseKey(data []byte) (*Key, error) {
	key, err := parsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("jose: private key: %w", err)
	}
	return key, nil
}

// String names the key without its secret.
func (k *Key) String() string { return string(k.alg) + " key " + k.public.id }

// GoString keeps the secret out of %#v as well.
func (k *Key) GoString() string { return k.String() }

// LogValue keeps the secret out of logs.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
