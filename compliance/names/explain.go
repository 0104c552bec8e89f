package names

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// TokenMatch is one joint between query and entry.
type TokenMatch struct {
	Query   string  `json:"query"`   // the folded words of the query, separated by spaces
	Entry   string  `json:"entry"`   // those of the entry
	How     How     `json:"how"`     // by what they were joined
	Similar float64 `json:"similar"` // 0 to 1
	Weight  float64 `json:"weight"`  // what it proves: rarity times the nature of the word
}

// Explanation says why a hit has its score.
type Explanation struct {
	Matches    []TokenMatch `json:"matches"`     // in the order of the query
	QueryOnly  []string     `json:"query_only"`  // words of the query that found no partner
	EntryOnly  []string     `json:"entry_only"`  // words of the listed name that found none
	Exact      bool         `json:"exact"`       // every word that matters is the same
	BirthDate  Agreement    `json:"birth_date"`  //
	Country    Agreement    `json:"country"`     //
	ListedBorn []string     `json:"listed_born"` // the dates the list gives
}

func explain(q *Query, e *Entry, r *alignment) Explanation {
	out := Explanation{
		Exact: r.exact, BirthDate: agreement(q.Born, e.Born), Country: countryAgreement(q.Country, e.Countries),
		QueryOnly: wordsOf(r.first, r.leftFirst), EntryOnly: wordsOf(r.second, r.leftSecond),
	}
	for _, b := range e.Born {
		out.ListedBorn = append(out.ListedBorn, b.String())
	}
	links := slices.Clone(r.links)
	slices.SortFunc(links, func(a, b link) int {
		return cmp.Compare(bits.TrailingZeros32(a.first), bits.TrailingZeros32(b.first))
	})
	for _, l := range links {
		out.Matches = append(out.Matches, TokenMatch{
			Query: joinWords(wordsOf(r.first, l.first)), Entry: joinWords(wordsOf(r.second, l.second)),
			How: l.how, Similar: l.similar, Weight: l.weight,
		})
	}
	return out
}

func wordsOf(tokens []token, set uint32) []string {
	var out []string
	for ; set != 0; set &= set - 1 {
		out = append(out, tokens[bits.TrailingZeros32(set)].text)
	}
	return out
}

func joinWords(words []string) string { return strings.Join(words, " ") }

// String writes the explanation in one line for an officer or a log of the compliance side.
func (e Explanation) String() string {
	var b strings.Builder
	for i, m := range e.Matches {
		if i > 0 {
			b.WriteString("; ")
		}
		if m.How == Same {
			fmt.Fprintf(&b, "%s (same, weight %.2f)", m.Query, m.Weight)
			continue
		}
		fmt.Fprintf(&b, "%s ~ %s (%s %.2f, weight %.2f)", m.Query, m.Entry, m.How, m.Similar, m.Weight)
	}
	if len(e.QueryOnly) > 0 {
		fmt.Fprintf(&b, "; only in the query: %s", joinWords(e.QueryOnly))
	}
	if len(e.EntryOnly) > 0 {
		fmt.Fprintf(&b, "; only in the entry: %s", joinWords(e.EntryOnly))
	}
	if e.BirthDate != NoData {
		fmt.Fprintf(&b, "; birth date %s (listed %s)", e.BirthDate, strings.Join(e.ListedBorn, ", "))
	}
	if e.Country != NoData {
		fmt.Fprintf(&b, "; country %s", e.Country)
	}
	return b.String()
}
