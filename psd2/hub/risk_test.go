package hub_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
)

// appBank asks its customer in its app as soon as it has an order. Nothing in
// its Info says that money is at risk, but that it is decoupled.
type appBank struct {
	approaches []banks.Approach
	lose       bool // the answer to an initiation
	sent       []string
	status     string
}

func (b *appBank) Info() banks.Info { return banks.Info{ID: "app", Approaches: b.approaches} }

func (b *appBank) Initiate(_ context.Context, o banks.Order) (banks.Initiation, error) {
	b.sent, b.status = append(b.sent, o.EndToEndID), "RCVD"
	if b.lose {
		return banks.Initiation{}, &banks.Error{Kind: banks.Uncertain}
	}
	return banks.Initiation{State: []byte(o.EndToEndID), Approach: banks.Decoupled, Status: "RCVD", Prompt: psd2.Prompt{Kind: psd2.PromptApp}}, nil
}

func (b *appBank) Status(context.Context, banks.Ref) (banks.Status, error) {
	return banks.Status{Transaction: b.status}, nil
}

func (b *appBank) Find(_ context.Context, r banks.Ref) ([]byte, banks.Status, error) {
	return []byte(r.EndToEndID), banks.Status{Transaction: b.status}, nil
}

func (w *world) app(b *appBank) {
	w.merchant.PayerPolicy = psd2.PayerOff
	w.entries = append(w.entries, banks.Entry{ID: "app", Name: "app", Adapter: "app"})
	w.adapters["app"] = b
	w.hub = w.newHub("hub-1", w.db)
}

// The payer says yes in the app whose question we never heard of. He pays once.
func TestLostDecoupledInitiationIsUnknown(t *testing.T) {
	for name, approaches := range map[string][]banks.Approach{
		"decoupled": {banks.Decoupled}, "redirect or decoupled": {banks.Redirect, banks.Decoupled},
	} {
		t.Run(name, func(t *testing.T) {
			w := one(t)
			b := &appBank{approaches: approaches, lose: true}
			w.app(b)
			p := w.start()
			if _, link, err := w.hub.Authorise(ctx, p.ID, "app", rand.Text(), browser, hub.Browser{}); err != nil || link != "" {
				t.Fatalf("%q %v", link, err)
			}
			w.wantState(p, psd2.StateOutcomeUnknown, "")
			for _, bank := range []string{"app", plain} {
				_, _, err := w.hub.Authorise(ctx, p.ID, bank, rand.Text(), browser, hub.Browser{})
				wantReason(t, err, "payment_not_open")
			}
			b.status = "ACCC" // he approves
			w.run(2 * time.Second)
			w.wantState(p, psd2.StateSettled, "")
			if len(b.sent) != 1 {
				t.Errorf("%d orders", len(b.sent))
			}
		})
	}
}

// A process may sleep between its intent and its call, for as long as others
// have given it up: then the call is not made.
func TestProcessThatSleptDoesNotSendTheOrder(t *testing.T) {
	for name, c := range map[string]struct {
		bank    string
		sleep   time.Duration
		sent    int
		want    psd2.State
		refused string // Authorise says
	}{
		"a moment":                     {bank: plain, sleep: 19 * time.Second, sent: 1, want: psd2.StateAuthorizing},
		"too long":                     {bank: plain, sleep: 20 * time.Second, want: psd2.StateAuthorizationRequired},
		"given up meanwhile":           {bank: plain, sleep: time.Minute, want: psd2.StateAuthorizationRequired, refused: "attempt_closed"},
		"given up meanwhile, at risk":  {bank: risky, sleep: time.Minute, want: psd2.StateAuthorizationRequired},
		"too long, where it's at risk": {bank: risky, sleep: 20 * time.Second, want: psd2.StateAuthorizationRequired},
	} {
		t.Run(name, func(t *testing.T) {
			w := one(t)
			p, other, slept := w.start(), w.newHub("hub-2", w.db), false
			sleepy := w.newHubWith("hub-1", w.db, func(d *hub.Deps) {
				d.Now = func() time.Time {
					if a := w.load(p).Last(); !slept && a != nil && a.State == psd2.AttemptSubmitting {
						slept = true
						w.clock.Add(c.sleep)
						if _, err := other.Step(ctx, w.clock.Now()); err != nil {
							t.Error(err)
						}
					}
					return w.clock.Now()
				}
			})
			_, link, err := sleepy.Authorise(ctx, p.ID, c.bank, rand.Text(), browser, hub.Browser{})
			switch {
			case c.refused != "":
				wantReason(t, err, c.refused)
			case err != nil || (link != "") != (c.sent == 1):
				t.Errorf("%q %v", link, err)
			}
			if n := w.tap.count("initiate"); n != c.sent {
				t.Errorf("sent %d times", n)
			}
			w.wantState(p, c.want, "")
		})
	}
}

// The payer's code is not relayed by a process that slept, either: he may have
// been told meanwhile that it is over.
func TestProcessThatSleptDoesNotRelayTheCode(t *testing.T) {
	w := one(t)
	b := w.asking(&asker{})
	p := w.embedded()
	w.mustAnswer(p, psd2.PromptPassword, psd2.PromptAnswer{PSUID: "anna", Password: "right"})
	sleepy := w.newHubWith("hub-1", w.db, func(d *hub.Deps) {
		d.Now = func() time.Time { return w.clock.Now().Add(20 * time.Second) }
	})
	heard := len(b.heard)
	p, _, err := sleepy.Answer(ctx, w.load(p).Last().ID, rand.Text(), psd2.PromptCode, psd2.PromptAnswer{Code: secretCode})
	if err != nil || len(b.heard) != heard || p.State != psd2.StateAuthorizing || p.Last().AtRiskAt != nil {
		t.Fatalf("%v: heard %d more, %s, %+v", err, len(b.heard)-heard, p.State, p.Last())
	}
	w.mustAnswer(p, psd2.PromptCode, psd2.PromptAnswer{Code: secretCode}) // he may try again
	w.wantState(p, psd2.StateSettled, "")
}
