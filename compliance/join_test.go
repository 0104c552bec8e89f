package compliance_test

import (
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
)

// of is a finding about a person, of a rule.
func of(person, rule, family string, severity, score int64) compliance.Finding {
	return finding(func(f *compliance.Finding) {
		f.PersonID, f.EntityKey, f.Rule, f.Family, f.Severity, f.Score = person, person, rule, family, severity, score
	})
}

func TestJoinedCasesAreOneMatter(t *testing.T) {
	bothWorlds(t, func(t *testing.T, w *world) {
		first := w.raise(of("psn_a", "R08", "structuring", 2, 40))
		w.clock.Add(time.Hour)
		second := w.raise(of("psn_b", "R05", "accounts", 4, 90))
		w.do(second.ID, compliance.Act{Do: compliance.Take, By: bert})
		_, err := w.try(second.ID, compliance.Act{Do: compliance.Join, By: anna, Into: first.ID})
		refused(t, err, psd2.CodeConflict, "Bert Buchfink")
		_, err = w.try(first.ID, compliance.Act{Do: compliance.Join, By: anna, Into: second.ID})
		refused(t, err, psd2.CodeConflict, "Bert Buchfink")
		_, err = w.try(first.ID, compliance.Act{Do: compliance.Join, By: bert, Into: first.ID})
		refused(t, err, psd2.CodeInvalid, "join_unknown")
		whole := w.do(second.ID, compliance.Act{Do: compliance.Join, By: bert, Into: first.ID})
		if whole.ID != first.ID || whole.Alerts != 2 || whole.Severity != 4 || whole.Score != 90 || whole.Rule != "R05" {
			t.Errorf("the whole: %+v", whole)
		}
		gone := w.load(second.ID)
		if gone.State != compliance.Closed || gone.Outcome != compliance.OutcomeJoined || gone.JoinedTo != first.ID {
			t.Errorf("the joined one: %s %s %s", gone.State, gone.Outcome, gone.JoinedTo)
		}
		_, err = w.try(second.ID, compliance.Act{Do: compliance.Reopen, By: bert})
		refused(t, err, psd2.CodeConflict, "case_joined")
		if c := w.raise(of("psn_b", "R14", "velocity", 2, 30)); c.ID != first.ID {
			t.Errorf("what is new about the second person went to %s", c.ID)
		}

		// Both people's data is kept while the one case is open, and both are held
		// when it is reported.
		w.clock.Add(6 * 365 * 24 * time.Hour)
		refused(t, w.Erase(ctx, admin, "psn_b", "asked for it"), psd2.CodeConflict, "9999")
		_, err = w.Step(ctx, w.clock.Now())
		must(t, err)
		alerts, err := w.AlertsOf(ctx, first.ID)
		must(t, err)
		for _, a := range alerts {
			hits, err := w.HitsOf(ctx, a, 10)
			must(t, err)
			if hits[0].Inputs == nil {
				t.Errorf("what %s saw was erased while its case is open", a.ID)
			}
		}
		w.reported(w.load(first.ID))
		if !w.held("psn_a", "pot_8") || !w.held("psn_b", "pot_9") {
			t.Error("the report holds only one of the two")
		}
	})
}

func TestCaseWithAReportIsNotJoinedAway(t *testing.T) {
	w := sqliteWorld(t)
	first, second := w.raise(of("psn_a", "R08", "structuring", 2, 40)), w.raise(of("psn_b", "R05", "accounts", 4, 90))
	w.do(second.ID, compliance.Act{Do: compliance.Investigate, By: maria})
	must(t, w.SaveReport(ctx, maria, second.ID, sandboxProfile(), completeReport()))
	_, err := w.try(second.ID, compliance.Act{Do: compliance.Join, By: maria, Into: first.ID})
	refused(t, err, psd2.CodeConflict, "case_has_report")
	if got := w.load(second.ID); got.Alerts != 1 || got.State != compliance.Investigating {
		t.Errorf("half of a join was done: %+v", got)
	}
}

func TestSplitCaseIsTwoMatters(t *testing.T) {
	bothWorlds(t, func(t *testing.T, w *world) {
		c := w.raise(of("psn_a", "R08", "structuring", 2, 40))
		w.raise(of("psn_a", "R27", "screening", 4, 95))
		w.raise(of("psn_a", "R14", "velocity", 3, 60))
		alerts, err := w.AlertsOf(ctx, c.ID) // weightiest first
		must(t, err)
		w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: anna})
		every := []string{alerts[0].ID, alerts[1].ID, alerts[2].ID}
		for reason, ids := range map[string][]string{"split_none": nil, "split_all": every, "split_unknown": {"alr_of_another"}} {
			_, err := w.try(c.ID, compliance.Act{Do: compliance.Split, By: anna, Alerts: ids})
			refused(t, err, psd2.CodeInvalid, reason)
		}
		part := w.do(c.ID, compliance.Act{Do: compliance.Split, By: anna, Alerts: every[:1]})
		rest := w.load(c.ID)
		if part.ID == c.ID || part.State != compliance.Investigating || part.Rule != "R27" || part.Severity != 4 || part.Alerts != 1 || part.PersonID != "psn_a" {
			t.Errorf("the part: %+v", part)
		}
		if rest.Rule != "R14" || rest.Severity != 3 || rest.Score != 60 || rest.Alerts != 2 {
			t.Errorf("the rest: %+v", rest)
		}
		w.raise(of("psn_a", "R27", "screening", 4, 95)) // goes where its alert went
		if got, err := w.AlertsOf(ctx, part.ID); err != nil || len(got) != 1 || got[0].HitCount != 2 {
			t.Errorf("alerts of the part: %+v %v", got, err)
		}
		for _, id := range []string{part.ID, c.ID} {
			lines, err := w.History(ctx, id, 1)
			must(t, err)
			if lines[0].Action == "alert.hit" {
				lines, err = w.History(ctx, id, 2)
				must(t, err)
				lines = lines[1:]
			}
			if other := lines[0].Value("case"); other != part.ID && other != c.ID || other == id {
				t.Errorf("the history of %s does not name the other case: %+v", id, lines[0])
			}
		}
	})
}
