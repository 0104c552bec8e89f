package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/rialto-hub/rialto/cmd/rialto/bench"
	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
	"github.com/rialto-hub/rialto/psd2/store"
)

func benchCommand(e env, args []string) error {
	if len(args) == 0 {
		return usagef("which benchmark? lifecycle, create, webhooks, rules, refusals or screening")
	}
	switch args[0] {
	case "lifecycle":
		return benchLifecycle(e, args[1:])
	case "rules":
		return benchRules(e, args[1:])
	case "webhooks":
		return benchWebhooks(e, args[1:])
	case "create":
		return benchCreate(e, args[1:])
	case "screening":
		return benchScreening(e, args[1:])
	case "refusals":
		return benchRefusals(e, args[1:])
	}
	return usagef("there is no benchmark %q", args[0])
}

func benchLifecycle(e env, args []string) error {
	f := flags(e, "bench lifecycle")
	asJSON := f.Bool("json", false, "print one JSON document")
	deposits := f.Int("deposits", 4000, "how many are measured")
	warmup := f.Int("warmup", 400, "how many come first, unmeasured")
	clients := f.Int("clients", 24, "payers at once")
	db := databaseFlags(f)
	monitored := f.Bool("compliance", false, "with the gate and the monitor, which judge every deposit")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *deposits < 1 || *warmup < 0 || *clients < 1 {
		return usagef("--deposits and --clients must be at least 1")
	}
	hub, remove, err := db.fleet()
	if err != nil {
		return err
	}
	defer remove()
	hub.Hub = map[string]any{"compliance": map[string]any{"disabled": !*monitored}}
	show, end := progress(e, "%d of %d deposits", 100)
	defer end()
	r, err := bench.Lifecycle(e.ctx, bench.Options{Fleet: hub, Deposits: *deposits, Warmup: *warmup, Clients: *clients, Progress: show})
	if err != nil {
		return err
	}
	err = tell(e, *asJSON, r, func(w io.Writer) {
		fmt.Fprintf(w, "%s, %d deposits, %d payers at once\n%.1f deposits/s, p50 %.1f ms, p99 %.1f ms\n", r.Database, r.Deposits, r.Clients, r.ThroughputPS, r.P50MS, r.P99MS)
		fmt.Fprintf(w, "each cost   %+v\nbudget      %+v\nbare per s  %+v\nfloor %.1f/s, ratio %.3f\nCPU ms each %+v\n", r.PerDeposit, r.Budget, r.Bare, r.FloorPS, r.Ratio, r.CPUPerDeposit)
	})
	if err != nil {
		return err
	}
	if r.OverBudget != "" {
		fmt.Fprintln(e.stderr, "over budget:", r.OverBudget)
		return errFinding
	}
	return nil
}

// benchDatabase says where a benchmark keeps its data: in SQLite, or in the
// PostgreSQL that two flags name.
type benchDatabase struct{ url, keyFile *string }

func databaseFlags(f *flag.FlagSet) benchDatabase {
	return benchDatabase{
		url:     f.String("database-url", "", "postgres://… instead of SQLite"),
		keyFile: f.String("key-file", "", "the deployment key, with --database-url"),
	}
}

// key is the file of the deployment key: a new one in dir unless told.
func (d benchDatabase) key(dir string) string {
	if *d.url != "" && *d.keyFile == "" {
		return filepath.Join(dir, "deployment.key")
	}
	return *d.keyFile
}

// store is the database for one process alone.
func (d benchDatabase) store(dir string) store.Config {
	if *d.url == "" {
		return store.Config{URL: "sqlite:" + filepath.Join(dir, "rialto.db")}
	}
	return store.Config{URL: *d.url, KeyFile: d.key(dir)}
}

// fleet is a hub that runs this very program on that database, in a folder of its
// own.
func (d benchDatabase) fleet() (o fleet.Options, remove func(), err error) {
	program, err := os.Executable()
	if err != nil {
		return o, nil, err
	}
	dir, remove, err := scratch()
	return fleet.Options{Dir: dir, Program: program, DatabaseURL: *d.url, KeyFile: d.key(dir)}, remove, err
}

// scratch makes the folder that a benchmark works in.
func scratch() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "rialto-bench")
	return dir, func() { _ = os.RemoveAll(dir) }, err // a leftover in the temporary folder harms nobody
}

// progress tells a person at a terminal how far a long command has come, every
// so many steps; format takes the steps done and all of them. Elsewhere show is nil.
func progress(e env, format string, every int) (show func(done, of int), end func()) {
	if !terminal(os.Stderr) {
		return nil, func() {}
	}
	show = func(done, of int) {
		if done%every == 0 {
			fmt.Fprintf(e.stderr, "\r"+format, done, of)
		}
	}
	return show, func() { fmt.Fprintln(e.stderr) }
}

// tell prints a result as one JSON document or in words.
func tell(e env, asJSON bool, result any, words func(w io.Writer)) error {
	if asJSON {
		return json.NewEncoder(e.stdout).Encode(result)
	}
	words(e.stdout)
	return nil
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
