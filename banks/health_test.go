package banks

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// board is what processes share, in memory.
type board struct {
	mu     sync.Mutex
	values map[string][]byte
	unread bool
	puts   int
	fail   error
}

func (b *board) Put(_ context.Context, key string, value []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	b.values[key] = value
	b.puts++
	return nil
}

func (b *board) Values() (map[string][]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string][]byte{}
	for k, v := range b.values {
		out[k] = v
	}
	return out, !b.unread
}

func process(c *clock, b *board, holder string, built map[string]Bank) *Registry {
	if built == nil {
		built = map[string]Bank{"a": named("a")}
	}
	r := NewRegistry([]Entry{{ID: "a", Name: "A", Adapter: "x"}}, built, c.now)
	r.Share(b, holder)
	return r
}

func step(t *testing.T, c *clock, list ...*Registry) {
	t.Helper()
	for range 2 { // each tells, then each has heard
		for _, r := range list {
			if _, err := r.Step(t.Context(), c.t); err != nil {
				t.Fatal(err)
			}
		}
	}
}

var down = &Error{Kind: Unavailable, Err: errors.New("refused")}

func TestSickBankIsKnownToEveryProcess(t *testing.T) {
	c, b := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, &board{values: map[string][]byte{}}
	one, two := process(c, b, "one", nil), process(c, b, "two", nil)
	step(t, c, one, two)
	for range TripAfter {
		one.Observe("a", Redirect, down, time.Second)
	}
	step(t, c, one, two)
	if l, _ := two.Listing("a"); l.Available || l.Reason != ReasonNotAnswering || l.Unanswered != TripAfter {
		t.Fatalf("the other process still offers it: %+v", l)
	}
	c.t = c.t.Add(time.Second)
	two.Observe("a", Redirect, nil, 80*time.Millisecond) // an answer anywhere is an answer
	step(t, c, one, two)
	for name, r := range map[string]*Registry{"one": one, "two": two} {
		if l, _ := r.Listing("a"); !l.Available || l.Unanswered != 0 {
			t.Fatalf("%s does not offer it: %+v", name, l)
		}
	}
	if h := one.History("a").Hour[Redirect]; h.Calls != 4 || h.Answered != 1 || h.P95 != 100*time.Millisecond {
		t.Fatalf("the window is not that of both: %+v", h)
	}
}

func TestLawsMeasureOfUnavailabilityIsShown(t *testing.T) {
	c, b := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, &board{values: map[string][]byte{}}
	r := process(c, b, "one", nil)
	for i := range unavailableAfter {
		if l, _ := r.Listing("a"); l.PresumedUnavailable || i >= TripAfter && l.Available {
			t.Fatalf("after %d: %+v", i, l)
		}
		r.Observe("a", "", &Error{Kind: Uncertain}, 30*time.Second)
	}
	if l, _ := r.Listing("a"); !l.PresumedUnavailable || l.Unanswered != unavailableAfter {
		t.Fatalf("%+v", l)
	}
}

func TestHistorySurvivesARestart(t *testing.T) {
	c, b := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, &board{values: map[string][]byte{}}
	r := process(c, b, "one", nil)
	r.Observe("a", Embedded, nil, 10*time.Millisecond)
	step(t, c, r)
	b.unread = true
	again := process(c, b, "one", nil)
	again.Observe("a", Embedded, nil, 10*time.Millisecond)
	step(t, c, again) // what was there before has not been read: nothing may be overwritten
	b.unread = false
	c.t = c.t.Add(time.Minute)
	step(t, c, again)
	third := process(c, b, "one", nil)
	step(t, c, third)
	week := third.History("a").Week
	if last := week[len(week)-1]; len(week) != longLen || last.Calls != 2 || last.Answered != 2 {
		t.Fatalf("%d hours, the last is %+v", len(week), last)
	}
	c.t = c.t.Add(8 * 24 * time.Hour)
	step(t, c, third)
	for _, m := range third.History("a").Week {
		if m.Calls != 0 {
			t.Fatalf("still counted after eight days: %+v", m)
		}
	}
}

func TestSharingIsBoundedAndFailuresAreMadeUpFor(t *testing.T) {
	c, b := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, &board{values: map[string][]byte{}}
	r := process(c, b, "one", nil)
	for range 100 {
		r.Observe("a", "", nil, time.Millisecond)
		step(t, c, r)
	}
	if b.puts != 1 {
		t.Fatalf("told %d times", b.puts)
	}
	for range TripAfter {
		r.Observe("a", "", down, time.Millisecond)
	}
	b.fail = errors.New("away")
	if _, err := r.Step(t.Context(), c.t); err == nil {
		t.Fatal("no error")
	}
	b.fail = nil
	c.t = c.t.Add(shareEvery)
	step(t, c, r)
	if b.puts != 2 {
		t.Fatal("the breaker was not told of")
	}
	b.values["a.evil"], b.values["nonsense"], b.values["zzz.one"] = []byte("{"), nil, []byte("{}")
	step(t, c, r) // what cannot be read is left alone
}

// probed is a bank that can be asked for a sign of life.
type probed struct {
	named
	err  error
	asks int
}

func (p *probed) Probe(context.Context) error { p.asks++; return p.err }

func TestProbeSparesPayersTheTrial(t *testing.T) {
	c, b := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, &board{values: map[string][]byte{}}
	bank := &probed{named: "a", err: down}
	r := process(c, b, "one", map[string]Bank{"a": bank})
	r.Probe(t.Context(), time.Second)
	if bank.asks != 0 {
		t.Fatal("a healthy bank was probed")
	}
	for range TripAfter {
		r.Observe("a", "", down, time.Second)
	}
	r.Probe(t.Context(), time.Second)
	if bank.asks != 0 {
		t.Fatal("probed before its pause was over")
	}
	c.t = c.t.Add(firstPause)
	r.Probe(t.Context(), time.Second)
	if l, _ := r.Listing("a"); bank.asks != 1 || l.Available {
		t.Fatalf("a failed probe must keep it out: %d %+v", bank.asks, l)
	}
	c.t, bank.err = c.t.Add(2*firstPause), &Error{Kind: NotFound, HTTPStatus: 404}
	r.Probe(t.Context(), time.Second)
	if l, _ := r.Listing("a"); bank.asks != 2 || !l.Available || l.Unanswered != 0 {
		t.Fatalf("%d %+v", bank.asks, l)
	}
}

func TestQuantilesOfLatency(t *testing.T) {
	var s series
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 100 {
		took := 30 * time.Millisecond
		if i >= 94 {
			took = 3 * time.Second
		}
		s = s.count(shortStep, shortLen, false, took, now)
	}
	if m := s.sum(shortStep, shortLen, now); m.P50 != 50*time.Millisecond || m.P95 != 3200*time.Millisecond || m.Calls != 100 {
		t.Fatalf("%+v", m)
	}
	if m := (series)(nil).sum(shortStep, shortLen, now); m.Calls != 0 || m.P95 != 0 {
		t.Fatalf("%+v", m)
	}
}
