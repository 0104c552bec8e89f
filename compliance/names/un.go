package names

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"time"
)

// unEntry is an INDIVIDUAL or an ENTITY of the UN Security Council's consolidated list.
type unEntry struct {
	DataID      string   `xml:"DATAID"`
	First       string   `xml:"FIRST_NAME"`
	Second      string   `xml:"SECOND_NAME"`
	Third       string   `xml:"THIRD_NAME"`
	Fourth      string   `xml:"FOURTH_NAME"`
	Original    string   `xml:"NAME_ORIGINAL_SCRIPT"`
	ListType    string   `xml:"UN_LIST_TYPE"`
	Nationality []string `xml:"NATIONALITY>VALUE"`
	Born        []struct {
		Type string `xml:"TYPE_OF_DATE"`
		Date string `xml:"DATE"`
		Year string `xml:"YEAR"`
		From string `xml:"FROM_YEAR"`
		To   string `xml:"TO_YEAR"`
	} `xml:"INDIVIDUAL_DATE_OF_BIRTH"`
	PersonAliases []unAlias   `xml:"INDIVIDUAL_ALIAS"`
	EntityAliases []unAlias   `xml:"ENTITY_ALIAS"`
	PersonAddress []unAddress `xml:"INDIVIDUAL_ADDRESS"`
	EntityAddress []unAddress `xml:"ENTITY_ADDRESS"`
}

type unAlias struct {
	Quality string `xml:"QUALITY"`
	Name    string `xml:"ALIAS_NAME"`
}

type unAddress struct {
	Country string `xml:"COUNTRY"`
}

// readUN reads the list one entry at a time; the document is never held as a tree.
func readUN(files []content) (Source, []Entry, error) {
	source := Source{Name: "un"}
	var entries []Entry
	dec := xml.NewDecoder(bytes.NewReader(files[0].data))
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return source, entries, nil
		}
		if err != nil {
			return Source{}, nil, err
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch start.Name.Local {
		case "CONSOLIDATED_LIST":
			source.Date = attrTime(start, "dateGenerated")
		case "INDIVIDUAL", "ENTITY":
			var in unEntry
			if err := dec.DecodeElement(&in, &start); err != nil {
				return Source{}, nil, err
			}
			if e, ok := in.entry(start.Name.Local == "INDIVIDUAL"); ok {
				entries = append(entries, e)
			} else {
				source.Skipped++
			}
		}
	}
}

// attrTime returns the date of an attribute; publishers write it with and without a time.
func attrTime(start xml.StartElement, name string) time.Time {
	for _, a := range start.Attr {
		if a.Name.Local != name {
			continue
		}
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999Z07:00", time.DateOnly} {
			if t, err := time.Parse(layout, a.Value); err == nil {
				return t.UTC()
			}
		}
	}
	return time.Time{}
}

func (in *unEntry) entry(person bool) (Entry, bool) {
	name := strings.Join(strings.Fields(strings.Join([]string{in.First, in.Second, in.Third, in.Fourth}, " ")), " ")
	if !digits(strings.TrimSpace(in.DataID)) || name == "" {
		return Entry{}, false
	}
	e := Entry{ID: "un:" + strings.TrimSpace(in.DataID), Kind: KindOrganization, Names: []Name{{Text: name}}}
	if person {
		e.Kind = KindPerson
	}
	e.addOriginal(in.Original)
	if in.ListType != "" {
		e.Programs = []string{strings.TrimSpace(in.ListType)}
	}
	for _, a := range append(in.PersonAliases, in.EntityAliases...) {
		role := Alias
		if strings.EqualFold(strings.TrimSpace(a.Quality), "low") {
			role = WeakAlias
		}
		e.addAlias(a.Name, role)
	}
	for _, b := range in.Born {
		circa := !strings.EqualFold(strings.TrimSpace(b.Type), "EXACT")
		switch {
		case b.From != "" && b.To != "":
			e.addBorn(strings.TrimSpace(b.From)+" to "+strings.TrimSpace(b.To), false)
		case b.Date != "":
			e.addBorn(b.Date, circa)
		default:
			e.addBorn(b.Year, circa)
		}
	}
	for _, n := range in.Nationality {
		e.addCountry(n)
	}
	for _, a := range append(in.PersonAddress, in.EntityAddress...) {
		e.addCountry(a.Country)
	}
	e.tidy()
	return e, true
}

func (e *Entry) addBorn(text string, circa bool) {
	if b, ok := ParseBorn(text); ok {
		if circa {
			b = b.widen()
		}
		e.Born = append(e.Born, b)
	}
}

// addOriginal splits what the list puts into one field: several writings, separated by semicolons or slashes.
func (e *Entry) addOriginal(text string) {
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '/' || r == '؛' || r == '\n' }) {
		if part = strings.TrimSpace(part); part != "" {
			e.Names = append(e.Names, Name{Text: part, Role: OriginalScript})
		}
	}
}

// addAlias splits aliases that a list joins with semicolons.
func (e *Entry) addAlias(text string, role Role) {
	for _, part := range strings.Split(text, ";") {
		if part = strings.Join(strings.Fields(part), " "); part != "" {
			e.Names = append(e.Names, Name{Text: part, Role: role})
		}
	}
}
