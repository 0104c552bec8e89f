package compliance_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// arrows is the machine as the package comment draws it, written a second time
// as its model: action → states it leaves → state it leads to ("" stays).
var arrows = map[compliance.Action]map[compliance.State]compliance.State{
	compliance.Take:                 {"new": "triaged", "triaged": "", "investigating": "", "awaiting_info": ""},
	compliance.Assign:               {"new": "triaged", "triaged": "", "investigating": "", "awaiting_info": ""},
	compliance.Investigate:          {"new": "investigating", "triaged": "investigating", "awaiting_info": "investigating"},
	compliance.AskInfo:              {"investigating": "awaiting_info"},
	compliance.ProposeFalsePositive: {"investigating": "proposed_false_positive", "awaiting_info": "proposed_false_positive"},
	compliance.ProposeNoSuspicion:   {"investigating": "proposed_no_suspicion", "awaiting_info": "proposed_no_suspicion"},
	compliance.ProposeSAR:           {"investigating": "proposed_sar", "awaiting_info": "proposed_sar"},
	compliance.Return:               {"proposed_false_positive": "investigating", "proposed_no_suspicion": "investigating", "proposed_sar": "investigating"},
	compliance.Withdraw:             {"proposed_false_positive": "investigating", "proposed_no_suspicion": "investigating", "proposed_sar": "investigating"},
	compliance.Approve:              {"proposed_false_positive": "closed", "proposed_no_suspicion": "closed", "proposed_sar": "sar_exported"},
	compliance.File:                 {"sar_exported": "sar_filed"},
	compliance.Release:              {"sar_filed": "released"},
	compliance.Block:                {"sar_filed": "blocked"},
	compliance.Reopen:               {"closed": "investigating", "released": "investigating", "blocked": "investigating"},
}

// TestMachineIsTheOneDrawn throws every action of every officer at a case and
// compares with the model: who, from where, to where, and with whose eyes.
func TestMachineIsTheOneDrawn(t *testing.T) { // D01
	officers := []compliance.Officer{anna, bert, maria, moritz, admin}
	rapid.Check(t, func(t *rapid.T) {
		c := &compliance.Case{ID: "cas_1", State: compliance.New, Version: 1, Severity: 2}
		now := testkit.NewClock().Now()
		var proposer string
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "minutes")) * time.Minute)
			do := rapid.SampledFrom(keys(arrows)).Draw(t, "do")
			by := rapid.SampledFrom(officers).Draw(t, "by")
			before := *c
			err := c.Do(compliance.Act{Do: do, By: by, Version: c.Version, Reason: "other", Note: "some words", To: maria, Reference: "FIU-1"}, now)
			to, allowed := arrows[do][before.State]
			if to == "" {
				to = before.State
			}
			mlroOnly := before.State.Restricted() || do == compliance.ProposeSAR || do == compliance.File || do == compliance.Release || do == compliance.Block
			allowed = allowed && (by.Has(compliance.MLRO) || by.Has(compliance.Analyst) && !mlroOnly)
			locked := before.LockedBy != "" && before.LockedBy != by.ID && now.Before(before.LockedUntil)
			allowed = allowed && !locked
			switch do {
			case compliance.Approve, compliance.Return:
				allowed = allowed && proposer != by.ID
			case compliance.Withdraw:
				allowed = allowed && proposer == by.ID
			}
			if allowed != (err == nil) {
				t.Fatalf("%s of %s in %s (locked by %q): %v", do, by.ID, before.State, before.LockedBy, err)
			}
			if err != nil {
				if c.State != before.State || c.Proposal.By != before.Proposal.By {
					t.Fatalf("a refused action changed the case")
				}
				continue
			}
			if c.State != to {
				t.Fatalf("%s in %s led to %s, not %s", do, before.State, c.State, to)
			}
			if c.State.Proposed() {
				proposer = by.ID
			}
			if c.State.Ended() == c.ClosedAt.IsZero() {
				t.Fatalf("state %s with closed at %v", c.State, c.ClosedAt)
			}
		}
	})
}

