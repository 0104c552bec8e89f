package webhooks_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// C34 from our side: every delivery convinces a receiver by each of the three
// signatures alone.
func TestEveryEventComesOnceInOrderAndTriplySigned(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, clock, bus.Config{Dir: t.TempDir()})
		w.node("one")
		s := newSink(t, nil)
		e := w.put(webhooks.Endpoint{URL: s.URL + "/hook"})
		payments := make([]string, 5)
		for i := range payments {
			payments[i] = w.payment()
		}
		for range 4 {
			for _, p := range payments {
				w.event(p)
			}
		}
		w.quiet()
		inOrderOnce(t, s.all(), 20)

		jwks, err := w.keys.PublicJWKS(clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		for name, config := range map[string]verify.Config{
			"v1": {Secrets: []string{e.Keys[0].Value}}, "v1a": {PublicKeys: []string{e.Keys[1].Public()}}, "jws": {JWKS: jwks},
		} {
			v, err := verify.New(config)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range s.all() {
				event, err := v.Verify(g.header, g.body, clock.Now())
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if event.ID != g.id || event.Type != "payment.attempt_failed" || event.ID != g.header.Get("webhook-id") {
					t.Fatalf("%s: event %+v", name, event)
				}
			}
		}
		for _, d := range w.deliveries(e.ID) {
			if d.State != webhooks.DeliveryDelivered || d.Attempts != 1 || len(d.Tries) != 1 || d.Tries[0].Status != 204 {
				t.Fatalf("delivery %+v", d)
			}
		}
	})
}

func TestFilterChoosesTypes(t *testing.T) {
	w, s := simple(t), newSink(t, nil)
	w.put(webhooks.Endpoint{URL: s.URL, Events: []string{"payment.settled", "webhook.*"}})
	all := w.put(webhooks.Endpoint{URL: s.URL, Events: []string{"payment.*"}})
	w.event(w.payment())
	w.quiet()
	if s.count() != 1 || w.only(all.ID).State != webhooks.DeliveryDelivered {
		t.Fatalf("%d deliveries came", s.count())
	}
}

func TestOtherMerchantsAreNotTold(t *testing.T) {
	w, s := simple(t), newSink(t, nil)
	other := w.put(webhooks.Endpoint{MerchantID: "mer_b", URL: s.URL})
	w.event(w.payment())
	w.quiet()
	if s.count() != 0 {
		t.Fatal("another merchant was told")
	}
	node := w.nodes[0]
	if _, err := node.Endpoint(t.Context(), merchant, other.ID); err == nil {
		t.Error("another merchant's endpoint can be read")
	}
	if _, _, err := node.Deliveries(t.Context(), merchant, other.ID, "", 10); err == nil {
		t.Error("another merchant's deliveries can be read")
	}
	if err := node.Delete(t.Context(), merchant, other.ID); err == nil {
		t.Error("another merchant's endpoint can be deleted")
	}
	if _, err := node.Put(t.Context(), webhooks.Endpoint{ID: other.ID, MerchantID: merchant, URL: s.URL}); err == nil {
		t.Error("another merchant's endpoint can be taken over")
	}
}

