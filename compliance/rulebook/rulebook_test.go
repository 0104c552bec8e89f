package rulebook_test

import (
	"bytes"
	"crypto/rand"
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
	"github.com/rialto-hub/rialto/psd2/jose"
)

const limit, lower = "  month_limit: 100000 ", "  month_limit: 30000 "

func TestWhoDraftedDoesNotPublish(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		drafter := anna
		drafter.Roles = append(drafter.Roles, compliance.MLRO)
		s := w.shadowed(w.with(limit, lower))
		w.clock.Add(25 * time.Hour)
		_, err := w.Publish(ctx, drafter, s.ID)
		refused(t, err, psd2.CodeForbidden, "same_person")
		drafter.Credential = "another key of hers"
		_, err = w.Publish(ctx, drafter, s.ID)
		refused(t, err, psd2.CodeForbidden, "same_person")
		sharing := moritz
		sharing.Credential = anna.Credential
		_, err = w.Publish(ctx, sharing, s.ID)
		refused(t, err, psd2.CodeForbidden, "same_person")
		_, err = w.Publish(ctx, vera, s.ID)
		refused(t, err, psd2.CodeForbidden, "role_missing")
		if _, err = w.Draft(ctx, vera, w.with(limit, lower), "a reason"); psd2.CodeOf(err) != psd2.CodeForbidden {
			t.Errorf("a viewer drafts: %v", err)
		}
		s, err = w.Publish(ctx, maria, s.ID)
		must(t, err)
		if s.Number != 2 || s.State != rulebook.StatePublished || s.PublishedBy != maria.ID {
			t.Errorf("published %+v", s)
		}
		var actions []string
		must(t, w.db.Select(ctx, &actions, `SELECT action || ' ' || actor FROM compliance_audit WHERE object = ? ORDER BY seq`, s.ID))
		if got := strings.Join(actions, ", "); got != "rules.drafted ofc_anna, rules.backtested ofc_anna, rules.shadowed ofc_anna, rules.published ofc_maria" {
			t.Errorf("the chain says %s", got)
		}
	})
}

// Draft, backtest, shadow, publish: no step is skipped, and what a draft was
// made against must still hold.
func TestNoStepCanBeSkipped(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		w.clock.Add(time.Second)
		a, err := w.Draft(ctx, anna, w.with(limit, lower), "lower")
		must(t, err)
		w.clock.Add(time.Second)
		b, err := w.Draft(ctx, anna, w.with(limit, "  month_limit: 20000 "), "much lower")
		must(t, err)
		_, err = w.Shadow(ctx, anna, a.ID)
		refused(t, err, psd2.CodeConflict, "not_tested")
		_, err = w.Publish(ctx, maria, a.ID)
		refused(t, err, psd2.CodeConflict, "state_conflict")
		for _, s := range []*rulebook.Set{a, b} {
			_, err = w.Backtest(ctx, anna, s.ID, w.month())
			must(t, err)
		}
		_, err = w.Shadow(ctx, anna, a.ID)
		must(t, err)
		_, err = w.Shadow(ctx, anna, b.ID)
		refused(t, err, psd2.CodeConflict, "shadow_taken")
		w.clock.Add(24*time.Hour - time.Second)
		_, err = w.Publish(ctx, maria, a.ID)
		refused(t, err, psd2.CodeConflict, "shadow_too_short")
		w.clock.Add(time.Second)
		_, err = w.Publish(ctx, maria, a.ID)
		must(t, err)
		_, err = w.Publish(ctx, maria, a.ID)
		refused(t, err, psd2.CodeConflict, "state_conflict")
		_, err = w.Shadow(ctx, anna, b.ID)
		refused(t, err, psd2.CodeConflict, "base_changed")
		b, err = w.Withdraw(ctx, anna, b.ID, "another was faster")
		if err != nil || b.State != rulebook.StateWithdrawn {
			t.Errorf("withdrawn: %+v %v", b, err)
		}
		list, err := w.History(ctx, vera, 10)
		must(t, err)
		var states []string
		for _, s := range list {
			states = append(states, string(s.State))
		}
		if got := strings.Join(states, " "); got != "withdrawn published retired" {
			t.Errorf("history %s", got)
		}
	})
}

