package hub_test

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/berlingroup"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
)

func TestPaymentNobodyPaysExpires(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p := w.start()
		w.run(15*time.Minute - time.Second)
		w.wantState(p, psd2.StateAuthorizationRequired, "")
		w.run(time.Second)
		p = w.wantState(p, psd2.StateFailed, psd2.ReasonExpired)
		if p.FailureStage != psd2.StateAuthorizationRequired {
			t.Errorf("stage %s", p.FailureStage)
		}
		w.wantEvents(p, "created failed")
		_, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{})
		wantReason(t, err, "payment_not_open")
	})
}

func TestConsentAfterExpiryIsRefusedBeforeStepHasSeenIt(t *testing.T) {
	w := one(t)
	p := w.start()
	w.clock.Add(15 * time.Minute)
	_, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{})
	wantReason(t, err, "payment_expired")
	if n := w.tap.count("initiate"); n != 0 {
		t.Errorf("%d orders", n)
	}
}

// The payer is at the bank and does nothing. All are asked when the payment's
// 15 minutes are over, at 20 minutes, and later.
func TestAbandonedCheckoutEndsAsSoonAsTheBankLeavesNoDoubt(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			bank      string
			at15      psd2.State
			at20      psd2.State
			late      psd2.State
			lateCause psd2.FailureReason
		}{
			{slack, psd2.StateAuthorizing, psd2.StateFailed, psd2.StateFailed, psd2.ReasonExpired},            // RCVD after its redirect has lapsed
			{lapsing, psd2.StateAuthorizing, psd2.StateFailed, psd2.StateFailed, psd2.ReasonExpired},          // RJCT DS24
			{plain, psd2.StateOutcomeUnknown, psd2.StateOutcomeUnknown, psd2.StateFailed, psd2.ReasonExpired}, // RJCT DS24 after two hours
		} {
			p, _ := w.atBank(c.bank)
			w.run(15*time.Minute + time.Second)
			if _, err := w.hub.Refresh(ctx, p.ID); err != nil { // he has a look at his page
				t.Fatal(err)
			}
			if s := w.load(p).State; s != c.at15 {
				t.Errorf("%s: %s at the expiry, want %s", c.bank, s, c.at15)
			}
			w.run(5 * time.Minute)
			if s := w.load(p).State; s != c.at20 {
				t.Errorf("%s: %s after 20 minutes, want %s", c.bank, s, c.at20)
			}
			w.run(3 * hour)
			w.wantState(p, c.late, c.lateCause)
			w.wantTransfers(p, 0)
			w.run(6 * hour) // a failed payment is still looked at now and then
			asked := w.tap.count("status")
			w.run(24 * hour)
			if n := w.tap.count("status") - asked; n != 0 {
				t.Errorf("%s: asked %d times after its final no", c.bank, n)
			}
		}
	})
}

func TestSilenceAtTheLapseLeavesTheOutcomeOpen(t *testing.T) {
	w := one(t)
	p, _ := w.atBank(slack)
	w.run(19 * time.Minute)
	w.switches(slack, map[string]any{"lose_status": 1000})
	w.run(5 * time.Minute)
	w.wantState(p, psd2.StateOutcomeUnknown, "")
	w.switches(slack, map[string]any{"lose_status": 0})
	w.run(90 * time.Minute)
	w.wantState(p, psd2.StateFailed, psd2.ReasonExpired)
	w.wantEvents(p, "created attempt_started outcome_unknown failed")
}

func TestApprovalAfterOurExpiryEndsInTheBanksTruth(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			bank    string
			comes   bool // the payer's browser comes back; else it is up to Step
			gone    time.Duration
			between psd2.State
			events  string
		}{
			{plain, true, 16 * time.Minute, psd2.StateOutcomeUnknown, "created attempt_started outcome_unknown authorized executed settled payer_checked creditable"},
			{plain, false, 16 * time.Minute, psd2.StateOutcomeUnknown, "created attempt_started outcome_unknown authorized executed settled payer_checked creditable"},
			{lapsing, true, 19 * time.Minute, psd2.StateAuthorizing, whole},
			{slack, true, 25 * time.Minute, psd2.StateFailed, "created attempt_started failed authorized executed settled payer_checked creditable"}, // against its own profile
			{slack, false, 25 * time.Minute, psd2.StateFailed, "created attempt_started failed authorized executed settled payer_checked creditable"},
		} {
			p, link := w.atBank(c.bank)
			w.run(c.gone)
			if s := w.load(p).State; s != c.between {
				t.Errorf("%s: %s, want %s", c.bank, s, c.between)
			}
			w.pays(link)
			if c.comes {
				w.returned(p)
			}
			w.run(3 * hour)
			p = w.wantState(p, psd2.StateSettled, "")
			if p.FailedAt != nil || p.FailureStage != "" {
				t.Errorf("%s: a settled payment says it failed", c.bank)
			}
			w.wantEvents(p, c.events)
			w.wantTransfers(p, 1)
		}
	})
}

