package hub_test

import (
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/berlingroup"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
)

func TestPayerWhoNeverReturnsIsFollowedAnyway(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, link := w.atBank(plain)
		w.run(90 * time.Second)
		w.pays(link) // and closes the tab
		w.run(2 * time.Minute)
		w.wantState(p, psd2.StateSettled, "")
		w.wantEvents(p, whole)
		w.wantTransfers(p, 1)
	})
}

// B22: replayed, out of order, after the end.
func TestReplayedCallbackChangesNothingAndAsksNobody(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, link := w.atBank(plain)
		w.pays(link)
		w.returned(p)
		version, asked := w.load(p).Version, w.tap.count("status")
		for range 20 {
			w.clock.Add(time.Minute)
			w.returned(p)
		}
		if n := w.tap.count("status") - asked; n != 0 {
			t.Errorf("the bank was asked %d times about a settled payment", n)
		}
		if v := w.load(p).Version; v != version {
			t.Errorf("the payment was written %d times", v-version)
		}
		w.wantEvents(p, whole)

		p, link = w.atBank(plain) // the first attempt's callback while the second is under way
		w.pays(link, func(n *psu.NewCustomers) { n.BalanceMinor = 1 })
		w.returned(p)
		first := w.load(p).Last().ID
		link = w.toBank(p, lapsing)
		w.clock.Add(time.Second)
		asked = w.tap.count("status")
		for range 20 {
			if _, _, err := w.hub.Returned(ctx, first, nil); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.tap.count("status") - asked; n > 1 {
			t.Errorf("20 replays asked the bank %d times", n)
		}
		if p = w.load(p); p.Last().ReturnedAt != nil {
			t.Error("the payer counts as back from a bank he is still at")
		}
		w.pays(link)
		w.returned(p)
		w.wantState(p, psd2.StateSettled, "")
	})
}

func TestCallbackForAnUnknownAttemptIsNotFound(t *testing.T) {
	w := one(t)
	p, _ := w.atBank(plain)
	for _, id := range []string{"", "att_00000000000000000000000000", p.ID, p.Last().ID + " ", strings.ToUpper(p.Last().ID), p.Last().EndToEndID, "att_' OR 1=1 --"} {
		_, _, err := w.hub.Returned(ctx, id, nil)
		wantReason(t, err, "payment_not_found")
	}
	if n := w.tap.count("status"); n != 0 {
		t.Errorf("the bank was asked %d times", n)
	}
}

// B23: the callback says success, the bank says RCVD.
func TestForgedSuccessCallbackDoesNotSettle(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, _ := w.atBank(plain)
		for range 3 {
			w.returned(p)
			w.clock.Add(5 * time.Second)
		}
		w.run(10 * time.Minute)
		p = w.wantState(p, psd2.StateAuthorizing, "")
		w.wantEvents(p, "created attempt_started")
		w.wantTransfers(p, 0)
		if p.CreditableAt != nil || p.AuthorizedAt != nil {
			t.Error("it counts as paid")
		}
	})
}

// Reg. (EU) 2024/886: confirmed within ten seconds, or open. Facts about late
// confirmations: they come, and are true.
func TestConfirmationIsBelievedWheneverItComes(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for bank, c := range map[string]struct {
			atTen, atTwelve, atMinute psd2.State
			events                    string
		}{
			"late9.9s":   {psd2.StateSettled, psd2.StateSettled, psd2.StateSettled, whole},
			"late10.1s":  {psd2.StateAuthorized, psd2.StateAuthorized, psd2.StateSettled, "created attempt_started authorized payer_checked executed settled creditable"},
			"late40s":    {psd2.StateAuthorized, psd2.StateAuthorized, psd2.StateSettled, "created attempt_started authorized payer_checked outcome_unknown executed settled creditable"},
			"late-never": {psd2.StateAuthorized, psd2.StateAuthorized, psd2.StateOutcomeUnknown, "created attempt_started authorized payer_checked outcome_unknown"},
		} {
			if bank == "late9.9s" {
				c.events = "created attempt_started authorized payer_checked executed settled creditable"
			}
			p, link := w.atBank(bank)
			w.clock.Add(30 * time.Second)
			w.pays(link, late)
			w.returned(p)
			w.wantState(p, psd2.StateAuthorized, "")
			w.run(10 * time.Second)
			if s := w.load(p).State; s != c.atTen {
				t.Errorf("%s: %s after ten seconds, want %s", bank, s, c.atTen)
			}
			w.run(1900 * time.Millisecond)
			if s := w.load(p).State; s != c.atTwelve {
				t.Errorf("%s: %s within our patience, want %s", bank, s, c.atTwelve)
			}
			w.run(4 * time.Second)
			if s := w.load(p).State; (bank == "late40s" || bank == "late-never") && s != psd2.StateOutcomeUnknown {
				t.Errorf("%s: %s after our patience", bank, s)
			}
			w.run(45 * time.Second)
			w.wantState(p, c.atMinute, "")
			w.run(48 * hour)
			w.wantState(p, c.atMinute, "")
			w.wantEvents(p, c.events)
			want := 1
			if bank == "late-never" {
				want = 0
			}
			w.wantTransfers(p, want)
		}
	})
}

