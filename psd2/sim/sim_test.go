package sim

import (
	"database/sql/driver"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/psd2"
)

// TestHubKeepsItsPromisesInEveryWorld lives a few worlds; RIALTO_SIM_SEEDS says
// how many, RIALTO_SIM_SEED where to begin.
func TestHubKeepsItsPromisesInEveryWorld(t *testing.T) {
	number := func(name string, otherwise uint64) uint64 {
		if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
			return n
		}
		return otherwise
	}
	r, err := Run(t.Context(), Options{First: number("RIALTO_SIM_SEED", 1), Seeds: int(number("RIALTO_SIM_SEEDS", 12))})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d worlds, %d processes died, %d steps, %v", r.Seeds, r.Deaths, r.Steps, r.Ends)
	for _, end := range []string{"payment settled", "payment failed", "refund executed", "payout executed"} {
		if r.Seeds >= 12 && (r.Ends[end] == 0 || r.Deaths == 0) {
			t.Errorf("not much happened: no %s, %d deaths", end, r.Deaths)
		}
	}
	for i, f := range r.Failures {
		t.Errorf("seed %d: %q", f.Seed, f.Findings)
		if i == 0 {
			for _, line := range f.Trace {
				t.Log(line)
			}
		}
	}
}

func TestOneSeedIsOneWorld(t *testing.T) {
	for _, seed := range []uint64{3, 4} {
		first, err := Trace(seed)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Trace(seed)
		if err != nil {
			t.Fatal(err)
		}
		if len(first) < 50 {
			t.Errorf("seed %d: only %d things happened", seed, len(first))
		}
		for i := range min(len(first), len(again)) {
			if first[i] != again[i] {
				t.Fatalf("seed %d: line %d was %q, then %q", seed, i+1, first[i], again[i])
			}
		}
		if !slices.Equal(first, again) {
			t.Errorf("seed %d: %d lines, then %d", seed, len(first), len(again))
		}
	}
}

// TestSleepBeforeACallIsHarmless: what the fault of a sleepless clock is found by
// is not the sleep.
func TestSleepBeforeACallIsHarmless(t *testing.T) {
	r, err := Run(t.Context(), Options{First: 1, Seeds: 12, plant: func(uint64) plant { return plant{dozes: true} }})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Failures {
		t.Errorf("seed %d: %q", f.Seed, f.Findings)
	}
}

// skipping is a fan-out that makes no deliveries of some types.
func skipping(types ...string) func(task, query string, args []driver.NamedValue) driver.Result {
	return func(task, query string, args []driver.NamedValue) driver.Result {
		skips := func(v driver.NamedValue) bool {
			s, is := v.Value.(string)
			return is && slices.Contains(types, s)
		}
		if strings.HasSuffix(task, "fanout") && strings.HasPrefix(query, "INSERT INTO webhook_deliveries") && slices.ContainsFunc(args, skips) {
			return driver.RowsAffected(0)
		}
		return nil
	}
}

// fenceless are leases that everybody gets who asks, and fences that stop
// nobody.
func fenceless(query string) string {
	query = strings.Replace(query, "WHERE leases.holder = excluded.holder OR", "WHERE TRUE OR", 1)
	if strings.HasPrefix(query, "UPDATE leases") {
		query = strings.Replace(query, "AND fence = ?", "AND (TRUE OR fence = ?)", 1)
	}
	return query
}

// TestPlantedFaultIsFound: a simulator that finds nothing proves nothing. Each
// fault is one that hubs have had; within a few worlds its promise breaks.
func TestPlantedFaultIsFound(t *testing.T) {
	const within = 60
	for name, c := range map[string]struct {
		plant func(seed uint64) plant
		kind  Kind
	}{
		"an order is sent again after a timeout": {
			func(uint64) plant { return plant{resend: true} }, DoubleSubmission},
		"a position counts as published before it is acknowledged": {
			func(seed uint64) plant {
				c := newChance(seed, "plant")
				return plant{lie: func() bool { return c.in(40) }}
			}, LostEvent},
		"a process that slept sends what others have given up": {
			func(uint64) plant { return plant{unfenced: true} }, WrongFinal},
		"an event is not written with its change": {
			func(seed uint64) plant {
				c := newChance(seed, "plant")
				return plant{swallow: func(_, query string, _ []driver.NamedValue) driver.Result {
					if strings.Contains(query, "INSERT INTO journal") && c.in(40) {
						return driver.RowsAffected(1)
					}
					return nil
				}}
			}, LostEvent},
		"the fan-out skips executed and settled": {
			func(uint64) plant { return plant{swallow: skipping(psd2.EventExecuted, psd2.EventSettled)} }, LostEvent},
		"an order that its bank's app asks about counts as harmless": {
			func(uint64) plant { return plant{concealed: true} }, DoubleSubmission},
		"a lease fences nobody off": {
			func(uint64) plant { return plant{rewrite: fenceless} }, DoubleSubmission},
		"a process sends a deposit's order long after its intent": {
			func(uint64) plant { return plant{dozes: true, sleepless: true} }, WrongFinal},
		"a rejection is taken for an execution": {
			func(uint64) plant { return plant{statuses: map[string]string{"RJCT": "ACSC"}} }, WrongFinal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Run(t.Context(), Options{First: 1, Seeds: within, Workers: 1, plant: c.plant, stop: true})
			if err != nil {
				t.Fatal(err)
			}
			if r.OK() {
				t.Fatalf("not found in %d worlds", r.Seeds)
			}
			t.Logf("found in world %d: %q", r.Failures[0].Seed, r.Failures[0].Findings)
			n := map[Kind]int{DoubleSubmission: r.DoubleSubmissions, WrongFinal: r.WrongFinal, LostEvent: r.LostEvents, Stuck: r.Stuck}
			if n[c.kind] == 0 {
				t.Errorf("found, but not as %s", c.kind)
			}
		})
	}
}
