package names

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// class says what part a token plays in a name; it decides with what it may be compared and how much it weighs.
type class uint8

const (
	core     class = iota // a given or family name, or a word of a company's own name
	initial               // one letter that stands for a name
	particle              // bin, von, al
	title                 // Dr., Sheikh, General
	legal                 // GmbH, LLC, OOO
)

// token is one word of a name with the keys it is found and compared by.
type token struct {
	text     string
	sound    string
	skeleton string
	source   string // as written, for syllabic scripts
	class    class
	script   script
	numeric  bool
	cut      bool    // the last word of a name that fills its field: it may go on
	known    bool    // a well-known personal name in one of its spellings
	weight   float64 // what the word proves by its nature, before the rarity in a list: 1 for an ordinary name
}

// Weights of words by their nature.
const (
	plainWeight      = 1.0
	commonWeight     = 0.75
	patronymicWeight = 0.6
	genericWeight    = 0.5
	initialWeight    = 0.5
	servantWeight    = 0.4 // Abd, Abu: halves of names
	numberWeight     = 0.35
	legalWeight      = 0.12
	particleWeight   = 0.1
	titleWeight      = 0.04
)

const maxTokens = 24 // of one name; what follows is cut, so that the work per name is bounded

// parse reads a name as one of the given kind. KindUnknown is read like a person's that may carry a legal form.
func parse(name string, kind Kind) []token {
	words := joinDotted(fold(name), kind)
	out := make([]token, 0, len(words)+2)
	for i := 0; i < len(words) && len(out) < maxTokens; {
		if form, n := legalAt(words[i:], kind); n > 0 {
			out = append(out, token{text: form, sound: form, class: legal, weight: legalWeight})
			i += n
			continue
		}
		out = appendWord(out, words[i], kind)
		i++
	}
	out = promote(out)
	if n := len(out); n > 0 && fillsField(name) {
		out[n-1].cut = true
	}
	return out
}

// fillsField says that a name has the length at which payment messages cut it: 35 characters in older fields, 70 in a pacs.008. A blank
// at the cut may have been trimmed.
func fillsField(name string) bool {
	n := utf8.RuneCountInString(strings.TrimSpace(name))
	return n >= 34 && n <= 35 || n >= 69 && n <= 70
}

// promote makes words of a name that has no other ones: a Mullah called only Haji, a company called only Holding AG.
func promote(tokens []token) []token {
	for _, t := range tokens {
		if t.class == core {
			return tokens
		}
	}
	for i := range tokens {
		if t := &tokens[i]; t.class == title || t.class == particle || t.class == legal {
			t.class, t.weight = core, commonWeight
			t.sound = soundOf(t.text)
			t.skeleton = skeletonOf(t.sound)
		}
	}
	return tokens
}

// joinDotted makes one word of letters with full stops between them where they are no initials of a person: G.m.b.H., A.B.C.
func joinDotted(words []word, kind Kind) []word {
	out := words[:0:0]
	for i := 0; i < len(words); {
		n := 0
		for i+n < len(words) && len(words[i+n].text) == 1 && (n == 0 || words[i+n-1].dotted) {
			n++
		}
		if n < 2 {
			out = append(out, words[i])
			i++
			continue
		}
		var joined strings.Builder
		for _, w := range words[i : i+n] {
			joined.WriteString(w.text)
		}
		if _, form := legalForms[joined.String()]; form && kind != KindPerson || kind == KindOrganization {
			out = append(out, word{text: joined.String()})
		} else {
			out = append(out, words[i:i+n]...)
		}
		i += n
	}
	return out
}

// shortForms are legal forms of two letters that are no name anywhere; the others count only where the kind is known.
var shortForms = set("ag ug kg bv nv ab")

