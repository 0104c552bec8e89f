package webhooks_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
)

// Poison (C41): what is damaged of one merchant stops nobody else.

// worker drives one piece of a node's work.
func (w *world) worker(s *webhooks.Service, name string) {
	w.t.Helper()
	for _, one := range s.Workers() {
		if one.Name != name {
			continue
		}
		if _, err := one.Step(w.t.Context(), w.clock.Now()); err != nil {
			w.t.Fatal(name, err)
		}
	}
}

// failingPair are two receivers that fail until they are mended.
func failingPair(t *testing.T) (one, other *sink, mend func()) {
	var mended atomic.Bool
	fails := func(rw http.ResponseWriter, _ *http.Request, _ got) {
		if !mended.Load() {
			rw.WriteHeader(http.StatusInternalServerError)
		}
	}
	return newSink(t, fails), newSink(t, fails), func() { mended.Store(true) }
}

// TestDamagedEventOfOneMerchantStopsNobodyElse: neither when it is fanned out
// nor when it is tried again. Its own merchant is told that there was something.
func TestDamagedEventOfOneMerchantStopsNobodyElse(t *testing.T) { // C41
	w := simple(t)
	damaged, other, mend := failingPair(t)
	w.put(webhooks.Endpoint{ID: "whe_a", URL: damaged.URL})
	w.put(webhooks.Endpoint{ID: "whe_b", URL: other.URL, MerchantID: "mer_b"})
	w.event(w.payment())
	w.eventOf("mer_b")
	w.quiet() // both failed, and wait to be tried again
	w.event(w.payment())
	w.erase(`UPDATE journal SET sealed = ? WHERE merchant_id = ?`, []byte("damaged"), merchant)
	w.eventOf("mer_b")
	mend()
	w.pass(time.Minute)
	w.quiet()
	if n := len(ids(other.all())); n != 2 {
		t.Errorf("%d of 2 events of the merchant whose rows are whole", n)
	}
	told := damaged.all()
	if n := len(ids(told)); n != 2 {
		t.Fatalf("%d of 2 events whose data are damaged", n)
	}
	last := told[len(told)-1]
	if !strings.Contains(string(last.body), `"data":{"unreadable":true}`) || last.sequence == 0 || last.id == "" {
		t.Errorf("it was told %s", last.body)
	}
	if w.db.Damaged() == 0 {
		t.Error("nobody has counted it")
	}
}

// TestDamagedDeliveryOfOneEndpointStopsNobodyElse: the rows of one endpoint
// cannot be read; once they can, it is served again.
func TestDamagedDeliveryOfOneEndpointStopsNobodyElse(t *testing.T) { // C41
	w := simple(t)
	damaged, other, mend := failingPair(t)
	w.put(webhooks.Endpoint{ID: "whe_a", URL: damaged.URL})
	w.put(webhooks.Endpoint{ID: "whe_b", URL: other.URL})
	w.event(w.payment())
	w.quiet()
	w.erase(`UPDATE webhook_deliveries SET step = 'x' WHERE endpoint_id = 'whe_a'`) // SQLite lets one
	mend()
	w.pass(30 * time.Second)
	w.until("the other's", func() bool { return other.count() == 2 })
	if damaged.count() != 1 {
		t.Fatalf("%d requests: the test proves nothing", damaged.count())
	}
	w.erase(`UPDATE webhook_deliveries SET step = 1 WHERE endpoint_id = 'whe_a'`)
	w.pass(2 * time.Minute)
	w.until("its own", func() bool { return damaged.count() == 2 })
}

// TestDamagedEndpointIsPausedAndStopsNobodyElse: its events wait until its row
// is whole again.
func TestDamagedEndpointIsPausedAndStopsNobodyElse(t *testing.T) { // C41
	w := simple(t)
	damaged, other := newSink(t, nil), newSink(t, nil)
	e := w.put(webhooks.Endpoint{ID: "whe_a", URL: damaged.URL})
	w.put(webhooks.Endpoint{ID: "whe_b", URL: other.URL})
	var sealed []byte
	if err := w.db.Get(t.Context(), &sealed, `SELECT sealed FROM webhook_endpoints WHERE id = ?`, e.ID); err != nil {
		t.Fatal(err)
	}
	set := func(to []byte) {
		w.erase(`UPDATE webhook_endpoints SET sealed = ? WHERE id = ?`, to, e.ID)
		w.put(webhooks.Endpoint{URL: other.URL, MerchantID: "mer_c", Description: fmt.Sprint(len(to))}) // everybody reads the endpoints again
	}
	set([]byte("damaged"))
	w.event(w.payment())
	w.quiet()
	if other.count() != 1 || damaged.count() != 0 {
		t.Fatalf("%d to the whole endpoint, %d to the damaged one", other.count(), damaged.count())
	}
	list, err := w.nodes[0].Endpoints(t.Context(), merchant)
	if err != nil || len(list) != 2 || list[0].State != webhooks.EndpointPaused || list[0].Reason != webhooks.ReasonUnreadable {
		t.Errorf("its merchant sees %+v, %v", list, err)
	}
	if conditions, err := w.nodes[0].Conditions(t.Context(), 10); err != nil || len(conditions) != 3 {
		t.Errorf("operators see %d endpoints, %v", len(conditions), err)
	}
	set(sealed)
	w.quiet()
	if damaged.count() != 1 {
		t.Errorf("%d events after its row was mended", damaged.count())
	}
}

