package hub_test

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// B04, B05, C46: 50 clicks at two processes are one order, whether they carry
// one consent or one each.
func TestFiftyClicksAreOneOrder(t *testing.T) {
	run := func(t *testing.T, w *world, second *hub.Hub) {
		for _, same := range []bool{true, false} {
			p := w.start()
			before, nonce := w.tap.count("initiate"), rand.Text()
			var links atomic.Int64
			var wg sync.WaitGroup
			for i := range 50 {
				h, n := w.hub, nonce
				if i%2 == 1 {
					h = second
				}
				if !same {
					n = rand.Text()
				}
				wg.Go(func() {
					_, link, err := h.Authorise(ctx, p.ID, plain, n, browser, hub.Browser{})
					if err == nil && link != "" {
						links.Add(1)
						return
					}
					if r := reasonOf(err); r != "consent_used" && r != "payment_not_open" {
						t.Errorf("%q %v", link, err)
					}
				})
			}
			wg.Wait()
			if n := w.tap.count("initiate") - before; n != 1 || links.Load() != 1 {
				t.Fatalf("same nonce %v: %d orders, %d links", same, n, links.Load())
			}
			p = w.wantState(p, psd2.StateAuthorizing, "")
			w.pays(p.Personal.Attempts[p.Last().ID].Prompt.RedirectURL)
			w.returned(p)
			w.wantEvents(p, whole)
			w.wantTransfers(p, 1)
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		w := one(t)
		run(t, w, w.newHub("hub-2", w.db))
	})
	t.Run("postgres", func(t *testing.T) {
		clock := testkit.NewClock()
		config := testkit.PostgresConfig(t)
		w := newWorld(t, clock, testkit.Open(t, config, clock.Now))
		run(t, w, w.newHub("hub-2", testkit.Open(t, config, clock.Now)))
	})
}

// B05: a consent is good once, also for a payment that is open again.
func TestConsentIsGoodOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.start()
		nonce := rand.Text()
		w.switches(plain, map[string]any{"lose_before": 1})
		if _, _, err := w.hub.Authorise(ctx, p.ID, plain, nonce, browser, hub.Browser{}); err != nil {
			t.Fatal(err)
		}
		w.wantState(p, psd2.StateAuthorizationRequired, "")
		_, _, err := w.hub.Authorise(ctx, p.ID, plain, nonce, browser, hub.Browser{})
		wantReason(t, err, "consent_used")
		other := w.start() // the same text from another payment's form is another consent
		if _, link, err := w.hub.Authorise(ctx, other.ID, plain, nonce, browser, hub.Browser{}); err != nil || link == "" {
			t.Errorf("%q %v", link, err)
		}
	})
}

// Callbacks, refreshes, steps and cancels in parallel leave one story.
func TestEverythingAtOnceTellsOneStory(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, link := w.atBank(plain)
		w.pays(link)
		attempt := p.Last().ID
		second := w.newHub("hub-2", w.db)
		var wg sync.WaitGroup
		for i := range 40 {
			h := w.hub
			if i%2 == 1 {
				h = second
			}
			wg.Go(func() {
				var err error
				switch i % 5 {
				case 0, 1:
					_, _, err = h.Returned(ctx, attempt, nil)
				case 2:
					_, err = h.Refresh(ctx, p.ID)
				case 3:
					_, err = h.Step(ctx, w.clock.Now())
				case 4:
					_, err = h.CancelByPayer(ctx, p.ID)
					if reasonOf(err) == "payment_not_cancelable" {
						err = nil
					}
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.wantState(p, psd2.StateSettled, "")
		w.wantEvents(p, whole)
		w.wantTransfers(p, 1)
	})
}
