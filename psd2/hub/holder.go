package hub

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// titles are words banks and merchants put beside a name.
var titles = map[string]bool{
	"mr": true, "mrs": true, "ms": true, "miss": true, "herr": true, "herrn": true, "frau": true, "dr": true, "prof": true,
	"dipl": true, "ing": true, "med": true, "und": true, "and": true, "or": true, "oder": true, "et": true,
}

// SameHolder reports whether an account holder's name, as a bank writes it, is
// the player's. Banks differ even between two answers about one account ("MR
// JONATHAN ROBERT SANDBRIDGE", "SANDBRIDGE J R"), so words are compared
// without order, title, accent or umlaut spelling; an initial stands for a
// word. Every word of the shorter name must be found in the longer, at least
// one word of two letters or more must be the same, and one word is no proof
// against several.
func SameHolder(holder, player string) bool {
	a, b := words(holder), words(player)
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) == 0 || len(a) == 1 && len(b) > 1 { // a family name alone is the whole family's
		return false
	}
	used := make([]bool, len(b))
	whole := false
	for _, exact := range []bool{true, false} { // whole words first, so that an initial does not take their place
		for i, w := range a {
			if w == "" {
				continue
			}
			for k, v := range b {
				if used[k] || !(w == v || !exact && initialOf(w, v)) {
					continue
				}
				used[k], a[i] = true, ""
				whole = whole || w == v && utf8.RuneCountInString(w) > 1
				break
			}
		}
	}
	return whole && strings.Join(a, "") == ""
}

func initialOf(a, b string) bool {
	if utf8.RuneCountInString(a) > utf8.RuneCountInString(b) {
		a, b = b, a
	}
	return utf8.RuneCountInString(a) == 1 && strings.HasPrefix(b, a)
}

var foldings = strings.NewReplacer("ä", "a", "ö", "o", "ü", "u", "ß", "ss", "ae", "a", "oe", "o", "ue", "u", "ø", "o", "æ", "a", "å", "a", "aa", "a", "ł", "l", "đ", "d")

// words splits a name and folds each word to one spelling: Müller, Mueller and
// MULLER are the same.
func words(name string) []string {
	name = foldings.Replace(strings.ToLower(norm.NFC.String(name)))
	name = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) || r == '\'' || r == '’' {
			return -1
		}
		return r
	}, norm.NFD.String(name))
	var out []string
	for _, w := range strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) }) {
		if !titles[w] {
			out = append(out, w)
		}
	}
	return out
}