func TestScheduleIsFollowedThenTheDeliveryFails(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, clock, bus.Config{Dir: t.TempDir()})
		w.node("one")
		s := newSink(t, status(500))
		e := w.put(webhooks.Endpoint{URL: s.URL})
		w.event(w.payment())
		for try := 1; try <= len(webhooks.Schedule()); try++ {
			w.quiet()
			d := w.only(e.ID)
			if int(d.Attempts) != try || s.count() != try {
				t.Fatalf("%d attempts, %d requests after try %d", d.Attempts, s.count(), try)
			}
			if try == len(webhooks.Schedule()) {
				if d.State != webhooks.DeliveryFailed {
					t.Fatalf("state %s after the last try", d.State)
				}
				break
			}
			wait, want := d.NextAt.Sub(clock.Now()), webhooks.Schedule()[try]
			if wait < want*8/10 || wait > want*12/10 {
				t.Fatalf("pause %s after try %d, want %s ±20 %%", wait, try, want)
			}
			w.jump(wait - time.Microsecond)
			if s.count() != try {
				t.Fatal("tried before its time")
			}
			w.jump(time.Microsecond)
		}
		stamps := map[string]bool{}
		for _, g := range s.all() {
			stamps[g.header.Get("webhook-timestamp")+g.header.Get("Rialto-Signature")] = true
			if g.id != s.all()[0].id {
				t.Error("a retry has another id")
			}
		}
		if len(stamps) != s.count() {
			t.Error("a retry was not signed anew")
		}
		if err := w.nodes[0].Resend(t.Context(), merchant, e.ID, w.only(e.ID).ID); err != nil {
			t.Fatal(err)
		}
		w.quiet()
		if d := w.only(e.ID); s.count() != 11 || d.State != webhooks.DeliveryPending || len(d.Tries) != 11 {
			t.Fatalf("after the resend: %d requests, %+v", s.count(), d)
		}
	})
}

func TestRetryAfterIsHonouredAndBounded(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"3600": time.Hour, "999999999": 24 * time.Hour, "99999999999999999999999": 5 * time.Second, "-5": 5 * time.Second, "Fri, 20 Nov 2026 12:00:00 GMT": 2 * time.Hour,
	} {
		w := simple(t)
		s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, _ got) {
			rw.Header().Set("Retry-After", header)
			rw.WriteHeader(http.StatusTooManyRequests)
		})
		e := w.put(webhooks.Endpoint{URL: s.URL})
		w.event(w.payment())
		w.quiet()
		wait := w.only(e.ID).NextAt.Sub(w.clock.Now())
		if wait < want*8/10 || wait > want*12/10 {
			t.Errorf("Retry-After %s: pause %s, want %s", header, wait, want)
		}
	}
}

func TestThrottledEndpointIsLeftAlone(t *testing.T) {
	w := simple(t)
	var calm atomic.Bool
	s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, _ got) {
		if !calm.Load() {
			rw.Header().Set("Retry-After", "60")
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	w.put(webhooks.Endpoint{URL: s.URL})
	w.event(w.payment())
	w.quiet()
	for range 5 { // other payments
		w.event(w.payment())
	}
	w.pass(50 * time.Second)
	if s.count() != 1 {
		t.Fatalf("%d requests although it asked for quiet", s.count())
	}
	calm.Store(true)
	w.pass(40 * time.Second)
	w.until("the rest", func() bool { return s.count() == 7 })
}

func TestGoneDisablesTheEndpoint(t *testing.T) {
	w := simple(t)
	s := newSink(t, status(http.StatusGone))
	e := w.put(webhooks.Endpoint{URL: s.URL})
	p := w.payment()
	w.event(p)
	w.quiet()
	after, err := w.nodes[0].Endpoint(t.Context(), merchant, e.ID)
	if err != nil || after.State != webhooks.EndpointDisabled || after.Reason != webhooks.ReasonGone {
		t.Fatalf("endpoint %+v, %v", after, err)
	}
	w.event(p)
	w.pass(time.Minute)
	if s.count() != 1 || w.only(e.ID).State != webhooks.DeliveryFailed {
		t.Fatalf("%d requests to an endpoint that is gone", s.count())
	}
	w.put(webhooks.Endpoint{ID: e.ID, URL: s.URL}) // as a configuration does at every start
	if again, _ := w.nodes[0].Endpoint(t.Context(), merchant, e.ID); again.State != webhooks.EndpointDisabled {
		t.Fatal("the same configuration brought it back")
	}
}

func TestEndpointMayAbortOrDisableByHeader(t *testing.T) {
	for verdict, want := range map[string]webhooks.EndpointState{"abort-message": webhooks.EndpointActive, "disable": webhooks.EndpointDisabled} {
		w := simple(t)
		s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, _ got) {
			rw.Header().Set("webhook-delivery", verdict)
			rw.WriteHeader(http.StatusBadRequest)
		})
		e := w.put(webhooks.Endpoint{URL: s.URL})
		w.event(w.payment())
		w.quiet()
		after, err := w.nodes[0].Endpoint(t.Context(), merchant, e.ID)
		if err != nil || after.State != want {
			t.Errorf("%s: endpoint %+v, %v", verdict, after, err)
		}
		if verdict == "abort-message" && w.only(e.ID).State != webhooks.DeliveryFailed {
			t.Errorf("%s: %+v", verdict, w.only(e.ID))
		}
	}
}

