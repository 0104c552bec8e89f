package api

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
)

// Webhooks is what the room needs of *webhooks.Service. What changes something
// does so in the room's transaction, beside the idempotency key.
type Webhooks interface {
	Endpoints(ctx context.Context, merchantID string) ([]webhooks.Endpoint, error)
	Endpoint(ctx context.Context, merchantID, id string) (*webhooks.Endpoint, error)
	Deliveries(ctx context.Context, merchantID, endpointID, cursor string, limit int) ([]webhooks.Delivery, string, error)
	CreateIn(*store.Tx, webhooks.Endpoint) (*webhooks.Endpoint, error)
	ChangeIn(tx *store.Tx, merchantID, id string, c webhooks.Change) (*webhooks.Endpoint, error)
	RotateIn(tx *store.Tx, merchantID, id string, overlap time.Duration) (*webhooks.Endpoint, []webhooks.Key, error)
	DeleteIn(tx *store.Tx, merchantID, id string) error
	ResendIn(tx *store.Tx, merchantID, endpointID, delivery string) (*webhooks.Delivery, error)
	TestIn(tx *store.Tx, merchantID, endpointID string) (*webhooks.Delivery, error)
	ReplayIn(tx *store.Tx, merchantID, endpointID string, r webhooks.Range) (*webhooks.Replay, error)
	Replay(ctx context.Context, merchantID, endpointID, id string) (*webhooks.Replay, error)
	Changed(endpointID string)
	KeyReplacedIn(tx *store.Tx, merchantID, kid, old string, until time.Time) error
}

// Bounds of what a merchant says about an endpoint.
const (
	maxDescription = 200
	maxEventTypes  = 50
	defaultOverlap = 24 * time.Hour
	maxOverlap     = 30 * 24 * time.Hour
)

// endpointRequest is the body of both POST /v1/webhook-endpoints and POST
// /v1/webhook-endpoints/{id}: what is absent is left as it is.
type endpointRequest struct {
	URL            *string   `json:"url"`
	Description    *string   `json:"description"`
	Events         *[]string `json:"events"`
	Status         *string   `json:"status"`
	MaxConcurrency *int      `json:"max_concurrency"`
	MaxPerSecond   *int      `json:"max_per_second"`
	APIVersion     *string   `json:"api_version"`
}

func (r *endpointRequest) change() (c webhooks.Change, err error) {
	c = webhooks.Change{URL: r.URL, Description: r.Description, Events: r.Events, Slots: r.MaxConcurrency, Rate: r.MaxPerSecond, Version: r.APIVersion}
	if r.Description != nil {
		if err := psd2.CheckText("description", *r.Description, maxDescription); err != nil {
			return c, err
		}
	}
	if r.Events != nil && len(*r.Events) > maxEventTypes {
		return c, psd2.Invalid("events", "unknown_event_type", "list each type of event once at most")
	}
	if r.Status != nil {
		state := webhooks.EndpointState(*r.Status)
		if !slices.Contains(endpointStates, state) {
			return c, psd2.Invalid("status", "status_unknown", "the status must be active, paused or disabled")
		}
		c.State = &state
	}
	return c, nil
}

var endpointStates = []webhooks.EndpointState{webhooks.EndpointActive, webhooks.EndpointPaused, webhooks.EndpointDisabled}

// endpointView is an endpoint without its secrets.
type endpointView struct {
	ID             string                 `json:"id"`
	URL            string                 `json:"url"`
	Description    string                 `json:"description"`
	Events         []string               `json:"events"`
	Status         webhooks.EndpointState `json:"status"`
	DisabledReason string                 `json:"disabled_reason,omitempty"`
	MaxConcurrency int                    `json:"max_concurrency"` // 0: no limit of its own
	MaxPerSecond   int                    `json:"max_per_second"`
	APIVersion     string                 `json:"api_version"`
	Keys           []keyView              `json:"keys"`
	BudgetUsed     int                    `json:"failure_budget_used"` // percent; at 100 it is disabled
	FailingSince   *psd2.Timestamp        `json:"failing_since"`       // null: the last delivery got there
	CreatedAt      psd2.Timestamp         `json:"created_at"`
	UpdatedAt      psd2.Timestamp         `json:"updated_at"`
}

