package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

const (
	relayName  = "relay" // of lease and cursor
	relayTTL   = 15 * time.Second
	relayBatch = 512 // events published at once, at most
	relayLeast = 16
	relayIdle  = 500 * time.Millisecond // fallback when no signal comes
	// relayLazy is how long the cursor may lag behind the acknowledgements: it
	// saves a commit per batch, and what a crash republishes is dropped by id.
	relayLazy = 100 * time.Millisecond
)

// Relay publishes word of every positioned event, in order of position. Of all
// processes one does: it holds the lease, and the transaction that moves the
// cursor checks it. The cursor moves only over what JetStream has acknowledged,
// so each event is published at least once.
type Relay struct {
	to     Transport
	db     *store.DB
	holder string

	fence   int64
	until   time.Time // of our lease; zero: not ours
	cursor  int64     // acknowledged up to here
	stored  int64     // what the database knows of it
	dirtyAt time.Time // since when it knows less
	failed  time.Duration
	pace    pace
}

// pace is how many events are published at once. All of them have publishTimeout
// to be stored, and a slow disk takes its time over each. It falls fast and rises
// slowly, so that few batches are too large.
type pace int

func (p *pace) kept()   { *p = min(*p+relayLeast, relayBatch) }
func (p *pace) missed() { *p = max(*p/2, relayLeast) }

// Transport is what carries word of events: NATS, and in the simulator a model
// of it that forgets on command.
type Transport interface {
	// Ready makes sure that word can be published. ErrNotReady has been reported
	// before.
	Ready(ctx context.Context, now time.Time) error
	// Hint wakes who follows the journal in this process: there is news in it.
	Hint()
	// Publish sends word of events, in order, and waits for every
	// acknowledgement. done is the position up to which all are acknowledged.
	Publish(ctx context.Context, marks []store.Mark) (done int64, err error)
	// Forget is called after a failure: Ready must look again.
	Forget()
}

// NewRelay makes a relay to any transport; holder names the process in the lease.
func NewRelay(to Transport, db *store.DB, holder string) *Relay {
	return &Relay{to: to, db: db, holder: holder, pace: relayBatch}
}

// Step publishes at most one batch.
func (r *Relay) Step(ctx context.Context, now time.Time) (time.Time, error) {
	if err := r.to.Ready(ctx, now); err != nil {
		if err == ErrNotReady {
			err = nil // was reported when it began
		}
		return now.Add(relayIdle), err
	}
	if err := r.mend(ctx, now); err != nil {
		return now.Add(time.Second), fmt.Errorf("relay: %w", err)
	}
	marks, err := r.waiting(ctx, now)
	if err != nil {
		return now.Add(time.Second), fmt.Errorf("relay: %w", err)
	}
	if len(marks) > 0 {
		r.to.Hint()
		done, err := r.to.Publish(ctx, marks)
		if done > r.cursor {
			if r.cursor == r.stored {
				r.dirtyAt = now
			}
			r.cursor = done
		}
		if err != nil {
			r.to.Forget()
			r.pace.missed()
			r.failed = min(max(2*r.failed, 50*time.Millisecond), 5*time.Second)
			return now.Add(r.failed), fmt.Errorf("relay: %w", err)
		}
		r.failed = 0
	}
	full := len(marks) == int(r.pace)
	if full {
		r.pace.kept()
	}
	return r.settle(ctx, now, full)
}

// waiting reads what is to be published. It takes the lease only when there is
// something: an idle system must not write.
func (r *Relay) waiting(ctx context.Context, now time.Time) ([]store.Mark, error) {
	if now.Before(r.until.Add(-publishTimeout)) {
		return r.db.MarksFrom(ctx, r.cursor, int(r.pace))
	}
	var cursor int64
	err := r.db.Tx(ctx, func(tx *store.Tx) (err error) {
		cursor, err = tx.Cursor(relayName)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !r.until.IsZero() {
		cursor = max(cursor, r.cursor)
	}
	marks, err := r.db.MarksFrom(ctx, cursor, int(r.pace))
	if err != nil || len(marks) == 0 {
		return nil, err
	}
	held, err := r.lease(ctx, now)
	if err != nil || !held {
		return nil, err
	}
	return r.db.MarksFrom(ctx, r.cursor, int(r.pace))
}

// lease takes or renews the lease and stores the cursor with it.
func (r *Relay) lease(ctx context.Context, now time.Time) (held bool, err error) {
	var fence, stored int64
	err = r.db.Tx(ctx, func(tx *store.Tx) (err error) {
		if fence, held, err = tx.Lease(relayName, r.holder, relayTTL); err != nil || !held {
			return err
		}
		if stored, err = tx.Cursor(relayName); err != nil {
			return err
		}
		if !r.until.IsZero() && fence == r.fence && r.cursor > stored {
			stored = r.cursor
			return tx.SetCursor(relayName, stored)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if !held {
		r.until = time.Time{}
		return false, nil
	}
	r.fence, r.cursor, r.stored, r.until = fence, stored, stored, now.Add(relayTTL)
	return true, nil
}

// settle stores the cursor when it has lagged long enough, and says when to
// come back.
func (r *Relay) settle(ctx context.Context, now time.Time, more bool) (time.Time, error) {
	if r.cursor > r.stored && !r.until.IsZero() && now.Sub(r.dirtyAt) >= relayLazy {
		if _, err := r.lease(ctx, now); err != nil {
			return now.Add(time.Second), fmt.Errorf("relay: store cursor: %w", err)
		}
	}
	switch {
	case more:
		return now, nil
	case r.cursor > r.stored && !r.until.IsZero():
		return r.dirtyAt.Add(relayLazy), nil
	}
	return now.Add(relayIdle), nil
}
