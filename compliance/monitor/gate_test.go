package monitor_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/rules/rulestest"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// What compliance decides is payment_not_possible; only the player's own
// business has a name.
func TestTheGateSaysOnlyWhatMayBeSaid(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.monitor(nil, func(c *monitor.Config) { c.Profile = rules.ProfileOnlineDE })
		for _, c := range []struct {
			now    string
			action rules.Action
			reason psd2.FailureReason
		}{
			{"deposit 5000", rules.Allow, ""},
			{"deposit 5000 match=0.1", rules.Block, psd2.ReasonOwnAccountRequired},
			{"deposit 5000 kyc=pending registered=100h", rules.Block, psd2.ReasonKYCRequired},
			{"deposit 100001", rules.Block, psd2.ReasonLimitExceeded},
			{"deposit 5000 sanctions=0.97 agrees=true", rules.Block, psd2.ReasonPaymentNotPossible},
			{"deposit 5000 match=0.1 sanctions=0.97 agrees=true", rules.Block, psd2.ReasonPaymentNotPossible},
			{"deposit 5000 ip_country=KP", rules.Allow, ""}, // an alert, after the fact
			{"deposit 5000 ip_country=FR residence=PL", rules.StepUp, ""},
			{"payout 5000 vop=NMTC", rules.Hold, ""},
			{"payout 5000 mule=true", rules.Hold, ""},
		} {
			_, f := rulestest.Case{At: w.clock.Now(), Now: c.now}.Facts(t)
			v, err := m.Gate().Decide(ctx, f)
			if err != nil || v.Action != c.action || v.Reason != c.reason {
				t.Errorf("%s: %s %q %v, want %s %q", c.now, v.Action, v.Reason, err, c.action, c.reason)
			}
		}
	})
}

// What raises the payer's authentication are the rules that ask for it. An alert
// must not: he would notice it, so it is quiet.
func TestOnlyRulesThatAskForMoreRaiseTheAuthentication(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.monitor(nil, func(c *monitor.Config) { c.Profile = rules.ProfileOnlineDE })
		for _, c := range []struct {
			now      string
			score    bool
			families string
			quiet    bool
		}{
			{"deposit 5000", false, "", false},
			{"deposit 5000 ip_country=FR residence=PL", true, "geography", false},
			{"deposit 5000 ip_country=KP", false, "", true},
		} {
			_, f := rulestest.Case{At: w.clock.Now(), Now: c.now}.Facts(t)
			v, err := m.Gate().Decide(ctx, f)
			must(t, err)
			score, families, quiet := v.Risk()
			if (score > 0) != c.score || strings.Join(families, " ") != c.families || quiet != c.quiet {
				t.Errorf("%s: %d %v %v, hits %+v", c.now, score, families, quiet, v.Judgement.Hits)
			}
		}
		if score, families, quiet := (monitor.Verdict{}).Risk(); score != 0 || families != nil || quiet {
			t.Error("a verdict without a judgement has a risk")
		}
	})
}

// The gate sees what the consumer remembers.
func TestTheGateCountsWhatWasPaidBefore(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		w.deposit(payment{player: "p1", born: "1980-01-01", holder: "Anna Koch", amount: 60000})
		m := w.monitor(nil, func(c *monitor.Config) { c.Profile = rules.ProfileOnlineDE })
		must(t, w.catchUp(m))
		mer, err := w.db.Merchant(ctx, merchant)
		must(t, err)
		w.clock.Add(time.Minute) // not a burst
		for amount, want := range map[int64]rules.Action{40000: rules.Allow, 40001: rules.Block} {
			p := w.deposit(payment{player: "p1", born: "1980-01-01", amount: amount, open: true})
			v, err := m.Gate().Deposit(ctx, p, mer)
			must(t, err)
			if v.Action != want {
				t.Errorf("%d cents: %s, want %s", amount, v.Action, want)
			}
		}
	})
}

