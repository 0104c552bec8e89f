package names

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"
)

// Index answers which listed entries a name resembles. It is built once per list version, never changes, and serves any number of
// goroutines.
type Index struct {
	entries []Entry
	names   []listedName
	words   []token   // every distinct token of the lists
	counts  []int32   // per word: entries that hold it or a word that sounds the same
	holders [][]int32 // per word: names, ascending
	grams   [][]int32 // per two-letter gram: words that contain it
	bySound map[string][]int32
	bySkel  map[string][]int32
	byText  map[string][]int32
	scratch sync.Pool
}

// listedName is one name of an entry, as tokens of the index.
type listedName struct {
	entry   int32
	name    int32 // position within the entry
	words   []int32
	tokens  []token
	weights []float64
	total   float64 // of the weights
}

// wordKey tells two tokens of one spelling apart: al the particle and Al the name.
type wordKey struct {
	text, source string
	class        class
	abjad        bool
}

// NewIndex builds the index over the entries of all lists.
func NewIndex(lists ...*List) *Index {
	x := &Index{bySound: map[string][]int32{}, bySkel: map[string][]int32{}, byText: map[string][]int32{}}
	known := map[wordKey]int32{}
	for _, l := range lists {
		for i := range l.Entries {
			x.addEntry(&l.Entries[i], known)
		}
	}
	x.countSounds()
	for i := range x.names {
		n := &x.names[i]
		n.weights = make([]float64, len(n.tokens))
		for k, w := range n.words {
			n.weights[k] = n.tokens[k].weight * x.rarity(w)
			n.total += n.weights[k]
		}
	}
	x.buildGrams()
	x.scratch.New = func() any { return newScratch(len(x.names), len(x.words)) }
	return x
}

// Len returns the number of entries.
func (x *Index) Len() int { return len(x.entries) }

// Names returns the number of names of all entries.
func (x *Index) Names() int { return len(x.names) }

// Entry returns the listed entry with this id, nil when there is none. It is a scan; screening never needs it.
func (x *Index) Entry(id string) *Entry {
	for i := range x.entries {
		if x.entries[i].ID == id {
			return &x.entries[i]
		}
	}
	return nil
}

func (x *Index) addEntry(e *Entry, known map[wordKey]int32) {
	x.entries = append(x.entries, *e)
	entry := int32(len(x.entries) - 1)
	for k, name := range e.Names {
		tokens := parse(name.Text, e.Kind)
		if len(tokens) == 0 {
			continue
		}
		n := listedName{entry: entry, name: int32(k), tokens: tokens}
		for _, t := range tokens {
			n.words = append(n.words, x.word(t, known))
		}
		id := int32(len(x.names))
		x.names = append(x.names, n)
		for _, w := range n.words {
			if h := x.holders[w]; len(h) == 0 || h[len(h)-1] != id {
				x.holders[w] = append(h, id)
			}
		}
	}
}

func (x *Index) word(t token, known map[wordKey]int32) int32 {
	key := wordKey{t.text, t.source, t.class, t.script == abjad}
	if id, ok := known[key]; ok {
		return id
	}
	id := int32(len(x.words))
	known[key] = id
	x.words = append(x.words, t)
	x.holders = append(x.holders, nil)
	x.byText[t.text] = append(x.byText[t.text], id)
	if t.class == core {
		x.bySound[t.sound] = append(x.bySound[t.sound], id)
		if len(t.skeleton) >= 2 {
			x.bySkel[t.skeleton] = append(x.bySkel[t.skeleton], id)
		}
	}
	return id
}

// countSounds counts entries per sound, so that the many spellings of Muhammad are one common name and not twenty rare ones.
func (x *Index) countSounds() {
	x.counts = make([]int32, len(x.words))
	seen := make([]int32, len(x.entries))
	stamp := int32(0)
	count := func(words []int32) (n int32) {
		stamp++
		for _, w := range words {
			for _, name := range x.holders[w] {
				if e := x.names[name].entry; seen[e] != stamp {
					seen[e] = stamp
					n++
				}
			}
		}
		return n
	}
	for _, words := range x.bySound {
		n := count(words)
		for _, w := range words {
			x.counts[w] = n
		}
	}
	for w := range x.words {
		if x.counts[w] == 0 {
			x.counts[w] = count([]int32{int32(w)})
		}
	}
}

// rarity is the information of meeting a word by chance, as a share of the most the lists can give: 1 for a word of one entry.
func (x *Index) rarity(word int32) float64 { return x.rarityOf(float64(x.counts[word])) }

