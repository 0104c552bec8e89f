package limits

import (
	"context"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Follower ends reservations as the journal tells how their payments ended:
// confirmed once money has moved, released once it certainly will not. While an
// outcome is unknown nothing is told, and the reservation stays. holder names
// this process in the lease; one process at a time follows.
func (k *Keeper) Follower(holder string) *store.Walk[store.Mark] {
	return &store.Walk[store.Mark]{
		DB: k.db, Name: "limits.follow", Holder: holder, Wants: ends,
		Read: func(_ context.Context, m store.Mark) (store.Mark, error) { return m, nil },
		Take: func(tx *store.Tx, m store.Mark) error {
			if m.Type == psd2.EventFailed {
				return k.Release(tx, m.ObjectID)
			}
			return k.Confirm(tx, m.ObjectID)
		},
	}
}

// ends are the events that end a reservation.
func ends(eventType string) bool {
	return eventType == psd2.EventExecuted || eventType == psd2.EventSettled || eventType == psd2.EventFailed
}
