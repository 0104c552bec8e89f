package store

// Queued is how many transactions wait for the writer of SQLite.
func Queued(db *DB) int { return len(db.engine.(*sqliteEngine).jobs) }
