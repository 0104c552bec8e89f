package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

// disk makes groups durable: one sync of the log after their commit. The writer
// does not wait for that: it runs the next group meanwhile, and commits it when
// the disk is free again. Callers, and whoever has read what a group wrote, do
// wait.
type disk struct {
	groups chan *group           // committed, from the writer
	free   chan struct{}         // holds one while the disk is free for the next
	newest atomic.Pointer[group] // committed or about to be: what is read may be its
	broken atomic.Pointer[error] // why nothing is durable any more
	sync   func() error

	path string // of the log
	log  *os.File

	copying chan struct{} // wakes copyLog
	copier  *sqlx.DB      // nil: the writer copies
}

func (d *disk) open(path, source string, connect func(string) (driver.Connector, error)) (err error) {
	d.groups, d.free, d.copying = make(chan *group, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	d.free <- struct{}{}
	d.path, d.sync = path+"-wal", d.syncLog
	if connect != nil { // a model of a disk, which never loses power
		d.sync = func() error { return nil }
		return nil
	}
	if d.copier, err = openPool(source+copierPragmas, nil); err == nil {
		d.copier.SetMaxOpenConns(1)
	}
	return err
}

func (d *disk) close() error {
	var errs []error
	if d.log != nil {
		errs = append(errs, d.log.Close())
	}
	if d.copier != nil {
		errs = append(errs, d.copier.Close())
	}
	return errors.Join(errs...)
}

// land is the one goroutine that makes groups durable, in their order, and
// tells the callers.
func (e *sqliteEngine) land() {
	defer close(e.disk.copying)
	for g := range e.disk.groups {
		err := e.disk.endure(g)
		close(g.landed)
		if err == nil {
			e.told(g) // once for all of them: each would wake the same few
		}
		for _, j := range g.jobs {
			if err != nil {
				j.err = err
			}
			tell(j.err, j)
		}
		e.disk.free <- struct{}{}
		signal(e.disk.copying)
	}
}

// endure makes a committed group durable. When the disk fails nobody can say
// what it has, and its next success may leave that out: then all is over until
// a new process reads what is really there.
func (d *disk) endure(g *group) error {
	if err := d.broken.Load(); err != nil {
		return *err
	}
	if !g.begun || !g.wrote {
		return nil
	}
	err := d.sync()
	if err != nil {
		err = fmt.Errorf("store: the disk failed, and the database is closed until the next start: %w", err)
		d.broken.Store(&err)
	}
	return err
}

// settle is called after a read: what was read may be committed and not yet
// durable, and nobody acts on what a loss of power could still undo. It returns
// the read's own error, if there is no worse one.
func (d *disk) settle(ctx context.Context, read error) error {
	if g := d.newest.Load(); g != nil {
		select {
		case <-g.landed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := d.broken.Load(); err != nil {
		return *err
	}
	return read
}

// syncLog makes the write-ahead log durable, whoever wrote into it.
func (d *disk) syncLog() error {
	if d.log == nil {
		f, err := os.OpenFile(d.path, os.O_RDWR, 0) // it stays the same file while the writer has it open
		if err != nil {
			return err
		}
		d.log = f
	}
	return syncData(d.log)
}

const (
	copyCommits = 64 // that gather before the log is copied: pages that change often are copied once
	copyPause   = 250 * time.Millisecond
)

// copyLog copies the log into the file beside the writer, who then has little
// left to copy when it is to begin anew. Every commit wakes it.
func (e *sqliteEngine) copyLog() {
	defer close(e.done)
	var copied uint64
	var at time.Time
	for range e.disk.copying {
		if n := e.commits.Load(); e.disk.copier != nil && n >= copied+copyCommits && time.Since(at) >= copyPause {
			_, _ = e.disk.copier.Exec("PRAGMA wal_checkpoint(PASSIVE)") // what it cannot copy the writer will
			copied, at = n, time.Now()
		}
	}
}
