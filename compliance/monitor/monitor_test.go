package monitor_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/rules/rulestest"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func databases(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) { test(t, newWorld(t, clock, db)) })
}

// Every case of every rule, through the consumer and the database.
func TestEveryRuleJudgesTheSameFromTheDatabase(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		w := newWorld(t, clock, db)
		m := w.monitor(nil, func(c *monitor.Config) { c.Profile = rules.ProfileOnlineDE })
		for i, c := range rulestest.Cases(t) {
			past, now := c.Facts(t)
			prefix := fmt.Sprintf("c%03d-", i)
			for _, f := range append(past, now) {
				apart(f, prefix)
				if f.Kind != rules.HourEnd {
					must(t, m.Observe(ctx, f))
				} else {
					must(t, m.Hours(ctx, f.At.Add(time.Hour)))
				}
			}
			j := &rules.Judgement{ID: now.ID}
			for _, h := range w.hits(now.ID) {
				j.Hits = append(j.Hits, h)
			}
			var gaps string
			if now.Kind != rules.HourEnd {
				must(t, db.Get(ctx, &gaps, `SELECT no_data FROM monitor_decisions WHERE transaction_id = ?`, now.ID))
			}
			if strings.Contains(gaps, `"`+c.Rule+`"`) {
				j.NoData = []rules.Gap{{Rule: c.Rule}}
			}
			t.Run(c.Rule+" "+c.Name, func(t *testing.T) { c.Check(t, j) })
		}
	})
}

// apart keeps the cases of one database apart.
func apart(f *rules.Fact, prefix string) {
	for _, p := range []*string{&f.ID, &f.Merchant, &f.Player, &f.Person, &f.IBAN, &f.SourceIBAN, &f.Device, &f.IP, &f.Network} {
		if *p != "" {
			*p = prefix + *p
		}
	}
}

func TestEveryTransactionGetsExactlyOneDecision(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		paid := w.deposit(payment{player: "p1", amount: 5000, holder: "Anna Koch"})
		third := w.deposit(payment{player: "p2", amount: 5000, holder: "Peter Fremd"})
		failed := w.deposit(payment{player: "p3", amount: 5000, failed: true})
		open := w.deposit(payment{player: "p4", amount: 5000, open: true})
		m := w.monitor(nil)
		must(t, w.catchUp(m))
		for id, want := range map[string]string{paid.ID: "ALLOW", third.ID: "BLOCK", failed.ID: "ALLOW"} {
			var action string
			must(t, w.db.Get(ctx, &action, `SELECT action FROM monitor_decisions WHERE transaction_id = ?`, id))
			if action != want {
				t.Errorf("decision %s, want %s", action, want)
			}
		}
		if n := w.number(`SELECT COUNT(*) FROM monitor_transactions WHERE decided = 0`); n != 1 {
			t.Errorf("%d undecided, want the open one", n)
		}
		w.clock.Add(2 * time.Hour) // nobody ever pays the open one
		must(t, w.catchUp(m))
		if n := w.number(`SELECT COUNT(*) FROM monitor_decisions WHERE transaction_id = ? AND by_sweeper = 1`, open.ID); n != 1 {
			t.Errorf("the sweeper made %d decisions, want 1", n)
		}
		if got := w.gauge("rialto_monitor_undecided"); got != 0 {
			t.Errorf("the metric says %v undecided", got)
		}
		if a, b := w.number(`SELECT COUNT(*) FROM monitor_transactions`), w.number(`SELECT COUNT(*) FROM monitor_decisions`); a != 4 || b != 4 {
			t.Errorf("%d transactions, %d decisions", a, b)
		}
	})
}

