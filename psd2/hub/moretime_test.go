package hub_test

import (
	"crypto/rand"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
)

// TestPayerMayHaveMoreTimeTenTimes: WCAG 2.2.1. Asked for at the last moment,
// ten times; then there is an end.
func TestPayerMayHaveMoreTimeTenTimes(t *testing.T) {
	w := one(t)
	p := w.start()
	life, began := p.ExpiresAt.Sub(p.CreatedAt), p.CreatedAt
	for range 3 { // early, and more often: nothing is lost by it
		more, err := w.hub.MoreTime(ctx, p.ID)
		if err != nil || more.ExpiresAt.Sub(w.clock.Now()) != life {
			t.Fatal(more, err)
		}
	}
	for i := range 10 {
		w.clock.Add(w.load(p).ExpiresAt.Sub(w.clock.Now()) - time.Second)
		more, err := w.hub.MoreTime(ctx, p.ID)
		if err != nil || more.ExpiresAt.Sub(w.clock.Now()) < life-10*time.Second {
			t.Fatalf("time %d: %s left, %v", i+1, more.ExpiresAt.Sub(w.clock.Now()), err)
		}
	}
	w.clock.Add(w.load(p).ExpiresAt.Sub(w.clock.Now()) - time.Second)
	last, err := w.hub.MoreTime(ctx, p.ID)
	if err != nil || last.ExpiresAt.Sub(began) != 11*life || w.hub.MayHaveMoreTime(last, w.clock.Now()) {
		t.Fatalf("%s in all, %v", last.ExpiresAt.Sub(began), err)
	}
	w.clock.Add(last.ExpiresAt.Sub(w.clock.Now()))
	_, err = w.hub.MoreTime(ctx, p.ID)
	wantReason(t, err, "payment_expired")
}

// TestTimeAtTheBankIsTheBanks: nobody moves the limit of an order that the payer
// may be approving, nor of a payment that has ended.
func TestTimeAtTheBankIsTheBanks(t *testing.T) {
	w := one(t)
	p := w.start()
	if _, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); err != nil {
		t.Fatal(err)
	}
	before := w.load(p).ExpiresAt
	_, err := w.hub.MoreTime(ctx, p.ID)
	wantReason(t, err, "payment_expired")
	if now := w.load(p); !now.ExpiresAt.Equal(before) || w.hub.MayHaveMoreTime(now, w.clock.Now()) {
		t.Errorf("moved to %s", now.ExpiresAt)
	}
	q := w.start()
	if _, err := w.hub.CancelByPayer(ctx, q.ID); err != nil {
		t.Fatal(err)
	}
	_, err = w.hub.MoreTime(ctx, q.ID)
	wantReason(t, err, "payment_expired")
}

// TestConsentStaysUsedWhenTimeIsMoved: what was spent once is remembered until
// the last moment that the payment could have been given.
func TestConsentStaysUsedWhenTimeIsMoved(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, nonce := w.start(), rand.Text()
		w.tap.onAsk(func(kind string, rw http.ResponseWriter, _ *http.Request) bool {
			if kind != "initiate" {
				return false
			}
			rw.WriteHeader(http.StatusForbidden)
			return answer(rw, `{"tppMessages":[{"category":"ERROR","code":"SERVICE_BLOCKED"}]}`)
		})
		if got, link, err := w.hub.Authorise(ctx, p.ID, plain, nonce, browser, hub.Browser{}); err != nil || link != "" || got.State != psd2.StateAuthorizationRequired {
			t.Fatal(got, link, err)
		}
		w.tap.onAsk(nil)
		w.clock.Add(p.ExpiresAt.Sub(w.clock.Now()) - time.Minute)
		if _, err := w.hub.MoreTime(ctx, p.ID); err != nil {
			t.Fatal(err)
		}
		w.clock.Add(2 * time.Minute) // past the time that it had at first
		if _, err := w.db.Sweep(ctx, w.clock.Now()); err != nil {
			t.Fatal(err)
		}
		_, _, err := w.hub.Authorise(ctx, p.ID, plain, nonce, browser, hub.Browser{})
		wantReason(t, err, "consent_used")
	})
}

// TestDecisionIsKeptWithWhatItLetThrough: one transaction for both, or neither.
func TestDecisionIsKeptWithWhatItLetThrough(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		kept := 0
		fails := errors.New("the disk is full")
		g := w.guarded(&guard{keep: func(tx *store.Tx) error {
			if fails != nil {
				return fails
			}
			first, err := tx.Consume("test.kept", rand.Text(), tx.Now.Add(time.Hour))
			if err == nil && first {
				kept++
			}
			return err
		}})
		p, before := w.start(), w.tap.count("initiate")
		if _, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); !errors.Is(err, fails) || w.tap.count("initiate") != before || len(w.load(p).Attempts) != 0 {
			t.Fatalf("an order without its decision: %v", err)
		}
		fails = nil
		if _, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); err != nil || kept == 0 {
			t.Fatal(kept, err)
		}
		g.blocked, kept = true, 0
		q := w.start()
		if got, _, err := w.hub.Authorise(ctx, q.ID, plain, rand.Text(), browser, hub.Browser{}); err != nil || got.State != psd2.StateFailed || kept == 0 {
			t.Fatal(got, kept, err)
		}
	})
}

// TestPaymentThatItsPayerDisownsEnds, unless an order is under way: that only
// its bank can stop.
func TestPaymentThatItsPayerDisownsEnds(t *testing.T) {
	w := one(t)
	p := w.start()
	if err := w.hub.Disowned(ctx, p.ID); err != nil {
		t.Fatal(err)
	}
	w.wantState(p, psd2.StateFailed, psd2.ReasonAuthenticationFailed)
	if err := w.hub.Disowned(ctx, p.ID); psd2.CodeOf(err) != psd2.CodeConflict {
		t.Error(err)
	}
	q := w.start()
	if _, _, err := w.hub.Authorise(ctx, q.ID, plain, rand.Text(), browser, hub.Browser{}); err != nil {
		t.Fatal(err)
	}
	if err := w.hub.Disowned(ctx, q.ID); psd2.CodeOf(err) != psd2.CodeConflict || w.load(q).State != psd2.StateAuthorizing {
		t.Error(err)
	}
}
