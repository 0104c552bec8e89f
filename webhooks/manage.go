package webhooks

import (
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// What merchants do to their endpoints by API happens in the caller's
// transaction, so that a change, the request's idempotency key and its answer
// are one commit. Call Changed with the endpoint's id after it.

// MaxEndpoints is how many endpoints a merchant may register by himself.
const MaxEndpoints = 50

// Change is what a merchant changes of an endpoint; nil leaves as it is.
type Change struct {
	URL         *string
	Description *string
	Events      *[]string // empty: all
	State       *EndpointState
	Slots, Rate *int // 0: no limit of its own
	Version     *string
}

// CreateIn registers a new endpoint of e.MerchantID with keys of its own. ID
// and Keys of e are not looked at. A merchant with MaxEndpoints gets a
// conflict, a bad URL or event type is invalid.
func (s *Service) CreateIn(tx *store.Tx, e Endpoint) (*Endpoint, error) {
	var n int
	if err := tx.Get(&n, `SELECT COUNT(*) FROM webhook_endpoints WHERE merchant_id = ? AND state <> 'deleted'`, e.MerchantID); err != nil {
		return nil, err
	}
	if n >= MaxEndpoints {
		return nil, psd2.Fail(psd2.CodeConflict, "webhook_endpoint_limit", "you have as many endpoints as you may have; delete one")
	}
	made, err := s.newKeys()
	if err != nil {
		return nil, err
	}
	e.ID, e.Keys = psd2.NewID(psd2.PrefixEndpoint, tx.Now, s.deps.Random), nil
	e.merge(nil, made)
	e.CreatedAt, e.UpdatedAt = tx.Now, tx.Now
	if _, err := s.guard.prepare(e); err != nil {
		return nil, err
	}
	return &e, s.write(tx, &e, nil)
}

// ChangeIn changes an endpoint. One that was disabled is active again when it
// gets a new URL, unless the change says otherwise.
func (s *Service) ChangeIn(tx *store.Tx, merchantID, id string, c Change) (*Endpoint, error) {
	old, err := s.lock(tx, merchantID, id)
	if err != nil {
		return nil, err
	}
	next := *old
	if c.URL != nil && *c.URL != old.URL {
		next.URL = *c.URL
		if old.State == EndpointDisabled {
			next.State = EndpointActive
		}
	}
	if c.Description != nil {
		next.Description = *c.Description
	}
	if c.Events != nil {
		next.Events = *c.Events
	}
	if c.State != nil {
		next.State = *c.State
	}
	if c.Slots != nil {
		next.Slots = *c.Slots
	}
	if c.Rate != nil {
		next.Rate = *c.Rate
	}
	if c.Version != nil {
		next.Version = *c.Version
	}
	next.merge(old, nil)
	if next.State == EndpointDisabled && next.Reason == "" { // merge says nothing of a new URL
		next.Reason = ReasonMerchant
	}
	if _, err := s.guard.prepare(next); err != nil {
		return nil, err
	}
	if next.same(old) {
		return old, nil
	}
	next.UpdatedAt = tx.Now
	return &next, s.write(tx, &next, old)
}

// same reports whether a merchant's change has changed nothing.
func (e *Endpoint) same(old *Endpoint) bool {
	return e.URL == old.URL && e.Description == old.Description && e.State == old.State && slices.Equal(e.Events, old.Events) &&
		e.Slots == old.Slots && e.Rate == old.Rate && e.Version == old.Version
}

// RotateIn gives an endpoint a new secret and a new signing key, made, which
// sign from now on; the ones it has sign beside them until overlap is over, or
// until they would have ended anyway. With no overlap they are gone at once. An
// endpoint that would have more than ten keys is a conflict.
func (s *Service) RotateIn(tx *store.Tx, merchantID, id string, overlap time.Duration) (e *Endpoint, made []Key, err error) {
	old, err := s.lock(tx, merchantID, id)
	if err != nil {
		return nil, nil, err
	}
	next, end := *old, tx.Now.Add(overlap)
	if next.Keys, err = s.newKeys(); err != nil {
		return nil, nil, err
	}
	made = next.Keys[:len(next.Keys):len(next.Keys)]
	for _, k := range old.Keys {
		if k.ExpiresAt == nil || k.ExpiresAt.After(end) {
			k.ExpiresAt = &end
		}
		if k.ExpiresAt.After(tx.Now) {
			next.Keys = append(next.Keys, k)
		}
	}
	if len(next.Keys) > maxKeys {
		return nil, nil, psd2.Fail(psd2.CodeConflict, "webhook_key_limit", "the endpoint has ten keys that have not expired; wait, or rotate without overlap")
	}
	next.UpdatedAt = tx.Now
	return &next, made, s.write(tx, &next, old)
}

// lock reads an endpoint to change it. Touching the row first makes whoever
// else changes it wait: of two rotations neither loses the other's keys.
func (s *Service) lock(tx *store.Tx, merchantID, id string) (*Endpoint, error) {
	n, err := tx.Exec(`UPDATE webhook_endpoints SET updated_at = updated_at WHERE id = ? AND merchant_id = ? AND state <> 'deleted'`, id, merchantID)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, psd2.NotFound("webhook_endpoint")
	}
	var row endpointRow
	if err := tx.Get(&row, `SELECT `+endpointColumns+` FROM webhook_endpoints WHERE id = ?`, id); err != nil {
		return nil, err
	}
	return s.whole(row)
}

