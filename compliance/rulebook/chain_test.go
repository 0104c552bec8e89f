package rulebook_test

import (
	"errors"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/psd2/store"
)

// torn is a chain that cannot be written.
type torn struct{}

var errTorn = errors.New("the chain is torn")

func (torn) RecordIn(*store.Tx, string, string, string, string, map[string]any) error { return errTorn }

// No rule changes without its row in the chain: both are there, or neither.
func TestNoChangeWithoutItsRowInTheChain(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		whole := w.Book
		broken, err := rulebook.Open(ctx, rulebook.Config{}, rulebook.Deps{Store: w.db, Keys: w.keys, Audit: torn{}, History: monitor.Archive{Store: w.db}})
		must(t, err)
		w.clock.Add(time.Second)
		before, err := whole.History(ctx, anna, 10)
		must(t, err)
		if _, err := broken.Draft(ctx, anna, w.with(limit, lower), "lower"); !errors.Is(err, errTorn) {
			t.Errorf("draft: %v", err)
		}
		after, err := whole.History(ctx, anna, 10)
		must(t, err)
		if len(after) != len(before) {
			t.Error("a draft is there that the chain does not know")
		}
		s, err := whole.Draft(ctx, anna, w.with(limit, lower), "lower")
		must(t, err)
		is := func(want rulebook.State, tested bool) {
			t.Helper()
			now, err := whole.Set(ctx, anna, s.ID)
			must(t, err)
			if now.State != want || now.TestedAt.IsZero() == tested {
				t.Errorf("the set is %s, tested %s", now.State, now.TestedAt)
			}
		}
		if _, err := broken.Backtest(ctx, anna, s.ID, w.month()); !errors.Is(err, errTorn) {
			t.Errorf("backtest: %v", err)
		}
		is(rulebook.StateDraft, false)
		_, err = whole.Backtest(ctx, anna, s.ID, w.month())
		must(t, err)
		if _, err := broken.Shadow(ctx, anna, s.ID); !errors.Is(err, errTorn) {
			t.Errorf("shadow: %v", err)
		}
		is(rulebook.StateDraft, true)
		if _, err := broken.Withdraw(ctx, anna, s.ID, "not needed"); !errors.Is(err, errTorn) {
			t.Errorf("withdraw: %v", err)
		}
		is(rulebook.StateDraft, true)
		_, err = whole.Shadow(ctx, anna, s.ID)
		must(t, err)
		w.clock.Add(25 * time.Hour)
		if _, err := broken.Publish(ctx, maria, s.ID); !errors.Is(err, errTorn) {
			t.Errorf("publish: %v", err)
		}
		is(rulebook.StateShadow, true)
		_, err = whole.Publish(ctx, maria, s.ID)
		must(t, err)
		is(rulebook.StatePublished, true)
	})
}
