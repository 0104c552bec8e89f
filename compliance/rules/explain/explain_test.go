package explain_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/rules/explain"
	"github.com/rialto-hub/rialto/compliance/rules/rulestest"
	"github.com/rialto-hub/rialto/psd2/page"
)

// fired is the hit of every rule's case that fires, by rule, as it is stored.
func fired(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	e, err := rules.Shipped().Compile(rules.ProfileOnlineDE, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]json.RawMessage{}
	for _, c := range rulestest.Cases(t) {
		if c.Want != "hit" || out[c.Rule] != nil {
			continue
		}
		past, now := c.Facts(t)
		m := rules.NewMemory()
		for _, f := range past {
			m.Add(f)
		}
		h := m.History(now)
		if now.Kind == rules.HourEnd {
			h = &rules.History{Hours: m.MerchantHours(now.Merchant, now.At.Add(3600e9))}
		}
		j, err := e.Judge(now, h)
		if err != nil {
			t.Fatal(err)
		}
		for _, hit := range j.Hits {
			if hit.Rule == c.Rule {
				if out[c.Rule], err = json.Marshal(hit); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return out
}

// Each of the 36 sentences names what its rule counted and the line it crossed,
// in both languages, as an officer reads numbers.
func TestEverySentenceNamesItsNumbers(t *testing.T) {
	hits := fired(t)
	for rule, want := range map[string][2][]string{ // English, German
		"R01": {{"20\u00a0%", "65\u00a0%", "€50.00", "€25.00", "€100.00", "calendar month"}, {"20\u00a0%", "50,00\u00a0€", "Kalendermonat"}},
		"R02": {{"€50.00", "NMTC", "65\u00a0%"}, {"NMTC"}},
		"R03": {{"€50.00", "0 deposits", "1\u00a0day"}, {"1\u00a0Tag"}},
		"R04": {{"€600.00", "€500.00", "0 of the player's 1"}, {"600,00\u00a0€"}},
		"R05": {{"3 players", "30\u00a0days", "from 2", "from 3"}, {"3 Spieler", "30\u00a0Tagen"}},
		"R06": {{"7\u00a0days", "4 accounts (limit 4)", "limit 2"}, {"4 Konten (Grenze 4)"}},
		"R07": {{"30\u00a0days", "3 accounts (limit 3)"}, {"3 Konten"}},
		"R08": {{"24\u00a0hours 3 deposits of €5,199.99", "€1,999.99", "3 of them between €1,600.00", "€2,000.00"}, {"3 Einzahlungen", "5.199,99\u00a0€"}},
		"R09": {{"24\u00a0hours 2 deposits between €900.00 and €999.99 (limit 2)"}, {"2 Einzahlungen"}},
		"R10": {{"€1,000.01 in this calendar month", "2 merchants", "€1,000.00"}, {"1.000,01\u00a0€"}},
		"R11": {{"€100.01", "€100.00", "3\u00a0days"}, {"100,01\u00a0€"}},
		"R12": {{"€900.00", "€1,000.00", "€50.00", "80\u00a0%", "20\u00a0%"}, {"900,00\u00a0€"}},
		"R13": {{"€950.00", "1\u00a0hour after", "€1,000.00", "120 minutes", "90\u00a0%"}, {"1\u00a0Stunde"}},
		"R14": {{"10\u00a0minutes (limit 6): player 6", "1\u00a0hour (limit 10)"}, {"Spieler 6"}},
		"R15": {{"2 deposits of €300.00", "30\u00a0seconds", "€200.00"}, {"300,00\u00a0€"}},
		"R16": {{"€40.00: 3 in a row", "2\u00a0hours", "4 times the first", "72\u00a0hours"}, {"3 in Folge"}},
		"R17": {{"3 payouts in a row", "limit 3"}, {"3 Auszahlungen"}},
		"R18": {{"4 failed", "30\u00a0minutes", "limit 4"}, {"4 gescheiterte"}},
		"R19": {{"€1,000.00", "200\u00a0days", "180\u00a0days"}, {"200\u00a0Tagen"}},
		"R20": {{"€600.00", "the 8 of 90\u00a0days", "€100.00", "€500.00", "4 times"}, {"100,00\u00a0€"}},
		"R21": {{"€1,000.00", "1\u00a0hour", "1\u00a0day"}, {"1\u00a0Stunde"}},
		"R22": {{"4 players", "7\u00a0days", "limit 4"}, {"4 Spieler"}},
		"R23": {{"1 players", "24\u00a0hours", "limit 6", "data centre"}, {"Rechenzentrum"}},
		"R24": {{"FR", "DE", "PL", "3 different countries"}, {"3 verschiedene"}},
		"R25": {{"km/h", "limit 900"}, {"Grenze 900"}},
		"R26": {{"KP", "€10.00", "FATF"}, {"KP", "FATF"}},
		"R27": {{"96\u00a0%", "67\u00a0%", "95\u00a0%", "Birth date or country agree"}, {"96\u00a0%"}},
		"R28": {{"90\u00a0%", "72\u00a0%", "year of birth"}, {"90\u00a0%"}},
		"R29": {{"€10.00", "mule"}, {"10,00\u00a0€"}},
		"R30": {{"another account", "30\u00a0%"}, {"anderes Konto"}},
		"R31": {{"20 deposits of €200.00", "€10.00", "limits 20 deposits and 5 times"}, {"200,00\u00a0€"}},
		"R32": {{"1 others paid in", "14\u00a0days", "€10.00"}, {"14\u00a0Tagen"}},
		"R33": {{"€520.00", "1 other players", "10\u00a0%"}, {"520,00\u00a0€"}},
		"R34": {{"€10.00", "“bitcoin”"}, {"„bitcoin“"}},
		"R35": {{"65 (from 65)", "3 deposits", "€500.01", "2\u00a0hours", "limit 3"}, {"65 (ab 65)"}},
		"R36": {{"R06", "€50.00"}, {"R06"}},
	} {
		if hits[rule] == nil {
			t.Errorf("%s: no case of it fires", rule)
			continue
		}
		for i, lang := range []page.Lang{page.English, page.German} {
			got := explain.Stored(lang, hits[rule])
			for _, w := range want[i] {
				if !strings.Contains(got, w) {
					t.Errorf("%s, %s lacks %q: %s", rule, lang, w, got)
				}
			}
			if strings.ContainsAny(got, "{}[]") || strings.Contains(got, "not known") != strings.Contains(got, "what was staked is not known") || strings.Contains(got, "nicht bekannter") {
				t.Errorf("%s, %s: %s", rule, lang, got)
			}
		}
	}
	if len(hits) != 36 {
		t.Errorf("%d rules", len(hits))
	}
}

var number = regexp.MustCompile(`[0-9]`)

// Whatever a stored hit lacks or holds, there is a sentence, and nothing from
// outside in it but letters, digits and blanks.
func TestASentenceNeverFails(t *testing.T) {
	for rule, stored := range fired(t) {
		for _, lang := range []page.Lang{page.English, page.German, "xx"} {
			if got := explain.Hit(lang, rules.Hit{Rule: rule}); got == "" || strings.ContainsAny(got, "{}[]") {
				t.Errorf("%s without anything: %q", rule, got)
			}
			var h rules.Hit
			if err := json.Unmarshal(stored, &h); err != nil {
				t.Fatal(err)
			}
			for name := range h.Inputs {
				for _, v := range []any{nil, "\"><script>=cmd()\x1b[31m\n", true, map[string]any{"R06<b>": true}, []any{1.0}, -1e300} {
					was := h.Inputs[name]
					h.Inputs[name] = v
					if got := explain.Hit(lang, h); got == "" || strings.ContainsAny(got, "<>\"\x1b\n={}[]") {
						t.Errorf("%s with %s = %v: %q", rule, name, v, got)
					}
					h.Inputs[name] = was
				}
			}
		}
	}
	own := rules.Hit{Rule: "X1", Inputs: map[string]any{"amount": 12345.0, "keyword": "<b>", "hosting": true, "n": 2.5, "fired": map[string]bool{}}}
	if got := explain.Hit(page.German, own); got != "amount: 123,45\u00a0€; hosting: ja; keyword: b; n: 2,5." {
		t.Errorf("a rule of the house's own: %q", got)
	}
	if got := explain.Hit(page.English, rules.Hit{Rule: "X1"}); number.MatchString(got) || got == "" {
		t.Errorf("nothing at all: %q", got)
	}
	for _, none := range []string{"", "null", "[]", "{}", "x"} {
		if got := explain.Stored(page.English, json.RawMessage(none)); got != "" {
			t.Errorf("%q: %q", none, got)
		}
	}
}
