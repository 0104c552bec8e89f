package jose

import (
	"crypto"
	_ "crypto/sha256" // thumbprints
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// maxJWKS bounds a registered key set.
const maxJWKS = 64 << 10

// MaxKeys is how many keys a set holds: ten are three rotations at once.
const MaxKeys = 10

// PublicKey is a verification key that has passed every check of ParseJWKS.
// It is immutable and safe for concurrent use.
type PublicKey struct {
	id         string
	alg        Algorithm
	public     any // *ecdsa.PublicKey, ed25519.PublicKey or *rsa.PublicKey
	thumbprint string
	notAfter   time.Time // zero: no end
}

// ID returns the key's kid.
func (k *PublicKey) ID() string { return k.id }

// Algorithm returns the only algorithm the key verifies.
func (k *PublicKey) Algorithm() Algorithm { return k.alg }

// NotAfter returns when the key stops to verify; zero: never.
func (k *PublicKey) NotAfter() time.Time { return k.notAfter }

// Thumbprint returns the key's RFC 7638 SHA-256 thumbprint in base64url, as
// used for jkt (RFC 9449 §6.1).
func (k *PublicKey) Thumbprint() string { return k.thumbprint }

func (k *PublicKey) validAt(now time.Time) bool {
	return k.notAfter.IsZero() || now.Before(k.notAfter)
}

// MarshalJWKS returns the set as a public JWKS, ordered by kid.
func (s *PublicKeySet) MarshalJWKS() ([]byte, error) {
	document := gojose.JSONWebKeySet{Keys: []gojose.JSONWebKey{}}
	for _, key := range s.Keys() {
		document.Keys = append(document.Keys, key.jwk())
	}
	return json.Marshal(document)
}

// jwk returns the key as a JWK without any private member.
func (k *PublicKey) jwk() gojose.JSONWebKey {
	return gojose.JSONWebKey{Key: k.public, KeyID: k.id, Algorithm: string(k.alg), Use: "sig"}
}

// PublicKeySet holds one signer's verification keys, parsed once. Give each
// tenant its own set: a kid is looked up in that tenant's set and nowhere
// else. It is immutable and safe for concurrent use.
type PublicKeySet struct {
	keys map[string]*PublicKey
}

// Verifies reports whether the key with that kid is in the set and, at now, not
// past its overlap.
func (s *PublicKeySet) Verifies(kid string, now time.Time) bool {
	key, ok := s.Key(kid)
	return ok && key.validAt(now)
}

// Key returns the key with that kid.
func (s *PublicKeySet) Key(kid string) (*PublicKey, bool) {
	if s == nil {
		return nil, false
	}
	key, ok := s.keys[kid]
	return key, ok
}

// Keys returns the keys, ordered by kid.
func (s *PublicKeySet) Keys() []*PublicKey {
	if s == nil {
		return nil
	}
	out := make([]*PublicKey, 0, len(s.keys))
	for _, kid := range slices.Sorted(maps.Keys(s.keys)) {
		out = append(out, s.keys[kid])
	}
	return out
}

// Ending returns the set with the ends of some of its keys, by kid: from then on
// they verify nothing.
func (s *PublicKeySet) Ending(ends map[string]time.Time) *PublicKeySet {
	out := newPublicKeySet(s.Keys()...)
	for kid, end := range ends {
		if key, ok := s.Key(kid); ok {
			ending := *key
			ending.notAfter = end
			out.keys[kid] = &ending
		}
	}
	return out
}

// With returns the set with one more key, which its kid must allow.
func (s *PublicKeySet) With(key *PublicKey) *PublicKeySet {
	return newPublicKeySet(append(s.Keys(), key)...)
}

// Without returns the set without a key.
func (s *PublicKeySet) Without(kid string) *PublicKeySet {
	return newPublicKeySet(slices.DeleteFunc(s.Keys(), func(k *PublicKey) bool { return k.id == kid })...)
}

// Len returns the number of keys.
func (s *PublicKeySet) Len() int {
	if s == nil {
		return 0
	}
	return len(s.keys)
}

func newPublicKeySet(keys ...*PublicKey) *PublicKeySet {
	set := &PublicKeySet{keys: make(map[string]*PublicKey, len(keys))}
	for _, key := range keys {
		set.keys[key.id] = key
	}
	return set
}

// ParseJWKS reads the JWKS that a client registers and refuses, with a
// *psd2.Error that names the field, whatever it should not register:
// private or symmetric members, keys by reference (x5u, jku), a missing,
// malformed or repeated kid, a use other than sig, an alg that is not the
// key's (P-256 ES256, P-521 ES512, Ed25519 EdDSA, RSA PS256), RSA outside
// 2048–4096 bits, points that are off their curve or of low order. Members we
// have no use for are ignored (RFC 7517 §4); certificates are not read.
func ParseJWKS(data []byte) (*PublicKeySet, error) {
	if len(data) > maxJWKS {
		return nil, invalidKey("jwks", "the key set is larger than 64 KiB")
	}
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, invalidKey("jwks", "the key set is not a JSON object with each member once")
	}
	if len(document.Keys) == 0 || len(document.Keys) > MaxKeys {
		return nil, invalidKey("jwks.keys", "a key set holds 1 to 10 keys")
	}
	set := newPublicKeySet()
	for i, raw := range document.Keys {
		field := "jwks.keys[" + strconv.Itoa(i) + "]"
		key, err := parsePublicKey(raw, field)
		if err != nil {
			return nil, err
		}
		if !IsKeyID(key.id) {
			return nil, invalidKey(field+".kid", "kid must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -")
		}
		if _, taken := set.keys[key.id]; taken {
			return nil, invalidKey(field+".kid", "two keys have the same kid")
		}
		set.keys[key.id] = key
	}
	return set, nil
}

