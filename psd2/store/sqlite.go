package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite" // and the driver of that name
	sqlite3 "modernc.org/sqlite/lib"
)

// Pragmas of every connection. They stand in the data source name: on a pool a
// PRAGMA run once would reach one connection only. synchronous=NORMAL leaves it
// to us to make a commit durable before anybody is told of it (durable.go).
const (
	pragmas = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)&_pragma=temp_store(memory)"
	// The log is copied into the file beside the writer (durable.go). He copies the
	// rest when 64 MB have gathered, so that it begins anew. What he keeps of the
	// indexes in whose middle he writes (persons, keys, references) he need not
	// read: with 128 MB, hundreds of thousands of payments.
	writerPragmas = "&_pragma=cache_size(-128000)&_pragma=wal_autocheckpoint(16000)&_pragma=journal_size_limit(67108864)"
	copierPragmas = "&_pragma=cache_size(-1000)"
	readerPragmas = "&_pragma=cache_size(-2000)&_pragma=query_only(1)" // emptied by every commit; the larger it was, the longer that takes
)

// sqliteEngine has one writing connection, which belongs to the goroutine that
// runs write (group.go), and a pool of connections that can only read.
type sqliteEngine struct {
	writers *sqlx.DB
	conn    *sqlx.Conn
	stmts   map[string]*sqlx.Stmt // prepared on conn

	readers  *sqlx.DB
	readMu   sync.RWMutex
	prepared map[string]*sqlx.Stmt // prepared on readers

	commits atomic.Uint64
	told    func(*group) // of what is durable
	jobs    chan *job
	closing chan struct{} // closed to say that no more jobs are wanted
	done    chan struct{} // closed when everybody has been told, and the log left alone
	stop    func() error

	disk disk
}

func openSQLite(ctx context.Context, path string, connect func(dsn string) (driver.Connector, error), told func(*group)) (_ engine, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	// Made by us, so that nobody else can read it for a moment; the WAL takes
	// its mode from it.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	e := &sqliteEngine{
		stmts: map[string]*sqlx.Stmt{}, prepared: map[string]*sqlx.Stmt{}, told: told,
		jobs: make(chan *job, maxGroup), closing: make(chan struct{}), done: make(chan struct{}),
	}
	e.stop = sync.OnceValue(e.shutdown)
	source := "file:" + (&url.URL{Path: path}).EscapedPath() + pragmas
	if e.writers, err = openPool(source+writerPragmas, connect); err != nil {
		return nil, fmt.Errorf("store: open sqlite: %w", err)
	}
	if e.conn, err = connectFirst(ctx, e.writers); err != nil {
		e.writers.Close()
		return nil, fmt.Errorf("store: open sqlite: %w", err)
	}
	if e.readers, err = openPool(source+readerPragmas, connect); err != nil {
		e.writers.Close()
		return nil, fmt.Errorf("store: open sqlite: %w", err)
	}
	if err := e.disk.open(path, source, connect); err != nil {
		return nil, fmt.Errorf("store: open sqlite: %w", errors.Join(err, e.readers.Close(), e.writers.Close()))
	}
	n := max(4, runtime.NumCPU())
	e.readers.SetMaxOpenConns(n)
	e.readers.SetMaxIdleConns(n)
	go e.write()
	go e.land()
	go e.copyLog()
	return e, nil
}

