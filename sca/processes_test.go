package sca_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/sca"
)

// racer is what a process of the race is told.
type racer struct {
	Database   store.Config
	At         time.Time // the clock, which stands still
	Code       string
	Challenges []string
}

// raceFile names the environment variable with a racer's file: it makes this
// test binary one of the race's processes.
const raceFile = "RIALTO_TEST_RACER"

// result is what it did.
type result struct{ Codes, Uses int64 }

// TestOneOfFiftyWinsOverTwoProcesses: fifty parallel uses of one code, and of one
// thing that may be used once, half of them in each of two processes that share
// nothing but the database. A03.
func TestOneOfFiftyWinsOverTwoProcesses(t *testing.T) {
	if file := os.Getenv(raceFile); file != "" {
		race1(t, file)
		return
	}
	for name, config := range map[string]func() store.Config{
		"sqlite":   func() store.Config { return store.Config{URL: "sqlite:" + t.TempDir() + "/rialto.db"} },
		"postgres": func() store.Config { return testkit.PostgresConfig(t) },
	} {
		t.Run(name, func(t *testing.T) {
			clock, c := testkit.NewClock(), config()
			w := newWorld(t, testkit.Open(t, c, clock.Now), clock)
			a := w.withTOTP()
			var runners [2]*runner
			for i := range runners {
				r := racer{Database: c, Code: a.code()}
				for n := range 25 {
					r.Challenges = append(r.Challenges, w.begin(fmt.Sprintf("pay_%d_%d", i, n), sca.Any).ID)
				}
				r.At = clock.Now()
				runners[i] = startRunner(t, r)
			}
			for _, r := range runners {
				r.ready(t)
			}
			var sum result
			for _, r := range runners { // they wait for a line, so both run at once
				if _, err := io.WriteString(r.in, "go\n"); err != nil {
					t.Fatal(err)
				}
			}
			for _, r := range runners {
				one := r.done(t)
				sum.Codes, sum.Uses = sum.Codes+one.Codes, sum.Uses+one.Uses
			}
			if sum != (result{1, 1}) {
				t.Errorf("of fifty parallel uses in two processes succeeded: %+v", sum)
			}
		})
	}
}

// runner is one of the processes.
type runner struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startRunner(t *testing.T, r racer) *runner {
	t.Helper()
	file := t.TempDir() + "/racer.json"
	b, err := json.Marshal(r)
	must(t, err)
	must(t, os.WriteFile(file, b, 0o600))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOneOfFiftyWinsOverTwoProcesses$", "-test.count=1")
	cmd.Env, cmd.Stderr = append(os.Environ(), raceFile+"="+file), os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	return &runner{cmd, in, bufio.NewReader(out)}
}

// line is the rest of its next line that begins with a word.
func (r *runner) line(t *testing.T, word string) string {
	t.Helper()
	for {
		line, err := r.out.ReadString('\n')
		if rest, ok := strings.CutPrefix(line, word+" "); ok {
			return rest
		}
		if err != nil {
			t.Fatalf("a process ended before it said %q: %v", word, err)
		}
	}
}

func (r *runner) ready(t *testing.T) { t.Helper(); r.line(t, "racer-ready") }

func (r *runner) done(t *testing.T) (did result) {
	t.Helper()
	must(t, json.Unmarshal([]byte(r.line(t, "racer-did")), &did))
	_, err := io.Copy(io.Discard, r.out)
	must(t, err)
	must(t, r.cmd.Wait())
	return did
}

// race1 is the race in one process.
func race1(t *testing.T, file string) {
	b, err := os.ReadFile(file)
	must(t, err)
	var r racer
	must(t, json.Unmarshal(b, &r))
	now := func() time.Time { return r.At }
	db := testkit.Open(t, r.Database, now)
	s, err := sca.New(sca.Config{Origin: origin}, sca.Deps{Store: db, Now: now})
	must(t, err)
	fmt.Println("racer-ready .")
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	must(t, err)
	var codes, uses atomic.Int64
	race(r.Challenges, func(_ int, id string) {
		if _, err := s.Answer(t.Context(), id, sca.Answer{Session: browser, Method: sca.TOTP, Code: r.Code}); err == nil {
			codes.Add(1)
		}
		first := false
		err := db.Tx(t.Context(), func(tx *store.Tx) (err error) { // may be run again
			first, err = tx.Consume("sca.race", "the one", tx.Now.Add(time.Hour))
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if err == nil && first {
			uses.Add(1)
		}
	})
	did, err := json.Marshal(result{codes.Load(), uses.Load()})
	must(t, err)
	fmt.Printf("racer-did %s\n", did)
}
