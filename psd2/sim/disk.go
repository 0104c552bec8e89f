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

	// For planted faults, see plant.
	swallow func(task, query string, args []driver.NamedValue) driver.Result
	rewrite func(query string) string

	promised []func() // what a commit makes true of the leases
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
	done := do
	do = func() error { // only what was committed counts
		err := done()
		if err == nil {
			for _, f := range d.promised {
				f()
			}
		}
		d.promised = nil
		return err
	}
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
	return connector{d, strings.Replace(dsn, "synchronous(NORMAL)", "synchronous(OFF)", 1)}, nil
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
	said := query
	if c.disk.rewrite != nil {
		said = c.disk.rewrite(query)
	}
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, said)
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
		d.inTx, d.promised = false, nil
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
		d.inTx, d.promised = true, nil
		return r, nil
	case s.query == "COMMIT":
		return r, d.commit(do)
	case d.swallow != nil:
		if r := d.swallow(d.of.world.task(), s.query, args); r != nil {
			return r, nil
		}
	}
	if err := do(); err != nil {
		return nil, err
	}
	if n, _ := r.RowsAffected(); n > 0 {
		d.watchFence(s.query, args)
		if !housekeeping(s.query) {
			d.of.world.activity++
		}
	}
	return r, nil
}

func (s *statement) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if s.disk.of.dead {
		return nil, errDead
	}
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err == nil && strings.HasPrefix(s.query, "INSERT INTO leases") {
		rows = &granted{rows, s.disk, args}
	}
	return rows, err
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
