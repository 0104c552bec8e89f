package page

import (
	"bufio"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Lang is a language that pages exist in.
type Lang string

// Languages, the first of Langs being the fallback.
const (
	English Lang = "en"
	German  Lang = "de"
)

// Langs lists them in the order of the language switch.
var Langs = []Lang{English, German}

// Name is the language's own name.
func (l Lang) Name() string {
	if l == German {
		return "Deutsch"
	}
	return "English"
}

// Texts holds every text of a room in every language.
type Texts struct{ byLang map[Lang]map[string]string }

var (
	keyForm     = regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)*$`)
	placeholder = regexp.MustCompile(`\{[a-z_]+\}`)
)

// LoadTexts reads text/LANG.txt from each file system; later ones may replace
// what earlier ones say. It fails when the languages do not have the same keys
// with the same placeholders.
func LoadTexts(files ...fs.FS) (*Texts, error) {
	t := &Texts{byLang: map[Lang]map[string]string{}}
	for _, l := range Langs {
		t.byLang[l] = map[string]string{}
		for _, f := range files {
			if err := readTexts(f, "text/"+string(l)+".txt", t.byLang[l]); err != nil {
				return nil, err
			}
		}
	}
	return t, t.check()
}

// readTexts reads lines "key = text"; # begins a comment line.
func readTexts(f fs.FS, name string, into map[string]string) error {
	file, err := f.Open(name)
	if err != nil {
		return fmt.Errorf("texts: %w", err)
	}
	defer func() { _ = file.Close() }() // read only: nothing to lose
	seen := map[string]bool{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, text, found := strings.Cut(line, " = ")
		switch {
		case !found || !keyForm.MatchString(key) || text == "":
			return fmt.Errorf("texts: %s:%d: want key = text", name, n)
		case seen[key]:
			return fmt.Errorf("texts: %s:%d: %s is there twice", name, n, key)
		}
		seen[key] = true
		into[key] = text
	}
	return lines.Err()
}

func (t *Texts) check() error {
	first := t.byLang[Langs[0]]
	for _, l := range Langs[1:] {
		other := t.byLang[l]
		for _, key := range slices.Sorted(maps.Keys(first)) {
			text, ok := other[key]
			if !ok {
				return fmt.Errorf("texts: %s is missing in %s", key, l)
			}
			if a, b := placeholders(first[key]), placeholders(text); !slices.Equal(a, b) {
				return fmt.Errorf("texts: %s has placeholders %v in %s and %v in %s", key, a, Langs[0], b, l)
			}
		}
		for key := range other {
			if _, ok := first[key]; !ok {
				return fmt.Errorf("texts: %s is missing in %s", key, Langs[0])
			}
		}
	}
	return nil
}

func placeholders(text string) []string {
	found := placeholder.FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// Has reports whether a text exists.
func (t *Texts) Has(key string) bool {
	_, ok := t.byLang[Langs[0]][key]
	return ok
}

// Keys lists all keys, sorted.
func (t *Texts) Keys() []string { return slices.Sorted(maps.Keys(t.byLang[Langs[0]])) }

// Text gives a text as plain text. pairs are placeholder names and values.
// A missing key or value is an error: a page with a hole in a sentence about
// money is worse than an error page.
func (t *Texts) Text(l Lang, key string, pairs ...any) (string, error) {
	return t.fill(l, key, pairs, func(s string) string { return s }, fmt.Sprint)
}

// HTML gives a text as HTML: the text and the values are escaped, and each
// value that is text is isolated, so that it cannot reorder what surrounds it.
func (t *Texts) HTML(l Lang, key string, pairs ...any) (template.HTML, error) {
	s, err := t.fill(l, key, pairs, template.HTMLEscapeString, func(v ...any) string {
		switch v := v[0].(type) {
		case template.HTML:
			return string(v)
		case int, int64:
			return fmt.Sprint(v)
		default:
			return string(isolate(fmt.Sprint(v)))
		}
	})
	return template.HTML(s), err //nolint:gosec // built from escaped pieces only
}

func (t *Texts) fill(l Lang, key string, pairs []any, text func(string) string, value func(...any) string) (string, error) {
	raw, ok := t.byLang[l][key]
	if !ok {
		return "", fmt.Errorf("texts: no text %q in %q", key, l)
	}
	if len(pairs)%2 != 0 {
		return "", fmt.Errorf("texts: %s: a placeholder has no value", key)
	}
	values := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		values["{"+fmt.Sprint(pairs[i])+"}"] = value(pairs[i+1])
	}
	var b strings.Builder
	rest := raw
	for _, at := range placeholder.FindAllStringIndex(raw, -1) {
		name := raw[at[0]:at[1]]
		v, ok := values[name]
		if !ok {
			return "", fmt.Errorf("texts: %s needs %s", key, name)
		}
		b.WriteString(text(raw[len(raw)-len(rest) : at[0]]))
		b.WriteString(v)
		rest = raw[at[1]:]
	}
	b.WriteString(text(rest))
	return b.String(), nil
}

// isolate wraps foreign text so that its direction ends with it.
func isolate(s string) template.HTML {
	return template.HTML("<bdi>" + template.HTMLEscapeString(s) + "</bdi>") //nolint:gosec // escaped
}
