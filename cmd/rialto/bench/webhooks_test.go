package bench_test

import (
	"testing"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/bench"
)

// TestPoisonedEndpointsDoNotDelayTheOthers compares within one run, on
// whatever machine: with one endpoint in ten slow, dead or answering without end
// the others get their events in less than twice the time. A busy machine may
// disturb one of the halves, so that one good run of several is enough.
func TestPoisonedEndpointsDoNotDelayTheOthers(t *testing.T) {
	for name, poison := range map[string]bench.Neighbour{"slow": bench.Slow, "dead": bench.Dead, "huge": bench.Huge} {
		t.Run(name, func(t *testing.T) {
			few, many := false, false // have had their good run
			for try := range 6 {
				r, err := bench.Webhooks(t.Context(), bench.WebhookOptions{Dir: t.TempDir(), Runs: 1, Paced: time.Second, Rate: 200, Flat: 400, Poison: poison})
				if err != nil {
					t.Fatal(err)
				}
				if r.DeliveredPaced != 200 {
					t.Fatalf("%d of 200 events were measured", r.DeliveredPaced)
				}
				few, many = few || !r.Poison.Suffers(), many || !r.Thousand.Poison.Suffers()
				if few && many {
					return
				}
				t.Logf("try %d: %+v %+v", try+1, r.Poison, r.Thousand.Poison)
			}
			t.Errorf("healthy endpoints wait for the poisoned: of ten %v, of a thousand %v", !few, !many)
		})
	}
}
