package store

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// maxGroup bounds how many logical transactions share one commit, and with it
// how much work one failing commit undoes.
const maxGroup = 128

// job is one logical transaction on its way through the writer. Its err may be
// read once done is closed.
type job struct {
	ctx  context.Context
	fn   func(*Tx) error
	err  error
	done chan struct{}
}

// tx hands fn to the writer and waits for its commit.
func (e *sqliteEngine) tx(ctx context.Context, fn func(*Tx) error) error {
	j := &job{ctx: ctx, fn: fn, done: make(chan struct{})}
	select {
	case <-e.closing:
		return errClosed
	default:
	}
	select {
	case e.jobs <- j:
	case <-e.closing:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select { // never abandoned: the caller must know whether it was committed
	case <-j.done:
		return j.err
	case <-e.done:
	}
	select {
	case <-j.done:
		return j.err
	default:
		return errClosed // it came too late to be taken
	}
}

// write is the one goroutine that writes: it takes what waits, runs it as one
// physical transaction, commits, and hands it to whoever makes it durable and
// then tells the callers (durable.go).
func (e *sqliteEngine) write() {
	defer close(e.disk.groups)
	for {
		select {
		case j := <-e.jobs:
			e.runGroup(j)
		case <-e.closing:
			for {
				select {
				case j := <-e.jobs:
					e.runGroup(j)
				default:
					return
				}
			}
		}
	}
}

func (e *sqliteEngine) runGroup(first *job) {
	g := &group{q: sqliteWriter{e}, committed: &e.commits, landed: make(chan struct{})}
	g.add(first)
	e.gather(g)
	e.disk.newest.Store(g) // before anybody can read what it commits
	g.commit()
	e.disk.groups <- g
}

// gather adds who comes while the disk is busy with the group before. It returns
// when the disk is free for this group.
func (e *sqliteEngine) gather(g *group) {
	for len(g.jobs) < maxGroup {
		select {
		case <-e.disk.free:
			e.followUp(g)
			return
		case j := <-e.jobs:
			g.add(j)
		}
	}
	<-e.disk.free
}

// followUp adds what waits, and what those ask for next who have just been told
// of the group before: a commit fewer.
func (e *sqliteEngine) followUp(g *group) {
	for runtime.Gosched(); len(g.jobs) < maxGroup; {
		select {
		case j := <-e.jobs:
			g.add(j)
		default:
			return
		}
	}
}

// group is one physical transaction. Its jobs run one after the other without
// savepoints, which cost SQLite a copy of every page touched. Only when one
// fails after it wrote is the whole group run again, each behind a savepoint.
//
// Nobody in it is told anything before the commit, not even of a failure: it
// may follow from what an earlier job wrote.
type group struct {
	q       querier
	jobs    []*job
	begun   bool
	careful bool         // behind savepoints
	wrote   bool         // there is something to make durable
	events  bool         // the journal was written
	end     end          // of the journal
	news    []psd2.Event // written there with their position
	erased  bool         // a person was
	at      time.Time    // by the clock of the last job

	committed *atomic.Uint64 // counts commits
	landed    chan struct{}  // closed once the group is durable, or known not to be
}

func (g *group) add(j *job) {
	if err := j.ctx.Err(); err != nil {
		tell(err, j)
		return
	}
	if !g.begun {
		if err := g.begin(); err != nil {
			tell(err, j)
			return
		}
	}
	g.jobs = append(g.jobs, j)
	clean, err := g.one(j)
	switch {
	case err != nil: // the physical transaction is gone, and with it what came before
		g.abort(fmt.Errorf("store: the database gave up the transaction: %w", err))
	case clean:
	case len(g.jobs) == 1:
		g.abort(j.err)
	default:
		g.again()
	}
}

// again runs everybody anew, in the same order, behind savepoints.
func (g *group) again() {
	jobs := g.jobs
	g.rollback()
	g.careful = true
	for _, j := range jobs {
		j.err = nil
		g.add(j)
	}
}

// one runs one job and sets its err. It reports whether nothing is left behind
// of a failed job; err is the database's, not the job's.
func (g *group) one(j *job) (clean bool, err error) {
	if g.careful {
		if err := g.plain("SAVEPOINT one"); err != nil {
			return false, err
		}
	}
	tx := &Tx{q: g.q, ctx: context.WithoutCancel(j.ctx), end: &g.end}
	j.err = run(j.fn, tx)
	clean = j.err == nil || !tx.wrote
	if j.err == nil {
		g.wrote, g.events, g.erased = g.wrote || tx.wrote, g.events || tx.events, g.erased || tx.erased
		g.news, g.at = append(g.news, tx.news...), tx.Now
	} else {
		g.end.known = false // it may have moved
	}
	if g.careful {
		if !clean {
			if err := g.plain("ROLLBACK TO one"); err != nil {
				return false, err
			}
		}
		return true, g.plain("RELEASE one")
	}
	return clean, nil
}

// commit commits, if there is something to commit; nobody in it is told of that
// yet.
func (g *group) commit() {
	if !g.begun {
		return
	}
	if err := g.plain("COMMIT"); err != nil {
		g.abort(fmt.Errorf("store: commit: %w", err))
		return
	}
	g.committed.Add(1)
}

// abort ends the physical transaction and gives everybody in it the error.
func (g *group) abort(err error) {
	jobs := g.jobs
	g.rollback()
	g.careful = false
	for _, j := range jobs {
		tell(err, j)
	}
}

func (g *group) begin() error {
	if err := g.plain("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	g.begun = true
	return nil
}

// rollback leaves the connection without a transaction. It may fail only
// because there is none any more: SQLite rolls back by itself when the disk is
// full or broken.
func (g *group) rollback() {
	_ = g.plain("ROLLBACK")
	g.jobs, g.begun, g.end.known = nil, false, false
	g.wrote, g.events, g.erased, g.news = false, false, false, nil
}

func (g *group) plain(query string) error {
	_, err := g.q.exec(context.Background(), query, nil)
	return err
}

// tell ends a caller's waiting.
func tell(err error, j *job) {
	j.err = err
	close(j.done)
}
