package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/rialto-hub/rialto/cmd/rialto/bench"
	"github.com/rialto-hub/rialto/psd2/store"
)

// benchRules measures what judging one transaction by all rules costs. It is a
// finding when that is more than 50 µs in memory or 2 ms at the gate.
func benchRules(e env, args []string) error {
	f := flags(e, "bench rules")
	asJSON := f.Bool("json", false, "print one JSON document")
	transactions := f.Int("transactions", 20_000, "how many are judged in memory; the database gets a tenth")
	players := f.Int("players", 500, "who make them")
	seed := f.Uint64("seed", 1, "of the invented transactions")
	url := f.String("database-url", "", "postgres://… instead of SQLite")
	keyFile := f.String("key-file", "", "the deployment key, with --database-url")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *transactions < 1 || *players < 1 {
		return usagef("--transactions and --players must be at least 1")
	}
	dir, err := os.MkdirTemp("", "rialto-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover in the temporary folder harms nobody
	o := bench.RulesOptions{Database: store.Config{URL: "sqlite:" + dir + "/rialto.db"}, Transactions: *transactions, Players: *players, Seed: *seed}
	if *url != "" {
		o.Database = store.Config{URL: *url, KeyFile: *keyFile}
		if *keyFile == "" {
			o.Database.KeyFile = dir + "/deployment.key"
		}
	}
	r, err := bench.Rules(e.ctx, o)
	if err != nil {
		return err
	}
	if *asJSON {
		if err := json.NewEncoder(e.stdout).Encode(r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(e.stdout, "%d rules, %d transactions of %d players (seed %d)\nin memory %.1f µs, p99 %.1f µs\nat the gate p50 %.2f ms, p99 %.2f ms; consumer %.0f/s\n",
			r.Rules, r.Transactions, r.Players, r.Seed, r.MemoryMeanUS, r.MemoryP99US, r.GateP50MS, r.GateP99MS, r.ConsumerPerS)
	}
	if r.Over != "" {
		fmt.Fprintln(e.stderr, "over the bound:", r.Over)
		return errFinding
	}
	return nil
}
