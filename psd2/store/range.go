package store

import (
	"context"
	"fmt"
	"time"
)

// Place is an event's place in the journal and in its object, without what it
// says: for those who compare the journal with what came of it.
type Place struct {
	Mark
	Sequence int64 `db:"sequence"`
	Created  int64 `db:"created_at"`
}

// CreatedAt is when the event happened.
func (p *Place) CreatedAt() time.Time { return fromMicro(p.Created) }

const (
	placesOfAll = `SELECT id, object_id, merchant_id, type, position, sequence, created_at FROM journal
		WHERE position > ? AND position <= ? ORDER BY position LIMIT ?`
	placesOfMerchant = `SELECT id, object_id, merchant_id, type, position, sequence, created_at FROM journal
		WHERE merchant_id = ? AND position > ? AND position <= ? ORDER BY position LIMIT ?`
)

// PlacesFrom lists places behind one position up to another, of one merchant
// or, without one, of all.
func (db *DB) PlacesFrom(ctx context.Context, merchantID string, after, until int64, limit int) (out []Place, err error) {
	if merchantID == "" {
		err = db.Select(ctx, &out, placesOfAll, after, until, limit)
	} else {
		err = db.Select(ctx, &out, placesOfMerchant, merchantID, after, until, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return out, nil
}

// LastPosition is the newest position given.
func (tx *Tx) LastPosition() (n int64, err error) { return n, tx.Get(&n, lastPosition) }