// The order is accepted so late that the payment's time is over: nobody has
// the link, and nobody gets it.
func TestLinkThatComesAfterExpiryIsNotHandedOut(t *testing.T) {
	w := one(t)
	p := w.start()
	w.clock.Add(15*time.Minute - time.Second)
	g := w.hold("initiate")
	done := make(chan string)
	go func() {
		_, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{})
		if err != nil {
			t.Error(err)
		}
		done <- link
	}()
	<-g.entered
	w.clock.Add(2 * time.Second)
	close(g.open)
	if link := <-done; link != "" {
		t.Errorf("link %s", link)
	}
	w.wantState(p, psd2.StateFailed, psd2.ReasonExpired)
}

// cancels are the two who may cancel.
func cancels(w *world) map[psd2.FailureReason]func(*psd2.Payment) (*psd2.Payment, error) {
	return map[psd2.FailureReason]func(*psd2.Payment) (*psd2.Payment, error){
		psd2.ReasonMerchantCanceled: func(p *psd2.Payment) (*psd2.Payment, error) { return w.hub.CancelByMerchant(ctx, merchantID, p.ID) },
		psd2.ReasonPayerCanceled:    func(p *psd2.Payment) (*psd2.Payment, error) { return w.hub.CancelByPayer(ctx, p.ID) },
	}
}

func TestCancelBeforeAnAttemptEndsThePayment(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for by, cancel := range cancels(w) {
			p := w.start()
			for range 2 { // the same wish twice is one
				if got, err := cancel(p); err != nil || got.State != psd2.StateFailed {
					t.Fatalf("%v %v", got, err)
				}
			}
			w.wantState(p, psd2.StateFailed, by)
			w.wantEvents(p, "created failed")
			_, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{})
			wantReason(t, err, "payment_not_open")
		}
		if n := w.tap.count("initiate"); n != 0 {
			t.Errorf("%d orders", n)
		}
	})
}

func TestCancelDuringTheInitiationHandsOutNoLink(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, bank := range []string{plain, risky} {
			for by, cancel := range cancels(w) {
				g := w.hold("initiate")
				p := w.start()
				done := make(chan string)
				go func() {
					_, link, err := w.hub.Authorise(ctx, p.ID, bank, rand.Text(), browser, hub.Browser{})
					if err != nil {
						t.Error(err)
					}
					done <- link
				}()
				<-g.entered
				got, err := cancel(p)
				if err != nil || got.State.Final() || !got.View().CancelAsked {
					t.Fatalf("%s: %v %v", bank, got, err)
				}
				close(g.open)
				if link := <-done; link != "" {
					t.Errorf("%s: link %s", bank, link)
				}
				w.wantState(p, psd2.StateFailed, by)
				w.run(3 * hour)
				w.wantState(p, psd2.StateFailed, by)
				w.wantTransfers(p, 0)
			}
		}
	})
}

// Nobody has the link yet, so the bank need not agree; one that may have
// executed at once must, and still the payer is not sent there any more.
func TestCancelDuringTheInitiationDoesNotHangOnTheBank(t *testing.T) {
	w := one(t)
	w.connect(slack, berlingroup.Config{RiskAtOnce: true, RedirectLife: 20 * time.Minute})
	w.restart()
	for bank, want := range map[string]psd2.State{plain: psd2.StateFailed, slack: psd2.StateAuthorizing} {
		p := w.start()
		w.tap.onAsk(func(kind string, rw http.ResponseWriter, _ *http.Request) bool {
			if kind == "initiate" {
				if _, err := w.hub.CancelByPayer(ctx, p.ID); err != nil {
					t.Error(err)
				}
			}
			return kind == "cancel" && noCancellation(rw)
		})
		if _, link, err := w.hub.Authorise(ctx, p.ID, bank, rand.Text(), browser, hub.Browser{}); err != nil || link != "" {
			t.Errorf("%s: %q %v", bank, link, err)
		}
		if s := w.load(p).State; s != want {
			t.Errorf("%s: %s, want %s", bank, s, want)
		}
		w.run(21 * time.Minute)
		w.wantState(p, psd2.StateFailed, psd2.ReasonPayerCanceled)
	}
}

func TestCancelWhileTheHubDiesInTheCallEndsThePayment(t *testing.T) {
	w := one(t)
	p := w.start()
	real := w.adapters[plain]
	w.adapters[plain] = dying{real, true}
	dies(t, func() { _, _, _ = w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}) })
	w.adapters[plain] = real
	w.restart()
	if _, err := w.hub.CancelByPayer(ctx, p.ID); err != nil {
		t.Fatal(err)
	}
	w.run(time.Minute)
	w.wantState(p, psd2.StateFailed, psd2.ReasonPayerCanceled)
}

func TestCancelAtTheBankEndsThePaymentOnceTheBankAgrees(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for by, cancel := range cancels(w) {
			p, link := w.atBank(plain)
			if got, err := cancel(p); err != nil || got.State != psd2.StateFailed {
				t.Fatalf("%v %v", got, err)
			}
			w.wantAttempt(p, 0, psd2.AttemptCanceled, by)
			p = w.wantState(p, psd2.StateFailed, by)
			w.wantEvents(p, "created attempt_started failed")
			w.walkDead(link)
			w.run(3 * hour)
			w.wantTransfers(p, 0)
		}
	})
}

