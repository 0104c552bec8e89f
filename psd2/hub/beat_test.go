package hub_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// slow is a gate that needs some time for its verdict and its records.
type slow struct {
	guard
	w    *world
	took time.Duration
}

func (s *slow) MayPayIn(ctx context.Context, p *psd2.Payment, m *psd2.Merchant) (hub.PayIn, error) {
	s.w.clock.Add(s.took)
	return s.guard.MayPayIn(ctx, p, m)
}

func (s *slow) MayPayOut(context.Context, psd2.TransferFacts) (psd2.GateDecision, string, error) {
	s.w.clock.Add(s.took)
	return psd2.GateRefuse, string(s.verdict.Reason), nil
}

// paced is a hub whose refusals keep the beat; waiting moves the clock.
func (w *world) paced(g *slow) {
	g.w = w
	w.hub = w.newHubWith("hub-1", w.db, func(d *hub.Deps) {
		d.Gate, d.Confirmation = g, g
		d.Wait = waitOn(w.clock)
	})
}

// waitOn waits by moving the clock.
func waitOn(clock *testkit.Clock) func(context.Context, time.Time) {
	return func(_ context.Context, until time.Time) { clock.Add(max(until.Sub(clock.Now()), 0)) }
}

// D08: a refusal leaves at the same moment after the payer pressed, and its
// event says the same, whoever refuses and whatever that took: a rule with much
// to note, a list, a limit, the policy. A bank's own refusal is answered at that
// moment too. What takes longer than a beat leaves with the next one.
func TestEveryRefusalLeavesOnTheSameBeat(t *testing.T) {
	const beat, later = 400 * time.Millisecond, 100 * time.Millisecond
	w := one(t)
	noting := func(d time.Duration) func(*store.Tx) error {
		return func(*store.Tx) error { w.clock.Add(d); return nil }
	}
	refuse := func(why psd2.FailureReason, note time.Duration) guard {
		return guard{verdict: hub.PayIn{Refuse: true, Reason: why, Keep: noting(note)}}
	}
	w.tap.onAsk(func(kind string, a http.ResponseWriter, _ *http.Request) bool {
		if kind != "initiate" {
			return false
		}
		w.clock.Add(130 * time.Millisecond)
		a.Header().Set("Content-Type", "application/json")
		a.WriteHeader(http.StatusBadRequest)
		_, _ = a.Write([]byte(`{"tppMessages":[{"category":"ERROR","code":"PAYMENT_FAILED"}]}`))
		return true
	})
	for name, c := range map[string]struct {
		gate   guard
		took   time.Duration
		beats  time.Duration
		events string
	}{
		"a sanctions hit":    {refuse("sanctions_hit", 12*time.Millisecond), 2 * time.Millisecond, 1, "created failed"},
		"much to note":       {refuse(psd2.ReasonPaymentNotPossible, 300*time.Millisecond), 3 * time.Millisecond, 1, "created failed"},
		"nothing to note":    {guard{verdict: hub.PayIn{Refuse: true}}, time.Millisecond, 1, "created failed"},
		"a limit":            {refuse(psd2.ReasonLimitExceeded, 0), 250 * time.Millisecond, 1, "created failed"},
		"the policy":         {guard{blocked: true}, 0, 1, "created failed"},
		"on the beat itself": {refuse(psd2.ReasonKYCRequired, 0), beat, 1, "created failed"},
		"later than a beat":  {refuse("sanctions_hit", 0), beat + time.Millisecond, 2, "created failed"},
		"the bank":           {guard{}, 2 * time.Millisecond, 1, "created attempt_started attempt_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.paced(&slow{guard: c.gate, took: c.took})
			p := w.start()
			began := w.clock.Now()
			got, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{})
			if err != nil || link != "" {
				t.Fatal(got, link, err)
			}
			if left := w.clock.Now().Sub(began); left != c.beats*beat+later {
				t.Errorf("answered after %v", left)
			}
			w.wantEvents(p, c.events)
			if after := w.load(p); after.FailedAt != nil && after.FailedAt.Sub(began) != c.beats*beat {
				t.Errorf("failed after %v", after.FailedAt.Sub(began))
			}
		})
	}
}

