// Package explain puts a rule's hit into a sentence an officer can read out: why
// it fired, in words and numbers, in English and German.
//
// The sentences are texts with places for what the hit itself recorded (inputs,
// limits, windows), so that an old hit says what was true when it fired. They
// hold nothing from outside but codes of a few letters. A rule that has no
// sentence, one that officers added, is told by its numbers; a number that is
// missing is said to be unknown. Nothing here fails.
//
// Neighbours: compliance/rules (whose hits these are), compliance/console (which
// shows the sentences), psd2/page (how money is written).
package explain

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
)

//go:embed en.txt de.txt
var files embed.FS

var sentences = map[page.Lang]map[string]string{page.English: read("en.txt"), page.German: read("de.txt")}

// read gives the sentences of a language by rule.
func read(file string) map[string]string {
	b, err := files.ReadFile(file)
	if err != nil {
		panic("explain: " + err.Error()) // it is part of the binary
	}
	out := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if rule, text, ok := strings.Cut(line, " = "); ok && !strings.HasPrefix(line, "#") {
			out[rule] = strings.TrimSpace(text)
		}
	}
	return out
}

// Hit explains a hit in a language; one that is not known is English.
func Hit(lang page.Lang, h rules.Hit) string {
	if sentences[lang] == nil {
		lang = page.English
	}
	t := teller{lang, h}
	text, ok := sentences[lang][h.Rule]
	if !ok {
		return t.numbers()
	}
	return t.fill(text)
}

// Stored explains a hit as it is kept with an alert; "" when it is none.
func Stored(lang page.Lang, stored json.RawMessage) string {
	var h rules.Hit
	if json.Unmarshal(stored, &h) != nil || h.Rule == "" {
		return ""
	}
	return Hit(lang, h)
}

type teller struct {
	lang page.Lang
	hit  rules.Hit
}

var (
	optional = regexp.MustCompile(`\[[^\]]*\]`)
	place    = regexp.MustCompile(`\{([a-z0-9_.]+)(?::([a-z]+))?\}`)
)

func (t teller) fill(text string) string {
	text = optional.ReplaceAllStringFunc(text, func(part string) string {
		for _, m := range place.FindAllStringSubmatch(part, -1) {
			if m[2] != "window" && !t.says(m[1]) {
				return ""
			}
		}
		return part[1 : len(part)-1]
	})
	return place.ReplaceAllStringFunc(text, func(s string) string {
		m := place.FindStringSubmatch(s)
		return t.value(m[1], m[2])
	})
}

// says reports whether a value is there and says anything.
func (t teller) says(name string) bool {
	switch v := t.of(name).(type) {
	case bool:
		return v
	case float64:
		return v != 0
	case string:
		return v != ""
	}
	return len(t.fired(name)) > 0
}

// of is what the hit recorded under a name; nil when nothing.
func (t teller) of(name string) any {
	if limit, ok := strings.CutPrefix(name, "limit."); ok {
		if v, ok := t.hit.Limits[limit]; ok {
			return v
		}
		return nil
	}
	return t.hit.Inputs[name]
}

// value writes one value as its kind is written.
func (t teller) value(name, kind string) string {
	v := t.of(name)
	number, isNumber := v.(float64)
	isNumber = isNumber && !math.IsNaN(number) && !math.IsInf(number, 0)
	switch {
	case kind == "flag":
		return ""
	case kind == "window":
		return t.window(name)
	case kind == "text" && name == "fired":
		return strings.Join(t.fired(name), ", ")
	case kind == "text":
		if s, ok := v.(string); ok && s != "" {
			return harmless(s)
		}
	case !isNumber:
	case kind == "money":
		return page.Money(t.lang, psd2.Euro(int64(math.Round(number))))
	case kind == "percent":
		return t.decimal(number*100) + "\u00a0%"
	case kind == "hours":
		return t.duration(time.Duration(number * float64(time.Hour)))
	default:
		return t.decimal(number)
	}
	return t.word("not known", "nicht bekannt")
}

