package rules_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAMissingListIsNotAnEmptyOne(t *testing.T) {
	none, err := rules.OpenSources(rules.SourcesConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if none.Mule("DE89370400440532013000") != nil || none.VASP("LT601010012345678901", "REVOLT21XXX") != nil {
		t.Error("without a list there was an answer")
	}
	some, err := rules.OpenSources(rules.SourcesConfig{
		Mule: writeFile(t, "# known\nDE89 3704 0044 0532 0130 00\n"), VASP: writeFile(t, "REVOLT21\nLT 325 00 # the same by its bank code\n"), Hosting: writeFile(t, "AS14061 # a cloud\n24940\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer some.Close()
	for name, c := range map[string]struct {
		got  *bool
		want bool
	}{
		"mule": {some.Mule("DE89370400440532013000"), true}, "other": {some.Mule("DE02120300000000202051"), false},
		"vasp": {some.VASP("", "REVOLT21XXX"), true}, "bank": {some.VASP("", "COBADEFFXXX"), false},
		"vasp by account": {some.VASP("LT363250012345678901", ""), true}, "bank by account": {some.VASP("LT101010012345678901", ""), false},
		"elsewhere": {some.VASP("DE02325000000000202051", "COBADEFFXXX"), false}, "either": {some.VASP("LT363250012345678901", "COBADEFFXXX"), true},
	} {
		if c.got == nil || *c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if byBIC, err := rules.OpenSources(rules.SourcesConfig{VASP: writeFile(t, "REVOLT21\n")}); err != nil || byBIC.VASP("LT363250012345678901", "") != nil {
		t.Errorf("an account alone said something to a list of BICs: %v", err)
	}
	var f rules.Fact
	some.Locate(&f, "203.0.113.7") // hosting numbers alone, without the database of addresses
	if f.Hosting != nil || f.Place != nil || f.IPCountry != "" {
		t.Errorf("an address was placed without a database: %+v", f)
	}
}

// An operator who names a list must not be blind without knowing.
func TestANamedListThatCannotBeReadIsAnError(t *testing.T) {
	for name, c := range map[string]rules.SourcesConfig{
		"missing":   {Mule: "/nowhere/mules"},
		"geoip":     {GeoIP: writeFile(t, "this is no database of addresses")},
		"asn":       {ASN: writeFile(t, "nor is this")},
		"mule":      {Mule: writeFile(t, "DE89370400440532013000\nDE00370400440532013000\n")},
		"vasp":      {VASP: writeFile(t, "revolut\n")},
		"bank code": {VASP: writeFile(t, "Lithuania 32500\n")},
		"country":   {VASP: writeFile(t, "LTU 32500\n")},
		"hosting":   {Hosting: writeFile(t, "AScloud\n")},
		"countries": {Countries: writeFile(t, "lists: {}\n")},
	} {
		_, err := rules.OpenSources(c)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if name == "mule" && (!strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), "DE00")) {
			t.Errorf("mule: %v must name the line and not the account", err)
		}
	}
}

func TestCountryListsAreDated(t *testing.T) {
	lists := rules.ShippedLists()
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, c := range []struct {
		list, country, on string
		want              bool
	}{
		{rules.ListEUHighRisk, "AE", "2025-08-04", true}, {rules.ListEUHighRisk, "AE", "2025-08-05", false},
		{rules.ListEUHighRisk, "MC", "2025-08-04", false}, {rules.ListEUHighRisk, "MC", "2025-08-05", true},
		{rules.ListCallForAction, "MM", "2022-10-20", false}, {rules.ListCallForAction, "MM", "2022-10-21", true},
		{rules.ListCallForAction, "DE", "2026-01-01", false}, {rules.ListCallForAction, "KP", "2019-01-01", false},
	} {
		if got := lists.Holds(c.list, c.country, day(c.on)); got != c.want {
			t.Errorf("%s on %s at %s: %v", c.country, c.list, c.on, got)
		}
	}
}