// D08: "not yet" may be a list's or an officer's word as well. It leaves at the
// moment of a refusal.
func TestNotYetLeavesOnTheBeat(t *testing.T) {
	const beat, later = 400 * time.Millisecond, 100 * time.Millisecond
	w := one(t)
	for took, beats := range map[time.Duration]time.Duration{time.Millisecond: 1, 390 * time.Millisecond: 1, beat + later + time.Millisecond: 2} {
		w.paced(&slow{guard: guard{verdict: hub.PayIn{Wait: true}}, took: took})
		p := w.start()
		began := w.clock.Now()
		_, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{})
		wantReason(t, err, "not_yet")
		if left := w.clock.Now().Sub(began); left != beats*beat+later {
			t.Errorf("a verdict after %v left after %v", took, left)
		}
	}
}

// The way to a confirmation at the hub takes the same time, whether a rule
// wants it and notes why, or the policy alone.
func TestTheWayToAConfirmationTakesTheSameTime(t *testing.T) {
	w := one(t)
	for _, c := range []struct {
		verdict hub.PayIn
		took    time.Duration
	}{
		{hub.PayIn{}, time.Millisecond},
		{hub.PayIn{StepUp: true, Keep: func(*store.Tx) error { w.clock.Add(40 * time.Millisecond); return nil }}, 3 * time.Millisecond},
	} {
		w.paced(&slow{guard: guard{path: "/sca/pay/x/y", verdict: c.verdict}, took: c.took})
		p := w.start()
		began := w.clock.Now()
		if _, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); err != nil || link != "/sca/pay/x/y" {
			t.Fatal(link, err)
		}
		if left := w.clock.Now().Sub(began); left != 100*time.Millisecond {
			t.Errorf("%+v: after %v", c, left)
		}
	}
}

// A payer who is let through waits for his bank alone.
func TestAnAllowedPaymentIsNotDelayed(t *testing.T) {
	w := one(t)
	w.paced(&slow{took: 3 * time.Millisecond})
	p := w.start()
	began := w.clock.Now()
	if link := w.toBank(p, plain); link == "" || w.clock.Now().Sub(began) != 3*time.Millisecond {
		t.Errorf("%q after %v", link, w.clock.Now().Sub(began))
	}
}

// A payout that must not be made fails on the beat as well.
func TestARefusedPayoutFailsOnTheBeat(t *testing.T) {
	w := oneTill(t)
	w.deposit("anna", 5000, anna)
	for _, took := range []time.Duration{2 * time.Millisecond, 390 * time.Millisecond} {
		g := &slow{guard: guard{verdict: hub.PayIn{Reason: "sanctions_hit"}}, w: &world{clock: w.clock}, took: took}
		w.hub = hub.New(hub.Config{PublicURL: "https://pay.example"}, hub.Deps{
			Store: w.db, Banks: banks.NewRegistry(nil, nil, w.clock.Now), Holder: "till-1", Now: w.clock.Now, Random: rand.Reader,
			Channels: map[string]banks.Channel{accountID: w.account}, Gate: g, Wait: waitOn(w.clock),
		})
		t.Cleanup(patient(w.hub).Close)
		p, err := w.tryPayout(hub.PayoutRequest{Player: psd2.Player{Reference: "anna", Name: "Anna Beispiel"}, SourceID: sourceOf(anna.IBAN)})
		if err != nil {
			t.Fatal(err)
		}
		began := w.clock.Now()
		if _, err := w.hub.StepTransfers(ctx, began); err != nil {
			t.Fatal(err)
		}
		if p, err = w.db.Transfer(ctx, p.ID); err != nil || p.Failure != psd2.ReasonPaymentNotPossible || p.FailedAt.Sub(began) != 400*time.Millisecond {
			t.Errorf("after %v: %s %v, %v", p.FailedAt.Sub(began), p.State, p.Failure, err)
		}
	}
}
