package names

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// listOf makes a list of persons from names; the first is entry 1.
func listOf(names ...string) *List {
	l := &List{Hash: "test"}
	for i, n := range names {
		l.Entries = append(l.Entries, Entry{ID: fmt.Sprintf("t:%d", i+1), Kind: KindPerson, Names: []Name{{Text: n}}})
	}
	return l
}

// crowd is a list large enough that some names are common and others rare.
func crowd() *List {
	l := listOf(
		"VELIKHANOV, Ruslan Timurovich", "PRIGOZHIN, Yevgeniy", "AL-ZUHAIRI, Karim Hassan Salem", "GALINDO PEÑALVER, Diego Alexander", "KIM, Su-Hyang",
		"MUHAMMAD, Ali", "BEN SOLTANE, Adel", "ROSTAMIAN, Kambiz", "ABDULRAHMAN, Yasin", "OSTERWALD, Maximiliane", "QOMI, Mohsen", "MULLAH, Haji",
	)
	for i, n := range Synthetic(1500, 7).Entries {
		n.ID = fmt.Sprintf("s:%d", i)
		l.Entries = append(l.Entries, n)
	}
	for i, given := range strings.Fields("Ali Hassan Omar Khalid Ibrahim Yusuf Karim Salem Rashid Ahmad") {
		for k, family := range strings.Fields("Muhammad Hassan Hussein Ibrahim Ahmad Salem Omar") {
			l.Entries = append(l.Entries, Entry{ID: fmt.Sprintf("c:%d-%d", i, k), Kind: KindPerson, Names: []Name{{Text: given + " al-" + family + " Quraishi" + fmt.Sprint(k)}}})
		}
	}
	return l
}

var crowdIndex = sync.OnceValue(func() *Index { return NewIndex(crowd()) })

func best(t testing.TB, x *Index, name string) Hit {
	t.Helper()
	hits := x.Screen(Query{Name: name}, 3)
	if len(hits) == 0 {
		t.Fatalf("%q: no hit", name)
	}
	return hits[0]
}

func TestVariantsOfAListedNameAreFound(t *testing.T) {
	for _, c := range []struct {
		query, id string
		how       How
	}{
		{"Ruslan Timurovich Velikhanov", "t:1", Same},
		{"VELIKHANOV RUSLAN", "t:1", Same},              // middle name dropped, turned round
		{"Dr. Ruslan Velikhanov", "t:1", Same},          // title
		{"R. Velikhanov", "t:1", Initial},               // initial
		{"Ruslan Welichanow", "t:1", Spelling},          // German spelling
		{"Jewgenij Prigoschin", "t:2", Spelling},        // German spelling
		{"Евгений Пригожин", "t:2", Sound},              // Cyrillic
		{"كريم الزهيري", "t:3", Skeleton},               // Arabic, vowels unwritten
		{"DiegoAlexander GalindoPenalver", "t:4", Same}, // joined, camel case
		{"DIEGOALEXANDER GALINDO PENALVER", "t:4", Same},
		{"Diego Alexander Galindo Peñlaver", "t:4", Spelling}, // swapped letters
		{"김수향", "t:5", Sound},                                 // Hangul
		{"Suhyang Kim", "t:5", Joined},
		{"Adel Bensoltane", "t:7", Joined},
		{"Cambiz Rostamyan", "t:8", Sound},
		{"Yasin Abd ur-Rahman", "t:9", Same},
		{"DIEGO ALEXANDER GALINDO PENALVER DE LA SIERRA Y MON"[:32], "t:4", Same},
		{"Herrn Diego Alexander Galindo Peña", "t:4", CutOff}, // 34 characters: the field was full
	} {
		h := best(t, crowdIndex(), c.query)
		if h.EntryID != c.id || h.Score < ScreenThreshold {
			t.Errorf("%q: %s %.3f, want %s (%s)", c.query, h.EntryID, h.Score, c.id, h.Explanation)
			continue
		}
		if !slices.ContainsFunc(h.Explanation.Matches, func(m TokenMatch) bool { return m.How == c.how }) {
			t.Errorf("%q: no joint by %q in %s", c.query, c.how, h.Explanation)
		}
	}
}

