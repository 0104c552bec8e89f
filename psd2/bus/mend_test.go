package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

const (
	written = 200 // events in the stream before it is damaged
	portion = 25  // of them that any disk stores in the time of a batch
)

// stored is a hub's directory as it was when the process ended: a stream whose
// every message was acknowledged, a consumer, and a board.
func stored(t *testing.T, db *store.DB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	b := open(t, bus.Config{Dir: dir}, nil)
	f, r := b.Follow("test"), b.Relay(db, "one")
	if err := f.Attach(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := b.Board("banks", time.Hour).Put(t.Context(), "one", []byte("open")); err != nil {
		t.Fatal(err)
	}
	for range written / portion {
		for range portion {
			create(t, db, "mer_a")
		}
		relay(t, r, time.Now())
	}
	until(t, func() bool { relay(t, r, time.Now()); return cursor(t, db) == written })
	await(t, f, written)
	f.Ack(written)
	f.Close()
	b.Close()
	return dir
}

// counted is what the bus counts under a name.
func counted(t *testing.T, r *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "rialto_bus_"+name {
			sum += f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return sum
}

// wreck is one way to damage a file.
type wreck func(data []byte, random *rand.Rand) []byte

var wrecks = map[string]wreck{
	"flipped": func(data []byte, random *rand.Rand) []byte {
		for range 8 {
			data[random.IntN(len(data))] ^= 1 << random.IntN(8)
		}
		return data
	},
	"cut":   func(data []byte, random *rand.Rand) []byte { return data[:random.IntN(len(data))] },
	"empty": func([]byte, *rand.Rand) []byte { return nil },
	"garbage": func(data []byte, random *rand.Rand) []byte {
		for i := range data {
			data[i] = byte(random.IntN(256))
		}
		return data
	},
}

// TestDamagedFilesAreMendedAtTheStart: whichever of the server's files is
// damaged, and however, the hub starts, and the stream holds every event again,
// in order; what is new gets through.
func TestDamagedFilesAreMendedAtTheStart(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	db := testkit.SQLite(t, nil)
	good := stored(t, db)
	if len(files(t, good)) < 6 {
		t.Fatalf("the server keeps %v", files(t, good))
	}
	for _, name := range files(t, good) {
		for _, kind := range slices.Sorted(maps.Keys(wrecks)) {
			rounds := 1
			switch {
			case strings.Contains(name, "KV_banks") && kind != "flipped":
				rounds = 0
			case kind == "flipped" && strings.HasSuffix(name, ".blk"):
				rounds = 8 // of some bits a server would never come to an end
			}
			for round := range rounds {
				t.Run(fmt.Sprint(kind, " ", strings.ReplaceAll(name, "/", "."), " ", round), func(t *testing.T) {
					random := rand.New(rand.NewPCG(seed, uint64(round)))
					dir := t.TempDir()
					if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
						t.Fatal(err)
					}
					path := filepath.Join(dir, name)
					data, err := os.ReadFile(path)
					if err != nil || len(data) == 0 {
						t.Fatalf("%d bytes, %v", len(data), err)
					}
					if err := os.WriteFile(path, wrecks[kind](data, random), 0o600); err != nil {
						t.Fatal(err)
					}
					mended(t, db, dir)
				})
			}
		}
	}
}

// mended starts a hub on a directory and waits until everything is as if nothing
// had happened.
func mended(t *testing.T, db *store.DB, dir string) *prometheus.Registry {
	t.Helper()
	metrics := prometheus.NewRegistry()
	b, err := bus.Open(t.Context(), bus.Config{Dir: dir}, bus.Options{Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r, f := b.Relay(db, "one"), b.Follow("test")
	defer f.Close()
	create(t, db, "mer_a")
	last, err := db.LastPosition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		_ = f.Attach(t.Context(), time.Now()) // the stream changes under it
		_, _ = r.Step(t.Context(), time.Now())
		return cursor(t, db) == last
	})
	if got := b.Positions(t.Context()); int64(len(got)) != last || !slices.IsSorted(got) || got[0] != 1 {
		t.Fatalf("the stream holds %d of %d events: %v", len(got), last, got)
	}
	until(t, func() bool {
		_ = f.Attach(t.Context(), time.Now())
		create(t, db, "mer_a")
		relay(t, r, time.Now())
		return f.Seen() > last
	})
	until(t, func() bool {
		relay(t, r, time.Now())
		n, err := db.LastPosition(t.Context())
		return err == nil && cursor(t, db) == n
	})
	return metrics
}

// files lists the files of a server.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, strings.TrimPrefix(path, dir+string(filepath.Separator)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestUnusableStreamsAreMovedAsideAndKept: the server has no use for the
// directory at all, or not for the stream in it.
func TestUnusableStreamsAreMovedAsideAndKept(t *testing.T) {
	for name, where := range map[string]string{"of the server": "jetstream", "of the account": "jetstream/$G", "of the stream": "jetstream/$G/streams/EVENTS"} {
		t.Run(name, func(t *testing.T) {
			db := testkit.SQLite(t, nil)
			dir := stored(t, db)
			if err := os.RemoveAll(filepath.Join(dir, where)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, where), []byte("no directory"), 0o600); err != nil {
				t.Fatal(err)
			}
			metrics := mended(t, db, dir)
			kept, err := filepath.Glob(filepath.Join(dir, "damaged-*"))
			if err != nil || len(kept) != 1 || counted(t, metrics, "stores_set_aside_total") != 1 || counted(t, metrics, "streams_mended_total") != 1 {
				t.Errorf("kept %v; %v and %v counted; %v", kept, counted(t, metrics, "stores_set_aside_total"), counted(t, metrics, "streams_mended_total"), err)
			}
			again := mended(t, db, dir)
			if n := counted(t, again, "stores_set_aside_total") + counted(t, again, "streams_mended_total"); n != 0 {
				t.Errorf("mended %v times more", n)
			}
		})
	}
}

