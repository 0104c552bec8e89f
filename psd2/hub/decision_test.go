package hub_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/psd2/testkit/account"
)

var (
	olga = hub.Operator{ID: "usr_olga", Name: "Olga Prüferin"}
	piet = hub.Operator{ID: "usr_piet", Name: "Piet Zweiter"}
)

func draft(objectID string, v psd2.Verdict) hub.Draft {
	return hub.Draft{ObjectID: objectID, Verdict: v, Reason: "The bank's desk confirmed it by telephone.", Evidence: "Statement 2026/117, line 4"}
}

// undecided is a payment whose bank has not said for an hour what became of it.
func (w *world) undecided() (p *psd2.Payment, link string) {
	w.t.Helper()
	p, link = w.atBank(plain)
	w.run(15*time.Minute + 5*time.Second)
	w.wantState(p, psd2.StateOutcomeUnknown, "")
	w.clock.Add(time.Hour)
	return p, link
}

func (w *world) propose(by hub.Operator, d hub.Draft) *hub.Decision {
	w.t.Helper()
	made, err := w.hub.Propose(ctx, by, d)
	if err != nil {
		w.t.Fatal(err)
	}
	return made
}

// decided is undecided with a verdict of two people.
func (w *world) decided(v psd2.Verdict) (p *psd2.Payment, link string) {
	w.t.Helper()
	p, link = w.undecided()
	d := w.propose(olga, draft(p.ID, v))
	if err := w.hub.Approve(ctx, piet, d.ID); err != nil {
		w.t.Fatal(err)
	}
	return p, link
}

// TestItTakesTwoToDecide: one proposes, another approves; nobody does both, and
// nothing happens before the second.
func TestItTakesTwoToDecide(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		p, _ := w.undecided()
		orders := w.tap.count("initiate")
		told := len(w.types(p))
		d := w.propose(olga, draft(p.ID, psd2.VerdictExecuted))
		wantReason(t, w.hub.Approve(ctx, olga, d.ID), "four_eyes")
		wantReason(t, w.hub.Return(ctx, olga, d.ID, "I have changed my mind."), "four_eyes")
		w.wantState(p, psd2.StateOutcomeUnknown, "")
		if err := w.hub.Approve(ctx, piet, d.ID); err != nil {
			t.Fatal(err)
		}
		w.wantState(p, psd2.StateExecuted, "")
		if got := strings.Join(w.types(p)[told:], " "); got != "authorized executed" {
			t.Errorf("told: %s", got)
		}
		if n := w.tap.count("initiate"); n != orders {
			t.Errorf("%d orders were sent", n-orders)
		}
		list, err := w.hub.Decisions(ctx, p.ID)
		if err != nil || len(list) != 1 || list[0].By != olga || list[0].End == nil || list[0].End.By != piet || list[0].End.Outcome != "approved" ||
			list[0].Evidence != "Statement 2026/117, line 4" {
			t.Errorf("journal %+v %v", list, err)
		}
		if n := w.metric("rialto_decisions_total"); n != 2 {
			t.Errorf("%v steps counted", n)
		}
	})
}

// TestNothingIsDecidedEarlyOrByNobody: before the deadline only the bank can;
// without a name nobody can; without a reason or evidence neither.
func TestNothingIsDecidedEarlyOrByNobody(t *testing.T) {
	w := one(t)
	p, _ := w.atBank(plain)
	_, err := w.hub.Propose(ctx, olga, draft(p.ID, psd2.VerdictExecuted))
	wantReason(t, err, "outcome_known")
	w.run(15*time.Minute + 5*time.Second)
	w.clock.Add(59 * time.Minute)
	_, err = w.hub.Propose(ctx, olga, draft(p.ID, psd2.VerdictExecuted))
	wantReason(t, err, "decision_too_early")
	w.clock.Add(2 * time.Minute)
	for reason, change := range map[string]func(*hub.Operator, *hub.Draft){
		"sign_in_needed":  func(o *hub.Operator, _ *hub.Draft) { *o = hub.Operator{} },
		"verdict_unknown": func(_ *hub.Operator, d *hub.Draft) { d.Verdict = "perhaps" },
		"text_too_short":  func(_ *hub.Operator, d *hub.Draft) { d.Evidence = " " },
		"payment_not_found": func(_ *hub.Operator, d *hub.Draft) {
			d.ObjectID = psd2.NewID(psd2.PrefixPayment, w.clock.Now(), rand.Reader)
		},
	} {
		by, d := olga, draft(p.ID, psd2.VerdictExecuted)
		change(&by, &d)
		_, err := w.hub.Propose(ctx, by, d)
		wantReason(t, err, reason)
	}
	d := w.propose(olga, draft(p.ID, psd2.VerdictExecuted))
	wantReason(t, w.hub.Approve(ctx, hub.Operator{}, d.ID), "sign_in_needed")
	wantReason(t, w.hub.Return(ctx, piet, d.ID, "no"), "text_too_short")
}