func TestUnknownStatusKeepsTheStateAndIsCounted(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, code := range []string{"ACTV", "PART", "XXXX", "accc"} {
			p, link := w.atBank(discreet)
			w.pays(link)
			w.tap.say("ACCC", code)
			before := w.metric("rialto_bank_unknown_status_total")
			w.returned(p)
			w.run(10 * time.Minute)
			w.wantState(p, psd2.StateAuthorizing, "")
			w.wantEvents(p, "created attempt_started")
			if n := w.metric("rialto_bank_unknown_status_total") - before; n < 5 {
				t.Errorf("%s was counted %v times", code, n)
			}
			w.tap.say("", "")
			w.run(10 * time.Minute)
			w.wantState(p, psd2.StateSettled, "")
		}
		if n := w.metric("rialto_bank_contradictions_total"); n != 0 {
			t.Errorf("%v contradictions", n)
		}
	})
}

func TestAliasOfTheProfileMakesACodeKnown(t *testing.T) {
	w := one(t)
	w.connect(plain, berlingroup.Config{StatusAliases: map[string]string{"ACTV": "ACCC"}})
	w.restart()
	p, link := w.atBank(plain)
	w.pays(link)
	w.tap.say("ACCC", "ACTV")
	w.returned(p)
	w.wantState(p, psd2.StateSettled, "")
	if n := w.metric("rialto_bank_unknown_status_total"); n != 0 {
		t.Errorf("%v unknown", n)
	}
}

func TestStatusThatGoesBackwardsIsAContradictionAndChangesNothing(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, link := w.atBank(acsc)
		w.pays(link)
		w.returned(p)
		w.wantState(p, psd2.StateExecuted, "")
		told := strings.Join(w.types(p), " ")
		for i, code := range []string{"RCVD", "ACSP", "RJCT", "CANC"} {
			w.tap.say("ACSC", code)
			w.clock.Add(5 * time.Second)
			if _, err := w.hub.Refresh(ctx, p.ID); err != nil {
				t.Fatal(err)
			}
			w.wantState(p, psd2.StateExecuted, "")
			if n := w.metric("rialto_bank_contradictions_total"); n != float64(i+1) {
				t.Errorf("after %s: %v contradictions", code, n)
			}
		}
		w.wantEvents(p, told)
		w.wantTransfers(p, 1)
	})
}

// Two who ask at once get answers in any order. The older one is no
// contradiction, and somebody's lost answer is not the bank's silence.
func TestOvertakenAnswerIsNoNews(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			name string
			lost bool
			pays bool
			want psd2.State
		}{
			{"an old RCVD after the money has moved", false, true, psd2.StateExecuted},
			{"a lost answer after another was heard", true, false, psd2.StateAuthorizing},
		} {
			p, link := w.atBank(acsc)
			w.returned(p)
			w.clock.Add(time.Minute)
			entered, open := make(chan struct{}), make(chan struct{})
			var once sync.Once
			w.tap.onAnswer(func(kind string, body []byte) []byte {
				slow := false
				if kind == "status" {
					once.Do(func() { slow = true })
				}
				if slow {
					close(entered)
					<-open
					if c.lost {
						panic(http.ErrAbortHandler)
					}
				}
				return body
			})
			done := make(chan error)
			go func() {
				_, err := w.hub.Refresh(ctx, p.ID)
				done <- err
			}()
			<-entered
			w.clock.Add(2 * time.Second)
			if c.pays {
				w.pays(link)
			}
			if _, err := w.newHub("hub-2", w.db).Refresh(ctx, p.ID); err != nil {
				t.Fatal(err)
			}
			w.wantState(p, c.want, "")
			w.clock.Add(time.Second)
			close(open)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			p = w.wantState(p, c.want, "")
			if p.Last().Odd != 0 {
				t.Errorf("%s counts as a contradiction", c.name)
			}
			w.tap.onAnswer(nil)
		}
	})
}