func keys(m map[compliance.Action]map[compliance.State]compliance.State) []compliance.Action {
	var list []compliance.Action
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

func TestOnePairOfEyesIsNotTwo(t *testing.T) { // D01
	w := sqliteWorld(t)
	c := w.raise(finding())
	w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: anna})
	w.do(c.ID, compliance.Act{Do: compliance.ProposeFalsePositive, By: anna})
	_, err := w.try(c.ID, compliance.Act{Do: compliance.Approve, By: anna})
	refused(t, err, psd2.CodeForbidden, "same_person")
	second := anna
	second.Credential = "another session's key"
	_, err = w.try(c.ID, compliance.Act{Do: compliance.Approve, By: second})
	refused(t, err, psd2.CodeForbidden, "same_person")
	borrowed := bert
	borrowed.Credential = anna.Credential
	_, err = w.try(c.ID, compliance.Act{Do: compliance.Approve, By: borrowed})
	refused(t, err, psd2.CodeForbidden, "same_person")
	if got := w.do(c.ID, compliance.Act{Do: compliance.Approve, By: bert}); got.State != compliance.Closed || got.Outcome != compliance.OutcomeFalsePositive {
		t.Errorf("approved by a second person: %s %s", got.State, got.Outcome)
	}
}

func TestRaceOfTwoOfficersNamesTheFirst(t *testing.T) { // D06
	bothWorlds(t, func(t *testing.T, w *world) {
		c := w.raise(finding())
		w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: anna})
		c = w.do(c.ID, compliance.Act{Do: compliance.ProposeNoSuspicion, By: anna})
		var errs [2]error
		var wait sync.WaitGroup
		for i, o := range []compliance.Officer{bert, maria} {
			wait.Go(func() {
				_, errs[i] = w.Act(ctx, c.ID, compliance.Act{Do: compliance.Approve, By: o, Version: c.Version})
			})
		}
		wait.Wait()
		first, second := "Bert Buchfink", errs[1]
		if errs[1] == nil {
			first, second = "Maria Meise", errs[0]
		}
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("both or none decided: %v", errs)
		}
		refused(t, second, psd2.CodeConflict, "changed by "+first+" at "+w.clock.Now().Format(time.RFC3339))
	})
}

func TestNewHitSendsTheApproverBackToLook(t *testing.T) { // D06
	w := sqliteWorld(t)
	c := w.raise(finding())
	w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: anna})
	seen := w.do(c.ID, compliance.Act{Do: compliance.ProposeFalsePositive, By: anna})
	w.raise(finding())
	_, err := w.Act(ctx, c.ID, compliance.Act{Do: compliance.Approve, By: bert, Version: seen.Version})
	refused(t, err, psd2.CodeConflict, "the system")
}

func TestLockKeepsColleaguesOut(t *testing.T) {
	w := sqliteWorld(t)
	c := w.raise(finding())
	w.do(c.ID, compliance.Act{Do: compliance.Take, By: anna})
	_, err := w.try(c.ID, compliance.Act{Do: compliance.Investigate, By: bert})
	refused(t, err, psd2.CodeConflict, "Anna Amsel is working on this case")
	w.do(c.ID, compliance.Act{Do: compliance.Note, By: bert}) // a word in passing is welcome
	if got := w.load(c.ID); got.LockedBy != anna.ID {
		t.Errorf("a colleague's note took the lock: %q", got.LockedBy)
	}
	w.clock.Add(16 * time.Minute)
	w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: bert})
}

func TestNextGivesEveryCaseToOne(t *testing.T) {
	bothWorlds(t, func(t *testing.T, w *world) {
		for _, p := range []string{"psn_a", "psn_b"} {
			w.raise(finding(func(f *compliance.Finding) { f.PersonID, f.EntityKey = p, p }))
		}
		first, err := w.Next(ctx, anna)
		must(t, err)
		second, err := w.Next(ctx, bert)
		must(t, err)
		third, err := w.Next(ctx, maria)
		must(t, err)
		if first == nil || second == nil || first.ID == second.ID || third != nil {
			t.Errorf("got %v, %v, %v", first, second, third)
		}
	})
}

