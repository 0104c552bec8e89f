package store

import (
	"context"
	"crypto/cipher"
	"database/sql"
	"errors"
	"fmt"
	"slices"

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
	Wrapped    []byte        `db:"wrapped"` // the person's key; nil once he is erased
}

const selectEvents = `SELECT id, object_id, merchant_id, journal.person_id, sequence, type, journal.created_at, position, sealed, wrapped
	FROM journal LEFT JOIN person_keys ON person_keys.person_id = journal.person_id`

// writeEvents writes what happened to an object of that person.
func (tx *Tx) writeEvents(personID string, events []psd2.Event, key cipher.AEAD) error {
	for _, e := range events {
		if e.ID == "" {
			e.ID = psd2.NewID(psd2.PrefixEvent, tx.Now, tx.db.opt.Random)
		}
		position, err := tx.nextPosition()
		if err != nil {
			return fmt.Errorf("write event: %w", err)
		}
		_, err = tx.Exec(`INSERT INTO journal (id, object_id, merchant_id, person_id, sequence, type, created_at, sealed, position) VALUES (?,?,?,?,?,?,?,?,?)`,
			e.ID, e.ObjectID, e.MerchantID, personID, e.Sequence, e.Type, e.CreatedAt.UnixMicro(),
			tx.db.keys.seal(key, e.Data, place("journal", e.ID, "sealed")), position)
		if err != nil {
			return fmt.Errorf("write event: %w", err)
		}
		tx.events = true
		if position != nil {
			e.CreatedAt, e.Position = micro(e.CreatedAt), *position
			tx.news = append(tx.news, e)
		}
	}
	return nil
}

// decodeEvents opens events, those of wanted types (nil: of all); the others
// come without data. One whose person was erased keeps everything but its data,
// and so does one that does not open: events of many merchants are read
// together, and a damaged row of one must not stop the others.
func (db *DB) decodeEvents(rows []eventRow, wanted func(eventType string) bool) []psd2.Event {
	out := make([]psd2.Event, 0, len(rows))
	for _, r := range rows {
		e := psd2.Event{
			ID: r.ID, Type: r.Type, MerchantID: r.MerchantID, ObjectID: r.ObjectID,
			Sequence: r.Sequence, CreatedAt: fromMicro(r.CreatedAt), Position: r.Position.Int64,
		}
		if wanted != nil && !wanted(r.Type) {
			out = append(out, e)
			continue
		}
		key, err := db.keys.unwrap(r.PersonID, r.Wrapped)
		if err == nil {
			e.Data, err = db.keys.unseal(key, r.Sealed, place("journal", r.ID, "sealed"))
		}
		if errors.Is(err, ErrErased) {
			e.Data, err = []byte(`{"erased":true}`), nil
		}
		if err != nil {
			db.damaged.Add(1)
			db.opt.Log.Error("store: an event's data cannot be read; it is passed on without them", "event", r.ID, "cause", err.Error())
			e.Data = []byte(`{"unreadable":true}`)
		}
		out = append(out, e)
	}
	return out
}

// Damaged counts the events that were read since the database was opened and
// whose data do not open. Anything but 0 calls for a person.
func (db *DB) Damaged() int64 { return db.damaged.Load() }

func (db *DB) events(ctx context.Context, query string, args ...any) ([]psd2.Event, error) {
	var rows []eventRow
	if err := db.Select(ctx, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return db.decodeEvents(rows, nil), nil
}

// PaymentEvents is the whole journal of a payment, refund or payout, in its
// order.
func (db *DB) PaymentEvents(ctx context.Context, paymentID string) ([]psd2.Event, error) {
	return db.events(ctx, selectEvents+` WHERE object_id = ? ORDER BY sequence`, paymentID)
}

// EventsAfter lists a merchant's events behind a position, in order of
// position: no gap can ever be filled later.
func (db *DB) EventsAfter(ctx context.Context, merchantID string, position int64, limit int) ([]psd2.Event, error) {
	return db.events(ctx, selectEvents+` WHERE merchant_id = ? AND position > ? ORDER BY position LIMIT ?`, merchantID, position, limit)
}

const eventsFrom = selectEvents + ` WHERE position > ? ORDER BY position LIMIT ?`

// news is what follows a position, as far as it is in memory; nil: it has to be
// read.
func (db *DB) news(position int64, limit int) []psd2.Event {
	db.opt.Yield()
	return db.recent.after(position, limit, db.opt.Now())
}

// WantedFrom lists all merchants' events behind a position, for whoever catches
// up. It opens the data only of events whose type is wanted (nil: of all): most
// of the journal is of no interest to most who follow it. Only an empty list says
// that there are no more: another process may have written behind a short one.
func (db *DB) WantedFrom(ctx context.Context, position int64, limit int, wanted func(eventType string) bool) ([]psd2.Event, error) {
	if news := db.news(position, limit); news != nil {
		out := slices.Clone(news)
		for i := range out {
			if wanted != nil && !wanted(out[i].Type) {
				out[i].Data = nil
			}
		}
		return out, nil
	}
	var rows []eventRow
	if err := db.Select(ctx, &rows, eventsFrom, position, limit); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return db.decodeEvents(rows, wanted), nil
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

// MarksFrom lists marks behind a position; as with WantedFrom, only an empty list
// says that there are no more.
func (db *DB) MarksFrom(ctx context.Context, position int64, limit int) ([]Mark, error) {
	if news := db.news(position, limit); news != nil {
		out := make([]Mark, len(news))
		for i, e := range news {
			out[i] = Mark{e.ID, e.ObjectID, e.MerchantID, e.Type, e.Position}
		}
		return out, nil
	}
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
	query, args, err := sqlx.In(selectEvents+` WHERE id IN (?)`, ids)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	list, err := db.events(ctx, query, args...)
	for _, e := range list {
		out[e.ID] = e
	}
	return out, err
}

// lastPosition reads the last entry of its index; an aggregate might not.
const lastPosition = `SELECT COALESCE((SELECT position FROM journal WHERE position IS NOT NULL ORDER BY position DESC LIMIT 1), 0)`

// LastPosition is the newest position given.
func (db *DB) LastPosition(ctx context.Context) (int64, error) {
	var n int64
	err := db.Get(ctx, &n, lastPosition)
	return n, err
}
