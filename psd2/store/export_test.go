package store

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

// Without does something as if no events were kept.
func Without(db *DB, do func()) {
	events := db.recent.events
	db.recent.events = nil
	do()
	db.recent.events = events
}

// Kept is how many events are kept in memory.
func Kept(db *DB) int { return len(db.recent.events) }