func TestRefreshAsksAtMostOnceASecond(t *testing.T) {
	w := one(t)
	p, _ := w.atBank(plain)
	for range 50 {
		if _, err := w.hub.Refresh(ctx, p.ID); err != nil {
			t.Fatal(err)
		}
		w.clock.Add(100 * time.Millisecond)
	}
	if n := w.tap.count("status"); n != 5 {
		t.Errorf("asked %d times in five seconds", n)
	}
}

func TestOfTwoHubsOneAsks(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, _ := w.atBank(plain)
		hubs := []*hub.Hub{w.newHub("hub-a", w.db), w.newHub("hub-b", w.db)}
		for range 5 {
			_, next, err := w.db.Due(ctx, w.clock.Now(), 1)
			if err != nil || next.IsZero() {
				t.Fatal(next, err)
			}
			now := w.clock.Add(next.Sub(w.clock.Now()))
			asked := w.tap.count("status")
			var wg sync.WaitGroup
			for _, h := range hubs {
				wg.Go(func() {
					if _, err := h.Step(ctx, now); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := w.tap.count("status") - asked; n != 1 {
				t.Errorf("asked %d times", n)
			}
		}
		w.clock.Add(2 * time.Minute) // hub-a or hub-b dies with its lease; anybody else goes on
		if _, err := w.newHub("hub-c", w.db).Step(ctx, w.clock.Now()); err != nil {
			t.Fatal(err)
		}
		if a := w.load(p).Last(); !a.AskedAt.Equal(w.clock.Now()) {
			t.Error("nobody took over")
		}
	})
}

func TestStepDoesABoundedPieceOfWorkAndSaysWhenItWantsToGoOn(t *testing.T) {
	w := one(t)
	const many = 150
	for range many {
		w.start()
	}
	if next, err := w.hub.Step(ctx, w.clock.Now()); err != nil || !next.After(w.clock.Now()) {
		t.Fatalf("nothing is due, next %s %v", next, err)
	}
	now := w.clock.Add(15 * time.Minute)
	left := many
	for i := 1; left > 0; i++ {
		next, err := w.hub.Step(ctx, now)
		if err != nil {
			t.Fatal(err)
		}
		ids, _, err := w.db.Due(ctx, now, many)
		if err != nil {
			t.Fatal(err)
		}
		did := left - len(ids)
		left = len(ids)
		if did < 1 || did > 64 || (left > 0) != !next.After(now) {
			t.Fatalf("step %d did %d, left %d, next in %s", i, did, left, next.Sub(now))
		}
	}
}

// A payment whose step fails must not keep the others from theirs.
func TestOneBrokenPaymentDoesNotStopTheOthers(t *testing.T) {
	w := one(t)
	broken, good := w.start(), w.start()
	err := w.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE payments SET sealed = ? WHERE id = ?`, []byte("damaged"), broken.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.hub.Step(ctx, w.clock.Add(15*time.Minute)); err == nil {
		t.Error("a payment that cannot be read is kept silent about")
	}
	w.wantState(good, psd2.StateFailed, psd2.ReasonExpired)
}

func TestAuthoriseWakesTheFollower(t *testing.T) {
	w := one(t)
	p := w.start()
	select {
	case <-w.hub.Wake():
		t.Fatal("awake before anything happened")
	default:
	}
	if _, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.hub.Wake():
	default:
		t.Fatal("still asleep")
	}
}
