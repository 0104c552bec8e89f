package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/rialto-hub/rialto/psd2"
)

// Config says where the database is. The zero value is an SQLite file in the
// data directory.
type Config struct {
	// URL is "sqlite:PATH" or "postgres://…". Secrets in it come by file or
	// environment, see configs.
	URL string `yaml:"url"`
	// KeyFile holds the deployment's key: 32 bytes in base64. Empty: a file
	// deployment.key beside the SQLite database, made when the database is new.
	KeyFile string `yaml:"key_file"`
	// MaxConns limits PostgreSQL connections (default 16).
	MaxConns int `yaml:"max_conns"`
}

// Options are what a DB is given rather than configured with.
type Options struct {
	Now    func() time.Time
	Random io.Reader
	Log    *slog.Logger
	// SubmitTimeout is how long an initiation may be unanswered before its
	// caller counts as lost; see psd2.Payment.NextStep. Default 45 s.
	SubmitTimeout time.Duration
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine
	opt       Options
	keys      *keyring
	committed chan struct{}

	merchantsMu sync.Mutex
	merchants   map[string]cachedMerchant
}

// engine is what SQLite and PostgreSQL do differently.
type engine interface {
	// tx runs fn as one logical transaction and returns after its commit.
	tx(ctx context.Context, fn func(*Tx) error) error
	// reader serves reads outside a transaction.
	reader() *sqlx.DB
	// exec runs a migration script.
	script(ctx context.Context, sql string) error
	// isDuplicate reports a violated unique constraint.
	isDuplicate(err error) bool
	close() error
}

// Open opens the database and checks that the deployment's key fits it. It
// does not migrate.
func Open(ctx context.Context, c Config, o Options) (*DB, error) {
	if o.SubmitTimeout == 0 {
		o.SubmitTimeout = 45 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	db := &DB{opt: o, committed: make(chan struct{}, 1), merchants: map[string]cachedMerchant{}}
	var err error
	path, isSQLite := strings.CutPrefix(c.URL, "sqlite:")
	switch {
	case isSQLite:
		if c.KeyFile == "" {
			c.KeyFile = filepath.Join(filepath.Dir(path), "deployment.key")
		}
		db.engine, err = openSQLite(ctx, path, o)
	case strings.HasPrefix(c.URL, "postgres://"), strings.HasPrefix(c.URL, "postgresql://"):
		if c.KeyFile == "" {
			return nil, errors.New("store: database.key_file must be set with PostgreSQL")
		}
		db.engine, err = openPostgres(ctx, c, o)
	default:
		return nil, errors.New(`store: database.url must begin with "sqlite:" or "postgres://"`)
	}
	if err != nil {
		return nil, err
	}
	if db.keys, err = loadKeyring(c.KeyFile, o.Random); err != nil {
		db.close()
		return nil, err
	}
	return db, nil
}

// Close waits for transactions under way and closes the database.
func (db *DB) Close() error { return db.close() }

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return db.Get(ctx, &one, `SELECT 1`)
}

// Committed receives when a transaction with events has been committed by this
// process. It holds one signal; it is a hint, not a count.
func (db *DB) Committed() <-chan struct{} { return db.committed }

// Tx runs fn as one transaction. fn may run more than once, so it must do
// nothing but compute and use tx; an error rolls everything back.
func (db *DB) Tx(ctx context.Context, fn func(*Tx) error) error {
	var last *Tx
	err := db.tx(ctx, func(tx *Tx) error {
		tx.db, tx.Now = db, micro(db.opt.Now())
		last = tx
		return fn(tx)
	})
	if err != nil {
		return err
	}
	for id, key := range last.newKeys { // only now is it certain that they are stored
		db.keys.remember(id, key)
	}
	if last.events {
		select {
		case db.committed <- struct{}{}:
		default:
		}
	}
	return nil
}

// Get reads one row outside a transaction; sql.ErrNoRows when there is none.
func (db *DB) Get(ctx context.Context, dst any, query string, args ...any) error {
	r := db.reader()
	return r.GetContext(ctx, dst, r.Rebind(query), args...)
}

// Select reads rows outside a transaction.
func (db *DB) Select(ctx context.Context, dst any, query string, args ...any) error {
	r := db.reader()
	return r.SelectContext(ctx, dst, r.Rebind(query), args...)
}

// Tx is one logical transaction. Queries use ? placeholders.
type Tx struct {
	// Now is the transaction's one time, cut to microseconds.
	Now time.Time

	db      *DB
	q       querier
	ctx     context.Context
	events  bool
	newKeys map[string]dataKey
}

// querier runs statements of one transaction.
type querier interface {
	exec(ctx context.Context, query string, args []any) (sql.Result, error)
	get(ctx context.Context, dst any, query string, args []any) error
	sel(ctx context.Context, dst any, query string, args []any) error
}

// Exec runs a statement and returns the number of rows it affected.
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	res, err := tx.q.exec(tx.ctx, query, args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Get reads one row; sql.ErrNoRows when there is none.
func (tx *Tx) Get(dst any, query string, args ...any) error {
	return tx.q.get(tx.ctx, dst, query, args)
}

// Select reads rows.
func (tx *Tx) Select(dst any, query string, args ...any) error {
	return tx.q.sel(tx.ctx, dst, query, args)
}

// errChanged says that a row changed under a compare-and-swap; the engine runs
// the transaction again.
var errChanged = errors.New("store: the row has changed")

// Consume marks something single-use as used: an OTP step, a consent nonce, a
// link token, a jti. It reports true to exactly one caller ever, in whatever
// process; until is when the thing would be refused for its age anyway.
func (tx *Tx) Consume(kind, key string, until time.Time) (bool, error) {
	n, err := tx.Exec(`INSERT INTO consumed (kind, key_hash, until) VALUES (?, ?, ?) ON CONFLICT (kind, key_hash) DO NOTHING`,
		kind, tx.db.Lookup("consumed/"+kind, key), until.UnixMicro())
	return n == 1, err
}

// Lookup is the keyed hash of a personal value, for equality look-ups.
func (db *DB) Lookup(kind, value string) string { return db.keys.lookup(kind, value) }

// Random is the source of randomness the database was opened with.
func (db *DB) Random() io.Reader { return db.opt.Random }

// Now is the time by the clock the database was opened with.
func (db *DB) Now() time.Time { return micro(db.opt.Now()) }

func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func fromMicro(us int64) time.Time { return time.UnixMicro(us).UTC() }

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

// Lease makes holder the owner of a named job for ttl, if nobody else owns it
// now. The fence grows with every change of owner: pass it to CheckFence in
// the transaction that does the work, and a former owner can do no harm.
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

// Sweep deletes what is too old to matter: used single-use things and
// idempotency keys older than 30 days. It does a bounded piece of work.
func (db *DB) Sweep(ctx context.Context, now time.Time) (next time.Time, err error) {
	err = db.Tx(ctx, func(tx *Tx) error {
		_, e1 := tx.Exec(`DELETE FROM consumed WHERE (kind, key_hash) IN (SELECT kind, key_hash FROM consumed WHERE until < ? LIMIT 1000)`, now.UnixMicro())
		_, e2 := tx.Exec(`DELETE FROM idempotency WHERE (merchant_id, key_hash) IN (SELECT merchant_id, key_hash FROM idempotency WHERE created_at < ? LIMIT 1000)`,
			now.Add(-keepKeys).UnixMicro())
		return errors.Join(e1, e2)
	})
	if err != nil {
		return now.Add(time.Minute), fmt.Errorf("sweep: %w", err)
	}
	return now.Add(10 * time.Minute), nil
}