func (t teller) word(english, german string) string {
	if t.lang == page.German {
		return german
	}
	return english
}

// decimal writes a number with one digit behind the point where it has any.
func (t teller) decimal(v float64) string {
	s := strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
	if t.lang == page.German {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s
}

var units = []struct {
	length                time.Duration
	one, many, eins, alle string
}{
	{24 * time.Hour, "day", "days", "Tag", "Tagen"}, {time.Hour, "hour", "hours", "Stunde", "Stunden"},
	{time.Minute, "minute", "minutes", "Minute", "Minuten"}, {time.Second, "second", "seconds", "Sekunde", "Sekunden"},
}

// duration is a length of time in its largest units, two at most: "3 days 4
// hours".
func (t teller) duration(d time.Duration) string {
	var parts []string
	d = max(d, 0).Round(time.Second)
	for _, u := range units {
		n := int64(d / u.length)
		if n == 0 || len(parts) == 2 || len(parts) == 1 && u.length == time.Second {
			continue
		}
		parts = append(parts, t.count(n, u.one, u.many, u.eins, u.alle))
		d -= time.Duration(n) * u.length
	}
	if parts == nil {
		return t.word("no time", "keiner Zeit")
	}
	return strings.Join(parts, " ")
}

func (t teller) count(n int64, one, many, eins, alle string) string {
	name := t.word(many, alle)
	if n == 1 {
		name = t.word(one, eins)
	}
	return fmt.Sprintf("%d\u00a0%s", n, name)
}

// window is the length of a feature's window.
func (t teller) window(feature string) string {
	switch w := t.hit.Windows[feature]; {
	case w == "month":
		return t.word("calendar month", "Kalendermonat")
	case strings.HasSuffix(w, "d"):
		if n, err := strconv.ParseInt(strings.TrimSuffix(w, "d"), 10, 64); err == nil {
			return t.count(n, "day", "days", "Tag", "Tagen")
		}
	default:
		if d, err := time.ParseDuration(w); err == nil {
			if d%time.Hour == 0 { // 24 hours are 24 hours, not a day
				return t.count(int64(d/time.Hour), "hour", "hours", "Stunde", "Stunden")
			}
			return t.duration(d)
		}
	}
	return t.word("a time not known", "nicht bekannter Zeit")
}

// fired are the rules that had fired before.
func (t teller) fired(name string) (ids []string) {
	if name != "fired" {
		return nil
	}
	switch before := t.hit.Inputs[name].(type) {
	case map[string]any: // as JSON brings it back
		for id, v := range before {
			if v == true {
				ids = append(ids, harmless(id))
			}
		}
	case map[string]bool:
		for id, v := range before {
			if v {
				ids = append(ids, harmless(id))
			}
		}
	}
	slices.Sort(ids)
	return ids
}

var odd = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// harmless keeps of a code or list word only what cannot be taken for anything
// else.
func harmless(s string) string {
	s = odd.ReplaceAllString(s, "")
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40])
	}
	return s
}

// numbers tells a hit without a sentence by its inputs.
func (t teller) numbers() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(t.hit.Inputs)) {
		kind := ""
		switch t.hit.Inputs[name].(type) {
		case string:
			kind = "text"
		case float64:
			if name == "amount" || strings.Contains(name, "sum") {
				kind = "money"
			}
		case bool:
			parts = append(parts, harmless(name)+": "+t.word(strconv.FormatBool(t.says(name)), map[bool]string{true: "ja", false: "nein"}[t.says(name)]))
			continue
		default:
			continue
		}
		parts = append(parts, harmless(name)+": "+t.value(name, kind))
	}
	if parts == nil {
		return t.word("The rule fired; no numbers were kept.", "Die Regel hat gefeuert; Zahlen wurden nicht behalten.")
	}
	return strings.Join(parts, "; ") + "."
}
