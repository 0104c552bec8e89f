package webhooks

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Bounds of what Conditions looks at for one endpoint.
const (
	countedWaiting = 10_000
	searchedRecent = 1_000 // newest deliveries, for the last that got there
)

// Condition is how an endpoint does, for whoever runs the hub.
type Condition struct {
	Endpoint
	Waiting     int        // deliveries still to be made; at Crowded there may be more
	Crowded     bool       // more wait than are counted
	WaitingFrom *time.Time // when the oldest of them was made
	DeliveredAt *time.Time // the last success among the newest deliveries
}

// Conditions gives the endpoints of all merchants, at most limit of them: those
// that are disabled or failing come first, the longest failing before others.
func (s *Service) Conditions(ctx context.Context, limit int) ([]Condition, error) {
	var rows []endpointRow
	err := s.deps.Store.Select(ctx, &rows, `SELECT `+endpointColumns+` FROM webhook_endpoints WHERE state <> 'deleted'
		ORDER BY CASE WHEN state = 'disabled' THEN 0 WHEN failing_since IS NOT NULL THEN 1 WHEN state = 'paused' THEN 2 ELSE 3 END, failing_since, id LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("conditions of webhook endpoints: %w", err)
	}
	out := make([]Condition, len(rows))
	for i, row := range rows {
		out[i].Endpoint = *s.readable(row)
		if err := s.observe(ctx, &out[i]); err != nil {
			return nil, fmt.Errorf("condition of webhook endpoint %s: %w", row.ID, err)
		}
	}
	return out, nil
}

// observe reads what an endpoint's deliveries say. Both questions are answered
// from an index, and neither looks at more than its bound.
func (s *Service) observe(ctx context.Context, c *Condition) error {
	var waiting struct {
		N    int           `db:"n"`
		From sql.NullInt64 `db:"since"`
	}
	if err := s.deps.Store.Get(ctx, &waiting, `SELECT COUNT(*) AS n, MIN(created_at) AS since FROM
		(SELECT created_at FROM webhook_deliveries WHERE endpoint_id = ? AND state = 'pending' ORDER BY next_at, position LIMIT ?) waiting`, c.ID, countedWaiting+1); err != nil {
		return err
	}
	var delivered sql.NullInt64
	if err := s.deps.Store.Get(ctx, &delivered, `SELECT MAX(updated_at) FROM
		(SELECT state, updated_at FROM webhook_deliveries WHERE endpoint_id = ? ORDER BY event_id DESC LIMIT ?) recent WHERE state = 'delivered'`, c.ID, searchedRecent); err != nil {
		return err
	}
	c.Waiting, c.Crowded = min(waiting.N, countedWaiting), waiting.N > countedWaiting
	c.WaitingFrom, c.DeliveredAt = instantOf(waiting.From), instantOf(delivered)
	return nil
}

func instantOf(micros sql.NullInt64) *time.Time {
	if !micros.Valid {
		return nil
	}
	t := time.UnixMicro(micros.Int64).UTC()
	return &t
}
