package run

import (
	"context"
	"net/url"

	"github.com/rialto-hub/rialto/psd2/ops"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
)

// deliveries shows the operators' pages what the webhooks did; the two rooms
// do not know each other.
type deliveries struct {
	store    *store.DB
	webhooks *webhooks.Service
}

// Deliveries implements ops.Webhooks.
func (d deliveries) Deliveries(ctx context.Context, objectID string) ([]ops.Delivery, error) {
	events, err := d.store.PaymentEvents(ctx, objectID)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	merchant := events[0].MerchantID
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	list, err := d.webhooks.OfEvents(ctx, merchant, ids)
	if err != nil {
		return nil, err
	}
	hosts, err := d.hosts(ctx, merchant)
	if err != nil {
		return nil, err
	}
	out := make([]ops.Delivery, len(list))
	for i, x := range list {
		out[i] = ops.Delivery{
			ID: x.ID, EventID: x.EventID, Type: x.Type, EndpointID: x.EndpointID, Host: hosts[x.EndpointID],
			State: string(x.State), Attempts: x.Attempts, CreatedAt: x.CreatedAt, NextAt: x.NextAt,
		}
		for _, t := range x.Tries {
			out[i].Tries = append(out[i].Tries, ops.Try{At: t.At, Took: t.Took, Status: t.Status, Error: t.Error})
		}
	}
	return out, nil
}

func (d deliveries) hosts(ctx context.Context, merchantID string) (map[string]string, error) {
	endpoints, err := d.webhooks.Endpoints(ctx, merchantID)
	if err != nil {
		return nil, err
	}
	hosts := map[string]string{}
	for _, e := range endpoints {
		if u, err := url.Parse(e.URL); err == nil {
			hosts[e.ID] = u.Host
		}
	}
	return hosts, nil
}
