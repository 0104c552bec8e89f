package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// heldDisk is a database whose disk does not answer until released, with one
// transaction that is committed but not durable.
func heldDisk(t *testing.T, answer error) (db *store.DB, first *call, release func()) {
	t.Helper()
	db = testkit.SQLite(t, nil)
	began, wait := make(chan struct{}, 16), make(chan struct{})
	var real func() error
	real = store.OnSync(db, func() error {
		began <- struct{}{}
		<-wait
		return errors.Join(real(), answer)
	})
	first = start(db, ctx, setCursor("one", 1))
	<-began
	return db, first, func() { close(wait) }
}

// C42: nobody acts on what a loss of power could still undo.
func TestNobodyIsToldOrShownWhatIsNotDurable(t *testing.T) {
	db, first, release := heldDisk(t, nil)
	read := &call{done: make(chan struct{})}
	var seen int64
	go func() {
		defer close(read.done)
		read.err = db.Get(ctx, &seen, `SELECT value FROM cursors WHERE name = 'one'`)
	}()
	ran := make(chan struct{})
	next := start(db, ctx, func(tx *store.Tx) error { // runs meanwhile
		defer close(ran)
		one, err := tx.Cursor("one")
		return errors.Join(err, tx.SetCursor("two", one+1))
	})
	<-ran
	for range 1000 { // let those run who were told
		runtime.Gosched()
	}
	for name, c := range map[string]*call{"the transaction": first, "who read it": read, "the next transaction": next} {
		select {
		case <-c.done:
			t.Errorf("%s went on: %v", name, c.err)
		default:
		}
	}
	release()
	for _, c := range []*call{first, read, next} {
		if <-c.done; c.err != nil {
			t.Error(c.err)
		}
	}
	if seen != 1 || cursor(t, db, "two") != 2 {
		t.Errorf("read %d, cursor two is %d", seen, cursor(t, db, "two"))
	}
}

// A disk that failed once may have lost what it is asked for next, and not say
// so.
func TestFailedDiskClosesTheDatabaseUntilTheNextStart(t *testing.T) {
	boom := errors.New("input/output error")
	db, first, release := heldDisk(t, boom)
	release()
	if <-first.done; !errors.Is(first.err, boom) {
		t.Errorf("the transaction was told %v", first.err)
	}
	store.OnSync(db, func() error { return nil }) // it says that it works again
	if err := db.Tx(ctx, setCursor("two", 2)); !errors.Is(err, boom) {
		t.Errorf("the next one was told %v", err)
	}
	var n int
	if err := db.Get(ctx, &n, `SELECT 1`); !errors.Is(err, boom) {
		t.Errorf("a reader was told %v", err)
	}
	if err := db.Ping(ctx); err == nil {
		t.Error("it says that it is well")
	}
}

// The writer by himself copies the log only when it is much longer.
func TestLogIsCopiedBesideTheWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rialto.db")
	db := (&world{kind: "sqlite", config: store.Config{URL: "sqlite:" + path}}).open(t)
	size := func() int64 {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before, row := size(), strings.Repeat("x", 64<<10)
	write := func(i int) {
		t.Helper()
		err := db.Tx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO meta (name, value) VALUES (?, ?)`, fmt.Sprint("row ", i), row)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(time.Minute)
	for i := 0; i < 100 || size() < before+1<<20; i++ { // commits go on: each wakes the copy
		if time.Now().After(deadline) {
			t.Fatal("nothing was copied")
		}
		write(i)
	}
}