func TestNothingButFailuresForFiveDaysDisables(t *testing.T) {
	w := simple(t)
	s := newSink(t, status(500))
	e := w.put(webhooks.Endpoint{URL: s.URL})
	w.event(w.payment())
	w.quiet()
	w.jump(121 * time.Hour)
	w.quiet()
	after, err := w.nodes[0].Endpoint(t.Context(), merchant, e.ID)
	if err != nil || after.State != webhooks.EndpointDisabled || after.Reason != webhooks.ReasonFailing {
		t.Fatalf("endpoint %+v, %v", after, err)
	}
}

func TestPausedEndpointCatchesUp(t *testing.T) {
	w, s := simple(t), newSink(t, nil)
	e := w.put(webhooks.Endpoint{URL: s.URL, State: webhooks.EndpointPaused})
	p := w.payment()
	for range 3 {
		w.event(p)
	}
	w.pass(time.Minute)
	if s.count() != 0 {
		t.Fatal("delivered to a paused endpoint")
	}
	w.put(webhooks.Endpoint{ID: e.ID, URL: s.URL, State: webhooks.EndpointActive})
	w.quiet()
	inOrderOnce(t, s.all(), 3)
}

func TestDeletedEndpointIsForgotten(t *testing.T) {
	w := simple(t)
	s := newSink(t, status(500))
	e := w.put(webhooks.Endpoint{URL: s.URL})
	p := w.payment()
	w.event(p)
	w.quiet()
	if err := w.nodes[0].Delete(t.Context(), merchant, e.ID); err != nil {
		t.Fatal(err)
	}
	w.event(p)
	w.pass(time.Minute)
	if s.count() != 1 {
		t.Fatalf("%d requests, one of them to a deleted endpoint", s.count())
	}
	if list, err := w.nodes[0].Endpoints(t.Context(), merchant); err != nil || len(list) != 0 {
		t.Fatalf("endpoints %v, %v", list, err)
	}
}

// A later event waits behind a failing one of its payment, five minutes and no
// longer; other payments do not wait.
func TestLaterEventWaitsAtMostFiveMinutesAndOnlyInItsPayment(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, clock, bus.Config{Dir: t.TempDir()})
		w.node("one")
		var bad atomic.Value
		bad.Store("")
		s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, g got) {
			if g.object == bad.Load() && g.sequence == 3 {
				rw.WriteHeader(500)
			}
		})
		w.put(webhooks.Endpoint{URL: s.URL})
		p, other := w.payment(), w.payment()
		bad.Store(p)
		w.event(p)
		w.quiet()
		for range 2 { // two more tries; the next is half an hour away
			w.pass(6 * time.Minute)
			w.quiet()
		}
		w.event(p)
		w.event(other)
		w.quiet()
		seen := func(object string, sequence int64) bool {
			for _, g := range s.all() {
				if g.object == object && g.sequence == sequence {
					return true
				}
			}
			return false
		}
		if !seen(other, 3) {
			t.Fatal("another payment waited")
		}
		if seen(p, 5) {
			t.Fatal("the later event overtook the failing one at once")
		}
		w.pass(4*time.Minute + 50*time.Second)
		w.quiet()
		if seen(p, 5) {
			t.Fatal("the later event overtook the failing one within five minutes")
		}
		w.pass(20 * time.Second)
		w.until("the later event", func() bool { return seen(p, 5) })
	})
}