func (w *world) gauge(name string) float64 {
	w.t.Helper()
	families, err := w.metrics.Gather()
	must(w.t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	w.t.Fatalf("there is no metric %s", name)
	return 0
}

// The consumer dies at every alert in turn, after it has written; each life
// goes on where the last commit was.
func TestAKilledMonitorLosesAndDoublesNoAlert(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		for i := range 12 { // one device, changing accounts, a holder who is somebody else
			w.deposit(payment{player: fmt.Sprint("p", i%5), amount: 9000, holder: "Peter Fremd", device: "one", iban: ibans[i%3]})
		}
		w.sequence()
		lives := 0
		for budget := 0; ; budget++ {
			m := w.monitor(&dying{w.desk, budget * 3}) // one commit may hold many alerts
			err := w.catchUp(m)
			if err == nil {
				break
			}
			if !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			lives++
			w.clock.Add(20 * time.Second) // the dead one's lease runs out
		}
		hits, findings := w.number(`SELECT COUNT(*) FROM monitor_hits`), w.number(`SELECT COUNT(*) FROM compliance_hits`)
		if lives < 3 || hits == 0 || hits != findings {
			t.Fatalf("%d lives, %d hits, %d with the officers", lives, hits, findings)
		}
		looked := w.number(`SELECT SUM(looked) FROM monitor_decisions`)
		// Everything again, by a monitor that remembers nothing.
		must(t, w.db.Tx(ctx, func(tx *store.Tx) error { return tx.SetCursor("compliance.monitor", 0) }))
		w.clock.Add(time.Minute)
		must(t, w.catchUp(w.monitor(nil)))
		if again := w.number(`SELECT COUNT(*) FROM compliance_hits`); again != hits {
			t.Errorf("%d findings after redelivery, %d before", again, hits)
		}
		if n := w.number(`SELECT SUM(looked) FROM monitor_decisions`); n != looked {
			t.Errorf("judged %d times after redelivery, %d before: a known revision was judged again", n, looked)
		}
		if n := w.number(`SELECT COUNT(*) FROM monitor_decisions`); n != 12 {
			t.Errorf("%d decisions for 12 deposits", n)
		}
	})
}

var ibans = []psd2.IBAN{"DE89370400440532013000", "DE02701500001936610177", "DE34100000005745168669"}

// Two processes on one journal: one leads, and what it did is not done again.
func TestTwoMonitorsJudgeOnce(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		a, b := w.monitor(nil), w.monitor(nil)
		for i := range 6 {
			w.deposit(payment{player: fmt.Sprint("p", i), amount: 9000, holder: "Peter Fremd", device: "one"})
			must(t, w.catchUp([]*monitor.Monitor{a, b}[i%2]))
			w.clock.Add(20 * time.Second) // the lease changes hands
		}
		w.sequence()
		must(t, w.catchUp(a))
		w.clock.Add(20 * time.Second)
		must(t, w.catchUp(b))
		if h, f, d := w.number(`SELECT COUNT(*) FROM monitor_hits`), w.number(`SELECT COUNT(*) FROM compliance_hits`), w.number(`SELECT COUNT(*) FROM monitor_decisions`); h != f || d != 6 || h < 6 {
			t.Errorf("%d hits, %d findings, %d decisions", h, f, d)
		}
	})
}

// A process that does not lead leaves cursor and decisions alone, also when it
// looked at the journal before the other moved on.
func TestWhoDoesNotLeadDoesNothing(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		a, b := w.monitor(nil), w.monitor(nil)
		w.deposit(payment{player: "p1", amount: 9000, holder: "Peter Fremd"})
		must(t, w.catchUp(a))
		late := w.deposit(payment{player: "p2", amount: 9000, holder: "Peter Fremd"})
		must(t, w.catchUp(b)) // the lease is a's
		if n := w.number(`SELECT COUNT(*) FROM monitor_transactions WHERE id = ?`, late.ID); n != 0 {
			t.Error("judged without the lease")
		}
		must(t, w.catchUp(a))
		if _, hit := w.hits(late.ID)["R01"]; !hit {
			t.Error("the leader did not judge it")
		}
	})
}

// A transaction that comes late is judged, and those after it again.
func TestALateTransactionIsSeenByThoseAfterIt(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.monitor(nil)
		c := rulestest.Case{At: w.clock.Now(), Past: []string{"3h deposit 40000", "2h deposit 40000"}, Now: "deposit 40000"}
		past, now := c.Facts(t)
		must(t, m.Observe(ctx, past[0]))
		must(t, m.Observe(ctx, now))
		if _, hit := w.hits(now.ID)["R10"]; hit {
			t.Fatal("the limit was exceeded before the late one came")
		}
		must(t, m.Observe(ctx, past[1]))
		if _, hit := w.hits(now.ID)["R10"]; !hit {
			t.Error("the later one was not judged again")
		}
		if n := w.number(`SELECT looked FROM monitor_decisions WHERE transaction_id = ?`, now.ID); n != 2 {
			t.Errorf("looked at %d times, want 2", n)
		}
	})
}

