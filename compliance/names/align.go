package names

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"
)

// link joins one or several tokens of the first name with one or several of the second.
type link struct {
	first, second uint32 // sets of token positions
	similar       float64
	how           How
	weight        float64
}

// alignment is what two names have in common and what each has left.
type alignment struct {
	links       []link
	first       []token
	second      []token
	leftFirst   uint32
	leftSecond  uint32
	shared      float64 // weight of what was joined
	credit      float64 // the same, times how well it was joined
	loose       float64 // weight left in the first name
	looseSecond float64 // weight left in the second
	exact       bool    // every word that matters found the very same word
}

// sureWords counts the words of the first name that certainly found their
// like: no initial, no title, no particle.
func (al *alignment) sureWords() (n int) {
	for _, l := range al.links {
		if l.similar >= sureSimilar && l.how != Initial && l.how != Acronym && al.first[bits.TrailingZeros32(l.first)].class == core {
			n += bits.OnesCount32(l.first)
		}
	}
	return n
}

const sureSimilar = 0.85

// aligner finds the best joints between two names. The weights belong to the tokens by position; a caller that knows the rarity of words
// gives its own. It keeps its buffers between calls and is not safe for concurrent use.
type aligner struct {
	directed bool // the second name is listed, the first one is asked for: see compareListed
	links    []link
	taken    []link
}

// align joins greedily, the most similar and heaviest first; ties are settled by the text, so the order of words does not matter.
func (al *aligner) align(a, b []token, wa, wb []float64) alignment {
	al.links, al.taken = al.links[:0], al.taken[:0]
	weak := uint32(0) // tokens of a that found no very similar partner; tokens of b are in weakB
	weakB := uint32(1)<<len(b) - 1
	for i := range a {
		best := 0.0
		for j := range b {
			s, how := al.compare(&a[i], &b[j])
			if s == 0 {
				continue
			}
			best = max(best, s)
			if s > 0.9 {
				weakB &^= 1 << j
			}
			al.add(1<<i, 1<<j, s, how, linkWeight(how, wa[i], wb[j]))
		}
		if best <= 0.9 {
			weak |= 1 << i
		}
	}
	if weak != 0 || weakB != 0 {
		al.joinRuns(a, b, wa, wb, weak, weakB)
	}
	slices.SortFunc(al.links, func(l, r link) int { // ties are settled by what is written, so the order of the words changes nothing
		return cmp.Or(
			cmp.Compare(r.similar, l.similar), cmp.Compare(r.weight, l.weight),
			strings.Compare(textAt(a, l.first), textAt(a, r.first)), strings.Compare(textAt(b, l.second), textAt(b, r.second)),
		)
	})
	var usedA, usedB uint32
	for _, l := range al.links {
		if l.first&usedA == 0 && l.second&usedB == 0 {
			usedA |= l.first
			usedB |= l.second
			al.taken = append(al.taken, l)
		}
	}
	return al.sum(a, b, wa, wb, usedA, usedB)
}

func (al *aligner) add(first, second uint32, s float64, how How, weight float64) {
	al.links = append(al.links, link{first: first, second: second, similar: s, how: how, weight: weight})
}

func textAt(tokens []token, set uint32) string { return tokens[bits.TrailingZeros32(set)].text }

// linkWeight is what a joint proves: an initial proves only a little of the word it stands for.
func linkWeight(how How, a, b float64) float64 {
	if how == Initial || how == Acronym {
		return 0.35 * max(a, b)
	}
	return (a + b) / 2
}

func (al *aligner) compare(a, b *token) (float64, How) {
	if al.directed {
		return compareListed(a, b)
	}
	return compare(a, b)
}

// compareListed compares a word of a query with one of a list. A well-known name is seldom the misspelling of another word, whereas the
// misspelling of a well-known name is seldom known. And a list that gives a name in Arabic script gives it in Latin too: Latin queries
// gain nothing but chance hits from its skeleton.
func compareListed(q, listed *token) (float64, How) {
	if listed.script == abjad && q.script != abjad {
		return 0, Skeleton
	}
	s, how := compare(q, listed)
	if how == Initial && listed.class == initial {
		return listedInitialCredit, how
	}
	if q.cut && s < cutCredit && q.class == core && listed.class == core && len(q.text) < len(listed.text) && strings.HasPrefix(listed.text, q.text) {
		return cutCredit, CutOff
	}
	if how == Spelling && q.known && s > 0 && s < 1 {
		if s -= knownDoubt * (1 - s); s < lowestSimilar {
			return 0, how
		}
	}
	return s, how
}

const (
	knownDoubt          = 0.4
	cutCredit           = 0.9
	listedInitialCredit = 0.6 // a letter in the list fits one name in twenty
)

// compare is similarity with the classes of the tokens in mind.
func compare(a, b *token) (float64, How) {
	switch {
	case a.class == core && b.class == core:
		return similarity(a, b)
	case a.class == b.class && a.text == b.text:
		if a.class == legal {
			return 1, LegalWay
		}
		return 1, Same
	case a.class == initial && b.class == core, a.class == core && b.class == initial:
		if a.text[0] == b.text[0] && !a.numeric && !b.numeric || a.sound != "" && b.sound != "" && a.sound[0] == b.sound[0] && !isVowel(a.sound[0]) {
			return initialCredit, Initial
		}
	case a.class != b.class && a.text == b.text && (a.class == core || b.class == core):
		return 1, Same
	}
	return 0, Spelling
}

