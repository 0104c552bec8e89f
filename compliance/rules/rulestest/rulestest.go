// Package rulestest is one table of cases for every rule of the catalogue,
// which each keeper of state runs through its own way: the engine in memory and
// the journal's consumer. Only tests import it.
package rulestest

import (
	"bytes"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/rialto-hub/rialto/compliance/rules"
)

//go:embed cases.yaml
var cases []byte

// Case is one row: what went before, the transaction, and what its rule says.
type Case struct {
	Rule     string         `yaml:"rule"`
	Name     string         `yaml:"name"`
	At       time.Time      `yaml:"at"` // default 20 November 2026, 10:00 UTC
	Past     []string       `yaml:"past"`
	Now      string         `yaml:"now"`
	Want     string         `yaml:"want"` // hit, silent or no_data
	Action   rules.Action   `yaml:"action"`
	Severity rules.Severity `yaml:"severity"`
	Public   string         `yaml:"public"`
	Evidence int            `yaml:"evidence"` // how many other transactions are named
}

// Cases reads the table.
func Cases(t testing.TB) []Case {
	t.Helper()
	var out []Case
	d := yaml.NewDecoder(bytes.NewReader(cases))
	d.KnownFields(true)
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	for i := range out {
		if out[i].At.IsZero() {
			out[i].At = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
		}
	}
	return out
}

// Facts gives the past, oldest first as written, and the fact to be judged.
func (c Case) Facts(t testing.TB) (past []*rules.Fact, now *rules.Fact) {
	t.Helper()
	for i, line := range c.Past {
		past = append(past, c.parse(t, fmt.Sprintf("past%d", i), line)...)
	}
	if c.Now == "hour" {
		return past, rules.HourFact("m1", c.At.Add(-time.Minute))
	}
	return past, c.parse(t, "now", "0s "+c.Now)[0]
}

// parse reads "AGE KIND AMOUNT [xN every STEP] key=value…".
func (c Case) parse(t testing.TB, id, line string) []*rules.Fact {
	t.Helper()
	words := strings.Fields(line)
	if len(words) < 3 {
		t.Fatalf("%s: %q is too short", c.Rule, line)
	}
	n, step := 1, time.Duration(0)
	f := rules.Fact{
		Revision: 1, Kind: rules.Kind(words[1]), Status: rules.Settled, Amount: int64(number(t, words[2])), Currency: "EUR",
		Merchant: "m1", Player: "p1", Person: "p1", PersonLinked: true, IBAN: "i1", IBANCountry: "DE", IPCountry: "DE",
		Device: "d1", IP: "a1", Network: "n1", Gambling: true, Holder: rules.HolderSelf, HolderMatch: ptr(1.0), KYC: "verified", Hosting: ptr(false),
	}
	at := c.At.Add(-age(t, words[0]))
	for i := 3; i < len(words); i++ {
		switch w := words[i]; {
		case w[0] == 'x' && !strings.Contains(w, "="):
			n = int(number(t, w[1:]))
		case w == "every":
			i++
			step = age(t, words[i])
		default:
			key, value, _ := strings.Cut(w, "=")
			set(t, &f, key, value, c.At)
		}
	}
	out := make([]*rules.Fact, n)
	for k := range out {
		one := f
		one.ID, one.At = id+"-"+strconv.Itoa(k), at.Add(time.Duration(k)*step)
		out[k] = &one
	}
	return out
}

// set changes one thing; "-" makes it unknown.
func set(t testing.TB, f *rules.Fact, key, value string, now time.Time) {
	t.Helper()
	known := value != "-"
	texts := map[string]*string{
		"player": &f.Player, "merchant": &f.Merchant, "iban": &f.IBAN, "country": &f.IBANCountry, "device": &f.Device, "ip": &f.IP,
		"ip_country": &f.IPCountry, "residence": &f.Residence, "holder": &f.Holder, "kyc": &f.KYC, "vop": &f.VoP, "source": &f.SourceIBAN,
	}
	if p, ok := texts[key]; ok {
		if *p = value; !known {
			*p = ""
		}
		if key == "player" {
			f.Person = value
		}
		return
	}
	switch key {
	case "status":
		f.Status = rules.Status(value)
	case "match":
		f.HolderMatch = maybe(known, number, t, value)
	case "linked":
		f.PersonLinked = value == "true"
	case "stake":
		f.Stake = ptr(int64(number(t, value)))
	case "limit":
		f.MonthLimit = ptr(int64(number(t, value)))
	case "registered":
		f.RegisteredAt = ptr(now.Add(-age(t, value)))
	case "hosting":
		if f.Hosting = nil; known {
			f.Hosting = ptr(value == "true")
		}
	case "place":
		lat, lon, _ := strings.Cut(value, "/")
		f.Place = &rules.Place{Lat: number(t, lat), Lon: number(t, lon)}
	case "sanctions":
		f.Screening = &rules.Screening{Score: number(t, value)}
	case "agrees":
		f.Screening.Agrees = true
	case "pep":
		f.PEP = &rules.PEP{Score: number(t, value)}
	case "year":
		f.PEP.YearAgrees = true
	case "mule":
		f.MuleListed = ptr(value == "true")
	case "vasp":
		f.VASPListed = ptr(value == "true")
	case "keyword":
		f.Keyword = &value
	case "named":
		f.PurposeMatch = ptr(number(t, value))
	case "age":
		f.HolderAge = ptr(int(number(t, value)))
	default:
		t.Fatalf("%q is not known", key)
	}
}

func ptr[T any](v T) *T { return &v }

func maybe(known bool, read func(testing.TB, string) float64, t testing.TB, value string) *float64 {
	t.Helper()
	if !known {
		return nil
	}
	return ptr(read(t, value))
}

func number(t testing.TB, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// age reads Go durations, with days before them: 30d, 14d1s.
func age(t testing.TB, s string) time.Duration {
	t.Helper()
	days, rest, found := strings.Cut(s, "d")
	if !found {
		days, rest = "0", s
	}
	d := time.Duration(number(t, days)) * 24 * time.Hour
	if rest != "" {
		more, err := time.ParseDuration(rest)
		if err != nil {
			t.Fatal(err)
		}
		d += more
	}
	return d
}

// Check compares a judgement with what the case wants of its rule.
func (c Case) Check(t testing.TB, j *rules.Judgement) {
	t.Helper()
	var hit *rules.Hit
	got := "silent"
	for i := range j.Hits {
		if j.Hits[i].Rule == c.Rule {
			hit, got = &j.Hits[i], "hit"
		}
	}
	for _, g := range j.NoData {
		if g.Rule == c.Rule {
			got = "no_data"
		}
	}
	switch {
	case got != c.Want:
		t.Errorf("%s: %s, want %s (hits %+v)", c.Rule, got, c.Want, j.Hits)
	case hit == nil:
	case c.Action != "" && hit.Action != c.Action:
		t.Errorf("%s: action %s, want %s", c.Rule, hit.Action, c.Action)
	case c.Severity != "" && hit.Severity != c.Severity:
		t.Errorf("%s: severity %s, want %s", c.Rule, hit.Severity, c.Severity)
	case c.Public != "" && hit.Public != c.Public:
		t.Errorf("%s: public reason %s, want %s", c.Rule, hit.Public, c.Public)
	case c.Evidence != 0 && len(hit.Evidence) != c.Evidence:
		t.Errorf("%s: evidence %v, want %d transactions", c.Rule, hit.Evidence, c.Evidence)
	}
}
