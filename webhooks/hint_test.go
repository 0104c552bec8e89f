package webhooks_test

import (
	"testing"

	"github.com/rialto-hub/rialto/webhooks"
)

// TestFanOutIsWokenByTheCommitItself: nothing between the commit and the fan-out
// has to move: no relay runs here before the fan-out has, and it may be waiting
// for the disk of NATS.
func TestFanOutIsWokenByTheCommitItself(t *testing.T) {
	w := simple(t)
	s := newSink(t, nil)
	w.put(webhooks.Endpoint{MerchantID: merchant, URL: s.URL})
	w.quiet()
	var fanout webhooks.Worker
	for _, worker := range w.nodes[0].Workers() {
		if worker.Name == "webhooks.fanout" {
			fanout = worker
		}
	}
	for stale := true; stale; {
		select {
		case <-fanout.Wake:
		default:
			stale = false
		}
	}
	w.event(w.payment())
	select {
	case <-fanout.Wake:
	default:
		t.Fatal("nobody woke the fan-out")
	}
	if _, err := fanout.Step(t.Context(), w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	w.until("delivered", func() bool { return s.count() == 1 })
}
