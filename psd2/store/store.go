package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
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
	// Connect opens connections to SQLite; nil: the driver itself. The simulator
	// puts a disk in between that fails when it should.
	Connect func(dsn string) (driver.Connector, error)
	// Yield is called where a caller may have to wait: before a transaction, after
	// it, and before a read. The simulator lets others run there; nil: nothing.
	Yield func()
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine
	opt        Options
	keys       *keyring
	committed  chan struct{}
	positioned chan struct{}
	txs        atomic.Uint64
	damaged    atomic.Int64
	recent     recent

	listenersMu sync.Mutex
	listeners   []func() // told of new positions

	merchantsMu      sync.Mutex
	merchants        map[string]cachedMerchant
	merchantsChanged int // counts changes
}

// engine is what SQLite and PostgreSQL do differently.
type engine interface {
	// tx runs fn as one logical transaction and returns after its commit.
	tx(ctx context.Context, fn func(*Tx) error) error
	// get and sel read what is committed, outside a transaction.
	get(ctx context.Context, dst any, query string, args []any) error
	sel(ctx context.Context, dst any, query string, args []any) error
	// prepareSchema makes the table that Migrate counts in, if it is not there.
	prepareSchema(ctx context.Context, create string) error
	// committed counts physical commits.
	committed() uint64
	// close waits for transactions under way; it may be called again.
	close() error
}

// errClosed answers who comes after Close.
var errClosed = errors.New("store: the database is closed")

// Open opens the database and reads the deployment's key. It does not migrate;
// Migrate also checks that the key is the one the database was sealed with.
func Open(ctx context.Context, c Config, o Options) (*DB, error) {
	if o.SubmitTimeout == 0 {
		o.SubmitTimeout = 45 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Yield == nil {
		o.Yield = func() {}
	}
	db := &DB{opt: o, committed: make(chan struct{}, 1), positioned: make(chan struct{}, 1), merchants: map[string]cachedMerchant{}}
	var err error
	path, isSQLite := strings.CutPrefix(c.URL, "sqlite:")
	switch {
	case isSQLite:
		if c.KeyFile == "" {
			c.KeyFile = filepath.Join(filepath.Dir(path), "deployment.key")
		}
		db.engine, err = openSQLite(ctx, path, o.Connect, db.told)
	case strings.HasPrefix(c.URL, "postgres://"), strings.HasPrefix(c.URL, "postgresql://"):
		if c.KeyFile == "" {
			return nil, errors.New("store: database.key_file must be set with PostgreSQL")
		}
		db.engine, err = openPostgres(ctx, c)
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

// Committed receives when a transaction has been committed by this process
// whose events wait for the sequencer. It holds one signal; it is a hint, not a
// count. SQLite's events have their position already: see Sequencer.Positioned.
func (db *DB) Committed() <-chan struct{} { return db.committed }

// Stats counts what this process has committed: logical transactions, and the
// physical commits they shared.
func (db *DB) Stats() (transactions, commits uint64) { return db.txs.Load(), db.engine.committed() }

// Tx runs fn as one transaction and returns once it is durable. An error or a
// panic of fn rolls everything back, and so does a statement that failed, even
// if fn goes on. fn may run more than once, so it must do nothing but compute
// and use tx; above all it must not call DB.Tx, which on SQLite would wait for
// itself. A context that ends before fn starts prevents it; afterwards the
// caller waits to hear whether it was committed.
func (db *DB) Tx(ctx context.Context, fn func(*Tx) error) error {
	var last *Tx
	db.opt.Yield()
	defer db.opt.Yield()
	err := db.tx(ctx, func(tx *Tx) error {
		tx.db, tx.Now = db, micro(db.opt.Now())
		last = tx
		return fn(tx)
	})
	if err != nil {
		return err
	}
	db.txs.Add(1)
	db.forgetMerchants(last.merchants)
	if last.events && last.end == nil {
		signal(db.committed)
	}
	return nil
}

// OnPositioned has fn called whenever this process has given events their
// position, by whoever did, so it must neither block nor use the database. Like
// Sequencer.Positioned it is a hint; it may be given to several.
func (db *DB) OnPositioned(fn func()) {
	db.listenersMu.Lock()
	defer db.listenersMu.Unlock()
	db.listeners = append(db.listeners, fn)
}

// told is called once a group is durable, before those in it are told.
func (db *DB) told(g *group) {
	if g.erased { // perhaps one whose events are among the news
		db.recent.forget()
	} else {
		db.recent.add(g.news, g.at)
	}
	if g.events {
		db.tellPositioned()
	}
}

func (db *DB) tellPositioned() {
	signal(db.positioned)
	db.listenersMu.Lock()
	defer db.listenersMu.Unlock()
	for _, fn := range db.listeners {
		fn()
	}
}

// signal leaves word in a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Get reads one row outside a transaction; sql.ErrNoRows when there is none.
// Queries use ? placeholders.
func (db *DB) Get(ctx context.Context, dst any, query string, args ...any) error {
	db.opt.Yield()
	return db.get(ctx, dst, query, args)
}

// Select reads rows outside a transaction.
func (db *DB) Select(ctx context.Context, dst any, query string, args ...any) error {
	db.opt.Yield()
	return db.sel(ctx, dst, query, args)
}

// Lookup is the keyed hash of a personal value, for equality look-ups.
func (db *DB) Lookup(kind, value string) string { return db.keys.lookup(kind, value) }

// Now is the time by the clock the database was opened with.
func (db *DB) Now() time.Time { return micro(db.opt.Now()) }

func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func fromMicro(us int64) time.Time { return time.UnixMicro(us).UTC() }

// sweepBatch bounds what one Sweep deletes of each kind.
const sweepBatch = 1000

// Sweep deletes what is too old to matter: used single-use things and
// idempotency keys older than 30 days. It does a bounded piece of work, and
// wants to go on at once while there is more.
func (db *DB) Sweep(ctx context.Context, now time.Time) (next time.Time, err error) {
	var more bool
	err = db.Tx(ctx, func(tx *Tx) error {
		used, err := tx.Exec(`DELETE FROM consumed WHERE (kind, key_hash) IN (SELECT kind, key_hash FROM consumed WHERE until < ? LIMIT ?)`,
			now.UnixMicro(), sweepBatch)
		if err != nil {
			return err
		}
		keys, err := tx.Exec(`DELETE FROM idempotency WHERE (merchant_id, key_hash) IN (SELECT merchant_id, key_hash FROM idempotency WHERE created_at < ? LIMIT ?)`,
			now.Add(-keepKeys).UnixMicro(), sweepBatch)
		more = used == sweepBatch || keys == sweepBatch
		return err
	})
	switch {
	case err != nil:
		return now.Add(time.Minute), fmt.Errorf("sweep: %w", err)
	case more:
		return now, nil
	}
	return now.Add(10 * time.Minute), nil
}