// privateMembers are the JWK members of RFC 7518 §6 (and RFC 9964) that no
// public key has. oth and k are among them, so a symmetric key is refused
// whatever its kty says.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// parsePublicKey checks one JWK but for its kid, which DPoP does not need.
func parsePublicKey(raw []byte, field string) (*PublicKey, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return nil, invalidKey(field, "the key is not a JSON object with each member once")
	}
	for _, name := range privateMembers {
		if _, found := members[name]; found {
			return nil, invalidKey(field+"."+name, "the key holds private or symmetric members: replace it, it is no longer secret")
		}
	}
	for _, name := range []string{"x5u", "jku"} {
		if _, found := members[name]; found {
			return nil, invalidKey(field+"."+name, "keys by reference are not accepted")
		}
	}
	if err := checkUse(members, field); err != nil {
		return nil, err
	}
	public, err := parseMaterial(members, field)
	if err != nil {
		return nil, err
	}
	alg, ok := algorithmOf(public)
	if !ok {
		return nil, invalidKey(field, "the key must be P-256, P-521, Ed25519, or RSA of 2048 to 4096 bits with exponent 65537")
	}
	if declared, found := members["alg"]; found {
		if name, ok := stringMember(declared); !ok || Algorithm(name) != alg {
			return nil, invalidKey(field+".alg", "alg does not fit the key: it is used with "+string(alg))
		}
	}
	kid, ok := stringMember(members["kid"])
	if _, found := members["kid"]; found && !ok {
		return nil, invalidKey(field+".kid", "kid must be a string")
	}
	return newPublicKey(kid, alg, public)
}

func checkUse(members map[string]json.RawMessage, field string) error {
	if raw, found := members["use"]; found {
		if use, ok := stringMember(raw); !ok || use != "sig" {
			return invalidKey(field+".use", "use must be sig")
		}
	}
	if raw, found := members["key_ops"]; found {
		var operations []string
		if err := json.Unmarshal(raw, &operations); err != nil || len(operations) != 1 || operations[0] != "verify" {
			return invalidKey(field+".key_ops", "key_ops of a public signature key is [\"verify\"]")
		}
	}
	return nil
}

// parseMaterial gives go-jose the key's own members only, so that nothing else
// in a stranger's JWK is interpreted. It checks lengths and curves.
func parseMaterial(members map[string]json.RawMessage, field string) (any, error) {
	material := map[string]string{}
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
		raw, found := members[name]
		if !found {
			continue
		}
		value, ok := stringMember(raw)
		if !ok {
			return nil, invalidKey(field+"."+name, "this member is a string")
		}
		material[name] = value
	}
	if kty := material["kty"]; kty != "EC" && kty != "OKP" && kty != "RSA" {
		return nil, invalidKey(field+".kty", "kty must be EC, OKP or RSA")
	}
	raw, err := json.Marshal(material)
	if err != nil {
		return nil, invalidKey(field, "the key cannot be read")
	}
	var jwk gojose.JSONWebKey
	if err := jwk.UnmarshalJSON(raw); err != nil || !jwk.IsPublic() || !jwk.Valid() {
		return nil, invalidKey(field, "the key's numbers are missing, of the wrong length, or not a point of its curve")
	}
	return jwk.Key, nil
}

func newPublicKey(kid string, alg Algorithm, public any) (*PublicKey, error) {
	jwk := gojose.JSONWebKey{Key: public}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, invalidKey("", "the key's numbers are not those of its kind")
	}
	return &PublicKey{id: kid, alg: alg, public: public, thumbprint: base64.RawURLEncoding.EncodeToString(sum)}, nil
}