// TestTwoApproversTheLaterLearnsWhoWas: many people at two processes approve
// and return at once; one does it, and each other learns who and when.
func TestTwoApproversTheLaterLearnsWhoWas(t *testing.T) {
	run := func(t *testing.T, w *world, second *hub.Hub) {
		p, _ := w.undecided()
		var proposed atomic.Int64
		var id atomic.Value
		race(10, func(i int) {
			h := []*hub.Hub{w.hub, second}[i%2]
			d, err := h.Propose(ctx, hub.Operator{ID: fmt.Sprint("usr_", i), Name: "Somebody"}, draft(p.ID, psd2.VerdictExecuted))
			var late *hub.Overtaken
			switch {
			case err == nil:
				proposed.Add(1)
				id.Store(d.ID)
			case !errors.As(err, &late) || late.Outcome != "proposed" || late.By.ID == "" || late.At.IsZero():
				t.Errorf("propose: %v", err)
			}
		})
		if proposed.Load() != 1 {
			t.Fatalf("%d proposals wait", proposed.Load())
		}
		var ended atomic.Int64
		race(20, func(i int) {
			h, by := []*hub.Hub{w.hub, second}[i%2], hub.Operator{ID: fmt.Sprint("usr_b", i), Name: fmt.Sprint("Person ", i)}
			end := func() error { return h.Approve(ctx, by, id.Load().(string)) }
			if i%4 == 3 {
				end = func() error { return h.Return(ctx, by, id.Load().(string), "This is not the right line.") }
			}
			err := end()
			var late *hub.Overtaken
			switch {
			case err == nil:
				ended.Add(1)
			case psd2.CodeOf(err) != psd2.CodeConflict || !errors.As(err, &late) || late.By.Name == "" || late.At.IsZero():
				t.Errorf("end: %v", err)
			case strings.Contains(err.Error(), late.By.Name):
				t.Errorf("the error names somebody: %v", err)
			}
		})
		if ended.Load() != 1 {
			t.Fatalf("ended %d times", ended.Load())
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		w := one(t)
		run(t, w, w.newHub("hub-2", w.db))
	})
	t.Run("postgres", func(t *testing.T) {
		clock := testkit.NewClock()
		config := testkit.PostgresConfig(t)
		w := newWorld(t, clock, testkit.Open(t, config, clock.Now))
		run(t, w, w.newHub("hub-2", testkit.Open(t, config, clock.Now)))
	})
}

