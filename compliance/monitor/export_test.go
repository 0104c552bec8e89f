package monitor

import (
	"context"
	"time"
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
