package hub_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestLostInitiationIsAbandonedAndThePaymentPaidOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, loss := range []string{"lose_before", "lose_after"} { // the bank has no order; the bank has one nobody knows
			w.switches(plain, map[string]any{loss: 1})
			p := w.start()
			before := w.tap.count("initiate")
			_, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{})
			if err != nil || link != "" {
				t.Fatalf("%s: %q %v", loss, link, err)
			}
			p = w.wantState(p, psd2.StateAuthorizationRequired, "")
			w.wantAttempt(p, 0, psd2.AttemptAbandoned, psd2.ReasonBankUnavailable)
			if ap := p.Personal.Attempts[p.Last().ID]; ap.Prompt.RedirectURL != "" || ap.Adapter != nil {
				t.Errorf("%s: somebody could get its link", loss)
			}
			w.run(5 * time.Minute)
			if n := w.tap.count("initiate") - before; n != 1 {
				t.Errorf("%s: sent %d times", loss, n)
			}
			w.pays(w.toBank(p, plain))
			w.returned(p)
			w.wantState(p, psd2.StateSettled, "")
			w.wantTransfers(p, 1)
			w.wantEvents(p, "created attempt_started attempt_failed attempt_started authorized executed settled payer_checked creditable")
		}
	})
}

func TestLostInitiationAtRiskIsUnknownAndNothingIsSentAgain(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, loss := range []string{"lose_before", "lose_after"} {
			w.switches(risky, map[string]any{loss: 1})
			p := w.start()
			before := w.tap.count("initiate")
			if _, link, err := w.hub.Authorise(ctx, p.ID, risky, rand.Text(), browser, hub.Browser{}); err != nil || link != "" {
				t.Fatalf("%s: %q %v", loss, link, err)
			}
			for _, bank := range []string{risky, plain} {
				_, _, err := w.hub.Authorise(ctx, p.ID, bank, rand.Text(), browser, hub.Browser{})
				wantReason(t, err, "payment_not_open")
			}
			w.run(48 * hour)
			w.wantState(p, psd2.StateOutcomeUnknown, "")
			w.wantEvents(p, "created attempt_started outcome_unknown")
			if n := w.tap.count("initiate") - before; n != 1 {
				t.Errorf("%s: sent %d times", loss, n)
			}
		}
	})
}

// A bank that is only slow is heard all the same: our time for the call is
// over, not the time to write that down.
func TestTimedOutInitiationIsAbandonedAtOnce(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.hub = w.newHub("impatient", w.db, func(c *hub.Config) { c.BankTimeout = time.Second })
		g := w.hold("initiate")
		p := w.start()
		_, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{})
		if err != nil || link != "" {
			t.Fatalf("%q %v", link, err)
		}
		close(g.open)
		w.wantState(p, psd2.StateAuthorizationRequired, "")
		w.wantAttempt(p, 0, psd2.AttemptAbandoned, psd2.ReasonBankUnavailable)
	})
}

// A payer who closes his browser during the call does not lose the answer.
func TestAnswerIsKeptWhenThePayerHasGone(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		g := w.hold("initiate")
		p := w.start()
		payer, leaves := context.WithCancel(ctx)
		done := make(chan error)
		go func() {
			_, _, err := w.hub.Authorise(payer, p.ID, plain, rand.Text(), browser, hub.Browser{})
			done <- err
		}()
		<-g.entered
		leaves()
		close(g.open)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		p = w.wantState(p, psd2.StateAuthorizing, "")
		if p.Personal.Attempts[p.Last().ID].Prompt.RedirectURL == "" {
			t.Error("the answer was lost")
		}
	})
}

func TestLateAnswerOfAGivenUpInitiationHandsOutNoLink(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		g := w.hold("initiate")
		p := w.start()
		type result struct {
			link string
			err  error
		}
		done := make(chan result)
		go func() {
			_, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{})
			done <- result{link, err}
		}()
		<-g.entered
		other := w.newHub("hub-2", w.db)
		w.clock.Add(time.Minute) // more than SubmitTimeout: the caller counts as lost
		if _, err := other.Step(ctx, w.clock.Now()); err != nil {
			t.Fatal(err)
		}
		w.wantState(p, psd2.StateAuthorizationRequired, "")
		close(g.open)
		r := <-done
		wantReason(t, r.err, "attempt_closed")
		if p = w.load(p); r.link != "" || p.Personal.Attempts[p.Last().ID].Prompt.RedirectURL != "" {
			t.Error("the link of an abandoned order was kept")
		}
		w.pays(w.toBank(p, lapsing))
		w.returned(p)
		w.wantState(p, psd2.StateSettled, "")
		w.wantTransfers(p, 1)
	})
}

