package compliance_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2/store"
)

// manyCases puts n open cases into the queue, as statements and not one by one.
func manyCases(t testing.TB, w *world, n int) {
	t.Helper()
	template := w.raise(finding())
	must(t, w.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO compliance_cases SELECT substr('cas_00000000000000000000000000', 1, 30 - length(CAST(i AS TEXT))) || CAST(i AS TEXT),
			version, state, bucket, restricted, 'psn_' || CAST(i AS TEXT), entity_kind, 'psn_' || CAST(i AS TEXT), 'psn_' || CAST(i AS TEXT), merchant_id,
			CASE WHEN i % 7 = 0 THEN 'payer' ELSE family END, rule, alerts, sample, 1 + i % 4, i % 100, rank + i * 1000000, due_at, snoozed_until, snooze_severity,
			escalated, assignee, assignee_name, locked_by, locked_name, locked_until, proposal, bulk_id, outcome, reason, reference, wait_until, opened_at,
			changed_at, changed_by, changed_name, closed_at, erased_at, joined_to FROM compliance_cases, n WHERE id = ?`, n, template.ID)
		return err
	}))
}

// TestLongQueueIsReadByItsIndex: a page of the queue reads as many rows as it
// shows, however long the queue is.
func TestLongQueueIsReadByItsIndex(t *testing.T) {
	w := sqliteWorld(t)
	manyCases(t, w, 2000)
	for where, index := range map[string]string{
		`bucket = 'open'`: "compliance_cases_queue",
		`bucket = 'open' AND restricted = 0 AND family = 'payer'`:                      "compliance_cases_family",
		`bucket = 'open' AND severity = 4`:                                             "compliance_cases_severity",
		`bucket = 'open' AND assignee = 'ofc_anna'`:                                    "compliance_cases_assignee",
		`bucket = 'open' AND (rank > 5 OR rank = 5 AND id > 'cas_1') AND due_at < 100`: "compliance_cases_queue",
	} {
		var plan []struct {
			ID      int    `db:"id"`
			Parent  int    `db:"parent"`
			NotUsed int    `db:"notused"`
			Detail  string `db:"detail"`
		}
		must(t, w.db.Select(ctx, &plan, `EXPLAIN QUERY PLAN `+compliance.SelectCases+` WHERE `+where+` ORDER BY rank, id LIMIT 51`))
		var all []string
		for _, p := range plan {
			all = append(all, p.Detail)
		}
		text := strings.Join(all, "; ")
		if !strings.Contains(text, "INDEX "+index+" ") || strings.Contains(text, "TEMP B-TREE") {
			t.Errorf("%s: %s", where, text)
		}
	}
}

// TestPagesOfALongQueueHoldEachCaseOnce walks all of it.
func TestPagesOfALongQueueHoldEachCaseOnce(t *testing.T) {
	bothWorlds(t, func(t *testing.T, w *world) {
		manyCases(t, w, 1000)
		seen, after := map[string]bool{}, ""
		for pages := 0; pages < 20; pages++ {
			list, next, err := w.Queue(ctx, anna, compliance.Filter{Limit: 200, After: after})
			must(t, err)
			for _, c := range list {
				if seen[c.ID] {
					t.Fatalf("%s is there twice", c.ID)
				}
				seen[c.ID] = true
			}
			if after = next; next == "" {
				break
			}
		}
		if len(seen) != 1001 {
			t.Errorf("%d of 1001 cases were listed", len(seen))
		}
		counts, err := w.Counts(ctx, anna)
		must(t, err)
		if counts[compliance.BucketOpen] != compliance.CountLimit {
			t.Errorf("counted %d", counts[compliance.BucketOpen])
		}
	})
}

func BenchmarkQueueOf100000(b *testing.B) {
	w := sqliteWorld(b)
	manyCases(b, w, 100000)
	for name, f := range map[string]compliance.Filter{"first": {}, "family": {Family: "payer"}, "state": {State: compliance.Investigating},
		"overdue": {Overdue: true}, "samples": {Samples: true}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				start := time.Now()
				if _, _, err := w.Queue(ctx, anna, f); err != nil {
					b.Fatal(err)
				}
				if _, err := w.Counts(ctx, anna); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "ms/last")
			}
		})
	}
}
