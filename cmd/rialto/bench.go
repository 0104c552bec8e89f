package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/rialto-hub/rialto/cmd/rialto/bench"
	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
)

func benchCommand(e env, args []string) error {
	if len(args) == 0 {
		return usagef("which benchmark? lifecycle, rules or screening")
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
	}
	return usagef("there is no benchmark %q", args[0])
}

func benchLifecycle(e env, args []string) error {
	f := flags(e, "bench lifecycle")
	asJSON := f.Bool("json", false, "print one JSON document")
	deposits := f.Int("deposits", 4000, "how many are measured")
	warmup := f.Int("warmup", 400, "how many come first, unmeasured")
	clients := f.Int("clients", 24, "payers at once")
	url := f.String("database-url", "", "postgres://… instead of SQLite")
	keyFile := f.String("key-file", "", "the deployment key, with --database-url")
	monitored := f.Bool("compliance", false, "with the gate and the monitor, which judge every deposit")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *deposits < 1 || *warmup < 0 || *clients < 1 {
		return usagef("--deposits and --clients must be at least 1")
	}
	dir, err := os.MkdirTemp("", "rialto-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover in the temporary folder harms nobody
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if *url != "" && *keyFile == "" {
		*keyFile = dir + "/deployment.key"
	}
	o := bench.Options{
		Fleet: fleet.Options{Dir: dir, Program: program, DatabaseURL: *url, KeyFile: *keyFile,
			Hub: map[string]any{"compliance": map[string]any{"disabled": !*monitored}}},
		Deposits: *deposits, Warmup: *warmup, Clients: *clients,
	}
	if terminal(os.Stderr) {
		o.Progress = func(done, of int) {
			if done%100 == 0 {
				fmt.Fprintf(e.stderr, "\r%d of %d deposits", done, of)
			}
		}
		defer fmt.Fprintln(e.stderr)
	}
	r, err := bench.Lifecycle(e.ctx, o)
	if err != nil {
		return err
	}
	if *asJSON {
		if err := json.NewEncoder(e.stdout).Encode(r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(e.stdout, "%s, %d deposits, %d payers at once\n%.1f deposits/s, p50 %.1f ms, p99 %.1f ms\n", r.Database, r.Deposits, r.Clients, r.ThroughputPS, r.P50MS, r.P99MS)
		fmt.Fprintf(e.stdout, "each cost   %+v\nbudget      %+v\nbare per s  %+v\nfloor %.1f/s, ratio %.3f\nCPU ms each %+v\n", r.PerDeposit, r.Budget, r.Bare, r.FloorPS, r.Ratio, r.CPUPerDeposit)
	}
	if r.OverBudget != "" {
		fmt.Fprintln(e.stderr, "over budget:", r.OverBudget)
		return errFinding
	}
	return nil
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
