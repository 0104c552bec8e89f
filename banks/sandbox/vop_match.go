package sandbox

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/rialto-hub/rialto/psd2"
)

// compareNames is the sandbox's rule for a match. The rulebook leaves it to
// each bank; this one is ours:
//
//   - MTCH: the same words in any order, after case, accents, punctuation,
//     titles and the spelling of umlauts (Müller, Mueller, Muller) are evened out.
//   - CMTC: every word of the shorter name has a partner of its own in the
//     longer one: the same word, an initial, or a word with one mistyped letter
//     (from four letters on; two from eight on). At least one pair is the same
//     word, and at least two words have partners, so that a surname alone does
//     not buy the first name.
//   - NMTC: everything else.
func compareNames(asked, holder string) psd2.Match {
	a, b := nameWords(asked), nameWords(holder)
	if len(a) == 0 || len(b) == 0 {
		return psd2.MatchNone
	}
	if slices.Equal(a, b) {
		return psd2.MatchExact
	}
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) >= 2 && partners(a, b) {
		return psd2.MatchClose
	}
	return psd2.MatchNone
}

// umlauts are evened out to the plain vowel, which is also what a bank's
// character set leaves of them.
var umlauts = strings.NewReplacer("ae", "a", "oe", "o", "ue", "u", "ß", "ss", "ø", "o", "æ", "a", "œ", "o", "ł", "l", "đ", "d")

var titles = map[string]bool{"dr": true, "prof": true, "herr": true, "frau": true, "mr": true, "mrs": true, "ms": true}

// nameWords are a name's words, evened out and sorted.
func nameWords(name string) []string {
	folded := strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r), r == '\'', r == '\u2019':
			return -1
		case unicode.IsLetter(r), unicode.IsDigit(r):
			return r
		}
		return ' '
	}, norm.NFD.String(strings.ToLower(name)))
	words := slices.DeleteFunc(strings.Fields(umlauts.Replace(folded)), func(w string) bool { return titles[w] })
	slices.Sort(words)
	return words
}

// partners reports whether each word of a has a partner of its own in b. The
// same words are paired first, then what is only alike; names are short, so
// taking the first fit is enough.
func partners(a, b []string) bool {
	left := slices.Clone(b)
	var open []string
	for _, w := range a {
		if i := slices.Index(left, w); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			open = append(open, w)
		}
	}
	if len(open) == len(a) {
		return false
	}
	for _, w := range open {
		i := slices.IndexFunc(left, func(o string) bool { return alike(w, o) })
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return true
}

// alike: an initial, or a typing mistake.
func alike(a, b string) bool {
	x, y := []rune(a), []rune(b)
	if len(x) > len(y) {
		x, y = y, x
	}
	if len(x) == 1 {
		return x[0] == y[0]
	}
	allowed := 0
	if len(x) >= 4 {
		allowed = 1
	}
	if len(x) >= 8 {
		allowed = 2
	}
	return len(y)-len(x) <= allowed && distance(x, y) <= allowed
}

// distance counts the letters to insert, drop, change or swap with the next
// (optimal string alignment).
func distance(a, b []rune) int {
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
