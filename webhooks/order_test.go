package webhooks_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
)

// TestOrderHoldsForABacklogOfAnySize: many more deliveries are overdue than
// are read at once, the later ones of a payment having come due before the
// earlier ones. A payment's events still go in its order.
func TestOrderHoldsForABacklogOfAnySize(t *testing.T) {
	const payments = 300
	w := simple(t)
	var works atomic.Bool
	s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, _ got) {
		if !works.Load() {
			rw.WriteHeader(http.StatusInternalServerError)
		}
	})
	w.put(webhooks.Endpoint{URL: s.URL})
	for range payments {
		w.events(w.payment(), 2)
	}
	w.quiet()
	w.jump(7 * time.Second) // second try of each first one; the next is in about five minutes
	w.quiet()
	failed := s.count()
	if len(ids(s.all())) != payments {
		t.Fatalf("%d events were tried, want the first one of %d payments", len(ids(s.all())), payments)
	}
	works.Store(true)
	w.jump(10 * time.Minute)
	w.quiet()
	inOrderOnce(t, s.all()[failed:], 2*payments)
}

// turns is a merchant's receiver that judges the order in which events come.
type turns struct {
	mu     sync.Mutex
	events map[string][]*turn // by payment
	works  bool
	wrong  []string
}

// turn is one event's. The n-th event of a payment has the sequence 1+2n.
type turn struct {
	made      time.Time
	tried     time.Time // first; zero: never
	delivered bool
}

// take is told of a try and says whether it succeeds.
func (o *turns) take(g got, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	list, index := o.events[g.object], int(g.sequence-3)/2
	this := list[index]
	for i, e := range list[:index] {
		// The wait begins with the failure, or with the later event if that came after.
		wait := e.tried.Add(5*time.Minute - 12*time.Second)
		if by := this.made.Add(5 * time.Minute); by.After(wait) {
			wait = by
		}
		switch {
		case e.delivered:
		case e.tried.IsZero():
			o.wrong = append(o.wrong, fmt.Sprintf("%s: event %d came before event %d was tried", g.object, index, i))
		case now.Before(wait):
			o.wrong = append(o.wrong, fmt.Sprintf("%s: event %d came %s after event %d failed", g.object, index, now.Sub(e.tried), i))
		}
	}
	if this.tried.IsZero() {
		this.tried = now
	}
	this.delivered = this.delivered || o.works
	return o.works
}

func (o *turns) missing() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, list := range o.events {
		for _, e := range list {
			if !e.delivered {
				n++
			}
		}
	}
	return n
}

// TestOrderHoldsWhateverHappens: an endpoint fails, is paused and resumed, gets
// new keys, is asked to be sent again what it had; processes die, and time jumps. No
// event of a payment comes before an earlier one was tried, nor within five
// minutes of its failure, and in the end every one has come.
func TestOrderHoldsWhateverHappens(t *testing.T) {
	for range 3 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { orderHolds(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func orderHolds(t *testing.T, random *rand.Rand) {
	w, o := simple(t), &turns{events: map[string][]*turn{}, works: true}
	s := newSink(t, func(rw http.ResponseWriter, _ *http.Request, g got) {
		if !o.take(g, w.clock.Now()) {
			rw.WriteHeader(http.StatusInternalServerError)
		}
	})
	e := w.put(webhooks.Endpoint{URL: s.URL})
	var payments []string
	happen := func(id string, n int) {
		o.mu.Lock()
		for range n {
			o.events[id] = append(o.events[id], &turn{made: w.clock.Now()})
		}
		o.mu.Unlock()
		w.events(id, n)
	}
	again := func() {
		if list := w.deliveries(e.ID); len(list) > 0 {
			if err := w.nodes[0].Resend(t.Context(), merchant, e.ID, list[random.IntN(len(list))].ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	rotate := func() {
		err := w.db.Tx(t.Context(), func(tx *store.Tx) error {
			_, _, err := w.nodes[0].RotateIn(tx, merchant, e.ID, 0)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		w.nodes[0].Changed(e.ID)
	}
	for range 30 {
		switch random.IntN(9) {
		case 0: // more than are read at once
			for range 150 {
				payments = append(payments, w.payment())
				happen(payments[len(payments)-1], 1+random.IntN(2))
			}
		case 1, 2:
			for range min(10, len(payments)) {
				happen(payments[random.IntN(len(payments))], 1)
			}
		case 3:
			o.mu.Lock()
			o.works = !o.works
			o.mu.Unlock()
		case 4:
			w.put(webhooks.Endpoint{ID: e.ID, URL: s.URL, State: webhooks.EndpointPaused})
		case 5:
			w.put(webhooks.Endpoint{ID: e.ID, URL: s.URL, State: webhooks.EndpointActive})
		case 6:
			again()
		case 7:
			rotate()
		case 8:
			if err := w.nodes[0].Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.nodes = nil
			w.node("one")
		}
		w.quiet()
		w.jump([]time.Duration{time.Second, 6 * time.Second, time.Minute, 6 * time.Minute, 40 * time.Minute}[random.IntN(5)])
		w.quiet()
	}
	o.mu.Lock()
	o.works = true
	o.mu.Unlock()
	w.put(webhooks.Endpoint{ID: e.ID, URL: s.URL, State: webhooks.EndpointActive})
	for hour := 0; o.missing() > 0 && hour < 48; hour++ {
		w.jump(time.Hour)
		w.quiet()
	}
	if n := o.missing(); n > 0 {
		t.Errorf("%d events never came", n)
	}
	for i, text := range o.wrong {
		if t.Error(text); i == 5 {
			break
		}
	}
}
