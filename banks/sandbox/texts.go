package sandbox

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"strconv"
	"strings"

	"golang.org/x/text/language"

	"github.com/rialto-hub/rialto/psd2"
)

//go:embed templates/*.html texts/*.json
var assets embed.FS

//go:embed bank.css
var sheet string

// styleOf is a bank's style sheet. It knows the colours of the others too, for
// the pages that list them.
func styleOf(b Bank, all []Bank) []byte {
	out := []byte(":root { --bank: " + b.Colour + "; }\n" + sheet)
	for i, other := range all {
		out = fmt.Appendf(out, ".bank-%d { --bank: %s; }\n", i, other.Colour)
	}
	return out
}

// locales in the order of the matcher; the first is the default.
var (
	locales = []string{"en", "de"}
	matcher = language.NewMatcher([]language.Tag{language.English, language.German})
)

// pages are the templates, parsed once per language.
type pages struct {
	byLocale []*template.Template
	texts    []texts
}

// localeOf picks the index of the language the browser prefers.
func localeOf(acceptLanguage string) int {
	_, index := language.MatchStrings(matcher, acceptLanguage)
	return index
}

// say returns one sentence in that language.
func (p *pages) say(acceptLanguage, key string, pairs ...any) (string, error) {
	return p.texts[localeOf(acceptLanguage)].say(key, pairs...)
}

func parsePages() (*pages, error) {
	p := &pages{}
	for _, locale := range locales {
		texts, err := loadTexts(locale)
		if err != nil {
			return nil, err
		}
		t, err := template.New("").Funcs(template.FuncMap{
			"t":       texts.say,
			"money":   func(minor int64) string { return formatMoney(minor, locale) },
			"grouped": func(iban string) string { return psd2.IBAN(iban).Grouped() },
		}).ParseFS(assets, "templates/*.html")
		if err != nil {
			return nil, fmt.Errorf("sandbox: templates: %w", err)
		}
		p.byLocale = append(p.byLocale, t)
		p.texts = append(p.texts, texts)
	}
	return p, nil
}

// execute renders a page in the language the browser prefers.
func (p *pages) execute(name, acceptLanguage string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := p.byLocale[localeOf(acceptLanguage)].ExecuteTemplate(&b, name, data); err != nil {
		return nil, fmt.Errorf("sandbox: page %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// texts is one language's sentences by key.
type texts map[string]string

func loadTexts(locale string) (texts, error) {
	raw, err := assets.ReadFile("texts/" + locale + ".json")
	if err != nil {
		return nil, fmt.Errorf("sandbox: texts: %w", err)
	}
	t := texts{"lang": locale}
	if err := json.Unmarshal(raw, &t); err != nil {
		return nil, fmt.Errorf("sandbox: texts %s: %w", locale, err)
	}
	return t, nil
}

// say returns a sentence with its {name} places filled from name, value pairs.
func (t texts) say(key any, pairs ...any) (string, error) {
	s, ok := t[fmt.Sprint(key)]
	if !ok {
		return "", fmt.Errorf("no text %q", key)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		s = strings.ReplaceAll(s, "{"+fmt.Sprint(pairs[i])+"}", fmt.Sprint(pairs[i+1]))
	}
	return s, nil
}

// formatMoney writes cents as "1,234.50 €" or "1.234,50 €", with blanks that
// do not break.
func formatMoney(minor int64, locale string) string {
	thousands, point := ",", "."
	if locale == "de" {
		thousands, point = ".", ","
	}
	sign := ""
	if minor < 0 {
		sign, minor = "-", -minor
	}
	whole := strconv.FormatInt(minor/100, 10)
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + thousands + whole[i:]
	}
	return fmt.Sprintf("%s%s%s%02d\u00a0€", sign, whole, point, minor%100)
}
