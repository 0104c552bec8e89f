package main

import (
	"fmt"
	"io"

	"github.com/rialto-hub/rialto/cmd/rialto/bench"
)

// benchRefusals is "rialto bench refusals": it exits 1 when the time of a
// refusal tells what refused.
func benchRefusals(e env, args []string) error {
	f := flags(e, "bench refusals")
	asJSON := f.Bool("json", false, "print one JSON document")
	each := f.Int("each", 200, "refusals of each kind")
	db := databaseFlags(f)
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *each < 10 {
		return usagef("--each must be at least 10")
	}
	hub, remove, err := db.fleet()
	if err != nil {
		return err
	}
	defer remove()
	show, end := progress(e, "%d of %d", 10)
	defer end()
	r, err := bench.Refusals(e.ctx, bench.RefusalOptions{Fleet: hub, Each: *each, Progress: show})
	if err != nil {
		return err
	}
	err = tell(e, *asJSON, r, func(w io.Writer) {
		for _, k := range r.Kinds {
			fmt.Fprintf(w, "%-16s p50 %.1f ms, p99 %.1f ms\n", k.Name, k.P50MS, k.P99MS)
		}
		fmt.Fprintf(w, "distance %.3f (chance stays under %.3f), latest %.0f ms\n", r.Distance, r.Bound, r.LatestMS)
	})
	if err != nil {
		return err
	}
	if r.Distance > r.Bound {
		fmt.Fprintln(e.stderr, "the time of a refusal tells what refused")
		return errFinding
	}
	return nil
}