const initialCredit = 0.88

const (
	longestRun     = 4 // words that are one word elsewhere
	longestAcronym = 6 // words that are one letter each elsewhere
)

// joinRuns looks for words that are one here and several there: for each weak token the runs of the other name that read like it.
func (al *aligner) joinRuns(a, b []token, wa, wb []float64, weakA, weakB uint32) {
	for set := weakA; set != 0; set &= set - 1 {
		i := bits.TrailingZeros32(set)
		runsLike(&a[i], b, func(run uint32, s float64, how How) {
			al.add(1<<i, run, s, how, runWeight(how, wa[i], wb, run))
		})
	}
	for set := weakB; set != 0; set &= set - 1 {
		j := bits.TrailingZeros32(set)
		runsLike(&b[j], a, func(run uint32, s float64, how How) {
			al.add(run, 1<<j, s, how, runWeight(how, wb[j], wa, run))
		})
	}
}

func runWeight(how How, one float64, weights []float64, set uint32) float64 {
	total := 0.0
	for ; set != 0; set &= set - 1 {
		total += weights[bits.TrailingZeros32(set)]
	}
	if how == Acronym {
		return 0.6 * total
	}
	return (one + total) / 2
}

// runsLike calls f with every run of neighbouring words, neither titles nor legal forms, that reads like one word: by all its letters or by
// its first letters.
func runsLike(one *token, tokens []token, f func(run uint32, s float64, how How)) {
	if one.class != core || one.numeric {
		return
	}
	n := len(one.text)
	for i := range tokens {
		set, length, letters := uint32(0), 0, 0
		for k := i; k < len(tokens) && k-i < longestAcronym; k++ {
			t := &tokens[k]
			if t.class == title || t.class == legal || t.text == "" {
				break
			}
			set |= 1 << k
			length += len(t.text)
			if t.class != particle {
				letters++
			}
			if k == i {
				continue
			}
			if letters == n && t.class != particle && tokens[i].class != particle && isAcronym(one.text, tokens[i:k+1]) {
				f(set, acronymCredit, Acronym)
			}
			if k-i < longestRun && n >= 4 && length >= n-2 && length <= n+2 {
				if s := joinedSimilarity(one, tokens[i:k+1]); s > 0 {
					f(set, s, Joined)
				}
			}
		}
	}
}

const acronymCredit = 0.87

func isAcronym(text string, run []token) bool {
	if !likeAcronym(text) {
		return false
	}
	k := 0
	for i := range run {
		if run[i].class == particle {
			continue
		}
		if run[i].text[0] != text[k] {
			return false
		}
		k++
	}
	return true
}

func joinedSimilarity(one *token, run []token) float64 {
	var buffer [2 * longestCompared]byte
	joined := buffer[:0]
	for i := range run {
		joined = append(joined, run[i].text...)
	}
	n, text := len(one.text), string(joined)
	switch {
	case text == one.text:
		return joinedCredit
	case text[0] != one.text[0] && text[len(text)-1] != one.text[n-1]:
		return 0
	case soundOf(text) == one.sound:
		return joinedCredit * soundCredit
	}
	if s := joinedCredit * soundCredit * closeness(one.text, text, spellingCost); s > 0.8 {
		return s
	}
	return 0
}

// likeAcronym keeps short names from being read as first letters: two letters must be consonants (JC), up to six need not be.
func likeAcronym(text string) bool {
	if len(text) != 2 {
		return len(text) > 2 && len(text) <= longestAcronym
	}
	return !isVowel(text[0]) && !isVowel(text[1])
}

func (al *aligner) sum(a, b []token, wa, wb []float64, usedA, usedB uint32) alignment {
	out := alignment{links: al.taken, first: a, second: b, exact: true}
	out.leftFirst = (uint32(1)<<len(a) - 1) &^ usedA
	out.leftSecond = (uint32(1)<<len(b) - 1) &^ usedB
	for _, l := range al.taken {
		out.shared += l.weight
		out.credit += l.weight * creditOf(l.similar)
		if l.how != Same && l.how != LegalWay {
			out.exact = false
		}
	}
	for set := out.leftFirst; set != 0; set &= set - 1 {
		i := bits.TrailingZeros32(set)
		out.loose += wa[i]
		out.exact = out.exact && a[i].class == title
	}
	for set := out.leftSecond; set != 0; set &= set - 1 {
		j := bits.TrailingZeros32(set)
		out.looseSecond += wb[j]
		out.exact = out.exact && b[j].class == title
	}
	out.exact = out.exact && len(al.taken) > 0
	return out
}

// creditOf makes a poor likeness worth less than its share of letters.
func creditOf(similar float64) float64 {
	if similar >= 0.9 {
		return similar
	}
	return max(0, 0.9-1.25*(0.9-similar))
}
