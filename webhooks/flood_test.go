package webhooks_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks"
)

func (w *world) rows(query string, args ...any) (n int) {
	w.t.Helper()
	if err := w.db.Get(w.t.Context(), &n, `SELECT COUNT(*) FROM webhook_deliveries WHERE `+query, args...); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// TestFloodAtFiftyEndpointsDoesNotStarveAnother: one merchant's events, at as
// many endpoints as he may have, are far more work than is done before another's
// single event behind them; and all of it is done, in order, although the
// process is replaced over it.
func TestFloodAtFiftyEndpointsDoesNotStarveAnother(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, clock, bus.Config{Dir: t.TempDir()})
		w.config.Slots = 2
		w.node("one")
		const payments, events, flood = 24, 5, 24 * 5 * webhooks.MaxEndpoints
		gone := newSink(t, status(http.StatusServiceUnavailable))
		first, other := newSink(t, nil), newSink(t, nil)
		w.put(webhooks.Endpoint{ID: "whe_000", URL: first.URL})
		for i := 1; i < webhooks.MaxEndpoints; i++ {
			w.put(webhooks.Endpoint{ID: fmt.Sprintf("whe_%03d", i), URL: gone.URL})
		}
		w.put(webhooks.Endpoint{ID: "whe_b", URL: other.URL, MerchantID: "mer_b"})
		w.quiet()
		w.clock.Add(time.Second)
		for range payments {
			w.events(w.payment(), events)
		}
		w.eventOf("mer_b")
		w.until("the other's delivery", func() bool { return w.rows(`endpoint_id = 'whe_b'`) == 1 })
		if n := w.rows(`endpoint_id <> 'whe_b'`); n > flood/2 {
			t.Errorf("%d of the flood's %d deliveries were made before the other's", n, flood)
		}
		if err := w.nodes[0].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.nodes = nil
		w.node("two")
		w.clock.Add(time.Minute)
		w.put(webhooks.Endpoint{ID: "whe_late", URL: newSink(t, nil).URL})
		w.clock.Add(time.Second)
		w.event(w.payment()) // behind the flood, for one endpoint more
		w.until("the other's event", func() bool { return other.count() > 0 })
		w.until("the flood", func() bool { return w.rows(`endpoint_id <> 'whe_b'`) >= flood+webhooks.MaxEndpoints+1 })
		if n := w.rows(`endpoint_id = 'whe_late'`); n != 1 {
			t.Errorf("%d deliveries to who came after the flood", n)
		}
		w.until("the flood at the first endpoint", func() bool { return first.count() == payments*events+1 })
		inOrderOnce(t, first.all(), payments*events+1)
	})
}
