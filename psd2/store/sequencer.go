package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

const (
	sequencerLease = "sequencer"
	sequencerTTL   = 5 * time.Second
	sequencerBatch = 500
	sequencerIdle  = 500 * time.Millisecond
)

// Sequencer gives committed journal rows their position, where a transaction
// may commit after later ones: on PostgreSQL. Of all processes one holds the
// lease; its fence is checked in the transaction that assigns. On SQLite events
// are written with their position, and it finds only what was written without.
type Sequencer struct {
	db     *DB
	holder string
}

// Sequencer makes this process's sequencer; holder names the process.
func (db *DB) Sequencer(holder string) *Sequencer {
	return &Sequencer{db: db, holder: holder}
}

// Positioned receives when this process has given positions. It holds one
// signal.
func (s *Sequencer) Positioned() <-chan struct{} { return s.db.positioned }

// Step positions what is committed and waiting, at most one batch, and wants
// to go on at once while there is more. Positions follow created_at as far as
// the order within an object, which is that of its sequence, allows.
func (s *Sequencer) Step(ctx context.Context, now time.Time) (time.Time, error) {
	// Outside the lease: an idle system must not write.
	var waiting bool
	if err := s.db.Get(ctx, &waiting, `SELECT EXISTS (SELECT 1 FROM journal WHERE position IS NULL)`); err != nil {
		return now.Add(time.Second), fmt.Errorf("sequencer: %w", err)
	}
	if !waiting {
		return now.Add(sequencerIdle), nil
	}
	given, more := 0, false
	err := s.db.Tx(ctx, func(tx *Tx) error {
		given, more = 0, false
		// Taking or renewing the lease locks its row until the commit, so two
		// sequencers cannot overlap even if a clock is wrong.
		_, held, err := tx.Lease(sequencerLease, s.holder, sequencerTTL)
		if err != nil || !held {
			return err
		}
		given, more, err = assign(tx)
		return err
	})
	if err != nil {
		return now.Add(time.Second), fmt.Errorf("sequencer: %w", err)
	}
	if given > 0 {
		s.db.tellPositioned()
	}
	if more {
		return now, nil
	}
	return now.Add(sequencerIdle), nil
}

// waitingRow is an event without a position.
type waitingRow struct {
	ID       string        `db:"id"`
	ObjectID string        `db:"object_id"`
	Sequence int64         `db:"sequence"`
	Before   sql.NullInt64 `db:"before"` // position of the object's previous event
}

const selectWaiting = `SELECT j.id, j.object_id, j.sequence, b.position AS before FROM journal j
	LEFT JOIN journal b ON b.object_id = j.object_id AND b.sequence = j.sequence - 1
	WHERE j.position IS NULL`

// assign positions one batch. more says that the next one can go on.
func assign(tx *Tx) (given int, more bool, err error) {
	rows, err := waitingRows(tx, selectWaiting+` ORDER BY j.created_at, j.sequence LIMIT ?`)
	if err != nil {
		return 0, false, err
	}
	more = len(rows) == sequencerBatch
	given, err = position(tx, inOrder(rows))
	if err != nil || given > 0 || !more {
		return given, more && given > 0, err
	}
	// A whole batch waits for events behind it: the clock of one process is
	// far from another's. Whatever is first of its object can go.
	rows, err = waitingRows(tx, selectWaiting+` AND (j.sequence = 1 OR b.position IS NOT NULL) ORDER BY j.created_at LIMIT ?`)
	if err != nil {
		return 0, false, err
	}
	given, err = position(tx, inOrder(rows))
	return given, given > 0, err
}

func waitingRows(tx *Tx, query string) (rows []waitingRow, err error) {
	return rows, tx.Select(&rows, query, sequencerBatch)
}

// inOrder gives the rows that can have a position now, each after the one
// before it in its object.
func inOrder(rows []waitingRow) []waitingRow {
	type key struct {
		object   string
		sequence int64
	}
	out := make([]waitingRow, 0, len(rows))
	early := make(map[key]waitingRow) // came before the one they follow
	last := make(map[string]int64, len(rows))
	for _, r := range rows {
		if r.Sequence != 1 && !r.Before.Valid && last[r.ObjectID] != r.Sequence-1 {
			early[key{r.ObjectID, r.Sequence}] = r
			continue
		}
		for ok := true; ok; r, ok = early[key{r.ObjectID, r.Sequence + 1}] {
			out = append(out, r)
			last[r.ObjectID] = r.Sequence
		}
	}
	return out
}

// positionsAtOnce is how many rows one statement positions: on PostgreSQL each
// statement is a journey.
const positionsAtOnce = 25

var setPositions = `UPDATE journal SET position = v.column2 FROM (VALUES ` +
	strings.Repeat("(CAST(? AS TEXT), CAST(? AS BIGINT)), ", positionsAtOnce-1) + `(CAST(? AS TEXT), CAST(? AS BIGINT))) AS v
	WHERE journal.id = v.column1 AND journal.position IS NULL`

// position gives the rows the next positions, in their order and without a gap.
func position(tx *Tx, rows []waitingRow) (int, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	var last int64
	if err := tx.Get(&last, lastPosition); err != nil {
		return 0, err
	}
	for rest := rows; len(rest) > 0; {
		query, n := `UPDATE journal SET position = ? WHERE id = ? AND position IS NULL`, 1
		args := []any{last + 1, rest[0].ID}
		if len(rest) >= positionsAtOnce {
			query, n, args = setPositions, positionsAtOnce, args[:0]
			for i, r := range rest[:n] {
				args = append(args, r.ID, last+1+int64(i))
			}
		}
		done, err := tx.Exec(query, args...)
		if err != nil {
			return 0, err
		}
		if done != int64(n) {
			return 0, tx.fail(errChanged) // cannot be while the lease is held
		}
		last += int64(n)
		rest = rest[n:]
	}
	return len(rows), nil
}