func race(n int, do func(int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

// TestReturnedProposalIsMadeAnew: what was returned was not carried out, and
// stays in the journal.
func TestReturnedProposalIsMadeAnew(t *testing.T) {
	w := one(t)
	p, _ := w.undecided()
	first := w.propose(olga, draft(p.ID, psd2.VerdictExecuted))
	if err := w.hub.Return(ctx, piet, first.ID, "The line is about another payment."); err != nil {
		t.Fatal(err)
	}
	w.wantState(p, psd2.StateOutcomeUnknown, "")
	wantReason(t, w.hub.Approve(ctx, piet, first.ID), "decision_returned")
	again := w.propose(piet, draft(p.ID, psd2.VerdictNotExecuted))
	if err := w.hub.Approve(ctx, olga, again.ID); err != nil {
		t.Fatal(err)
	}
	w.wantState(p, psd2.StateFailed, psd2.ReasonExpired)
	list, err := w.hub.Decisions(ctx, p.ID)
	if err != nil || len(list) != 2 || list[0].End.Remark != "The line is about another payment." || list[1].End.Outcome != "approved" {
		t.Errorf("%+v %v", list, err)
	}
}

// TestBankIsBelievedAfterADecision: late success and late failure, and a bank
// that agrees. What it contradicts is counted; merchants are told each change.
func TestBankIsBelievedAfterADecision(t *testing.T) {
	for name, c := range map[string]struct {
		verdict psd2.Verdict
		pays    bool // the payer does approve
		want    psd2.State
		told    string
		wrong   float64
		word    psd2.BankWord
	}{
		"executed and right":     {psd2.VerdictExecuted, true, psd2.StateSettled, "authorized executed settled payer_checked creditable", 0, psd2.BankConfirmed},
		"executed and wrong":     {psd2.VerdictExecuted, false, psd2.StateFailed, "authorized executed failed", 1, psd2.BankContradicted},
		"not executed and right": {psd2.VerdictNotExecuted, false, psd2.StateFailed, "failed", 0, psd2.BankConfirmed},
		"not executed and wrong": {psd2.VerdictNotExecuted, true, psd2.StateSettled, "failed authorized executed settled payer_checked creditable", 1, psd2.BankContradicted},
	} {
		t.Run(name, func(t *testing.T) {
			w := one(t)
			p, link := w.decided(c.verdict)
			if c.pays {
				w.pays(link)
			}
			w.run(12 * time.Hour)
			p = w.load(p)
			if p.State != c.want || p.Attempts[0].Decision.Bank != c.word {
				t.Errorf("%s, the bank has %q", p.State, p.Attempts[0].Decision.Bank)
			}
			w.wantEvents(p, "created attempt_started outcome_unknown "+c.told)
			if n := w.metric("rialto_decision_contradictions_total"); n != c.wrong {
				t.Errorf("%v contradictions counted", n)
			}
			if n := w.metric("rialto_bank_contradictions_total"); n != 0 {
				t.Errorf("the bank is blamed %v times", n)
			}
		})
	}
}

// TestAnsweredMeanwhileDecidesNothing: the bank's answer comes between the two
// people.
func TestAnsweredMeanwhileDecidesNothing(t *testing.T) {
	w := one(t)
	p, link := w.undecided()
	d := w.propose(olga, draft(p.ID, psd2.VerdictNotExecuted))
	w.pays(link)
	w.run(2 * time.Hour)
	w.wantState(p, psd2.StateSettled, "")
	wantReason(t, w.hub.Approve(ctx, piet, d.ID), "outcome_known")
	w.wantState(p, psd2.StateSettled, "")
	list, err := w.hub.Decisions(ctx, p.ID)
	if err != nil || len(list) != 1 || list[0].End != nil {
		t.Errorf("what was not carried out is written down as approved: %+v %v", list, err)
	}
}

// TestTransfersAreDecidedTheSameWay: a refund whose bank is deaf; decided as
// not executed, and then the statement shows it.
func TestTransfersAreDecidedTheSameWay(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		p := w.deposit("p1", 5000, anna)
		x := w.refund(p, 2000)
		w.account.Next(account.Arriving, "")
		w.account.Deaf(true)
		for range 5 {
			if _, err := w.hub.StepTransfers(ctx, w.clock.Now()); err != nil {
				t.Fatal(err)
			}
			w.clock.Add(10 * time.Minute)
		}
		w.clock.Add(time.Hour)
		list, err := w.hub.Undecided(ctx, 10)
		if err != nil || len(list) != 1 || list[0].ObjectID != x.ID || list[0].Amount != psd2.Euro(2000) {
			t.Fatalf("queue %+v %v", list, err)
		}
		d, err := w.hub.Propose(ctx, olga, draft(x.ID, psd2.VerdictNotExecuted))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.hub.Approve(ctx, piet, d.ID); err != nil {
			t.Fatal(err)
		}
		if x, err = w.db.Transfer(ctx, x.ID); err != nil || x.State != psd2.TransferFailed || !x.Retryable {
			t.Fatalf("%+v %v", x, err)
		}
		if q := w.load(p.ID); q.RefundedMinor != 0 {
			t.Errorf("%d cents are still taken", q.RefundedMinor)
		}
		w.account.Deaf(false)
		w.account.Arrive()
		if _, err := w.hub.StepStatements(ctx, w.clock.Now()); err != nil {
			t.Fatal(err)
		}
		if x, err = w.db.Transfer(ctx, x.ID); err != nil || x.State != psd2.TransferExecuted || !x.Decision.Contradicted() || x.Odd != 0 {
			t.Fatalf("%s %+v %v", x.State, x.Decision, err)
		}
		if n := w.account.Paid(x.EndToEndID); n != 1 {
			t.Errorf("paid %d times", n)
		}
	})
}

// TestErasureTakesWhatWasWritten: reasons and evidence are about a person; who
// decided what and when stays.
func TestErasureTakesWhatWasWritten(t *testing.T) {
	w := one(t)
	p, _ := w.decided(psd2.VerdictExecuted)
	var raw [][]byte
	if err := w.db.Select(ctx, &raw, `SELECT sealed FROM decisions`); err != nil || len(raw) != 2 {
		t.Fatal(len(raw), err)
	}
	for _, b := range raw {
		if strings.Contains(string(b), "Statement") {
			t.Error("evidence lies open in the database")
		}
	}
	if err := w.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM person_keys WHERE person_id = ?`, p.PersonID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	list, err := w.hub.Decisions(ctx, p.ID)
	if err != nil || len(list) != 1 || list[0].Reason != "" || list[0].Evidence != "" || list[0].By != olga || list[0].End.By != piet {
		t.Errorf("%+v %v", list, err)
	}
}
