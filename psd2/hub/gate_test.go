package hub_test

import (
	"context"
	"crypto/rand"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/rialto-hub/rialto/banks"
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
	ask     hub.Ask // what Need was told
	need    hub.Needed
	asked   int
	keep    func(*store.Tx) error // of Need
}

func (g *guard) MayPayIn(context.Context, *psd2.Payment, *psd2.Merchant) (hub.PayIn, error) {
	g.asked++
	return g.verdict, g.err
}

func (g *guard) MayPayOut(context.Context, psd2.TransferFacts) (psd2.GateDecision, string, error) {
	return psd2.GateHold, "", nil
}

func (g *guard) Need(_ context.Context, a hub.Ask) (hub.Needed, error) {
	g.ask = a
	g.need.Path, g.need.Blocked, g.need.Keep = g.path, g.blocked, g.keep
	return g.need, nil
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
	if err != nil || link != "/sca/pay/x/y" || got.State != psd2.StateAuthorizationRequired || len(got.Attempts) != 0 || !g.ask.StepUp {
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

// A payment only ever becomes smaller, while nothing was sent, where its
// merchant takes less.
func TestAPaymentOnlyBecomesSmaller(t *testing.T) {
	w := one(t)
	p := w.start()
	_, err := w.hub.PayLess(ctx, p.ID, psd2.Euro(1000))
	wantReason(t, err, "amount_fixed")
	w.merchant.LowerToLimit = true
	p = w.start()
	for _, to := range []psd2.Money{psd2.Euro(2500), psd2.Euro(2501), psd2.Euro(0), psd2.Euro(-1), {AmountMinor: 1000, Currency: "USD"}} {
		_, err := w.hub.PayLess(ctx, p.ID, to)
		wantReason(t, err, "amount_not_lower")
	}
	for _, minor := range []int64{2000, 1000} { // what was asked for stays what it was
		if p, err = w.hub.PayLess(ctx, p.ID, psd2.Euro(minor)); err != nil || p.Amount != psd2.Euro(minor) || p.AskedMinor != 2500 {
			t.Fatalf("%+v %v", p, err)
		}
	}
	w.toBank(p, plain)
	_, err = w.hub.PayLess(ctx, p.ID, psd2.Euro(500))
	wantReason(t, err, "payment_not_open")
}

// ordered keeps the orders that a bank is sent.
type ordered struct {
	banks.Bank
	info   func(*banks.Info)
	orders []banks.Order
}

func (o *ordered) Info() banks.Info {
	i := o.Bank.Info()
	if o.info != nil {
		o.info(&i)
	}
	return i
}

func (o *ordered) Initiate(c context.Context, order banks.Order) (banks.Initiation, error) {
	o.orders = append(o.orders, order)
	return o.Bank.Initiate(c, order)
}

// What monitoring found reaches the policy, and the policy's hints reach the
// bank; both stay with the attempt.
func TestPolicyHearsTheRiskAndTheBankHearsTheHints(t *testing.T) {
	w := one(t)
	bank := &ordered{Bank: w.adapters[plain]}
	w.adapters[plain] = bank
	risk := hub.Risk{Score: 30, Reasons: []string{"velocity"}, Quiet: true}
	g := w.guarded(&guard{verdict: hub.PayIn{Risk: risk}, need: hub.Needed{PerformedBy: psd2.SCAByASPSP, Exemptions: []string{"low_value", "transaction_risk"}}})
	p := w.start()
	if _, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); err != nil || link == "" {
		t.Fatal(link, err)
	}
	if !reflect.DeepEqual(g.ask.Risk, risk) || g.ask.Approach != "redirect" {
		t.Errorf("the policy was told %+v of a bank by %q", g.ask.Risk, g.ask.Approach)
	}
	if len(bank.orders) != 1 || !slices.Equal(bank.orders[0].Exemptions, g.need.Exemptions) {
		t.Errorf("the bank was sent %+v", bank.orders)
	}
	if a := w.load(p).Last(); a.SCABy != psd2.SCAByASPSP || !slices.Equal(a.Exemptions, g.need.Exemptions) {
		t.Errorf("kept %+v", a)
	}
}

// A bank that has delegated its authentication does not ask: the policy is told
// so, and money is at risk from the order on.
func TestBankThatDelegatesIsToldToThePolicy(t *testing.T) {
	w := one(t)
	w.adapters[plain] = &ordered{Bank: w.adapters[plain], info: func(i *banks.Info) { i.DelegatesSCA = true }}
	g := w.guarded(&guard{need: hub.Needed{PerformedBy: psd2.SCAByHub}})
	p := w.start()
	if _, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); err != nil {
		t.Fatal(err)
	}
	if a := w.load(p).Last(); g.ask.Approach != hub.ApproachDelegated || a.SCABy != psd2.SCAByHub || !a.RiskAtOnce {
		t.Errorf("approach %q, kept %+v", g.ask.Approach, a)
	}
}

// What the gate cannot say yet ends nothing and sends nothing: the payer may try
// again.
func TestPaymentThatCannotBeJudgedYetStaysOpen(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		g := w.guarded(&guard{verdict: hub.PayIn{Wait: true}})
		p := w.start()
		if _, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); psd2.CodeOf(err) != psd2.CodeConflict || link != "" {
			t.Fatalf("%q %v", link, err)
		}
		w.wantState(p, psd2.StateAuthorizationRequired, "")
		w.wantEvents(p, "created")
		if n := w.tap.count("initiate"); n != 0 {
			t.Fatalf("%d orders were sent", n)
		}
		g.verdict.Wait = false
		if _, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); err != nil || link == "" {
			t.Fatalf("later: %q %v", link, err)
		}
	})
}
