package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/rialto-hub/rialto/psd2"
)

type eventRow struct {
	ID         string        `db:"id"`
	ObjectID   string        `db:"object_id"`
	MerchantID string        `db:"merchant_id"`
	PersonID   string        `db:"person_id"`
	Sequence   int64         `db:"sequence"`
	Type       string        `db:"type"`
	CreatedAt  int64         `db:"created_at"`
	Position   sql.NullInt64 `db:"position"`
	Sealed     []byte        `db:"sealed"`
}

const eventColumns = `id, object_id, merchant_id, person_id, sequence, type, created_at, position, sealed`

func (tx *Tx) writeEvents(p *psd2.Payment, key dataKey) error {
	events, err := p.TakeEvents()
	if err != nil {
		return err
	}
	for _, e := range events {
		id := psd2.NewID(psd2.PrefixEvent, tx.Now, tx.db.opt.Random)
		_, err := tx.Exec(`INSERT INTO journal (id, object_id, merchant_id, person_id, sequence, type, created_at, sealed) VALUES (?,?,?,?,?,?,?,?)`,
			id, e.ObjectID, e.MerchantID, p.PersonID, e.Sequence, e.Type, e.CreatedAt.UnixMicro(),
			tx.db.keys.seal(key.aead, e.Data, place("journal", id, "sealed")))
		if err != nil {
			return fmt.Errorf("write event: %w", err)
		}
		tx.events = true
	}
	return nil
}

// decodeEvents opens events. One whose person was erased keeps everything but
// its data.
func (db *DB) decodeEvents(ctx context.Context, rows []eventRow) ([]psd2.Event, error) {
	out := make([]psd2.Event, 0, len(rows))
	for _, r := range rows {
		e := psd2.Event{
			ID: r.ID, Type: r.Type, MerchantID: r.MerchantID, ObjectID: r.ObjectID,
			Sequence: r.Sequence, CreatedAt: fromMicro(r.CreatedAt), Position: r.Position.Int64,
		}
		key, err := db.personKeyRead(ctx, r.PersonID)
		switch {
		case errors.Is(err, ErrErased):
			e.Data = []byte(`{"erased":true}`)
		case err != nil:
			return nil, err
		default:
			if e.Data, err = db.keys.unseal(key.aead, r.Sealed, place("journal", r.ID, "sealed")); err != nil {
				return nil, err
			}
		}
		out = append(out, e)
	}
	return out, nil
}

