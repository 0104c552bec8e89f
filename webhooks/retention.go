package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

const (
	retentionName  = "webhooks.retention" // of the lease
	retentionTTL   = time.Minute
	retentionBatch = 1000
	retentionIdle  = time.Hour
	retentionPause = 50 * time.Millisecond
)

// retention deletes what became of events so old that nobody asks. What is
// still to be delivered stays, and so does the journal. What an endpoint was to
// be told that is gone is given up.
type retention struct {
	s    *Service
	next time.Time
	from string // endpoint to go on with; empty: all are done
}

// Step deletes at most a batch of one endpoint's deliveries.
func (r *retention) Step(ctx context.Context, now time.Time) (time.Time, error) {
	if now.Before(r.next) {
		return r.next, nil
	}
	more, err := r.batch(ctx, now)
	switch {
	case err != nil:
		r.next = now.Add(time.Minute)
		return r.next, fmt.Errorf("webhooks: retention: %w", err)
	case more:
		r.next = now.Add(retentionPause)
	default:
		r.next = now.Add(retentionIdle)
	}
	return r.next, nil
}

// zeros make the least id of a time.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

const oldDeliveries = `SELECT endpoint_id, event_id FROM webhook_deliveries WHERE endpoint_id = ? AND event_id < ? AND state <> 'pending' LIMIT ?`

// orphans are deliveries to an endpoint that was deleted while another transaction
// was making them.
const orphans = `SELECT d.endpoint_id, d.event_id FROM webhook_endpoints e JOIN webhook_deliveries d ON d.endpoint_id = e.id
	WHERE e.state = 'deleted' AND d.state = 'pending' LIMIT ?`

// giveUp ends orphans. Nobody delivers them, so nobody else would.
func (r *retention) giveUp(ctx context.Context) error {
	var some []deliveryRow
	if err := r.s.deps.Store.Select(ctx, &some, orphans, 1); err != nil || len(some) == 0 {
		return err
	}
	return r.s.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		_, held, err := tx.Lease(retentionName, r.s.deps.Holder, retentionTTL)
		if err != nil || !held {
			return err
		}
		_, err = tx.Exec(`UPDATE webhook_deliveries SET state = 'failed' WHERE (endpoint_id, event_id) IN (`+orphans+`)`, retentionBatch)
		return err
	})
}

func (r *retention) batch(ctx context.Context, now time.Time) (more bool, err error) {
	if r.from == "" {
		if err := r.giveUp(ctx); err != nil {
			return false, err
		}
	}
	before := now.Add(-r.s.config.Keep)
	// Events' ids begin with their time, so the primary key finds the old ones.
	oldest := psd2.NewID(psd2.PrefixEvent, before, zeros{})
	var endpoints []string
	err = r.s.deps.Store.Select(ctx, &endpoints, `SELECT id FROM webhook_endpoints WHERE id >= ? ORDER BY id LIMIT 100`, r.from)
	if err != nil {
		return false, err
	}
	for _, id := range endpoints {
		var old []deliveryRow
		if err := r.s.deps.Store.Select(ctx, &old, oldDeliveries, id, oldest, 1); err != nil {
			return false, err
		}
		if len(old) > 0 {
			r.from = id
			return true, r.delete(ctx, id, oldest)
		}
		r.from = id + "0" // whatever follows it
	}
	if len(endpoints) == 100 {
		return true, nil
	}
	r.from = ""
	return false, nil
}

func (r *retention) delete(ctx context.Context, endpointID, oldest string) error {
	return r.s.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		_, held, err := tx.Lease(retentionName, r.s.deps.Holder, retentionTTL)
		if err != nil || !held {
			return err
		}
		_, err = tx.Exec(`DELETE FROM webhook_deliveries WHERE (endpoint_id, event_id) IN (`+oldDeliveries+`)`, endpointID, oldest, retentionBatch)
		return err
	})
}
