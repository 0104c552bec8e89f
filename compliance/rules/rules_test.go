package rules_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/rules/rulestest"
)

func engine(t testing.TB, profile string) *rules.Engine {
	t.Helper()
	e, err := rules.Shipped().Compile(profile, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func judge(t testing.TB, e *rules.Engine, m *rules.Memory, f *rules.Fact) *rules.Judgement {
	t.Helper()
	h := m.History(f)
	if f.Kind == rules.HourEnd {
		h = &rules.History{Hours: m.MerchantHours(f.Merchant, f.At.Add(time.Hour))}
	}
	j, err := e.Judge(f, h)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestEveryRuleFiresAtItsLimitAndNotBelow(t *testing.T) {
	e := engine(t, rules.ProfileOnlineDE)
	kinds := map[string]map[string]bool{}
	for _, c := range rulestest.Cases(t) {
		t.Run(c.Rule+" "+c.Name, func(t *testing.T) {
			past, now := c.Facts(t)
			m := rules.NewMemory()
			for _, f := range past {
				m.Add(f)
			}
			c.Check(t, judge(t, e, m, now))
		})
		if kinds[c.Rule] == nil {
			kinds[c.Rule] = map[string]bool{}
		}
		kinds[c.Rule][strings.Fields(c.Name)[0]] = true
	}
	for i := 1; i <= 36; i++ {
		id := fmt.Sprintf("R%02d", i)
		for _, kind := range []string{"fires", "boundary", "silent"} {
			if !kinds[id][kind] {
				t.Errorf("%s has no case %q", id, kind)
			}
		}
	}
}

func TestEveryProfileHoldsTheCatalogue(t *testing.T) {
	for profile, want := range map[string]int{rules.ProfileOnlineDE: 36, rules.ProfileLandBasedDE: 34, rules.ProfileEUAMLR2027: 36, rules.ProfileStream60D: 36} {
		if got := len(engine(t, profile).Rules()); got != want {
			t.Errorf("%s has %d rules, want %d", profile, got, want)
		}
	}
	if engine(t, rules.ProfileOnlineDE).Version == engine(t, rules.ProfileStream60D).Version {
		t.Error("two profiles that decide differently have one version")
	}
}

// Months are Berlin's: 31 October 23:30 there is 22:30 UTC, and still October.
func TestMonthsAreCalendarMonthsInBerlin(t *testing.T) {
	e := engine(t, rules.ProfileOnlineDE)
	end := time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC) // midnight of 1 November in Berlin
	for _, c := range []struct {
		at   time.Time
		want bool
	}{{end.Add(-time.Second), true}, {end, false}} {
		m := rules.NewMemory()
		base := rules.Fact{Revision: 1, Kind: rules.Deposit, Status: rules.Settled, Merchant: "m1", Player: "p1", Person: "p1", PersonLinked: true, Gambling: true}
		first, second := base, base
		first.ID, first.At, first.Amount = "a", time.Date(2026, 10, 5, 0, 0, 0, 0, time.UTC), 60000
		second.ID, second.At, second.Amount = "b", c.at, 60000
		m.Add(&first)
		if got := hits(judge(t, e, m, &second))["R10"]; got != c.want {
			t.Errorf("at %s the monthly limit fired: %v, want %v", c.at, got, c.want)
		}
	}
}

func hits(j *rules.Judgement) map[string]bool {
	out := map[string]bool{}
	for _, h := range j.Hits {
		out[h.Rule] = true
	}
	return out
}

func TestAHitReplaysToItself(t *testing.T) {
	e := engine(t, rules.ProfileOnlineDE)
	replayed := 0
	for _, c := range rulestest.Cases(t) {
		past, now := c.Facts(t)
		m := rules.NewMemory()
		for _, f := range past {
			m.Add(f)
		}
		for _, h := range judge(t, e, m, now).Hits {
			stored, err := json.Marshal(h)
			if err != nil {
				t.Fatal(err)
			}
			again, err := engine(t, rules.ProfileOnlineDE).ReplayJSON(stored)
			if err != nil {
				t.Fatalf("%s %s: %v", c.Rule, c.Name, err)
			}
			if b, _ := json.Marshal(again); string(b) != string(stored) {
				t.Errorf("%s %s: replayed to\n%s, stored\n%s", c.Rule, c.Name, b, stored)
			}
			replayed++
		}
	}
	if replayed < 36 {
		t.Errorf("only %d hits were replayed", replayed)
	}
	if _, err := engine(t, rules.ProfileStream60D).Replay(rules.Hit{Rule: "R19", Version: "0"}); err == nil {
		t.Error("a hit of another version was replayed")
	}
}

// Delivery twice, in any order, changes neither what is remembered nor, once
// those who came too early are judged again, what is found.
func TestRedeliveryAndReorderingLoseNothing(t *testing.T) {
	e := engine(t, rules.ProfileStream60D)
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 6))
		facts := randomFacts(random, 60)
		inOrder, shuffled := rules.NewMemory(), rules.NewMemory()
		want, got := map[string]bool{}, map[string]bool{}
		for _, f := range facts {
			inOrder.Add(f)
			note(want, judge(t, e, inOrder, f))
		}
		delivered := append(slices.Clone(facts), facts...)
		random.Shuffle(len(delivered), func(i, k int) { delivered[i], delivered[k] = delivered[k], delivered[i] })
		for _, f := range delivered {
			if !shuffled.Add(f) {
				continue
			}
			note(got, judge(t, e, shuffled, f))
			for _, later := range shuffled.Later(f) {
				note(got, judge(t, e, shuffled, later))
			}
		}
		for k := range want {
			if !got[k] {
				t.Errorf("seed %d: %s was lost", seed, k)
			}
		}
		for _, f := range facts {
			if !reflect.DeepEqual(judge(t, e, inOrder, f), judge(t, e, shuffled, f)) {
				t.Fatalf("seed %d: %s is judged differently in the end", seed, f.ID)
			}
		}
	}
}

