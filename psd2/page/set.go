package page

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rialto-hub/rialto/psd2"
)

//go:embed parts text static
var own embed.FS

// Room is what a package with pages brings; see the package comment for the
// layout of Files.
type Room struct {
	Files    fs.FS
	Funcs    template.FuncMap // more functions for its templates
	Provider Provider
	Location *time.Location // of times on the pages; nil is Europe/Berlin
}

// Set is a room's parsed pages in every language. It is safe for use by many.
type Set struct {
	texts    *Texts
	assets   *assets
	pages    map[Lang]map[string]*template.Template
	provider Provider
	location *time.Location
}

// Page is one page about to be shown.
type Page struct {
	Name       string         // template, pages/NAME.html
	Title      string         // plain text
	Lang       Lang           //
	Status     int            // HTTP status; 0 is 200
	Self       *url.URL       // where the language switch leads back to; nil hides the switch
	Layout     string         // "" one narrow column, "wide", or "dense" for consoles
	Accent     string         // a merchant's "#rrggbb"; ignored when illegible
	About      string         // path of the page that says who runs this one; "" hides the link
	Nav        []Link         // main navigation of a console
	Scripts    []string       // assets of the room, deferred
	Refresh    time.Duration  // without JavaScript, load again after this time
	FormAction []string       // origins that the page's forms may lead to besides our own
	Data       any            // the page's own
	Extra      map[string]any // for the frame's blocks, rarely
}

// Link is an entry of a navigation.
type Link struct {
	Text, Href string
	Current    bool
	Key        string // the letter that opens it, where keys.js runs; "" none
}

// view is what templates see: the page and what New knows.
type view struct {
	Page
	Provider  Provider
	AccentURL string
	Seconds   int
	Switch    []Link
}

