package run

import (
	"context"
	"net/url"
	"time"

	"github.com/rialto-hub/rialto/psd2/ops"
)

// Endpoints implements ops.Webhooks.
func (d deliveries) Endpoints(ctx context.Context, limit int) ([]ops.Endpoint, error) {
	list, err := d.webhooks.Conditions(ctx, limit)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	out := make([]ops.Endpoint, len(list))
	for i, c := range list {
		out[i] = ops.Endpoint{
			ID: c.ID, MerchantID: c.MerchantID, State: string(c.State), Reason: c.Reason, BudgetUsed: c.BudgetUsed(now), FailingSince: c.FailingSince,
			DeliveredAt: c.DeliveredAt, Waiting: c.Waiting, Crowded: c.Crowded, WaitingFrom: c.WaitingFrom,
		}
		if u, err := url.Parse(c.URL); err == nil {
			out[i].Host = u.Host
		}
	}
	return out, nil
}
