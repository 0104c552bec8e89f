package hub_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// TestAnswerFromBeforeTheLapseDecidesNothing: the bank says at 19:58 that
// nobody authorised the order, its answer arrives at 20:03, and the payer
// approves in between.
func TestAnswerFromBeforeTheLapseDecidesNothing(t *testing.T) {
	w := one(t)
	p, link := w.atBank(slack)
	w.run(15*time.Minute + time.Second)
	lapse, _ := p.Attempts[0].LapsesAt()
	w.clock.Add(lapse.Sub(w.clock.Now()) - 2*time.Second)
	slow := true
	w.tap.onAsk(func(kind string, rw http.ResponseWriter, r *http.Request) bool {
		if kind != "other" || !slow { // the authorisation, asked for after the status
			return false
		}
		slow = false
		w.tap.next.ServeHTTP(rw, r)
		w.walk(link, w.customer(slack), psu.Wish{})
		w.clock.Add(5 * time.Second)
		return true
	})
	if _, err := w.hub.Refresh(ctx, p.ID); err != nil {
		t.Fatal(err)
	}
	w.tap.onAsk(nil)
	if q := w.load(p); q.State == psd2.StateFailed {
		t.Fatal("failed, and the bank executes it")
	}
	w.run(time.Minute)
	w.wantState(p, psd2.StateSettled, "")
	w.wantEvents(p, "created attempt_started authorized executed settled payer_checked creditable")
}

// TestUnreadAuthorisationIsNotAnUnusedOne: whether the payer finalised his
// authentication cannot be read when the redirect lapses.
func TestUnreadAuthorisationIsNotAnUnusedOne(t *testing.T) {
	w := one(t)
	p, _ := w.atBank(slack)
	w.tap.onAsk(func(kind string, rw http.ResponseWriter, _ *http.Request) bool {
		if kind == "other" {
			rw.WriteHeader(http.StatusBadGateway)
		}
		return kind == "other"
	})
	w.run(25 * time.Minute)
	w.wantState(p, psd2.StateOutcomeUnknown, "")
	w.tap.onAsk(nil)
	w.run(time.Hour)
	w.wantState(p, psd2.StateFailed, psd2.ReasonExpired)
}

// TestPayerIsAskedForUntilHeIsKnown: the money is there, but who paid could not
// be read; without his account there is no refund to the source.
func TestPayerIsAskedForUntilHeIsKnown(t *testing.T) {
	w := one(t)
	p, link := w.atBank(plain)
	w.pays(link)
	down := true
	w.tap.onAsk(func(kind string, rw http.ResponseWriter, _ *http.Request) bool {
		if down && kind == "other" {
			rw.WriteHeader(http.StatusBadGateway)
			return true
		}
		return false
	})
	w.returned(p)
	if q := w.wantState(p, psd2.StateSettled, ""); q.SourceID != "" {
		t.Fatal("the source is known")
	}
	down = false
	w.run(time.Minute)
	if q := w.load(p); q.SourceID == "" || q.CreditableAt == nil {
		t.Fatalf("source %q, creditable %v", q.SourceID, q.CreditableAt)
	}
	if _, _, err := w.db.Due(ctx, w.clock.Now().Add(100*time.Hour), 10); err != nil {
		t.Fatal(err)
	}
	if ids, _, _ := w.db.Due(ctx, w.clock.Now().Add(100*time.Hour), 10); len(ids) != 0 {
		t.Errorf("still due: %v", ids)
	}
}

// TestErasedPlayersDoNotHoldUpTheOthers: more payments than a step takes that
// can't be looked at, all due before the one that can.
func TestErasedPlayersDoNotHoldUpTheOthers(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		var erased []*psd2.Payment
		for range 65 {
			erased = append(erased, w.start())
		}
		w.clock.Add(16 * time.Minute)
		p, link := w.atBank(plain)
		w.pays(link)
		err := w.db.Tx(ctx, func(tx *store.Tx) error {
			for _, e := range erased {
				if _, err := tx.Exec(`DELETE FROM person_keys WHERE person_id = ?`, e.PersonID); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			w.clock.Add(20 * time.Second)
			if _, err := w.hub.Step(ctx, w.clock.Now()); err != nil && !errors.Is(err, store.ErrErased) {
				t.Fatal(err)
			}
		}
		w.wantState(p, psd2.StateSettled, "")
		if !strings.Contains(strings.Join(w.types(p), " "), "creditable") {
			t.Error("not creditable")
		}
	})
}

// TestApprovalJustAfterTheExpiryIsSoonSeen: he approves at the bank moments
// after the payment's time was over, and closes his tab.
func TestApprovalJustAfterTheExpiryIsSoonSeen(t *testing.T) {
	w := one(t)
	p, link := w.atBank(plain)
	w.run(15*time.Minute + 5*time.Second)
	w.wantState(p, psd2.StateOutcomeUnknown, "")
	w.pays(link)
	w.run(time.Minute)
	w.wantState(p, psd2.StateSettled, "")
}
