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
			if err := h.write(r.s, tx); err != nil {
				return err
			}
		}
		if err := reconsider(tx, jobs); err != nil {
			return err
		}
		_, err := tried.write(tx, jobs)
		return err
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

// reconsider keeps pending what its try would have ended, if it was asked for
// since that try was planned: whoever did no longer means what he answered.
func reconsider(tx *store.Tx, jobs []*job) error {
	for _, j := range jobs {
		if j.row.State != string(DeliveryFailed) {
			continue
		}
		var again int
		err := tx.Get(&again, `SELECT COUNT(*) FROM webhook_deliveries WHERE endpoint_id = ? AND event_id = ? AND state = 'pending' AND asked > ?`,
			j.row.EndpointID, j.row.EventID, j.row.Asked)
		if err != nil {
			return err
		}
		if again > 0 {
			j.row.State, j.row.Step, j.row.NextAt = string(DeliveryPending), 0, tx.Now.UnixMicro()
		}
	}
	return nil
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
	if !o.ours { // or it is tried again as if it had not been
		row.Step++
	}
	row.UpdatedAt = o.at.UnixMicro()
	try := Try{At: o.at.UTC(), Took: o.took.Round(time.Microsecond), Status: o.status, Error: o.err}
	if len(o.answer) > 0 {
		try.Sealed = s.deps.Store.SealShared("webhook_deliveries", sealedRow(row.EndpointID, row.EventID), "log", o.answer)
	}
	row.addTry(try)
	if o.delivered() {
		row.State = string(DeliveryDelivered)
	} else if wait, more := pause(max(int(row.Step), 1), s.deps.Random); more && !o.abort {
		row.NextAt = o.at.Add(max(wait, o.after)).UnixMicro()
	} else {
		row.State = string(DeliveryFailed)
	}
	s.metrics.outcomes.WithLabelValues(row.State).Inc()
}
