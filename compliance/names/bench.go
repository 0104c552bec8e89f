package names

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// BenchOptions says what Bench does. The zero value is 16 clients for two seconds over names sampled from the index.
type BenchOptions struct {
	Queries  []string // asked in turn; empty: SampleQueries
	Clients  int
	Duration time.Duration
	Now      func() time.Time // the clock latencies are measured with; nil: time.Now
}

// BenchResult is what `rialto bench screening --json` prints.
type BenchResult struct {
	Entries          int     `json:"entries"`
	Names            int     `json:"names"`
	Clients          int     `json:"clients"`
	Cores            int     `json:"cores"`
	Queries          int     `json:"queries"`
	Seconds          float64 `json:"seconds"`
	QueriesPerSecond float64 `json:"queries_per_second"`
	P50Ms            float64 `json:"p50_ms"`
	P99Ms            float64 `json:"p99_ms"`
	MaxMs            float64 `json:"max_ms"`
}

// Bench screens names with several clients at once until the time is over or ctx is done. A latency runs from the moment a client asks,
// so it holds the wait for a free core.
func Bench(ctx context.Context, x *Index, o BenchOptions) BenchResult {
	if o.Clients <= 0 {
		o.Clients = 16
	}
	if o.Duration <= 0 {
		o.Duration = 2 * time.Second
	}
	if len(o.Queries) == 0 {
		o.Queries = SampleQueries(x, 5000, 1)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	latencies := make([][]time.Duration, o.Clients)
	begin := o.Now()
	var clients sync.WaitGroup
	for c := range o.Clients {
		clients.Go(func() {
			for i := c * len(o.Queries) / o.Clients; ctx.Err() == nil; i++ {
				asked := o.Now()
				if asked.Sub(begin) >= o.Duration {
					return
				}
				runtime.Gosched() // stand in line behind the other clients
				x.Screen(Query{Name: o.Queries[i%len(o.Queries)]}, 1)
				latencies[c] = append(latencies[c], o.Now().Sub(asked))
			}
		})
	}
	clients.Wait()
	seconds := o.Now().Sub(begin).Seconds()
	all := slices.Concat(latencies...)
	slices.Sort(all)
	r := BenchResult{
		Entries: x.Len(), Names: x.Names(), Clients: o.Clients, Cores: runtime.GOMAXPROCS(0), Queries: len(all), Seconds: seconds,
	}
	if len(all) > 0 && seconds > 0 {
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		r.QueriesPerSecond = float64(len(all)) / seconds
		r.P50Ms, r.P99Ms, r.MaxMs = ms(all[len(all)/2]), ms(all[len(all)*99/100]), ms(all[len(all)-1])
	}
	return r
}

// SampleQueries returns n names that follow from the listed ones: as they are, with a slip, with words left out, turned round or joined,
// and, one in two, put together from words of different names, as most customers' names are. The seed decides which.
func SampleQueries(x *Index, n int, seed uint64) []string {
	rng := rand.New(rand.NewPCG(seed, 0x6e616d6573))
	if len(x.names) == 0 {
		return nil
	}
	pick := func() []string {
		l := x.names[rng.IntN(len(x.names))]
		return strings.Fields(strings.ReplaceAll(x.entries[l.entry].Names[l.name].Text, ",", " "))
	}
	out := make([]string, 0, n)
	for len(out) < n {
		words := pick()
		if len(words) == 0 {
			continue
		}
		switch rng.IntN(8) {
		case 0:
		case 1:
			slices.Reverse(words)
		case 2:
			words = slices.Delete(words, len(words)/2, min(len(words)/2+1, len(words)-1))
		case 3:
			words[0] = slip(words[0], rng)
		default:
			if other := pick(); len(other) > 0 {
				words = []string{words[0], other[len(other)-1]}
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}

func slip(word string, rng *rand.Rand) string {
	r := []rune(word)
	if len(r) < 4 {
		return word
	}
	i := 1 + rng.IntN(len(r)-2)
	r[i], r[i-1] = r[i-1], r[i]
	return string(r)
}

// Synthetic returns a list of n invented persons, for a benchmark where no real list is at hand. Nobody bears these names on purpose.
func Synthetic(n int, seed uint64) *List {
	rng := rand.New(rand.NewPCG(seed, 0x6c697374))
	syllables := strings.Fields("ka ri mo sha len dor vik tan bel zu ar ho mir nad jo pet sol gan fe lix bo ran kil ta su dem yar om tes ul")
	invent := func(parts int) string {
		var b strings.Builder
		for range parts {
			b.WriteString(syllables[rng.IntN(len(syllables))])
		}
		return strings.ToUpper(b.String()[:1]) + b.String()[1:]
	}
	l := &List{Hash: "synthetic", Sources: []Source{{Name: "synthetic", Entries: n, Names: 2 * n}}}
	for i := range n {
		given, family := invent(2), invent(3)
		l.Entries = append(l.Entries, Entry{
			ID: fmt.Sprintf("synthetic:%d", i+1), Kind: KindPerson,
			Names: []Name{{Text: family + ", " + given + " " + invent(2)}, {Text: given + " " + family, Role: Alias}},
		})
	}
	return l
}