func (db *DB) events(ctx context.Context, query string, args ...any) ([]psd2.Event, error) {
	var rows []eventRow
	if err := db.Select(ctx, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return db.decodeEvents(ctx, rows)
}

// PaymentEvents is a payment's whole journal, in its order.
func (db *DB) PaymentEvents(ctx context.Context, paymentID string) ([]psd2.Event, error) {
	return db.events(ctx, `SELECT `+eventColumns+` FROM journal WHERE object_id = ? ORDER BY sequence`, paymentID)
}

// EventsAfter lists a merchant's events behind a position, in order of
// position: no gap can ever be filled later.
func (db *DB) EventsAfter(ctx context.Context, merchantID string, position int64, limit int) ([]psd2.Event, error) {
	return db.events(ctx, `SELECT `+eventColumns+` FROM journal WHERE merchant_id = ? AND position > ? ORDER BY position LIMIT ?`, merchantID, position, limit)
}

// EventsFrom lists all merchants' events behind a position, for the relay and
// for whoever catches up.
func (db *DB) EventsFrom(ctx context.Context, position int64, limit int) ([]psd2.Event, error) {
	return db.events(ctx, `SELECT `+eventColumns+` FROM journal WHERE position > ? ORDER BY position LIMIT ?`, position, limit)
}

// Mark is an event's place in the journal without its data, for those who
// only pass it on.
type Mark struct {
	ID         string `db:"id"`
	ObjectID   string `db:"object_id"`
	MerchantID string `db:"merchant_id"`
	Type       string `db:"type"`
	Position   int64  `db:"position"`
}

// MarksFrom lists marks behind a position.
func (db *DB) MarksFrom(ctx context.Context, position int64, limit int) ([]Mark, error) {
	var out []Mark
	err := db.Select(ctx, &out, `SELECT id, object_id, merchant_id, type, position FROM journal WHERE position > ? ORDER BY position LIMIT ?`, position, limit)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return out, nil
}

// EventsByID loads events by their ids.
func (db *DB) EventsByID(ctx context.Context, ids ...string) (map[string]psd2.Event, error) {
	out := make(map[string]psd2.Event, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	query, args, err := sqlx.In(`SELECT `+eventColumns+` FROM journal WHERE id IN (?)`, ids)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	list, err := db.events(ctx, query, args...)
	for _, e := range list {
		out[e.ID] = e
	}
	return out, err
}

// LastPosition is the newest position given.
func (db *DB) LastPosition(ctx context.Context) (int64, error) {
	var n int64
	err := db.Get(ctx, &n, `SELECT COALESCE(MAX(position), 0) FROM journal WHERE position IS NOT NULL`)
	return n, err
}

const (
	sequencerLease = "sequencer"
	sequencerTTL   = 5 * time.Second
	sequencerBatch = 500
)

// Sequencer gives committed journal rows their position. Of all processes one
// holds the lease; its fence is checked in the transaction that assigns.
type Sequencer struct {
	db         *DB
	holder     string
	positioned chan struct{}
}

// Sequencer makes this process's sequencer; holder names the process.
func (db *DB) Sequencer(holder string) *Sequencer {
	return &Sequencer{db: db, holder: holder, positioned: make(chan struct{}, 1)}
}

// Positioned receives when positions were given. It holds one signal.
func (s *Sequencer) Positioned() <-chan struct{} { return s.positioned }

type waitingRow struct {
	ID       string        `db:"id"`
	ObjectID string        `db:"object_id"`
	Sequence int64         `db:"sequence"`
	Before   sql.NullInt64 `db:"before"` // position of the object's previous event
}

// Step positions what is committed and waiting, at most one batch. Within an
// object the order is that of its sequence: an event whose predecessor has no
// position waits for it.
func (s *Sequencer) Step(ctx context.Context, now time.Time) (time.Time, error) {
	var any struct {
		N int64 `db:"n"`
	}
	// Outside the lease: an idle system must not write.
	if err := s.db.Get(ctx, &any, `SELECT COUNT(*) AS n FROM (SELECT 1 FROM journal WHERE position IS NULL LIMIT 1) AS w`); err != nil {
		return now.Add(time.Second), fmt.Errorf("sequencer: %w", err)
	}
	if any.N == 0 {
		return now.Add(500 * time.Millisecond), nil
	}
	given, waiting, held := 0, 0, false
	err := s.db.Tx(ctx, func(tx *Tx) (err error) {
		given, waiting = 0, 0
		// Taking or renewing the lease locks its row until the commit, so two
		// sequencers cannot overlap even if a clock is wrong.
		if _, held, err = tx.Lease(sequencerLease, s.holder, sequencerTTL); err != nil || !held {
			return err
		}
		given, waiting, err = assign(tx)
		return err
	})
	if err != nil {
		return now.Add(time.Second), fmt.Errorf("sequencer: %w", err)
	}
	if given > 0 {
		select {
		case s.positioned <- struct{}{}:
		default:
		}
	}
	if held && given > 0 && waiting == sequencerBatch {
		return now, nil
	}
	return now.Add(500 * time.Millisecond), nil
}

func assign(tx *Tx) (given, waiting int, err error) {
	var rows []waitingRow
	err = tx.Select(&rows, `SELECT j.id, j.object_id, j.sequence, b.position AS before FROM journal j
		LEFT JOIN journal b ON b.object_id = j.object_id AND b.sequence = j.sequence - 1
		WHERE j.position IS NULL ORDER BY j.created_at, j.sequence LIMIT ?`, sequencerBatch)
	if err != nil || len(rows) == 0 {
		return 0, 0, err
	}
	var last int64
	if err := tx.Get(&last, `SELECT COALESCE(MAX(position), 0) FROM journal WHERE position IS NOT NULL`); err != nil {
		return 0, 0, err
	}
	placed := make(map[string]int64, len(rows)) // highest sequence positioned in this batch, by object
	for pass := true; pass; {                   // created_at may disagree with sequence when clocks do
		pass = false
		rest := rows[:0:0]
		for _, r := range rows {
			if r.Sequence != 1 && !r.Before.Valid && placed[r.ObjectID] != r.Sequence-1 {
				rest = append(rest, r)
				continue
			}
			last++
			if _, err := tx.Exec(`UPDATE journal SET position = ? WHERE id = ? AND position IS NULL`, last, r.ID); err != nil {
				return 0, 0, err
			}
			placed[r.ObjectID] = r.Sequence
			given++
			pass = true
		}
		if len(rest) == len(rows) || len(rest) == 0 {
			break
		}
		rows = rest
	}
	return given, given + len(rows), nil
}
