package monitor_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// as is a deposit of one player over one account.
func as(id string, at time.Time, player string, amount int64) *rules.Fact {
	f := played(id, at, 1, rules.Settled, amount)
	f.Player, f.Person = player, player
	return f
}

// What comes late can make a hit graver: the officers hear of that as well,
// once, as if all had come in order.
func TestALateTransactionMakesAHitGraver(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m, now := w.monitor(nil), w.clock.Now()
		must(t, m.Observe(ctx, as("a", now, "p1", 5000)))
		must(t, m.Observe(ctx, as("c", now.Add(2*time.Minute), "p3", 5000)))
		if h := w.hits("c")["R05"]; h.Severity != rules.Low {
			t.Fatalf("two players are %s", h.Severity)
		}
		late := as("b", now.Add(time.Minute), "p2", 5000)
		for revision := range int64(3) { // and again
			late.Revision = revision + 1
			late.Amount += revision
			must(t, m.Observe(ctx, late))
		}
		if h := w.hits("c")["R05"]; h.Severity != rules.High || len(h.Evidence) != 2 {
			t.Errorf("three players are %s, on %v", h.Severity, h.Evidence)
		}
		if n := w.number(`SELECT COUNT(*) FROM compliance_hits WHERE rule = 'R05' AND object_id = 'c'`); n != 2 {
			t.Errorf("the officers have %d findings about it, want the low one and the high one", n)
		}
		if n := w.number(`SELECT severity FROM compliance_alerts WHERE family = 'shared_account'`); int64(n) != compliance.SeverityHigh {
			t.Errorf("the alert's severity is %d", n)
		}
	})
}

// One late transaction before hundreds: each of them is judged again, if not at
// once. In order or late, the same hits.
func TestALateTransactionIsSeenByHundredsAfterIt(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m, begin := w.monitor(nil), w.clock.Now()
		var facts []*rules.Fact
		for i := range 200 {
			facts = append(facts, as(fmt.Sprintf("t%03d", i), begin.Add(time.Duration(i+1)*time.Second), "p", 100))
		}
		must(t, m.Observe(ctx, facts...))
		must(t, m.Observe(ctx, as("late", begin, "p", 99000)))
		w.clock.Add(2 * time.Hour)
		_, err := m.Step(ctx, w.clock.Now())
		must(t, err)
		if n := w.number(`SELECT COUNT(*) FROM monitor_transactions WHERE decided = 0`); n == 0 || w.gauge("rialto_monitor_undecided") != 0 {
			t.Errorf("%d wait to be judged again; all have their decision, yet the metric says %v", n, w.gauge("rialto_monitor_undecided"))
		}
		must(t, w.catchUp(m))
		if n := w.number(`SELECT COUNT(*) FROM monitor_hits WHERE rule = 'R10'`); n != 190 { // from the eleventh euro on
			t.Errorf("%d hits over the month's limit, want 190", n)
		}
		if n := w.number(`SELECT COUNT(*) FROM monitor_transactions WHERE decided = 0`); n != 0 || w.gauge("rialto_monitor_undecided") != 0 {
			t.Errorf("%d are left", n)
		}
		if n := w.number(`SELECT COUNT(*) FROM monitor_decisions`); n != 201 {
			t.Errorf("%d decisions", n)
		}
	})
}

// Nobody hides the other players of an account behind many small deposits.
func TestManySmallDepositsHideNoOtherPlayer(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		for _, batch := range []bool{false, true} {
			m, begin := w.monitor(nil), w.clock.Now()
			on := func(id, player string, at time.Duration) *rules.Fact {
				f := as(fmt.Sprint(batch, id), begin.Add(at), fmt.Sprint(batch, player), 100)
				f.IBAN, f.Merchant = fmt.Sprint("i", batch), fmt.Sprint("m", batch)
				return f
			}
			var small []*rules.Fact
			for i := range 300 {
				small = append(small, on(fmt.Sprintf("t%03d", i), "loud", time.Hour+time.Duration(i)*time.Second))
			}
			first, last := []*rules.Fact{on("a", "quiet", 0), on("b", "silent", time.Minute)}, on("z", "loud", 2*time.Hour)
			if batch {
				must(t, m.Observe(ctx, append(append(first, small...), last)...))
			} else {
				must(t, m.Observe(ctx, append(first, small...)...))
				must(t, m.Observe(ctx, last))
			}
			if h, hit := w.hits(last.ID)["R05"]; !hit || h.Severity != rules.High || h.Inputs["iban_players"] != 3.0 {
				t.Errorf("batch %t: one account, three players: %v %+v", batch, hit, h)
			}
		}
	})
}

