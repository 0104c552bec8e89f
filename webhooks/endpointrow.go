package webhooks

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

type endpointRow struct {
	ID           string        `db:"id"`
	MerchantID   string        `db:"merchant_id"`
	Description  string        `db:"description"`
	Events       string        `db:"events"`
	State        string        `db:"state"`
	Slots        int           `db:"slots"`
	Rate         int           `db:"rate"`
	Version      string        `db:"api_version"`
	Configured   string        `db:"configured"`
	WantsSince   int64         `db:"wants_since"`
	Reason       string        `db:"reason"`
	FailingSince sql.NullInt64 `db:"failing_since"`
	CreatedAt    int64         `db:"created_at"`
	UpdatedAt    int64         `db:"updated_at"`
	Sealed       []byte        `db:"sealed"`
}

const endpointColumns = `id, merchant_id, description, events, state, reason, failing_since, created_at, updated_at, sealed,
	slots, rate, api_version, configured, wants_since`

// sealedEndpoint is what nobody may read in the database.
type sealedEndpoint struct {
	URL  string `json:"url"`
	Keys []Key  `json:"keys"`
}

// write stores an endpoint that was old before, or was not there.
func (s *Service) write(tx *store.Tx, e, old *Endpoint) error {
	if old == nil || !slices.Equal(e.Events, old.Events) || keeps(e.State) && !keeps(old.State) {
		e.wantsSince = tx.Now
	}
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
	_, err = tx.Exec(`INSERT INTO webhook_endpoints (`+endpointColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (id) DO UPDATE SET description = excluded.description, events = excluded.events, state = excluded.state, reason = excluded.reason,
			failing_since = excluded.failing_since, updated_at = excluded.updated_at, sealed = excluded.sealed, slots = excluded.slots,
			rate = excluded.rate, api_version = excluded.api_version, configured = excluded.configured, wants_since = excluded.wants_since,
			alerted = CASE WHEN excluded.failing_since IS NULL THEN 0 ELSE webhook_endpoints.alerted END`,
		e.ID, e.MerchantID, e.Description, string(events), string(e.State), e.Reason, failing,
		e.CreatedAt.UnixMicro(), e.UpdatedAt.UnixMicro(), s.deps.Store.SealShared("webhook_endpoints", e.ID, "sealed", secret),
		e.Slots, e.Rate, e.Version, e.configured, e.wantsSince.UnixMicro())
	if err != nil {
		return err
	}
	if err := s.changed(tx, e, old); err != nil {
		return err
	}
	return revise(tx)
}

// keeps reports whether events are kept for an endpoint in that state.
func keeps(s EndpointState) bool { return s == EndpointActive || s == EndpointPaused }

// revise makes every process read the endpoints again. Any new value does.
func revise(tx *store.Tx) error {
	old, err := tx.Cursor(revisionCursor)
	if err != nil {
		return err
	}
	return tx.SetCursor(revisionCursor, max(old+1, tx.Now.UnixMicro()))
}

// readable is decode for what serves all merchants: an endpoint whose row is
// damaged stops nobody else. It is paused, so that its events wait until the row
// is mended or its merchant makes another.
func (s *Service) readable(row endpointRow) *Endpoint {
	e, err := s.decode(row)
	if err != nil {
		s.deps.Log.Error("webhooks: an endpoint cannot be read; its events wait", "endpoint", row.ID, "cause", err.Error())
		e.State, e.Reason = EndpointPaused, ReasonUnreadable
	}
	return e
}

// decode gives what can be read of an endpoint, even with an error.
func (s *Service) decode(row endpointRow) (*Endpoint, error) {
	e := &Endpoint{
		ID: row.ID, MerchantID: row.MerchantID, Description: row.Description, State: EndpointState(row.State), Reason: row.Reason,
		Slots: row.Slots, Rate: row.Rate, Version: row.Version, configured: row.Configured, wantsSince: time.UnixMicro(row.WantsSince).UTC(),
		CreatedAt: time.UnixMicro(row.CreatedAt).UTC(), UpdatedAt: time.UnixMicro(row.UpdatedAt).UTC(),
	}
	if row.FailingSince.Valid {
		t := time.UnixMicro(row.FailingSince.Int64).UTC()
		e.FailingSince = &t
	}
	plain, err := s.deps.Store.UnsealShared("webhook_endpoints", row.ID, "sealed", row.Sealed)
	if err != nil {
		return e, err
	}
	var secret sealedEndpoint
	if err := errors.Join(json.Unmarshal([]byte(row.Events), &e.Events), json.Unmarshal(plain, &secret)); err != nil {
		return e, fmt.Errorf("webhook endpoint %s cannot be read", row.ID) // the cause may quote a key
	}
	e.URL, e.Keys = secret.URL, secret.Keys
	return e, nil
}