func TestTheGateFailsClosedForMoneyOut(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		dead, cancel := context.WithCancel(ctx)
		cancel()
		for open, want := range map[bool]rules.Action{false: rules.Block, true: rules.Allow} {
			g := w.monitor(nil, func(c *monitor.Config) { c.DepositsFailOpen = open }).Gate()
			_, in := rulestest.Case{At: w.clock.Now(), Now: "deposit 5000"}.Facts(t)
			_, out := rulestest.Case{At: w.clock.Now(), Now: "payout 5000"}.Facts(t)
			if v, err := g.Decide(dead, in); err == nil || v.Action != want {
				t.Errorf("deposit, open %v: %s %v, want %s and an error", open, v.Action, err, want)
			}
			if v, err := g.Decide(dead, out); err == nil || v.Action != rules.Hold {
				t.Errorf("payout: %s %v, want HOLD and an error", v.Action, err)
			}
		}
	})
}

// What the gate stops is with the officers once, though the journal tells of
// the payment later.
func TestWhatTheGateStopsIsRecordedOnce(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.monitor(nil, func(c *monitor.Config) { c.Profile = rules.ProfileOnlineDE })
		mer, err := w.db.Merchant(ctx, merchant)
		must(t, err)
		p := w.deposit(payment{player: "p1", born: "1980-01-01", amount: 200000, open: true})
		v, err := m.Gate().Deposit(ctx, p, mer)
		must(t, err)
		for range 2 {
			must(t, w.db.Tx(ctx, func(tx *store.Tx) error { return m.Gate().Record(tx, v) }))
		}
		w.update(p.ID, func(p *psd2.Payment) error {
			_, err := p.Cancel(psd2.ReasonMerchantCanceled, w.clock.Now())
			return err
		})
		must(t, w.catchUp(m))
		if n := w.number(`SELECT COUNT(*) FROM compliance_hits`); n != 1 {
			t.Errorf("%d findings, want 1", n)
		}
	})
}

// A payout is judged by the deposit just before it, however far behind the
// journal's reader is: who has paid in and plays nothing is not let go because
// his deposit is not known yet, and nobody is held for an account that is.
func TestPayoutIsJudgedByTheDepositBeforeIt(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m, none := w.monitor(nil, func(c *monitor.Config) { c.Profile = rules.ProfileOnlineDE }), int64(0)
		payout := func(p *psd2.Payment, stake *int64) *psd2.Transfer {
			now := w.clock.Add(time.Second)
			x := &psd2.Transfer{ID: psd2.NewID(psd2.PrefixPayout, now, rand.Reader), Kind: psd2.KindPayout, MerchantID: merchant, PersonID: p.PersonID,
				Amount: p.Amount, AccountID: "acc_1", PaymentID: p.ID,
				Personal: psd2.TransferPersonal{Reference: "Auszahlung", Player: p.Personal.Player, Payee: p.Personal.Source}}
			x.Personal.Player.StakeMinorSinceLastPayout = stake
			x.Create(now)
			must(t, w.db.Tx(ctx, func(tx *store.Tx) error { return tx.CreateTransfer(x) }))
			return x
		}
		w.deposit(payment{player: "quick", amount: 1000}) // his account is known
		must(t, w.catchUp(m))
		w.clock.Add(48 * time.Hour)
		quick := payout(w.deposit(payment{player: "quick", amount: 5000}), &none)
		plain := payout(w.deposit(payment{player: "plain", amount: 5000, iban: "DE02120300000000202051"}), nil)
		wait := func(when string) {
			for _, x := range []*psd2.Transfer{quick, plain} {
				if v, err := m.Gate().Transfer(ctx, x); !errors.Is(err, monitor.ErrBehind) || v.Action != rules.Hold {
					t.Errorf("%s: %s %v", when, v.Action, err)
				}
			}
		}
		wait("just made")
		w.sequence()
		wait("not read yet")
		must(t, w.catchUp(m))
		if v, err := m.Gate().Transfer(ctx, quick); err != nil || v.Action != rules.Hold || v.FirstRule() != "R12" {
			t.Errorf("paid in and out: %s by %q, %v", v.Action, v.FirstRule(), err)
		}
		if v, err := m.Gate().Transfer(ctx, plain); err != nil || v.Action != rules.Allow {
			t.Errorf("to the account he paid from: %s by %q, %v", v.Action, v.FirstRule(), err)
		}
		_, err := w.db.UpdatePayment(ctx, quick.PaymentID, func(p *psd2.Payment) error { // what it follows goes on
			p.SentBack("AC04", w.clock.Now())
			return nil
		})
		must(t, err)
		if _, err := m.Gate().Transfer(ctx, quick); !errors.Is(err, monitor.ErrBehind) {
			t.Errorf("when its deposit has changed: %v", err)
		}
	})
}