// keyView is a key without the part that signs.
type keyView struct {
	Scheme    string          `json:"scheme"`               // v1 or v1a, as in webhook-signature
	PublicKey string          `json:"public_key,omitempty"` // whpk_…, of v1a
	ExpiresAt *psd2.Timestamp `json:"expires_at"`           // null until it is rotated
}

// keyedEndpoint is the answer to a creation and to a rotation. The secret is
// in no other answer. The private half of v1a never leaves us.
type keyedEndpoint struct {
	endpointView
	Secret    string `json:"secret"`     // whsec_…
	PublicKey string `json:"public_key"` // whpk_…
}

func (a *room) viewEndpoint(e *webhooks.Endpoint) endpointView {
	v := endpointView{
		ID: e.ID, URL: e.URL, Description: e.Description, Events: append([]string{}, e.Events...), Status: e.State, DisabledReason: e.Reason,
		MaxConcurrency: e.Slots, MaxPerSecond: e.Rate, APIVersion: e.Version, BudgetUsed: e.BudgetUsed(a.Now()),
		Keys: []keyView{}, FailingSince: optional(e.FailingSince), CreatedAt: psd2.Timestamp(e.CreatedAt), UpdatedAt: psd2.Timestamp(e.UpdatedAt),
	}
	now := a.Now()
	for _, k := range e.Keys {
		if k.ExpiresAt != nil && !now.Before(*k.ExpiresAt) {
			continue // signs nothing any more
		}
		scheme, public := "v1", k.Public()
		if public != "" {
			scheme = "v1a"
		}
		v.Keys = append(v.Keys, keyView{scheme, public, optional(k.ExpiresAt)})
	}
	return v
}

func (a *room) viewKeyed(e *webhooks.Endpoint, made []webhooks.Key) keyedEndpoint {
	v := keyedEndpoint{endpointView: a.viewEndpoint(e)}
	for _, k := range made {
		if secret := k.Secret(); secret != "" {
			v.Secret = secret
		} else {
			v.PublicKey = k.Public()
		}
	}
	return v
}

func optional(t *time.Time) *psd2.Timestamp {
	if t == nil {
		return nil
	}
	out := psd2.Timestamp(*t)
	return &out
}

// An endpoint's id may be shorter than those we make: a configuration gives
// its own.
var endpointForm = regexp.MustCompile(`^whe_[0-9a-z]{1,60}$`)

// endpointID takes the id from the path and from nowhere else. What has not
// the form of one does not exist.
func endpointID(c echo.Context) (string, error) {
	id := c.Param("id")
	if !endpointForm.MatchString(id) {
		return "", psd2.NotFound("webhook_endpoint")
	}
	edge.Annotate(c.Request().Context(), "endpoint_id", id)
	return id, nil
}