// TestNewURLGivesTheBudgetBack: what failed at the old address does not count
// against the new one.
func TestNewURLGivesTheBudgetBack(t *testing.T) {
	w := simple(t)
	s := newSink(t, status(http.StatusInternalServerError))
	e := w.put(webhooks.Endpoint{URL: s.URL + "/old"})
	fail := func() { w.event(w.payment()); w.quiet() }
	fail()
	w.jump(110 * time.Hour)
	fail()
	w.put(webhooks.Endpoint{ID: e.ID, URL: s.URL + "/new"})
	fail()
	w.jump(11 * time.Hour)
	fail()
	after, err := w.nodes[0].Endpoint(t.Context(), merchant, e.ID)
	if err != nil || after.State != webhooks.EndpointActive || after.BudgetUsed(w.clock.Now()) != 9 {
		t.Fatalf("11 hours after its address was changed: %+v, %v", after, err)
	}
}

// TestGoneEndpointGetsNothingMoreBeforeThatIsRecorded: not even when some other
// endpoint changes meanwhile.
func TestGoneEndpointGetsNothingMoreBeforeThatIsRecorded(t *testing.T) {
	w := simple(t, func(w *world) { w.config.Slots = 1 })
	s := newSink(t, status(http.StatusGone))
	e, node := w.put(webhooks.Endpoint{URL: s.URL}), w.nodes[0]
	w.quiet()
	for range 5 {
		w.event(w.payment())
	}
	if _, err := w.seq.Step(t.Context(), w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	w.worker(node, "webhooks.fanout")
	waitFor(t, func() bool { return s.count() > 0 && node.Busy(e.ID) == 0 })
	w.put(webhooks.Endpoint{URL: s.URL, MerchantID: "mer_b"})
	for range 3 {
		w.worker(node, "webhooks.dispatch")
	}
	waitFor(t, func() bool { return node.Busy(e.ID) == 0 })
	if n := s.count(); n != 1 {
		t.Errorf("%d requests to an endpoint that is gone", n)
	}
	w.quiet()
	if after, err := node.Endpoint(t.Context(), merchant, e.ID); err != nil || after.State != webhooks.EndpointDisabled || s.count() != 1 {
		t.Fatalf("%+v, %v", after, err)
	}
	state := webhooks.EndpointActive
	err := w.db.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := node.ChangeIn(tx, merchant, e.ID, webhooks.Change{State: &state})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	node.Changed(e.ID)
	w.event(w.payment())
	w.quiet()
	if s.count() != 2 {
		t.Error("made active again it is still taken for gone")
	}
}

// waitFor waits for what senders and sinks do beside the test.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !done() {
		select {
		case <-deadline:
			t.Fatal("it never came to that")
		case <-time.After(time.Millisecond):
		}
	}
}

// TestEveryEndpointHasItsTurn: there are more endpoints to look at than a step
// looks at, in each step again.
func TestEveryEndpointHasItsTurn(t *testing.T) {
	w := simple(t)
	s := newSink(t, nil)
	const endpoints = 100
	for i := range endpoints {
		w.put(webhooks.Endpoint{ID: fmt.Sprintf("whe_%03d", i), URL: s.URL})
	}
	w.quiet()
	last := fmt.Sprintf("whe_%03d", endpoints-1)
	err := w.db.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := w.nodes[0].TestIn(tx, merchant, last)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		for i := range endpoints {
			w.nodes[0].Changed(fmt.Sprintf("whe_%03d", i))
		}
		w.worker(w.nodes[0], "webhooks.dispatch")
	}
	waitFor(t, func() bool { return w.nodes[0].Busy(last) == 0 })
	if s.count() != 1 {
		t.Errorf("%d requests to the last of %d endpoints", s.count(), endpoints)
	}
}

// TestEverythingIsComparedDailyByProcessesThatLiveForHours: a deployment each
// morning does not put the comparison off for ever.
func TestEverythingIsComparedDailyByProcessesThatLiveForHours(t *testing.T) {
	w, s := simple(t), newSink(t, nil)
	e := w.put(webhooks.Endpoint{URL: s.URL})
	w.clock.Add(time.Second)
	w.event(w.payment())
	w.quiet()
	w.pass(time.Minute)
	w.erase(`DELETE FROM webhook_deliveries WHERE endpoint_id = ?`, e.ID)
	for range 3 { // each lives for ten hours
		if err := w.nodes[0].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.nodes = nil
		w.node("one")
		w.jump(10 * time.Hour)
		w.pass(30 * time.Second)
	}
	w.quiet()
	if n := len(w.deliveries(e.ID)); n != 1 {
		t.Errorf("%d of 1 deliveries after 30 hours in three processes", n)
	}
}
