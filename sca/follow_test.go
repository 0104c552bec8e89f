package sca_test

import (
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

// paid is a payment of the person's that its bank has executed, in the hub's
// own tables and journal.
func (w *world) paid(minor int64, scaStatus string) *psd2.Payment {
	w.t.Helper()
	now := w.clock.Now()
	p := &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: "mer_1", PersonID: w.person, Amount: psd2.Euro(minor),
		ExpiresAt: now.Add(15 * time.Minute), LinkHash: rand.Text(), PayerPolicy: psd2.PayerOff,
		Personal: psd2.Personal{Player: psd2.Player{Reference: "player-1"}, Payee: psd2.Party{Name: "Casino", IBAN: "DE89370400440532013000"}}}
	p.Create(now)
	must(w.t, w.db.Tx(w.t.Context(), func(tx *store.Tx) error { return tx.CreatePayment(p) }))
	attempt := psd2.NewID(psd2.PrefixAttempt, now, rand.Reader)
	w.change(p.ID, func(p *psd2.Payment) error {
		if err := p.BeginAttempt(psd2.Attempt{ID: attempt, BankID: "b", EndToEndID: psd2.NewEndToEndID(attempt), State: psd2.AttemptSubmitting}, psd2.PSU{}, now); err != nil {
			return err
		}
		return p.Initiated(attempt, "redirect", psd2.Prompt{Kind: psd2.PromptRedirect}, []byte("{}"), now)
	})
	w.change(p.ID, func(p *psd2.Payment) error {
		p.Report(attempt, psd2.Report{Status: "ACSC", SCAStatus: scaStatus}, now)
		return nil
	})
	return p
}

func (w *world) change(id string, fn func(*psd2.Payment) error) {
	w.t.Helper()
	_, err := w.db.UpdatePayment(w.t.Context(), id, fn)
	must(w.t, err)
}

// follow gives the journal its order and lets a process take it in.
func (w *world) follow(holder string) {
	w.t.Helper()
	_, err := w.db.Sequencer("test").Step(w.t.Context(), w.clock.Now())
	must(w.t, err)
	_, err = w.Follower(holder).Step(w.t.Context(), w.clock.Now())
	must(w.t, err)
}

// next is what the policy goes by for the person's next payment.
func (w *world) next(minor int64) sca.Kept {
	w.t.Helper()
	id := psd2.NewID(psd2.PrefixPayment, w.clock.Now(), rand.Reader)
	w.require(sca.PaymentFacts{PaymentID: id, PersonID: w.person, Amount: psd2.Euro(minor), CreditorIBAN: "DE89370400440532013000", Approach: "redirect"})
	list, err := w.Decisions(w.t.Context(), id)
	must(w.t, err)
	return list[0]
}

// TestHistoryCountsEachExecutedPaymentOnce: what comes again, from the same
// process or after a restart, changes nothing.
func TestHistoryCountsEachExecutedPaymentOnce(t *testing.T) {
	testkitBoth(t, func(t *testing.T, w *world) {
		w.follow("one")
		if k := w.next(2000); k.Facts.History != (sca.History{}) {
			t.Fatalf("before any payment: %+v", k.Facts.History)
		}
		w.paid(2000, psd2.SCAFinalised)
		w.clock.Add(time.Second)
		w.paid(2000, psd2.SCAExempted)
		want := sca.History{Count: 1, Sum: 2000, Same: 2, Usual: 2000}
		for _, holder := range []string{"one", "one", "two"} { // two waits for one's lease to end
			w.follow(holder)
			if k := w.next(2000); k.Facts.History != want {
				t.Fatalf("%s: %+v", holder, k.Facts.History)
			}
		}
		w.clock.Add(time.Minute)
		must(t, w.db.Tx(t.Context(), func(tx *store.Tx) error { return tx.SetCursor("sca.follow", 0) })) // all of it again
		w.follow("two")
		if k := w.next(2000); k.Facts.History != want {
			t.Errorf("after all came again: %+v", k.Facts.History)
		}
	})
}

