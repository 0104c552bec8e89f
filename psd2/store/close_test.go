package store_test

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

// TestClosedDatabaseIsOneFile: who copies rialto.db of a stopped hub has
// everything.
func TestClosedDatabaseIsOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rialto.db")
	db, err := store.Open(context.Background(), store.Config{URL: "sqlite:" + path}, store.Options{Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(context.Background()); err != nil { // readers are open too
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		t.Errorf("%d bytes are left beside it", info.Size())
	}
}
