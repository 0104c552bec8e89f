package compliance_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

func TestOneOpenAlertPerEntityAndFamily(t *testing.T) {
	bothWorlds(t, func(t *testing.T, w *world) {
		first := w.raise(finding(func(f *compliance.Finding) { f.ID = "hit_a" }))
		w.raise(finding(func(f *compliance.Finding) { f.ID = "hit_a" })) // delivered again
		again := w.raise(finding(func(f *compliance.Finding) { f.Rule, f.RuleVersion, f.Score = "R09", "7", 80 }))
		other := w.raise(finding(func(f *compliance.Finding) { f.Family, f.Rule = "payer", "R01" }))
		if again.ID != first.ID || other.ID != first.ID {
			t.Errorf("one person's alerts are in %s, %s and %s", first.ID, again.ID, other.ID)
		}
		alerts, err := w.AlertsOf(ctx, first.ID)
		must(t, err)
		if len(alerts) != 2 || alerts[0].HitCount != 2 || alerts[0].Score != 80 {
			t.Fatalf("alerts: %+v", alerts)
		}
		hits, err := w.HitsOf(ctx, alerts[0], 10)
		must(t, err)
		if len(hits) != 2 || hits[0].RuleVersion != "7" || hits[1].RuleVersion != "3" || !strings.Contains(string(hits[1].Inputs), `"count":4`) {
			t.Errorf("hits: %+v", hits)
		}
	})
}

func TestRolledBackFindingLeavesNothing(t *testing.T) {
	w := sqliteWorld(t)
	boom := psd2.Fail(psd2.CodeUnavailable, "boom", "boom")
	err := w.db.Tx(ctx, func(tx *store.Tx) error {
		f := finding(func(f *compliance.Finding) { f.ID, f.At = "hit_x", w.clock.Now() })
		if err := w.Raise(tx, f); err != nil {
			return err
		}
		return boom
	})
	refused(t, err, psd2.CodeUnavailable, "boom")
	var n int
	must(t, w.db.Get(ctx, &n, `SELECT COUNT(*) FROM compliance_audit`))
	if n != 0 {
		t.Errorf("%d rows in the chain", n)
	}
}

func TestQueueGoesByRiskAndAge(t *testing.T) {
	w := sqliteWorld(t)
	raise := func(person string, score int64) string {
		return w.raise(finding(func(f *compliance.Finding) { f.PersonID, f.EntityKey, f.Score = person, person, score })).ID
	}
	old := raise("psn_old", 20)
	w.clock.Add(24 * time.Hour)
	grave := raise("psn_grave", 90)
	light := raise("psn_light", 10)
	want := []string{grave, old, light} // 35 h of points against 24 h of waiting; 24 h and 5 h against none
	var got []string
	after := ""
	for {
		list, next, err := w.Queue(ctx, anna, compliance.Filter{Limit: 1, After: after})
		must(t, err)
		for _, c := range list {
			got = append(got, c.ID)
		}
		if after = next; next == "" {
			break
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestSamplesAreDrawnByTheirIDs(t *testing.T) {
	w := sqliteWorld(t, func(c *compliance.Config) { c.SampleEvery = 4 })
	for range 2 { // delivered again: the same ones
		must(t, w.db.Tx(ctx, func(tx *store.Tx) error {
			for i := range 200 {
				f := finding(func(f *compliance.Finding) {
					f.ID, f.At = "low_"+string(rune('a'+i%26))+strings.Repeat("x", i/26), w.clock.Now()
					f.PersonID, f.EntityKey = "psn_"+f.ID, "psn_"+f.ID
				})
				if err := w.RaiseSample(tx, f); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	list, _, err := w.Queue(ctx, anna, compliance.Filter{Samples: true, Limit: 200})
	must(t, err)
	if len(list) < 25 || len(list) > 80 {
		t.Errorf("%d of 200 were drawn, one in four was asked for", len(list))
	}
}

// Whoever says nothing gets one in a thousand; a negative number is none.
func TestSamplesAreDrawnUnlessTheOperatorWantsNone(t *testing.T) {
	for every, most := range map[int]int{0: 25, -1: 0} {
		w := sqliteWorld(t, func(c *compliance.Config) { c.SampleEvery = every })
		must(t, w.db.Tx(ctx, func(tx *store.Tx) error {
			for i := range 10000 {
				f := finding(func(f *compliance.Finding) {
					f.ID, f.EntityKey = fmt.Sprint("low_", i), fmt.Sprint("p", i)
					f.PersonID, f.At = "", w.clock.Now()
				})
				if err := w.RaiseSample(tx, f); err != nil {
					return err
				}
			}
			return nil
		}))
		list, _, err := w.Queue(ctx, anna, compliance.Filter{Samples: true, Limit: 200})
		must(t, err)
		if len(list) > most || most > 0 && len(list) == 0 {
			t.Errorf("sample_every %d: %d of 10000 were drawn", every, len(list))
		}
	}
}

func TestRulesPrecisionComesFromOutcomes(t *testing.T) {
	w := sqliteWorld(t)
	for i, do := range []compliance.Action{compliance.ProposeFalsePositive, compliance.ProposeFalsePositive, compliance.ProposeFalsePositive, compliance.ProposeNoSuspicion} {
		p := "psn_" + string(rune('a'+i))
		c := w.raise(finding(func(f *compliance.Finding) { f.PersonID, f.EntityKey = p, p }))
		w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: anna})
		w.do(c.ID, compliance.Act{Do: do, By: anna})
		w.do(c.ID, compliance.Act{Do: compliance.Approve, By: bert})
	}
	w.raise(finding())
	stats, err := w.RuleStats(ctx, anna, time.Time{})
	must(t, err)
	if len(stats) != 1 || stats[0].Alerts != 5 || stats[0].Open != 1 {
		t.Fatalf("stats: %+v", stats)
	}
	if share, ok := stats[0].Precision(); !ok || share != 0.25 {
		t.Errorf("precision %v", share)
	}
}

// TestManyAtOnceKeepOneAlertAndOneChain: findings of many workers about one
// person meet at the chain's end and wait for each other there.
func TestManyAtOnceKeepOneAlertAndOneChain(t *testing.T) {
	bothWorlds(t, func(t *testing.T, w *world) {
		var wait sync.WaitGroup
		errs := make([]error, 16)
		for i := range errs {
			wait.Go(func() {
				f := finding(func(f *compliance.Finding) { f.ID, f.At = fmt.Sprintf("hit_%d", i), w.clock.Now() })
				errs[i] = w.db.Tx(ctx, func(tx *store.Tx) error { return w.Raise(tx, f) })
			})
		}
		wait.Wait()
		must(t, errors.Join(errs...))
		list, _, err := w.Queue(ctx, anna, compliance.Filter{})
		must(t, err)
		if len(list) != 1 || list[0].Alerts != 1 {
			t.Fatalf("cases: %+v", list)
		}
		alerts, err := w.AlertsOf(ctx, list[0].ID)
		must(t, err)
		if len(alerts) != 1 || alerts[0].HitCount != int64(len(errs)) {
			t.Errorf("alerts: %+v", alerts)
		}
		if r := verify(t, w, exported(t, w), nil); r.Problem != "" || r.Rows != int64(len(errs))+1 {
			t.Errorf("the chain: %+v", r)
		}
	})
}
