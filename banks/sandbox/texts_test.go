package sandbox

import (
	"bytes"
	"io/fs"
	"regexp"
	"testing"
)

// Both languages have every text, and every text that a template names exists.
func TestLanguagesHaveTheSameTexts(t *testing.T) {
	en, err := loadTexts("en")
	if err != nil {
		t.Fatal(err)
	}
	de, err := loadTexts("de")
	if err != nil {
		t.Fatal(err)
	}
	for k := range en {
		if de[k] == "" {
			t.Errorf("de lacks %q", k)
		}
	}
	for k := range de {
		if en[k] == "" {
			t.Errorf("en lacks %q", k)
		}
	}
	named := regexp.MustCompile(`t "([a-z_]*[a-z])"`)
	files, err := fs.Glob(assets, "templates/*.html")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		raw, err := fs.ReadFile(assets, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllSubmatch(bytes.Clone(raw), -1) {
			if en[string(m[1])] == "" {
				t.Errorf("%s names %q, which does not exist", f, m[1])
			}
		}
	}
	for _, p := range personas {
		if en["story_"+p.Story] == "" {
			t.Errorf("the story of %s is not told", p.User)
		}
	}
}

func TestMoneyIsWrittenByLocale(t *testing.T) {
	for _, c := range []struct {
		minor  int64
		en, de string
	}{{5, "0.05", "0,05"}, {123456, "1,234.56", "1.234,56"}, {-100000000, "-1,000,000.00", "-1.000.000,00"}} {
		if en, de := formatMoney(c.minor, "en"), formatMoney(c.minor, "de"); en != c.en+"\u00a0€" || de != c.de+"\u00a0€" {
			t.Errorf("%d: %q %q", c.minor, en, de)
		}
	}
}
