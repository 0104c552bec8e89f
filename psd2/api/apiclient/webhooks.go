package apiclient

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Endpoint is a webhook endpoint.
type Endpoint struct {
	ID             string     `json:"id"`
	URL            string     `json:"url"`
	Description    string     `json:"description"`
	Events         []string   `json:"events"` // empty: all
	Status         string     `json:"status"` // active, paused, disabled
	DisabledReason string     `json:"disabled_reason"`
	MaxConcurrency int        `json:"max_concurrency"`     // 0: no limit of its own
	MaxPerSecond   int        `json:"max_per_second"`      // 0: no limit
	APIVersion     string     `json:"api_version"`         // of what it is sent
	BudgetUsed     int        `json:"failure_budget_used"` // percent
	Keys           []Key      `json:"keys"`
	FailingSince   *time.Time `json:"failing_since"`
	CreatedAt      time.Time  `json:"created_at"`
	UpdatedAt      time.Time  `json:"updated_at"`
	Secret         string     `json:"secret"`     // whsec_…, after CreateEndpoint and RotateKeys only
	PublicKey      string     `json:"public_key"` // whpk_…, of the same pair of keys
}

// Key is a key that deliveries are signed with, without its secret part.
type Key struct {
	Scheme    string     `json:"scheme"`     // v1 or v1a
	PublicKey string     `json:"public_key"` // whpk_…, of v1a
	ExpiresAt *time.Time `json:"expires_at"` // nil until it is rotated
}

// EndpointChange is what is to be different about an endpoint, or how a new
// one is to be; nil leaves as it is.
type EndpointChange struct {
	URL         *string   `json:"url,omitempty"`
	Description *string   `json:"description,omitempty"`
	Events      *[]string `json:"events,omitempty"` // empty: all
	Status      *string   `json:"status,omitempty"`

	MaxConcurrency *int    `json:"max_concurrency,omitempty"`
	MaxPerSecond   *int    `json:"max_per_second,omitempty"`
	APIVersion     *string `json:"api_version,omitempty"`
}

// ReplayRange chooses events to be delivered again; what is nil or empty bounds
// nothing.
type ReplayRange struct {
	After   string     `json:"after,omitempty"` // an event's id
	From    *time.Time `json:"created_from,omitempty"`
	Until   *time.Time `json:"created_until,omitempty"`
	Events  []string   `json:"events,omitempty"`
	Deliver string     `json:"deliver,omitempty"` // missing (the default) or all
}

// Replay is a range that is being, or was, delivered again.
type Replay struct {
	ID      string `json:"id"`
	Status  string `json:"status"` // running or done
	Deliver string `json:"deliver"`
	Matched int64  `json:"matched"` // deliveries asked for so far
}

// Delivery is one event for one endpoint and what became of it.
type Delivery struct {
	ID        string            `json:"id"`
	EventID   string            `json:"event_id"`
	Type      string            `json:"type"`
	ObjectID  string            `json:"object_id"`
	Sequence  int64             `json:"sequence"`
	Status    string            `json:"status"` // pending, delivered, failed
	Tried     int64             `json:"attempt_count"`
	NextAt    *time.Time        `json:"next_attempt_at"`
	CreatedAt time.Time         `json:"created_at"`
	UpdatedAt time.Time         `json:"updated_at"`
	Attempts  []DeliveryAttempt `json:"attempts"` // oldest first, the last twenty
}

// DeliveryAttempt is one request to an endpoint.
type DeliveryAttempt struct {
	At         time.Time `json:"at"`
	DurationMS int64     `json:"duration_ms"`
	StatusCode int       `json:"status_code"` // 0: there was no answer
	Error      string    `json:"error"`
	Answer     string    `json:"answer"` // first bytes of a failure's body
}

// DeliveryList is a page of deliveries, newest event first.
type DeliveryList struct {
	Data       []Delivery `json:"data"`
	NextCursor string     `json:"next_cursor"` // "" on the last page
}

// SignatureReport is what the sandbox makes of a signature.
type SignatureReport struct {
	Valid        bool   `json:"valid"`
	Part         string `json:"part"`    // what fails
	Differs      string `json:"differs"` // what was signed otherwise than it was sent
	Detail       string `json:"detail"`
	SignedHead   string `json:"signed_head"`
	SignedSHA256 string `json:"signed_sha256"`
	BodySHA256   string `json:"body_sha256"`
	BodyBytes    int    `json:"body_bytes"`
	Scheme       string `json:"scheme"`      // of a webhook: v1, v1a or jws
	EndpointID   string `json:"endpoint_id"` // of a webhook: whose keys signed it
}

