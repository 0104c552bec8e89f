package names

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// Born is a date of birth as far as it is known: both ends are days, inclusive. A year alone is its first and last day.
type Born struct{ From, To time.Time }

// ParseBorn reads the forms that lists use: 2006-01-02, 02 Jan 2006, Jan 2006, 2006, "circa 2006" (a year either way), "1979 to 1982",
// "01 Jan 1979 to 31 Dec 1982". Anything else is false.
func ParseBorn(text string) (Born, bool) {
	text = strings.Join(strings.Fields(text), " ")
	if rest, ok := strings.CutPrefix(strings.ToLower(text), "circa "); ok {
		b, ok := ParseBorn(rest)
		return b.widen(), ok
	}
	if from, to, ok := strings.Cut(text, " to "); ok {
		a, okA := ParseBorn(from)
		b, okB := ParseBorn(to)
		if !okA || !okB || b.To.Before(a.From) {
			return Born{}, false
		}
		return Born{a.From, b.To}, true
	}
	for _, f := range []struct {
		layout string
		end    func(time.Time) time.Time // the day after the last one
	}{
		{time.DateOnly, dayAfter}, {"2 Jan 2006", dayAfter}, {"2006-01-02Z07:00", dayAfter}, {"2.1.2006", dayAfter},
		{"2006-1", monthAfter}, {"Jan 2006", monthAfter}, {"2006", yearAfter},
	} {
		if t, err := time.Parse(f.layout, text); err == nil && t.Year() >= 1000 {
			day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
			return Born{day, f.end(day).AddDate(0, 0, -1)}, true
		}
	}
	return Born{}, false
}

func dayAfter(t time.Time) time.Time   { return t.AddDate(0, 0, 1) }
func monthAfter(t time.Time) time.Time { return t.AddDate(0, 1, 0) }
func yearAfter(t time.Time) time.Time  { return t.AddDate(1, 0, 0) }

// widen adds a year on both sides: what lists mean by circa and approximately.
func (b Born) widen() Born {
	if b.From.IsZero() {
		return b
	}
	return Born{b.From.AddDate(-1, 0, 0), b.To.AddDate(1, 0, 0)}
}

// String writes a day, a year or a range.
func (b Born) String() string {
	switch {
	case b.From.IsZero():
		return ""
	case b.From.Equal(b.To):
		return b.From.Format(time.DateOnly)
	case b.From.Month() == 1 && b.From.Day() == 1 && b.To.Month() == 12 && b.To.Day() == 31 && b.From.Year() == b.To.Year():
		return strconv.Itoa(b.From.Year())
	}
	return b.From.Format(time.DateOnly) + "/" + b.To.Format(time.DateOnly)
}

// Agreement is what a second fact (birth date, country) says about a hit.
type Agreement string

// Agreements, from nothing known to contradiction.
const (
	NoData     Agreement = "no_data"
	Agrees     Agreement = "agrees"
	Near       Agreement = "near" // within a year: lists often carry guesses
	Contradict Agreement = "contradicts"
)

// agreement compares a date of birth with the alternatives of an entry; the best one counts.
func agreement(q Born, listed []Born) Agreement {
	if q.From.IsZero() || len(listed) == 0 {
		return NoData
	}
	best := Contradict
	for _, b := range listed {
		if !q.From.After(b.To) && !b.From.After(q.To) {
			return Agrees
		}
		if w := b.widen(); !q.From.After(w.To) && !w.From.After(q.To) {
			best = Near
		}
	}
	return best
}

// countryAgreement compares ISO codes. Lists name few of the countries a person may have, so another one is no contradiction by itself.
func countryAgreement(q string, listed []string) Agreement {
	switch {
	case q == "" || len(listed) == 0:
		return NoData
	case slices.Contains(listed, q):
		return Agrees
	}
	return Contradict
}

// tidy removes repeated names and countries; the first name stays first.
func (e *Entry) tidy() {
	seen := map[string]bool{}
	e.Names = slices.DeleteFunc(e.Names, func(n Name) bool {
		twice := seen[n.Text]
		seen[n.Text] = true
		return twice
	})
	slices.Sort(e.Countries)
	e.Countries = slices.Compact(e.Countries)
}

func (e *Entry) addCountry(name string) {
	if code := CountryCode(name); code != "" {
		e.Countries = append(e.Countries, code)
	}
}

// CountryCode returns the ISO 3166-1 alpha-2 code of a country given by code or by its English name as lists write it, "" when unknown.
func CountryCode(name string) string {
	return countries()[countryKey(name)]
}

func countryKey(name string) string {
	name, _, _ = strings.Cut(name, "(")
	return Fold(name)
}

var countries = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	english := display.English.Regions()
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string([]rune{a, b})
			region, err := language.ParseRegion(code)
			if err != nil || !region.IsCountry() || region.Canonicalize() != region {
				continue
			}
			out[countryKey(english.Name(region))] = code
			out[strings.ToLower(code)] = code
		}
	}
	for name, code := range otherCountryNames {
		out[name] = code
	}
	delete(out, "") // regions that no longer exist have no name
	return out
})

// otherCountryNames are the forms of the UN and of OFAC that differ from the common English name, folded.
var otherCountryNames = map[string]string{
	"russian federation": "RU", "iran": "IR", "islamic republic of iran": "IR", "syrian arab republic": "SY", "syria": "SY", "korea north": "KP", "north korea": "KP",
	"democratic peoples republic of korea": "KP", "korea south": "KR", "south korea": "KR", "republic of korea": "KR", "democratic republic of the congo": "CD",
	"congo democratic republic of the": "CD", "congo republic of the": "CG", "libyan arab jamahiriya": "LY", "state of libya": "LY", "burma": "MM", "myanmar": "MM",
	"united republic of tanzania": "TZ", "republic of moldova": "MD", "viet nam": "VN", "turkiye": "TR", "turkey": "TR", "united states of america": "US",
	"united kingdom of great britain and northern ireland": "GB", "uk": "GB", "bosnia and herzegovina": "BA", "palestinian": "PS", "palestine": "PS", "gaza": "PS",
	"west bank": "PS", "cote d ivoire": "CI", "cote divoire": "CI", "ivory coast": "CI", "venezuela": "VE", "bolivia": "BO", "hong kong": "HK", "macau": "MO",
	"czech republic": "CZ", "macedonia": "MK", "the former yugoslav republic of macedonia": "MK", "swaziland": "SZ", "the gambia": "GM", "gambia": "GM",
	"the bahamas": "BS", "bahamas the": "BS", "lao peoples democratic republic": "LA", "brunei darussalam": "BN", "peoples republic of china": "CN", "taiwan": "TW",
	"kosovo": "XK", "cape verde": "CV", "south sudan": "SS", "region gaza": "PS",
}