// TestSeriesBeginsWithStrongAuthentication: RTS Art. 14(1).
func TestSeriesBeginsWithStrongAuthentication(t *testing.T) {
	w := sqlite(t)
	w.paid(2000, psd2.SCAExempted)
	w.follow("one")
	if k := w.next(2000); k.Facts.History.Same != 0 || slices.Contains(k.Decision.Exemptions, sca.Recurring) {
		t.Errorf("a series without authentication is exempt: %+v", k)
	}
	w.clock.Add(time.Second)
	w.paid(2000, psd2.SCAFinalised)
	w.clock.Add(time.Second)
	w.paid(2000, "")
	w.clock.Add(time.Minute)
	w.follow("one")
	if k := w.next(2000); k.Facts.History.Same != 2 || !slices.Contains(k.Decision.Exemptions, sca.Recurring) {
		t.Errorf("%+v", k)
	}
}

func TestRecallForFraudCountsAgainstTheRate(t *testing.T) { // RTS Art. 19
	w := sqlite(t)
	ids := []string{w.paid(10000, "").ID, w.paid(20000, "").ID, w.paid(30000, "").ID}
	w.follow("one")
	rate := func() sca.Fraud {
		t.Helper()
		f, err := w.FraudRates(t.Context(), w.clock.Now().Add(time.Second))
		must(t, err)
		return f
	}
	if f := rate(); f.Fraudulent != 0 || f.All != 60000 {
		t.Fatalf("%+v", f)
	}
	for i, code := range []string{"FRAD", "DUPL"} {
		w.change(ids[i], func(p *psd2.Payment) error { p.RecallRequested(code, w.clock.Now()); return nil })
	}
	w.change(ids[2], func(p *psd2.Payment) error { p.SentBack("FRAD", w.clock.Now()); return nil })
	for range 2 {
		w.clock.Add(time.Minute)
		w.follow("one")
		if f := rate(); f.Fraudulent != 40000 || f.All != 60000 {
			t.Fatalf("%+v", f)
		}
	}
}

// TestWhatABankTakesBackIsNotInTheHistory: operators had said that it was
// executed, its bank says it never was.
func TestWhatABankTakesBackIsNotInTheHistory(t *testing.T) {
	w := sqlite(t)
	p := w.paid(2000, "")
	w.follow("one")
	w.took(&psd2.Payment{ID: p.ID, PersonID: w.person, State: psd2.StateFailed})
	if k := w.next(2000); k.Facts.History.Usual != 0 {
		t.Errorf("%+v", k.Facts.History)
	}
}

// TestDamagedPaymentStopsNobodysHistory: one payment does not open; those of
// others are counted, and it too once it opens.
func TestDamagedPaymentStopsNobodysHistory(t *testing.T) {
	testkitBoth(t, func(t *testing.T, w *world) {
		damaged := w.paid(1000, psd2.SCAFinalised)
		w.clock.Add(time.Second)
		w.paid(2000, psd2.SCAFinalised)
		var good []byte
		must(t, w.db.Get(t.Context(), &good, `SELECT sealed FROM payments WHERE id = ?`, damaged.ID))
		seal := func(sealed []byte) {
			must(t, w.db.Tx(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE payments SET sealed = ? WHERE id = ?`, sealed, damaged.ID)
				return err
			}))
		}
		seal([]byte("damaged"))
		follower := w.Follower("one")
		follow := func() {
			t.Helper()
			_, err := w.db.Sequencer("test").Step(t.Context(), w.clock.Now())
			must(t, err)
			_, err = follower.Step(t.Context(), w.clock.Now())
			must(t, err)
		}
		follow()
		if k := w.next(2000); k.Facts.History.Same != 1 {
			t.Fatalf("the sound payment is not counted: %+v", k.Facts.History)
		}
		if list, err := w.db.Asides(t.Context(), 10); err != nil || len(list) != 1 || list[0].ObjectID != damaged.ID || list[0].Walk != "sca.follow" {
			t.Fatalf("set aside %+v, %v", list, err)
		}
		seal(good)
		w.clock.Add(time.Minute)
		follow()
		if k := w.next(1000); k.Facts.History.Same != 1 {
			t.Errorf("the mended payment is not counted: %+v", k.Facts.History)
		}
	})
}