const endpointsPath = "/v1/webhook-endpoints"

// CreateEndpoint registers a webhook endpoint. Keep the Secret of the answer.
func (c *Client) CreateEndpoint(ctx context.Context, e EndpointChange, idempotencyKey string) (*Endpoint, error) {
	return send[Endpoint](ctx, c, endpointsPath, e, idempotencyKey)
}

// Endpoints lists the webhook endpoints, oldest first.
func (c *Client) Endpoints(ctx context.Context) ([]Endpoint, error) {
	list, err := call[struct{ Data []Endpoint }](ctx, c, http.MethodGet, endpointsPath, nil, "")
	if err != nil {
		return nil, err
	}
	return list.Data, nil
}

// Endpoint reads a webhook endpoint.
func (c *Client) Endpoint(ctx context.Context, id string) (*Endpoint, error) {
	return call[Endpoint](ctx, c, http.MethodGet, endpointPath(id), nil, "")
}

// ChangeEndpoint changes a webhook endpoint.
func (c *Client) ChangeEndpoint(ctx context.Context, id string, change EndpointChange, idempotencyKey string) (*Endpoint, error) {
	return send[Endpoint](ctx, c, endpointPath(id), change, idempotencyKey)
}

// DeleteEndpoint deletes a webhook endpoint with its keys.
func (c *Client) DeleteEndpoint(ctx context.Context, id, idempotencyKey string) error {
	_, err := call[struct{}](ctx, c, http.MethodDelete, endpointPath(id), nil, idempotencyKey)
	return err
}

// RotateKeys gives a webhook endpoint new keys; the old ones sign beside them
// for overlap, in whole seconds. Keep the Secret of the answer.
func (c *Client) RotateKeys(ctx context.Context, id string, overlap time.Duration, idempotencyKey string) (*Endpoint, error) {
	wish := map[string]int64{"overlap_seconds": int64(overlap / time.Second)}
	return send[Endpoint](ctx, c, endpointPath(id)+"/keys", wish, idempotencyKey)
}

// TestEndpoint has a webhook.test delivered to an endpoint.
func (c *Client) TestEndpoint(ctx context.Context, id, idempotencyKey string) (*Delivery, error) {
	return send[Delivery](ctx, c, endpointPath(id)+"/test", struct{}{}, idempotencyKey)
}

// Deliveries reads a page of an endpoint's deliveries; cursor "" is the first,
// limit 1 to 100.
func (c *Client) Deliveries(ctx context.Context, endpointID, cursor string, limit int) (*DeliveryList, error) {
	q := url.Values{"limit": {fmt.Sprint(limit)}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return call[DeliveryList](ctx, c, http.MethodGet, withQuery(endpointPath(endpointID)+"/deliveries", q), nil, "")
}

// Resend has an event delivered again.
func (c *Client) Resend(ctx context.Context, endpointID, deliveryID, idempotencyKey string) (*Delivery, error) {
	return send[Delivery](ctx, c, endpointPath(endpointID)+"/deliveries/"+url.PathEscape(deliveryID)+"/resend", struct{}{}, idempotencyKey)
}

// CheckSignature signs a request with any JSON body and has the sandbox say
// what it makes of the signature.
func (c *Client) CheckSignature(ctx context.Context, body []byte, idempotencyKey string) (*SignatureReport, error) {
	return call[SignatureReport](ctx, c, http.MethodPost, "/v1/signature/check", body, idempotencyKey)
}

func endpointPath(id string) string { return endpointsPath + "/" + url.PathEscape(id) }

func send[T any](ctx context.Context, c *Client, target string, v any, key string) (*T, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("apiclient: %w", err)
	}
	return call[T](ctx, c, http.MethodPost, target, body, key)
}

// Replay delivers a range of events to an endpoint again.
func (c *Client) Replay(ctx context.Context, endpointID string, r ReplayRange, idempotencyKey string) (*Replay, error) {
	return send[Replay](ctx, c, endpointPath(endpointID)+"/replay", r, idempotencyKey)
}

// ReplayStatus says how far a replay has got.
func (c *Client) ReplayStatus(ctx context.Context, endpointID, replayID string) (Replay, error) {
	return Read[Replay](ctx, c, endpointPath(endpointID)+"/replays/"+url.PathEscape(replayID))
}
