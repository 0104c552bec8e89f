package monitor_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

var (
	anna  = compliance.Officer{ID: "ofc_anna", Name: "Anna", Roles: []compliance.Role{compliance.Analyst}, Credential: "key-anna"}
	maria = compliance.Officer{ID: "ofc_maria", Name: "Maria", Roles: []compliance.Role{compliance.MLRO}, Credential: "key-maria"}
)

// book opens the rulebook; without a time in shadow, so that tests are short.
func (w *world) book() *rulebook.Book {
	w.t.Helper()
	b, err := rulebook.Open(ctx, rulebook.Config{ShadowFor: -1}, rulebook.Deps{Store: w.db, Keys: w.keys, Audit: w.desk, History: monitor.Archive{Store: w.db}, Models: monitor.Archive{Store: w.db}})
	must(w.t, err)
	return b
}

// withBook starts a monitor that judges by a book.
func (w *world) withBook(b *rulebook.Book, change ...func(*monitor.Deps)) *monitor.Monitor {
	w.t.Helper()
	return w.start(nil, []func(*monitor.Config){func(c *monitor.Config) { c.Profile = rules.ProfileOnlineDE }},
		append(change, func(d *monitor.Deps) { d.Book = b }))
}

// shadowed drafts what is in force with another monthly limit, up to its
// shadow.
func (w *world) shadowed(b *rulebook.Book, monthLimit string) *rulebook.Set {
	w.t.Helper()
	text := strings.Replace(string(rules.ShippedText()), "  month_limit: 100000 ", "  month_limit: "+monthLimit+" ", 1)
	s, err := b.Draft(ctx, anna, []byte(text), "another limit")
	must(w.t, err)
	_, err = b.Backtest(ctx, anna, s.ID, rulebook.Span{From: w.clock.Now().Add(-time.Hour), Until: w.clock.Now().Add(time.Hour)})
	must(w.t, err)
	s, err = b.Shadow(ctx, anna, s.ID)
	must(w.t, err)
	return s
}

// Two processes, each with its own memory of what is in force: after the
// publication both judge by the new set at once, gate and consumer, and what
// was alerted before still replays.
func TestAPublicationCountsInEveryProcessAtOnce(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		a, b := w.withBook(w.book()), w.withBook(w.book())
		mer, err := w.db.Merchant(ctx, merchant)
		must(t, err)
		first := w.deposit(payment{player: "p1", born: "1980-01-01", holder: "Anna Koch", amount: 100001})
		must(t, w.catchUp(a))
		before := w.hits(first.ID)["R10"]
		open := w.deposit(payment{player: "p2", name: "Otto Beispiel", born: "1970-01-01", amount: 50000, open: true})
		for _, m := range []*monitor.Monitor{a, b} {
			if v, err := m.Gate().Deposit(ctx, open, mer); err != nil || v.Action != rules.Allow {
				t.Fatalf("before: %s %v", v.Action, err)
			}
		}
		book := w.book()
		s := w.shadowed(book, "30000")
		_, err = book.Publish(ctx, maria, s.ID)
		must(t, err)
		for i, m := range []*monitor.Monitor{a, b} {
			if v, err := m.Gate().Deposit(ctx, open, mer); err != nil || v.Action != rules.Block || v.Reason != psd2.ReasonLimitExceeded {
				t.Errorf("process %d after the publication: %s %v", i, v.Action, err)
			}
		}
		second := w.deposit(payment{player: "p3", name: "Eva Muster", born: "1975-01-01", holder: "Eva Muster", amount: 40000})
		must(t, w.catchUp(a))
		after, hit := w.hits(second.ID)["R10"]
		if !hit || after.Version == before.Version {
			t.Errorf("the consumer: hit %v, versions %s and %s", hit, before.Version, after.Version)
		}
		for _, h := range []rules.Hit{before, after} {
			stored, err := json.Marshal(h)
			must(t, err)
			if again, err := book.Replay(ctx, stored); err != nil || again.Version != h.Version {
				t.Errorf("replay: %v", err)
			}
		}
	})
}

