package iso20022_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

func TestTransliterationFollowsTheBanksPractice(t *testing.T) {
	for in, want := range map[string]string{
		"Müller & Söhne":         "Muller + Sohne",
		"Weißstraße":             "Weisstrase",
		"Þórður Ægisson":         "Tordur Agisson",
		"Žižkov, Łódź":           "Zizkov, Lodz",
		"ŐRSI Ǽ Œuvre":           "ORSI A Ouvre",
		"Αθήνα Ψυχή":             "Athina Psychi",
		"ЩИТ Щъркел Жеков":       "SHTIT Shtrkel Zhekov",
		"“Quote” ‘it’ — now…":    ".Quote. 'it' - now.",
		"[a] {b} <c> x_y~z|w\\":  "(a) (b) (c) x-y-z/w/",
		"50 % @ home; #1*":       "50 . . home, .1.",
		"e\u0301te\u0301":        "ete",
		"三井住友 🎰":                 ".... .",
		"\xff\xfe":               "..",
		"A-Z a-z 0-9 /-?:().,'+": "A-Z a-z 0-9 /-?:().,'+",
		"":                       "",
	} {
		if got := iso20022.Transliterate(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestTransliterationAlwaysEndsInTheCharacterSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		out := iso20022.Transliterate(s)
		if !psd2.IsEPC(out) {
			t.Fatalf("%q", out)
		}
		if again := iso20022.Transliterate(out); again != out {
			t.Fatalf("%q is changed to %q", out, again)
		}
		if ref := iso20022.TransliterateReference(s); ref != "" {
			if err := psd2.CheckReference(ref); err != nil {
				t.Fatalf("%q: %v", ref, err)
			}
		}
	})
}

func TestReferencesAreCutAndFreedOfSlashes(t *testing.T) {
	for in, want := range map[string]string{
		"/INV//2026///7/":              "INV/2026/7",
		" / x":                         "x",
		"\\\\":                         "",
		strings.Repeat("r", 34) + "/2": strings.Repeat("r", 34),
		"Größe/2":                      "Grose/2",
	} {
		if got := iso20022.TransliterateReference(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
