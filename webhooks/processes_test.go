package webhooks_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks"
)

func TestWipedJetStreamLosesNothing(t *testing.T) {
	clock := testkit.NewClock()
	dir := t.TempDir()
	listen := testkit.FreeAddress(t)
	server, err := bus.StartServer(bus.ServerConfig{Dir: dir, Listen: listen}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	w := newWorld(t, testkit.SQLite(t, clock.Now), clock, bus.Config{URL: server.URL()})
	w.node("one")
	s := newSink(t, nil)
	w.put(webhooks.Endpoint{URL: s.URL})
	p := w.payment()
	w.event(p)
	w.quiet()

	server.Close()
	w.event(p)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	w.event(p)
	w.quiet() // without NATS altogether
	inOrderOnce(t, s.all(), 3)
	if server, err = bus.StartServer(bus.ServerConfig{Dir: dir, Listen: listen}, nil); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		w.event(p)
		w.quiet()
		w.clock.Add(time.Second)
	}
	inOrderOnce(t, s.all(), 8)
}

func TestEventsFannedOutTwiceAreDeliveredOnce(t *testing.T) {
	w, s := simple(t), newSink(t, nil)
	w.put(webhooks.Endpoint{URL: s.URL})
	for range 10 {
		w.event(w.payment())
	}
	w.quiet()
	err := w.db.Tx(t.Context(), func(tx *store.Tx) error { return tx.SetCursor(webhooks.FanoutCursor, 0) })
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Add(20 * time.Second) // it no longer trusts its memory and looks where the cursor is
	w.step()
	w.event(w.payment())
	w.quiet()
	inOrderOnce(t, s.all(), 11)
}

// A process dies with rows written and nothing sent. Under the same name it
// goes on at once; another one takes over when its leases have run out.
func TestDeadProcessIsReplaced(t *testing.T) {
	for _, successor := range []string{"one", "two"} {
		t.Run(successor, func(t *testing.T) {
			clock := testkit.NewClock()
			testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
				w := newWorld(t, db, clock, bus.Config{Dir: t.TempDir()})
				hang := make(chan struct{})
				var hanging atomic.Bool
				hanging.Store(true)
				s := newSink(t, func(_ http.ResponseWriter, r *http.Request, _ got) {
					if hanging.Load() {
						select {
						case <-hang:
						case <-r.Context().Done():
						}
					}
				})
				w.node("one")
				e := w.put(webhooks.Endpoint{URL: s.URL})
				for range 3 {
					w.event(w.payment())
				}
				w.until("three under way", func() bool { return s.count() == 3 })
				w.nodes = nil // dead: nobody drives it any more
				hanging.Store(false)
				w.node(successor)
				if successor != "one" {
					w.step()
					if s.count() != 3 {
						t.Fatal("taken over while the lease ran")
					}
					w.jump(webhooks.ShardTTL + time.Second)
				}
				w.quiet()
				close(hang)
				for _, d := range w.deliveries(e.ID) {
					if d.State != webhooks.DeliveryDelivered {
						t.Errorf("delivery %+v", d)
					}
				}
				inOrderOnce(t, s.all()[3:], 3)
			})
		})
	}
}

func TestProcessesShareTheEndpointsAndDeliverEachEventOnce(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, clock, bus.Config{Dir: t.TempDir()})
		one, s := w.node("one"), newSink(t, nil)
		for i := range 20 {
			w.put(webhooks.Endpoint{ID: fmt.Sprintf("whe_e%d", i), URL: s.URL + fmt.Sprintf("/%d", i)})
		}
		w.step()
		two := w.node("two")
		w.pass(2 * time.Minute) // they even out
		if a, b := one.Shards(clock.Now()), two.Shards(clock.Now()); a != b || a+b != 32 {
			t.Fatalf("they own %d and %d of 32", a, b)
		}
		for range 5 {
			w.event(w.payment())
		}
		w.pass(20 * time.Second) // word between processes may be lost: they also look
		w.quiet()
		if n := s.count(); n != 100 {
			t.Fatalf("%d deliveries, want 100", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := two.Close(ctx); err != nil {
			t.Fatal(err)
		}
		w.nodes = w.nodes[:1]
		w.pass(20 * time.Second)
		w.event(w.payment())
		w.quiet()
		if n := s.count(); n != 120 || one.Shards(clock.Now()) != 32 {
			t.Fatalf("%d deliveries with %d shards after the other left", n, one.Shards(clock.Now()))
		}
	})
}
