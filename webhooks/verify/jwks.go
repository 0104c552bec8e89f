package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// How the key set is cached. A signature whose kid we do not know makes us
// fetch, and anyone can send such a signature, hence refetchEvery.
const (
	refetchEvery = time.Minute    // at most one fetch in this time, failed ones included
	freshFor     = time.Hour      // then fetch again, so that retired keys leave
	usableFor    = 24 * time.Hour // while fetching fails, the last set is believed this long
	fetchTimeout = 5 * time.Second
	maxJWKS      = 64 << 10
	maxKeys      = 32
)

// Fetcher gets the bytes of a JWKS.
type Fetcher func(ctx context.Context) ([]byte, error)

// Fetch returns a Fetcher for the hub's /.well-known/jwks.json. The address is
// fixed by the receiver's configuration, never by a message. It must be https
// (http for a loopback host, to try things out); redirects are not followed
// and at most 64 KiB are read. client may be nil.
func Fetch(client *http.Client, address string) (Fetcher, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, errors.New("verify: the address of the key set must be an https URL")
	}
	if client == nil {
		client = http.DefaultClient
	}
	direct := *client
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func(ctx context.Context) ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Accept", "application/json")
		response, err := direct.Do(request)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("verify: the key set's server answered %d", response.StatusCode)
		}
		return io.ReadAll(io.LimitReader(response.Body, maxJWKS+1))
	}, nil
}

func isLoopback(host string) bool {
	return host == "127.0.0.1" || host == "::1" || host == "localhost" || len(host) > 10 && host[len(host)-10:] == ".localhost"
}

type publicKey struct {
	alg    jose.SignatureAlgorithm
	public any
}

// keyCache holds the key set, pinned (fetch nil) or fetched.
type keyCache struct {
	fetch Fetcher

	fetching sync.Mutex // held by the goroutine that fetches

	mu        sync.RWMutex
	keys      map[string]publicKey
	fetchedAt time.Time // of the last good set
	triedAt   time.Time
	lastErr   error
}

func newKeyCache(pinned []byte, fetch Fetcher) (*keyCache, error) {
	cache := &keyCache{fetch: fetch}
	if pinned != nil {
		keys, err := parseJWKS(pinned)
		if err != nil {
			return nil, err
		}
		cache.keys = keys
	}
	return cache, nil
}

// find returns the key of that kid, or nil when the set has none. It fetches
// when the kid is unknown or the set has aged. The error says why there is no
// usable set at all.
func (c *keyCache) find(ctx context.Context, kid string, now time.Time) (*publicKey, error) {
	key, known, stale := c.look(kid, now)
	switch {
	case c.fetch == nil || known && !stale:
	case known:
		if c.fetching.TryLock() { // the others go on with what there is
			c.refetch(ctx, now)
			c.fetching.Unlock()
		}
	default:
		c.fetching.Lock() // an unknown key waits for a fetch that is on its way
		if key, known, _ = c.look(kid, now); !known {
			c.refetch(ctx, now)
		}
		c.fetching.Unlock()
	}
	if key, known, _ = c.look(kid, now); known {
		return &key, nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.keys == nil || c.expired(now) {
		if c.lastErr != nil {
			return nil, c.lastErr
		}
		return nil, errors.New("it has not been fetched yet")
	}
	return nil, nil
}

// look reports what the cache knows of kid, and whether the set has aged.
func (c *keyCache) look(kid string, now time.Time) (key publicKey, known, stale bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if !c.expired(now) {
		key, known = c.keys[kid]
	}
	return key, known, now.Sub(c.fetchedAt) >= freshFor
}

// expired reports whether the fetched set is too old to be believed. A pinned
// set never is.
func (c *keyCache) expired(now time.Time) bool {
	return c.fetch != nil && !c.fetchedAt.IsZero() && now.Sub(c.fetchedAt) >= usableFor
}

// refetch gets the set anew unless the last attempt is too recent, and keeps
// the old one when the answer is no good. The caller holds fetching.
func (c *keyCache) refetch(ctx context.Context, now time.Time) {
	c.mu.Lock()
	since := now.Sub(c.triedAt) // negative when the clock was set back
	if !c.triedAt.IsZero() && since >= 0 && since < refetchEvery {
		c.mu.Unlock()
		return
	}
	c.triedAt = now
	c.mu.Unlock()

	// A caller that hangs up must not spend the minute's one attempt.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	raw, err := c.fetch(ctx)
	var keys map[string]publicKey
	if err == nil {
		keys, err = parseJWKS(raw)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastErr = err
	if err == nil {
		c.keys, c.fetchedAt = keys, now
	}
}

// parseJWKS reads a public key set. Keys of kinds that we do not use are left
// out (RFC 7517 §5); a private or symmetric key makes the whole set suspect.
func parseJWKS(raw []byte) (map[string]publicKey, error) {
	if len(raw) > maxJWKS {
		return nil, errors.New("verify: the key set is larger than 64 KiB")
	}
	var document struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &document); err != nil || len(document.Keys) > maxKeys {
		return nil, errors.New("verify: this is not a JWK set")
	}
	keys := map[string]publicKey{}
	for _, members := range document.Keys {
		for _, name := range []string{"d", "k", "p", "q", "dp", "dq", "qi", "oth", "priv"} {
			if _, found := members[name]; found {
				return nil, errors.New("verify: the key set holds private members")
			}
		}
		kid, key, ok := parseKey(members)
		if !ok {
			continue
		}
		if _, taken := keys[kid]; taken {
			return nil, errors.New("verify: two keys of the set have the same kid")
		}
		keys[kid] = key
	}
	if len(keys) == 0 {
		return nil, errors.New("verify: the key set holds no key that can be used")
	}
	return keys, nil
}

// parseKey gives go-jose only the members that make up a key.
func parseKey(members map[string]json.RawMessage) (string, publicKey, bool) {
	material := map[string]string{}
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"} {
		if raw, found := members[name]; found {
			var value string
			if json.Unmarshal(raw, &value) != nil {
				return "", publicKey{}, false
			}
			material[name] = value
		}
	}
	raw, err := json.Marshal(material)
	if err != nil {
		return "", publicKey{}, false
	}
	var jwk jose.JSONWebKey
	if jwk.UnmarshalJSON(raw) != nil || !jwk.IsPublic() || !jwk.Valid() || !isKeyID(jwk.KeyID) {
		return "", publicKey{}, false
	}
	alg, ok := algorithmOf(jwk.Key)
	if !ok || jwk.Use != "" && jwk.Use != "sig" || jwk.Algorithm != "" && jose.SignatureAlgorithm(jwk.Algorithm) != alg {
		return "", publicKey{}, false
	}
	return jwk.KeyID, publicKey{alg: alg, public: jwk.Key}, true
}
