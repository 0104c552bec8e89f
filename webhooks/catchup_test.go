package webhooks_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
)

func (w *world) replay(endpointID string, r webhooks.Range) (out *webhooks.Replay, err error) {
	w.t.Helper()
	err = w.db.Tx(w.t.Context(), func(tx *store.Tx) (err error) {
		out, err = w.nodes[0].ReplayIn(tx, merchant, endpointID, r)
		return err
	})
	return out, err
}

// replayed runs a replay to its end and returns how many deliveries it made.
func (w *world) replayed(endpointID string, r webhooks.Range) int64 {
	w.t.Helper()
	began, err := w.replay(endpointID, r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.nodes[0].Changed(endpointID)
	var at *webhooks.Replay
	w.until("the replay's end", func() bool {
		w.clock.Add(time.Second)
		if at, err = w.nodes[0].Replay(w.t.Context(), merchant, endpointID, began.ID); err != nil {
			w.t.Fatal(err)
		}
		return at.State == webhooks.ReplayDone
	})
	w.quiet()
	return at.Matched
}

func TestReplayDeliversWhatIsChosen(t *testing.T) {
	w := simple(t)
	var broken atomic.Bool
	s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, _ got) {
		if broken.Load() {
			rw.Header().Set("webhook-delivery", "abort-message")
			rw.WriteHeader(500)
		}
	})
	e := w.put(webhooks.Endpoint{URL: s.URL})
	for range 3 {
		w.event(w.payment())
	}
	w.quiet()
	w.clock.Add(time.Hour)
	middle := w.clock.Now()
	broken.Store(true)
	for range 4 {
		w.event(w.payment())
	}
	w.quiet()
	broken.Store(false)
	w.clock.Add(time.Hour)
	end := w.clock.Now()
	w.event(w.payment())
	w.quiet()
	if n := s.count(); n != 8 {
		t.Fatalf("%d deliveries", n)
	}
	for name, c := range map[string]struct {
		r    webhooks.Range
		want int64
	}{
		"another type": {webhooks.Range{Which: webhooks.ReplayAll, Events: []string{"payment.settled"}}, 0},
		"first hour":   {webhooks.Range{Which: webhooks.ReplayAll, Until: &middle}, 3},
		"last":         {webhooks.Range{Which: webhooks.ReplayAll, From: &end}, 1},
		"a family":     {webhooks.Range{Which: webhooks.ReplayAll, Events: []string{"payment.*"}, From: &middle, Until: &end}, 4},
	} {
		before := s.count()
		if n := w.replayed(e.ID, c.r); n != c.want || s.count()-before != int(c.want) {
			t.Errorf("%s: %d matched, %d delivered, want %d", name, n, s.count()-before, c.want)
		}
	}
	if len(ids(s.all())) != 8 {
		t.Error("a replay has another id")
	}
	if n := w.replayed(e.ID, webhooks.Range{Which: webhooks.ReplayMissing}); n != 0 {
		t.Errorf("%d deliveries are missing although each was made", n)
	}
}

func TestReplayOfWhatIsMissingSparesTheRest(t *testing.T) {
	w := simple(t)
	var broken atomic.Bool
	s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, _ got) {
		if broken.Load() {
			rw.WriteHeader(http.StatusGone)
		}
	})
	e := w.put(webhooks.Endpoint{URL: s.URL})
	w.event(w.payment())
	w.quiet()
	broken.Store(true)
	w.event(w.payment()) // fails and disables the endpoint
	w.quiet()
	for range 3 { // not kept for it
		w.event(w.payment())
	}
	w.quiet()
	if _, err := w.replay(e.ID, webhooks.Range{Which: webhooks.ReplayMissing}); psd2.CodeOf(err) != psd2.CodeConflict {
		t.Errorf("replay to a disabled endpoint: %v", err)
	}
	broken.Store(false)
	w.put(webhooks.Endpoint{ID: e.ID, URL: s.URL, State: webhooks.EndpointActive})
	w.quiet()
	before := s.count()
	if n := w.replayed(e.ID, webhooks.Range{Which: webhooks.ReplayMissing}); n != 4 || s.count()-before != 4 {
		t.Errorf("%d matched, %d delivered, want 4", n, s.count()-before)
	}
	for _, d := range w.deliveries(e.ID) {
		if d.State != webhooks.DeliveryDelivered {
			t.Errorf("%+v", d)
		}
	}
}