func legalAt(words []word, kind Kind) (form string, n int) {
	if kind == KindPerson || kind == KindVessel || kind == KindAircraft {
		return "", 0
	}
	for n = min(len(words), 6); n > 0; n-- {
		if kind == KindUnknown && n == 1 && len(words[0].text) < 3 && !shortForms[words[0].text] {
			return "", 0
		}
		phrase := words[0].text
		for _, w := range words[1:n] {
			phrase += " " + w.text
		}
		if form, ok := legalForms[phrase]; ok {
			return form, n
		}
		if kind == KindOrganization && phrase == "a s" {
			return "as", n
		}
	}
	return "", 0
}

func appendWord(out []token, w word, kind Kind) []token {
	if other, ok := spellings[w.text]; ok {
		w.text = other
	}
	if w.script == abjad && strings.HasPrefix(w.text, "al") && len(w.text) >= 5 { // the Arabic article is written onto its word
		out = append(out, token{text: "al", sound: "al", class: particle, weight: particleWeight})
		w.text = w.text[2:]
	}
	if rest, ok := afterServant(w.text); ok {
		out = append(out, newToken(word{text: "abd", script: w.script}, kind))
		w.text = rest
	}
	if n := len(out); n > 0 && out[n-1].text == "abd" {
		switch w.text {
		case "allah", "ullah", "ollah", "allh":
			out[n-1] = newToken(word{text: "abdullah"}, kind)
			return out
		}
	}
	return append(out, newToken(w, kind))
}

// afterServant cuts Abd ("servant of") with its article from names written as one word: Abdulrahman, Abdurrahman, Abdelkader, Abdikadir.
// Abdullah is a word of its own.
func afterServant(text string) (string, bool) {
	rest, ok := strings.CutPrefix(text, "abd")
	if !ok || len(rest) < 5 || !isVowel(rest[0]) {
		return "", false
	}
	if after, is := strings.CutPrefix(text, "abdulla"); is && (len(after) < 2 || after[0] == 'e' || after[0] == 'y' || after[0] == 'h' || after[0] == 'o') {
		return "", false
	}
	rest = rest[1:]
	if rest[0] == 'l' || rest[0] == rest[1] {
		rest = rest[1:]
	}
	return rest, len(rest) >= 4
}

func newToken(w word, kind Kind) token {
	t := token{text: w.text, source: w.source, script: w.script, weight: plainWeight}
	t.numeric = strings.Trim(w.text, "0123456789") == ""
	person := kind == KindPerson || kind == KindUnknown
	canonical, isParticle := particles[w.text]
	if kind == KindOrganization && prepositions[w.text] {
		canonical, isParticle = "of", true
	}
	switch {
	case t.numeric:
		t.weight = numberWeight
	case len(w.text) == 1 && (w.dotted || !isParticle):
		t.class, t.weight = initial, initialWeight
		if !person {
			t.weight = numberWeight
		}
	case isParticle && w.script != syllabic:
		t.text, t.class, t.weight = canonical, particle, particleWeight
	case person && titles[w.text]:
		t.class, t.weight = title, titleWeight
	case w.text == "abd", w.text == "abu", w.text == "abou", w.text == "umm":
		t.weight = servantWeight
	case !person && genericWords[w.text]:
		t.weight = genericWeight
	case !person && roman(w.text):
		t.weight = numberWeight
	case person && patronymic(w.text):
		t.weight = patronymicWeight
	}
	t.sound = soundOf(t.text)
	t.skeleton = skeletonOf(t.sound)
	t.known = person && t.class == core && commonSounds()[t.sound]
	if t.known && t.weight == plainWeight {
		t.weight = commonWeight
	}
	return t
}

// commonSounds are the common names by sound: Mohamad is as well known as Muhammad.
var commonSounds = sync.OnceValue(func() map[string]bool {
	out := make(map[string]bool, len(commonNames))
	for name := range commonNames {
		out[soundOf(name)] = true
	}
	return out
})

func roman(text string) bool {
	return text != "" && strings.Trim(text, "ivx") == ""
}