// New parses a room's pages over the shared parts.
func New(room Room) (*Set, error) {
	texts, err := LoadTexts(own, room.Files)
	if err != nil {
		return nil, err
	}
	files, err := loadAssets(own, room.Files)
	if err != nil {
		return nil, err
	}
	s := &Set{texts: texts, assets: files, pages: map[Lang]map[string]*template.Template{},
		provider: room.Provider, location: room.Location}
	if s.location == nil {
		if s.location, err = time.LoadLocation("Europe/Berlin"); err != nil {
			return nil, fmt.Errorf("pages: %w", err)
		}
	}
	for _, l := range Langs {
		if s.pages[l], err = s.parse(l, room); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// parse makes one template per page, so that each can define "main".
func (s *Set) parse(l Lang, room Room) (map[string]*template.Template, error) {
	base := template.New("").Funcs(s.funcs(l)).Funcs(room.Funcs)
	base, err := base.ParseFS(own, "parts/*.html")
	if err != nil {
		return nil, fmt.Errorf("parts: %w", err)
	}
	if names, _ := fs.Glob(room.Files, "parts/*.html"); len(names) > 0 {
		if base, err = base.ParseFS(room.Files, names...); err != nil {
			return nil, fmt.Errorf("parts: %w", err)
		}
	}
	names, err := fs.Glob(room.Files, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	pages := map[string]*template.Template{}
	if pages["error"], err = base.Clone(); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	for _, name := range names {
		one, err := base.Clone()
		if err == nil {
			one, err = one.ParseFS(room.Files, name)
		}
		if err != nil {
			return nil, fmt.Errorf("page %s: %w", name, err)
		}
		pages[strings.TrimSuffix(path.Base(name), ".html")] = one
	}
	for name, one := range pages {
		if err := checkKeys(one, s.texts); err != nil {
			return nil, fmt.Errorf("page %s: %w", name, err)
		}
		s.fold(l, one)
	}
	return pages, nil
}

// Render writes a page with its headers. It renders to memory first, so that
// a fault in a template never shows half a page. The error is for the log; the
// reader then has got a plain answer already.
func (s *Set) Render(w http.ResponseWriter, p Page) error {
	body, err := s.HTML(p)
	if err != nil {
		Headers(w.Header())
		http.Error(w, "This page could not be shown. Diese Seite kann nicht angezeigt werden.", http.StatusInternalServerError)
		return err
	}
	Headers(w.Header(), p.FormAction...)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", string(p.Lang))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if p.Status == 0 {
		p.Status = http.StatusOK
	}
	w.WriteHeader(p.Status)
	_, err = w.Write(body)
	return err
}

// HTML renders a page to memory.
func (s *Set) HTML(p Page) ([]byte, error) {
	t := s.pages[p.Lang][p.Name]
	if t == nil {
		return nil, fmt.Errorf("pages: no page %q in %q", p.Name, p.Lang)
	}
	v := view{Page: p, Provider: s.provider, Seconds: int(p.Refresh / time.Second), Switch: languageSwitch(p)}
	v.AccentURL, _ = AccentURL(p.Accent)
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "frame", v); err != nil {
		return nil, fmt.Errorf("page %s: %w", p.Name, err)
	}
	return b.Bytes(), nil
}

func languageSwitch(p Page) []Link {
	if p.Self == nil {
		return nil
	}
	links := make([]Link, 0, len(Langs))
	for _, l := range Langs {
		q := p.Self.Query()
		q.Set("lang", string(l))
		links = append(links, Link{Text: string(l), Href: p.Self.EscapedPath() + "?" + q.Encode(), Current: l == p.Lang})
	}
	return links
}

// Problem is the data of the page "error" that every set has: a sentence that
// says what happened, one that says what to do, and where to go on.
type Problem struct {
	Lead, Next string // plain text
	Links      []Link
	TraceID    string // for the help desk
}

// Assets serves /static/.
func (s *Set) Assets() http.Handler { return s.assets }

// AssetURL is an asset's path with its hash.
func (s *Set) AssetURL(name string) (string, error) {
	if u, ok := s.assets.urls[name]; ok {
		return u, nil
	}
	return "", fmt.Errorf("assets: no asset %q", name)
}

// Texts gives the room's texts, for titles and messages made in Go.
func (s *Set) Texts() *Texts { return s.texts }

// Say is a plain text for Go code that names a key known to exist; a missing
// one yields the key, which the tests of the room find.
func (s *Set) Say(l Lang, key string, pairs ...any) string {
	text, err := s.texts.Text(l, key, pairs...)
	if err != nil {
		return key
	}
	return text
}

// Local moves a time to the pages' zone.
func (s *Set) Local(t time.Time) time.Time { return t.In(s.location) }

func (s *Set) funcs(l Lang) template.FuncMap {
	return template.FuncMap{
		"t":  func(key string, pairs ...any) (template.HTML, error) { return s.texts.HTML(l, key, pairs...) },
		"tt": func(key string, pairs ...any) (string, error) { return s.texts.Text(l, key, pairs...) },
		"tn": func(key string, n int) (template.HTML, error) {
			if n == 1 {
				return s.texts.HTML(l, key+".one", "n", n)
			}
			return s.texts.HTML(l, key+".other", "n", n)
		},
		"bdi":      isolate,
		"lang":     func() string { return string(l) },
		"money":    func(m psd2.Money) string { return Money(l, m) },
		"words":    func(m psd2.Money) string { return Words(l, m) },
		"date":     func(t time.Time) string { return Date(l, s.Local(t)) },
		"clock":    func(t time.Time) string { return Clock(l, s.Local(t)) },
		"moment":   func(t time.Time) string { return Moment(l, s.Local(t)) },
		"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"minutes":  func(d time.Duration) int { return int((d + time.Minute - 1) / time.Minute) },
		"monogram": Monogram,
		"asset":    s.AssetURL,
		"args":     args,
		"tail": func(i psd2.IBAN) string {
			if len(i) < 8 {
				return ""
			}
			return string(i[len(i)-4:])
		},
		"name": func(tag string) string { return Lang(tag).Name() },
	}
}

// args makes the parameters of a part.
func args(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("args: a name has no value")
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, errors.New("args: a name is not a string")
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// Monogram is what stands for a bank whose logo we do not show: the first
// letters of its first two words, or the first two of its only word.
func Monogram(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	switch len(words) {
	case 0:
		return "–"
	case 1:
		r := []rune(words[0])
		return strings.ToUpper(string(r[:min(2, len(r))]))
	default:
		return strings.ToUpper(string([]rune(words[0])[:1]) + string([]rune(words[1])[:1]))
	}
}