func TestLateAnswerAtRiskSaysHowToAsk(t *testing.T) {
	w := one(t)
	g := w.hold("initiate")
	p := w.start()
	done := make(chan string)
	go func() {
		_, link, err := w.hub.Authorise(ctx, p.ID, risky, rand.Text(), browser, hub.Browser{})
		done <- fmt.Sprint(link, err)
	}()
	<-g.entered
	w.clock.Add(time.Minute)
	w.step()
	w.wantState(p, psd2.StateOutcomeUnknown, "")
	w.tap.say("RCVD", "ACCC") // it was exempted and executed
	close(g.open)
	if got := <-done; got != "<nil>" {
		t.Errorf("a link was handed out: %s", got)
	}
	w.run(hour)
	w.wantState(p, psd2.StateSettled, "")
}

func TestSilentBankMakesTheOutcomeUnknownUntilItAnswers(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, link := w.atBank(plain)
		w.pays(link)
		w.switches(plain, map[string]any{"lose_status": 1000})
		w.returned(p)
		w.run(11 * time.Second)
		w.wantState(p, psd2.StateAuthorizing, "")
		w.run(4 * time.Second)
		w.wantState(p, psd2.StateOutcomeUnknown, "")
		w.run(24 * hour)
		p = w.wantState(p, psd2.StateOutcomeUnknown, "") // never failed, however long
		if p.FailedAt != nil || p.CreditableAt != nil {
			t.Errorf("failed %v, creditable %v", p.FailedAt, p.CreditableAt)
		}
		w.wantEvents(p, "created attempt_started outcome_unknown")
		_, _, err := w.hub.Authorise(ctx, p.ID, lapsing, rand.Text(), browser, hub.Browser{})
		wantReason(t, err, "payment_not_open")

		w.switches(plain, map[string]any{"lose_status": 0})
		w.run(6 * hour)
		w.wantState(p, psd2.StateSettled, "")
		w.wantEvents(p, "created attempt_started outcome_unknown authorized executed settled payer_checked creditable")
		w.wantTransfers(p, 1)
		if n := w.tap.count("initiate"); n != 1 {
			t.Errorf("%d orders", n)
		}
	})
}

func TestBankThatIsSilentForAMomentChangesNothing(t *testing.T) {
	w := one(t)
	p, link := w.atBank(plain)
	w.pays(link, func(n *psu.NewCustomers) { n.Behaviour = string(sandbox.Silent) })
	w.returned(p)
	w.run(20 * time.Second)
	w.wantState(p, psd2.StateSettled, "")
	w.wantEvents(p, whole)
}

// A payer who is still typing when his page asks keeps his payment, whatever
// the bank does not say meanwhile.
func TestSilenceWhileThePayerIsAwayIsNoNews(t *testing.T) {
	w := one(t)
	p, link := w.atBank(plain)
	w.switches(plain, map[string]any{"lose_status": 1000})
	w.run(10 * time.Minute)
	w.wantState(p, psd2.StateAuthorizing, "")
	w.switches(plain, map[string]any{"lose_status": 0})
	w.pays(link)
	w.returned(p)
	w.wantState(p, psd2.StateSettled, "")
	w.wantEvents(p, whole)
}

// dying is a bank whose caller dies at a moment of the initiation: it leaves
// the goroutine, and nothing after it runs.
type dying struct {
	banks.Bank
	sent bool // after the bank has taken the order, else before it was sent
}

func (d dying) Initiate(c context.Context, o banks.Order) (banks.Initiation, error) {
	if d.sent {
		if _, err := d.Bank.Initiate(c, o); err != nil {
			panic(err)
		}
	}
	runtime.Goexit()
	return banks.Initiation{}, nil
}

// dies runs f until it kills itself.
func dies(t *testing.T, f func()) {
	t.Helper()
	done := make(chan bool)
	go func() {
		finished := false
		defer func() { done <- finished }()
		f()
		finished = true
	}()
	if <-done {
		t.Fatal("it survived")
	}
}

