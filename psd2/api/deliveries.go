package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
)

// deliveryView is one event for one endpoint and what became of it.
type deliveryView struct {
	ID        string                 `json:"id"`
	EventID   string                 `json:"event_id"`
	Type      string                 `json:"type"`
	ObjectID  string                 `json:"object_id"`
	Sequence  int64                  `json:"sequence"`
	Status    webhooks.DeliveryState `json:"status"`
	Tried     int64                  `json:"attempt_count"`
	NextAt    *psd2.Timestamp        `json:"next_attempt_at"` // null when it is not pending
	CreatedAt psd2.Timestamp         `json:"created_at"`
	UpdatedAt psd2.Timestamp         `json:"updated_at"`
	Attempts  []tryView              `json:"attempts"`
}

// tryView is one request to the endpoint.
type tryView struct {
	At         psd2.Timestamp `json:"at"`
	DurationMS int64          `json:"duration_ms"`
	StatusCode int            `json:"status_code,omitempty"` // absent when there was no answer
	Error      string         `json:"error,omitempty"`
	Answer     string         `json:"answer,omitempty"`
}

func viewDelivery(d *webhooks.Delivery) deliveryView {
	v := deliveryView{
		ID: d.ID, EventID: d.EventID, Type: d.Type, ObjectID: d.ObjectID, Sequence: d.Sequence, Status: d.State, Tried: d.Attempts,
		NextAt: optional(d.NextAt), CreatedAt: psd2.Timestamp(d.CreatedAt), UpdatedAt: psd2.Timestamp(d.UpdatedAt), Attempts: []tryView{},
	}
	for _, t := range d.Tries {
		v.Attempts = append(v.Attempts, tryView{psd2.Timestamp(t.At), t.Took.Milliseconds(), t.Status, t.Error, t.Answer})
	}
	return v
}

type deliveryList struct {
	Data       []deliveryView `json:"data"`
	NextCursor *string        `json:"next_cursor"` // null on the last page
}

func (a *room) listDeliveries(c echo.Context, who *call) error {
	q, err := query(c.Request(), "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := limitOf(q)
	if err != nil {
		return err
	}
	if cursor, given := q["cursor"]; given && !psd2.IsID(psd2.PrefixDelivery, cursor) {
		return psd2.Invalid("cursor", "cursor_invalid", "take the cursor from next_cursor of the page before")
	}
	id, err := endpointID(c)
	if err != nil {
		return err
	}
	deliveries, next, err := a.Webhooks.Deliveries(c.Request().Context(), who.merchant.ID, id, q["cursor"], limit)
	if err != nil {
		return err
	}
	list := deliveryList{Data: make([]deliveryView, 0, len(deliveries))}
	for i := range deliveries {
		list.Data = append(list.Data, viewDelivery(&deliveries[i]))
	}
	if next != "" {
		list.NextCursor = &next
	}
	return c.JSON(http.StatusOK, list)
}

func (a *room) resendDelivery(c echo.Context, o *order) error {
	id, err := endpointID(c)
	if err != nil {
		return err
	}
	delivery := c.Param("delivery")
	if !psd2.IsID(psd2.PrefixDelivery, delivery) {
		return psd2.NotFound("webhook_delivery")
	}
	edge.Annotate(c.Request().Context(), "delivery_id", delivery)
	return a.deliver(c, o, id, func(tx *store.Tx) (*webhooks.Delivery, error) {
		return a.Webhooks.ResendIn(tx, o.merchant.ID, id, delivery)
	})
}

func (a *room) testEndpoint(c echo.Context, o *order) error {
	id, err := endpointID(c)
	if err != nil {
		return err
	}
	return a.deliver(c, o, id, func(tx *store.Tx) (*webhooks.Delivery, error) {
		return a.Webhooks.TestIn(tx, o.merchant.ID, id)
	})
}

// deliver answers a request that makes a delivery pending. It says nothing
// about whether it gets there: that is in the list of deliveries.
func (a *room) deliver(c echo.Context, o *order, endpointID string, ask func(*store.Tx) (*webhooks.Delivery, error)) error {
	invalid := o.empty()
	ans, err := a.once(c, o, func(tx *store.Tx) (*answer, error) {
		if invalid != nil {
			return nil, invalid
		}
		d, err := ask(tx)
		if err != nil {
			return nil, err
		}
		return jsonAnswer(http.StatusAccepted, viewDelivery(d))
	})
	if err != nil {
		return err
	}
	return a.changed(c, ans, endpointID)
}
