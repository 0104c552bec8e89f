package names

import (
	"cmp"
	"slices"
)

// ScreenThreshold is the decision that ships for Screen: at or above it a hit is an alert for an officer.
const ScreenThreshold = 0.67

// Query is who is to be screened. Only the name is required.
type Query struct {
	Name    string
	Kind    Kind   // KindUnknown is read like a person's name
	Born    Born   // see ParseBorn
	Country string // ISO 3166-1 alpha-2, of nationality or residence
}

// Hit is an entry that resembles the query.
type Hit struct {
	Score       float64 // in [0,1)
	EntryID     string
	EntryName   string // the name it is listed under
	MatchedName string // the one of its names that resembles the query most
	Explanation Explanation
}

// What a query has more than a listed name of one word is likely another
// person's family name; when two words agree it is likely a middle name.
var (
	screenToll = toll{conflict: 2.4, first: 0.6, second: 0.22}
	middleToll = toll{conflict: 2.4, first: 0.42, second: 0.22}
)

const (
	mostAligned   = 48  // names that are aligned with the query, after a cheap ranking of all that share a word with it
	rarityHalf    = 1.4 // matched weight at which rarity is one half
	weakAliasFall = 0.97
)

// Screen returns the entries that resemble the query, the most similar first, each entry once with its best name, at most limit of them.
// There is no threshold: the caller decides at which score a hit counts. A name without letters has no hits.
func (x *Index) Screen(q Query, limit int) []Hit {
	tokens := parse(q.Name, q.Kind)
	if len(tokens) == 0 || limit <= 0 {
		return nil
	}
	s := x.scratch.Get().(*scratch)
	defer x.scratch.Put(s)
	s.graded = s.graded[:0]
	readings := [][]token{tokens}
	if split := x.split(tokens); split != nil {
		readings = append(readings, split)
	}
	for i, reading := range readings {
		x.gradeAll(&q, reading, i, s)
	}
	slices.SortFunc(s.graded, x.before)
	return x.hits(&q, readings, limit, s)
}

// before orders hits of one query: by score, then names before aliases, then by id, so that the same lists always give the same answer.
func (x *Index) before(a, b graded) int {
	m, n := &x.names[a.name], &x.names[b.name]
	return cmp.Or(
		cmp.Compare(b.score, a.score),
		cmp.Compare(x.entries[m.entry].Names[m.name].Role, x.entries[n.entry].Names[n.name].Role),
		cmp.Compare(x.entries[m.entry].ID, x.entries[n.entry].ID),
		cmp.Compare(m.name, n.name), cmp.Compare(a.reading, b.reading),
	)
}

func (x *Index) gradeAll(q *Query, tokens []token, reading int, s *scratch) {
	weights := x.weigh(tokens, s)
	for _, c := range x.candidates(tokens, weights, s) {
		n := &x.names[c.name]
		r := s.aligner.align(tokens, n.tokens, weights, n.weights)
		if r.credit > 0 {
			s.graded = append(s.graded, graded{c.name, x.gradeName(q, n, &r), reading})
		}
	}
}

func (x *Index) gradeName(q *Query, n *listedName, r *alignment) float64 {
	e := &x.entries[n.entry]
	t := screenToll
	if r.sureWords() > 1 {
		t = middleToll
	}
	score := grade(r.likeness(t), r.credit/(r.credit+rarityHalf), r.exact)
	if e.Names[n.name].Role == WeakAlias && !r.exact {
		score *= weakAliasFall
	}
	return secondFacts(score, agreement(q.Born, e.Born), countryAgreement(q.Country, e.Countries))
}

// secondFacts moves a score by birth date and country: agreement closes part of the distance to 1, contradiction takes part of the score.
func secondFacts(score float64, born, country Agreement) float64 {
	switch born {
	case Agrees:
		score += (1 - score) * 0.35
	case Near:
		score += (1 - score) * 0.12
	case Contradict:
		score *= 0.82
	}
	switch country {
	case Agrees:
		score += (1 - score) * 0.1
	case Contradict:
		score *= 0.97
	}
	return score
}

// split reads tokens that no list knows as the listed words they may be made of; nil when there are none.
func (x *Index) split(tokens []token) []token {
	var out []token
	for i := range tokens {
		t := &tokens[i]
		var parts []string
		if t.class == core && len(x.byText[t.text]) == 0 && len(x.bySound[t.sound]) == 0 && len(tokens)+len(out) < maxTokens-4 {
			parts = x.splitWord(t.text)
		}
		if len(parts) > 0 && out == nil {
			out = slices.Clone(tokens[:i])
		}
		for _, p := range parts {
			out = append(out, newToken(word{text: p}, KindPerson))
		}
		if len(parts) == 0 && out != nil {
			out = append(out, *t)
		}
	}
	return out
}

