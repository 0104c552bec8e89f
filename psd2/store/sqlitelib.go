package store

import (
	"fmt"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// init sets up SQLite for the whole process, which it allows before the first
// connection only: nobody asks for its statistics of memory, which cost two locks
// an allocation; and pages are allocated one by one. A reader drops his after
// every commit of somebody else, and would otherwise get and give back the memory
// of twenty each time.
func init() {
	tls := libc.NewTLS()
	defer tls.Close()
	args := libc.Xmalloc(tls, 3*8)
	defer libc.Xfree(tls, args)
	for option, values := range map[int32][]any{
		sqlite3.SQLITE_CONFIG_MEMSTATUS: {int32(0)},
		sqlite3.SQLITE_CONFIG_PAGECACHE: {uintptr(0), int32(0), int32(0)},
	} {
		if code := sqlite3.Xsqlite3_config(tls, option, libc.VaList(args, values...)); code != sqlite3.SQLITE_OK {
			panic(fmt.Sprintf("store: SQLite does not take option %d: %d", option, code)) // it was opened before us
		}
	}
}
