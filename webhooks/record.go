package webhooks

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

const (
	recordBatch = 512
	recordRetry = 250 * time.Millisecond
)

// result is a try that is over, with the queue it came from.
type result struct {
	queue *queue
	job   *job
}

// record writes outcomes, as many as there are in one transaction: while one
// commits, the next gather.
type record struct {
	s    *Service
	wake chan struct{}

	mu      sync.Mutex
	results []*result
}

func (r *record) add(q *queue, j *job) {
	r.s.conclude(j)
	r.mu.Lock()
	r.results = append(r.results, &result{q, j})
	r.mu.Unlock()
	signal(r.wake)
}

// Step writes what has gathered.
func (r *record) Step(ctx context.Context, now time.Time) (time.Time, error) {
	r.mu.Lock()
	n := min(len(r.results), recordBatch)
	batch := r.results[:n:n]
	r.results = r.results[n:]
	rest := len(r.results)
	r.mu.Unlock()
	if n == 0 {
		return now.Add(time.Minute), nil
	}
	jobs := make([]*job, n)
	for i, one := range batch {
		jobs[i] = one.job
	}
	health := r.s.dispatch.health(batch)
	err := r.s.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		for _, h := range health {
			if err := h.write(tx); err != nil {
				return err
			}
		}
		return upsertDeliveries(tx, jobs)
	})
	if err != nil {
		r.mu.Lock()
		r.results = append(batch, r.results...)
		r.mu.Unlock()
		return now.Add(recordRetry), fmt.Errorf("webhooks: record outcomes: %w", err)
	}
	r.s.dispatch.recorded(health)
	r.s.dispatch.settled(batch)
	if rest > 0 {
		return now, nil
	}
	return now.Add(time.Minute), nil
}

// flush writes everything that has gathered.
func (r *record) flush(ctx context.Context) error {
	for {
		now := r.s.deps.Now()
		if next, err := r.Step(ctx, now); err != nil || next.After(now) {
			return err
		}
	}
}

// conclude turns a try's outcome into the delivery's next state.
func (s *Service) conclude(j *job) {
	row, o := &j.row, &j.outcome
	row.Attempts++
	row.Step++
	row.UpdatedAt = o.at.UnixMicro()
	try := Try{At: o.at.UTC(), Took: o.took.Round(time.Microsecond), Status: o.status, Error: o.err}
	if len(o.answer) > 0 {
		try.Sealed = s.deps.Store.SealShared("webhook_deliveries", sealedRow(row.EndpointID, row.EventID), "log", o.answer)
	}
	row.addTry(try)
	if o.delivered() {
		row.State = string(DeliveryDelivered)
	} else if wait, more := pause(int(row.Step), s.deps.Random); more && !o.abort {
		row.NextAt = o.at.Add(max(wait, o.after)).UnixMicro()
	} else {
		row.State = string(DeliveryFailed)
	}
	s.metrics.outcomes.WithLabelValues(row.State).Inc()
}

// health is a change of an endpoint's well-being.
type health struct {
	queue   *queue
	id      string
	failing time.Time // zero: it works (again)
	disable string
}

// health sums up what a batch says about its endpoints: only a change is
// worth a write.
func (d *dispatch) health(batch []*result) []*health {
	d.mu.Lock()
	defer d.mu.Unlock()
	byQueue := map[*queue]*health{}
	var changed []*health
	for _, r := range batch {
		o := &r.job.outcome
		h := byQueue[r.queue]
		if h == nil {
			h = &health{queue: r.queue, id: r.queue.endpoint.ID, failing: r.queue.failingSince}
			byQueue[r.queue] = h
		}
		switch {
		case o.delivered():
			h.failing = time.Time{}
		case h.failing.IsZero():
			h.failing = o.at
		}
		if o.disable != "" {
			h.disable = o.disable
		} else if !h.failing.IsZero() && o.at.Sub(h.failing) >= giveUpAfter {
			h.disable = ReasonFailing
		}
	}
	for _, h := range byQueue {
		if h.disable != "" || !h.failing.Equal(h.queue.failingSince) {
			changed = append(changed, h)
		}
	}
	return changed
}

func (h *health) write(tx *store.Tx) error {
	var since any
	if !h.failing.IsZero() {
		since = h.failing.UnixMicro()
	}
	if h.disable == "" {
		_, err := tx.Exec(`UPDATE webhook_endpoints SET failing_since = ? WHERE id = ?`, since, h.id)
		return err
	}
	_, err := tx.Exec(`UPDATE webhook_endpoints SET failing_since = ?, state = 'disabled', reason = ?, updated_at = ? WHERE id = ? AND state <> 'disabled'`,
		since, h.disable, tx.Now.UnixMicro(), h.id)
	if err != nil {
		return err
	}
	return revise(tx)
}

// recorded takes over what was written about endpoints.
func (d *dispatch) recorded(changed []*health) {
	d.mu.Lock()
	disabled := false
	for _, h := range changed {
		h.queue.failingSince = h.failing
		if h.disable != "" {
			d.stale, disabled = true, true
			d.s.deps.Log.Warn("webhooks: endpoint disabled", "endpoint", h.id, "reason", h.disable)
		}
	}
	d.mu.Unlock()
	if disabled {
		signal(d.wake)
	}
}
