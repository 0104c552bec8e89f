package sandbox

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

//go:embed schema.sql
var schema string

// maxBatch bounds how many logical transactions share one commit.
const maxBatch = 256

// file is the database. One goroutine writes: it runs all transactions that
// wait, each under its own savepoint, and commits them together, so that one
// fsync serves many payers. Nobody is answered before the commit.
type file struct {
	read  *sqlx.DB
	reads sync.Map // *sqlx.Stmt by query, on read
	jobs  chan job
	stop  chan struct{} // closed by close
	done  chan struct{} // closed when the writer has ended
	once  sync.Once

	conn  *sqlx.Conn // the writer's
	db    *sqlx.DB
	stmts map[string]*sqlx.Stmt
}

type job struct {
	fn  func(*tx) error
	res chan error
}

var errClosed = errors.New("sandbox: closed")

// openFile opens or creates the file; path "" is memory.
func openFile(ctx context.Context, path string) (*file, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	if path == "" {
		dsn = ":memory:"
	} else if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("sandbox: open: %w", err)
	} else if f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil { // ours alone, also its WAL
		return nil, fmt.Errorf("sandbox: open: %w", err)
	} else if err := f.Close(); err != nil {
		return nil, fmt.Errorf("sandbox: open: %w", err)
	}
	db, err := sqlx.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("sandbox: open: %w", err)
	}
	f := &file{db: db, read: db, jobs: make(chan job, maxBatch), stop: make(chan struct{}), done: make(chan struct{}), stmts: map[string]*sqlx.Stmt{}}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	if path == "" {
		db.SetMaxOpenConns(1) // a second connection would be a second database
		f.read = nil
	}
	if f.conn, err = db.Connx(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("sandbox: open: %w", err)
	}
	if err := f.upgrade(ctx); err != nil {
		_ = f.conn.Close()
		_ = db.Close()
		return nil, fmt.Errorf("sandbox: schema: %w", err)
	}
	go f.write()
	return f, nil
}

// upgrade creates what is missing. A file of an older version lacks columns of
// its orders; they are added first, since an index names them.
func (f *file) upgrade(ctx context.Context) error {
	var have []string
	if err := f.conn.SelectContext(ctx, &have, `SELECT name FROM pragma_table_info('orders')`); err != nil {
		return err
	}
	for _, c := range newColumns {
		if len(have) > 0 && !slices.Contains(have, c.name) {
			if _, err := f.conn.ExecContext(ctx, c.add); err != nil {
				return err
			}
		}
	}
	_, err := f.conn.ExecContext(ctx, schema+h2hSchema)
	return err
}

// newColumns came after the first version of the table orders.
var newColumns = []struct{ name, add string }{
	{"method", `ALTER TABLE orders ADD COLUMN method TEXT NOT NULL DEFAULT ''`},
	{"code", `ALTER TABLE orders ADD COLUMN code TEXT NOT NULL DEFAULT ''`},
	{"confirm_hash", `ALTER TABLE orders ADD COLUMN confirm_hash TEXT NOT NULL DEFAULT ''`},
	{"grant_id", `ALTER TABLE orders ADD COLUMN grant_id TEXT NOT NULL DEFAULT ''`},
	{"notify_uri", `ALTER TABLE orders ADD COLUMN notify_uri TEXT NOT NULL DEFAULT ''`},
}

func (f *file) close() error {
	f.once.Do(func() { close(f.stop) })
	<-f.done
	return f.db.Close()
}

// do runs fn as one transaction and returns after the commit. An error of fn
// undoes fn alone.
func (f *file) do(fn func(*tx) error) error {
	j := job{fn: fn, res: make(chan error, 1)}
	select {
	case f.jobs <- j:
	case <-f.stop:
		return errClosed
	}
	select {
	case err := <-j.res:
		return err
	case <-f.done:
		select {
		case err := <-j.res: // it was answered before the writer ended
			return err
		default:
			return errClosed
		}
	}
}