func TestStrangersStayBelowTheThreshold(t *testing.T) {
	for _, q := range []string{
		"Ruslan Petrov", "Karim Schneider", "Diego Martinez", "Thomas Richter", "Peter Müller", "Ali Schwarz", "Mehmet Kaya", "Maximilian Osterloh", "Velikhanova", "Kim",
		"Hans-Peter Zimmermann", "Anna Maria Galindez", "V. Kim",
	} {
		if h := crowdIndex().Screen(Query{Name: q}, 1); len(h) > 0 && h[0].Score >= ScreenThreshold {
			t.Errorf("%q: %.3f %s (%s)", q, h[0].Score, h[0].EntryName, h[0].Explanation)
		}
	}
}

func TestRareNamesWeighMoreThanCommonOnes(t *testing.T) {
	x := crowdIndex()
	rare, common := best(t, x, "Ruslan Velikhanov").Score, best(t, x, "Karim Hassan").Score
	if rare <= common {
		t.Errorf("rare %.3f, common %.3f", rare, common)
	}
	if a, b := best(t, x, "Kambiz Rostamian").Score, best(t, x, "Ali Muhammad").Score; a <= b || b < ExactFloor {
		t.Errorf("exact rare %.4f, exact common %.4f: both exact, ordered by rarity", a, b)
	}
}

func TestConflictCostsMoreThanOmission(t *testing.T) {
	x := NewIndex(listOf("Karim Zouhairi Rostamian"))
	full, omitted := best(t, x, "Karim Zouhairi Rostamian").Score, best(t, x, "Karim Rostamian").Score
	conflict := best(t, x, "Karim Benjelloun Rostamian").Score
	if !(full > omitted && omitted > conflict) {
		t.Errorf("full %.3f, omitted %.3f, conflict %.3f", full, omitted, conflict)
	}
}

func TestBirthDateAndCountryOrderTheQueue(t *testing.T) {
	l := listOf("ROSTAMIAN, Kambiz")
	born, _ := ParseBorn("1970-04-05")
	l.Entries[0].Born, l.Entries[0].Countries = []Born{born}, []string{"IR"}
	x := NewIndex(l)
	ask := func(date, country string) Hit {
		b, _ := ParseBorn(date)
		return x.Screen(Query{Name: "Kambis Rostamyan", Born: b, Country: country}, 1)[0]
	}
	agrees, near, silent, contradicts := ask("1970-04-05", ""), ask("1971", ""), ask("", ""), ask("1990-01-01", "")
	if !(agrees.Score > near.Score && near.Score > silent.Score && silent.Score > contradicts.Score) {
		t.Errorf("agrees %.3f near %.3f silent %.3f contradicts %.3f", agrees.Score, near.Score, silent.Score, contradicts.Score)
	}
	if agrees.Explanation.BirthDate != Agrees || contradicts.Explanation.BirthDate != Contradict || silent.Explanation.BirthDate != NoData {
		t.Error("the explanation must say how the dates compare")
	}
	exact := x.Screen(Query{Name: "Kambiz Rostamian", Born: born, Country: "IR"}, 1)[0]
	if exact.Score <= agrees.Score || exact.Score >= 1 {
		t.Errorf("exact name, date and country: %.4f, fuzzy name and date %.4f", exact.Score, agrees.Score)
	}
	home, away := ask("", "IR"), ask("", "SE")
	if !(home.Score > silent.Score && silent.Score > away.Score) {
		t.Errorf("home %.3f silent %.3f away %.3f", home.Score, silent.Score, away.Score)
	}
	if !strings.Contains(contradicts.Explanation.String(), "contradicts (listed 1970-04-05)") {
		t.Errorf("explanation %q", contradicts.Explanation)
	}
}

