package names

// How says by what two tokens were joined.
type How string

// The ways in which tokens meet, from the surest down.
const (
	Same     How = "same"     // letter by letter, after folding
	Sound    How = "sound"    // the same sound in another spelling
	Skeleton How = "skeleton" // the same consonants, where one side's script writes no vowels
	Joined   How = "joined"   // written as one word here and as several there
	Spelling How = "spelling" // a few letters differ
	Initial  How = "initial"  // a letter stands for the word
	Acronym  How = "acronym"  // letters stand for all words of the other name
	LegalWay How = "legal form"
	CutOff   How = "cut off" // the query ends here because its field was full
)

const (
	soundCredit    = 0.96 // what an equal sound is worth, at most
	skeletonCredit = 0.93
	joinedCredit   = 0.985
	knownApart     = 0.8  // two well-known names that differ more are two names, not a slip of the pen: Mohamed, Ahmed
	lowestSimilar  = 0.55 // below it two tokens have nothing to do with each other
)

// similarity compares two tokens: 1 for the same letters, 0 for nothing in common.
func similarity(a, b *token) (float64, How) {
	if a.text == b.text && a.source == b.source {
		return 1, Same
	}
	if a.source != "" && b.source != "" {
		return 0, Spelling // two Han or Hangul syllables that differ are two syllables
	}
	if a.numeric != b.numeric {
		return 0, Spelling
	}
	if a.sound != b.sound && 2*min(len(a.text), len(b.text)) < max(len(a.text), len(b.text)) && a.script != abjad && b.script != abjad {
		return 0, Spelling // half of the longer word is missing
	}
	spelled := closeness(a.text, b.text, spellingCost)
	if a.sound == b.sound {
		return soundCredit + (1-soundCredit)*0.9*max(spelled, 0), Sound
	}
	heard := soundCredit * closeness(a.sound, b.sound, soundCost)
	best, how := max(spelled, heard), Spelling
	if (a.script == abjad) != (b.script == abjad) && len(a.skeleton) >= 2 {
		if s := skeletonSimilarity(a.skeleton, b.skeleton); s > best {
			best, how = s, Skeleton
		}
	}
	if best < lowestSimilar || best < knownApart && a.known && b.known {
		return 0, how
	}
	return best, how
}

func skeletonSimilarity(a, b string) float64 {
	if a == b {
		return skeletonCredit
	}
	if min(len(a), len(b)) < 4 {
		return 0 // three consonants with a fault among them say nothing
	}
	return skeletonCredit * closeness(a, b, soundCost)
}

// Costs are counted in hundredths of a letter, so that the inner loop works on whole numbers.
const letter = 100

// costs prices the steps between two spellings, by byte.
type costs struct {
	swap   [256][256]int16 // one letter for another
	insert [256]int16      // a letter too many
}

// newCosts prices everything at one letter, except a vowel taken for another one.
func newCosts(vowelForVowel int16) *costs {
	c := &costs{}
	for a := range c.swap {
		c.insert[a] = letter
		for b := range c.swap[a] {
			switch {
			case a == b:
			case isVowel(byte(a)) && isVowel(byte(b)):
				c.swap[a][b] = vowelForVowel
			default:
				c.swap[a][b] = letter
			}
		}
	}
	return c
}

var spellingCost = newCosts(80)

// soundCost prices sounds that the spelling of one language writes as those of another: the j of Sergej is an i, German z is s.
var soundCost = func() *costs {
	c := newCosts(60)
	for pair, cost := range map[string]int16{
		"ij": 40, "Ck": 40, "Cs": 50, "Ss": 40, "CS": 30, "Sj": 30, "Cj": 30, "js": 50, "gh": 40, "gk": 40, "hk": 40, "bp": 40, "dt": 40, "fv": 30, "bv": 40,
		"uv": 40, "gj": 50, "mn": 80, "hj": 60, "ks": 50, "Ch": 60,
	} {
		c.swap[pair[0]][pair[1]], c.swap[pair[1]][pair[0]] = cost, cost
	}
	for _, vowel := range []byte("aeiouy") {
		c.insert[vowel] = 80
	}
	c.insert['h'] = 50
	return c
}()

const longestCompared = 40 // bytes; what is longer is cut, so the work per pair is bounded

// closeness is 1 minus the distance in letters over the length of the longer word.
func closeness(a, b string, c *costs) float64 {
	return 1 - float64(distance(a, b, c))/float64(letter*max(len(a), len(b)))
}

// distance is the optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours, at the given prices.
func distance(a, b string, c *costs) int {
	a, b = a[:min(len(a), longestCompared)], b[:min(len(b), longestCompared)]
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	var rows [3][longestCompared + 1]int16
	before, last, now := &rows[0], &rows[1], &rows[2]
	for j := 0; j < len(b); j++ {
		last[j+1] = last[j] + c.insert[b[j]]
	}
	for i := 0; i < len(a); i++ {
		swap, insert := &c.swap[a[i]], c.insert[a[i]]
		now[0] = last[0] + insert
		for j := 0; j < len(b); j++ {
			d := min(last[j+1]+insert, now[j]+c.insert[b[j]], last[j]+swap[b[j]])
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+letter)
			}
			now[j+1] = d
		}
		before, last, now = last, now, before
	}
	return int(last[len(b)])
}
