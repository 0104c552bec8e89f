package webhooks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// EndpointState says whether an endpoint is delivered to.
type EndpointState string

// States of an endpoint.
const (
	EndpointActive   EndpointState = "active"
	EndpointPaused   EndpointState = "paused"   // by its merchant: events wait
	EndpointDisabled EndpointState = "disabled" // by its own answer or its failures: events are not kept for it
)

// Reasons why an endpoint was disabled.
const (
	ReasonGone     = "gone"     // it answered 410
	ReasonAsked    = "asked"    // it answered webhook-delivery: disable
	ReasonFailing  = "failing"  // nothing but failures for 120 hours
	ReasonMerchant = "merchant" // by its merchant or an operator

	// ReasonUnreadable is why one is paused whose row is damaged.
	ReasonUnreadable = "unreadable"

	maxKeys        = 10 // of one endpoint, in overlap
	revisionCursor = "webhooks.endpoints"
)

// Version of what an endpoint is sent. An endpoint keeps the one it was
// registered with until its merchant changes it, so that a new form of an
// event breaks nobody's receiver.
const Version = "2026-11-01"

// Versions are those that an endpoint may have, oldest first.
var Versions = []string{Version}

// Bounds of what an endpoint may be limited to.
const (
	MaxSlots = 64
	MaxRate  = 1000
)

// Endpoint is a place where a merchant is told.
type Endpoint struct {
	ID           string // whe_…
	MerchantID   string
	URL          string
	Description  string
	Events       []string // types, or a family such as "payment.*"; empty: all
	State        EndpointState
	Slots        int        // requests under way at most; 0: the deployment's limit
	Rate         int        // requests begun per second at most; 0: no limit
	Version      string     // of what it is sent; empty on Put: Version
	Reason       string     // why it is disabled
	Keys         []Key      // all that have not expired sign; empty on Put: made
	FailingSince *time.Time // nothing has been delivered since
	CreatedAt    time.Time
	UpdatedAt    time.Time

	configured string    // what a configuration has applied last, hashed
	wantsSince time.Time // it wants what it wants now; see gaps
}

// BudgetUsed is the share of the failure budget that is used at a time, in
// percent: at 100 the endpoint is disabled by its next failure.
func (e *Endpoint) BudgetUsed(now time.Time) int {
	if e.FailingSince == nil {
		return 0
	}
	return budgetUsed(*e.FailingSince, now)
}

