package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// ErrDamaged says that a row does not open, or holds what cannot be read. Trying
// again does not help; whoever goes through many rows goes on without it.
var ErrDamaged = errors.New("store: a row is damaged")

const (
	asideAgain = time.Minute // between two tries of what was set aside
	asideBatch = 16
)

// Aside is an event that somebody who goes through the journal could not take
// in, since what it tells of is damaged.
type Aside struct {
	Walk     string // who: the name of his cursor
	ObjectID string
	Since    time.Time
	LastAt   time.Time
	Tries    int64
}

// SetAside notes that a walk goes on without an event. It is said in the log,
// with the event's ids alone.
func (tx *Tx) SetAside(walk string, m Mark) error {
	at, tries := tx.Now.UnixMicro(), int64(0)
	err := tx.Get(&tries, `INSERT INTO journal_aside (walk, position, object_id, since, last_at, tries) VALUES (?, ?, ?, ?, ?, 1)
		ON CONFLICT (walk, position) DO UPDATE SET last_at = excluded.last_at, tries = journal_aside.tries + 1 RETURNING tries`,
		walk, m.Position, m.ObjectID, at, at)
	if err != nil {
		return fmt.Errorf("set aside: %w", err)
	}
	if tries == 1 {
		tx.db.damaged.Add(1)
		tx.db.opt.Log.Error("store: an event is set aside: what it tells of is damaged", "walk", walk, "event", m.ID, "object", m.ObjectID)
	}
	return nil
}

// TakeBack takes an event out of what was set aside, for who takes it in now;
// false means that another did.
func (tx *Tx) TakeBack(walk string, m Mark) (bool, error) {
	n, err := tx.Exec(`DELETE FROM journal_aside WHERE walk = ? AND position = ?`, walk, m.Position)
	return n == 1, err
}

// AsideOf lists what a walk has set aside and may try again, in the order of the
// journal within what waits longest.
func (db *DB) AsideOf(ctx context.Context, walk string, now time.Time) (list []Mark, err error) {
	err = db.Select(ctx, &list, `SELECT journal.id, journal.object_id, journal.merchant_id, journal.type, journal.position
		FROM journal_aside JOIN journal ON journal.position = journal_aside.position
		WHERE walk = ? AND last_at <= ? ORDER BY last_at, journal.position LIMIT ?`, walk, now.Add(-asideAgain).UnixMicro(), asideBatch)
	if err != nil {
		return nil, fmt.Errorf("read what was set aside: %w", err)
	}
	return list, nil
}

// Asides lists what was set aside, once for each walk and object, the longest
// aside first.
func (db *DB) Asides(ctx context.Context, limit int) ([]Aside, error) {
	var rows []struct {
		Walk     string `db:"walk"`
		ObjectID string `db:"object_id"`
		Since    int64  `db:"since"`
		LastAt   int64  `db:"last_at"`
		Tries    int64  `db:"tries"`
	}
	err := db.Select(ctx, &rows, `SELECT walk, object_id, MIN(since) AS since, MAX(last_at) AS last_at, MAX(tries) AS tries
		FROM journal_aside GROUP BY walk, object_id ORDER BY since, object_id LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("read what was set aside: %w", err)
	}
	list := make([]Aside, len(rows))
	for i, r := range rows {
		list[i] = Aside{r.Walk, r.ObjectID, fromMicro(r.Since), fromMicro(r.LastAt), r.Tries}
	}
	return list, nil
}

// CountAside counts the events that are set aside.
func (db *DB) CountAside(ctx context.Context) (n int64, err error) {
	return n, db.Get(ctx, &n, `SELECT COUNT(*) FROM journal_aside`)
}

// Concerns sorts what reading an object came to, for one who goes through the
// journal: an object that is no more concerns nobody, and one that is damaged
// is set aside.
func Concerns(err error) (nobody, damaged bool, other error) {
	switch {
	case err == nil:
		return false, false, nil
	case errors.Is(err, ErrDamaged):
		return false, true, nil
	case errors.Is(err, ErrErased), psd2.CodeOf(err) == psd2.CodeNotFound:
		return true, false, nil
	}
	return false, false, err
}
