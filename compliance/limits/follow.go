package limits

import (
	"context"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

const (
	followName  = "limits.follow" // of lease and cursor
	followTTL   = 15 * time.Second
	followBatch = 64
	followIdle  = time.Second
)

// Follower ends reservations as the journal tells how their payments ended:
// confirmed once money has moved, released once it certainly will not. While an
// outcome is unknown nothing is told, and the reservation stays.
type Follower struct {
	k      *Keeper
	holder string
}

// Follower makes this process's follower; holder names the process in the
// lease. One process at a time follows.
func (k *Keeper) Follower(holder string) *Follower { return &Follower{k, holder} }

// Step takes in what the journal has had since the last time.
func (f *Follower) Step(ctx context.Context, now time.Time) (time.Time, error) {
	from, held := int64(0), false
	err := f.k.db.Tx(ctx, func(tx *store.Tx) (err error) {
		if _, held, err = tx.Lease(followName, f.holder, followTTL); err != nil || !held {
			return err
		}
		from, err = tx.Cursor(followName)
		return err
	})
	if err != nil || !held {
		return now.Add(followIdle), err
	}
	events, err := f.k.db.EventsFrom(ctx, from, followBatch)
	if err != nil || len(events) == 0 {
		return now.Add(followIdle), err
	}
	err = f.k.db.Tx(ctx, func(tx *store.Tx) error {
		for _, e := range events {
			if err := f.take(tx, e); err != nil {
				return fmt.Errorf("limits: %s: %w", e.ObjectID, err)
			}
		}
		return tx.SetCursor(followName, events[len(events)-1].Position)
	})
	if err != nil || len(events) < followBatch {
		return now.Add(followIdle), err
	}
	return now, nil
}

func (f *Follower) take(tx *store.Tx, e psd2.Event) error {
	switch e.Type {
	case psd2.EventExecuted, psd2.EventSettled:
		return f.k.Confirm(tx, e.ObjectID)
	case psd2.EventFailed:
		return f.k.Release(tx, e.ObjectID)
	}
	return nil
}
