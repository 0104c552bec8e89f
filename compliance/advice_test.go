package compliance_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// decided raises an alert whose rule counted n, and ends it.
func (w *world) decided(n int, outcome compliance.Action) {
	w.t.Helper()
	person := fmt.Sprintf("psn_%d", w.hits.Add(1))
	c := w.raise(finding(func(f *compliance.Finding) {
		f.EntityKey, f.PersonID, f.ObjectID = person, person, "pay_"+person
		f.Inputs = counted(n)
	}))
	w.end(c, outcome)
}

func counted(n int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"when":"n_24h >= limit.threshold_count && sum_24h >= limit.threshold","inputs":{"n_24h":%d,"sum_24h":900000}}`, n))
}

func (w *world) end(c *compliance.Case, outcome compliance.Action) {
	w.t.Helper()
	w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: anna})
	w.do(c.ID, compliance.Act{Do: outcome, By: anna})
	w.do(c.ID, compliance.Act{Do: compliance.Approve, By: bert})
}

func TestThresholdIsSuggestedFromOutcomes(t *testing.T) {
	bothWorlds(t, func(t *testing.T, w *world) {
		since := w.clock.Now().Add(-time.Hour)
		advise := func() compliance.Advice {
			t.Helper()
			got, err := w.Advise(ctx, maria, since)
			must(t, err)
			return got["R08"]
		}
		for i := range 19 { // 13 false positives count 3 or 4; what was worth it begins at 6
			if i%3 == 2 {
				w.decided(6+i%2, compliance.ProposeNoSuspicion)
			} else {
				w.decided(3+i%2, compliance.ProposeFalsePositive)
			}
		}
		if a := advise(); a.Rule != "" {
			t.Errorf("advice from too few: %+v", a)
		}
		w.decided(9, compliance.ProposeFalsePositive)
		a := advise()
		if a.Limit != "threshold_count" || a.Input != "n_24h" || !a.Above || a.Value != 6 || a.Drops != 13 || a.FalsePositives != 14 || a.Worth != 6 {
			t.Errorf("advice %+v", a)
		}
		w.decided(3, compliance.ProposeNoSuspicion) // one that only the low line catches
		if a := advise(); a.Rule != "" {
			t.Errorf("the advice would lose an alert that was worth it: %+v", a)
		}
	})
}

func TestSamplesBelowTheLineLowerIt(t *testing.T) {
	w := sqliteWorld(t, func(c *compliance.Config) { c.SampleEvery = 1 })
	for i, n := range []int{2, 1, 2} {
		f := finding(func(f *compliance.Finding) {
			person := fmt.Sprintf("psn_s%d", i)
			f.ID, f.EntityKey, f.PersonID, f.At, f.Inputs = "hit_"+person, person, person, w.clock.Now(), counted(n)
		})
		must(t, w.db.Tx(ctx, func(tx *store.Tx) error { return w.RaiseSample(tx, f) }))
		var id string
		must(t, w.db.Get(ctx, &id, `SELECT id FROM compliance_cases WHERE person_id = ?`, f.PersonID))
		outcome := compliance.ProposeNoSuspicion
		if n == 1 {
			outcome = compliance.ProposeFalsePositive
		}
		w.end(w.load(id), outcome)
	}
	got, err := w.Advise(ctx, maria, w.clock.Now().Add(-time.Hour))
	must(t, err)
	if a := got["R08"]; a.Limit != "threshold_count" || a.Value != 2 || a.Catches != 2 || a.Missed != 2 {
		t.Errorf("advice %+v", a)
	}
}

func TestGravestOutcomeOfATransactionCounts(t *testing.T) {
	w := sqliteWorld(t)
	p := w.deposit("anton", psd2.StateSettled)
	w.end(w.raise(about(p)), compliance.ProposeNoSuspicion)
	later := about(p)
	later.ID, later.Family, later.Rule = "hit_later", "velocity", "R14"
	w.end(w.raise(later), compliance.ProposeFalsePositive)
	got, err := w.OutcomesOf(ctx, []string{p.ID, "pay_other"})
	if err != nil || len(got) != 1 || got[p.ID] != compliance.OutcomeNoSuspicion {
		t.Errorf("%v, %v", got, err)
	}
}