// get and sel read what is committed; sql.ErrNoRows from get.
func (f *file) get(ctx context.Context, dst any, q string, args ...any) error {
	if f.read == nil {
		return f.do(func(t *tx) error { return t.get(dst, q, args...) })
	}
	s, err := f.prepared(ctx, q)
	if err != nil {
		return err
	}
	return s.GetContext(ctx, dst, args...)
}

func (f *file) sel(ctx context.Context, dst any, q string, args ...any) error {
	if f.read == nil {
		return f.do(func(t *tx) error { return t.sel(dst, q, args...) })
	}
	s, err := f.prepared(ctx, q)
	if err != nil {
		return err
	}
	return s.SelectContext(ctx, dst, args...)
}

// prepared keeps one statement a query: there are few, and parsing one costs
// more than running it.
func (f *file) prepared(ctx context.Context, q string) (*sqlx.Stmt, error) {
	if s, ok := f.reads.Load(q); ok {
		return s.(*sqlx.Stmt), nil
	}
	s, err := f.read.PreparexContext(context.WithoutCancel(ctx), q)
	if err != nil {
		return nil, err
	}
	if have, loaded := f.reads.LoadOrStore(q, s); loaded {
		return have.(*sqlx.Stmt), s.Close()
	}
	return s, nil
}

func (f *file) write() {
	defer close(f.done)
	defer func() {
		for _, s := range f.stmts {
			_ = s.Close()
		}
		_ = f.conn.Close()
	}()
	for {
		select {
		case <-f.stop:
			return
		case j := <-f.jobs:
			f.commit(f.gather(j))
		}
	}
}

// gather takes what waits already; it never waits for more.
func (f *file) gather(first job) []job {
	batch := []job{first}
	for len(batch) < maxBatch {
		select {
		case j := <-f.jobs:
			batch = append(batch, j)
		default:
			return batch
		}
	}
	return batch
}

func (f *file) commit(batch []job) {
	t := &tx{f: f}
	results := make([]error, len(batch))
	err := t.run("BEGIN IMMEDIATE")
	for i := 0; i < len(batch) && err == nil; i++ {
		if err = t.run("SAVEPOINT one"); err != nil {
			break
		}
		if results[i] = batch[i].fn(t); results[i] != nil {
			err = t.run("ROLLBACK TO one")
		}
		if err == nil {
			err = t.run("RELEASE one")
		}
	}
	if err == nil {
		err = t.run("COMMIT")
	}
	if err != nil {
		_ = t.run("ROLLBACK")
	}
	for i, j := range batch {
		if err != nil {
			results[i] = fmt.Errorf("sandbox: commit: %w", err)
		}
		j.res <- results[i]
	}
}

// tx is one logical transaction; it lives only inside do.
type tx struct{ f *file }

func (t *tx) run(q string) error {
	_, err := t.exec(q)
	return err
}

// exec returns the number of rows it changed.
func (t *tx) exec(q string, args ...any) (int64, error) {
	s, err := t.stmt(q)
	if err != nil {
		return 0, err
	}
	res, err := s.Exec(args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// insert returns the new row's position.
func (t *tx) insert(q string, args ...any) (int64, error) {
	s, err := t.stmt(q)
	if err != nil {
		return 0, err
	}
	res, err := s.Exec(args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

func (t *tx) get(dst any, q string, args ...any) error {
	s, err := t.stmt(q)
	if err != nil {
		return err
	}
	return s.Get(dst, args...)
}

func (t *tx) sel(dst any, q string, args ...any) error {
	s, err := t.stmt(q)
	if err != nil {
		return err
	}
	return s.Select(dst, args...)
}

// stmt prepares each statement once: all our SQL is constant.
func (t *tx) stmt(q string) (*sqlx.Stmt, error) {
	if s := t.f.stmts[q]; s != nil {
		return s, nil
	}
	s, err := t.f.conn.PreparexContext(context.Background(), q)
	if err != nil {
		return nil, err
	}
	t.f.stmts[q] = s
	return s, nil
}

func isNoRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }
