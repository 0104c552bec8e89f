package webhooks_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks"
)

// pendingOfDeleted counts deliveries that nobody will ever make.
func (w *world) pendingOfDeleted() (n int) {
	w.t.Helper()
	err := w.db.Get(w.t.Context(), &n, `SELECT COUNT(*) FROM webhook_deliveries d JOIN webhook_endpoints e ON e.id = d.endpoint_id
		WHERE e.state = 'deleted' AND d.state = 'pending'`)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// TestChangesRaceWithDeliveriesAndNothingIsLost: merchants delete, pause,
// resume and rotate at two processes at once while events are fanned out and
// delivered. The endpoint that nobody touches gets each event once and in
// order, one that was paused and resumed misses none, one that was deleted
// leaves nothing to be done.
func TestChangesRaceWithDeliveriesAndNothingIsLost(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		seed := mathrand.Uint64()
		t.Logf("seed %d", seed)
		w := newWorld(t, db, clock, bus.Config{Dir: t.TempDir()})
		one, two := w.node("one"), w.node("two")
		untouched, restless, doomed := newSink(t, nil), newSink(t, nil), newSink(t, nil)
		w.put(webhooks.Endpoint{URL: untouched.URL})
		e := w.put(webhooks.Endpoint{URL: restless.URL})
		const rounds = 12
		var gone []string
		for range rounds {
			gone = append(gone, w.put(webhooks.Endpoint{URL: doomed.URL}).ID)
		}
		w.quiet()
		var changes sync.WaitGroup
		for i, s := range []*webhooks.Service{one, two} {
			random := mathrand.New(mathrand.NewPCG(seed, uint64(i)))
			changes.Go(func() {
				for n := range rounds {
					if err := change(t, s, w.db, e.ID, random.IntN(4)); err != nil {
						t.Error(err)
					}
					err := s.Delete(t.Context(), merchant, gone[n]) // both at once: one of them comes too late
					if err != nil && psd2.CodeOf(err) != psd2.CodeNotFound {
						t.Error(err)
					}
				}
			})
		}
		made := 0
		for range rounds {
			w.events(w.payment(), 3)
			made += 3
			w.step()
		}
		changes.Wait()
		w.put(webhooks.Endpoint{ID: e.ID, URL: restless.URL, State: webhooks.EndpointActive})
		w.pass(time.Minute)
		w.quiet()
		inOrderOnce(t, payments(untouched.all()), made)
		inOrderOnce(t, payments(restless.all()), made)
		w.pass(2 * time.Hour)
		if n := w.pendingOfDeleted(); n != 0 {
			t.Errorf("%d deliveries to deleted endpoints are still pending", n)
		}
		sent := doomed.count()
		w.events(w.payment(), 3)
		w.quiet()
		if doomed.count() != sent {
			t.Error("a deleted endpoint was told")
		}
	})
}

// payments leaves out what is told of endpoints.
func payments(list []got) (out []got) {
	for _, g := range list {
		if g.object != "" {
			out = append(out, g)
		}
	}
	return out
}

func change(t *testing.T, s *webhooks.Service, db *store.DB, id string, what int) error {
	state := webhooks.EndpointPaused
	err := db.Tx(t.Context(), func(tx *store.Tx) (err error) {
		switch what {
		case 0, 1:
			if what == 1 {
				state = webhooks.EndpointActive
			}
			_, err = s.ChangeIn(tx, merchant, id, webhooks.Change{State: &state})
		case 2:
			_, _, err = s.RotateIn(tx, merchant, id, 0)
		case 3:
			text := rand.Text()
			_, err = s.ChangeIn(tx, merchant, id, webhooks.Change{Description: &text})
		}
		return err
	})
	s.Changed(id)
	if err != nil {
		return errors.Join(fmt.Errorf("change %d", what), err)
	}
	return nil
}

// TestDeliveryMadeWhileItsEndpointIsDeletedIsGivenUp: the one transaction did
// not see the other.
func TestDeliveryMadeWhileItsEndpointIsDeletedIsGivenUp(t *testing.T) {
	w, s := simple(t), newSink(t, nil)
	e := w.put(webhooks.Endpoint{URL: s.URL})
	w.event(w.payment())
	w.quiet()
	if err := w.nodes[0].Delete(t.Context(), merchant, e.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.db.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE webhook_deliveries SET state = 'pending' WHERE endpoint_id = ?`, e.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	w.pass(2 * time.Hour)
	if n := w.pendingOfDeleted(); n != 0 || s.count() != 1 {
		t.Errorf("%d pending, %d sent", n, s.count())
	}
}