func TestExplanationNamesEveryWord(t *testing.T) {
	h := best(t, crowdIndex(), "R. Velichanov Sebastianus")
	e := h.Explanation
	if len(e.Matches) != 2 || e.Matches[0].How != Initial || e.Matches[1].Query != "velichanov" || e.Matches[1].Entry != "velikhanov" {
		t.Fatalf("matches %+v", e.Matches)
	}
	if !slices.Equal(e.QueryOnly, []string{"sebastianus"}) || !slices.Equal(e.EntryOnly, []string{"timurovich"}) || e.Exact {
		t.Errorf("left over: %q, %q", e.QueryOnly, e.EntryOnly)
	}
}

func TestSameEntryComesOnceWithItsBestName(t *testing.T) {
	l := listOf("Kambiz Rostamian")
	l.Entries[0].Names = append(l.Entries[0].Names, Name{Text: "Kambis Rostamyan", Role: Alias}, Name{Text: "Kambiz R.", Role: WeakAlias})
	hits := NewIndex(l).Screen(Query{Name: "Kambis Rostamyan"}, 5)
	if len(hits) != 1 || hits[0].MatchedName != "Kambis Rostamyan" || hits[0].EntryName != "Kambiz Rostamian" {
		t.Errorf("hits %+v", hits)
	}
}

func TestEqualHitsComeInAFixedOrder(t *testing.T) {
	l := listOf("Kambiz Rostamian", "Kambiz Rostamian")
	l.Entries[0].ID, l.Entries[1].ID = "un:9", "ofac-sdn:9"
	for range 5 {
		if h := best(t, NewIndex(l), "Rostamian Kambiz"); h.EntryID != "ofac-sdn:9" {
			t.Fatalf("first is %s", h.EntryID)
		}
	}
}

func TestNothingAskedNothingFound(t *testing.T) {
	for _, q := range []string{"", "   ", "---", "\xff\xfe"} {
		if hits := crowdIndex().Screen(Query{Name: q}, 3); len(hits) != 0 {
			t.Errorf("%q: %v", q, hits)
		}
	}
	if hits := crowdIndex().Screen(Query{Name: "Kambiz Rostamian"}, 0); hits != nil {
		t.Error("limit 0 must give nothing")
	}
	if hits := NewIndex().Screen(Query{Name: "Anna"}, 1); len(hits) != 0 {
		t.Errorf("empty index: %v", hits)
	}
}

func TestSearchIsSafeForManyAtOnce(t *testing.T) {
	x := crowdIndex()
	queries := SampleQueries(x, 200, 3)
	want := make([]string, len(queries))
	for i, q := range queries {
		want[i] = fmt.Sprint(x.Screen(Query{Name: q}, 3))
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i, q := range queries {
				if got := fmt.Sprint(x.Screen(Query{Name: q}, 3)); got != want[i] {
					t.Errorf("%q: %s, alone %s", q, got, want[i])
				}
			}
		})
	}
	all.Wait()
}

// drawName draws a name of one to five words, taken from the list or invented.
func drawName(t *rapid.T) []string {
	word := rapid.OneOf(
		rapid.SampledFrom(strings.Fields("Ruslan Velikhanov Karim Hassan Salem Galindo Diego Ali Muhammad Kambiz Rostamian Mohsen Osterwald")),
		rapid.StringMatching(`[A-Z][a-z]{2,9}`),
	)
	return rapid.SliceOfN(word, 1, 5).Draw(t, "words")
}