func (x *Index) rarityOf(count float64) float64 {
	n := float64(max(len(x.entries), 1000)) // a short list of one's own knows nothing of what is common
	return max(0.12, math.Log((n+1)/(count+0.5))/math.Log((n+1)/1.5))
}

const gramLetters = 38 // a–z, 0–9, the edge of a word, everything else

func gramLetter(b byte) int {
	switch {
	case b >= 'a' && b <= 'z':
		return int(b - 'a')
	case b >= '0' && b <= '9':
		return int(b-'0') + 26
	}
	return 37
}

const edge = 36

// eachGram calls f with the two-letter grams of a word, its edges included.
func eachGram(text string, f func(gram int)) {
	last := edge
	for i := 0; i < len(text); i++ {
		l := gramLetter(text[i])
		f(last*gramLetters + l)
		last = l
	}
	f(last*gramLetters + edge)
}

func (x *Index) buildGrams() {
	x.grams = make([][]int32, gramLetters*gramLetters)
	for w := range x.words {
		t := &x.words[w]
		if t.class != core {
			continue
		}
		eachGram(t.text, func(g int) {
			if list := x.grams[g]; len(list) == 0 || list[len(list)-1] != int32(w) {
				x.grams[g] = append(list, int32(w))
			}
		})
	}
}

// near is a word of the lists that resembles a token of the query.
type nearWord struct {
	word    int32
	similar float64
}

// similarWords finds the words of the lists that resemble a token, the most similar first. It returns at most mostSimilar of them:
// what lies beyond resembles too little to carry a name.
func (x *Index) similarWords(t *token, s *scratch) []nearWord {
	s.near = s.near[:0]
	add := func(w int32) {
		if s.seenWord[w] == s.wordStamp {
			return
		}
		s.seenWord[w] = s.wordStamp
		if similar, _ := compareListed(t, &x.words[w]); similar > 0 {
			s.near = append(s.near, nearWord{w, similar})
		}
	}
	s.wordStamp++
	for _, w := range x.byText[t.text] {
		add(w)
	}
	if t.class == core {
		for _, w := range x.bySound[t.sound] {
			add(w)
		}
		for _, w := range x.bySkel[t.skeleton] {
			if t.script == abjad || x.words[w].script == abjad {
				add(w)
			}
		}
		x.byGrams(t, s, add)
	}
	slices.SortFunc(s.near, func(a, b nearWord) int {
		return cmp.Or(cmp.Compare(b.similar, a.similar), cmp.Compare(a.word, b.word))
	})
	return s.near[:min(len(s.near), mostSimilar)]
}

const mostSimilar = 64

// byGrams adds words that share enough two-letter grams: at least 40 % of those of the longer word, and two.
func (x *Index) byGrams(t *token, s *scratch, add func(int32)) {
	s.touched = s.touched[:0]
	eachGram(t.text, func(g int) {
		for _, w := range x.grams[g] {
			if s.gramCount[w] == 0 {
				s.touched = append(s.touched, w)
			}
			s.gramCount[w]++
		}
	})
	for _, w := range s.touched {
		shared := int(s.gramCount[w])
		s.gramCount[w] = 0
		longer := max(len(t.text), len(x.words[w].text)) + 1
		if shared >= 2 && shared*10 >= longer*4 {
			add(w)
		}
	}
}

// splitWord cuts a token that no list knows into words that they do know, if it can: JUANIGNACIO. The parts have at least three letters,
// as few of them as possible are used.
func (x *Index) splitWord(text string) []string {
	const least, most, shortest = 3, 4, 8
	if len(text) < shortest || len(text) > longestWord || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz") != "" {
		return nil
	}
	parts := make([]int, len(text)+1) // words needed to reach this letter, 0 for none found
	from := make([]int, len(text)+1)
	for end := least; end <= len(text); end++ {
		for start := 0; start <= end-least; start++ {
			if start > 0 && parts[start] == 0 || start == 0 && end == len(text) {
				continue
			}
			if len(x.byText[text[start:end]]) == 0 {
				continue
			}
			if n := parts[start] + 1; parts[end] == 0 || n < parts[end] {
				parts[end], from[end] = n, start
			}
		}
	}
	if n := parts[len(text)]; n < 2 || n > most {
		return nil
	}
	var out []string
	for end := len(text); end > 0; end = from[end] {
		out = append(out, text[from[end]:end])
	}
	slices.Reverse(out)
	return out
}
