package monitor

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
)

// Hours judges the merchants' hours that are over.
func (m *Monitor) Hours(ctx context.Context, now time.Time) error {
	for {
		again, err := m.sweepHours(ctx, now)
		if err != nil || !again {
			return err
		}
	}
}

// Histories are the pasts of some facts, as they are read for all of them and as
// they are read for each.
func (m *Monitor) Histories(ctx context.Context, facts []*rules.Fact) (together, alone []*rules.History, err error) {
	set, err := m.sets.current(ctx)
	if err != nil {
		return nil, nil, err
	}
	all := m.view(ctx)
	for _, f := range facts {
		a, err := all.history(set.reach(f.Merchant), f)
		if err != nil {
			return nil, nil, err
		}
		b, err := m.view(ctx).history(set.reach(f.Merchant), f)
		if err != nil {
			return nil, nil, err
		}
		together, alone = append(together, a), append(alone, b)
	}
	return together, alone, nil
}
