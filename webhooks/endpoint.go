package webhooks

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
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
	maxKeys        = 10         // of one endpoint, in overlap
	revisionCursor = "webhooks.endpoints"
)

// Endpoint is a place where a merchant is told.
type Endpoint struct {
	ID           string // whe_…
	MerchantID   string
	URL          string
	Description  string
	Events       []string // types, or a family such as "payment.*"; empty: all
	State        EndpointState
	Reason       string     // why it is disabled
	Keys         []Key      // all that have not expired sign; empty on Put: made
	FailingSince *time.Time // nothing has been delivered since
	CreatedAt    time.Time
	UpdatedAt    time.Time
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

// wants reports whether the endpoint is to be told of a type.
func (e *endpoint) wants(eventType string) bool {
	if e.State == EndpointDisabled {
		return false
	}
	for _, want := range e.Events {
		if family, ok := strings.CutSuffix(want, "*"); want == eventType || ok && strings.HasPrefix(eventType, family) {
			return true
		}
	}
	return len(e.Events) == 0
}

func (g *guard) prepare(e Endpoint) (*endpoint, error) {
	u, err := g.parseURL(e.URL)
	if err != nil {
		return nil, err
	}
	for _, want := range e.Events {
		known := func(t string) bool {
			family, ok := strings.CutSuffix(want, ".*")
			return t == want || ok && strings.HasPrefix(t, family+".")
		}
		if !slices.ContainsFunc(psd2.MerchantEvents, known) {
			return nil, psd2.Invalid("events", "unknown_event_type", "there is no such type of event")
		}
	}
	if e.State != EndpointActive && e.State != EndpointPaused && e.State != EndpointDisabled {
		return nil, psd2.Invalid("state", "unknown_endpoint_state", "the state must be active, paused or disabled")
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

// Put registers or changes an endpoint. Without an ID it is new. Of an existing
// one it keeps state and keys when e leaves them empty; a new URL makes it
// active again. Configured endpoints are put at every start, which writes only
// what differs.
func (s *Service) Put(ctx context.Context, e Endpoint) (*Endpoint, error) {
	if e.ID == "" {
		e.ID = psd2.NewID(psd2.PrefixEndpoint, s.deps.Now(), s.deps.Random)
	}
	if !isID(psd2.PrefixEndpoint, e.ID) {
		return nil, psd2.Invalid("id", "webhook_endpoint_id_invalid", "the id must be whe_ and up to 60 letters and digits")
	}
	made, err := s.newKeys()
	if err != nil {
		return nil, err
	}
	var out Endpoint
	err = s.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		next, old := e, (*Endpoint)(nil)
		var row endpointRow
		switch err := tx.Get(&row, `SELECT `+endpointColumns+` FROM webhook_endpoints WHERE id = ?`, e.ID); {
		case err == nil:
			if old, err = s.decode(row); err != nil {
				return err
			}
			if old.MerchantID != e.MerchantID {
				return psd2.NotFound("webhook_endpoint")
			}
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		next.merge(old, made)
		if _, err := s.guard.prepare(next); err != nil {
			return err
		}
		out = next
		if old != nil && reflect.DeepEqual(next, *old) {
			return nil
		}
		out.UpdatedAt = tx.Now
		if old == nil {
			out.CreatedAt = tx.Now
		}
		return s.write(tx, &out)
	})
	if err != nil {
		return nil, fmt.Errorf("put webhook endpoint: %w", err)
	}
	s.Changed(e.ID)
	return &out, nil
}

// merge fills in what the caller left out.
func (e *Endpoint) merge(old *Endpoint, made []Key) {
	e.Reason, e.FailingSince = "", nil
	if e.Events == nil {
		e.Events = []string{}
	}
	if old != nil && len(e.Keys) == 0 {
		e.Keys = old.Keys
	}
	if len(e.Keys) == 0 {
		e.Keys = made
	}
	if old == nil {
		if e.State == "" {
			e.State = EndpointActive
		}
		return
	}
	e.CreatedAt, e.UpdatedAt = old.CreatedAt, old.UpdatedAt
	if e.URL != old.URL {
		if e.State == "" {
			e.State = EndpointActive
		}
		return
	}
	e.FailingSince = old.FailingSince
	if e.State == "" {
		e.State = old.State
	}
	if e.State == old.State {
		e.Reason = old.Reason
	} else if e.State == EndpointActive {
		e.FailingSince = nil
	}
	if e.State == EndpointDisabled && e.Reason == "" {
		e.Reason = ReasonMerchant
	}
}

func (s *Service) newKeys() ([]Key, error) {
	secret, err := verify.GenerateSecret(s.deps.Random)
	if err != nil {
		return nil, err
	}
	private, err := verify.GenerateSigningKey(s.deps.Random)
	if err != nil {
		return nil, err
	}
	return []Key{{Value: secret.Reveal()}, {Value: private.Reveal()}}, nil
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
		e, err := s.decode(row)
		if err != nil {
			return nil, err
		}
		out = append(out, *e)
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
	return s.decode(row)
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

type endpointRow struct {
	ID           string        `db:"id"`
	MerchantID   string        `db:"merchant_id"`
	Description  string        `db:"description"`
	Events       string        `db:"events"`
	State        string        `db:"state"`
	Reason       string        `db:"reason"`
	FailingSince sql.NullInt64 `db:"failing_since"`
	CreatedAt    int64         `db:"created_at"`
	UpdatedAt    int64         `db:"updated_at"`
	Sealed       []byte        `db:"sealed"`
}

const endpointColumns = `id, merchant_id, description, events, state, reason, failing_since, created_at, updated_at, sealed`

// sealedEndpoint is what nobody may read in the database.
type sealedEndpoint struct {
	URL  string `json:"url"`
	Keys []Key  `json:"keys"`
}

func (s *Service) write(tx *store.Tx, e *Endpoint) error {
	events, err := json.Marshal(e.Events)
	if err != nil {
		return err
	}
	secret, err := json.Marshal(sealedEndpoint{e.URL, e.Keys})
	if err != nil {
		return err
	}
	var failing any
	if e.FailingSince != nil {
		failing = e.FailingSince.UnixMicro()
	}
	_, err = tx.Exec(`INSERT INTO webhook_endpoints (`+endpointColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (id) DO UPDATE SET description = excluded.description, events = excluded.events, state = excluded.state, reason = excluded.reason,
			failing_since = excluded.failing_since, updated_at = excluded.updated_at, sealed = excluded.sealed`,
		e.ID, e.MerchantID, e.Description, string(events), string(e.State), e.Reason, failing,
		e.CreatedAt.UnixMicro(), e.UpdatedAt.UnixMicro(), s.deps.Store.SealShared("webhook_endpoints", e.ID, "sealed", secret))
	if err != nil {
		return err
	}
	return revise(tx)
}

// revise makes every process read the endpoints again. Any new value does.
func revise(tx *store.Tx) error {
	old, err := tx.Cursor(revisionCursor)
	if err != nil {
		return err
	}
	return tx.SetCursor(revisionCursor, max(old+1, tx.Now.UnixMicro()))
}

func (s *Service) decode(row endpointRow) (*Endpoint, error) {
	e := &Endpoint{
		ID: row.ID, MerchantID: row.MerchantID, Description: row.Description, State: EndpointState(row.State), Reason: row.Reason,
		CreatedAt: time.UnixMicro(row.CreatedAt).UTC(), UpdatedAt: time.UnixMicro(row.UpdatedAt).UTC(),
	}
	if row.FailingSince.Valid {
		t := time.UnixMicro(row.FailingSince.Int64).UTC()
		e.FailingSince = &t
	}
	plain, err := s.deps.Store.UnsealShared("webhook_endpoints", row.ID, "sealed", row.Sealed)
	if err != nil {
		return nil, err
	}
	var secret sealedEndpoint
	if err := errors.Join(json.Unmarshal([]byte(row.Events), &e.Events), json.Unmarshal(plain, &secret)); err != nil {
		return nil, fmt.Errorf("webhook endpoint %s cannot be read", row.ID) // the cause may quote a key
	}
	e.URL, e.Keys = secret.URL, secret.Keys
	return e, nil
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
