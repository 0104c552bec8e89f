package apiclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
)

const signingKeys = "/v1/signing-keys"

// SigningKey is a key that counts as the merchant's.
type SigningKey struct {
	ID         string     `json:"id"` // kid
	Algorithm  string     `json:"alg"`
	Thumbprint string     `json:"thumbprint"` // RFC 7638
	ExpiresAt  *time.Time `json:"expires_at"` // nil until it is replaced
}

// SigningKeyList are all of them.
type SigningKeyList struct {
	Data []SigningKey `json:"data"`
}

// SigningKeys lists the keys that count as the merchant's.
func (c *Client) SigningKeys(ctx context.Context) (*SigningKeyList, error) {
	return call[SigningKeyList](ctx, c, http.MethodGet, signingKeys, nil, "")
}

// ReplaceKey puts next in the place of the key that this client signs with, and
// signs with it from then on. The old one counts for overlap, up to thirty days;
// with 0 it ends at once. Keep next before, and after an error call again with it:
// where the answer was lost, or the old key has ended meanwhile, next is found to
// count and that is all.
func (c *Client) ReplaceKey(ctx context.Context, next *jose.Key, overlap time.Duration, idempotencyKey string) (*SigningKeyList, error) {
	old := c.signer()
	inner, err := jose.SignRollover(next, jose.RolloverRequest{ClientID: c.cfg.ClientID, URL: c.cfg.BaseURL + signingKeys, Replaces: old.Public().Thumbprint()}, c.cfg.Now())
	if err != nil {
		return nil, fmt.Errorf("apiclient: %w", err)
	}
	body, err := json.Marshal(map[string]any{"new_key": inner, "overlap_seconds": int64(overlap / time.Second)})
	if err != nil {
		return nil, fmt.Errorf("apiclient: %w", err)
	}
	list, err := call[SigningKeyList](ctx, c, http.MethodPost, signingKeys, body, idempotencyKey)
	if err != nil { // it may have been replaced all the same, now or by an earlier call
		cfg := c.cfg
		cfg.Key = next
		second, _ := New(cfg) // c's configuration is one that New has taken
		known, nextErr := second.SigningKeys(ctx)
		if nextErr != nil {
			return nil, err
		}
		list = known
	}
	c.mu.Lock()
	c.key = next
	c.mu.Unlock()
	return list, nil
}

// signer is the key that signs now.
func (c *Client) signer() *jose.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.key
}
