package sim

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"time"

	"modernc.org/sqlite"
)

var (
	errDisk = errors.New("sim: the disk failed")
	errDead = errors.New("sim: the process is dead")
)

// disk is one process's way to the database: SQLite's own driver, with faults.
// It knows when a transaction is open, because nobody else may run then: the
// file has one writer.
type disk struct {
	of     *process
	inTx   bool
	faulty bool
	broken time.Time // nothing can be written until then

	// swallow says that a statement is reported as done and is not; for planted faults.
	swallow func(query string) bool
}

// yield is store.Options.Yield: others run here, and here the process may die.
func (d *disk) yield() {
	w := d.of.world
	if d.inTx || w.current == nil {
		return
	}
	w.mayDie(d.of, "at the database")
	switch {
	case !w.chaos:
	case d.of.chance.in(w.drowsy):
		d.of.suspend(d.of.chance.between(time.Second, 4*time.Minute))
		w.await(0)
	case d.of.chance.in(4):
		w.await(d.of.chance.between(0, 5*time.Millisecond))
	}
}

// commit decides what befalls a commit.
func (d *disk) commit(do func() error) error {
	w := d.of.world
	d.inTx = false
	if !d.faulty || w.current == nil || !w.chaos {
		return do()
	}
	c := d.of.chance
	switch {
	case c.in(250):
		w.say("%s: commit fails before", d.of.name)
		return errDisk
	case c.in(250):
		w.say("%s: commit fails after", d.of.name)
		return errors.Join(do(), errDisk)
	case c.in(500):
		w.kill(d.of, "before a commit")
		return errDead
	case c.in(500):
		err := do()
		w.kill(d.of, "after a commit")
		return errors.Join(err, errDead)
	case c.in(800):
		d.broken = w.now.Add(c.between(time.Second, 30*time.Second))
		w.say("%s: the disk is full", d.of.name)
	}
	return do()
}

// connect is store.Options.Connect.
func (d *disk) connect(dsn string) (driver.Connector, error) {
	// Nobody pulls the plug in here; what a lost fsync does is not in the model.
	return connector{d, strings.Replace(dsn, "synchronous(FULL)", "synchronous(OFF)", 1)}, nil
}

type connector struct {
	disk *disk
	dsn  string
}

func (c connector) Driver() driver.Driver { return &sqlite.Driver{} }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.Driver().Open(c.dsn)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: conn, disk: c.disk}, nil
}

// connection wraps what database/sql uses of SQLite's connection.
type connection struct {
	driver.Conn
	disk *disk
}

func (c *connection) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &statement{Stmt: s, query: query, disk: c.disk}, nil
}

func (c *connection) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *connection) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

// statement is a prepared statement; the store prepares everything.
type statement struct {
	driver.Stmt
	query string
	disk  *disk
}

func (s *statement) ExecContext(ctx context.Context, args []driver.NamedValue) (r driver.Result, err error) {
	do := func() error {
		r, err = s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
		return err
	}
	d := s.disk
	switch {
	case s.query == "ROLLBACK": // even after death: so would SQLite itself
		d.inTx = false
		return r, do()
	case d.of.dead:
		return nil, errDead
	case s.query == "BEGIN IMMEDIATE":
		if d.of.world.chaos && d.of.world.now.Before(d.broken) {
			return nil, errDisk
		}
		if err := do(); err != nil {
			return nil, err
		}
		d.inTx = true
		return r, nil
	case s.query == "COMMIT":
		return r, d.commit(do)
	case d.swallow != nil && d.swallow(s.query):
		return driver.RowsAffected(1), nil
	}
	if err := do(); err != nil {
		return nil, err
	}
	if n, _ := r.RowsAffected(); n > 0 && !housekeeping(s.query) {
		d.of.world.activity++
	}
	return r, nil
}

func (s *statement) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.disk.of.dead {
		return nil, errDead
	}
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

// housekeeping are writes that processes make although nothing happens.
func housekeeping(query string) bool {
	for _, table := range []string{"leases", "webhook_workers", "webhook_shards", "INTO cursors", "UPDATE statements"} {
		if strings.Contains(query, table) {
			return true
		}
	}
	return false
}