func TestHubThatDiesAroundTheCallDoesNotPayTwice(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, sent := range []bool{false, true} {
			for _, bank := range []string{plain, risky} {
				p := w.start()
				real := w.adapters[bank]
				w.adapters[bank] = dying{real, sent}
				dies(t, func() { _, _, _ = w.hub.Authorise(ctx, p.ID, bank, rand.Text(), browser, hub.Browser{}) })
				w.adapters[bank] = real
				w.restart()
				w.wantAttempt(p, 0, psd2.AttemptSubmitting, "")
				_, _, err := w.hub.Authorise(ctx, p.ID, bank, rand.Text(), browser, hub.Browser{})
				wantReason(t, err, "payment_not_open") // its caller may still live
				w.run(time.Minute)
				if bank == risky {
					w.run(48 * hour)
					w.wantState(p, psd2.StateOutcomeUnknown, "")
					w.wantTransfers(p, 0)
					continue
				}
				w.wantState(p, psd2.StateAuthorizationRequired, "")
				w.wantAttempt(p, 0, psd2.AttemptAbandoned, psd2.ReasonBankUnavailable)
				w.pays(w.toBank(p, bank))
				w.returned(p)
				w.wantState(p, psd2.StateSettled, "")
				w.wantTransfers(p, 1)
			}
		}
	})
}

// The answer is committed, and the hub dies before the payer gets the link: he
// finds it on his page again, and nothing else is ordered.
func TestHubThatDiesAfterTheAnswerFollowsTheOrder(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, _ := w.atBank(plain)
		w.restart()
		link := w.load(p).Personal.Attempts[p.Last().ID].Prompt.RedirectURL
		w.pays(link)
		w.restart()
		w.run(5 * time.Minute)
		w.wantState(p, psd2.StateSettled, "")
		w.wantEvents(p, whole)
		w.wantTransfers(p, 1)
	})
}

// ruined closes the database under the hub while the bank is being asked.
type ruined struct {
	banks.Bank
	db *store.DB
}

func (r ruined) Initiate(c context.Context, o banks.Order) (banks.Initiation, error) {
	in, err := r.Bank.Initiate(c, o)
	_ = r.db.Close() // what the test is about
	return in, err
}

func TestDatabaseLostDuringTheCallHandsOutNoLink(t *testing.T) {
	clock := testkit.NewClock()
	for name, c := range map[string]func() store.Config{
		"sqlite":   func() store.Config { return store.Config{URL: "sqlite:" + t.TempDir() + "/rialto.db"} },
		"postgres": func() store.Config { return testkit.PostgresConfig(t) },
	} {
		t.Run(name, func(t *testing.T) {
			config := c()
			db := testkit.Open(t, config, clock.Now)
			w := newWorld(t, clock, db)
			p := w.start()
			real := w.adapters[plain]
			w.adapters[plain] = ruined{real, db}
			if _, link, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); err == nil || link != "" {
				t.Fatalf("%q %v", link, err)
			}
			w.adapters[plain], w.db = real, testkit.Open(t, config, clock.Now)
			w.restart()
			w.run(time.Minute)
			w.wantState(p, psd2.StateAuthorizationRequired, "")
			w.pays(w.toBank(p, plain))
			w.returned(p)
			w.wantState(p, psd2.StateSettled, "")
			w.wantTransfers(p, 1)
		})
	}
}

// failing is a bank whose adapter breaks its word about errors.
type failing struct{ banks.Bank }

func (failing) Initiate(context.Context, banks.Order) (banks.Initiation, error) {
	return banks.Initiation{}, errors.New("something else")
}

func TestErrorOfNoKindCountsAsALostAnswer(t *testing.T) {
	w := one(t)
	w.adapters[risky], w.adapters[plain] = failing{w.adapters[risky]}, failing{w.adapters[plain]}
	for bank, want := range map[string]psd2.State{risky: psd2.StateOutcomeUnknown, plain: psd2.StateAuthorizationRequired} {
		p := w.start()
		if _, _, err := w.hub.Authorise(ctx, p.ID, bank, rand.Text(), browser, hub.Browser{}); err != nil {
			t.Fatal(err)
		}
		w.wantState(p, want, "")
	}
}

// A bank that forgets an order proves nothing about the money.
func TestBankThatDoesNotKnowTheOrderMakesItUnknown(t *testing.T) {
	w := one(t)
	p, link := w.atBank(plain)
	w.pays(link)
	w.tap.onAsk(func(kind string, rw http.ResponseWriter, _ *http.Request) bool {
		if kind != "status" {
			return false
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusNotFound)
		return answer(rw, `{"tppMessages":[{"category":"ERROR","code":"RESOURCE_UNKNOWN"}]}`)
	})
	w.returned(p)
	w.run(48 * hour)
	w.wantState(p, psd2.StateOutcomeUnknown, "")
	w.tap.onAsk(nil)
	w.run(12 * hour)
	w.wantState(p, psd2.StateSettled, "")
}
