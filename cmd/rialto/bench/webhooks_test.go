package bench_test

import (
	"testing"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/bench"
)

// TestPoisonedEndpointsDoNotDelayTheOthers compares within one run, on
// whatever machine: with one endpoint in ten taking four seconds the others get
// their events in less than twice the time. A busy machine may disturb one of
// the halves, so that one good run of several is enough; a queue that is shared
// is thousands of times slower in each.
func TestPoisonedEndpointsDoNotDelayTheOthers(t *testing.T) {
	var r bench.WebhookReport
	for try := range 4 {
		var err error
		r, err = bench.Webhooks(t.Context(), bench.WebhookOptions{Dir: t.TempDir(), Runs: 1, Paced: time.Second, Rate: 200, Flat: 400})
		if err != nil {
			t.Fatal(err)
		}
		if r.DeliveredPaced != 200 {
			t.Fatalf("%d of 200 events were measured", r.DeliveredPaced)
		}
		if r.Poison.HealthyP50MS <= 2*r.Poison.BaselineP50MS && r.Thousand.Poison.HealthyP50MS <= 2*r.Thousand.Poison.BaselineP50MS {
			return
		}
		t.Logf("try %d: %+v %+v", try+1, r.Poison, r.Thousand.Poison)
	}
	t.Errorf("healthy endpoints wait for the poisoned: %+v, of a thousand %+v", r.Poison, r.Thousand.Poison)
}
