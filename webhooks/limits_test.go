package webhooks_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/webhooks"
)

// An endpoint that says it cannot keep up is left alone for longer each time,
// although it asks for nothing, and served as before once it can.
func TestOverloadedEndpointIsSlowedDown(t *testing.T) {
	for _, code := range []int{429, 502, 503, 504} {
		w := simple(t, func(w *world) { w.config.Slots = 1 })
		var calm atomic.Bool
		s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, _ got) {
			if !calm.Load() {
				rw.WriteHeader(code)
			}
		})
		e := w.put(webhooks.Endpoint{URL: s.URL})
		for range 8 { // each of its own payment: none waits for another
			w.event(w.payment())
		}
		w.quiet()
		if n := s.count(); n != 1 {
			t.Fatalf("%d: %d requests at once although the first was told to slow down", code, n)
		}
		var pauses []time.Duration
		for last, seen := w.clock.Now(), 1; seen < 5; {
			w.clock.Add(500 * time.Millisecond)
			w.quiet()
			if n := s.count(); n > seen {
				pauses, last, seen = append(pauses, w.clock.Now().Sub(last)), w.clock.Now(), n
			}
		}
		for i := 1; i < len(pauses); i++ {
			if pauses[i] <= pauses[i-1] {
				t.Errorf("%d: pauses %v do not grow", code, pauses)
			}
		}
		calm.Store(true)
		for range 60 { // those that failed have their own time to come again
			w.clock.Add(10 * time.Second)
			w.quiet()
		}
		for _, d := range w.deliveries(e.ID) {
			if d.State != webhooks.DeliveryDelivered {
				t.Fatalf("%d: %s is %s after ten minutes", code, d.EventID, d.State)
			}
		}
		began := s.count()
		for range 5 {
			w.event(w.payment())
		}
		w.quiet()
		if s.count() != began+5 {
			t.Errorf("%d: it is still slowed down", code)
		}
	}
}

func ids(list []got) map[string]bool {
	out := map[string]bool{}
	for _, g := range list {
		out[g.id] = true
	}
	return out
}

func TestEndpointsOwnRateIsKept(t *testing.T) {
	w, s, free := simple(t), newSink(t, nil), newSink(t, nil)
	w.put(webhooks.Endpoint{URL: s.URL, Rate: 5})
	w.put(webhooks.Endpoint{URL: free.URL})
	for range 40 {
		w.event(w.payment())
	}
	w.until("all at the one without a limit", func() bool { return free.count() == 40 })
	began := w.clock.Now()
	if n := s.count(); n > 2 {
		t.Fatalf("%d requests in no time", n)
	}
	for s.count() < 40 {
		w.clock.Add(100 * time.Millisecond)
		w.quiet()
		if most := 2 + int(5*w.clock.Now().Sub(began)/time.Second); s.count() > most {
			t.Fatalf("%d requests after %s, at most %d are allowed", s.count(), w.clock.Now().Sub(began), most)
		}
		if w.clock.Now().Sub(began) > 12*time.Second {
			t.Fatalf("only %d requests in 12 s at 5 a second", s.count())
		}
	}
	inOrderOnce(t, s.all(), 40)
}

func TestEndpointsOwnConcurrencyIsKept(t *testing.T) {
	w := simple(t)
	open := make(chan struct{})
	var under, most atomic.Int64
	s := newSink(t, func(_ http.ResponseWriter, r *http.Request, _ got) {
		most.Store(max(most.Load(), under.Add(1)))
		defer under.Add(-1)
		select {
		case <-open:
		case <-r.Context().Done():
		}
	})
	e := w.put(webhooks.Endpoint{URL: s.URL, Slots: 2})
	for range 20 {
		w.event(w.payment())
	}
	w.until("two under way", func() bool { return w.nodes[0].Busy(e.ID) == 2 && s.count() == 2 })
	close(open)
	w.quiet()
	if most.Load() > 2 || s.count() != 20 {
		t.Fatalf("%d at once, %d in all", most.Load(), s.count())
	}
}

// What waits for an endpoint that takes nothing is bounded in bytes, and gets
// there all the same.
func TestMemoryOfOneEndpointIsBounded(t *testing.T) {
	w := simple(t, func(w *world) { w.config.Slots, w.config.Bytes, w.config.Timeout = 1, 16<<10, time.Hour })
	open := make(chan struct{})
	s := newSink(t, func(_ http.ResponseWriter, r *http.Request, _ got) {
		select {
		case <-open:
		case <-r.Context().Done():
		}
	})
	e := w.put(webhooks.Endpoint{URL: s.URL})
	largest := 0
	for range 100 {
		w.event(w.payment())
		w.step()
		largest = max(largest, w.nodes[0].Bytes(e.ID))
	}
	w.pass(30 * time.Second)
	largest = max(largest, w.nodes[0].Bytes(e.ID))
	if largest > 3*w.config.Bytes || largest == 0 {
		t.Errorf("%d bytes in memory, the budget is %d", largest, w.config.Bytes)
	}
	close(open)
	w.quiet()
	inOrderOnce(t, s.all(), 100)
	if n := w.nodes[0].Bytes(e.ID); n != 0 {
		t.Errorf("%d bytes are still counted with nothing in memory", n)
	}
}

// One merchant's flood stands in front of another's event in the journal, not
// in front of his endpoint.
func TestFloodOfOneMerchantDoesNotStarveAnother(t *testing.T) {
	w := simple(t, func(w *world) { w.config.Slots = 2 })
	hang := make(chan struct{})
	flooded := newSink(t, func(_ http.ResponseWriter, r *http.Request, _ got) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	other := newSink(t, nil)
	w.put(webhooks.Endpoint{URL: flooded.URL})
	w.put(webhooks.Endpoint{URL: other.URL, MerchantID: "mer_b"})
	for range 200 {
		w.events(w.payment(), 5)
	}
	w.eventOf("mer_b")
	w.until("the other's event", func() bool { return other.count() == 1 })
	if n := flooded.count(); n > 4 {
		t.Errorf("%d requests to the flooded endpoint, it has 2 slots", n)
	}
	close(hang)
}

func TestVersionIsPinnedAndSent(t *testing.T) {
	w, s := simple(t), newSink(t, nil)
	e := w.put(webhooks.Endpoint{URL: s.URL})
	if e.Version != webhooks.Version {
		t.Errorf("registered with version %q", e.Version)
	}
	w.event(w.payment())
	w.quiet()
	if v := s.all()[0].header.Get("Rialto-Version"); v != webhooks.Version {
		t.Errorf("sent with version %q", v)
	}
	if _, err := w.nodes[0].Put(t.Context(), webhooks.Endpoint{ID: e.ID, MerchantID: merchant, URL: s.URL, Version: "1999-01-01"}); err == nil {
		t.Error("a version that there is not was taken")
	}
}
