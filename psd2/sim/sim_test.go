package sim

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
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
				return plant{swallow: func(query string) bool { return strings.Contains(query, "INSERT INTO journal") && c.in(40) }}
			}, LostEvent},
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
