package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/rialto-hub/rialto/compliance/rules"
)

// backtestCommand runs the rules over recorded transactions. The rows go to
// --out, or to standard output when it is missing; the table of recall follows
// there when labels are given.
func backtestCommand(e env, args []string) error {
	f := flags(e, "backtest")
	events := f.String("events", "", "recorded transactions, one JSON object a line")
	catalogue := f.String("rules", "", "rule catalogue to try instead of the one that ships")
	out := f.String("out", "", "where the rows go (TSV)")
	labels := f.String("labels", "", "TSV of tx_id, player, label: measure recall")
	profile := f.String("profile", rules.ProfileStream60D, "profile of the catalogue")
	asJSON := f.Bool("json", false, "print one JSON document instead of tables")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *events == "" {
		return usagef("--events is missing")
	}
	engine, err := backtestEngine(*catalogue, *profile)
	if err != nil {
		return err
	}
	b, err := backtestRun(e, engine, *events)
	if err != nil {
		return err
	}
	measured := rules.Measured{}
	if *labels != "" {
		if measured, err = backtestMeasure(b, *labels); err != nil {
			return err
		}
	}
	if *out != "" {
		if err := writeFile(*out, b.WriteTSV); err != nil {
			return err
		}
	}
	switch {
	case *asJSON:
		return backtestJSON(e.stdout, engine, b, measured, *labels != "")
	case *out == "":
		if err := b.WriteTSV(e.stdout); err != nil {
			return err
		}
	}
	table := e.stderr
	if *labels != "" {
		table = e.stdout
		if *out == "" {
			fmt.Fprintln(table)
		}
	}
	backtestTable(table, engine, b, measured, *labels != "")
	return nil
}

func backtestEngine(file, profile string) (*rules.Engine, error) {
	catalogue := rules.Shipped()
	if file != "" {
		in, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = in.Close() }() // only read
		if catalogue, err = rules.ParseCatalogue(in); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return catalogue.Compile(profile, nil)
}

func backtestRun(e env, engine *rules.Engine, file string) (*rules.Backtest, error) {
	facts, err := recordedFacts(e, engine, file)
	if err != nil {
		return nil, err
	}
	return engine.Run(facts)
}

// recordedFacts reads recorded transactions. Lines that are none are passed
// over, and it says how many and why.
func recordedFacts(e env, engine *rules.Engine, file string) ([]*rules.Fact, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }() // only read
	const shown = 3
	skipped := 0
	facts, err := engine.StreamPast(in, func(line int, why error) {
		if skipped++; skipped <= shown {
			fmt.Fprintf(e.stderr, "%s: line %d is skipped: %v\n", file, line, why)
		}
	})
	if skipped > shown {
		fmt.Fprintf(e.stderr, "%s: %d lines were skipped in all\n", file, skipped)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return facts, nil
}

func backtestMeasure(b *rules.Backtest, file string) (rules.Measured, error) {
	in, err := os.Open(file)
	if err != nil {
		return rules.Measured{}, err
	}
	defer func() { _ = in.Close() }() // only read
	list, err := rules.ReadLabels(in)
	if err != nil {
		return rules.Measured{}, fmt.Errorf("%s: %w", file, err)
	}
	m, err := b.Measure(list)
	if err != nil {
		return m, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

// writeFile writes a file and does not hide that it could not be closed.
func writeFile(path string, write func(io.Writer) error) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(out); err != nil {
		_ = out.Close() // the first error counts
		return err
	}
	return out.Close()
}

func backtestJSON(w io.Writer, engine *rules.Engine, b *rules.Backtest, m rules.Measured, labelled bool) error {
	doc := map[string]any{
		"profile": engine.Profile, "version": engine.Version, "transactions": len(b.Facts), "rows": b.Rows,
		"no_data": b.NoData, "merchant_hours": b.Hours,
	}
	if labelled {
		doc["measured"] = m
	}
	return json.NewEncoder(w).Encode(doc)
}

func backtestTable(w io.Writer, engine *rules.Engine, b *rules.Backtest, m rules.Measured, labelled bool) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if labelled {
		fmt.Fprintln(t, "label\trules\tplayers\tfound\trecall\tat once")
		for _, r := range m.Recall {
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%.3f\t%.3f\n", r.Label, strings.Join(r.Rules, ","), r.Players, r.Found, r.Share, float64(r.AtOnce)/float64(r.Players))
		}
		_ = t.Flush() // nowhere to complain to
		if m.Unmatched > 0 {
			fmt.Fprintf(w, "labels whose transaction is not in the stream: %d\n", m.Unmatched)
		}
		fmt.Fprintf(w, "players without a label: %d, alerted: %d (%.2f %%)\n", m.Normal, m.Alerted, 100*m.Share)
	}
	fmt.Fprintf(w, "%d transactions, %d rows, profile %s, rules %s\n", len(b.Facts), len(b.Rows), engine.Profile, engine.Version)
	for _, h := range b.Hours {
		fmt.Fprintf(w, "merchant %s, hour of %s: %s %s (%s)\n", h.Merchant, h.Hour.Format("2006-01-02 15:04"), h.Rule, h.Action, h.Severity)
	}
	for _, id := range slices.Sorted(maps.Keys(b.NoData)) {
		var missing []string
		for _, name := range slices.Sorted(maps.Keys(b.NoData[id])) {
			missing = append(missing, fmt.Sprintf("%s (%d transactions)", name, b.NoData[id][name]))
		}
		fmt.Fprintf(w, "no data for %s: %s\n", id, strings.Join(missing, ", "))
	}
}
