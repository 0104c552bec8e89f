package names

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
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
	Nameless int // of these, without any name to look for
}

// headings are the titles of a column with names; headings and besides are those by which the first line is known to be a header.
var (
	headings = set("query name names full_name fullname holder player customer payer payee listed_name player_name holder_name entity_name")
	besides  = set("id entity_id entry_id player_id customer_id schema variant label birth_date date_of_birth country")
)

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
		if strings.TrimSpace(name) == "" {
			tally.Nameless++
		}
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

// columnFor finds the column with the names by the first line, and says whether that is a header. A column that is not there is an
// error: a file read past its names would look like one in which nobody is listed.
func columnFor(wanted string, first []string) (column int, header bool, err error) {
	titles := make([]string, len(first))
	for i, cell := range first {
		titles[i] = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(cell)), " ", "_")
		header = header || headings[titles[i]] || besides[titles[i]]
	}
	switch n, numErr := strconv.Atoi(wanted); {
	case wanted == "":
		return usualColumn(titles), header, nil
	case numErr != nil:
		i := slices.Index(titles, strings.ReplaceAll(strings.ToLower(strings.TrimSpace(wanted)), " ", "_"))
		if i < 0 {
			return 0, false, fmt.Errorf("names: no column titled %q", wanted)
		}
		return i, true, nil
	case n < 1:
		return 0, false, errors.New("names: columns are counted from 1")
	case n > len(first):
		return 0, false, fmt.Errorf("names: there is no column %d: tabs part the first line into %d", n, len(first))
	default:
		return n - 1, header, nil
	}
}

// usualColumn is the column titled query, else name, else anything that stands over names; the first when there is none.
func usualColumn(titles []string) int {
	for _, usual := range []string{"query", "name"} {
		if i := slices.Index(titles, usual); i >= 0 {
			return i
		}
	}
	return max(0, slices.IndexFunc(titles, func(title string) bool { return headings[title] }))
}

// RunPairs compares the pairs of a CSV file with a header that names the columns name1 and name2, and schema if there is one, and writes
// one tab-separated line for each, in order, below the header "name1 name2 score". PairThreshold decides what counts as a finding.
func RunPairs(w io.Writer, r io.Reader) (Tally, error) {
	var tally Tally
	in := newRecords(r)
	header, err := in.next()
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
		row, err := in.next()
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