func TestWhatDoesNotCompileIsNotDrafted(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		for name, text := range map[string][]byte{
			"no YAML": []byte("rules: ["), "unknown field": w.with("    name: sanctions hit", "    nmae: sanctions hit"),
			"unknown limit": w.with(limit, "  other_limit: 1 "), "rule text": w.with("sanctions_score >= limit.sanctions_block && sanctions_agrees", "sanctions_score >= nobody"),
		} {
			_, err := w.Draft(ctx, anna, text, "a reason")
			if psd2.CodeOf(err) != psd2.CodeInvalid {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err := w.Draft(ctx, anna, rules.ShippedText(), "nothing")
		refused(t, err, psd2.CodeInvalid, "catalogue_unchanged")
		_, err = w.Draft(ctx, anna, w.with(limit, lower), " ")
		refused(t, err, psd2.CodeInvalid, "reason_required")
		_, err = w.Draft(ctx, anna, w.with("  land_based_de:", "  somewhere_else:"), "a profile less")
		refused(t, err, psd2.CodeInvalid, "profile_missing")
	})
}

// A backtest says by how much alerts and decisions change, day by day and rule
// by rule, and what became of what officers had decided.
func TestABacktestSaysWhatWouldChange(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m, err := monitor.New(monitor.Config{}, monitor.Deps{Store: w.db, Alerts: w.desk})
		must(t, err)
		day := 24 * time.Hour
		for i, ago := range []time.Duration{5 * day, 4 * day, 3 * day, day} { // all in November: 20, 40, 60 and 80 thousand
			must(t, m.Observe(ctx, w.deposit([]string{"t1", "t2", "t3", "t4"}[i], ago, 20000)))
		}
		old := w.deposit("t0", 40*day, 20000) // in the warm-up: not reported
		must(t, m.Observe(ctx, old))
		w.outcomes["t2"], w.outcomes["t3"], w.outcomes["t1"] = compliance.OutcomeNoSuspicion, compliance.OutcomeSAR, compliance.OutcomeFalsePositive
		s, err := w.Draft(ctx, anna, w.with(limit, lower), "lower")
		must(t, err)
		c, err := w.Backtest(ctx, anna, s.ID, w.month())
		must(t, err)
		if c.Transactions != 4 || c.Changed != 3 || len(c.Examples) != 3 || c.Examples[0].ID != "t2" {
			t.Errorf("%d transactions, %d changed, examples %+v", c.Transactions, c.Changed, c.Examples)
		}
		if want := []rulebook.Shift{{rules.Allow, rules.Allow, 1}, {rules.Allow, rules.Block, 3}}; !slices.Equal(c.Actions, want) {
			t.Errorf("decisions %+v", c.Actions)
		}
		if want := (rulebook.RuleVolume{Rule: "R10", Base: 0, Other: 3, OnlyBase: 0, OnlyOther: 3}); !slices.Contains(c.Rules, want) {
			t.Errorf("rules %+v", c.Rules)
		}
		var drawn []rulebook.DayVolume
		for _, d := range c.Days {
			if d.Other > 0 {
				drawn = append(drawn, d)
			}
		}
		if want := []rulebook.DayVolume{{"2026-11-16", 0, 1}, {"2026-11-17", 0, 1}, {"2026-11-19", 0, 1}}; !slices.Equal(drawn, want) || len(c.Days) != 31 {
			t.Errorf("%d days, of these %+v", len(c.Days), drawn)
		}
		if want := []rulebook.OutcomeDiff{{"false_positive", 1, 0, 0}, {"no_suspicion", 1, 0, 1}}; !slices.Equal(c.Outcomes, want) {
			t.Errorf("an analyst sees outcomes %+v", c.Outcomes)
		}
		if c, err = w.Backtest(ctx, maria, s.ID, w.month()); err != nil || len(c.Outcomes) != 3 || c.Outcomes[2] != (rulebook.OutcomeDiff{Outcome: "sar", Transactions: 1, Other: 1}) {
			t.Errorf("a reporting officer sees %+v %v", c.Outcomes, err)
		}
		_, err = w.Backtest(ctx, anna, s.ID, rulebook.Span{From: w.clock.Now(), Until: w.clock.Now()})
		refused(t, err, psd2.CodeInvalid, "span_empty")
	})
}

