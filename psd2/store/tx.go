package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Tx is one logical transaction, good until its function returns. Queries use
// ? placeholders. After a statement has failed every further one fails with
// the same error, and the transaction is rolled back: SQLite would go on,
// PostgreSQL would not, and half a transaction is never wanted.
type Tx struct {
	// Now is the transaction's one time, cut to microseconds.
	Now time.Time

	db        *DB
	q         querier
	ctx       context.Context
	lock      bool         // reads that a compare-and-swap follows keep their row from others
	err       error        // the first failure
	wrote     bool         // there is something to roll back
	events    bool         // the journal was written
	news      []psd2.Event // what was written there with a position
	end       *end         // nil: it is not ours to give positions
	erased    bool         // somebody was
	merchants []string     // changed
}

// querier runs statements of one transaction.
type querier interface {
	exec(ctx context.Context, query string, args []any) (sql.Result, error)
	get(ctx context.Context, dst any, query string, args []any) error
	sel(ctx context.Context, dst any, query string, args []any) error
}

// errChanged says that a row changed under a compare-and-swap; the engine runs
// the transaction again.
var errChanged = errors.New("store: the row has changed")

var errEnded = errors.New("store: the transaction has ended")

// run runs fn in tx. A panic becomes an error: on SQLite other people's
// transactions share the commit.
func run(fn func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("store: transaction panicked: %v\n%s", p, debug.Stack())
		}
		tx.err = errEnded // whoever kept tx must not write into another's transaction
	}()
	if err = fn(tx); err == nil {
		err = tx.err
	}
	return err
}

// fail makes an error final for the transaction, even if fn ignores it.
func (tx *Tx) fail(err error) error {
	if err != nil && tx.err == nil {
		tx.err = err
	}
	return err
}

// Exec runs a statement and returns the number of rows it affected.
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	if tx.err != nil {
		return 0, tx.err
	}
	tx.wrote = true
	res, err := tx.q.exec(tx.ctx, query, args)
	if err != nil {
		return 0, tx.fail(err)
	}
	n, err := res.RowsAffected()
	return n, tx.fail(err)
}

// Get reads one row; sql.ErrNoRows when there is none.
func (tx *Tx) Get(dst any, query string, args ...any) error {
	if tx.err != nil {
		return tx.err
	}
	tx.wrote = tx.wrote || !readsOnly(query)
	err := tx.q.get(tx.ctx, dst, query, args)
	if errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return tx.fail(err)
}

// Select reads rows.
func (tx *Tx) Select(dst any, query string, args ...any) error {
	if tx.err != nil {
		return tx.err
	}
	tx.wrote = tx.wrote || !readsOnly(query)
	return tx.fail(tx.q.sel(tx.ctx, dst, query, args))
}

// readsOnly tells a query from a statement with RETURNING.
func readsOnly(query string) bool { return strings.HasPrefix(query, "SELECT ") }

// Consume marks something single-use as used: an OTP step, a consent nonce, a
// link token, a jti. It reports true to exactly one caller ever, in whatever
// process; until is when the thing would be refused for its age anyway.
func (tx *Tx) Consume(kind, key string, until time.Time) (bool, error) {
	n, err := tx.Exec(`INSERT INTO consumed (kind, key_hash, until) VALUES (?, ?, ?) ON CONFLICT (kind, key_hash) DO NOTHING`,
		kind, tx.db.Lookup("consumed/"+kind, key), until.UnixMicro())
	return n == 1, err
}

// Cursor reads a named position, 0 if it was never set.
func (tx *Tx) Cursor(name string) (int64, error) {
	var v int64
	err := tx.Get(&v, `SELECT value FROM cursors WHERE name = ?`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return v, err
}

// SetCursor moves a named position.
func (tx *Tx) SetCursor(name string, value int64) error {
	_, err := tx.Exec(`INSERT INTO cursors (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}

// SwapCursor moves a named position from one value to another; false means that
// it has another one by now, and stays. One that was never set is at 0.
func (tx *Tx) SwapCursor(name string, from, to int64) (bool, error) {
	n, err := tx.Exec(`INSERT INTO cursors (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE cursors.value = ?`, name, to, from)
	return n == 1, err
}

// AddCursor moves a named position on by n, whatever it is.
func (tx *Tx) AddCursor(name string, n int64) error {
	_, err := tx.Exec(`INSERT INTO cursors (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = cursors.value + excluded.value`, name, n)
	return err
}

// Lease makes holder the owner of a named job for ttl, if nobody else owns it
// now; an owner who calls again keeps it. The fence grows with every change of
// owner: pass it to CheckFence in the transaction that does the work, and a
// former owner can do no harm. holder names one life of one process.
func (tx *Tx) Lease(name, holder string, ttl time.Duration) (fence int64, held bool, err error) {
	now, until := tx.Now.UnixMicro(), tx.Now.Add(ttl).UnixMicro()
	err = tx.Get(&fence, `INSERT INTO leases (name, holder, fence, until) VALUES (?, ?, 1, ?)
		ON CONFLICT (name) DO UPDATE SET
			fence  = CASE WHEN leases.holder = excluded.holder THEN leases.fence ELSE leases.fence + 1 END,
			holder = excluded.holder, until = excluded.until
		WHERE leases.holder = excluded.holder OR leases.until <= ?
		RETURNING fence`, name, holder, until, now)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	return fence, err == nil, err
}

// CheckFence fails with a conflict when the job has had another owner since.
// It locks the lease until the transaction ends, so owners cannot overlap.
func (tx *Tx) CheckFence(name string, fence int64) error {
	n, err := tx.Exec(`UPDATE leases SET until = until WHERE name = ? AND fence = ?`, name, fence)
	if err == nil && n != 1 {
		return psd2.Fail(psd2.CodeConflict, "lease_lost", "another process owns this work")
	}
	return err
}

// Release gives a job up early, so that another process need not wait.
func (tx *Tx) Release(name string, fence int64) error {
	_, err := tx.Exec(`UPDATE leases SET until = 0 WHERE name = ? AND fence = ?`, name, fence)
	return err
}
