package jose

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// maxSealed bounds what a browser may send, maxOpened what may be in it: a
// user name, a password and a code are short.
const (
	maxSealed = 8 << 10
	maxOpened = 4 << 10
)

// SealKey opens what a payer's browser sealed for the hub: the fields that no
// log, no proxy and no buffer between may see in clear (JWE, RFC 7516, ECDH-ES
// with A256GCM, RFC 7518 §4.6). The box is anonymous, so it proves nothing of
// its sender: whoever opens it has checked whose form it came with. It can be
// opened only in the context it was sealed for, and only for a time.
type SealKey struct {
	id       string
	private  *ecdsa.PrivateKey
	notAfter time.Time
}

// NewSealKey makes a key that opens until notAfter.
func NewSealKey(random io.Reader, notAfter time.Time) (*SealKey, error) {
	key, err := generateEC(elliptic.P256(), 32, 0xff, random)
	if err != nil {
		return nil, fmt.Errorf("jose: seal key: %w", err)
	}
	return newSealKey(key.(*ecdsa.PrivateKey), notAfter)
}

// DeriveSealKey makes the same key wherever it is called with the same secret
// and context, so that one process may show a form and another receive it.
// secret is at least 32 bytes; context names the one form.
func DeriveSealKey(secret []byte, context string, notAfter time.Time) (*SealKey, error) {
	if len(secret) < 32 {
		return nil, errors.New("jose: seal key: the secret is shorter than 32 bytes")
	}
	stream, err := hkdf.Key(sha256.New, secret, nil, "rialto seal key\x00"+context, 64*32)
	if err != nil {
		return nil, fmt.Errorf("jose: seal key: %w", err)
	}
	return NewSealKey(strings.NewReader(string(stream)), notAfter)
}

func newSealKey(private *ecdsa.PrivateKey, notAfter time.Time) (*SealKey, error) {
	public, err := newPublicKey("", ES256, private.Public())
	if err != nil {
		return nil, err
	}
	return &SealKey{id: public.thumbprint, private: private, notAfter: notAfter}, nil
}

// ID is the key's kid, its thumbprint.
func (k *SealKey) ID() string { return k.id }

// PublicJWK is what the page hands to rialtoSeal: kty, crv, x, y, kid, use and
// alg.
func (k *SealKey) PublicJWK() []byte {
	raw, err := gojose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: string(gojose.ECDH_ES), Use: "enc"}.MarshalJSON()
	if err != nil {
		panic("jose: a P-256 key cannot be written: " + err.Error()) // it was checked when it was made
	}
	return raw
}

// String names the key without its secret.
func (k *SealKey) String() string { return "seal key " + k.id }

// GoString keeps the secret out of %#v as well.
func (k *SealKey) GoString() string { return k.String() }

// LogValue keeps the secret out of logs.
func (k *SealKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// sealedMembers are all that a protected header may hold: no zip, no crit, no
// key by reference (security C21, C22).
var sealedMembers = []string{"alg", "apv", "enc", "epk", "kid"}

// Open gives the bytes that rialtoSeal sealed for this key in this context.
// The error is a *SignatureError and says nothing of the content.
func (k *SealKey) Open(compact, context string, now time.Time) ([]byte, error) {
	plain, refused := k.open(compact, context, now)
	if refused != nil {
		return nil, refused
	}
	return plain, nil
}

func (k *SealKey) open(compact, context string, now time.Time) ([]byte, *SignatureError) {
	if !now.Before(k.notAfter) {
		return nil, refuse(PartKid, "the key's time is over")
	}
	parts := strings.Split(compact, ".")
	if len(compact) > maxSealed || len(parts) != 5 || parts[1] != "" {
		return nil, refuse(PartForm, "a sealed box is header..iv.ciphertext.tag of at most 8 KiB")
	}
	for _, p := range parts {
		if _, err := strict.DecodeString(p); err != nil {
			return nil, refuse(PartForm, "a part is not canonical base64url")
		}
	}
	if refused := k.checkSealed(parts[0], context); refused != nil {
		return nil, refused
	}
	box, err := gojose.ParseEncryptedCompact(compact, []gojose.KeyAlgorithm{gojose.ECDH_ES}, []gojose.ContentEncryption{gojose.A256GCM})
	if err != nil {
		return nil, refuse(PartForm, "the box cannot be read")
	}
	plain, err := box.Decrypt(k.private)
	if err != nil || len(plain) > maxOpened {
		return nil, refuse(PartSignature, "the box cannot be opened")
	}
	return plain, nil
}

// checkSealed holds the header to the one form there is.
func (k *SealKey) checkSealed(encoded, context string) *SignatureError {
	raw, _ := strict.DecodeString(encoded) // decoded before
	var header map[string]json.RawMessage
	if json.Unmarshal(raw, &header) != nil || header == nil {
		return refuse(PartForm, "the protected header is not a JSON object with each member once")
	}
	for name := range header {
		if !slices.Contains(sealedMembers, name) {
			return refuse(PartForm, "the protected header may hold only "+strings.Join(sealedMembers, ", ")+forbidden(name))
		}
	}
	want := map[string]string{"alg": string(gojose.ECDH_ES), "enc": string(gojose.A256GCM), "kid": k.id, "apv": base64.RawURLEncoding.EncodeToString([]byte(context))}
	for _, name := range []string{"alg", "enc", "kid", "apv"} {
		if got, ok := stringMember(header[name]); !ok || got != want[name] {
			return refuse(PartAlg, name+" is not what this box is sealed with")
		}
	}
	return checkEphemeral(header["epk"])
}

// checkEphemeral takes a point of P-256 and nothing else (invalid curve
// attacks); crypto/ecdh refuses what is off the curve.
func checkEphemeral(raw json.RawMessage) *SignatureError {
	var epk map[string]json.RawMessage
	if json.Unmarshal(raw, &epk) != nil || len(epk) != 4 {
		return refuse(PartKid, "epk is a P-256 key of kty, crv, x and y")
	}
	kty, _ := stringMember(epk["kty"])
	crv, _ := stringMember(epk["crv"])
	x, okX := coordinate(epk["x"])
	y, okY := coordinate(epk["y"])
	if kty != "EC" || crv != "P-256" || !okX || !okY {
		return refuse(PartKid, "epk is a P-256 key of kty, crv, x and y")
	}
	if _, err := ecdh.P256().NewPublicKey(slices.Concat([]byte{4}, x, y)); err != nil {
		return refuse(PartKid, "epk is not a point of P-256")
	}
	return nil
}

func coordinate(raw json.RawMessage) ([]byte, bool) {
	text, _ := stringMember(raw)
	n, err := strict.DecodeString(text)
	return n, err == nil && len(n) == 32
}