// Nothing that identifies anybody is kept in the clear.
func TestNothingKeptNamesAnybody(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		w.deposit(payment{player: "playerref77", name: "Zenobia Quux", born: "1980-02-03", holder: "Yorick Fremdling", device: "devicetoken9", ip: "203.0.113.77", amount: 50000})
		must(t, w.catchUp(w.monitor(nil)))
		var kept []string
		must(t, w.db.Select(ctx, &kept, `SELECT facts || hit || no_data FROM monitor_transactions t JOIN monitor_hits h ON h.transaction_id = t.id JOIN monitor_decisions d ON d.transaction_id = t.id`))
		if len(kept) == 0 {
			t.Fatal("nothing was kept")
		}
		for _, secret := range []string{"playerref77", "Zenobia", "zenobia", "Quux", "1980-02-03", "19800203", "Yorick", "yorick", "devicetoken9", "203.0.113", "DE89370400440532013000"} {
			if strings.Contains(strings.Join(kept, ""), secret) {
				t.Errorf("%q is kept in the clear", secret)
			}
		}
	})
}

// GlüStV 2021 §6c counts a person, not a merchant's player.
func TestOnePersonIsTheSameAtAllMerchants(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		w.deposit(payment{player: "p1", name: "Jürgen Müller", born: "1980-02-03", holder: "Jürgen Müller", amount: 60000})
		second := w.deposit(payment{player: "other", name: "MUELLER Juergen", born: "1980-02-03", holder: "MUELLER Juergen", amount: 60000, iban: ibans[1]})
		third := w.deposit(payment{player: "third", name: "Jürgen Müller", born: "1981-02-03", holder: "Jürgen Müller", amount: 60000, iban: ibans[2]})
		must(t, w.catchUp(w.monitor(nil)))
		if _, hit := w.hits(second.ID)["R10"]; !hit {
			t.Error("the same person at another account is not counted together")
		}
		if _, hit := w.hits(third.ID)["R10"]; hit {
			t.Error("another birth date is another person")
		}
	})
}

// TestDamagedOrderStopsNobodysMonitoring: one that does not open is set aside,
// all others are judged, and it is once it opens.
func TestDamagedOrderStopsNobodysMonitoring(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.monitor(nil)
		p := w.deposit(payment{player: "p1", amount: 5000})
		var good []byte
		must(t, w.db.Get(ctx, &good, `SELECT sealed FROM payments WHERE id = ?`, p.ID))
		seal := func(sealed []byte) {
			must(t, w.db.Tx(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE payments SET sealed = ? WHERE id = ?`, sealed, p.ID)
				return err
			}))
		}
		seal([]byte("damaged"))
		w.deposit(payment{player: "p2", amount: 5000})
		must(t, w.catchUp(m))
		judged := func(want int) {
			t.Helper()
			if n := w.number(`SELECT COUNT(*) FROM monitor_decisions`); n != want {
				t.Fatalf("%d judged, want %d", n, want)
			}
		}
		judged(1)
		if list, err := w.db.Asides(ctx, 10); err != nil || len(list) != 1 || list[0].ObjectID != p.ID {
			t.Fatalf("set aside: %+v, %v", list, err)
		}
		w.clock.Add(2 * time.Minute)
		must(t, w.catchUp(m))
		judged(1)
		undecided := func(want float64) {
			t.Helper()
			w.clock.Add(2 * time.Hour)
			must(t, w.catchUp(m))
			if got := w.gauge("rialto_monitor_undecided"); got != want {
				t.Errorf("the metric says %v undecided, want %v", got, want)
			}
		}
		undecided(1)
		seal(good)
		undecided(0)
		judged(2)
		if list, err := w.db.Asides(ctx, 10); err != nil || len(list) != 0 {
			t.Errorf("still aside: %+v, %v", list, err)
		}
	})
}
