package main

import (
	"fmt"
	"io"
	"os"

	"github.com/rialto-hub/rialto/compliance/names"
)

// screenCommand compares names with sanctions lists, or with each other. What
// it finds is its output; it exits 1 only when it could not look.
func screenCommand(e env, args []string) error {
	f := flags(e, "screen")
	lists := f.String("lists", "", "folder with the lists (OFAC CSV, UN XML, plain CSV)")
	file := f.String("names", "", "TSV with the names")
	column := f.String("column", "", "number (from 1) or title of the column with the names")
	pairs := f.String("pairs", "", "CSV with the columns schema, name1, name2: score each pair")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if (*pairs == "") == (*lists == "" || *file == "") {
		return usagef("either --lists and --names, or --pairs")
	}
	path := *pairs
	if path == "" {
		path = *file
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // only read
	if *pairs != "" {
		tally, err := names.RunPairs(e.stdout, in)
		if err == nil {
			fmt.Fprintf(e.stderr, "%d pairs, %d at or above the threshold of %.2f\n", tally.Rows, tally.Findings, names.PairThreshold)
		}
		return err
	}
	list, err := names.LoadDir(*lists)
	if err != nil {
		return err
	}
	for _, name := range list.Ignored {
		fmt.Fprintln(e.stderr, "not a list, ignored:", name)
	}
	tally, err := names.RunScreen(e.stdout, in, names.NewIndex(list), names.RunOptions{Column: *column})
	if err == nil {
		fmt.Fprintf(e.stderr, "%d names, %d at or above the threshold of %.2f\n", tally.Rows, tally.Findings, names.ScreenThreshold)
	}
	if err == nil && tally.Nameless > 0 {
		fmt.Fprintf(e.stderr, "%d of them had no name to look for\n", tally.Nameless)
	}
	return err
}

func benchScreening(e env, args []string) error {
	f := flags(e, "bench screening")
	lists := f.String("lists", "", "folder with the lists (default: 10,000 invented entries)")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	list := names.Synthetic(10_000, 1)
	if *lists != "" {
		var err error
		if list, err = names.LoadDir(*lists); err != nil {
			return err
		}
	}
	r := names.Bench(e.ctx, names.NewIndex(list), names.BenchOptions{})
	return tell(e, *asJSON, r, func(w io.Writer) {
		fmt.Fprintf(w, "%d entries, %d names: %.0f queries/s, p50 %.2f ms, p99 %.2f ms\n", r.Entries, r.Names, r.QueriesPerSecond, r.P50Ms, r.P99Ms)
	})
}
