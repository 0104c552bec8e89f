package api

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// tokenCacheSize bounds a generation of verified tokens.
const tokenCacheSize = 10_000

// tokenCache remembers access tokens whose signature was found good, by their
// SHA-256, until they expire: verifying ES256 costs more than the rest of a
// read. It holds two generations and forgets the older when the younger is
// full. Only the signature is remembered; expiry, our key's end, merchant,
// scopes and DPoP proof are looked at on every request.
type tokenCache struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]*jose.AccessToken
}

func newTokenCache() *tokenCache {
	return &tokenCache{young: map[[sha256.Size]byte]*jose.AccessToken{}}
}

func (c *tokenCache) get(token string, now time.Time) *jose.AccessToken {
	hash := sha256.Sum256([]byte(token))
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.young[hash]
	if found == nil {
		found = c.old[hash]
	}
	if found == nil || !now.Before(found.ExpiresAt) {
		return nil
	}
	return found
}

func (c *tokenCache) put(token string, claims *jose.AccessToken) {
	hash := sha256.Sum256([]byte(token))
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= tokenCacheSize {
		c.young, c.old = make(map[[sha256.Size]byte]*jose.AccessToken, tokenCacheSize), c.young
	}
	c.young[hash] = claims
}

// keyCache keeps each merchant's parsed JWKS for as long as it is the one that
// is registered, with the same ends. It grows with the number of merchants.
type keyCache struct {
	mu   sync.Mutex
	sets map[string]parsedKeys
}

type parsedKeys struct {
	raw  []byte
	ends map[string]time.Time
	set  *jose.PublicKeySet
}

func newKeyCache() *keyCache { return &keyCache{sets: map[string]parsedKeys{}} }

func (c *keyCache) parse(m *psd2.Merchant) (*jose.PublicKeySet, error) {
	c.mu.Lock()
	known, ok := c.sets[m.ID]
	c.mu.Unlock()
	if ok && bytes.Equal(known.raw, m.Keys) && maps.EqualFunc(known.ends, m.KeyHistory.Ends, time.Time.Equal) {
		return known.set, nil
	}
	set, err := registeredKeys(m)
	if err != nil { // checked at registration: not the client's fault now
		return nil, fmt.Errorf("api: registered keys of %s: %s", m.ID, err.Error())
	}
	c.mu.Lock()
	c.sets[m.ID] = parsedKeys{m.Keys, m.KeyHistory.Ends, set}
	c.mu.Unlock()
	return set, nil
}
