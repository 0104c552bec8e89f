package store

import "github.com/rialto-hub/rialto/psd2"

// Queued is how many transactions wait for the writer of SQLite.
func Queued(db *DB) int { return len(db.engine.(*sqliteEngine).jobs) }

// Prepared is how many statements SQLite keeps ready, for readers and for the
// writer; it is asked for while nothing runs.
func Prepared(db *DB) (readers, writer int) {
	e := db.engine.(*sqliteEngine)
	return len(e.prepared), len(e.stmts)
}

// OnSync has sync called instead of the disk each time a group is to be made
// durable; it is set while nothing runs. It returns the disk's own.
func OnSync(db *DB, sync func() error) (real func() error) {
	d := &db.engine.(*sqliteEngine).disk
	real, d.sync = d.sync, sync
	return real
}

// Forget drops the events that are kept in memory: what a test has done to the
// journal's rows is then seen.
func Forget(db *DB) { db.recent.forget() }

// Without does something as if no events were kept; nothing is written meanwhile.
func Without(db *DB, do func()) {
	kept := db.recent.swap(nil)
	do()
	db.recent.swap(kept)
}

func (r *recent) swap(events []psd2.Event) (before []psd2.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, r.events = r.events, events
	return before
}

// Kept is how many events are kept in memory.
func Kept(db *DB) int {
	r := &db.recent
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}
