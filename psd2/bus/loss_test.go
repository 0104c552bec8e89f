package bus_test

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// blocks are the stream's message files.
func blocks(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".blk") {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// flip changes single bits of a file.
func flip(t *testing.T, path string, bits int, random *rand.Rand) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		t.Fatalf("%s: %d bytes, %v", path, len(data), err)
	}
	for range bits {
		data[random.IntN(len(data))] ^= 1 << random.IntN(8)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFlippedBitsInTheStreamLoseNothing: whatever a server makes of a block
// with single wrong bits, Rebuild brings every event back, and who follows
// goes by the journal.
func TestFlippedBitsInTheStreamLoseNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	db, dir := testkit.SQLite(t, nil), t.TempDir()
	b := open(t, bus.Config{Dir: dir}, nil)
	r := b.Relay(db, "one")
	for range written / portion {
		for range portion {
			create(t, db, "mer_a")
		}
		relay(t, r, time.Now())
	}
	until(t, func() bool { relay(t, r, time.Now()); return len(b.Subjects(t.Context())) == 200 })
	b.Close()
	files := blocks(t, dir)
	if len(files) == 0 {
		t.Fatal("the stream has no file")
	}
	for _, path := range files {
		flip(t, path, 8, random)
	}
	again := open(t, bus.Config{Dir: dir}, nil)
	if n := len(again.Subjects(t.Context())); n == 200 {
		t.Log("the server did not mind this time")
	}
	n, err := again.Rebuild(t.Context(), db, 0, nil)
	if err != nil || n != 200 || len(again.Subjects(t.Context())) != 200 {
		t.Fatalf("%d published, %d in the stream, %v", n, len(again.Subjects(t.Context())), err)
	}
	follower, last := again.Follow("test"), int64(0)
	if err := follower.Attach(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	create(t, db, "mer_a")
	if last, err = db.LastPosition(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := again.Relay(db, "one")
	relay(t, next, time.Now().Add(time.Minute))
	await(t, follower, last)
}

// TestRebuildIsSafeBesideARunningHub: the stream is made anew while the relay
// publishes and a follower listens; both go on, and the end is reached.
func TestRebuildIsSafeBesideARunningHub(t *testing.T) {
	db := testkit.SQLite(t, nil)
	server := startServer(t, t.TempDir(), "127.0.0.1:0")
	b := open(t, bus.Config{URL: server.URL()}, nil)
	r, f := b.Relay(db, "one"), b.Follow("test")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
				_, _ = r.Step(t.Context(), time.Now()) // NATS changes under it
				_ = f.Attach(t.Context(), time.Now())
			}
		}
	}()
	other := open(t, bus.Config{URL: server.URL()}, nil)
	for i := range 60 {
		create(t, db, "mer_a")
		if i%20 == 10 {
			if _, err := other.Rebuild(t.Context(), db, 0, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	last, err := db.LastPosition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return cursor(t, db) == last })
	close(stop)
	<-stopped
	if _, err := other.Rebuild(t.Context(), db, 0, nil); err != nil || len(other.Subjects(t.Context())) != 60 {
		t.Fatalf("%d of 60 events in the stream, %v", len(other.Subjects(t.Context())), err)
	}
}

// TestServerRestartedUnderLoadLosesNothing: it is stopped, and its directory
// deleted, again and again while events are committed and relayed.
func TestServerRestartedUnderLoadLosesNothing(t *testing.T) {
	db, dir := testkit.SQLite(t, nil), t.TempDir()
	b := open(t, bus.Config{Dir: dir}, nil)
	r, f := b.Relay(db, "one"), b.Follow("test")
	seen := map[int64]bool{}
	var position int64
	step := func() {
		_, _ = r.Step(t.Context(), time.Now()) // the server is away now and then
		_ = f.Attach(t.Context(), time.Now())
		for { // as a consumer does: by the journal, whatever woke it
			events, err := db.WantedFrom(t.Context(), position, 50, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(events) == 0 {
				break
			}
			for _, e := range events {
				if seen[e.Position] || e.Position != position+1 {
					t.Fatalf("position %d after %d", e.Position, position)
				}
				seen[e.Position], position = true, e.Position
			}
			f.Ack(position)
		}
	}
	for i := range 120 {
		create(t, db, "mer_a")
		step()
		if i%15 == 7 {
			b.StopServer()
			if i%30 == 7 {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	last, err := db.LastPosition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { step(); return cursor(t, db) == last })
	if position != last || len(seen) != 120 {
		t.Fatalf("%d events seen up to %d, there are %d", len(seen), position, last)
	}
}

// TestHubDoesNotStartOnAnAsynchronousStream: where NATS answers, the start is
// refused rather than every publication later.
func TestHubDoesNotStartOnAnAsynchronousStream(t *testing.T) {
	server := startServer(t, t.TempDir(), "127.0.0.1:0")
	bus.MakeAsyncStream(t, server.URL())
	b, err := bus.Open(t.Context(), bus.Config{URL: server.URL()}, bus.Options{})
	if err == nil {
		b.Close()
		t.Fatal("it started")
	}
	if !strings.Contains(err.Error(), "acknowledges before it has stored") {
		t.Fatal(err)
	}
}

// slowDisk stores so many events in the time that a batch has.
type slowDisk struct {
	stores int
	asked  []int
}

func (d *slowDisk) Ready(context.Context, time.Time) error { return nil }
func (d *slowDisk) Hint()                                  {}
func (d *slowDisk) Forget()                                {}

func (d *slowDisk) Publish(_ context.Context, marks []store.Mark) (done int64, err error) {
	d.asked = append(d.asked, len(marks))
	if len(marks) > d.stores {
		return marks[d.stores-1].Position, errors.New("not acknowledged in time")
	}
	return marks[len(marks)-1].Position, nil
}

// TestRelayAsksLessOfASlowDisk: a batch that is too large for it is not asked for
// again and again.
func TestRelayAsksLessOfASlowDisk(t *testing.T) {
	clock := testkit.NewClock()
	db, disk := testkit.SQLite(t, clock.Now), &slowDisk{stores: 100}
	for range 600 {
		create(t, db, "mer_a")
	}
	r := bus.NewRelay(disk, db, "one")
	until(t, func() bool { _, _ = r.Step(t.Context(), clock.Add(time.Second)); return cursor(t, db) == 600 })
	if want := []int{512, 256, 128, 64, 80, 96, 60}; !slices.Equal(disk.asked, want) {
		t.Errorf("asked for %v, want %v", disk.asked, want)
	}
}