func (a *room) createEndpoint(c echo.Context, o *order) error {
	var wish endpointRequest
	invalid := edge.DecodeStrict(o.body, &wish)
	ans, err := a.once(c, o, func(tx *store.Tx) (*answer, error) {
		if invalid != nil {
			return nil, invalid
		}
		change, err := wish.change()
		if err != nil {
			return nil, err
		}
		e := webhooks.Endpoint{MerchantID: o.merchant.ID}
		set(&e.URL, change.URL)
		set(&e.Description, change.Description)
		set(&e.Events, change.Events)
		set(&e.State, change.State)
		set(&e.Slots, change.Slots)
		set(&e.Rate, change.Rate)
		set(&e.Version, change.Version)
		made, err := a.Webhooks.CreateIn(tx, e)
		if err != nil {
			return nil, err
		}
		return jsonAnswer(http.StatusCreated, a.viewKeyed(made, made.Keys))
	})
	if err != nil {
		return err
	}
	id := idOf(psd2.PrefixEndpoint, ans.body)
	ans.location = "/v1/webhook-endpoints/" + id
	edge.Annotate(c.Request().Context(), "endpoint_id", id)
	return a.changed(c, ans, id)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// changed answers, and tells the delivery what is new.
func (a *room) changed(c echo.Context, ans *answer, endpointID string) error {
	if !ans.replayed {
		a.Webhooks.Changed(endpointID)
	}
	return ans.write(c)
}

type endpointList struct {
	Data []endpointView `json:"data"`
}

func (a *room) listEndpoints(c echo.Context, who *call) error {
	if _, err := query(c.Request()); err != nil {
		return err
	}
	endpoints, err := a.Webhooks.Endpoints(c.Request().Context(), who.merchant.ID)
	if err != nil {
		return err
	}
	list := endpointList{Data: make([]endpointView, 0, len(endpoints))}
	for i := range endpoints {
		list.Data = append(list.Data, a.viewEndpoint(&endpoints[i]))
	}
	return c.JSON(http.StatusOK, list)
}

func (a *room) getEndpoint(c echo.Context, who *call) error {
	if _, err := query(c.Request()); err != nil {
		return err
	}
	id, err := endpointID(c)
	if err != nil {
		return err
	}
	e, err := a.Webhooks.Endpoint(c.Request().Context(), who.merchant.ID, id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, a.viewEndpoint(e))
}

func (a *room) changeEndpoint(c echo.Context, o *order) error {
	id, err := endpointID(c)
	if err != nil {
		return err
	}
	var wish endpointRequest
	invalid := edge.DecodeStrict(o.body, &wish)
	ans, err := a.once(c, o, func(tx *store.Tx) (*answer, error) {
		if invalid != nil {
			return nil, invalid
		}
		change, err := wish.change()
		if err != nil {
			return nil, err
		}
		e, err := a.Webhooks.ChangeIn(tx, o.merchant.ID, id, change)
		if err != nil {
			return nil, err
		}
		return jsonAnswer(http.StatusOK, a.viewEndpoint(e))
	})
	if err != nil {
		return err
	}
	return a.changed(c, ans, id)
}

func (a *room) deleteEndpoint(c echo.Context, o *order) error {
	id, err := endpointID(c)
	if err != nil {
		return err
	}
	invalid := o.empty()
	ans, err := a.once(c, o, func(tx *store.Tx) (*answer, error) {
		if invalid != nil {
			return nil, invalid
		}
		return &answer{status: http.StatusNoContent}, a.Webhooks.DeleteIn(tx, o.merchant.ID, id)
	})
	if err != nil {
		return err
	}
	return a.changed(c, ans, id)
}

// rotation is the body of POST /v1/webhook-endpoints/{id}/keys.
type rotation struct {
	OverlapSeconds *int64 `json:"overlap_seconds"`
}

// overlapOf is how long an old key counts beside its successor.
func overlapOf(seconds *int64) (time.Duration, error) {
	switch {
	case seconds == nil:
		return defaultOverlap, nil
	case *seconds < 0 || *seconds > int64(maxOverlap/time.Second):
		return 0, psd2.Invalid("overlap_seconds", "overlap_invalid", "the overlap is from 0 to 2592000 seconds, thirty days")
	}
	return time.Duration(*seconds) * time.Second, nil
}

func (a *room) rotateKeys(c echo.Context, o *order) error {
	id, err := endpointID(c)
	if err != nil {
		return err
	}
	var wish rotation
	var invalid error
	if len(o.body) > 0 {
		invalid = edge.DecodeStrict(o.body, &wish)
	}
	ans, err := a.once(c, o, func(tx *store.Tx) (*answer, error) {
		if invalid != nil {
			return nil, invalid
		}
		overlap, err := overlapOf(wish.OverlapSeconds)
		if err != nil {
			return nil, err
		}
		e, made, err := a.Webhooks.RotateIn(tx, o.merchant.ID, id, overlap)
		if err != nil {
			return nil, err
		}
		return jsonAnswer(http.StatusCreated, a.viewKeyed(e, made))
	})
	if err != nil {
		return err
	}
	return a.changed(c, ans, id)
}

// idOf reads an object's id back from a stored answer of ours.
func idOf(prefix string, body []byte) string {
	var kept struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(body, &kept) != nil || !psd2.IsID(prefix, kept.ID) {
		return ""
	}
	return kept.ID
}