// In shadow a set says what it would do; it raises nothing and stops nothing.
func TestASetInShadowOnlyWatches(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		book := w.book()
		m := w.withBook(book)
		mer, err := w.db.Merchant(ctx, merchant)
		must(t, err)
		s := w.shadowed(book, "30000")
		open := w.deposit(payment{player: "p2", name: "Otto Beispiel", born: "1970-01-01", amount: 50000, open: true})
		if v, err := m.Gate().Deposit(ctx, open, mer); err != nil || v.Action != rules.Allow {
			t.Errorf("the gate: %s %v", v.Action, err)
		}
		would := w.deposit(payment{player: "p1", born: "1980-01-01", holder: "Anna Koch", amount: 50000})
		w.deposit(payment{player: "p3", name: "Eva Muster", born: "1975-01-01", holder: "Eva Muster", amount: 1000, iban: ibans[1]})
		must(t, w.catchUp(m))
		if n := w.number(`SELECT COUNT(*) FROM compliance_hits`) + w.number(`SELECT COUNT(*) FROM monitor_hits`); n != 0 {
			t.Errorf("%d hits of a set in shadow", n)
		}
		var action string
		must(t, w.db.Get(ctx, &action, `SELECT action FROM monitor_decisions WHERE transaction_id = ?`, would.ID))
		if action != "ALLOW" {
			t.Errorf("decided %s", action)
		}
		r, err := book.ShadowReport(ctx, anna, s.ID)
		must(t, err)
		if r.Transactions != 2 || r.Changed != 1 || len(r.Examples) != 1 || r.Examples[0].ID != would.ID || r.Examples[0].Other != rules.Block {
			t.Errorf("report %+v", r)
		}
		// What the live rules stop never reaches the consumer: the gate notes it.
		stopped := w.deposit(payment{player: "p4", name: "Ina Probe", born: "1960-01-01", amount: 200000, open: true, iban: ibans[2]})
		v, err := m.Gate().Deposit(ctx, stopped, mer)
		must(t, err)
		must(t, w.db.Tx(ctx, func(tx *store.Tx) error { return m.Gate().Record(tx, v) }))
		if r, err = book.ShadowReport(ctx, anna, s.ID); err != nil || r.Transactions != 3 {
			t.Errorf("with what the gate stopped: %+v %v", r, err)
		}
		_, err = book.Withdraw(ctx, anna, s.ID, "enough seen")
		must(t, err)
		w.deposit(payment{player: "p5", name: "Ute Test", born: "1961-01-01", holder: "Ute Test", amount: 50000})
		must(t, w.catchUp(m))
		if n := w.number(`SELECT COUNT(*) FROM rulebook_verdicts`); n != 3 {
			t.Errorf("%d verdicts: it went on after it was withdrawn", n)
		}
	})
}

// It watches the merchants' hours too.
func TestASetInShadowWatchesTheMerchantsHours(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		book := w.book()
		m := w.withBook(book)
		text := strings.Replace(string(rules.ShippedText()), "  refund_share: 0.3\n", "  refund_share: 0.1\n", 1)
		s, err := book.Draft(ctx, anna, []byte(text), "a merchant who refunds much")
		must(t, err)
		_, err = book.Backtest(ctx, anna, s.ID, rulebook.Span{From: w.clock.Now().Add(-time.Hour), Until: w.clock.Now().Add(time.Hour)})
		must(t, err)
		_, err = book.Shadow(ctx, anna, s.ID)
		must(t, err)
		back := played("r", w.clock.Now(), 1, rules.Settled, 2000)
		back.Kind, back.SourceIBAN = rules.Refund, back.IBAN
		must(t, m.Observe(ctx, played("d", w.clock.Now().Add(-48*time.Hour), 1, rules.Settled, 10000), back))
		must(t, m.Hours(ctx, w.clock.Now().Add(time.Hour)))
		if n := w.number(`SELECT COUNT(*) FROM compliance_hits`); n != 0 {
			t.Errorf("%d hits of a set in shadow", n)
		}
		w.clock.Add(time.Minute)
		r, err := book.ShadowReport(ctx, anna, s.ID)
		must(t, err)
		if want := (rulebook.RuleVolume{Rule: "R30", Other: 1, OnlyOther: 1}); !slices.Contains(r.Rules, want) || r.Transactions != 2 {
			t.Errorf("report %+v", r)
		}
	})
}

// A set that is not what was signed changes nothing, and shows.
func TestARefusedSetLeavesTheLastInForce(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		book := w.book()
		m := w.withBook(book)
		s := w.shadowed(book, "30000")
		_, err := book.Publish(ctx, maria, s.ID)
		must(t, err)
		must(t, w.db.Tx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE rulebook_sets SET catalogue = REPLACE(catalogue, 'month_limit: 30000', 'month_limit: 10') WHERE id = ?`, s.ID)
			return err
		}))
		p := w.deposit(payment{player: "p1", born: "1980-01-01", holder: "Anna Koch", amount: 50000})
		must(t, w.catchUp(m))
		if n := len(w.hits(p.ID)); n != 0 {
			t.Errorf("%d hits by a set that was tampered with", n)
		}
		if w.gauge("rialto_monitor_rules_refused") != 1 {
			t.Error("the refusal does not show")
		}
		if _, err := monitor.New(monitor.Config{}, monitor.Deps{Store: w.db, Alerts: w.desk, Book: book}); err == nil {
			t.Error("a new process starts with it")
		}
	})
}

// When nobody can say which rules are in force, money out waits.
func TestWithoutTheRevisionTheGateFailsClosed(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.withBook(w.book())
		dead, cancel := context.WithCancel(ctx)
		cancel()
		v, err := m.Gate().Decide(dead, &rules.Fact{ID: "pot_1", At: w.clock.Now(), Kind: rules.Payout, Amount: 100})
		if err == nil || v.Action != rules.Hold {
			t.Errorf("%s %v", v.Action, err)
		}
	})
}