// A transaction that is only evidence of a later one's finding is no alert.
func TestABacktestCountsAlertsNotEvidence(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m, err := monitor.New(monitor.Config{}, monitor.Deps{Store: w.db, Alerts: w.desk})
		must(t, err)
		for i, player := range []string{"p1", "p2", "p3"} { // one account
			f := w.deposit("t"+player, time.Duration(3-i)*time.Hour, 1000)
			f.Player, f.Person = player, player
			must(t, m.Observe(ctx, f))
		}
		s, err := w.Draft(ctx, anna, w.with(limit, lower), "lower")
		must(t, err)
		c, err := w.Backtest(ctx, anna, s.ID, w.month())
		must(t, err)
		if want := (rulebook.RuleVolume{Rule: "R05", Base: 2, Other: 2}); !slices.Contains(c.Rules, want) {
			t.Errorf("rules %+v: the second and the third player alert, the first does not", c.Rules)
		}
	})
}

// R30 and R31 judge a merchant's hours, which are no transactions: their alerts
// are counted, the last hour's too, and nothing else.
func TestABacktestCountsTheMerchantsHours(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m, err := monitor.New(monitor.Config{}, monitor.Deps{Store: w.db, Alerts: w.desk})
		must(t, err)
		must(t, m.Observe(ctx, w.deposit("t1", 48*time.Hour, 10000)))
		back := w.deposit("t2", 2*time.Hour, 2000)
		back.Kind, back.SourceIBAN = rules.Refund, back.IBAN
		must(t, m.Observe(ctx, back))
		s, err := w.Draft(ctx, anna, w.with("  refund_share: 0.3\n", "  refund_share: 0.1\n"), "a merchant who refunds much")
		must(t, err)
		c, err := w.Backtest(ctx, anna, s.ID, w.month())
		must(t, err)
		if want := (rulebook.RuleVolume{Rule: "R30", Other: 1, OnlyOther: 1}); !slices.Contains(c.Rules, want) {
			t.Errorf("rules %+v", c.Rules)
		}
		if c.Transactions != 2 || c.Changed != 0 || len(c.Examples) != 1 || !rules.IsHour(c.Examples[0].ID) {
			t.Errorf("%d transactions, %d changed, examples %+v", c.Transactions, c.Changed, c.Examples)
		}
	})
}

var _ rulebook.Outcomes = (*compliance.Desk)(nil)

// What is in the database counts only as it was signed, and never backwards.
func TestATamperedSetIsNotUsed(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		first, err := w.Current(ctx, 0)
		must(t, err)
		s := w.published(w.with(limit, lower))
		c, err := w.Current(ctx, 0)
		must(t, err)
		if c.Set.ID != s.ID || c.Revision <= first.Revision {
			t.Fatalf("in force: %s, revision %d", c.Set.ID, c.Revision)
		}
		for name, query := range map[string]string{
			"catalogue":          `UPDATE rulebook_sets SET catalogue = REPLACE(catalogue, 'month_limit: 30000', 'month_limit: 90000') WHERE id = ?`,
			"catalogue and hash": `UPDATE rulebook_sets SET catalogue = catalogue || ' ', hash = '0' WHERE id = ?`,
			"manifest":           `UPDATE rulebook_sets SET manifest = REPLACE(manifest, 'ofc_maria', 'ofc_nobody') WHERE id = ?`,
			"signature":          `UPDATE rulebook_sets SET jws = '' WHERE id = ?`,
			"number":             `UPDATE rulebook_sets SET number = 7 WHERE id = ?`,
		} {
			w.exec(query, s.ID)
			if _, err := w.Current(ctx, 0); err == nil {
				t.Errorf("%s changed, and used", name)
			}
			w.exec(`UPDATE rulebook_sets SET catalogue = ?, hash = ?, manifest = ?, jws = ?, number = 2 WHERE id = ?`, s.Catalogue, s.Hash, s.Manifest, s.JWS, s.ID)
			_, err := w.Current(ctx, 0)
			must(t, err)
		}
		w.exec(`UPDATE rulebook_head SET revision = revision + 1, published = ?`, first.Set.ID)
		if _, err := w.Current(ctx, s.Number); err == nil {
			t.Error("an older set came back into force")
		}
	})
}

