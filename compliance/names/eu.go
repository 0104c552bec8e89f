package names

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// euEntry is a sanctionEntity of the EU's consolidated financial sanctions list, as its schema 1.1 describes it.
type euEntry struct {
	LogicalID string `xml:"logicalId,attr"`
	Subject   struct {
		Code string `xml:"code,attr"`
	} `xml:"subjectType"`
	Regulation []struct {
		Programme string `xml:"programme,attr"`
	} `xml:"regulation"`
	Aliases []struct {
		Whole  string `xml:"wholeName,attr"`
		First  string `xml:"firstName,attr"`
		Middle string `xml:"middleName,attr"`
		Last   string `xml:"lastName,attr"`
		Strong string `xml:"strong,attr"`
	} `xml:"nameAlias"`
	Citizenship []euCountry `xml:"citizenship"`
	Address     []euCountry `xml:"address"`
	Born        []struct {
		Date  string `xml:"birthdate,attr"`
		Year  string `xml:"year,attr"`
		From  string `xml:"yearRangeFrom,attr"`
		To    string `xml:"yearRangeTo,attr"`
		Circa string `xml:"circa,attr"`
	} `xml:"birthdate"`
}

type euCountry struct {
	ISO2 string `xml:"countryIso2Code,attr"`
}

// readEU reads the EU list. Unconfirmed: no file of the Commission was at hand when it was written, and Source.Note says so.
func readEU(files []content) (Source, []Entry, error) {
	source := Source{Name: "eu", Note: "unconfirmed reader: compare the counts with the publisher's"}
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
		case "export":
			source.Date = attrTime(start, "generationDate")
		case "sanctionEntity":
			var in euEntry
			if err := dec.DecodeElement(&in, &start); err != nil {
				return Source{}, nil, err
			}
			if e, ok := in.entry(); ok {
				entries = append(entries, e)
			} else {
				source.Skipped++
			}
		}
	}
}

func (in *euEntry) entry() (Entry, bool) {
	e := Entry{ID: "eu:" + in.LogicalID, Kind: KindOrganization}
	if strings.EqualFold(in.Subject.Code, "person") {
		e.Kind = KindPerson
	}
	for _, a := range in.Aliases {
		role := Alias
		if len(e.Names) == 0 {
			role = Primary
		} else if strings.EqualFold(a.Strong, "false") {
			role = WeakAlias
		}
		text := a.Whole
		if strings.TrimSpace(text) == "" {
			text = strings.Join([]string{a.First, a.Middle, a.Last}, " ")
		}
		if text = strings.Join(strings.Fields(text), " "); text != "" {
			e.Names = append(e.Names, Name{Text: text, Role: role})
		}
	}
	for _, r := range in.Regulation {
		if r.Programme != "" {
			e.Programs = append(e.Programs, r.Programme)
		}
	}
	for _, b := range in.Born {
		switch {
		case b.Date != "":
			e.addBorn(b.Date, b.Circa == "true")
		case b.From != "" && b.To != "":
			e.addBorn(b.From+" to "+b.To, false)
		default:
			e.addBorn(b.Year, b.Circa == "true")
		}
	}
	for _, c := range append(in.Citizenship, in.Address...) {
		e.addCountry(c.ISO2)
	}
	e.tidy()
	return e, in.LogicalID != "" && len(e.Names) > 0
}
