package hub_test

import (
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit/account"
)

// TestPayoutStaysInTheLoop: money goes to accounts this very player has paid
// from, or to one in his name that its bank confirms.
func TestPayoutStaysInTheLoop(t *testing.T) {
	w := oneTill(t)
	other := psd2.Party{Name: "Bernd Anders", IBAN: "DE75512108001245126199"}
	w.deposit("anna", 5000, anna)
	w.deposit("stranger", 5000, other) // paid by somebody else: mismatched
	w.deposit("unknown", 5000, psd2.Party{IBAN: "DE75512108001245126199"})
	player := psd2.Player{Reference: "anna", Name: "Anna Beispiel"}
	for name, c := range map[string]struct {
		r      hub.PayoutRequest
		reason string
	}{
		"own source":              {hub.PayoutRequest{Player: psd2.Player{Reference: "anna"}, SourceID: sourceOf(anna.IBAN)}, ""},
		"another player's source": {hub.PayoutRequest{Player: psd2.Player{Reference: "bernd"}, SourceID: sourceOf(anna.IBAN)}, "payment_source_not_found"},
		"mismatched source":       {hub.PayoutRequest{Player: psd2.Player{Reference: "stranger"}, SourceID: sourceOf(other.IBAN)}, "payment_source_not_found"},
		"holder unknown":          {hub.PayoutRequest{Player: psd2.Player{Reference: "unknown"}, SourceID: sourceOf(other.IBAN)}, "payment_source_not_found"},
		"no source":               {hub.PayoutRequest{Player: player}, "payee_missing"},
		"both":                    {hub.PayoutRequest{Player: player, SourceID: sourceOf(anna.IBAN), Payee: anna}, "payee_missing"},
		"own account":             {hub.PayoutRequest{Player: player, Payee: psd2.Party{Name: "Anna Beispiel", IBAN: "DE75512108001245126199"}}, ""},
		"another's account":       {hub.PayoutRequest{Player: player, Payee: other}, "own_account_required"},
		"nameless player":         {hub.PayoutRequest{Player: psd2.Player{Reference: "anna"}, Payee: anna}, "player_name_missing"},
		"no IBAN":                 {hub.PayoutRequest{Player: player, Payee: psd2.Party{Name: "Anna Beispiel", IBAN: "DE00"}}, "iban_invalid"},
	} {
		_, err := w.tryPayout(c.r)
		if c.reason == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if reasonOf(err) != c.reason {
			t.Errorf("%s: %v, want %s", name, err, c.reason)
		}
	}
}

// TestDatabaseHoldsTheLoop: even code that forgets the rule cannot pay to a
// source of somebody else.
func TestDatabaseHoldsTheLoop(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		r := w.toSource("anna")
		for player, ok := range map[string]bool{"anna": true, "bernd": false} {
			id := psd2.NewID(psd2.PrefixPayout, w.clock.Now(), rand.Reader)
			forged := &psd2.Transfer{ID: id, Kind: psd2.KindPayout, MerchantID: merchantID, PersonID: w.db.PersonID(merchantID, player),
				Amount: r.Amount, AccountID: accountID, SourceID: r.SourceID, Personal: r.Personal}
			forged.Create(w.clock.Now())
			if err := w.db.Tx(ctx, func(tx *store.Tx) error { return tx.CreateTransfer(forged) }); (err == nil) != ok {
				t.Errorf("a payout of %s to an account of anna: %v", player, err)
			}
		}
	})
}

