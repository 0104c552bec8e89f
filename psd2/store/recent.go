package store

import (
	"slices"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

const (
	recentMost = 2048            // events
	recentFor  = 5 * time.Second // by then whoever follows closely has read them
)

// recent keeps the newest events as this process wrote them, once they are
// durable. Several follow the journal closely, and need neither read nor open
// what was in memory a moment ago. On PostgreSQL it stays empty: there nobody
// knows an event's position when he writes it.
type recent struct {
	mu     sync.Mutex
	events []psd2.Event // by position, without a gap; what is in here never changes
	at     time.Time    // when the newest came
}

// add takes what a commit wrote.
func (r *recent) add(news []psd2.Event, now time.Time) {
	if len(news) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.events); n > 0 && news[0].Position != r.events[n-1].Position+1 {
		r.events = nil // another process has written
	}
	if n := len(r.events); n >= 2*recentMost {
		r.events = slices.Clone(r.events[n-recentMost:])
	}
	r.events, r.at = append(r.events, news...), now
}

// after gives what follows a position, nil when the database has to be asked.
func (r *recent) after(position int64, limit int, now time.Time) []psd2.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.events)
	if n == 0 || position+1 < r.events[0].Position || position >= r.events[n-1].Position {
		return nil
	}
	if now.Sub(r.at) > recentFor {
		r.events = nil
		return nil
	}
	from := int(position + 1 - r.events[0].Position)
	return r.events[from:min(from+limit, n):n]
}

// forget drops everything: this process has erased a person. Another's erasure is
// noticed when the events have aged out.
func (r *recent) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
}

// end is the journal's, as a transaction that nobody else writes beside sees
// it. Those that share a commit share it.
type end struct {
	known   bool
	Last    int64 `db:"last"`    // position
	Waiting bool  `db:"waiting"` // there are events without one
}

const selectEnd = `SELECT (` + lastPosition + `) AS last, EXISTS (SELECT 1 FROM journal WHERE position IS NULL) AS waiting`

// nextPosition is the position of the event that is written next, nil when it
// is the sequencer's to give: on PostgreSQL, where somebody may commit an earlier
// event later, and while others wait for theirs, as they may come before this one
// in its object's order.
func (tx *Tx) nextPosition() (*int64, error) {
	if tx.end == nil {
		return nil, nil
	}
	if !tx.end.known {
		if err := tx.Get(tx.end, selectEnd); err != nil {
			return nil, err
		}
		tx.end.known = true
	}
	if tx.end.Waiting {
		return nil, nil
	}
	tx.end.Last++
	return &tx.end.Last, nil
}
