package limits_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/limits"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// TestFollowerEndsReservationsByTheJournal: whichever process follows, and
// however often it is told.
func TestFollowerEndsReservationsByTheJournal(t *testing.T) {
	worlds(t, func(t *testing.T, w *world) {
		paid, failed, open := w.deposit(), w.deposit(), w.deposit()
		for _, p := range []*psd2.Payment{paid, failed, open} {
			_, err := w.reserve(p.ID, 10000)
			must(t, err)
		}
		attempt := psd2.NewID(psd2.PrefixAttempt, w.clock.Now(), rand.Reader)
		w.change(paid, func(p *psd2.Payment) error {
			return p.BeginAttempt(psd2.Attempt{ID: attempt, BankID: "b", EndToEndID: psd2.NewEndToEndID(attempt)}, psd2.PSU{}, w.clock.Now())
		})
		w.change(paid, func(p *psd2.Payment) error {
			return p.Initiated(attempt, "redirect", psd2.Prompt{Kind: psd2.PromptRedirect}, []byte("{}"), w.clock.Now())
		})
		w.change(paid, func(p *psd2.Payment) error {
			p.Report(attempt, psd2.Report{Status: "ACSC"}, w.clock.Now())
			return nil
		})
		w.change(failed, func(p *psd2.Payment) error {
			_, err := p.Cancel(psd2.ReasonMerchantCanceled, w.clock.Now())
			return err
		})
		for _, holder := range []string{"one", "one", "two"} {
			_, err := w.db.Sequencer("test").Step(ctx, w.clock.Now())
			must(t, err)
			_, err = w.Follower(holder).Step(ctx, w.clock.Now())
			must(t, err)
			w.clock.Add(time.Minute)
		}
		w.step()
		w.wantLeft(limits.DefaultLimit - 20000)
		for id, want := range map[string]string{paid.ID: "confirmed", failed.ID: "released", open.ID: "reserved"} {
			if got := w.service.State(id); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}

// deposit is a new payment in the hub's own tables and journal.
func (w *world) deposit() *psd2.Payment {
	w.t.Helper()
	now := w.clock.Add(time.Second)
	p := &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: "mer_1", PersonID: w.db.PersonID("mer_1", "anna"), Amount: psd2.Euro(10000),
		ExpiresAt: now.Add(time.Hour), LinkHash: rand.Text(), PayerPolicy: psd2.PayerOff,
		Personal: psd2.Personal{Player: psd2.Player{Reference: "anna"}, Payee: psd2.Party{Name: "Casino", IBAN: "DE89370400440532013000"}}}
	p.Create(now)
	must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error { return tx.CreatePayment(p) }))
	return p
}

func (w *world) change(p *psd2.Payment, fn func(*psd2.Payment) error) {
	w.t.Helper()
	_, err := w.db.UpdatePayment(ctx, p.ID, fn)
	must(w.t, err)
}
