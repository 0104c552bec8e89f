package store

import (
	"context"
	"crypto/cipher"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// row is how an aggregate is kept: what survives an erasure in doc, what is
// personal in sealed.
type row struct {
	ID       string `db:"id"`
	PersonID string `db:"person_id"`
	Version  int64  `db:"version"`
	Doc      []byte `db:"doc"`
	Sealed   []byte `db:"sealed"`
	Wrapped  []byte `db:"wrapped"` // the person's key; nil once he is erased
}

// kind is one type of aggregate: how it lies in its table. Everything that
// psd2 calls an aggregate is loaded, changed under compare-and-swap, sealed and
// told to the journal by the same few functions. All its SQL is constant.
type kind[T any] struct {
	name  string // in errors
	table string // seals are bound to it

	byID       string // loads one row
	byIDLocked string // the same, and keeps others from it until the commit
	update     string // values, doc, sealed, id, old version
	due        string // ids that are due: now, limit
	dueNext    string // the first time that is not due: now
	postpone   string // until, id, now

	id       func(*T) string
	person   func(*T) string
	version  func(*T) *int64
	personal func(*T) any // pointer to what is sealed
	events   func(*T) ([]psd2.Event, error)
	values   func(*Tx, *T) []any // columns that update writes
	// watch looks at an aggregate before it is changed and returns what else
	// has to be written once it is; nil: nothing.
	watch func(*T) func(*Tx, *T) error
}

// change loads one, lets fn change it, and writes it back over the version it
// was loaded with, together with its events. An error of fn leaves it as it
// was; after any other error but not found, the transaction cannot be
// committed any more.
func (k *kind[T]) change(tx *Tx, id string, fn func(*T) error) (*T, error) {
	query := k.byID
	if tx.lock {
		query = k.byIDLocked
	}
	var r row
	err := tx.Get(&r, query, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, psd2.NotFound(k.name)
	}
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", k.name, err)
	}
	key, err := tx.db.keys.unwrap(r.PersonID, r.Wrapped)
	if err != nil {
		return nil, tx.fail(err)
	}
	v, err := k.decode(tx.db, r, key)
	if err != nil {
		return nil, tx.fail(err)
	}
	after := k.watch(v)
	if err := fn(v); err != nil {
		return nil, err
	}
	*k.version(v) = r.Version + 1
	if err := k.write(tx, v, key, r.Version, after); err != nil {
		return nil, tx.fail(err)
	}
	return v, nil
}

func (k *kind[T]) write(tx *Tx, v *T, key cipher.AEAD, old int64, after func(*Tx, *T) error) error {
	doc, sealed, err := k.encode(tx.db, v, key)
	if err != nil {
		return err
	}
	n, err := tx.Exec(k.update, append(k.values(tx, v), *k.version(v), doc, sealed, k.id(v), old)...)
	if err != nil {
		return fmt.Errorf("update %s: %w", k.name, err)
	}
	if n != 1 {
		return errChanged
	}
	if err := k.tell(tx, v, key); err != nil {
		return err
	}
	return after(tx, v)
}

// tell writes what an aggregate has recorded since it was loaded.
func (k *kind[T]) tell(tx *Tx, v *T, key cipher.AEAD) error {
	events, err := k.events(v)
	if err != nil {
		return err
	}
	return tx.writeEvents(k.person(v), events, key)
}

func (k *kind[T]) encode(db *DB, v *T, key cipher.AEAD) (doc string, sealed []byte, err error) {
	d, err := json.Marshal(v)
	if err != nil {
		return "", nil, fmt.Errorf("encode %s: %w", k.name, err)
	}
	personal, err := json.Marshal(k.personal(v))
	if err != nil {
		return "", nil, fmt.Errorf("encode %s: %w", k.name, err)
	}
	return string(d), db.keys.seal(key, personal, place(k.table, k.id(v), "sealed")), nil
}

// decode reads a row; without a key it leaves what is personal empty.
func (k *kind[T]) decode(db *DB, r row, key cipher.AEAD) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(r.Doc, v); err != nil {
		return nil, fmt.Errorf("%w: decode %s: %w", ErrDamaged, k.name, err)
	}
	*k.version(v) = r.Version
	if key == nil {
		return v, nil
	}
	personal, err := db.keys.unseal(key, r.Sealed, place(k.table, r.ID, "sealed"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(personal, k.personal(v)); err != nil {
		return nil, fmt.Errorf("%w: decode %s: %w", ErrDamaged, k.name, err)
	}
	return v, nil
}

// open reads rows. One whose person was erased keeps everything but what is
// personal, so that one erased player does not hide a merchant's list.
func (k *kind[T]) open(db *DB, rows []row) ([]*T, error) {
	out := make([]*T, 0, len(rows))
	for _, r := range rows {
		key, err := db.keys.unwrap(r.PersonID, r.Wrapped)
		if err != nil && !errors.Is(err, ErrErased) {
			return nil, err
		}
		v, err := k.decode(db, r, key)
		if errors.Is(err, ErrErased) { // he came back since, with another key
			v, err = k.decode(db, r, nil)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// one reads the one that a query finds, whether or not its person was erased.
func (k *kind[T]) one(db *DB, err error, r row) (*T, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return nil, psd2.NotFound(k.name)
	}
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", k.name, err)
	}
	list, err := k.open(db, []row{r})
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// find reads the one that a query finds, outside a transaction.
func (k *kind[T]) find(ctx context.Context, db *DB, query string, args ...any) (*T, error) {
	var r row
	err := db.Get(ctx, &r, query, args...)
	return k.one(db, err, r)
}

// outline reads one without what is personal, for whoever goes through those of
// everybody: one that does not open must not stop him.
func (k *kind[T]) outline(ctx context.Context, db *DB, id string) (*T, error) {
	var r row
	err := db.Get(ctx, &r, k.byID, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, psd2.NotFound(k.name)
	}
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", k.name, err)
	}
	return k.decode(db, r, nil)
}

// dueList lists those that background work should look at, longest due first,
// and the time of the first that is not due yet (zero: none).
func (k *kind[T]) dueList(ctx context.Context, db *DB, now time.Time, limit int) (ids []string, next time.Time, err error) {
	if err = db.Select(ctx, &ids, k.due, now.UnixMicro(), limit); err != nil {
		return nil, time.Time{}, fmt.Errorf("due %s: %w", k.table, err)
	}
	var at sql.NullInt64
	if err := db.Get(ctx, &at, k.dueNext, now.UnixMicro()); err != nil {
		return nil, time.Time{}, fmt.Errorf("due %s: %w", k.table, err)
	}
	if at.Valid {
		next = fromMicro(at.Int64)
	}
	return ids, next, nil
}

// putOff puts off the next look at one that could not be looked at, e.g.
// because its person was erased. It leaves the aggregate itself alone.
func (k *kind[T]) putOff(ctx context.Context, db *DB, id string, until time.Time) error {
	return db.Tx(ctx, func(tx *Tx) error {
		_, err := tx.Exec(k.postpone, until.UnixMicro(), id, tx.Now.UnixMicro())
		return err
	})
}

// page cuts a list that was read one too long and names the cursor of the next
// page, "" on the last one.
func page(rows []row, limit int) ([]row, string) {
	if len(rows) <= limit {
		return rows, ""
	}
	return rows[:limit], rows[limit-1].ID
}

// micros is a time that a column may hold, NULL when there is none.
func micros(at time.Time, ok bool) any {
	if !ok {
		return nil
	}
	return at.UnixMicro()
}