// TestLargeStreamsMayTakeTheirTimeToStart: what was not read in time is moved
// aside, and 50 GB of sound blocks are not read in half a minute.
func TestLargeStreamsMayTakeTheirTimeToStart(t *testing.T) {
	dir := t.TempDir()
	if got := bus.StartWithin(dir); got != 30*time.Second {
		t.Errorf("without streams it may take %s", got)
	}
	blocks := filepath.Join(dir, "jetstream/$G/streams/EVENTS/msgs")
	if err := os.MkdirAll(blocks, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1.blk", "2.blk"} {
		if err := os.WriteFile(filepath.Join(blocks, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(blocks, name), 25<<30); err != nil {
			t.Skip("this disk keeps no sparse files: ", err)
		}
	}
	if got := bus.StartWithin(dir); got < 30*time.Minute {
		t.Errorf("with 50 GB it may take %s", got)
	}
}

// TestStreamsThatAreSetAsideDoNotFillTheDisk: where a disk damages them again and
// again, the last few are kept.
func TestStreamsThatAreSetAsideDoNotFillTheDisk(t *testing.T) {
	dir := t.TempDir()
	s, err := bus.StartServer(bus.ServerConfig{Dir: dir}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	for range 6 {
		if err := os.MkdirAll(filepath.Join(dir, "jetstream"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := s.SetAside(); err != nil {
			t.Fatal(err)
		}
		last, err := filepath.Glob(filepath.Join(dir, "damaged-*"))
		if err != nil || len(last) == 0 || len(last) > 3 {
			t.Fatalf("kept %v, %v", last, err)
		}
	}
}

// TestSilentServerHasLostNothing: that there was no time to look is no reason to
// make the stream anew.
func TestSilentServerHasLostNothing(t *testing.T) {
	db := testkit.SQLite(t, nil)
	b := open(t, bus.Config{Dir: stored(t, db)}, nil)
	if lost, err := b.Lost(t.Context(), db, written); lost != "" || err != nil {
		t.Fatal(lost, err)
	}
	for wait := 50 * time.Microsecond; ; wait += wait / 4 {
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		lost, err := b.Lost(ctx, db, written)
		cancel()
		if lost != "" {
			t.Fatalf("after %s it has lost %s", wait, lost)
		}
		if err == nil {
			return
		}
	}
}

// TestSoundStreamIsNotMadeAnew: also when it has let go of what was too old, or
// too much.
func TestSoundStreamIsNotMadeAnew(t *testing.T) {
	db := testkit.SQLite(t, nil)
	dir := stored(t, db)
	metrics := mended(t, db, dir)
	if n := counted(t, metrics, "stores_set_aside_total") + counted(t, metrics, "streams_mended_total"); n != 0 {
		t.Errorf("a sound one was mended %v times", n)
	}
	small := bus.Config{Dir: dir, KeepBytes: 64 << 10}
	for range 2 { // the first one shortens it
		unmended(t, db, small, nil)
	}
	if err := os.RemoveAll(filepath.Join(dir, "jetstream")); err != nil {
		t.Fatal(err)
	}
	unmended(t, db, bus.Config{Dir: dir}, func() time.Time { return time.Now().Add(100 * time.Hour) })
}

// unmended starts a hub that has nothing to mend.
func unmended(t *testing.T, db *store.DB, c bus.Config, now func() time.Time) {
	t.Helper()
	metrics := prometheus.NewRegistry()
	b, err := bus.Open(t.Context(), c, bus.Options{Metrics: metrics, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r := b.Relay(db, "one")
	create(t, db, "mer_a")
	until(t, func() bool {
		relay(t, r, time.Now())
		n, err := db.LastPosition(t.Context())
		return err == nil && cursor(t, db) == n
	})
	if n := counted(t, metrics, "streams_mended_total"); n != 0 {
		t.Error("a sound stream was mended")
	}
}

// TestExternalServersStreamIsNeverTouched: it lost everything, and what is new is
// published all the same.
func TestExternalServersStreamIsNeverTouched(t *testing.T) {
	db, dir := testkit.SQLite(t, nil), t.TempDir()
	server := startServer(t, dir, "127.0.0.1:0")
	b := open(t, bus.Config{URL: server.URL()}, nil)
	r := b.Relay(db, "one")
	create(t, db, "mer_a")
	until(t, func() bool { relay(t, r, time.Now()); return cursor(t, db) == 1 })
	b.DeleteStream(t)
	b.Close()
	metrics := prometheus.NewRegistry()
	again, err := bus.Open(t.Context(), bus.Config{URL: server.URL()}, bus.Options{Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	r = again.Relay(db, "one")
	create(t, db, "mer_a")
	until(t, func() bool { relay(t, r, time.Now()); return cursor(t, db) == 2 })
	if got := again.Positions(t.Context()); !slices.Equal(got, []int64{2}) || counted(t, metrics, "streams_mended_total") != 0 {
		t.Errorf("the stream holds %v; mended %v times", got, counted(t, metrics, "streams_mended_total"))
	}
}
