package webhooks_test

import (
	"testing"
	"time"

	"github.com/rialto-hub/rialto/webhooks"
)

// mute is a bus of a process whose words are lost.
type mute struct{ webhooks.Bus }

func (mute) Nudge(string) error { return nil }

// stepOf drives one piece of a process's background work once.
func (w *world) stepOf(s *webhooks.Service, name string) {
	w.t.Helper()
	for _, worker := range s.Workers() {
		if worker.Name == name {
			if _, err := worker.Step(w.t.Context(), w.clock.Now()); err != nil {
				w.t.Fatal(err)
			}
			return
		}
	}
	w.t.Fatal("no worker " + name)
}

// TestWhatAnotherFannedOutIsNotOvertaken: a process makes a delivery and dies, or
// hears of a failure although it was committed, before it has told anybody. Who
// fans out next and sends the payment's next event must not send that one first.
func TestWhatAnotherFannedOutIsNotOvertaken(t *testing.T) {
	w, s := simple(t), newSink(t, nil)
	one := w.nodes[0]
	w.put(webhooks.Endpoint{URL: s.URL})
	payment := w.payment()
	w.quiet()

	deps := w.deps("two")
	deps.Bus, deps.Follower = mute{w.bus}, w.bus.Follow("webhooks-two")
	two, err := webhooks.New(w.config, deps)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Add(16 * time.Second)      // nobody fans out any more: two does
	w.stepOf(one, "webhooks.dispatch") // it owns the endpoint for another half minute
	w.event(payment)
	w.stepOf(two, "webhooks.fanout")
	var made int
	if err := w.db.Get(t.Context(), &made, `SELECT COUNT(*) FROM webhook_deliveries`); err != nil || made != 1 || s.count() != 0 {
		t.Fatalf("%d deliveries, %d sent, %v; this test is about one that is made and not sent", made, s.count(), err)
	}
	w.clock.Add(16 * time.Second)
	w.event(payment)
	w.stepOf(one, "webhooks.fanout")
	w.quiet()
	inOrderOnce(t, s.all(), 2)
}

// TestWhatAPlannedLookDoesNotSeeYetIsNotOvertaken: a delivery is made between the
// time by which a process looks for what is due and the look itself, and left to
// that look. The payment's next event must not be sent first.
func TestWhatAPlannedLookDoesNotSeeYetIsNotOvertaken(t *testing.T) {
	w, s := simple(t), newSink(t, nil)
	node := w.nodes[0]
	endpoint := w.put(webhooks.Endpoint{URL: s.URL})
	payment := w.payment()
	w.quiet()

	planned := w.clock.Now()
	w.clock.Add(5 * time.Millisecond)
	node.Changed(endpoint.ID) // there may be more than it knows: it has to look before it takes anything on
	w.event(payment)
	w.stepOf(node, "webhooks.fanout")
	if s.count() != 0 {
		t.Fatal("sent; this test is about one that waits for the look")
	}
	for _, worker := range node.Workers() {
		if worker.Name == "webhooks.dispatch" {
			if _, err := worker.Step(t.Context(), planned); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.event(payment)
	w.stepOf(node, "webhooks.fanout")
	w.quiet()
	inOrderOnce(t, s.all(), 2)
}
