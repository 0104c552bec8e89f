package api

import (
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
)

// eventView is one line of the journal, the same as a webhook's body.
type eventView struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	CreatedAt psd2.Timestamp  `json:"created_at"`
	Sequence  int64           `json:"sequence"`
	Data      json.RawMessage `json:"data"`
}

func eventViews(events []psd2.Event) []eventView {
	views := make([]eventView, 0, len(events))
	for _, e := range events {
		views = append(views, eventView{e.ID, e.Type, psd2.Timestamp(e.CreatedAt), e.Sequence, e.Data})
	}
	return views
}

// paymentEvents tells a payment's whole story, in its order.
func (a *room) paymentEvents(c echo.Context, who *call) error {
	p, err := a.ownPayment(c, who)
	if err != nil {
		return err
	}
	events, err := a.Store.PaymentEvents(c.Request().Context(), p.ID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"data": eventViews(events)})
}

type eventList struct {
	Data    []eventView `json:"data"`
	After   *string     `json:"next_after"` // give it as after next time; null before the first event
	HasMore bool        `json:"has_more"`
}

// listEvents tells what happened to all of a merchant's objects, in the order
// of the journal's positions: an event that appears later has a later place,
// so whoever goes on from the last one he has read misses nothing. The place
// is named by an event's id, which webhooks carry too; a position would tell
// how busy other merchants are.
func (a *room) listEvents(c echo.Context, who *call) error {
	q, err := query(c.Request(), "after", "limit")
	if err != nil {
		return err
	}
	limit, err := limitOf(q)
	if err != nil {
		return err
	}
	list := eventList{Data: []eventView{}}
	var position int64
	if id, given := q["after"]; given {
		after, err := a.ownEvent(c, who, id)
		if err != nil {
			return err
		}
		list.After, position = &after.ID, after.Position
		if position == 0 { // committed, but not in the common order yet: nothing is behind it
			return c.JSON(http.StatusOK, list)
		}
	}
	events, err := a.Store.EventsAfter(c.Request().Context(), who.merchant.ID, position, limit+1)
	if err != nil {
		return err
	}
	if len(events) > limit {
		events, list.HasMore = events[:limit], true
	}
	list.Data = eventViews(events)
	if n := len(events); n > 0 {
		list.After = &events[n-1].ID
	}
	return c.JSON(http.StatusOK, list)
}

// ownEvent finds an event of the merchant's; others' do not exist for him.
func (a *room) ownEvent(c echo.Context, who *call, id string) (psd2.Event, error) {
	unknown := psd2.Invalid("after", "after_unknown", "after must be the id of an event of yours")
	if !psd2.IsID(psd2.PrefixEvent, id) {
		return psd2.Event{}, unknown
	}
	found, err := a.Store.EventsByID(c.Request().Context(), id)
	if err != nil {
		return psd2.Event{}, err
	}
	event, ok := found[id]
	if !ok || event.MerchantID != who.merchant.ID {
		return psd2.Event{}, unknown
	}
	return event, nil
}

// bankView is a bank of the registry as it can be used now.
type bankView struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	BICs      []string `json:"bics"`
	Countries []string `json:"countries"`
	Features  []string `json:"features"` // approaches to authentication
	Available bool     `json:"available"`
	Reason    string   `json:"reason,omitempty"` // why it is not available
}

func (a *room) listBanks(c echo.Context, _ *call) error {
	if _, err := query(c.Request()); err != nil {
		return err
	}
	listings := a.Hub.Banks()
	views := make([]bankView, 0, len(listings))
	for _, l := range listings {
		v := bankView{ID: l.ID, Name: l.Name, BICs: append([]string{}, l.BICs...), Countries: append([]string{}, l.Countries...),
			Features: []string{}, Available: l.Available, Reason: l.Reason}
		for _, approach := range l.Approaches {
			v.Features = append(v.Features, string(approach))
		}
		views = append(views, v)
	}
	return c.JSON(http.StatusOK, map[string]any{"data": views})
}
