package webhooks_test

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks"
)

// TestDamagedStreamLosesNoWebhook: bits of NATS's files flip under the running
// hub. Nobody rebuilds the stream; each event gets there once and in order all
// the same, and new ones are published.
func TestDamagedStreamLosesNoWebhook(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	clock, dir := testkit.NewClock(), t.TempDir()
	db := testkit.SQLite(t, clock.Now)
	w, s := newWorld(t, db, clock, bus.Config{Dir: dir}), newSink(t, nil)
	w.node("one")
	w.put(webhooks.Endpoint{URL: s.URL})
	p, told := w.payment(), 0
	more := func() {
		t.Helper()
		for range 10 {
			w.event(p)
			w.event(w.payment())
			told += 2
			w.quiet()
		}
	}
	more()
	for range 3 {
		if n := flipBits(t, dir, random); n == 0 {
			t.Fatal("the stream has no file: the test proves nothing")
		}
		more()
	}
	inOrderOnce(t, s.all(), told)
	if _, err := w.relay.Step(t.Context(), clock.Now().Add(time.Minute)); err != nil {
		t.Errorf("nothing is published any more: %v", err)
	}
}

// flipBits turns eight bits in each block of NATS's streams, and counts blocks.
func flipBits(t *testing.T, dir string, random *rand.Rand) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".blk" {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil || info.Size() == 0 {
			return err
		}
		n++
		for range 8 {
			var b [1]byte
			at := random.Int64N(info.Size())
			if _, err := f.ReadAt(b[:], at); err != nil {
				return err
			}
			b[0] ^= 1 << random.IntN(8)
			if _, err := f.WriteAt(b[:], at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
