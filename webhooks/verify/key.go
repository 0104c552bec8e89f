package verify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"strings"
)

// Prefixes of keys in Standard Webhooks 1.0.0.
const (
	prefixSecret  = "whsec_"
	prefixPrivate = "whsk_"
	prefixPublic  = "whpk_"
)

// A secret has 24 to 64 bytes (Standard Webhooks 1.0.0, Signature scheme).
const (
	minSecret = 24
	maxSecret = 64
)

// Secret is a shared HMAC secret. Printing or logging it shows nothing; Reveal
// gives its text form.
type Secret struct{ key []byte }

// GenerateSecret draws a new secret of 32 bytes from a cryptographic source.
func GenerateSecret(random io.Reader) (Secret, error) {
	key := make([]byte, 32)
	if _, err := io.ReadFull(random, key); err != nil {
		return Secret{}, err
	}
	return Secret{key: key}, nil
}

// ParseSecret reads whsec_ followed by base64 of 24 to 64 bytes.
func ParseSecret(text string) (Secret, error) {
	key, err := decodeKey(text, prefixSecret)
	if err != nil {
		return Secret{}, err
	}
	if len(key) < minSecret || len(key) > maxSecret {
		return Secret{}, errors.New("verify: a webhook secret has 24 to 64 bytes")
	}
	return Secret{key: key}, nil
}

// Reveal returns the secret's text form, whsec_….
func (s Secret) Reveal() string { return prefixSecret + base64.StdEncoding.EncodeToString(s.key) }

// String hides the secret.
func (s Secret) String() string { return prefixSecret + "(hidden)" }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the secret from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// SigningKey is the private ed25519 key of a sender. Printing or logging it
// shows nothing; Reveal gives its text form.
type SigningKey struct{ key ed25519.PrivateKey }

// GenerateSigningKey draws a new key from a cryptographic source.
func GenerateSigningKey(random io.Reader) (SigningKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return SigningKey{}, err
	}
	return SigningKey{key: ed25519.NewKeyFromSeed(seed)}, nil
}

// ParseSigningKey reads whsk_ followed by base64 of the 32-byte seed, or of
// the 64 bytes seed and public key, which must belong together: signing with a
// public key that is not the seed's gives the seed away.
func ParseSigningKey(text string) (SigningKey, error) {
	raw, err := decodeKey(text, prefixPrivate)
	if err != nil {
		return SigningKey{}, err
	}
	if len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize {
		return SigningKey{}, errors.New("verify: a webhook signing key has 32 or 64 bytes")
	}
	key := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if len(raw) == ed25519.PrivateKeySize && !bytes.Equal(key, raw) {
		return SigningKey{}, errors.New("verify: the two halves of the webhook signing key do not belong together")
	}
	return SigningKey{key: key}, nil
}

// Public returns the verification half.
func (k SigningKey) Public() PublicKey {
	return PublicKey{key: k.key.Public().(ed25519.PublicKey)}
}

// Reveal returns the key's text form, whsk_… with seed and public key.
func (k SigningKey) Reveal() string { return prefixPrivate + base64.StdEncoding.EncodeToString(k.key) }

// String hides the key.
func (k SigningKey) String() string { return prefixPrivate + "(hidden)" }

// GoString hides the key from %#v.
func (k SigningKey) GoString() string { return k.String() }

// LogValue hides the key from logs.
func (k SigningKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// PublicKey is the public ed25519 key of a sender.
type PublicKey struct{ key ed25519.PublicKey }

// ParsePublicKey reads whpk_ followed by base64 of 32 bytes.
func ParsePublicKey(text string) (PublicKey, error) {
	raw, err := decodeKey(text, prefixPublic)
	if err != nil {
		return PublicKey{}, err
	}
	if len(raw) != ed25519.PublicKeySize {
		return PublicKey{}, errors.New("verify: a webhook public key has 32 bytes")
	}
	return PublicKey{key: raw}, nil
}

// String returns the key's text form, whpk_….
func (k PublicKey) String() string { return prefixPublic + base64.StdEncoding.EncodeToString(k.key) }

// decodeKey demands the prefix: without it a public key would pass for a
// secret, and anyone could sign.
func decodeKey(text, prefix string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return nil, errors.New("verify: a key of this kind begins with " + prefix)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return nil, errors.New("verify: the key after " + prefix + " is not base64")
	}
	return raw, nil
}
