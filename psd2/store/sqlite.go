package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// maxGroup bounds how many logical transactions share one commit, and with it
// how much work one failing commit undoes.
const maxGroup = 128

type sqliteEngine struct {
	readers *sqlx.DB
	writers *sqlx.DB
	conn    *sqlx.Conn // the one writing connection
	stmts   map[string]*sqlx.Stmt
	jobs    chan *job
	stop    sync.Once
	done    chan struct{}
}

type job struct {
	ctx  context.Context
	fn   func(*Tx) error
	err  error
	done chan struct{}
}

func openSQLite(ctx context.Context, path string, o Options) (engine, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	dsn := func(extra string) string {
		// Every connection gets the pragmas: on a pool a PRAGMA run once would
		// reach one connection only.
		return "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)" +
			"&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=temp_store(memory)&_pragma=cache_size(-32000)" + extra
	}
	e := &sqliteEngine{jobs: make(chan *job, maxGroup), done: make(chan struct{}), stmts: map[string]*sqlx.Stmt{}}
	var err error
	if e.writers, err = sqlx.Open("sqlite", dsn("")); err != nil {
		return nil, fmt.Errorf("store: open sqlite: %w", err)
	}
	if e.conn, err = e.writers.Connx(ctx); err != nil {
		e.writers.Close()
		return nil, fmt.Errorf("store: open sqlite: %w", err)
	}
	if err = os.Chmod(path, 0o600); err != nil {
		e.writers.Close()
		return nil, fmt.Errorf("store: %w", err)
	}
	if e.readers, err = sqlx.Open("sqlite", dsn("&_pragma=query_only(1)")); err != nil {
		e.writers.Close()
		return nil, fmt.Errorf("store: open sqlite: %w", err)
	}
	e.readers.SetMaxOpenConns(8)
	e.readers.SetMaxIdleConns(8)
	go e.write()
	return e, nil
}

func (e *sqliteEngine) reader() *sqlx.DB { return e.readers }

func (e *sqliteEngine) isDuplicate(err error) bool {
	var se *sqlite.Error
	return errors.As(err, &se) && (se.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || se.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

func (e *sqliteEngine) close() error {
	e.stop.Do(func() { close(e.jobs) })
	<-e.done
	return errors.Join(e.conn.Close(), e.writers.Close(), e.readers.Close())
}

func (e *sqliteEngine) script(ctx context.Context, text string) error {
	return e.tx(ctx, func(tx *Tx) error {
		_, err := e.conn.ExecContext(ctx, text)
		return err
	})
}

func (e *sqliteEngine) tx(ctx context.Context, fn func(*Tx) error) (err error) {
	defer func() {
		if recover() != nil { // the jobs channel is closed
			err = errors.New("store: the database is closed")
		}
	}()
	j := &job{ctx: ctx, fn: fn, done: make(chan struct{})}
	select {
	case e.jobs <- j:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-j.done // never abandoned: the caller must know whether it was committed
	return j.err
}

// write is the one goroutine that writes: it takes what waits, runs it as one
// physical transaction, commits, and only then tells the callers.
func (e *sqliteEngine) write() {
	defer close(e.done)
	for j := range e.jobs {
		e.group(j)
	}
}

func (e *sqliteEngine) group(first *job) {
	group := make([]*job, 0, 8)
	begun := false
	run := func(j *job) {
		if j.err = j.ctx.Err(); j.err != nil {
			close(j.done)
			return
		}
		if !begun {
			if j.err = e.plain("BEGIN IMMEDIATE"); j.err != nil {
				close(j.done)
				return
			}
			begun = true
		}
		if j.err = e.one(j, len(group) > 0); j.err != nil {
			if len(group) == 0 { // nothing else is in this transaction: start afresh
				e.must("ROLLBACK")
				begun = false
			}
			close(j.done)
			return
		}
		group = append(group, j)
	}
	run(first)
	for len(group) < maxGroup {
		select {
		case j, ok := <-e.jobs:
			if !ok {
				e.commit(group, begun)
				return
			}
			run(j)
			continue
		default:
		}
		break
	}
	e.commit(group, begun)
}

// one runs a logical transaction; with others before it in the same physical
// one, behind a savepoint.
func (e *sqliteEngine) one(j *job, savepoint bool) error {
	if savepoint {
		if err := e.plain("SAVEPOINT one"); err != nil {
			return err
		}
	}
	err := guard(j.fn, &Tx{q: e, ctx: context.WithoutCancel(j.ctx)})
	if !savepoint {
		return err
	}
	if err != nil {
		e.must("ROLLBACK TO one")
	}
	e.must("RELEASE one")
	return err
}

// guard turns a panic of a transaction into its error: other people's
// transactions share the commit.
func guard(fn func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("store: transaction panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return fn(tx)
}

func (e *sqliteEngine) commit(group []*job, begun bool) {
	if !begun {
		return
	}
	err := e.plain("COMMIT")
	if err != nil {
		_ = e.plain("ROLLBACK") // COMMIT may have rolled back already
		err = fmt.Errorf("store: commit: %w", err)
	}
	for _, j := range group {
		j.err = err
		close(j.done)
	}
}

func (e *sqliteEngine) plain(query string) error {
	_, err := e.exec(context.Background(), query, nil)
	return err
}

// must runs what cannot fail while the connection is sound. When it does, the
// state of the physical transaction is unknown, and only a restart is safe.
func (e *sqliteEngine) must(query string) {
	if err := e.plain(query); err != nil {
		panic("store: " + query + ": " + err.Error())
	}
}

func (e *sqliteEngine) stmt(ctx context.Context, query string) (*sqlx.Stmt, error) {
	if s, ok := e.stmts[query]; ok {
		return s, nil
	}
	s, err := e.conn.PreparexContext(ctx, query)
	if err != nil {
		return nil, err
	}
	e.stmts[query] = s
	return s, nil
}

func (e *sqliteEngine) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	s, err := e.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

func (e *sqliteEngine) get(ctx context.Context, dst any, query string, args []any) error {
	s, err := e.stmt(ctx, query)
	if err != nil {
		return err
	}
	return s.GetContext(ctx, dst, args...)
}

func (e *sqliteEngine) sel(ctx context.Context, dst any, query string, args []any) error {
	s, err := e.stmt(ctx, query)
	if err != nil {
		return err
	}
	return s.SelectContext(ctx, dst, args...)
}