// What is read once for many transactions shows each the past that it would see
// alone, also of an account that many share, a few of them often and most of them
// once, long ago; and wherever the transactions lie.
func TestABatchSeesThePastThatEachSeesAlone(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		begin, random, m := w.clock.Now(), rand.New(rand.NewPCG(5, 20261122)), w.monitor(nil)
		var stream []*rules.Fact
		for i := range 900 {
			player := "loud"
			if n := random.IntN(400); n < 60 {
				player = fmt.Sprint("quiet", n)
			}
			f := as(fmt.Sprintf("t%04d", i), begin.Add(time.Duration(i)*10*time.Second), player, 100)
			if f.IBAN, f.Device = "shared", "phone"; random.IntN(5) == 0 {
				f.Kind = rules.Payout
			}
			stream = append(stream, f)
		}
		for part := range slices.Chunk(stream, 100) {
			must(t, m.Observe(ctx, part...))
		}
		random.Shuffle(len(stream), func(i, j int) { stream[i], stream[j] = stream[j], stream[i] })
		for name, some := range map[string][]*rules.Fact{"newest first": newestFirst(stream[:100]), "in any order": stream[100:200]} {
			together, alone, err := m.Histories(ctx, some)
			must(t, err)
			elders := 0
			for i := range some {
				elders = max(elders, len(alone[i].IBAN)-256)
				if !reflect.DeepEqual(together[i], alone[i]) {
					t.Fatalf("%s: %s sees %d of the account, alone %d", name, some[i].ID, len(together[i].IBAN), len(alone[i].IBAN))
				}
			}
			if elders < 10 {
				t.Errorf("%s: at most %d elders", name, elders)
			}
		}
	})
}

func newestFirst(list []*rules.Fact) []*rules.Fact {
	return slices.SortedFunc(slices.Values(list), func(a, b *rules.Fact) int { return b.At.Compare(a.At) })
}

// An hour is judged again when it changes after its end: a payment of its last
// minutes that is paid, or fails, later.
func TestAnHourThatChangesLaterIsJudgedAgain(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m, hour := w.monitor(nil), w.clock.Now().Truncate(time.Hour)
		refund := as("r", hour.Add(55*time.Minute), "p", 4000)
		refund.Kind, refund.SourceIBAN, refund.Status = rules.Refund, refund.IBAN, rules.Pending
		must(t, m.Observe(ctx, as("d", hour.Add(time.Minute), "p", 10000), refund))
		must(t, m.Hours(ctx, hour.Add(time.Hour)))
		if n := w.number(`SELECT COUNT(*) FROM compliance_hits WHERE rule = 'R30'`); n != 0 {
			t.Fatal("nothing was paid back yet")
		}
		refund.Status, refund.Revision = rules.Accepted, 2
		must(t, m.Observe(ctx, refund))
		for range 2 {
			must(t, m.Hours(ctx, hour.Add(time.Hour+10*time.Minute)))
		}
		if n := w.number(`SELECT COUNT(*) FROM compliance_hits WHERE rule = 'R30'`); n != 1 {
			t.Errorf("%d findings about the merchant's refunds, want 1", n)
		}
		if n := w.number(`SELECT COUNT(*) FROM monitor_hours WHERE judged = 0`); n != 0 {
			t.Errorf("%d hours stay to be judged", n)
		}
	})
}

// nearly finds that everybody is a little like somebody on a list.
type nearly struct{}

func (nearly) Screened(context.Context, string) (*rules.Screening, *rules.PEP, error) {
	return &rules.Screening{Score: 0.7}, nil, nil
}

