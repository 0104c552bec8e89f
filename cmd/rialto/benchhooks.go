package main

import (
	"fmt"
	"io"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/bench"
)

// benchWebhooks is "rialto bench webhooks": it exits 1 when healthy endpoints,
// of ten or of a thousand, suffer from poisoned ones.
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
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	show, end := progress(e, "run %d of %d", 1)
	defer end()
	r, err := bench.Webhooks(e.ctx, bench.WebhookOptions{
		Dir: dir, Runs: *runs, Paced: time.Duration(*seconds) * time.Second, Rate: *rate, Flat: *events, Poison: bench.Slow, Progress: show,
	})
	if err != nil {
		return err
	}
	err = tell(e, *asJSON, r, func(w io.Writer) {
		fmt.Fprintf(w, "flat out %.0f deliveries/s (bare commit, publish and POST: %.0f/s, ratio %.2f)\n", r.DeliveriesPS, r.FloorPS, r.Ratio)
		fmt.Fprintf(w, "at %d/s   p50 %.2f ms, p99 %.2f ms (bare: %.2f, %.2f)\n", r.RatePS, r.P50MS, r.P99MS, r.FloorP50MS, r.FloorP99MS)
		fmt.Fprintf(w, "poison    %+v\n1000      %+v\n", r.Poison, r.Thousand)
	})
	if err != nil {
		return err
	}
	if r.Poison.Suffers() || r.Thousand.Poison.Suffers() {
		fmt.Fprintln(e.stderr, "healthy endpoints wait longer beside poisoned ones: more than twice as long (p50), or ten times (p99)")
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
	// Twice as many as share a commit: one group gathers while another lands on the disk.
	clients := f.Int("clients", 256, "requests under way at once")
	monitored := f.Bool("compliance", false, "with the monitor, which remembers every deposit")
	db := databaseFlags(f)
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *runs < 1 || *seconds < 1 || *clients < 1 {
		return usagef("--runs, --seconds and --clients must be at least 1")
	}
	hub, remove, err := db.fleet()
	if err != nil {
		return err
	}
	defer remove()
	hub.Hub = map[string]any{"compliance": map[string]any{"disabled": !*monitored}}
	r, err := bench.Create(e.ctx, bench.CreateOptions{
		Fleet: hub, Runs: *runs, For: time.Duration(*seconds) * time.Second, Clients: *clients, Compliance: *monitored,
	})
	if err != nil {
		return err
	}
	return tell(e, *asJSON, r, func(w io.Writer) {
		fmt.Fprintf(w, "%s, %d at once: %.0f creates/s, p50 %.1f ms, p99 %.1f ms (floor %.0f/s, ratio %.2f)\n", r.Database, r.Clients, r.CreatesPS, r.P50MS, r.P99MS, r.FloorPS, r.Ratio)
	})
}
