package hub_test

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
)

// meanwhile does something while the gate decides.
type meanwhile struct {
	*guard
	do func()
}

func (m *meanwhile) MayPayIn(ctx context.Context, p *psd2.Payment, of *psd2.Merchant) (hub.PayIn, error) {
	m.do()
	return m.guard.MayPayIn(ctx, p, of)
}

// What is sent is what the payer has agreed to and the gate has judged, also
// when he takes less in another tab: before it, or while it is decided.
func TestAmountThatChangesOnTheWayIsNotSent(t *testing.T) {
	w := one(t)
	w.merchant.LowerToLimit = true
	p := w.start()
	lower := func() {
		if _, err := w.hub.PayLess(ctx, p.ID, psd2.Euro(1000)); err != nil {
			t.Fatal(err)
		}
	}
	shown := hub.Browser{Amount: p.Amount}
	g := &meanwhile{&guard{}, lower}
	w.hub = w.newHubWith("hub-1", w.db, func(d *hub.Deps) { d.Gate = g })
	for _, does := range []func(){lower, func() {}} {
		g.do = does
		_, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, shown)
		wantReason(t, err, "amount_changed")
		if got := w.load(p); got.State != psd2.StateAuthorizationRequired || len(got.Attempts) != 0 {
			t.Fatalf("%s, %d attempts", got.State, len(got.Attempts))
		}
	}
	if _, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{Amount: psd2.Euro(1000)}); err != nil || link == "" {
		t.Fatal(link, err)
	}
}

// An order that was sent and given up may still be executed, and then with the
// whole amount: the payment does not become smaller any more.
func TestNothingIsLoweredOnceAnOrderWasSent(t *testing.T) {
	w := one(t)
	w.merchant.LowerToLimit = true
	w.switches(plain, map[string]any{"lose_after": 1})
	p := w.start()
	if _, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); err != nil || link != "" {
		t.Fatal(link, err)
	}
	w.wantState(p, psd2.StateAuthorizationRequired, "")
	_, err := w.hub.PayLess(ctx, p.ID, psd2.Euro(1000))
	wantReason(t, err, "order_sent")
	w.guarded(&guard{verdict: hub.PayIn{Refuse: true, Reason: psd2.ReasonLimitExceeded, LeftMinor: 1000}})
	if _, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); err != nil {
		t.Fatal("less is offered all the same:", err)
	}
	w.wantState(p, psd2.StateFailed, psd2.ReasonLimitExceeded)
}

// What the verdict rests on may be gone when the order is committed: then it is
// not sent, and the payer may try again.
func TestAnOrderIsNotSentOnWhatIsGone(t *testing.T) {
	w := one(t)
	gone := psd2.Fail(psd2.CodeConflict, "not_yet", "try again")
	var standing error = gone
	w.guarded(&guard{verdict: hub.PayIn{Recheck: func(*store.Tx) error { return standing }}})
	p := w.start()
	before := w.tap.count("initiate")
	_, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{})
	wantReason(t, err, "not_yet")
	if got := w.load(p); got.State != psd2.StateAuthorizationRequired || len(got.Attempts) != 0 || w.tap.count("initiate") != before {
		t.Fatalf("%s, %d attempts", got.State, len(got.Attempts))
	}
	standing = nil
	if _, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); err != nil || link == "" {
		t.Fatal(link, err)
	}
}
