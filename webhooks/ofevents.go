package webhooks

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// OfEvents lists what became of a merchant's events at all his endpoints,
// ordered by event. It goes by the primary key, so give it the events of one
// object, not a history.
func (s *Service) OfEvents(ctx context.Context, merchantID string, eventIDs []string) ([]Delivery, error) {
	endpoints, err := s.Endpoints(ctx, merchantID)
	if err != nil || len(eventIDs) == 0 {
		return nil, err
	}
	query := `SELECT ` + deliveryColumns + ` FROM webhook_deliveries WHERE endpoint_id = ? AND event_id IN (?` + strings.Repeat(`,?`, len(eventIDs)-1) + `)`
	var out []Delivery
	for _, e := range endpoints {
		args := []any{e.ID}
		for _, id := range eventIDs {
			args = append(args, id)
		}
		var rows []deliveryRow
		if err := s.deps.Store.Select(ctx, &rows, query, args...); err != nil {
			return nil, fmt.Errorf("deliveries of events: %w", err)
		}
		for _, row := range rows {
			d, err := s.view(row)
			if err != nil {
				return nil, err
			}
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b Delivery) int { return strings.Compare(a.EventID+a.EndpointID, b.EventID+b.EndpointID) })
	return out, nil
}