func TestScoreDoesNotDependOnTheOrderOfWords(t *testing.T) {
	x := crowdIndex()
	rapid.Check(t, func(t *rapid.T) {
		words := drawName(t)
		seed := rapid.Uint64().Draw(t, "seed")
		turned := slices.Clone(words)
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(turned), func(i, j int) { turned[i], turned[j] = turned[j], turned[i] })
		a := x.Screen(Query{Name: strings.Join(words, " ")}, 1)
		b := x.Screen(Query{Name: strings.Join(turned, " ")}, 1)
		if written(a) || written(b) {
			return // words written together are neighbours, so their order matters
		}
		if score(a) < 0.5 && score(b) < 0.5 {
			return // names so unlike are cut off before they are graded, also for neighbours who are none
		}
		if len(a) != len(b) || len(a) > 0 && (a[0].Score-b[0].Score > 1e-9 || b[0].Score-a[0].Score > 1e-9) {
			t.Fatalf("%q: %v, %q: %v", words, a, turned, b)
		}
	})
}

// score is the best one.
func score(hits []Hit) float64 {
	if len(hits) == 0 {
		return 0
	}
	return hits[0].Score
}

func written(hits []Hit) bool {
	return len(hits) > 0 && slices.ContainsFunc(hits[0].Explanation.Matches, func(m TokenMatch) bool { return m.How == Joined || m.How == Acronym })
}

func TestScoresAreBoundedAndNothingBeatsTheSameName(t *testing.T) {
	x := crowdIndex()
	l := crowd()
	rapid.Check(t, func(t *rapid.T) {
		listed := l.Entries[rapid.IntRange(0, len(l.Entries)-1).Draw(t, "entry")].Name()
		same := x.Screen(Query{Name: listed}, 1)[0]
		if !same.Explanation.Exact || same.Score < ExactFloor || same.Score >= 1 {
			t.Fatalf("%q against itself: %.4f (%s)", listed, same.Score, same.Explanation)
		}
		for _, h := range x.Screen(Query{Name: strings.Join(drawName(t), " ")}, 5) {
			if h.Score < 0 || h.Score >= 1 {
				t.Fatalf("score %v", h.Score)
			}
			if !h.Explanation.Exact && h.Score > same.Score {
				t.Fatalf("fuzzy %.4f (%s) above exact %.4f", h.Score, h.Explanation, same.Score)
			}
		}
	})
}

func TestScoresDoNotPileUp(t *testing.T) {
	x := crowdIndex()
	distinct := map[string]bool{}
	n := 0
	for _, q := range SampleQueries(x, 400, 5) {
		if h := x.Screen(Query{Name: q}, 1); len(h) > 0 {
			n++
			distinct[fmt.Sprintf("%.6f", h[0].Score)] = true
		}
	}
	if len(distinct)*2 < n {
		t.Errorf("%d scores, %d distinct", n, len(distinct))
	}
}

func TestBenchCountsAndKeepsItsTime(t *testing.T) {
	x := NewIndex(Synthetic(200, 1))
	var mu sync.Mutex
	now := time.Unix(0, 0)
	clock := func() time.Time { // every look at the clock takes a millisecond
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Millisecond)
		return now
	}
	r := Bench(context.Background(), x, BenchOptions{Clients: 4, Duration: 200 * time.Millisecond, Now: clock})
	if r.Queries < 50 || r.Queries > 200 || r.Clients != 4 || r.Entries != 200 || r.Names != 400 || r.P50Ms < 1 || r.P99Ms < r.P50Ms || r.MaxMs < r.P99Ms {
		t.Errorf("%+v", r)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if r := Bench(ended, x, BenchOptions{Clients: 2}); r.Queries != 0 {
		t.Errorf("after the end: %+v", r)
	}
	if b, err := json.Marshal(r); err != nil || !strings.Contains(string(b), `"p99_ms"`) {
		t.Errorf("%s %v", b, err)
	}
}

func BenchmarkScreen(b *testing.B) {
	x := NewIndex(Synthetic(10_000, 1))
	queries := SampleQueries(x, 2000, 1)
	for i := 0; b.Loop(); i++ {
		x.Screen(Query{Name: queries[i%len(queries)]}, 1)
	}
}