// DeleteIn removes an endpoint with its keys. Its deliveries stay as a record;
// those still pending are given up.
func (s *Service) DeleteIn(tx *store.Tx, merchantID, id string) error {
	empty := s.deps.Store.SealShared("webhook_endpoints", id, "sealed", []byte(`{}`))
	n, err := tx.Exec(`UPDATE webhook_endpoints SET state = 'deleted', sealed = ?, updated_at = ? WHERE id = ? AND merchant_id = ? AND state <> 'deleted'`,
		empty, tx.Now.UnixMicro(), id, merchantID)
	if err != nil {
		return err
	}
	if n == 0 {
		return psd2.NotFound("webhook_endpoint")
	}
	if _, err := tx.Exec(`UPDATE webhook_deliveries SET state = 'failed' WHERE endpoint_id = ? AND state = 'pending'`, id); err != nil {
		return err
	}
	return revise(tx)
}

// ResendIn delivers an event to an endpoint again, at once and with a schedule
// of its own, whatever became of it before. A disabled endpoint is a conflict.
func (s *Service) ResendIn(tx *store.Tx, merchantID, endpointID, delivery string) (*Delivery, error) {
	if err := s.open(tx, merchantID, endpointID); err != nil {
		return nil, err
	}
	n, err := tx.Exec(`UPDATE webhook_deliveries SET state = 'pending', step = 0, next_at = ?, asked = asked + 1 WHERE endpoint_id = ? AND event_id = ?`,
		tx.Now.UnixMicro(), endpointID, eventOf(delivery))
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, psd2.NotFound("webhook_delivery")
	}
	return s.delivery(tx, endpointID, eventOf(delivery))
}

// TestIn delivers a webhook.test to one endpoint, whatever it has asked to be
// told of. Nothing has happened, so nothing is in the journal: the delivery's
// row is all there is of it, see testEvent. Tests do not wait for each other.
func (s *Service) TestIn(tx *store.Tx, merchantID, endpointID string) (*Delivery, error) {
	if err := s.open(tx, merchantID, endpointID); err != nil {
		return nil, err
	}
	event, at := psd2.NewID(psd2.PrefixEvent, tx.Now, s.deps.Random), tx.Now.UnixMicro()
	_, err := made.write(tx, []*job{{row: deliveryRow{
		EndpointID: endpointID, EventID: event, ObjectID: event, Sequence: 1, Type: psd2.EventWebhookTest,
		State: string(DeliveryPending), NextAt: at, CreatedAt: at, UpdatedAt: at, Log: "[]",
	}}})
	if err != nil {
		return nil, err
	}
	return s.delivery(tx, endpointID, event)
}

// testEvent is the event of a delivery that a merchant asked for as a test,
// the same at each try.
func testEvent(r deliveryRow) psd2.Event {
	return psd2.Event{
		ID: r.EventID, Type: r.Type, CreatedAt: time.UnixMicro(r.CreatedAt).UTC(), Sequence: r.Sequence,
		Data: []byte(`{"webhook_endpoint_id":"` + r.EndpointID + `"}`), // an id is plain ASCII
	}
}

// open checks that an endpoint is the merchant's and takes deliveries.
func (s *Service) open(tx *store.Tx, merchantID, id string) error {
	var state string
	err := tx.Get(&state, `SELECT state FROM webhook_endpoints WHERE id = ? AND merchant_id = ? AND state <> 'deleted'`, id, merchantID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return psd2.NotFound("webhook_endpoint")
	case err != nil:
		return err
	case EndpointState(state) == EndpointDisabled:
		return psd2.Fail(psd2.CodeConflict, "webhook_endpoint_disabled", "the endpoint is disabled; make it active first")
	}
	return nil
}

func (s *Service) delivery(tx *store.Tx, endpointID, eventID string) (*Delivery, error) {
	var row deliveryRow
	if err := tx.Get(&row, `SELECT `+deliveryColumns+` FROM webhook_deliveries WHERE endpoint_id = ? AND event_id = ?`, endpointID, eventID); err != nil {
		return nil, err
	}
	d, err := s.view(row)
	return &d, err
}

// Secret is the key's value when it is one that the receiver needs to know, a
// whsec_; empty for a signing key, whose public half is all he needs.
func (k Key) Secret() string {
	if strings.HasPrefix(k.Value, "whsec_") {
		return k.Value
	}
	return ""
}
