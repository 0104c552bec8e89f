package names

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"strings"
)

// mostLines bounds how many lines a quoted cell may reach over; a quote that is not closed by then was meant literally.
const mostLines = 8

// records reads comma-separated records as people write them: a bare quote, as in John "Jack" Smith, spoils neither its own record nor
// those after it.
type records struct {
	lines *bufio.Scanner
	ahead []string // read, not yet used
}

func newRecords(r io.Reader) *records {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), longestLine)
	return &records{lines: lines}
}

// next gives the next record that is not an empty line; io.EOF after the last.
func (r *records) next() ([]string, error) {
	for {
		line, err := r.line(0)
		if err != nil {
			return nil, err
		}
		if strings.TrimSpace(line) != "" {
			break
		}
		r.ahead = r.ahead[1:]
	}
	text := ""
	for n := range mostLines {
		more, err := r.line(n)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if err != nil {
			break
		}
		text += more + "\n"
		if cells, err := strict(text); err == nil {
			r.ahead = r.ahead[n+1:]
			return cells, nil
		}
		if strings.Count(text, `"`)%2 == 0 { // nothing is open
			break
		}
	}
	first := r.ahead[0]
	r.ahead = r.ahead[1:]
	return lenient(first), nil
}

// line looks at the nth line ahead.
func (r *records) line(n int) (string, error) {
	for len(r.ahead) <= n {
		if !r.lines.Scan() {
			if err := r.lines.Err(); err != nil {
				return "", err
			}
			return "", io.EOF
		}
		r.ahead = append(r.ahead, strings.TrimSuffix(r.lines.Text(), "\r"))
	}
	return r.ahead[n], nil
}

func strict(text string) ([]string, error) {
	in := csv.NewReader(strings.NewReader(text))
	in.FieldsPerRecord = -1
	return in.Read()
}

// lenient parts a line at its commas. A cell is quoted when its quotes stand at both of its ends; any other is a letter.
func lenient(line string) (cells []string) {
	for {
		if strings.HasPrefix(line, `"`) {
			if end := strings.Index(line[1:]+",", `",`); end >= 0 {
				cells = append(cells, strings.ReplaceAll(line[1:end+1], `""`, `"`))
				if end+3 > len(line) {
					return cells
				}
				line = line[end+3:]
				continue
			}
		}
		cell, rest, more := strings.Cut(line, ",")
		cells = append(cells, cell)
		if !more {
			return cells
		}
		line = rest
	}
}