// connectFirst makes a connection when others may be making theirs: of processes
// that begin with a new file one gives it its log, for which the others have to
// wait, but SQLite does not.
func connectFirst(ctx context.Context, pool *sqlx.DB) (*sqlx.Conn, error) {
	for pause := time.Millisecond; ; pause *= 2 {
		conn, err := pool.Connx(ctx)
		busy, ok := errors.AsType[*sqlite.Error](err)
		if err == nil || !ok || busy.Code()&0xff != sqlite3.SQLITE_BUSY || pause > 4*time.Second {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// openPool makes a pool of connections that are opened when they are needed.
func openPool(dsn string, connect func(string) (driver.Connector, error)) (*sqlx.DB, error) {
	if connect == nil {
		return sqlx.Open("sqlite", dsn)
	}
	c, err := connect(dsn)
	if err != nil {
		return nil, err
	}
	return sqlx.NewDb(sql.OpenDB(c), "sqlite"), nil
}

func (e *sqliteEngine) close() error { return e.stop() }

func (e *sqliteEngine) shutdown() error {
	close(e.closing)
	<-e.done
	errs := []error{e.readers.Close(), e.disk.close()}
	for _, s := range e.stmts {
		errs = append(errs, s.Close())
	}
	// With nobody reading, everything goes into the one file: whoever copies it
	// then has all of it.
	_, err := e.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
	return errors.Join(append(errs, err, e.conn.Close(), e.writers.Close())...)
}

func (e *sqliteEngine) prepareSchema(ctx context.Context, create string) error {
	return e.tx(ctx, func(tx *Tx) error {
		_, err := tx.Exec(create)
		return err
	})
}

// plannedOnce keeps a prepared statement prepared. SQLite plans with the number
// bound to a bare LIMIT ?, and therefore plans again each time one is bound; it
// does not look into an expression.
var plannedOnce = strings.NewReplacer("LIMIT ?", "LIMIT (? + 0)").Replace

// maxPrepared bounds the statements kept ready, for readers and for the writer.
const maxPrepared = 256

// reader finds a query prepared, or prepares it. It returns nil when too many
// are kept: then the query is not one of the constant ones, which came first.
func (e *sqliteEngine) reader(ctx context.Context, query string) (*sqlx.Stmt, error) {
	e.readMu.RLock()
	s, ok := e.prepared[query]
	full := len(e.prepared) >= maxPrepared
	e.readMu.RUnlock()
	if ok || full {
		return s, nil
	}
	s, err := e.readers.PreparexContext(ctx, plannedOnce(query))
	if err != nil {
		return nil, err
	}
	e.readMu.Lock()
	defer e.readMu.Unlock()
	if other, ok := e.prepared[query]; ok { // prepared by two at once
		return other, s.Close()
	}
	e.prepared[query] = s
	return s, nil
}

func (e *sqliteEngine) get(ctx context.Context, dst any, query string, args []any) error {
	s, err := e.reader(ctx, query)
	switch {
	case err != nil:
		return err
	case s == nil:
		return e.disk.settle(ctx, e.readers.GetContext(ctx, dst, query, args...))
	}
	return e.disk.settle(ctx, s.GetContext(ctx, dst, args...))
}

func (e *sqliteEngine) sel(ctx context.Context, dst any, query string, args []any) error {
	s, err := e.reader(ctx, query)
	switch {
	case err != nil:
		return err
	case s == nil:
		return e.disk.settle(ctx, e.readers.SelectContext(ctx, dst, query, args...))
	}
	return e.disk.settle(ctx, s.SelectContext(ctx, dst, args...))
}

// sqliteWriter runs the statements of the writing goroutine.
type sqliteWriter struct{ *sqliteEngine }

func (w sqliteWriter) stmt(ctx context.Context, query string) (*sqlx.Stmt, error) {
	if s, ok := w.stmts[query]; ok {
		return s, nil
	}
	for old, s := range w.stmts { // any one: it is soon prepared again if it is used
		if len(w.stmts) < maxPrepared {
			break
		}
		_ = s.Close() // nothing to lose by it
		delete(w.stmts, old)
	}
	s, err := w.conn.PreparexContext(ctx, plannedOnce(query))
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s
	return s, nil
}

func (w sqliteWriter) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	s, err := w.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

func (w sqliteWriter) get(ctx context.Context, dst any, query string, args []any) error {
	s, err := w.stmt(ctx, query)
	if err != nil {
		return err
	}
	return s.GetContext(ctx, dst, args...)
}

func (w sqliteWriter) sel(ctx context.Context, dst any, query string, args []any) error {
	s, err := w.stmt(ctx, query)
	if err != nil {
		return err
	}
	return s.SelectContext(ctx, dst, args...)
}

func (e *sqliteEngine) committed() uint64 { return e.commits.Load() }
