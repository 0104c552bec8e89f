package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/bench"
	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
)

// benchWebhooks is "rialto bench webhooks": it exits 1 when healthy endpoints
// suffer more than twofold from poisoned ones.
func benchWebhooks(e env, args []string) error {
	f := flags(e, "bench webhooks")
	asJSON := f.Bool("json", false, "print one JSON document")
	runs := f.Int("runs", 5, "interleaved runs, of which the median is reported")
	seconds := f.Int("seconds", 3, "of each measurement at the rate")
	rate := f.Int("rate", 500, "events a second")
	events := f.Int("events", 12000, "of each measurement flat out")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *runs < 1 || *seconds < 1 || *rate < 1 || *events < 100 {
		return usagef("--runs, --seconds and --rate must be at least 1, --events 100")
	}
	dir, err := os.MkdirTemp("", "rialto-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover in the temporary folder harms nobody
	o := bench.WebhookOptions{Dir: dir, Runs: *runs, Paced: time.Duration(*seconds) * time.Second, Rate: *rate, Flat: *events}
	if terminal(os.Stderr) {
		o.Progress = func(done, of int) { fmt.Fprintf(e.stderr, "\rrun %d of %d", done, of) }
		defer fmt.Fprintln(e.stderr)
	}
	r, err := bench.Webhooks(e.ctx, o)
	if err != nil {
		return err
	}
	if *asJSON {
		if err := json.NewEncoder(e.stdout).Encode(r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(e.stdout, "flat out %.0f deliveries/s (bare commit, publish and POST: %.0f/s, ratio %.2f)\n", r.DeliveriesPS, r.FloorPS, r.Ratio)
		fmt.Fprintf(e.stdout, "at %d/s   p50 %.2f ms, p99 %.2f ms (bare: %.2f, %.2f)\n", r.RatePS, r.P50MS, r.P99MS, r.FloorP50MS, r.FloorP99MS)
		fmt.Fprintf(e.stdout, "poison    %+v\n1000      %+v\n", r.Poison, r.Thousand)
	}
	if r.Poison.HealthyP50MS > 2*r.Poison.BaselineP50MS {
		fmt.Fprintln(e.stderr, "healthy endpoints wait more than twice as long beside poisoned ones")
		return errFinding
	}
	return nil
}

// benchCreate is "rialto bench create".
func benchCreate(e env, args []string) error {
	f := flags(e, "bench create")
	asJSON := f.Bool("json", false, "print one JSON document")
	runs := f.Int("runs", 5, "runs, of which the median is reported")
	seconds := f.Int("seconds", 3, "of each run")
	clients := f.Int("clients", 64, "requests under way at once")
	url := f.String("database-url", "", "postgres://… instead of SQLite")
	keyFile := f.String("key-file", "", "the deployment key, with --database-url")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *runs < 1 || *seconds < 1 || *clients < 1 {
		return usagef("--runs, --seconds and --clients must be at least 1")
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
	r, err := bench.Create(e.ctx, bench.CreateOptions{
		Fleet: fleet.Options{Dir: dir, Program: program, DatabaseURL: *url, KeyFile: *keyFile},
		Runs:  *runs, For: time.Duration(*seconds) * time.Second, Clients: *clients,
	})
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(e.stdout).Encode(r)
	}
	fmt.Fprintf(e.stdout, "%s, %d at once: %.0f creates/s, p50 %.1f ms, p99 %.1f ms (floor %.0f/s, ratio %.2f)\n", r.Database, r.Clients, r.CreatesPS, r.P50MS, r.P99MS, r.FloorPS, r.Ratio)
	return nil
}
