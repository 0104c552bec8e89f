package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2/store"
)

// closed takes a case to an end that two officers agree on.
func (w *world) closed(c *compliance.Case, do compliance.Action) {
	w.t.Helper()
	w.do(anna, c.ID, compliance.Act{Do: compliance.Investigate})
	reason := map[compliance.Action]string{compliance.ProposeFalsePositive: "rule_too_wide", compliance.ProposeNoSuspicion: "plausible"}[do]
	w.do(anna, c.ID, compliance.Act{Do: do, Reason: reason})
	w.do(bert, c.ID, compliance.Act{Do: compliance.Approve})
}

// A case shows its player's money and hits on one axis, what he shares with
// others, and how cases like it ended.
func TestCaseShowsItsPlayer(t *testing.T) {
	w := newWorld(t)
	past := w.structuring("anton")
	w.closed(past, compliance.ProposeNoSuspicion)
	c := w.structuring("anton")
	page := w.get(anna, "/cases/"+c.ID)
	page.has(t, 200, `class="bar deposit"`, `class="mark`, `class="graph"`, "Device", `href="/cases/`+past.ID, "same person", "No suspicion")
	if n := strings.Count(page.body, `class="bar deposit"`); n != 8 {
		t.Errorf("%d deposits in the chart, want 8", n)
	}
}

func TestSnoozedCaseComesBack(t *testing.T) {
	w := newWorld(t)
	c := w.structuring("anton")
	until := w.clock.Now().AddDate(0, 0, 3).Format(time.DateOnly)
	if a := w.act(anna, c.ID, "snooze", "reason", "waiting_for_papers", "until", until); a.header.Get("Location") != "/queue" {
		t.Fatalf("snooze: %d %s", a.status, a.main())
	}
	there := func(path string) bool { return strings.Contains(w.get(bert, path).body, c.ID) }
	if there("/queue") || !there("/queue?bucket=snoozed") {
		t.Error("it does not rest")
	}
	w.clock.Add(4 * 24 * time.Hour)
	w.badges.refresh()
	_, err := w.Step(ctx, w.clock.Now())
	must(t, err)
	if !there("/queue") {
		t.Error("its rest does not end")
	}
}

func TestMissedDayIsOnTheCalendar(t *testing.T) {
	w := newWorld(t)
	for _, days := range []int{1, 3} {
		at := w.clock.Now().AddDate(0, 0, -days)
		_, err := w.RecordRun(ctx, compliance.Run{Kind: compliance.RunFull, Persons: 3, Lists: map[string]string{"un": "ab"}, StartedAt: at, EndedAt: at.Add(time.Minute)})
		must(t, err)
	}
	w.get(anna, "/runs").has(t, 200, `<li class="missed"><span class="n">18</span>`, `<li class="full"><span class="n">17</span>`, `<li class="full"><span class="n">19</span>`,
		"1 day without a complete run")
}

// Officers see what the rules leave out, and how often a rule was right.
func TestSamplesAndPrecisionAreShown(t *testing.T) {
	w := newWorld(t)
	for player, do := range map[string]compliance.Action{"a": compliance.ProposeFalsePositive, "b": compliance.ProposeFalsePositive, "c": compliance.ProposeFalsePositive,
		"d": compliance.ProposeNoSuspicion} {
		w.closed(w.structuring(player), do)
	}
	desk, err := compliance.NewDesk(compliance.Config{SampleEvery: 1}, w.Deps)
	must(t, err)
	p := w.payment("unseen", 1000)
	must(t, w.db.Tx(ctx, func(tx *store.Tx) error {
		return desk.RaiseSample(tx, compliance.Finding{ID: "low_1", EntityKind: "person", EntityKey: p.PersonID, PersonID: p.PersonID, MerchantID: merchantID, ObjectID: p.ID,
			Rule: "R08", Family: "structuring", RuleVersion: "3", Severity: 1, Score: 4, At: w.clock.Now()})
	}))
	w.badges.refresh()
	samples := w.get(anna, "/queue?samples=1")
	samples.has(t, http.StatusOK, "1 case")
	w.get(anna, "/rules").has(t, http.StatusOK, `data-test="rule"`, `width="25"`)
}
