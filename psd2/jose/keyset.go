package jose

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
)

// KeySet is the hub's own signing keys. At any time one key per algorithm
// signs; keys that have been rotated out stay published and verify until their
// overlap has passed, so that nobody who has cached our JWKS, and nothing that
// is still on its way, is refused.
//
//	Rotate       +lead            +lead+overlap
//	  │ published  │ signs           │
//	  ├────────────┼─────────────────┼──────── new key
//	  │ signs      │ verifies only   │ gone
//	──┴────────────┴─────────────────┘          old key
//
// It is safe for concurrent use.
type KeySet struct {
	mu     sync.RWMutex
	keys   []*Key // oldest first
	public *PublicKeySet
}

// NewKeySet generates a set with one key per algorithm, ES256 when none is named.
func NewKeySet(random io.Reader, now time.Time, algs ...Algorithm) (*KeySet, error) {
	if len(algs) == 0 {
		algs = []Algorithm{ES256}
	}
	set := &KeySet{}
	for _, alg := range algs {
		key, err := GenerateKey(alg, random, now)
		if err != nil {
			return nil, err
		}
		set.keys = append(set.keys, key)
	}
	set.publish()
	return set, nil
}

// publish rebuilds the set of verification keys; the caller holds mu or owns s.
func (s *KeySet) publish() {
	public := make([]*PublicKey, len(s.keys))
	for i, key := range s.keys {
		public[i] = key.public
	}
	s.public = newPublicKeySet(public...)
}

// Signer returns the key that signs with alg at now: of those that have begun
// and not ended the one that began last.
func (s *KeySet) Signer(alg Algorithm, now time.Time) (*Key, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var current *Key
	for _, key := range s.keys {
		if key.alg != alg || now.Before(key.notBefore) || !key.public.validAt(now) {
			continue
		}
		if current == nil || !key.notBefore.Before(current.notBefore) {
			current = key
		}
	}
	if current == nil {
		return nil, fmt.Errorf("jose: no %s key may sign at this time", alg)
	}
	return current, nil
}

// Public returns the verification keys, the coming and the outgoing ones
// included. The set does not change; ask again after Rotate.
func (s *KeySet) Public() *PublicKeySet {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.public
}

// PublicJWKS returns the body of /.well-known/jwks.json: the public half of
// every key that verifies at now or will, and never a private member.
func (s *KeySet) PublicJWKS(now time.Time) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	document := gojose.JSONWebKeySet{Keys: []gojose.JSONWebKey{}}
	for _, key := range s.keys {
		if !key.public.validAt(now) {
			continue
		}
		jwk := key.public.jwk()
		if !jwk.IsPublic() {
			return nil, errors.New("jose: a private key was about to be published")
		}
		document.Keys = append(document.Keys, jwk)
	}
	return json.Marshal(document)
}

// Rotate replaces the signing key of every algorithm. The new keys are
// published at once and sign after lead, which gives other hub processes and
// caching receivers time to learn of them; the old ones verify until
// lead+overlap from now, then are forgotten (by the next Rotate) with their
// private halves. Write the result with Save.
func (s *KeySet) Rotate(random io.Reader, now time.Time, lead, overlap time.Duration) error {
	if lead < 0 || overlap <= 0 {
		return errors.New("jose: rotate: lead must not be negative and overlap must be positive")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	end := now.Add(lead + overlap)
	var kept, fresh []*Key
	rotated := map[Algorithm]bool{}
	for _, key := range s.keys {
		if !key.public.validAt(now) {
			continue
		}
		if key.notAfter.IsZero() {
			key = key.retire(end)
		}
		kept = append(kept, key)
		if rotated[key.alg] {
			continue
		}
		rotated[key.alg] = true
		next, err := GenerateKey(key.alg, random, now.Add(lead))
		if err != nil {
			return err
		}
		fresh = append(fresh, next)
	}
	s.keys = append(kept, fresh...)
	s.publish()
	return nil
}

// storedKey is what the private file adds to a private JWK: the times of its
// life in seconds since 1970, under the names JWTs have for them.
type storedKey struct {
	NotBefore int64 `json:"nbf"`
	NotAfter  int64 `json:"exp,omitempty"`
}

// Marshal returns the set as a private JWKS. The bytes are secret.
func (s *KeySet) Marshal() ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	document := struct {
		Keys []map[string]any `json:"keys"`
	}{}
	for _, key := range s.keys {
		raw, err := key.MarshalJWK()
		if err != nil {
			return nil, fmt.Errorf("jose: marshal key set: %w", err)
		}
		members := map[string]any{}
		if err := json.Unmarshal(raw, &members); err != nil {
			return nil, fmt.Errorf("jose: marshal key set: %w", err)
		}
		members["nbf"] = key.notBefore.Unix()
		if !key.notAfter.IsZero() {
			members["exp"] = key.notAfter.Unix()
		}
		document.Keys = append(document.Keys, members)
	}
	return json.MarshalIndent(document, "", "  ")
}

// ParseKeySet reads a private JWKS as Marshal writes it. JWKS from elsewhere
// work too when every key has a private half; one without nbf signs since ever.
func ParseKeySet(data []byte) (*KeySet, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, errors.New("jose: the key file is not a JWKS") // the cause could quote a secret
	}
	if len(document.Keys) == 0 {
		return nil, errors.New("jose: the key file holds no key")
	}
	set := &KeySet{}
	for i, raw := range document.Keys {
		key, err := parsePrivateKey(raw)
		if err != nil {
			return nil, fmt.Errorf("jose: key %d of the key file: %w", i, err)
		}
		if slices.ContainsFunc(set.keys, func(other *Key) bool { return other.ID() == key.ID() }) {
			return nil, fmt.Errorf("jose: key %d of the key file: its kid is taken", i)
		}
		set.keys = append(set.keys, key)
	}
	set.publish()
	return set, nil
}

func parsePrivateKey(raw []byte) (*Key, error) {
	var jwk gojose.JSONWebKey
	var stored storedKey
	if jwk.UnmarshalJSON(raw) != nil || json.Unmarshal(raw, &stored) != nil {
		return nil, errors.New("it cannot be read")
	}
	private, ok := jwk.Key.(crypto.Signer)
	if !ok || !jwk.Valid() {
		return nil, errors.New("it is not a private signature key")
	}
	key, err := newKey(jwk.KeyID, private, time.Unix(stored.NotBefore, 0))
	if err != nil {
		return nil, err
	}
	if jwk.Algorithm != "" && Algorithm(jwk.Algorithm) != key.alg {
		return nil, errors.New("its alg does not fit it")
	}
	if stored.NotAfter != 0 {
		key = key.retire(time.Unix(stored.NotAfter, 0))
	}
	return key, nil
}