// TestOverdueDeliveriesOfAPaymentGoInItsOrder: a process that slept finds both
// overdue, the later event by a longer time than the earlier one, which has been
// tried and put off.
func TestOverdueDeliveriesOfAPaymentGoInItsOrder(t *testing.T) {
	w := simple(t)
	var slept atomic.Bool
	s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, _ got) {
		if slept.CompareAndSwap(false, true) {
			w.clock.Add(time.Minute)
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		rw.WriteHeader(http.StatusNoContent)
	})
	w.put(webhooks.Endpoint{URL: s.URL})
	w.events(w.payment(), 2)
	w.quiet()
	var order []int64
	for _, g := range s.all() {
		order = append(order, g.sequence)
	}
	if !slices.Equal(order, []int64{3, 3, 5}) {
		t.Errorf("came in the order %v", order)
	}
}

func TestLaterEventFollowsAtOnceWhenTheEarlierSucceeds(t *testing.T) {
	w := simple(t)
	var good atomic.Bool
	s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, g got) {
		if !good.Load() {
			rw.WriteHeader(500)
		}
	})
	w.put(webhooks.Endpoint{URL: s.URL})
	p := w.payment()
	for range 4 {
		w.event(p)
	}
	w.quiet()
	if s.count() != 1 {
		t.Fatalf("%d requests while the first fails", s.count())
	}
	good.Store(true)
	w.pass(10 * time.Second)
	w.until("all", func() bool { return s.count() == 5 })
	inOrderOnce(t, s.all()[1:], 4)
}

// One endpoint hangs: it has its own slots full and nothing else, and another
// endpoint gets everything meanwhile.
func TestHangingEndpointDelaysNobodyElse(t *testing.T) {
	w := simple(t, func(w *world) { w.config.Slots, w.config.Timeout = 3, time.Hour })
	open := make(chan struct{})
	hanging := newSink(t, func(_ http.ResponseWriter, r *http.Request, _ got) {
		select {
		case <-open:
		case <-r.Context().Done():
		}
	})
	healthy := newSink(t, nil)
	h := w.put(webhooks.Endpoint{URL: hanging.URL})
	w.put(webhooks.Endpoint{URL: healthy.URL})
	for range 40 {
		w.event(w.payment())
	}
	w.until("all at the healthy one", func() bool { return healthy.count() == 40 })
	w.until("its slots full", func() bool { return hanging.count() >= 3 })
	if n := w.nodes[0].Busy(h.ID); n != 3 || hanging.count() != 3 {
		t.Fatalf("%d under way, %d received at the hanging endpoint, want its 3 slots", n, hanging.count())
	}
	close(open)
	w.quiet()
	inOrderOnce(t, hanging.all(), 40)
}

// More than fits into memory waits in the database, and comes in order.
func TestFloodIsBoundedAndCompletelyDelivered(t *testing.T) {
	w := simple(t, func(w *world) { w.config.Slots, w.config.Timeout = 2, time.Hour })
	open := make(chan struct{})
	s := newSink(t, func(_ http.ResponseWriter, r *http.Request, _ got) {
		select {
		case <-open:
		case <-r.Context().Done():
		}
	})
	w.put(webhooks.Endpoint{URL: s.URL})
	for range 300 {
		w.events(w.payment(), 4)
	}
	w.until("fan-out", func() bool {
		last, err := w.db.LastPosition(t.Context())
		return err == nil && last == 300*9 && w.nodes[0].Fanned() == last
	})
	close(open)
	w.quiet()
	inOrderOnce(t, s.all(), 1200)
}
