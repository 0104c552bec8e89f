package run

import (
	"testing"
	"time"
)

// Rows are bounded; what goes without is counted in the next.
func TestRefusedSignInsDoNotFillTheChain(t *testing.T) {
	r, now := &refused{}, time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	rows := 0
	for range 100 {
		if row, more := r.note(now); row {
			if rows++; more != 0 {
				t.Errorf("%d without a row before the first that had none", more)
			}
		}
	}
	if rows != mostRefused {
		t.Errorf("%d rows in a minute, want %d", rows, mostRefused)
	}
	if row, more := r.note(now.Add(time.Minute)); !row || more != 100-mostRefused {
		t.Errorf("the next minute: %v, %d more", row, more)
	}
	if _, more := r.note(now.Add(time.Minute)); more != 0 {
		t.Errorf("%d more are told twice", more)
	}
}
