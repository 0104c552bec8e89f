package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// serveNATS makes the test binary a NATS server: its arguments are a directory
// and an address. It ends with its standard input.
func serveNATS(dir, address string) int {
	s, err := bus.StartServer(bus.ServerConfig{Dir: dir, Listen: address}, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // until whoever started us is gone
	s.Close()
	return 0
}

// natsProcess is a NATS server in a process of its own.
type natsProcess struct {
	t       *testing.T
	dir     string
	address string
	cmd     *exec.Cmd
}

// start reports whether the server took its directory as it found it.
func (n *natsProcess) start(ctx context.Context) bool {
	n.t.Helper()
	path, env := program(n.t)
	n.cmd = exec.CommandContext(ctx, path, n.dir, n.address)
	n.cmd.Env = append(append(os.Environ(), env...), "RIALTO_BE_RIALTO=nats")
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := n.cmd.StdoutPipe()
	if err == nil {
		_, err = n.cmd.StdinPipe()
	}
	if err == nil {
		err = n.cmd.Start()
	}
	if err != nil {
		n.t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if line == "ready\n" {
		return true
	}
	n.kill()
	return false
}

// kill is kill -9.
func (n *natsProcess) kill() {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill() // it may be dead already
		_ = n.cmd.Wait()         // it was killed
		n.cmd = nil
	}
}

// damage flips bits in one of the server's files, or cuts it short, as a bad
// disk does. It reports whether there was one.
func (n *natsProcess) damage(random *rand.Rand) bool {
	var blocks, others []string
	_ = filepath.WalkDir(n.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what is not there cannot be damaged
		}
		if info, err := d.Info(); err != nil || info.Size() == 0 {
			return nil
		}
		if strings.HasSuffix(path, ".blk") {
			blocks = append(blocks, path)
		} else {
			others = append(others, path)
		}
		return nil
	})
	list := blocks
	if len(list) == 0 || random.IntN(4) == 0 {
		list = append(list, others...)
	}
	if len(list) == 0 {
		return false
	}
	path := list[random.IntN(len(list))]
	data, err := os.ReadFile(path)
	if err != nil {
		n.t.Fatal(err)
	}
	if random.IntN(4) == 0 {
		data = data[:random.IntN(len(data))]
	} else {
		for range 1 + random.IntN(8) {
			data[random.IntN(len(data))] ^= 1 << random.IntN(8)
		}
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		n.t.Fatal(err)
	}
	return true
}

func (n *natsProcess) wipe() {
	if err := os.RemoveAll(n.dir); err != nil {
		n.t.Fatal(err)
	}
}

// C42. TestKilledNATSLosesNothing kills a NATS server under load, again and again;
// in one of six its store is gone when it comes back, in one of four it is
// damaged. Afterwards bank, hub and merchant agree, and the stream is
// on the journal's heels again.
func TestKilledNATSLosesNothing(t *testing.T) {
	onBothDatabases(t, "nats", killNATS)
}

func killNATS(ctx context.Context, t *testing.T, o fleet.Options, v verdict, random *rand.Rand) {
	n := &natsProcess{t: t, dir: filepath.Join(t.TempDir(), "jetstream"), address: testkit.FreeAddress(t)}
	if !n.start(ctx) {
		t.Fatal("NATS did not start")
	}
	t.Cleanup(n.kill)
	o.Hub = map[string]any{"nats": map[string]any{"url": "nats://" + n.address}}
	o = impatient(t, o)
	f, end := startFleet(ctx, t, o)
	defer end()
	k := newKillers(t, f)
	k.payers(ctx, 4)
	began := time.Now()
	for range v.Kills {
		// The hub needs up to half a second to come back: some kills meet it before, some after.
		after := time.NewTimer(time.Duration(20+random.IntN(900)) * time.Millisecond)
		<-after.C // the moment of the kill is the test's input
		n.kill()
		switch random.IntN(12) {
		case 0, 1:
			n.wipe()
			v.Wiped++
		case 2, 3, 4:
			if n.damage(random) {
				v.Flipped++
			}
		}
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
		if !n.start(ctx) { // what an operator does then
			v.Refused++
			n.wipe()
			if !n.start(ctx) {
				t.Fatal("NATS does not start with an empty directory")
			}
		}
	}
	v.Seconds = time.Since(began).Seconds()
	k.conclude(ctx, v)
	relayed(ctx, t, filepath.Join(o.Dir, "hub.yaml"))
}

// relayed waits until JetStream has acknowledged word of everything in the
// journal.
func relayed(ctx context.Context, t *testing.T, config string) {
	t.Helper()
	db := storeOf(ctx, t, config)
	followed(ctx, t, db, "relay")
}

// storeOf opens a hub's database beside it.
func storeOf(ctx context.Context, t *testing.T, config string) *store.DB {
	t.Helper()
	cfg, err := configs.Load(config)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(ctx, cfg.Database, storeOptions(cfg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // read only
	return db
}

// followed waits until whoever has this cursor has taken in the whole journal.
func followed(ctx context.Context, t *testing.T, db *store.DB, cursor string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, comesToItsEnd)
	defer cancel()
	for {
		var done int64
		last, err := db.LastPosition(ctx)
		if err == nil {
			err = db.Tx(ctx, func(tx *store.Tx) error { done, err = tx.Cursor(cursor); return err })
		}
		if err == nil && done == last && last > 0 {
			return
		}
		if pausing(ctx); ctx.Err() != nil {
			t.Fatalf("%s stands at %d of %d: %v", cursor, done, last, err)
		}
	}
}