func TestSnoozeEnds(t *testing.T) {
	w := sqliteWorld(t)
	c := w.raise(finding())
	_, err := w.try(c.ID, compliance.Act{Do: compliance.Snooze, By: anna, Until: w.clock.Now().Add(compliance.MaxSnooze + time.Second)})
	refused(t, err, psd2.CodeInvalid, "until_too_far")
	w.do(c.ID, compliance.Act{Do: compliance.Snooze, By: anna, Until: w.clock.Now().Add(compliance.MaxSnooze)})
	open := func() int {
		list, _, err := w.Queue(ctx, anna, compliance.Filter{})
		must(t, err)
		return len(list)
	}
	w.raise(finding())
	if open() != 0 {
		t.Error("a hit like those before woke the case")
	}
	w.clock.Add(compliance.MaxSnooze)
	_, err = w.Step(ctx, w.clock.Now())
	must(t, err)
	if open() != 1 {
		t.Error("the case did not come back")
	}
	w.do(c.ID, compliance.Act{Do: compliance.Snooze, By: anna, Until: w.clock.Now().Add(time.Hour)})
	w.raise(finding(func(f *compliance.Finding) { f.Severity, f.Score = 4, 95 }))
	if open() != 1 {
		t.Error("a graver hit did not wake the case")
	}
}

func TestManyAreClosedByTwo(t *testing.T) {
	w := sqliteWorld(t)
	var seen []compliance.Seen
	for _, p := range []string{"psn_a", "psn_b", "psn_c"} {
		c := w.raise(finding(func(f *compliance.Finding) { f.PersonID, f.EntityKey = p, p }))
		seen = append(seen, compliance.Seen{ID: c.ID, Version: c.Version})
	}
	_, err := w.ProposeMany(ctx, seen, compliance.Act{Do: compliance.ProposeFalsePositive, By: anna, Note: "a rule too wide"})
	refused(t, err, psd2.CodeInvalid, "reason_required")
	if got := w.load(seen[0].ID); got.State != compliance.New {
		t.Fatalf("half of a bulk was done: %s", got.State)
	}
	bulk, err := w.ProposeMany(ctx, seen, compliance.Act{Do: compliance.ProposeFalsePositive, By: anna, Note: "a rule too wide", Reason: "rule_too_wide"})
	must(t, err)
	_, _, err = w.DecideMany(ctx, bulk, compliance.Act{Do: compliance.Approve, By: anna})
	refused(t, err, psd2.CodeForbidden, "same_person")
	w.clock.Add(time.Minute)
	w.raise(finding(func(f *compliance.Finding) { f.PersonID, f.EntityKey = "psn_b", "psn_b" }))
	decided, changed, err := w.DecideMany(ctx, bulk, compliance.Act{Do: compliance.Approve, By: bert})
	must(t, err)
	if decided != 2 || changed != 1 {
		t.Errorf("decided %d, changed %d", decided, changed)
	}
}

func TestReopeningKeepsHistory(t *testing.T) {
	w := sqliteWorld(t)
	c := w.raise(finding())
	w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: anna, Note: "first look"})
	w.do(c.ID, compliance.Act{Do: compliance.ProposeNoSuspicion, By: anna, Note: "he showed his payslip"})
	w.do(c.ID, compliance.Act{Do: compliance.Approve, By: bert})
	w.raise(finding()) // after the end: a new case
	w.do(c.ID, compliance.Act{Do: compliance.Reopen, By: bert, Note: "the payslip is forged"})
	lines, err := w.History(ctx, c.ID, 100)
	must(t, err)
	var notes []string
	for _, l := range lines {
		if l.Note != "" {
			notes = append(notes, l.Note)
		}
	}
	if want := []string{"the payslip is forged", "a note in words", "he showed his payslip", "first look"}; !slices.Equal(notes, want) {
		t.Errorf("notes: %q", notes)
	}
	list, _, err := w.Queue(ctx, anna, compliance.Filter{})
	must(t, err)
	if len(list) != 2 {
		t.Errorf("%d cases in the queue", len(list))
	}
}
