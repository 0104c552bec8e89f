package webhooks_test

import (
	"testing"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks"
)

// A process that slept has dealt with a range to what was its end then. Another
// one has lengthened it since: those events are told, too.
func TestRangeThatGrewMeanwhileIsNotForgotten(t *testing.T) {
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		in := func(fn func(tx *store.Tx) error) error { return db.Tx(t.Context(), fn) }
		end := func(cursor, until int64) error {
			return in(func(tx *store.Tx) error { return webhooks.DealtWith(tx, merchant, cursor, until) })
		}
		for _, until := range []int64{20, 30} { // the second lengthens it
			if err := in(func(tx *store.Tx) error { return webhooks.PutOff(tx, merchant, 10, until) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := end(10, 20); psd2.CodeOf(err) != psd2.CodeConflict {
			t.Errorf("the one that slept was told %v", err)
		}
		var n int
		if err := db.Get(t.Context(), &n, `SELECT COUNT(*) FROM webhook_backlog WHERE merchant_id = ? AND cursor = 10 AND until_position = 30`, merchant); err != nil || n != 1 {
			t.Fatalf("%d ranges, %v", n, err)
		}
		if err := end(10, 30); err != nil {
			t.Error(err)
		}
		if err := db.Get(t.Context(), &n, `SELECT COUNT(*) FROM webhook_backlog`); err != nil || n != 0 {
			t.Errorf("%d ranges are left, %v", n, err)
		}
	})
}