// walkDead has the payer try to pay an order that the bank has ended.
func (w *world) walkDead(link string) {
	w.t.Helper()
	_, _ = psu.Walk(ctx, psuBrowser(w), link, w.customer(plain), psu.Wish{}, w.clock.Now) // however far he gets
}

func TestCancelThatComesTooLateIsTheBanksTruth(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, cancel := range cancels(w) {
			p, link := w.atBank(plain)
			w.pays(link) // paid at the bank, not yet back
			got, err := cancel(p)
			if err != nil || got.State != psd2.StateSettled {
				t.Fatalf("%v %v", got, err)
			}
			w.wantEvents(p, whole)
			w.wantTransfers(p, 1)
			_, err = cancel(p)
			wantReason(t, err, "payment_not_cancelable")
		}
	})
}

// refusesToCancel has the banks answer 405 to every DELETE, as a bank does that
// offers no cancellation.
func refusesToCancel(w *world) {
	w.tap.onAsk(func(kind string, rw http.ResponseWriter, _ *http.Request) bool {
		return kind == "cancel" && noCancellation(rw)
	})
}

func noCancellation(rw http.ResponseWriter) bool {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(http.StatusMethodNotAllowed)
	return answer(rw, `{"tppMessages":[{"category":"ERROR","code":"SERVICE_INVALID"}]}`)
}

func TestCancelTheBankRefusesLeavesTheOutcomeOpen(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		refusesToCancel(w)
		for by, cancel := range cancels(w) {
			p, link := w.atBank(plain)
			if got, err := cancel(p); err != nil || got.State != psd2.StateOutcomeUnknown || !got.View().CancelAsked {
				t.Fatalf("%v %v", got, err)
			}
			w.run(10 * time.Minute)
			w.wantState(p, psd2.StateOutcomeUnknown, "")
			w.pays(link) // he approves all the same
			w.returned(p)
			p = w.wantState(p, psd2.StateSettled, "")
			if p.View().CancelAsked {
				t.Error("the wish outlives its end")
			}
			w.wantTransfers(p, 1)

			p, _ = w.atBank(lapsing) // this one says when it is over
			if got, err := cancel(p); err != nil || got.State != psd2.StateAuthorizing {
				t.Fatalf("%v %v", got, err)
			}
			w.run(21 * time.Minute)
			w.wantState(p, psd2.StateFailed, by)
		}
	})
}

func TestCancelOfASilentBankIsUnknownUntilItAnswers(t *testing.T) {
	w := one(t)
	p, _ := w.atBank(plain)
	w.switches(plain, map[string]any{"lose_status": 1000})
	cancelled := false
	w.tap.onAsk(func(kind string, rw http.ResponseWriter, r *http.Request) bool {
		if kind == "cancel" { // the bank cancels, and its answer is lost
			cancelled = true
			w.sandbox.Handler().ServeHTTP(discard{}, r)
			panic(http.ErrAbortHandler)
		}
		return false
	})
	if got, err := w.hub.CancelByMerchant(ctx, merchantID, p.ID); err != nil || got.State != psd2.StateOutcomeUnknown || !cancelled {
		t.Fatalf("%v %v", got, err)
	}
	w.switches(plain, map[string]any{"lose_status": 0})
	w.run(hour)
	w.wantState(p, psd2.StateFailed, psd2.ReasonMerchantCanceled)
	w.wantEvents(p, "created attempt_started outcome_unknown failed")
}

// discard is an answer nobody reads.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

func TestAcceptedOrderCannotBeCancelled(t *testing.T) {
	w := one(t)
	p, link := w.atBank("late40s")
	w.pays(link, late)
	w.returned(p)
	w.wantState(p, psd2.StateAuthorized, "")
	for _, cancel := range cancels(w) {
		_, err := cancel(p)
		wantReason(t, err, "payment_not_cancelable")
	}
	if n := w.tap.count("cancel"); n != 0 {
		t.Errorf("the bank was asked %d times", n)
	}
}

// Another merchant's payment does not exist for him.
func TestMerchantCancelsOnlyHisOwnPayments(t *testing.T) {
	w := one(t)
	p := w.start()
	for _, id := range []string{"mer_00000000000000000000000009", ""} {
		_, err := w.hub.CancelByMerchant(ctx, id, p.ID)
		wantReason(t, err, "payment_not_found")
	}
	_, err := w.hub.CancelByMerchant(ctx, merchantID, "pay_00000000000000000000000000")
	wantReason(t, err, "payment_not_found")
	w.wantState(p, psd2.StateAuthorizationRequired, "")
}

func TestExpiryFollowsTheConfiguration(t *testing.T) {
	w := one(t)
	w.hub = w.newHub("hub-1", w.db, func(c *hub.Config) { c.ExpireAfter = time.Minute })
	p := w.start()
	w.run(time.Minute)
	w.wantState(p, psd2.StateFailed, psd2.ReasonExpired)
}
