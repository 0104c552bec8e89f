package webhooks

import (
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/psd2/testkit"
)

// TestReadingWhatIsDueScansNothing: the index of what is out of turn is partial,
// and used only where a query repeats its condition word for word.
func TestReadingWhatIsDueScansNothing(t *testing.T) {
	db := testkit.SQLite(t, nil)
	args := []any{1, 1, "whe_a", 1}
	for range earlierOnce {
		args = append(args, "pay_a")
	}
	for query, uses := range map[string]int{dueQuery + ` ORDER BY d.next_at, d.position`: 2, earlierQuery: 3} {
		var plan []struct {
			ID, Parent, Notused int
			Detail              string
		}
		if err := db.Select(t.Context(), &plan, "EXPLAIN QUERY PLAN "+query, args[:strings.Count(query, "?")]...); err != nil {
			t.Fatal(err)
		}
		used := 0
		for _, step := range plan {
			if strings.Contains(step.Detail, "webhook_deliveries_out_of_turn") {
				used++
			}
			if strings.HasPrefix(step.Detail, "SCAN") || strings.Contains(step.Detail, "TEMP B-TREE") {
				t.Errorf("%s: %s", query, step.Detail)
			}
		}
		if used != uses {
			t.Errorf("the index is used %d times, want %d: %+v", used, uses, plan)
		}
	}
}
