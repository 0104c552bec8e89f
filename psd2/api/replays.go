package api

import (
	"math"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
)

// replayRequest is the body of POST /v1/webhook-endpoints/{id}/replay: which
// events are to be delivered again. What is absent bounds nothing.
type replayRequest struct {
	After   *string    `json:"after"` // an event's id
	From    *time.Time `json:"created_from"`
	Until   *time.Time `json:"created_until"`
	Events  *[]string  `json:"events"`
	Deliver *string    `json:"deliver"` // missing (the default) or all
}

// replayView is a replay and how far it has got.
type replayView struct {
	ID         string               `json:"id"`
	EndpointID string               `json:"webhook_endpoint_id"`
	Status     string               `json:"status"`
	Deliver    webhooks.ReplayWhich `json:"deliver"`
	Events     []string             `json:"events"`
	From       *psd2.Timestamp      `json:"created_from"`
	Until      *psd2.Timestamp      `json:"created_until"`
	Matched    int64                `json:"matched"`
	CreatedAt  psd2.Timestamp       `json:"created_at"`
	UpdatedAt  psd2.Timestamp       `json:"updated_at"`
}

func viewReplay(r *webhooks.Replay) replayView {
	return replayView{
		ID: r.ID, EndpointID: r.EndpointID, Status: r.State, Deliver: r.Which, Events: append([]string{}, r.Events...),
		From: optional(r.From), Until: optional(r.Until), Matched: r.Matched, CreatedAt: psd2.Timestamp(r.CreatedAt), UpdatedAt: psd2.Timestamp(r.UpdatedAt),
	}
}

// replayEndpoint begins a replay. It answers before anything is delivered.
func (a *room) replayEndpoint(c echo.Context, o *order) error {
	id, err := endpointID(c)
	if err != nil {
		return err
	}
	var wish replayRequest
	var invalid error
	if len(o.body) > 0 {
		invalid = edge.DecodeStrict(o.body, &wish)
	}
	wanted := webhooks.Range{From: wish.From, Until: wish.Until, Which: webhooks.ReplayMissing}
	set(&wanted.Events, wish.Events)
	if wish.Deliver != nil {
		wanted.Which = webhooks.ReplayWhich(*wish.Deliver)
	}
	if len(wanted.Events) > maxEventTypes && invalid == nil {
		invalid = psd2.Invalid("events", "unknown_event_type", "list each type of event once at most")
	}
	if wish.After != nil && invalid == nil {
		event, err := a.ownEvent(c, o.call, *wish.After)
		if err != nil {
			return err
		}
		if wanted.After = event.Position; event.Position == 0 {
			wanted.After = math.MaxInt64 // not in the common order yet: nothing is behind it
		}
	}
	ans, err := a.once(c, o, func(tx *store.Tx) (*answer, error) {
		if invalid != nil {
			return nil, invalid
		}
		r, err := a.Webhooks.ReplayIn(tx, o.merchant.ID, id, wanted)
		if err != nil {
			return nil, err
		}
		return jsonAnswer(http.StatusAccepted, viewReplay(r))
	})
	if err != nil {
		return err
	}
	return a.changed(c, ans, id)
}

func (a *room) getReplay(c echo.Context, who *call) error {
	if _, err := query(c.Request()); err != nil {
		return err
	}
	id, err := endpointID(c)
	if err != nil {
		return err
	}
	replay := c.Param("replay")
	if !psd2.IsID(webhooks.PrefixReplay, replay) {
		return psd2.NotFound("webhook_replay")
	}
	r, err := a.Webhooks.Replay(c.Request().Context(), who.merchant.ID, id, replay)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewReplay(r))
}
