package names

import (
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

func FuzzFold(f *testing.F) {
	for _, s := range []string{"Jürgen O'Neill-Weiß", "صدام حسين", "김정은", "习近平", "नरेन्द्र", "\xff", "A.B.C. GmbH & Co. KG", "İıſß", strings.Repeat("ab ", 400)} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		folded := Fold(a)
		if !utf8.ValidString(folded) {
			t.Fatalf("%q folds to broken text %q", a, folded)
		}
		if again := Fold(folded); again != folded {
			t.Fatalf("%q folds to %q and then to %q", a, folded, again)
		}
		for _, schema := range []string{"Person", "Company", "LegalEntity"} {
			if s := Pair(schema, a, b); !(s >= 0 && s < 1) {
				t.Fatalf("%s %q %q: %v", schema, a, b, s)
			}
		}
	})
}

func FuzzLists(f *testing.F) {
	for _, s := range []string{testSDN, testAlt, testUN, testPlain, testEU} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data string) {
		for _, name := range []string{"sdn.csv", "cons_prim.csv", "un.xml", "own.csv"} {
			l, err := LoadFS(fstest.MapFS{name: {Data: []byte(data)}, "alt.csv": {Data: []byte(data)}})
			if err != nil {
				continue
			}
			if len(l.Entries) == 0 || len(l.Sources) == 0 || l.Hash == "" {
				t.Fatalf("%s: loaded nothing without an error", name)
			}
			if len(data) > 4096 {
				continue
			}
			x := NewIndex(l)
			for i := range l.Entries {
				e := &l.Entries[i]
				if e.Name() == "" || !strings.Contains(e.ID, ":") {
					t.Fatalf("%s: entry %+v", name, e)
				}
				for _, h := range x.Screen(Query{Name: e.Name()}, 2) {
					if !(h.Score >= 0 && h.Score < 1) {
						t.Fatalf("%q: %v", e.Name(), h.Score)
					}
				}
			}
		}
	})
}
