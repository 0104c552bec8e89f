package hub

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

const (
	sweepLease   = "sweep"
	sweepTTL     = time.Minute
	sweepPause   = 10 * time.Second
	overdueAfter = 5 * time.Minute // longer than any call of ours, and than any lease of a dead process
)

// own makes this process the one that does a job, if no other is. The lease of
// a process that died ends by itself. What an owner writes who was slow and has
// been replaced meanwhile does no harm: payments and transfers are changed by
// compare-and-swap, statements and inboxes by their place, and what neither
// guards checks the fence in the transaction that writes.
func (h *Hub) own(ctx context.Context, job string, ttl time.Duration) (fence int64, held bool, err error) {
	err = h.store.Tx(ctx, func(tx *store.Tx) (err error) {
		fence, held, err = tx.Lease(job, h.holder, ttl)
		return err
	})
	mine := 0.0
	if held && err == nil {
		mine = 1
	}
	h.metrics.owned.WithLabelValues(job).Set(mine)
	return fence, held, err
}

// SweepStep deletes what is too old to matter and counts what should have been
// done and was not: attempts whose caller died, transfers nobody carries, keys
// of requests that never ended. One process does it.
func (h *Hub) SweepStep(ctx context.Context, now time.Time) (time.Time, error) {
	_, held, err := h.own(ctx, sweepLease, sweepTTL)
	if err != nil || !held {
		h.overdue(store.Stuck{}) // the owner says
		return now.Add(sweepPause), err
	}
	stuck, err := h.store.Stuck(ctx, now.Add(-overdueAfter))
	if err != nil {
		return now.Add(sweepPause), err
	}
	h.overdue(stuck)
	next, err := h.store.Sweep(ctx, now)
	if pause := now.Add(sweepPause); err == nil && next.After(pause) {
		next = pause // the count is looked at more often than there is something to delete
	}
	return next, err
}

func (h *Hub) overdue(s store.Stuck) {
	for kind, n := range map[string]int64{"payments": s.Payments, "transfers": s.Transfers, "idempotency_keys": s.Keys} {
		h.metrics.overdue.WithLabelValues(kind).Set(float64(n))
	}
}
