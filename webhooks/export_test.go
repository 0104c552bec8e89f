package webhooks

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

// Quiet reports that everything due has been sent and recorded.
func (s *Service) Quiet(ctx context.Context, now time.Time) bool {
	last, err := s.deps.Store.LastPosition(ctx)
	if err != nil || s.fanout.cursor < last || len(s.fanout.backlog.spans) > 0 {
		return false
	}
	d := s.dispatch
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range d.queues {
		if len(q.jobs) == 0 && !d.shards.owns(q.endpoint.shard, now) {
			continue // another process's
		}
		if q.held(now) && q.busy == 0 && len(q.jobs) == q.waiting() {
			continue // until its time
		}
		if len(q.jobs) > 0 || q.endpoint.State == EndpointActive && (q.behind || q.loading || !now.Before(q.loadAt)) {
			return false
		}
	}
	return !d.stale
}

// waiting counts deliveries that have not been sent.
func (q *queue) waiting() int {
	n := len(q.ready)
	for _, l := range q.lanes {
		n += len(l.waiting)
	}
	return n
}

// Fanned is how far the fan-out has got.
func (s *Service) Fanned() int64 { return s.fanout.cursor }

// Busy is how many deliveries an endpoint has under way.
func (s *Service) Busy(endpointID string) int {
	d := s.dispatch
	d.mu.Lock()
	defer d.mu.Unlock()
	if q := d.queues[endpointID]; q != nil {
		return q.busy
	}
	return 0
}

// Bytes is how many bytes of an endpoint's bodies are in memory.
func (s *Service) Bytes(endpointID string) int {
	d := s.dispatch
	d.mu.Lock()
	defer d.mu.Unlock()
	if q := d.queues[endpointID]; q != nil {
		return q.bytes
	}
	return 0
}

// Shards counts what this process owns.
func (s *Service) Shards(now time.Time) (n int) {
	for shard := range shardCount {
		if s.dispatch.shards.owns(shard, now) {
			n++
		}
	}
	return n
}

// ShardTTL is how long a dead process keeps its endpoints.
const ShardTTL = shardTTL

// FanoutCursor names the fan-out's cursor.
const FanoutCursor = fanoutName

// Schedule is the pauses before each try.
func Schedule() []time.Duration { return schedule }

// PutOff notes a range of a merchant's events whose deliveries are made later.
func PutOff(tx *store.Tx, merchant string, cursor, until int64) error {
	return new(backlog).put(tx, map[string]span{merchant: {cursor, until}})
}

// DealtWith writes that a range was dealt with to its end, by a process that
// believes in these ends.
func DealtWith(tx *store.Tx, merchant string, cursor, until int64) error {
	return new(backlog).moved(tx, merchant, span{cursor, until}, span{until, until})
}
