package store_test

import (
	"bufio"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// childEnv makes the test binary a process that commits until it is killed; it
// holds the database's path.
const childEnv = "RIALTO_STORE_TEST_CHILD"

// commitUntilKilled creates payments and takes them through their lives, from
// eight goroutines, and prints id and version of each commit once it was told
// of it.
func commitUntilKilled(path string) {
	db, err := store.Open(ctx, store.Config{URL: "sqlite:" + path}, store.Options{Now: time.Now, Random: rand.Reader})
	if err == nil {
		err = db.Migrate(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var mu sync.Mutex
	report := func(p *psd2.Payment) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(p.ID, p.Version, p.Sequence)
	}
	for n := range 8 {
		go func() {
			for i := 0; ; i++ {
				p := newPayment(db, "mer_a", fmt.Sprint("player ", n, i%3))
				err := tryCreate(db, p)
				for step := 0; err == nil; step++ {
					report(p)
					if step == 5 {
						break
					}
					p, err = db.UpdatePayment(ctx, p.ID, func(p *psd2.Payment) error { return advance(p, db.Now()) })
				}
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
			}
		}()
	}
	select {}
}

// TestKilledProcessLosesNothingItWasTold kills a writing process at random
// moments and finds everything again that it reported as committed.
func TestKilledProcessLosesNothingItWasTold(t *testing.T) {
	const kills = 6
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := mathrand.New(mathrand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "rialto.db")
	reported := map[string][2]int64{} // version and sequence by payment
	for range kills {
		n := runAndKill(t, path, 1+random.IntN(800), reported)
		if n == 0 {
			t.Fatal("nothing was committed before the kill")
		}
	}
	w := &world{kind: "sqlite", config: store.Config{URL: "sqlite:" + path}}
	db := w.open(t)
	for id, want := range reported {
		p, err := db.Payment(ctx, id)
		if err != nil {
			t.Fatalf("%s was reported and is lost: %v", id, err)
		}
		if p.Version < want[0] || p.Sequence < want[1] {
			t.Fatalf("%s is at version %d, event %d; reported were %v", id, p.Version, p.Sequence, want)
		}
		events, err := db.PaymentEvents(ctx, id)
		if err != nil || int64(len(events)) != p.Sequence {
			t.Fatalf("%s has %d events, not %d (%v)", id, len(events), p.Sequence, err)
		}
	}
	var check string
	if err := w.raw(t).QueryRow(`PRAGMA integrity_check`).Scan(&check); err != nil || check != "ok" {
		t.Fatalf("integrity %q, %v", check, err)
	}
	t.Logf("%d payments reported in %d lives", len(reported), kills)
}

// runAndKill runs the child until it has reported so many commits, kills it,
// and notes all that it said.
func runAndKill(t *testing.T, path string, commits int, reported map[string][2]int64) (n int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() { // to the end: what was in the pipe when it died had been reported too
		if n++; n == commits {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		var id string
		var at [2]int64
		if _, err := fmt.Sscan(lines.Text(), &id, &at[0], &at[1]); err != nil {
			continue // cut off
		}
		if at[0] > reported[id][0] {
			reported[id] = at
		}
	}
	_ = cmd.Wait() // it was killed
	if complaint.Len() > 0 {
		t.Fatalf("child: %s", complaint.String())
	}
	return n
}