func TestPayeesBankDecidesAboutANewAccount(t *testing.T) {
	own := hub.PayoutRequest{Player: psd2.Player{Reference: "anna", Name: "Anna Beispiel"}, Payee: psd2.Party{Name: "Anna Beispiel", IBAN: anna.IBAN}}
	for name, c := range map[string]struct {
		result   psd2.VoPResult
		err      error
		newState psd2.TransferState // to an account never paid from
		why      psd2.FailureReason
		retry    bool
		loop     psd2.TransferState // to a source
	}{
		"match":               {psd2.VoPResult{Match: psd2.MatchExact}, nil, psd2.TransferExecuted, "", false, psd2.TransferExecuted},
		"close, the player":   {psd2.VoPResult{Match: psd2.MatchClose, MatchedName: "Beispiel Anna Maria"}, nil, psd2.TransferExecuted, "", false, psd2.TransferExecuted},
		"close, another":      {psd2.VoPResult{Match: psd2.MatchClose, MatchedName: "Hanna Beispiel"}, nil, psd2.TransferFailed, psd2.ReasonOwnAccountRequired, false, psd2.TransferExecuted},
		"no match":            {psd2.VoPResult{Match: psd2.MatchNone}, nil, psd2.TransferFailed, psd2.ReasonOwnAccountRequired, false, psd2.TransferFailed},
		"not possible":        {psd2.VoPResult{Match: psd2.MatchNotPossible}, nil, psd2.TransferFailed, psd2.ReasonBankUnavailable, true, psd2.TransferExecuted},
		"service breaks down": {psd2.VoPResult{}, errors.New("down"), psd2.TransferFailed, psd2.ReasonBankUnavailable, true, psd2.TransferExecuted},
	} {
		t.Run(name, func(t *testing.T) {
			w := oneTill(t)
			w.vop.result, w.vop.err = c.result, c.err
			fresh, loop := w.payout(own), w.toSource("bernd")
			w.step()
			w.want(fresh, c.newState, c.why, c.retry)
			got, err := w.db.Transfer(ctx, loop.ID)
			if err != nil || got.State != c.loop || got.Personal.VoP == nil {
				t.Fatalf("%v %s %v", err, got.State, got.Personal.VoP)
			}
		})
	}
}

// A payout tried to somebody else's account is the gate's to judge (R02): it
// waits while the officers look, ends when they refuse it, and goes when two of
// them let it go; who allows it for want of a rule does not open the loop.
func TestGateLearnsOfAPayoutToSomebodyElse(t *testing.T) {
	own := hub.PayoutRequest{Player: psd2.Player{Reference: "anna", Name: "Anna Beispiel"}, Payee: psd2.Party{Name: "Anna Beispiel", IBAN: anna.IBAN}}
	bothTills(t, func(t *testing.T, w *till) {
		for _, said := range []psd2.VoPResult{{Match: psd2.MatchNone}, {Match: psd2.MatchClose, MatchedName: "Hanna Beispiel"}} {
			for _, c := range []struct {
				then psd2.GateDecision
				want psd2.TransferState
				why  psd2.FailureReason
			}{
				{psd2.GateReleased, psd2.TransferExecuted, ""},
				{psd2.GateRefuse, psd2.TransferFailed, psd2.ReasonPaymentNotPossible},
				{psd2.GateAllow, psd2.TransferFailed, psd2.ReasonOwnAccountRequired},
			} {
				w.vop.result = said
				w.gate.decide(psd2.GateHold, "", nil)
				out := w.payout(own)
				w.step()
				w.want(out, psd2.TransferPending, "", false)
				asked := w.gate.asked[len(w.gate.asked)-1]
				if asked.ID != out.ID || asked.VoP == nil || asked.VoP.Match != said.Match || asked.HeldAt != nil {
					t.Fatalf("%s: the gate was asked %+v", c.then, asked)
				}
				w.gate.decide(c.then, "", nil)
				w.clock.Add(2 * time.Hour)
				w.step()
				w.want(out, c.want, c.why, false)
			}
		}
	})
}

