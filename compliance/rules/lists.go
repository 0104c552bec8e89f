package rules

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

//go:embed lists.yaml
var shippedLists []byte

// Lists are dated lists: what they say depends on the day asked about.
type Lists struct {
	Countries map[string][]CountryList `yaml:"lists"`
	Keywords  []KeywordList            `yaml:"keywords"`
}

// CountryList is one state of a list.
type CountryList struct {
	ValidFrom time.Time `yaml:"valid_from"`
	Source    string    `yaml:"source"`
	Countries []string  `yaml:"countries"` // ISO 3166 alpha-2
}

// KeywordList is one state of the words that R34 looks for.
type KeywordList struct {
	ValidFrom time.Time `yaml:"valid_from"`
	Words     []string  `yaml:"words"`
}

// Names of the country lists that rules read.
const (
	ListEUHighRisk    = "eu_high_risk"    // Delegated Regulation (EU) 2016/1675
	ListCallForAction = "call_for_action" // FATF
)

// ShippedLists are the lists that come with the hub.
func ShippedLists() *Lists {
	l, err := ParseLists(bytes.NewReader(shippedLists))
	if err != nil {
		panic("rules: the lists that ship: " + err.Error()) // every test would fail
	}
	return l
}

// ParseLists reads dated lists strictly and orders them by date.
func ParseLists(r io.Reader) (*Lists, error) {
	var l Lists
	d := yaml.NewDecoder(io.LimitReader(r, 1<<20))
	d.KnownFields(true)
	if err := d.Decode(&l); err != nil {
		return nil, fmt.Errorf("rules: lists: %w", err)
	}
	for _, name := range []string{ListEUHighRisk, ListCallForAction} {
		if len(l.Countries[name]) == 0 {
			return nil, fmt.Errorf("rules: lists: %s is missing", name)
		}
	}
	for name, states := range l.Countries {
		for _, s := range states {
			if s.ValidFrom.IsZero() {
				return nil, fmt.Errorf("rules: lists: %s: valid_from is missing", name)
			}
			for _, c := range s.Countries {
				if len(c) != 2 || strings.ToUpper(c) != c {
					return nil, fmt.Errorf("rules: lists: %s: %q is no country code", name, c)
				}
			}
		}
		slices.SortFunc(states, func(a, b CountryList) int { return a.ValidFrom.Compare(b.ValidFrom) })
	}
	slices.SortFunc(l.Keywords, func(a, b KeywordList) int { return a.ValidFrom.Compare(b.ValidFrom) })
	if len(l.Keywords) == 0 {
		return nil, errors.New("rules: lists: keywords are missing")
	}
	return &l, nil
}

// Holds reports whether a country was on a list at a moment.
func (l *Lists) Holds(name, country string, at time.Time) bool {
	states := l.Countries[name]
	for i := len(states) - 1; i >= 0; i-- {
		if !states[i].ValidFrom.After(at) {
			return slices.Contains(states[i].Countries, country)
		}
	}
	return false
}

// risk looks at every country a fact knows.
func (l *Lists) risk(f *Fact) (callForAction, euHighRisk bool) {
	for _, c := range [...]string{f.IPCountry, f.IBANCountry, f.Residence, bicCountry(f.BIC)} {
		if c != "" {
			callForAction = callForAction || l.Holds(ListCallForAction, c, f.At)
			euHighRisk = euHighRisk || l.Holds(ListEUHighRisk, c, f.At)
		}
	}
	return callForAction, euHighRisk
}

func bicCountry(bic string) string {
	if len(bic) < 6 {
		return ""
	}
	return bic[4:6]
}

// Keyword finds the first listed word in a purpose; "" when there is none.
func (l *Lists) Keyword(purpose string, at time.Time) string {
	words := strings.FieldsFunc(strings.ToLower(purpose), func(r rune) bool { return r < '0' || r > '9' && r < 'a' || r > 'z' && r < 0x80 })
	for i := len(l.Keywords) - 1; i >= 0; i-- {
		if l.Keywords[i].ValidFrom.After(at) {
			continue
		}
		for _, w := range words {
			if slices.Contains(l.Keywords[i].Words, w) {
				return w
			}
		}
		break
	}
	return ""
}
