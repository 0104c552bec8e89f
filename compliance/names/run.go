package names

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// RunOptions says how RunScreen reads its input.
type RunOptions struct {
	Column    string  // number of the column with the names, from 1, or its title; empty: titled query or name, else the first
	Threshold float64 // from which a row counts as a finding; 0 takes ScreenThreshold
}

// Tally is what a run found.
type Tally struct {
	Rows     int // names screened, or pairs compared
	Findings int // of these, at or above the threshold
}

// headings are the titles by which the first line of a file with names is known to be a header.
var headings = set("query name names full_name fullname holder player customer payer payee")

const longestLine = 1 << 20

// RunScreen screens the names of a tab-separated file and writes one tab-separated line for each, in order, below the header
// "query score entry_id entry_name": the best entry whatever its score, and empty columns with score 0 when there is nothing like the
// name. A first line that holds titles is not a name and gets no line.
func RunScreen(w io.Writer, r io.Reader, x *Index, o RunOptions) (Tally, error) {
	if o.Threshold == 0 {
		o.Threshold = ScreenThreshold
	}
	var tally Tally
	out := bufio.NewWriter(w)
	fmt.Fprint(out, "query\tscore\tentry_id\tentry_name\n")
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 64<<10), longestLine)
	column := -1
	for in.Scan() {
		line := strings.TrimSuffix(in.Text(), "\r")
		if column < 0 {
			line = strings.TrimPrefix(line, "\ufeff")
			var header bool
			var err error
			if column, header, err = columnFor(o.Column, strings.Split(line, "\t")); err != nil {
				return tally, err
			}
			if header {
				continue
			}
		}
		name := ""
		if cells := strings.Split(line, "\t"); column < len(cells) {
			name = cells[column]
		}
		tally.Rows++
		if hits := x.Screen(Query{Name: name}, 1); len(hits) > 0 {
			h := hits[0]
			fmt.Fprintf(out, "%s\t%.6f\t%s\t%s\n", name, h.Score, cell(h.EntryID), cell(h.EntryName))
			if h.Score >= o.Threshold {
				tally.Findings++
			}
			continue
		}
		fmt.Fprintf(out, "%s\t%.6f\t\t\n", name, 0.0)
	}
	if err := in.Err(); err != nil {
		return tally, fmt.Errorf("names: read input: %w", err)
	}
	return tally, out.Flush()
}

// cell keeps a value within its column.
func cell(s string) string { return strings.Join(strings.Fields(s), " ") }

func columnFor(wanted string, first []string) (column int, header bool, err error) {
	title := func(i int) string { return strings.ToLower(strings.TrimSpace(first[i])) }
	if n, numErr := strconv.Atoi(wanted); numErr == nil {
		if n < 1 {
			return 0, false, errors.New("names: columns are counted from 1")
		}
		return n - 1, n <= len(first) && headings[title(n-1)], nil
	}
	for i := range first {
		if wanted != "" && title(i) == strings.ToLower(wanted) {
			return i, true, nil
		}
	}
	if wanted != "" {
		return 0, false, fmt.Errorf("names: no column titled %q", wanted)
	}
	for _, usual := range []string{"query", "name"} {
		for i := range first {
			if title(i) == usual {
				return i, true, nil
			}
		}
	}
	return 0, headings[title(0)], nil
}

// RunPairs compares the pairs of a CSV file with a header that names the columns name1 and name2, and schema if there is one, and writes
// one tab-separated line for each, in order, below the header "name1 name2 score". PairThreshold decides what counts as a finding.
func RunPairs(w io.Writer, r io.Reader) (Tally, error) {
	var tally Tally
	in := csv.NewReader(bufio.NewReader(r))
	in.FieldsPerRecord = -1
	header, err := in.Read()
	if err != nil {
		return tally, fmt.Errorf("names: read header: %w", err)
	}
	schema, name1, name2 := -1, -1, -1
	for i, h := range header {
		switch strings.ToLower(strings.TrimSpace(strings.TrimPrefix(h, "\ufeff"))) {
		case "schema":
			schema = i
		case "name1":
			name1 = i
		case "name2":
			name2 = i
		}
	}
	if name1 < 0 || name2 < 0 {
		return tally, errors.New("names: the header must name the columns name1 and name2")
	}
	out := bufio.NewWriter(w)
	fmt.Fprint(out, "name1\tname2\tscore\n")
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return tally, out.Flush()
		}
		if err != nil {
			return tally, fmt.Errorf("names: read pairs: %w", err)
		}
		at := func(i int) string {
			if i < 0 || i >= len(row) {
				return ""
			}
			return row[i]
		}
		score := Pair(at(schema), at(name1), at(name2))
		tally.Rows++
		if score >= PairThreshold {
			tally.Findings++
		}
		fmt.Fprintf(out, "%s\t%s\t%.6f\n", cell(at(name1)), cell(at(name2)), score)
	}
}
