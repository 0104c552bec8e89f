package names

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"regexp"
	"strings"
)

// readOFAC reads the CSV exports of the US Treasury's Office of Foreign Assets Control. They have no header. The main file (sdn.csv,
// cons_prim.csv) has number, name, type, programs, title, six columns for vessels, remarks; alt.csv has entry, alias number, kind, name;
// add.csv has entry, address number, street, city, country; the comments file continues remarks that were too long, sometimes in the
// middle of a word. "-0- " stands for nothing, and a lone 0x1A ends each file.
func readOFAC(source string) reader {
	return func(files []content) (Source, []Entry, error) {
		r := ofacReader{source: Source{Name: source}, byNumber: map[string]int{}, remarks: map[string]string{}}
		for _, f := range files { // the main file is the first one
			err := eachRow(f.data, func(row []string) { r.row(f.name, row) })
			if err != nil {
				return Source{}, nil, err
			}
		}
		for number, i := range r.byNumber {
			r.entries[i].readRemarks(r.remarks[number])
			r.entries[i].tidy()
		}
		return r.source, r.entries, nil
	}
}

type ofacReader struct {
	source   Source
	entries  []Entry
	byNumber map[string]int
	remarks  map[string]string
}

func eachRow(data []byte, row func([]string)) error {
	in := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	in.FieldsPerRecord = -1
	in.LazyQuotes = true
	in.ReuseRecord = true
	for {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
			if fields[i] == "-0-" || fields[i] == "\x1a" {
				fields[i] = ""
			}
		}
		if len(fields) == 1 && fields[0] == "" {
			continue
		}
		row(fields)
	}
}

func (r *ofacReader) row(file string, row []string) {
	kind := "main"
	for suffix, k := range map[string]string{"alt.csv": "alt", "add.csv": "add", "comments.csv": "comments"} {
		if strings.HasSuffix(file, suffix) {
			kind = k
		}
	}
	if kind == "main" {
		r.main(row)
		return
	}
	i, known := r.byNumber[row[0]]
	if !known {
		r.source.Skipped++
		return
	}
	switch {
	case kind == "alt" && len(row) >= 4 && row[3] != "":
		r.entries[i].Names = append(r.entries[i].Names, Name{Text: row[3], Role: Alias})
	case kind == "add" && len(row) >= 5:
		r.entries[i].addCountry(row[4])
	case kind == "comments" && len(row) >= 2:
		r.remarks[row[0]] += row[1] // the break may be inside a word: nothing between
	default:
		r.source.Skipped++
	}
}

func (r *ofacReader) main(row []string) {
	if len(row) < 4 || row[1] == "" || !digits(row[0]) {
		r.source.Skipped++
		return
	}
	if _, twice := r.byNumber[row[0]]; twice {
		r.source.Skipped++
		return
	}
	e := Entry{ID: r.source.Name + ":" + row[0], Kind: KindOrganization, Names: []Name{{Text: row[1]}}}
	switch row[2] {
	case "individual":
		e.Kind = KindPerson
	case "vessel":
		e.Kind = KindVessel
	case "aircraft":
		e.Kind = KindAircraft
	}
	for _, p := range strings.Split(row[3], "] [") {
		if p = strings.Trim(p, "[] "); p != "" {
			e.Programs = append(e.Programs, p)
		}
	}
	if len(row) >= 12 {
		r.remarks[row[0]] = row[11]
	}
	r.byNumber[row[0]] = len(r.entries)
	r.entries = append(r.entries, e)
}

// weakAlias finds what OFAC calls weak aliases: they stand only in the remarks, in quotes.
var weakAlias = regexp.MustCompile(`[af]\.k\.a\. '([^;]+)'`)

func (e *Entry) readRemarks(remarks string) {
	for _, m := range weakAlias.FindAllStringSubmatch(remarks, -1) {
		e.Names = append(e.Names, Name{Text: m[1], Role: WeakAlias})
	}
	for _, part := range strings.Split(remarks, ";") {
		part = strings.Trim(part, " .")
		part = strings.TrimPrefix(part, "alt. ")
		if date, ok := strings.CutPrefix(part, "DOB "); ok {
			if b, ok := ParseBorn(date); ok {
				e.Born = append(e.Born, b)
			}
		}
		for _, prefix := range []string{"nationality ", "citizen "} {
			if country, ok := strings.CutPrefix(part, prefix); ok {
				e.addCountry(country)
			}
		}
	}
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
