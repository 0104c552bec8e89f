package main

import (
	"fmt"
	"io"

	"github.com/rialto-hub/rialto/psd2/sim"
)

// simCommand is "rialto sim": it lives made-up worlds and exits 1 when the hub
// broke a promise in one of them. With --json the report holds the failing
// seeds and the first one's trace; else the trace goes to standard error.
func simCommand(e env, args []string) error {
	f := flags(e, "sim")
	seeds := f.Int("seeds", 100, "how many worlds")
	first := f.Uint64("seed", 1, "of the first world; the others follow it")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *seeds < 1 {
		return usagef("--seeds must be at least 1")
	}
	show, end := progress(e, "world %d of %d", 1)
	defer end()
	r, err := sim.Run(e.ctx, sim.Options{First: *first, Seeds: *seeds, Progress: show})
	if err != nil {
		return err
	}
	err = tell(e, *asJSON, r, func(w io.Writer) {
		fmt.Fprintf(w, "%d worlds: %d orders doubled, %d wrong ends, %d events lost, %d left undecided\n",
			r.Seeds, r.DoubleSubmissions, r.WrongFinal, r.LostEvents, r.Stuck)
		for i, x := range r.Failures {
			if i == 0 {
				for _, line := range x.Trace {
					fmt.Fprintln(e.stderr, line)
				}
			}
			fmt.Fprintf(w, "seed %d\n", x.Seed)
			for _, what := range x.Findings {
				fmt.Fprintln(w, "  "+what)
			}
		}
	})
	if err != nil {
		return err
	}
	if !r.OK() {
		return errFinding
	}
	return nil
}
