package names

import (
	"encoding/csv"
	"errors"
	"strings"
)

// plainColumns are the columns of a list of one's own, by what they hold.
type plainColumns struct{ id, schema, name, aliases, born, countries int }

// plainHeader reads the first line of a CSV file; nil when it is not a list. It must name an id and a name; schema (Person, Company, …),
// aliases, birth_date and countries are optional, several values in one cell are separated by semicolons.
func plainHeader(head string) *plainColumns {
	line, _, _ := strings.Cut(strings.TrimPrefix(head, "\ufeff"), "\n")
	fields, err := csv.NewReader(strings.NewReader(line)).Read()
	if err != nil {
		return nil
	}
	return columnsOf(fields)
}

func columnsOf(fields []string) *plainColumns {
	c := &plainColumns{-1, -1, -1, -1, -1, -1}
	for i, f := range fields {
		switch strings.ToLower(strings.TrimSpace(f)) {
		case "id", "entry_id":
			c.id = i
		case "schema", "type", "kind":
			c.schema = i
		case "name", "caption":
			c.name = i
		case "aliases", "alias":
			c.aliases = i
		case "birth_date", "date_of_birth", "dob":
			c.born = i
		case "countries", "country", "nationality":
			c.countries = i
		}
	}
	if c.id < 0 || c.name < 0 {
		return nil
	}
	return c
}

var errNoHeader = errors.New("the first line must name the columns id and name")

func readPlain(source string) reader {
	return func(files []content) (Source, []Entry, error) {
		s := Source{Name: source}
		var columns *plainColumns
		var entries []Entry
		header := true
		err := eachRow(files[0].data, func(row []string) {
			if header {
				columns, header = columnsOf(row), false
				return
			}
			if columns == nil {
				return
			}
			if e, ok := columns.entry(source, row); ok {
				entries = append(entries, e)
			} else {
				s.Skipped++
			}
		})
		if err == nil && columns == nil {
			err = errNoHeader
		}
		return s, entries, err
	}
}

func (c *plainColumns) entry(source string, row []string) (Entry, bool) {
	cell := func(i int) string {
		if i < 0 || i >= len(row) {
			return ""
		}
		return row[i]
	}
	if cell(c.id) == "" || cell(c.name) == "" {
		return Entry{}, false
	}
	e := Entry{ID: source + ":" + cell(c.id), Kind: KindOf(cell(c.schema)), Names: []Name{{Text: cell(c.name)}}}
	e.addAlias(cell(c.aliases), Alias)
	for _, b := range strings.Split(cell(c.born), ";") {
		e.addBorn(b, false)
	}
	for _, country := range strings.Split(cell(c.countries), ";") {
		e.addCountry(country)
	}
	e.tidy()
	return e, true
}
