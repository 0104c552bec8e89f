package names

import "math/bits"

// PairThreshold is the decision that ships for Pair: at or above it two names are taken for one.
const PairThreshold = 0.72

var (
	personToll  = toll{conflict: 2.4, first: 0.2, second: 0.2} // people are written with and without their middle names
	companyToll = toll{conflict: 2.4, first: 0.9, second: 0.9} // one word more is another company
)

// Pair compares two names without any list and returns a score in [0,1). Schema is Person, Company, Organization, Vessel, LegalEntity or
// empty; it decides how titles, initials and legal forms are read, and what a word more is worth. The order of the two names and of their
// words does not matter, except where words are written together.
func Pair(schema, a, b string) float64 {
	kind := KindOf(schema)
	var al aligner
	score := 0.0
	kinds := []Kind{kind}
	if kind == KindUnknown {
		kinds = []Kind{KindPerson, KindOrganization}
	}
	for _, k := range kinds {
		score = max(score, al.pair(k, a, b))
	}
	return score
}

func (al *aligner) pair(kind Kind, a, b string) float64 {
	first, second := parse(a, kind), parse(b, kind)
	r := al.align(first, second, natural(first), natural(second))
	t := companyToll
	if kind == KindPerson {
		t = personToll
	}
	said := r.letters()
	return grade(r.likeness(t), said/(said+lettersHalf), r.exact)
}

// Without a list, length stands for rarity: two names that share fifteen letters say more than two that share four.
const lettersHalf = 10

func (al *alignment) letters() float64 {
	n := 0.0
	for _, l := range al.links {
		chars := 0
		for set := l.first; set != 0; set &= set - 1 {
			chars += len(al.first[bits.TrailingZeros32(set)].text)
		}
		for set := l.second; set != 0; set &= set - 1 {
			chars += len(al.second[bits.TrailingZeros32(set)].text)
		}
		n += l.weight * creditOf(l.similar) * float64(chars) / 2
	}
	return n
}

// natural are the weights of tokens without the knowledge of a list.
func natural(tokens []token) []float64 {
	out := make([]float64, len(tokens))
	for i := range tokens {
		out[i] = tokens[i].weight
	}
	return out
}