// An alert of years ago replays, though its rule was changed twice.
func TestAnAlertReplaysAfterItsRuleHasChanged(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		c, err := w.Current(ctx, 0)
		must(t, err)
		engine, err := c.Catalogue.Compile(rules.ProfileOnlineDE, nil)
		must(t, err)
		f := w.deposit("t1", 0, 100001)
		j, err := engine.Judge(f, &rules.History{})
		must(t, err)
		if len(j.Hits) == 0 {
			t.Fatal("nothing hit")
		}
		w.published(w.with(limit, lower))
		w.published(w.with(lower, "  month_limit: 200000 "))
		for _, h := range j.Hits {
			stored, err := json.Marshal(h)
			must(t, err)
			again, err := w.Replay(ctx, stored)
			must(t, err)
			if b, _ := json.Marshal(again); !bytes.Equal(stored, b) {
				t.Errorf("%s replays to %s", stored, b)
			}
			h.Version = "0000000000000000"
			stored, _ = json.Marshal(h)
			if _, err := w.Replay(ctx, stored); err == nil {
				t.Error("a version that never was replays")
			}
		}
	})
}

// Keys rotate; the set in force goes on being proven.
func TestTheSignatureOutlivesItsKey(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		before, err := w.Current(ctx, 0)
		must(t, err)
		must(t, w.keys.Rotate(rand.Reader, w.clock.Now(), 0, time.Hour))
		w.clock.Add(time.Minute)
		_, err = w.Step(ctx, w.clock.Now())
		must(t, err)
		after, err := w.Current(ctx, 0)
		must(t, err)
		if after.Set.JWS == before.Set.JWS || after.Set.Manifest != before.Set.Manifest || after.Revision != before.Revision {
			t.Errorf("signed anew: %v; manifest or revision changed", after.Set.JWS != before.Set.JWS)
		}
		key, err := w.keys.Signer(jose.ES256, w.clock.Now())
		must(t, err)
		v, err := jose.VerifyDetached(after.Set.JWS, w.keys.Public(), []byte(after.Set.Manifest), w.clock.Now())
		if err != nil || v.KeyID != key.ID() {
			t.Errorf("signed by %+v %v, want %s", v, err, key.ID())
		}
	})
}

// The release brings its rules once; officers' own stay in force when a process
// starts again.
func TestTheReleasesRulesDoNotReplaceOfficers(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		w.open()
		list, err := w.History(ctx, vera, 10)
		must(t, err)
		if len(list) != 1 || list[0].Number != 1 || list[0].Origin != rulebook.OriginShipped {
			t.Fatalf("%d sets after two starts: %+v", len(list), list[0])
		}
		s := w.published(w.with(limit, lower))
		w.exec(`UPDATE rulebook_sets SET hash = 'of an earlier release' WHERE id = ?`, list[0].ID)
		w.clock.Add(time.Second)
		w.open() // a new release
		c, err := w.Current(ctx, 0)
		must(t, err)
		if c.Set.ID != s.ID {
			t.Errorf("in force: %s, want the officers' %s", c.Set.ID, s.ID)
		}
		if list, err = w.History(ctx, vera, 10); err != nil || len(list) != 3 || list[0].State != rulebook.StateDraft || list[0].Origin != rulebook.OriginShipped {
			t.Errorf("the release's rules are not there to be drafted from: %+v %v", list, err)
		}
	})
}

func TestANewReleaseReplacesAnOldOne(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		w.exec(`UPDATE rulebook_sets SET hash = 'of an earlier release'`)
		w.open()
		c, err := w.Current(ctx, 1)
		must(t, err)
		if c.Set.Number != 2 || c.Set.Origin != rulebook.OriginShipped {
			t.Errorf("in force: %+v", c.Set)
		}
	})
}
