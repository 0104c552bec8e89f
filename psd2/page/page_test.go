package page_test

import (
	"compress/gzip"
	"html/template"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
)

// room is a file system with one page, for tests to add to.
func room(extra ...string) fstest.MapFS {
	files := fstest.MapFS{
		"text/en.txt":    {Data: []byte("hello = Hello {name}, you have {n} messages.\nthing.one = {n} thing\nthing.other = {n} things\n")},
		"text/de.txt":    {Data: []byte("hello = Guten Tag {name}, Sie haben {n} Nachrichten.\nthing.one = {n} Ding\nthing.other = {n} Dinge\n")},
		"pages/one.html": {Data: []byte(`{{define "main"}}<p title="{{tt "hello" "name" .Data "n" 2}}">{{t "hello" "name" .Data "n" 2}} {{tn "thing" 1}} {{tn "thing" 2}}</p>{{end}}`)},
		"static/own.js":  {Data: []byte(`"use strict";`)},
	}
	for i := 0; i < len(extra); i += 2 {
		files[extra[i]] = &fstest.MapFile{Data: []byte(extra[i+1])}
	}
	return files
}

func newSet(t *testing.T, files fstest.MapFS) *page.Set {
	t.Helper()
	s, err := page.New(page.Room{Files: files, Provider: page.SandboxProvider()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestForeignTextInSentencesIsEscapedAndIsolated(t *testing.T) { // B14, B15
	s := newSet(t, room())
	body, err := s.HTML(page.Page{Name: "one", Lang: page.English, Title: "<Title>", Data: `<b>"Eve"`})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`Hello <bdi>&lt;b&gt;&#34;Eve&#34;</bdi>, you have 2 messages. 1 thing 2 things</p>`,
		`<p title="Hello &lt;b&gt;&#34;Eve&#34;, you have 2 messages.">`,
		`<title>&lt;Title&gt; – Rialto</title>`, `<html lang="en" dir="ltr">`,
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the page lacks %s\n%s", want, body)
		}
	}
}

func TestNewFindsWhatAPageWouldFindTooLate(t *testing.T) {
	for name, c := range map[string]struct {
		change []string
		want   string
	}{
		"key missing in one language": {[]string{"text/de.txt", "thing.one = {n}\nthing.other = {n}\n"}, "hello is missing in de"},
		"key too many":                {[]string{"text/en.txt", "thing.one = {n}\nthing.other = {n}\n"}, "hello is missing in en"},
		"other placeholders":          {[]string{"text/de.txt", "hello = Hallo {name}\nthing.one = {n}\nthing.other = {n}\n"}, "placeholders"},
		"key twice":                   {[]string{"text/en.txt", "hello = a\nhello = b\n"}, "twice"},
		"no key":                      {[]string{"text/en.txt", "hello\n"}, "want key = text"},
		"text that is not there":      {[]string{"pages/two.html", `{{define "main"}}{{if .Data}}{{range .Data}}{{t "nowhere"}}{{end}}{{end}}{{end}}`}, "nowhere"},
		"text in an argument":         {[]string{"pages/two.html", `{{define "main"}}{{template "notice" (args "Kind" "info" "Text" (t "nowhere.else"))}}{{end}}`}, "nowhere.else"},
		"plural that is not there":    {[]string{"pages/two.html", `{{define "main"}}{{tn "hello" 2}}{{end}}`}, "hello"},
		"broken template":             {[]string{"pages/two.html", `{{define "main"}}{{if}}{{end}}`}, "two.html"},
		"unknown kind of asset":       {[]string{"static/x.exe", "x"}, "unknown kind"},
		"asset of the frame's name":   {[]string{"static/base.css", "x"}, "twice"},
	} {
		_, err := page.New(page.Room{Files: room(c.change...)})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestMissingValueIsAnErrorNotAHole(t *testing.T) {
	s := newSet(t, room())
	if _, err := s.Texts().Text(page.English, "hello", "name", "Eve"); err == nil {
		t.Error("a sentence with a hole was given out")
	}
	w := httptest.NewRecorder()
	if err := s.Render(w, page.Page{Name: "nowhere", Lang: page.English}); err == nil || w.Code != http.StatusInternalServerError {
		t.Errorf("unknown page: %d %v", w.Code, err)
	}
}

func TestMoneyReadsTheSameInEveryLanguage(t *testing.T) { // B28
	for _, c := range []struct {
		minor                  int64
		de, en, deWords, enWds string
	}{
		{1, "0,01 €", "€0.01", "0 Euro und 1 Cent", "0 euros and 1 cent"},
		{100, "1,00 €", "€1.00", "1 Euro", "1 euro"},
		{2550, "25,50 €", "€25.50", "25 Euro und 50 Cent", "25 euros and 50 cents"},
		{100000, "1.000,00 €", "€1,000.00", "1000 Euro", "1000 euros"},
		{99_999_999_999, "999.999.999,99 €", "€999,999,999.99", "999999999 Euro und 99 Cent", "999999999 euros and 99 cents"},
		{-2550, "-25,50 €", "-€25.50", "-25,50 €", "-€25.50"},
		{0, "0,00 €", "€0.00", "0 Euro", "0 euros"},
	} {
		m := psd2.Euro(c.minor)
		got := []string{page.Money(page.German, m), page.Money(page.English, m), page.Words(page.German, m), page.Words(page.English, m)}
		for i, want := range []string{c.de, c.en, c.deWords, c.enWds} {
			if strings.ReplaceAll(got[i], "\u00a0", " ") != want {
				t.Errorf("%d: %q, want %q", c.minor, got[i], want)
			}
		}
	}
	if got := page.Money(page.English, psd2.Money{AmountMinor: 123456, Currency: "CHF"}); got != "1,234.56\u00a0CHF" {
		t.Errorf("another currency: %q", got)
	}
}

func TestTimesNameTheirZone(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	winter, summer := time.Date(2026, 3, 1, 20, 5, 0, 0, time.UTC).In(berlin), time.Date(2026, 7, 9, 20, 5, 0, 0, time.UTC).In(berlin)
	for want, got := range map[string]string{
		"1. März 2026, 21:05 Uhr MEZ": page.Moment(page.German, winter), "1 March 2026, 21:05 CET": page.Moment(page.English, winter),
		"9. Juli 2026, 22:05 Uhr MESZ": page.Moment(page.German, summer), "9 July 2026, 22:05 CEST": page.Moment(page.English, summer),
	} {
		if strings.ReplaceAll(got, "\u00a0", " ") != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestLanguageIsChosenByWishCookieHintAndHeader(t *testing.T) {
	for _, c := range []struct{ query, cookie, hint, header, want string }{
		{"", "", "", "", "en"},
		{"", "", "", "de-AT,de;q=0.9,en;q=0.5", "de"},
		{"", "", "", "fr", "en"},
		{"", "", "", "fr,de;q=0.3", "de"},
		{"", "", "de", "en", "de"},
		{"", "en", "de", "de", "en"},
		{"de", "en", "en", "en", "de"},
		{"xx", "de", "", "en", "de"},
		{"", "<script>", "", "de", "de"},
		{"", "", "", strings.Repeat("de,", 400), "en"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/?lang="+c.query, nil)
		if c.cookie != "" {
			r.AddCookie(&http.Cookie{Name: page.LangCookie, Value: c.cookie})
		}
		r.Header.Set("Accept-Language", c.header)
		w := httptest.NewRecorder()
		if got := page.Negotiate(w, r, c.hint); string(got) != c.want {
			t.Errorf("%+v: %s", c, got)
		}
		if set := w.Header().Get("Set-Cookie"); (set != "") != (c.query == "de") {
			t.Errorf("%+v: cookie %q", c, set)
		}
	}
}

func TestLanguageSwitchKeepsTheQuery(t *testing.T) {
	s := newSet(t, room())
	u, _ := url.Parse("/p/x?q=a%26b&lang=de")
	body, err := s.HTML(page.Page{Name: "one", Lang: page.German, Self: u, Data: ""})
	if err != nil {
		t.Fatal(err)
	}
	if want := `href="/p/x?lang=en&amp;q=a%26b" lang="en"`; !strings.Contains(string(body), want) {
		t.Errorf("no %s in\n%s", want, body)
	}
}

func TestPolicyNamesOnlyOrigins(t *testing.T) { // B03, B18
	csp := page.CSP("https://bank.example", "http://bank.localhost:8080", "https://evil.example/path", "https://a b", "https://x;script-src *",
		"javascript:alert(1)", "*", "https://*.example", "data:", "https://u@evil.example")
	if want := "form-action 'self' https://bank.example http://bank.localhost:8080"; !strings.HasSuffix(csp, want) {
		t.Errorf("%s", csp)
	}
	for _, want := range []string{"default-src 'none'", "base-uri 'none'", "object-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("no %s in %s", want, csp)
		}
	}
	if strings.Contains(csp, "unsafe") {
		t.Error(csp)
	}
}

func TestAssetsAreNamedByTheirContent(t *testing.T) {
	s, other := newSet(t, room()), newSet(t, room("static/own.js", `"use strict"; // changed`))
	a, _ := s.AssetURL("own.js")
	b, _ := other.AssetURL("own.js")
	if a == b || !regexp.MustCompile(`^/static/own\.[0-9a-f]{12}\.js$`).MatchString(a) {
		t.Errorf("%s and %s", a, b)
	}
	css, _ := s.AssetURL("base.css")
	get := func(method, path, encoding string) *http.Response {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Accept-Encoding", encoding)
		w := httptest.NewRecorder()
		s.Assets().ServeHTTP(w, r)
		return w.Result()
	}
	plain := get(http.MethodGet, css, "")
	body, _ := io.ReadAll(plain.Body)
	if plain.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || plain.Header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("%v", plain.Header)
	}
	zipped := get(http.MethodGet, css, "gzip, br")
	r, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	if unzipped, _ := io.ReadAll(r); string(unzipped) != string(body) {
		t.Error("the compressed file is another one")
	}
	if head := get(http.MethodHead, css, ""); head.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
		t.Errorf("HEAD: %v", head.Header)
	}
	for path, want := range map[string]int{b: 404, "/static/": 404, "/static/../set.go": 404, "/static/accent-zzzzzz.css": 404} {
		if got := get(http.MethodGet, path, ""); got.StatusCode != want || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", path, got.StatusCode, got.Header)
		}
	}
	if got := get(http.MethodPost, css, ""); got.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", got.StatusCode)
	}
}

func TestMerchantsColourMustBeLegibleAndNothingElse(t *testing.T) { // B16
	s := newSet(t, room())
	for colour, want := range map[string]bool{
		"#5b2a86": true, "#0E5A5E": true, "#000000": true,
		"#ffff00": false, "#ffffff": false, "#777777": false, "red": false, "": false, "#12345": false, "5b2a86": false,
		"#5b2a86}body{display:none": false, "url(//evil)": false, "#5b2a8g": false,
	} {
		u, ok := page.AccentURL(colour)
		if ok != want {
			t.Errorf("%q: %t", colour, ok)
		}
		if !ok {
			continue
		}
		w := httptest.NewRecorder()
		s.Assets().ServeHTTP(w, httptest.NewRequest(http.MethodGet, u, nil))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "--action:"+strings.ToLower(colour)) {
			t.Errorf("%s: %d %s", u, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	s.Assets().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/static/accent-ffff00.css", nil))
	if w.Code != http.StatusNotFound {
		t.Error("an illegible colour is served to who asks for it by name")
	}
}

// The colours of base.css must be readable on each other, light and dark
// (WCAG 2.2: 4.5 for text, 3 for borders of controls and the focus ring).
func TestColoursHaveContrast(t *testing.T) {
	css, err := os.ReadFile("static/base.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark := map[string]string{}, map[string]string{}
	blocks := strings.SplitN(string(css), "@media (prefers-color-scheme: dark)", 2)
	token := regexp.MustCompile(`(--[a-z-]+): #([0-9a-f]{6});`)
	for _, m := range token.FindAllStringSubmatch(blocks[0], -1) {
		light[m[1]], dark[m[1]] = m[2], m[2]
	}
	for _, m := range token.FindAllStringSubmatch(blocks[1], -1) {
		dark[m[1]] = m[2]
	}
	pairs := map[[2]string]float64{
		{"--text", "--page"}: 4.5, {"--text", "--card"}: 4.5, {"--text", "--sunken"}: 4.5,
		{"--muted", "--page"}: 4.5, {"--muted", "--card"}: 4.5, {"--muted", "--sunken"}: 4.5,
		{"--link", "--page"}: 4.5, {"--link", "--card"}: 4.5, {"--on-action", "--action"}: 4.5, {"--on-action", "--action-hover"}: 4,
		{"--look", "--look-back"}: 4.5, {"--failed", "--failed-back"}: 4.5, {"--done", "--done-back"}: 4.5, {"--failed", "--page"}: 4.5,
		{"--text", "--look-back"}: 4.5, {"--text", "--failed-back"}: 4.5, {"--text", "--done-back"}: 4.5,
		{"--line-strong", "--page"}: 3, {"--action", "--page"}: 3, {"--focus", "--page"}: 3, {"--focus", "--card"}: 3,
	}
	for name, theme := range map[string]map[string]string{"light": light, "dark": dark} {
		for pair, least := range pairs {
			if got := contrast(t, theme[pair[0]], theme[pair[1]]); got < least {
				t.Errorf("%s: %s on %s has %.2f, want %.1f", name, pair[0], pair[1], got, least)
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	luminance := func(hex string) (sum float64) {
		for i, weight := range []float64{.2126, .7152, .0722} {
			v, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
			if err != nil {
				t.Fatalf("no colour: %q", hex)
			}
			c := float64(v) / 255
			if c <= .04045 {
				c /= 12.92
			} else {
				c = math.Pow((c+.055)/1.055, 2.4)
			}
			sum += weight * c
		}
		return sum
	}
	la, lb := luminance(a), luminance(b)
	return (math.Max(la, lb) + .05) / (math.Min(la, lb) + .05)
}

// Every part is shown once, so that a change to one is seen in its output.
func TestPartsRender(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	s := newSet(t, room("pages/parts.html", `{{define "main"}}
{{template "steps" (args "Names" .Data.Steps "Now" 1)}}
{{template "amount" (args "Amount" .Data.Amount "To" "Eve" "Note" "note")}}
{{template "iban" .Data.IBAN}}
{{template "facts" (args "Rows" .Data.Rows)}}
<ul>{{template "bank" (args "ID" "a" "Name" "Alpha Bank" "Detail" "ALPH" "Note" "" "Find" "alpha")}}{{template "bank" (args "ID" "b" "Name" "Beta" "Detail" "" "Note" "closed" "Find" "beta")}}</ul>
{{template "field" (args "ID" "f" "Name" "f" "Label" "Field" "Value" "v" "Hint" "hint" "Error" "wrong")}}
{{template "codefield" (args "ID" "c" "Name" "c" "Label" "Code")}}
{{template "notice" (args "Kind" "failed" "Text" "no")}}
{{template "badge" (args "Kind" "look" "Text" "held")}}
{{template "table" (args "Caption" "Table" "Head" .Data.Head "Rows" .Data.Table "Figures" 1)}}
{{template "timeline" (args "Entries" .Data.Entries)}}
{{template "empty" (args "Title" "nothing" "Text" "yet")}}{{end}}`))
	show := func(steps ...string) ([]byte, error) {
		return s.HTML(page.Page{Name: "parts", Lang: page.German, Layout: "dense", Nav: []page.Link{{Text: "Search", Href: "/search", Current: true}},
			Data: map[string]any{
				"Steps": steps, "Amount": psd2.Euro(2500), "IBAN": psd2.IBAN("DE89370400440532013000"),
				"Rows": []map[string]any{{"Term": "a", "Text": template.HTML("<b>b</b>")}}, "Head": []string{"A", "B"},
				"Table":   [][]any{{"x", 1}, {"y", 2}},
				"Entries": []map[string]any{{"At": at, "Kind": "done", "Title": "paid", "Text": "detail"}},
			}})
	}
	if _, err := show("thing.one"); err == nil || !strings.Contains(err.Error(), "thing.one needs {n}") {
		t.Fatalf("a step whose text needs a value: %v", err)
	}
	body, err := show("frame.nav", "frame.skip")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`<li class="now" aria-current="step">Zum Inhalt springen</li>`, `<li class="past">Bereiche<span class="vh"> (erledigt)</span></li>`,
		`<span aria-hidden="true">25,00` + "\u00a0" + `€</span><span class="vh">25 Euro</span>`, `an <bdi>Eve</bdi>`,
		`<span aria-hidden="true">DE•• •••• 3000</span>`, `Konto in <bdi>DE</bdi>, endet auf <bdi>3000</bdi>`,
		`<button class="bank" name="bank" value="a"`, `<span class="monogram" aria-hidden="true">AB</span>`, `<div class="bank off">`,
		`aria-invalid="true" aria-describedby="f-error f-hint"`, `autocomplete="one-time-code"`, `<strong class="vh">Nicht ausgeführt: </strong>no`,
		`<span class="badge look">held</span>`, `<th scope="col" class="num">B</th>`, `<td class="num">2</td>`,
		`<time datetime="2026-11-20T10:00:00Z">11:00` + "\u00a0" + `Uhr` + "\u00a0" + `MEZ</time>`, `<p class="what">nothing</p>`,
		`<body class="dense">`, `<a href="/search" aria-current="page">Search</a>`, `Testumgebung`,
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", body)
	}
}

func TestMonogram(t *testing.T) {
	for name, want := range map[string]string{"Sandbank": "SA", "Deutsche Kreditbank": "DK", "ING-DiBa": "ID", "1822direkt": "18",
		"Österreichische": "ÖS", "": "–", "A <script>": "AS", "x": "X"} {
		if got := page.Monogram(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestRenderSetsTheHeaders(t *testing.T) { // B20
	s := newSet(t, room())
	w := httptest.NewRecorder()
	if err := s.Render(w, page.Page{Name: "one", Lang: page.German, Status: http.StatusConflict, Data: "", Refresh: 3 * time.Second,
		Accent: "#5b2a86", Scripts: []string{"own.js"}, FormAction: []string{"https://bank.example"}}); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusConflict || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Language") != "de" ||
		!strings.HasSuffix(w.Header().Get("Content-Security-Policy"), "form-action 'self' https://bank.example") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, want := range []string{`<noscript><meta http-equiv="refresh" content="3"></noscript>`, `/static/accent-5b2a86.css`, `<script src="/static/own.`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s", want)
		}
	}
}
