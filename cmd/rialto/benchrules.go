package main

import (
	"fmt"
	"io"

	"github.com/rialto-hub/rialto/cmd/rialto/bench"
)

// benchRules measures what judging one transaction by all rules costs. It is a
// finding when that is more than 50 µs in memory or 2 ms at the gate.
func benchRules(e env, args []string) error {
	f := flags(e, "bench rules")
	asJSON := f.Bool("json", false, "print one JSON document")
	transactions := f.Int("transactions", 20_000, "how many are judged in memory; the database gets a tenth")
	players := f.Int("players", 500, "who make them")
	seed := f.Uint64("seed", 1, "of the invented transactions")
	db := databaseFlags(f)
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *transactions < 1 || *players < 1 {
		return usagef("--transactions and --players must be at least 1")
	}
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	r, err := bench.Rules(e.ctx, bench.RulesOptions{Database: db.store(dir), Transactions: *transactions, Players: *players, Seed: *seed})
	if err != nil {
		return err
	}
	err = tell(e, *asJSON, r, func(w io.Writer) {
		fmt.Fprintf(w, "%d rules, %d transactions of %d players (seed %d)\nin memory %.1f µs, p99 %.1f µs\nat the gate p50 %.2f ms, p99 %.2f ms; consumer %.0f/s\n",
			r.Rules, r.Transactions, r.Players, r.Seed, r.MemoryMeanUS, r.MemoryP99US, r.GateP50MS, r.GateP99MS, r.ConsumerPerS)
	})
	if err != nil {
		return err
	}
	if r.Over != "" {
		fmt.Fprintln(e.stderr, "over the bound:", r.Over)
		return errFinding
	}
	return nil
}