// TestAnswerBeforeAReplayDoesNotEndWhatItAsksFor: the endpoint wants an event no
// more, and then again, before its first word is written down.
func TestAnswerBeforeAReplayDoesNotEndWhatItAsksFor(t *testing.T) {
	for name, ask := range map[string]func(w *world, e *webhooks.Endpoint) error{
		"replay": func(w *world, e *webhooks.Endpoint) error {
			began, err := w.replay(e.ID, webhooks.Range{Which: webhooks.ReplayMissing})
			if err != nil {
				return err
			}
			for { // the world's own steps work it off
				at, err := w.nodes[0].Replay(t.Context(), merchant, e.ID, began.ID)
				switch {
				case err != nil:
					return err
				case at.State == webhooks.ReplayDone && at.Matched != 0:
					return fmt.Errorf("%+v", at)
				case at.State == webhooks.ReplayDone:
					return nil
				}
				select {
				case <-t.Context().Done():
					return t.Context().Err()
				case <-time.After(time.Millisecond):
				}
			}
		},
		"resend": func(w *world, e *webhooks.Endpoint) error {
			return w.nodes[0].Resend(t.Context(), merchant, e.ID, w.only(e.ID).ID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := simple(t)
			var e *webhooks.Endpoint
			var first atomic.Bool
			asked := make(chan error, 1)
			s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, _ got) {
				if first.CompareAndSwap(false, true) {
					asked <- ask(w, e)
					rw.Header().Set("webhook-delivery", "abort-message")
					rw.WriteHeader(http.StatusBadRequest)
				}
			})
			e = w.put(webhooks.Endpoint{URL: s.URL})
			w.event(w.payment())
			w.until("the second delivery", func() bool {
				w.clock.Add(time.Second)
				return s.count() == 2
			})
			if err := <-asked; err != nil {
				t.Fatal(err)
			}
			w.quiet()
			if d := w.only(e.ID); d.State != webhooks.DeliveryDelivered || len(d.Tries) != 2 {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestReplayGoesOnWhereAProcessDiedAndOneAtATime(t *testing.T) {
	w, s := simple(t), newSink(t, nil)
	e := w.put(webhooks.Endpoint{URL: s.URL})
	for range 150 {
		w.events(w.payment(), 5)
	}
	w.quiet()
	before := s.count()
	if _, err := w.replay(e.ID, webhooks.Range{Which: webhooks.ReplayAll}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.replay(e.ID, webhooks.Range{Which: webhooks.ReplayAll}); psd2.CodeOf(err) != psd2.CodeConflict {
		t.Errorf("a second replay beside the first: %v", err)
	}
	w.step() // one batch
	w.nodes = nil
	w.node("two")
	for range 200 {
		w.clock.Add(time.Second)
		w.step()
	}
	w.quiet()
	if n := s.count() - before; n < 750 || len(ids(s.all())) != 750 {
		t.Errorf("%d deliveries of %d events", n, len(ids(s.all())))
	}
}

// What happens during a replay does not stand behind all of it.
func TestReplayLeavesRoomForWhatHappensNow(t *testing.T) {
	w := simple(t, func(w *world) { w.config.Slots = 1 })
	open := make(chan struct{})
	s := newSink(t, func(_ http.ResponseWriter, r *http.Request, _ got) {
		select {
		case <-open:
		case <-r.Context().Done():
		}
	})
	e := w.put(webhooks.Endpoint{URL: s.URL, State: webhooks.EndpointPaused})
	for range 200 {
		w.events(w.payment(), 10)
	}
	w.quiet()
	err := w.db.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE webhook_deliveries SET state = 'failed'`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.put(webhooks.Endpoint{ID: e.ID, URL: s.URL, State: webhooks.EndpointActive})
	if _, err := w.replay(e.ID, webhooks.Range{Which: webhooks.ReplayAll}); err != nil {
		t.Fatal(err)
	}
	for range 8 { // long enough for all of it, if nothing held it back
		w.clock.Add(time.Second)
		w.step()
	}
	live := w.payment()
	w.event(live)
	w.step()
	close(open)
	w.until("the new event", func() bool {
		w.clock.Add(10 * time.Millisecond)
		return slices.ContainsFunc(s.all(), func(g got) bool { return g.object == live })
	})
	if n := s.count(); n > 1200 {
		t.Errorf("%d of 2000 replayed deliveries went before it", n)
	}
}

func (w *world) erase(query string, args ...any) {
	w.t.Helper()
	err := w.db.Tx(w.t.Context(), func(tx *store.Tx) error {
		n, err := tx.Exec(query, args...)
		if err == nil && n == 0 {
			err = errors.New("nothing was changed")
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestGapsAreFoundAndRepaired: rows that are gone are made again, also long
// after they were compared; what an endpoint never wanted is no gap.
func TestGapsAreFoundAndRepaired(t *testing.T) {
	w, s, late := simple(t), newSink(t, nil), newSink(t, nil)
	e := w.put(webhooks.Endpoint{URL: s.URL})
	narrow := w.put(webhooks.Endpoint{URL: newSink(t, nil).URL, Events: []string{"payment.settled"}})
	w.event(w.paymentOf("mer_b"))
	w.quiet()
	w.clock.Add(time.Second)
	for range 20 {
		w.event(w.payment())
	}
	w.quiet() // fanned out, and compared some seconds later
	w.clock.Add(time.Second)
	f := w.put(webhooks.Endpoint{URL: late.URL}) // registered later: no gap
	w.put(webhooks.Endpoint{ID: narrow.ID, URL: narrow.URL, Events: []string{"payment.*"}})
	w.erase(`DELETE FROM webhook_deliveries WHERE endpoint_id = ? AND position % 3 = 0`, e.ID)
	w.pass(time.Minute)
	w.quiet()
	if n := len(w.deliveries(e.ID)); n != 20 {
		t.Fatalf("%d of 20 deliveries after the comparison", n)
	}
	w.erase(`DELETE FROM webhook_deliveries WHERE endpoint_id = ?`, e.ID)
	w.pass(time.Minute)
	if n := len(w.deliveries(e.ID)); n != 0 {
		t.Fatalf("%d deliveries: the test proves nothing", n)
	}
	w.jump(25 * time.Hour)
	w.pass(time.Minute)
	w.quiet()
	if n := len(w.deliveries(e.ID)); n != 20 {
		t.Fatalf("%d of 20 deliveries after a day", n)
	}
	if len(ids(s.all())) != 20 || late.count() != 0 || len(w.deliveries(f.ID)) != 0 || len(w.deliveries(narrow.ID)) != 0 {
		t.Errorf("%d events told; %d to who came late, %d to who wanted others", len(ids(s.all())), late.count(), len(w.deliveries(narrow.ID)))
	}
}

func TestOldDeliveriesAreDeletedAndCanBeReplayed(t *testing.T) {
	w := simple(t, func(w *world) { w.config.Keep = 24 * time.Hour })
	var broken atomic.Bool
	s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, _ got) {
		if broken.Load() {
			rw.WriteHeader(500)
		}
	})
	e := w.put(webhooks.Endpoint{URL: s.URL})
	w.clock.Add(time.Second)
	for range 5 {
		w.event(w.payment())
	}
	w.quiet()
	broken.Store(true)
	w.event(w.payment())
	w.quiet()
	for range 26 {
		w.jump(time.Hour)
	}
	w.quiet()
	list := w.deliveries(e.ID)
	if len(list) != 1 || list[0].State != webhooks.DeliveryPending {
		t.Fatalf("kept: %+v, want the one that is still to be delivered", list)
	}
	broken.Store(false)
	if n := w.replayed(e.ID, webhooks.Range{Which: webhooks.ReplayMissing}); n != 5 {
		t.Errorf("%d replayed, want 5", n)
	}
	if len(ids(s.all())) != 6 {
		t.Errorf("%d events told", len(ids(s.all())))
	}
}

// TestConfigurationDoesNotUndoTheAPI: a configuration is applied when it is
// new or has changed, not at each start.
func TestConfigurationDoesNotUndoTheAPI(t *testing.T) {
	w := simple(t)
	configured := webhooks.Endpoint{ID: "whe_conf", MerchantID: merchant, URL: "https://a.example.com/hook", Description: "from the file", Events: []string{"payment.*"}}
	apply := func(e webhooks.Endpoint) *webhooks.Endpoint {
		t.Helper()
		out, err := w.nodes[0].Configure(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	first := apply(configured)
	url, paused := "https://b.example.com/hook", webhooks.EndpointPaused
	err := w.db.Tx(t.Context(), func(tx *store.Tx) error {
		if _, err := w.nodes[0].ChangeIn(tx, merchant, "whe_conf", webhooks.Change{URL: &url, State: &paused, Events: &[]string{}}); err != nil {
			return err
		}
		_, _, err := w.nodes[0].RotateIn(tx, merchant, "whe_conf", 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if after := apply(configured); after.URL != url || after.State != paused || len(after.Events) != 0 || after.Keys[0] == first.Keys[0] {
		t.Errorf("the same configuration has undone the API: %+v", after)
	}
	configured.Description = "from the file, changed"
	if after := apply(configured); after.URL != configured.URL || after.Description != configured.Description || len(after.Events) != 1 {
		t.Errorf("another configuration was not applied: %+v", after)
	}
	if err := w.nodes[0].Delete(t.Context(), merchant, "whe_conf"); err != nil {
		t.Fatal(err)
	}
	apply(configured)
	if _, err := w.nodes[0].Endpoint(t.Context(), merchant, "whe_conf"); psd2.CodeOf(err) != psd2.CodeNotFound {
		t.Errorf("the same configuration brought a deleted endpoint back: %v", err)
	}
}