func note(to map[string]bool, j *rules.Judgement) {
	for _, h := range j.Hits {
		to[j.ID+" "+h.Rule] = true
	}
}

func randomFacts(random *rand.Rand, n int) []*rules.Fact {
	at := time.Date(2026, 10, 30, 0, 0, 0, 0, time.UTC)
	pick := func(prefix string, n int) string { return prefix + fmt.Sprint(random.IntN(n)) }
	out := make([]*rules.Fact, n)
	for i := range out {
		at = at.Add(time.Duration(random.IntN(3000)) * time.Second)
		player := pick("p", 5)
		out[i] = &rules.Fact{
			ID: fmt.Sprintf("t%03d", i), Revision: 1, At: at, Kind: []rules.Kind{rules.Deposit, rules.Deposit, rules.Payout}[random.IntN(3)],
			Status: []rules.Status{rules.Settled, rules.Settled, rules.Settled, rules.Failed}[random.IntN(4)], Amount: int64(1 + random.IntN(199999)),
			Merchant: pick("m", 2), Player: player, Person: player, PersonLinked: true, Gambling: true, IBAN: pick("i", 6), IBANCountry: pick("C", 2),
			Device: pick("d", 3), IP: pick("a", 3), Network: pick("n", 2), Holder: pick("h", 3),
		}
	}
	return out
}

// A newer revision replaces what was remembered: a deposit that failed after
// all no longer counts.
func TestAFailedTransactionLeavesTheWindows(t *testing.T) {
	e, m := engine(t, rules.ProfileOnlineDE), rules.NewMemory()
	c := rulestest.Case{At: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC), Past: []string{"1h deposit 60000"}, Now: "deposit 60000"}
	past, now := c.Facts(t)
	m.Add(past[0])
	if !hits(judge(t, e, m, now))["R10"] {
		t.Fatal("the limit did not fire")
	}
	failed := *past[0]
	failed.Status, failed.Revision = rules.Failed, 2
	m.Add(&failed)
	if m.Add(past[0]) {
		t.Error("an older revision was taken")
	}
	if hits(judge(t, e, m, now))["R10"] {
		t.Error("a failed deposit counts towards the limit")
	}
}

func TestACatalogueThatCannotWorkIsRefusedByName(t *testing.T) {
	for name, c := range map[string]struct{ change, to, want string }{
		"unknown feature":    {"n_30s >= 2 &&", "n_40s >= 2 &&", "R15"},
		"unknown limit":      {"limit.run &&", "limit.walk &&", "R16"},
		"wrong type":         {"failed_30m >= limit.probes", "failed_30m", "R18"},
		"loop":               {"failed_30m >= limit.probes", "any(1..9, # > 3)", "R18"},
		"later rule":         {"fired.R12", "fired.R99", "R36"},
		"unknown source":     {"needs: [vasp_list]", "needs: [oracle]", "R36"},
		"unknown window":     {"window: 30m", "window: soon", "failed_30m"},
		"public reason":      {"public: kyc_required", "public: money_laundering", "R11"},
		"profile's own rule": {"off: [R10, R11]", "off: [R77]", "R77"},
	} {
		text := strings.Replace(string(shippedText(t)), c.change, c.to, 1)
		catalogue, err := rules.ParseCatalogue(strings.NewReader(text))
		if err == nil {
			_, err = catalogue.Compile(rules.ProfileLandBasedDE, nil)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v does not name %s", name, err, c.want)
		}
	}
}