func TestRecallIsAskedOnceAndAnswered(t *testing.T) {
	recall := func(w *till, r *psd2.Transfer) error {
		return w.db.Tx(ctx, func(tx *store.Tx) error {
			_, err := w.hub.RecallIn(tx, merchantID, r.Kind, r.ID, psd2.RecallRequest)
			return err
		})
	}
	for name, c := range map[string]struct {
		answer func(*till, *psd2.Transfer)
		state  psd2.TransferState
		recall psd2.RecallState
		events string
	}{
		"refused": {func(w *till, r *psd2.Transfer) { w.account.AnswerRecall(r.EndToEndID, "refused", "CUST") }, psd2.TransferExecuted, psd2.RecallRefused,
			"created authorized executed recalled recall_refused"},
		"accepted": {func(w *till, r *psd2.Transfer) {
			w.account.AnswerRecall(r.EndToEndID, "accepted", "")
			w.account.GiveBack(r.EndToEndID, "FOCR")
		}, psd2.TransferReturned, psd2.RecallAccepted, "created authorized executed recalled returned"},
		"no answer": {func(*till, *psd2.Transfer) {}, psd2.TransferExecuted, psd2.RecallRequested, "created authorized executed recalled"},
	} {
		t.Run(name, func(t *testing.T) {
			w := oneTill(t)
			r := w.toSource("p1")
			wantReason(t, recall(w, r), "transfer_not_recallable")
			w.step()
			if err := recall(w, r); err != nil {
				t.Fatal(err)
			}
			wantReason(t, recall(w, r), "transfer_recalled")
			w.account.Next(account.Unreachable, "")
			w.run(30 * time.Second)
			w.account.Next(account.None, "")
			w.run(time.Hour)
			c.answer(w, r)
			w.run(24 * time.Hour)
			w.read()
			r = w.want(r, c.state, "", false)
			if r.Recall.State != c.recall || w.account.Calls("recall") != 2 {
				t.Fatalf("%s after %d calls", r.Recall.State, w.account.Calls("recall"))
			}
			w.wantEvents(r.ID, c.events)
		})
	}
}

func TestRecallHasItsTime(t *testing.T) {
	w := oneTill(t)
	r := w.toSource("p1")
	w.step()
	r = w.want(r, psd2.TransferExecuted, "", false)
	executed := *r.ExecutedAt // Friday, 2026-11-20
	for _, c := range []struct {
		why psd2.RecallReason
		at  time.Time
		ok  bool
	}{
		{psd2.RecallDuplicate, executed.AddDate(0, 0, 14), true}, {psd2.RecallDuplicate, executed.AddDate(0, 0, 14).Add(time.Second), false},
		{psd2.RecallFraud, executed.AddDate(0, 13, 0), true}, {psd2.RecallRequest, executed.AddDate(0, 13, 1), false},
	} {
		copied := *r
		if err := copied.AskRecall(c.why, c.at); (err == nil) != c.ok {
			t.Errorf("%s at %s: %v", c.why, c.at, err)
		}
	}
}

func TestTwoHubsSendOnce(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		p := w.deposit("p1", 10_000, anna)
		var made []*psd2.Transfer
		for range 20 {
			made = append(made, w.refund(p, 100))
		}
		hubs := []*hub.Hub{w.hub, w.newHub("till-1", w.db)} // the same holder: the lease does not keep them apart
		var wg sync.WaitGroup
		for _, h := range hubs {
			wg.Go(func() {
				if _, err := h.StepTransfers(ctx, w.clock.Now()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.run(time.Minute)
		for _, r := range made {
			r = w.want(r, psd2.TransferExecuted, "", false)
			if n := w.account.Paid(r.EndToEndID); n != 1 {
				t.Errorf("paid %d times", n)
			}
		}
		if n := w.account.Calls("pay"); n != len(made) {
			t.Errorf("%d calls", n)
		}
	})
}

func TestAccountWithoutChannelPaysNothing(t *testing.T) {
	w := oneTill(t)
	w.merchant.Accounts = append(w.merchant.Accounts, psd2.PayeeAccount{ID: "acc_00000000000000000000000002", IBAN: "DE75512108001245126199"})
	w.deposit("p1", 100, anna)
	err := w.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := w.hub.PayoutIn(tx, w.merchant, hub.PayoutRequest{Amount: psd2.Euro(1), AccountID: "acc_00000000000000000000000002", Reference: "x",
			Player: psd2.Player{Reference: "p1"}, SourceID: sourceOf(anna.IBAN)})
		return err
	})
	wantReason(t, err, "account_not_connected")
}
