package hub_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
)

// guard is a gate and a policy that say what the test has them say.
type guard struct {
	verdict hub.PayIn
	err     error
	path    string // where the payer confirms
	blocked bool
	void    error // of Recheck
	voided  int
	stepUp  bool // what Need was told
	asked   int
}

func (g *guard) MayPayIn(context.Context, *psd2.Payment, *psd2.Merchant) (hub.PayIn, error) {
	g.asked++
	return g.verdict, g.err
}

func (g *guard) MayPayOut(context.Context, psd2.TransferFacts) (psd2.GateDecision, string, error) {
	return psd2.GateHold, "", nil
}

func (g *guard) Need(_ context.Context, _ *psd2.Payment, _ string, stepUp bool, _ hub.Browser) (string, bool, error) {
	g.stepUp = stepUp
	return g.path, g.blocked, nil
}

func (g *guard) Recheck(*store.Tx, *psd2.Payment) error { return g.void }

func (g *guard) Voided(context.Context, string) error { g.voided++; return nil }

func (w *world) guarded(g *guard) *guard {
	w.hub = w.newHubWith("hub-1", w.db, func(d *hub.Deps) { d.Gate, d.Confirmation = g, g })
	return g
}

func TestWhatMustNotGoOnEndsBeforeAnyOrder(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			g    guard
			want psd2.FailureReason
		}{
			{guard{verdict: hub.PayIn{Refuse: true, Reason: psd2.ReasonLimitExceeded}}, psd2.ReasonLimitExceeded},
			{guard{verdict: hub.PayIn{Refuse: true, Reason: "sanctions_hit"}}, psd2.ReasonPaymentNotPossible}, // tipping off
			{guard{verdict: hub.PayIn{Refuse: true, Reason: psd2.ReasonPaymentNotPossible}, err: errors.New("state unreadable")}, psd2.ReasonPaymentNotPossible},
			{guard{blocked: true}, psd2.ReasonPaymentNotPossible},
		} {
			kept := 0
			c.g.verdict.Keep = func(*store.Tx) error { kept++; return nil }
			w.guarded(&c.g)
			p := w.start()
			before := w.tap.count("initiate")
			got, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{})
			if err != nil || link != "" || got.State != psd2.StateFailed || w.tap.count("initiate") != before {
				t.Fatalf("%s: %v %q %v", c.want, got, link, err)
			}
			w.wantState(p, psd2.StateFailed, c.want)
			w.wantEvents(p, "created failed")
			if c.g.verdict.Refuse && kept == 0 {
				t.Fatal("why was not kept")
			}
		}
	})
}

func TestPayerConfirmsHereFirstWhereThePolicyWantsIt(t *testing.T) {
	w := one(t)
	g := w.guarded(&guard{path: "/sca/pay/x/y", verdict: hub.PayIn{StepUp: true}})
	p := w.start()
	nonce := rand.Text()
	got, link, err := w.hub.Authorise(ctx, p.ID, plain, nonce, browser, hub.Browser{})
	if err != nil || link != "/sca/pay/x/y" || got.State != psd2.StateAuthorizationRequired || len(got.Attempts) != 0 || !g.stepUp {
		t.Fatal(got, link, err)
	}
	g.path, g.void = "", psd2.Fail(psd2.CodeConflict, "sca_void", "changed")
	_, _, err = w.hub.Authorise(ctx, p.ID, plain, nonce, browser, hub.Browser{})
	wantReason(t, err, "sca_void")
	if g.voided != 1 || len(w.load(p).Attempts) != 0 {
		t.Fatal("what was confirmed still stands, or an order was begun")
	}
	g.void = nil
	if _, link, err := w.hub.Authorise(ctx, p.ID, plain, nonce, browser, hub.Browser{}); err != nil || link == "" { // the form is still good: nothing had been sent
		t.Fatal(link, err)
	}
}
