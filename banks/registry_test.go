package banks

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

type named string

func (n named) Info() Info {
	return Info{ID: string(n), Approaches: []Approach{Redirect}}
}
func (named) Initiate(context.Context, Order) (Initiation, error) { return Initiation{}, nil }
func (named) Status(context.Context, Ref) (Status, error)         { return Status{}, nil }

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestEntriesAreReadStrictly(t *testing.T) {
	good := "banks:\n- {id: a-bank, name: A, adapter: x, bics: [COBADEFFXXX], countries: [DE], bank_codes: ['50040000'], profile: {k: v}}\n"
	if entries, err := ParseEntries([]byte(good)); err != nil || len(entries) != 1 || entries[0].Profile["k"] != "v" {
		t.Fatalf("%+v %v", entries, err)
	}
	for what, doc := range map[string]string{
		"unknown key":   strings.Replace(good, "name:", "nmae:", 1),
		"duplicate key": strings.Replace(good, "name: A", "name: A, name: B", 1),
		"two documents": good + "---\nbanks: []\n",
		"id twice":      good + strings.TrimPrefix(good, "banks:\n"),
		"bad id":        strings.Replace(good, "a-bank", "A Bank", 1),
		"bad bic":       strings.Replace(good, "COBADEFFXXX", "COBA", 1),
		"bad country":   strings.Replace(good, "[DE]", "[Germany]", 1),
		"bad code":      strings.Replace(good, "'50040000'", "'5 0'", 1),
		"no name":       strings.Replace(good, "name: A, ", "", 1),
		"no adapter":    strings.Replace(good, "adapter: x, ", "", 1),
	} {
		if _, err := ParseEntries([]byte(doc)); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	if entries, err := ParseEntries(nil); err != nil || entries != nil {
		t.Errorf("an empty file: %v %v", entries, err)
	}
}

// TestShippedRegistryIsValid: and nothing in it can be paid through before
// somebody enters credentials.
func TestShippedRegistryIsValid(t *testing.T) {
	doc, err := os.ReadFile("../configs/banks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := ParseEntries(doc)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 12 {
		t.Errorf("%d banks", len(entries))
	}
	for _, e := range entries {
		if e.Disabled == "" || len(e.BICs) == 0 || len(e.Countries) == 0 {
			t.Errorf("%s is enabled, or cannot be found", e.ID)
		}
	}
}

func TestProfileIsDecodedStrictly(t *testing.T) {
	var c struct {
		Life time.Duration `yaml:"life"`
	}
	if err := (Entry{Profile: map[string]any{"life": "15m"}}).DecodeProfile(&c); err != nil || c.Life != 15*time.Minute {
		t.Errorf("%v %v", c, err)
	}
	if err := (Entry{Profile: map[string]any{"lief": "15m"}}).DecodeProfile(&c); err == nil {
		t.Error("a misspelt field was ignored")
	}
}

// TestBuildKeepsDisabledBanksAnswering: orders sent before a bank was disabled
// must still be asked about; one without a profile is only listed.
func TestBuildKeepsDisabledBanksAnswering(t *testing.T) {
	factories := map[string]Factory{"x": func(e Entry, d Deps) (Bank, error) {
		if d.Now == nil || d.Log == nil {
			t.Error("deps are not filled")
		}
		if e.Profile == nil {
			return nil, errors.New("no profile")
		}
		return named(e.ID), nil
	}}
	ready := map[string]any{"k": "v"}
	entries := []Entry{{ID: "open", Name: "Öffnungsbank", Adapter: "x", Profile: ready}, {ID: "paused", Name: "P", Adapter: "x", Profile: ready, Disabled: "maintenance"}, {ID: "empty", Name: "E", Adapter: "x", Disabled: "no credentials"}}
	built, err := Build(entries, factories, Deps{})
	if err != nil || len(built) != 2 {
		t.Fatalf("%v %v", built, err)
	}
	r := NewRegistry(entries, built, time.Now)
	if _, _, ok := r.Bank("paused"); !ok {
		t.Error("a disabled bank cannot be asked any more")
	}
	if _, _, ok := r.Bank("empty"); ok {
		t.Error("a bank without an adapter was found")
	}
	for id, want := range map[string]string{"open": "", "paused": ReasonDisabled, "empty": ReasonDisabled} {
		if l, ok := r.Listing(id); !ok || l.Available != (want == "") || l.Reason != want {
			t.Errorf("%s: %+v", id, l)
		}
	}
	if _, err := Build([]Entry{{ID: "a", Adapter: "x"}}, factories, Deps{}); err == nil {
		t.Error("an enabled bank without a profile was accepted")
	}
	if _, err := Build([]Entry{{ID: "a", Adapter: "y", Disabled: "no"}}, factories, Deps{}); err == nil {
		t.Error("an unknown adapter was accepted")
	}
}

func TestSearch(t *testing.T) {
	e := []Entry{
		{ID: "coba", Name: "Commerzbank", Aliases: []string{"Coba"}, BICs: []string{"COBADEFFXXX"}, BankCodes: []string{"50040000"}},
		{ID: "caixa", Name: "CaixaBank", BICs: []string{"CAIXESBBXXX"}},
		{ID: "spk", Name: "Sparkasse Köln Bonn", BICs: []string{"COLSDE33XXX"}},
	}
	r := NewRegistry(e, map[string]Bank{}, time.Now)
	for query, want := range map[string]string{
		"": "caixa coba spk", "  ": "caixa coba spk", "comm": "coba", "COBA": "coba", "cobadeff": "coba", "COBA DE FF": "coba", "500 400": "coba",
		"koln": "spk", "KÖLN spar": "spk", "bonn köln": "spk", "bank": "", "nothing": "", "ommerz": "", "%": "caixa coba spk",
	} {
		var got []string
		for _, l := range r.Search(query) {
			got = append(got, l.ID)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q finds %v, want %s", query, got, want)
		}
	}
}

func dead() error { return &Error{Kind: Unavailable} }

func registryAt(c *clock) *Registry {
	return NewRegistry([]Entry{{ID: "b", Name: "B"}}, map[string]Bank{"b": named("b")}, c.now)
}

func available(t *testing.T, r *Registry) bool {
	t.Helper()
	l, ok := r.Listing("b")
	if !ok {
		t.Fatal("no such bank")
	}
	if l.Available != (l.Reason == "") || l.Available != l.Until.IsZero() {
		t.Errorf("%+v contradicts itself", l)
	}
	return l.Available
}

// TestSickBankIsLeftAlone: three unanswered calls in a row, a pause, a trial,
// a longer pause, an answer.
func TestSickBankIsLeftAlone(t *testing.T) {
	c := &clock{time.Unix(1_700_000_000, 0)}
	r := registryAt(c)
	for range TripAfter - 1 {
		r.Observe("b", "", dead(), 0)
	}
	if !available(t, r) {
		t.Fatal("too early")
	}
	r.Observe("b", "", nil, time.Second)
	r.Observe("b", "", dead(), 0)
	r.Observe("b", "", dead(), 0)
	if !available(t, r) {
		t.Fatal("an answer in between does not count")
	}
	pause := firstPause
	r.Observe("b", "", dead(), 0)
	for range 8 {
		if available(t, r) {
			t.Fatal("still offered")
		}
		r.Observe("b", "", dead(), 0) // answers of calls made before do not lengthen the pause
		c.t = c.t.Add(pause - 1)
		if available(t, r) {
			t.Fatal("offered again too early")
		}
		c.t = c.t.Add(1)
		if !available(t, r) {
			t.Fatalf("not offered again after %s", pause)
		}
		r.Observe("b", "", dead(), 0) // the trial fails
		pause = min(2*pause, maxPause)
	}
	r.Observe("b", "", nil, time.Second) // a status request was answered meanwhile
	if !available(t, r) {
		t.Error("a bank that answers is not offered")
	}
	r.Observe("b", "", dead(), 0)
	if !available(t, r) {
		t.Error("the past was not forgotten")
	}
}

func TestBankThatAsksForTimeGetsIt(t *testing.T) {
	c := &clock{time.Unix(1_700_000_000, 0)}
	r := registryAt(c)
	r.Observe("b", "", &Error{Kind: Unavailable, HTTPStatus: 503, RetryAfter: 2 * time.Minute}, 0)
	if l, _ := r.Listing("b"); l.Available || l.Reason != ReasonBusy || !l.Until.Equal(c.t.Add(2*time.Minute)) {
		t.Errorf("%+v", l)
	}
	c.t = c.t.Add(2 * time.Minute)
	if !available(t, r) {
		t.Error("not offered again")
	}
	r.Observe("b", "", &Error{Kind: Unavailable, HTTPStatus: 503, RetryAfter: 1000 * time.Hour}, 0)
	if l, _ := r.Listing("b"); l.Until.After(c.t.Add(maxPause)) {
		t.Errorf("a bank may not close itself for %s", l.Until.Sub(c.t))
	}
}

// TestWhatCountsAsNoAnswer: refusals are answers, our own giving up is
// nothing.
func TestWhatCountsAsNoAnswer(t *testing.T) {
	for what, c := range map[string]struct {
		err   error
		trips bool
	}{
		"unavailable":         {dead(), true},
		"lost":                {&Error{Kind: Uncertain}, true},
		"timed out":           {&Error{Kind: Uncertain, Err: context.DeadlineExceeded}, true},
		"5xx":                 {&Error{Kind: Uncertain, HTTPStatus: 502}, true},
		"one 429 after other": {&Error{Kind: Unavailable, HTTPStatus: 429, RetryAfter: time.Hour}, true},
		"given up":            {&Error{Kind: Uncertain, Err: context.Canceled}, false},
		"refused":             {&Error{Kind: Refused, HTTPStatus: 400}, false},
		"our mistake":         {&Error{Kind: BadRequest}, false},
		"odd answer":          {&Error{Kind: Uncertain, HTTPStatus: 201}, false},
		"foreign error":       {errors.New("boom"), false},
	} {
		r := registryAt(&clock{time.Unix(1_700_000_000, 0)})
		for range TripAfter {
			r.Observe("b", "", c.err, 0)
		}
		if available(t, r) == c.trips {
			t.Errorf("%s: trips is not %v", what, c.trips)
		}
	}
	r := registryAt(&clock{time.Unix(1_700_000_000, 0)})
	for _, err := range []error{dead(), dead(), &Error{Kind: BadRequest}, dead()} { // a request we never sent proves nothing
		r.Observe("b", "", err, 0)
	}
	if available(t, r) {
		t.Error("a request that was never sent counted as an answer")
	}
	r.Observe("nobody", "", dead(), 0)
}

func TestLatencyIsSmoothed(t *testing.T) {
	r := registryAt(&clock{time.Unix(1_700_000_000, 0)})
	r.Observe("b", "", nil, 800*time.Millisecond)
	r.Observe("b", "", nil, 1600*time.Millisecond)
	r.Observe("b", "", dead(), time.Hour)
	if l, _ := r.Listing("b"); l.Latency != 900*time.Millisecond {
		t.Error(l.Latency)
	}
}

func TestRegistryIsSafeForConcurrentUse(t *testing.T) {
	r := registryAt(&clock{time.Unix(1_700_000_000, 0)})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 200 {
				r.Observe("b", "", []error{nil, dead()}[i%2], time.Millisecond)
				if l := r.List(); len(l) != 1 || !slices.Contains(l[0].Approaches, Redirect) {
					t.Error(l)
				}
			}
		})
	}
	wg.Wait()
}
