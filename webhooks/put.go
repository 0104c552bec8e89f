package webhooks

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// Put registers or changes an endpoint. Without an ID it is new. Of an existing
// one it keeps state and keys when e leaves them empty; a new URL makes it
// active again. It writes only what differs.
func (s *Service) Put(ctx context.Context, e Endpoint) (*Endpoint, error) { return s.put(ctx, e, "") }

// Configure puts an endpoint that a configuration defines. A definition that
// was applied before changes nothing, whatever its merchant has changed, or
// deleted, since by API; another one is applied whole.
func (s *Service) Configure(ctx context.Context, e Endpoint) (*Endpoint, error) {
	definition, err := json.Marshal(struct {
		URL, Description string
		Events           []string
		State            EndpointState
		Slots, Rate      int
		Version          string
		Keys             []Key
	}{e.URL, e.Description, e.Events, e.State, e.Slots, e.Rate, e.Version, e.Keys})
	if err != nil {
		return nil, fmt.Errorf("configure webhook endpoint: %w", err)
	}
	return s.put(ctx, e, s.deps.Store.Lookup("webhook_endpoints/"+e.ID, string(definition)))
}

func (s *Service) put(ctx context.Context, e Endpoint, configured string) (*Endpoint, error) {
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
			if configured != "" && old.configured == configured {
				out = *old
				return nil
			}
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		next.merge(old, made)
		if _, err := s.guard.prepare(next); err != nil {
			return err
		}
		if configured != "" {
			next.configured = configured
		}
		out = next
		if old != nil && reflect.DeepEqual(next, *old) {
			return nil
		}
		out.UpdatedAt = tx.Now
		if old == nil {
			out.CreatedAt = tx.Now
		}
		return s.write(tx, &out, old)
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
	if e.Version == "" {
		e.Version = Version
		if old != nil {
			e.Version = old.Version
		}
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
	e.CreatedAt, e.UpdatedAt, e.configured, e.wantsSince = old.CreatedAt, old.UpdatedAt, old.configured, old.wantsSince
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