// Key is a secret a delivery is signed with: whsec_… (HMAC, v1) or whsk_…
// (ed25519, v1a). Printing or logging one shows its kind only.
type Key struct {
	Value     string     `json:"value"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // it signs until then, beside its successor
}

// String hides the key.
func (k Key) String() string {
	kind, _, _ := strings.Cut(k.Value, "_")
	return kind + "_(hidden)"
}

// GoString hides the key from %#v.
func (k Key) GoString() string { return k.String() }

// LogValue hides the key from logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Public is the public half of a whsk_ key, whpk_…; empty for a secret.
func (k Key) Public() string {
	private, err := verify.ParseSigningKey(k.Value)
	if err != nil {
		return ""
	}
	return private.Public().String()
}

// endpoint is an Endpoint ready for use. It does not change.
type endpoint struct {
	Endpoint
	shard   int
	url     *url.URL
	secrets []expiring[verify.Secret]
	private []expiring[verify.SigningKey]
}

type expiring[K any] struct {
	key K
	end *time.Time
}

func (e expiring[K]) signs(now time.Time) bool { return e.end == nil || now.Before(*e.end) }

// hears reports whether the endpoint is to be told of an event: it has asked for
// the type, and is not itself what the event is about.
func (e *endpoint) hears(eventType, objectID string) bool {
	return merchantEvents[eventType] && e.State != EndpointDisabled && matches(e.Events, eventType) && objectID != e.ID
}

// merchantEvents are the types that anybody can be told of.
var merchantEvents = func() map[string]bool {
	all := map[string]bool{}
	for _, t := range psd2.MerchantEvents {
		all[t] = true
	}
	return all
}()

func (g *guard) prepare(e Endpoint) (*endpoint, error) {
	u, err := g.parseURL(e.URL)
	if err != nil {
		return nil, err
	}
	if err := knownTypes(e.Events); err != nil {
		return nil, err
	}
	if e.State != EndpointActive && e.State != EndpointPaused && e.State != EndpointDisabled {
		return nil, psd2.Invalid("state", "unknown_endpoint_state", "the state must be active, paused or disabled")
	}
	switch {
	case e.Slots < 0 || e.Slots > MaxSlots:
		return nil, psd2.Invalid("max_concurrency", "webhook_limit_invalid", "max_concurrency is from 1 to 64")
	case e.Rate < 0 || e.Rate > MaxRate:
		return nil, psd2.Invalid("max_per_second", "webhook_limit_invalid", "max_per_second is from 1 to 1000")
	case !slices.Contains(Versions, e.Version):
		return nil, psd2.Invalid("api_version", "unknown_api_version", "there is no such version; the newest is "+Version)
	}
	if len(e.Keys) > maxKeys {
		return nil, psd2.Invalid("keys", "too_many_keys", "an endpoint has at most ten keys")
	}
	out := &endpoint{Endpoint: e, url: u, shard: shardOf(e.ID)}
	for _, k := range e.Keys {
		if secret, err := verify.ParseSecret(k.Value); err == nil {
			out.secrets = append(out.secrets, expiring[verify.Secret]{secret, k.ExpiresAt})
		} else if private, err := verify.ParseSigningKey(k.Value); err == nil {
			out.private = append(out.private, expiring[verify.SigningKey]{private, k.ExpiresAt})
		} else {
			return nil, psd2.Invalid("keys", "webhook_key_invalid", "a key must be whsec_ with 24 to 64 bytes, or whsk_ with 32 or 64 bytes, in base64")
		}
	}
	return out, nil
}

// Endpoints lists a merchant's endpoints, oldest first.
func (s *Service) Endpoints(ctx context.Context, merchantID string) ([]Endpoint, error) {
	var rows []endpointRow
	err := s.deps.Store.Select(ctx, &rows, `SELECT `+endpointColumns+` FROM webhook_endpoints WHERE merchant_id = ? AND state <> 'deleted' ORDER BY id`, merchantID)
	if err != nil {
		return nil, fmt.Errorf("list webhook endpoints: %w", err)
	}
	out := make([]Endpoint, 0, len(rows))
	for _, row := range rows {
		out = append(out, *s.readable(row))
	}
	return out, nil
}

// Endpoint finds one endpoint of a merchant.
func (s *Service) Endpoint(ctx context.Context, merchantID, id string) (*Endpoint, error) {
	var row endpointRow
	err := s.deps.Store.Get(ctx, &row, `SELECT `+endpointColumns+` FROM webhook_endpoints WHERE id = ? AND merchant_id = ? AND state <> 'deleted'`, id, merchantID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, psd2.NotFound("webhook_endpoint")
	}
	if err != nil {
		return nil, fmt.Errorf("read webhook endpoint: %w", err)
	}
	return s.whole(row)
}

// whole is decode for one endpoint's merchant, who gets it whole or not at all.
func (s *Service) whole(row endpointRow) (*Endpoint, error) {
	e, err := s.decode(row)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Delete removes an endpoint with its keys. Its deliveries stay as a record;
// those still pending are given up.
func (s *Service) Delete(ctx context.Context, merchantID, id string) error {
	err := s.deps.Store.Tx(ctx, func(tx *store.Tx) error { return s.DeleteIn(tx, merchantID, id) })
	if err != nil {
		return err
	}
	s.Changed(id)
	return nil
}

// isID accepts the ids we make and the short ones of a configuration; either
// can be a subject token.
func isID(prefix, id string) bool {
	rest, ok := strings.CutPrefix(id, prefix+"_")
	if !ok || rest == "" || len(rest) > 60 {
		return false
	}
	return !strings.ContainsFunc(rest, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}