// weigh gives the tokens of the query the rarity of the listed words that sound the same; a word that no list knows is as rare as any.
func (x *Index) weigh(tokens []token, s *scratch) []float64 {
	s.weights = s.weights[:0]
	for i := range tokens {
		t := &tokens[i]
		rarity := 1.0
		if same := x.bySound[t.sound]; t.class == core && len(same) > 0 {
			rarity = x.rarity(same[0])
		}
		s.weights = append(s.weights, t.weight*rarity)
	}
	return s.weights
}

// candidate is a listed name with what it shares with the query, before alignment.
type candidate struct {
	name  int32
	guess float64
}

type graded struct {
	name    int32
	score   float64
	reading int // of the query: as written, or with its long words split
}

// scratch is the working memory of one Screen call.
type scratch struct {
	aligner   aligner
	weights   []float64
	near      []nearWord
	touched   []int32
	gramCount []uint8
	seenWord  []uint32
	wordStamp uint32

	shared    []float32 // per name: weight shared with the query so far
	sharedNow []float32 // per name: the best for the token at hand
	held      []int32   // names with shared > 0
	heldNow   []int32
	found     []candidate
	graded    []graded
}

func newScratch(names, words int) *scratch {
	return &scratch{
		aligner:   aligner{directed: true},
		gramCount: make([]uint8, words), seenWord: make([]uint32, words),
		shared: make([]float32, names), sharedNow: make([]float32, names),
	}
}

// candidates ranks the names that share a word with the query by what they share against what they lack, and returns the best.
func (x *Index) candidates(tokens []token, weights []float64, s *scratch) []candidate {
	s.held = s.held[:0]
	total := 0.0
	for i := range tokens {
		total += weights[i]
		x.hold(&tokens[i], weights[i], s)
	}
	for i := 0; i+1 < len(tokens); i++ { // Patr ushev: two words here that are one in a list
		x.holdJoined(tokens, weights, i, s)
	}
	s.found = s.found[:0]
	for _, n := range s.held {
		shared := float64(s.shared[n])
		s.shared[n] = 0
		a := alignment{credit: shared, shared: shared, loose: max(total-shared, 0), looseSecond: max(x.names[n].total-shared, 0)}
		s.found = append(s.found, candidate{n, a.likeness(screenToll)})
	}
	if len(s.found) > mostAligned {
		slices.SortFunc(s.found, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(b.guess, a.guess), cmp.Compare(a.name, b.name))
		})
		s.found = s.found[:mostAligned]
	}
	return s.found
}

// hold adds to every name that has a word like this token what the two share.
func (x *Index) hold(t *token, weight float64, s *scratch) {
	if t.class == initial || t.class == title || t.class == legal || t.weight <= particleWeight {
		return // too many names have them: they count at the alignment
	}
	s.heldNow = s.heldNow[:0]
	for _, near := range x.similarWords(t, s) {
		x.holdWord(near.word, float32(creditOf(near.similar)*weight), s)
	}
	x.flush(s)
}

func (x *Index) holdWord(word int32, share float32, s *scratch) {
	for _, n := range x.holders[word] {
		if s.sharedNow[n] == 0 {
			s.heldNow = append(s.heldNow, n)
		}
		s.sharedNow[n] = max(s.sharedNow[n], share)
	}
}

func (x *Index) flush(s *scratch) {
	for _, n := range s.heldNow {
		if s.shared[n] == 0 {
			s.held = append(s.held, n)
		}
		s.shared[n] += s.sharedNow[n]
		s.sharedNow[n] = 0
	}
}

func (x *Index) holdJoined(tokens []token, weights []float64, i int, s *scratch) {
	a, b := &tokens[i], &tokens[i+1]
	if a.class == title || a.class == legal || b.class == title || b.class == legal || len(a.text)+len(b.text) < 4 {
		return
	}
	joined := a.text + b.text
	s.heldNow = s.heldNow[:0]
	share := float32((weights[i] + weights[i+1]) * joinedCredit)
	for _, w := range x.byText[joined] {
		x.holdWord(w, share, s)
	}
	for _, w := range x.bySound[soundOf(joined)] {
		x.holdWord(w, share, s)
	}
	x.flush(s)
}

// hits turns the graded names into hits, each entry once.
func (x *Index) hits(q *Query, readings [][]token, limit int, s *scratch) []Hit {
	var out []Hit
	for _, g := range s.graded {
		if len(out) == limit {
			break
		}
		n := &x.names[g.name]
		e := &x.entries[n.entry]
		if slices.ContainsFunc(out, func(h Hit) bool { return h.EntryID == e.ID }) {
			continue
		}
		tokens := readings[g.reading]
		r := s.aligner.align(tokens, n.tokens, x.weigh(tokens, s), n.weights)
		out = append(out, Hit{
			Score: g.score, EntryID: e.ID, EntryName: e.Name(), MatchedName: e.Names[n.name].Text,
			Explanation: explain(q, e, &r),
		})
	}
	return out
}