// What is refused is reported whole: the rules that only alert as well, and the
// decision stays the gate's.
func TestARefusedDepositKeepsAllItsFindings(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.start(nil, []func(*monitor.Config){func(c *monitor.Config) { c.Profile = rules.ProfileOnlineDE }},
			[]func(*monitor.Deps){func(d *monitor.Deps) { d.Screened = nearly{} }})
		mer, err := w.db.Merchant(ctx, merchant)
		must(t, err)
		p := w.deposit(payment{player: "p1", born: "1980-01-01", amount: 200000, open: true, reference: "bitcoin"})
		v, err := m.Gate().Deposit(ctx, p, mer)
		must(t, err)
		if v.Action != rules.Block {
			t.Fatal(v.Action)
		}
		must(t, w.db.Tx(ctx, func(tx *store.Tx) error { return m.Gate().Record(tx, v) }))
		w.update(p.ID, func(p *psd2.Payment) error {
			_, err := p.Cancel(psd2.ReasonMerchantCanceled, w.clock.Now())
			return err
		})
		must(t, w.catchUp(m))
		for _, rule := range []string{"R10", "R27", "R34"} {
			if n := w.number(`SELECT COUNT(*) FROM compliance_hits WHERE rule = ? AND object_id = ?`, rule, p.ID); n != 1 {
				t.Errorf("%s: %d findings, want 1", rule, n)
			}
		}
		var action string
		must(t, w.db.Get(ctx, &action, `SELECT action FROM monitor_decisions WHERE transaction_id = ?`, p.ID))
		if score := w.number(`SELECT score FROM monitor_decisions WHERE transaction_id = ?`, p.ID); action != "BLOCK" || score != v.Judgement.Score {
			t.Errorf("decided %s with score %d, the gate said BLOCK with %d", action, score, v.Judgement.Score)
		}
	})
}

// Of what no rule hit some is drawn for the officers, with the line it came
// nearest to; which depends on its id alone, and it is drawn once.
func TestSamplesAreDrawnFromBelowTheLine(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		desk, err := compliance.NewDesk(compliance.Config{SampleEvery: 3}, compliance.Deps{Store: w.db, Keys: w.keys, Now: w.clock.Now})
		must(t, err)
		m, begin := w.start(nil, nil, []func(*monitor.Deps){func(d *monitor.Deps) { d.Samples = desk }}), w.clock.Now()
		var facts []*rules.Fact
		for i := range 60 {
			facts = append(facts, as(fmt.Sprintf("t%02d", i), begin.Add(time.Duration(i)*time.Minute), fmt.Sprint("p", i), 51000))
			facts[i].IBAN, facts[i].RegisteredAt = fmt.Sprint("i", i), &begin
		}
		word := "bitcoin"
		others := make([]*rules.Fact, 20) // failed, or hit
		for i := range others {
			others[i] = as(fmt.Sprintf("o%02d", i), begin, fmt.Sprint("po", i), 100)
			if others[i].IBAN = fmt.Sprint("io", i); i%2 == 0 {
				others[i].Status = rules.Failed
			} else {
				others[i].Keyword = &word
			}
		}
		must(t, m.Observe(ctx, append(others, facts...)...))
		drawn := w.number(`SELECT COUNT(*) FROM compliance_hits WHERE id LIKE 'sample_t%'`)
		if drawn < 10 || drawn > 30 {
			t.Errorf("%d of 60 were drawn, want a third", drawn)
		}
		if n := w.number(`SELECT COUNT(*) FROM compliance_alerts WHERE sample = 0`); n != 10 {
			t.Errorf("%d alerts that are no samples, want 10", n)
		}
		if n := w.number(`SELECT COUNT(*) FROM compliance_hits WHERE id LIKE 'sample_o%'`); n != 0 {
			t.Errorf("%d that failed or were hit are samples", n)
		}
		if n := w.number(`SELECT COUNT(*) FROM compliance_hits WHERE rule = 'R21'`); n != drawn {
			t.Errorf("%d of %d samples are of the rule they came nearest to", n, drawn)
		}
		for _, f := range facts { // everything again, changed
			f.Revision, f.Residence = 2, "DE"
		}
		must(t, m.Observe(ctx, facts...))
		if n := w.number(`SELECT COUNT(*) FROM compliance_hits WHERE id LIKE 'sample_%'`); n != drawn {
			t.Errorf("%d samples after all was judged again, %d before", n, drawn)
		}
	})
}
