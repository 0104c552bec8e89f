package sca

import (
	"testing"
	"time"
)

// TestCommittedFraudVoidsTheKeptRates: what this process learns counts at once.
func TestCommittedFraudVoidsTheKeptRates(t *testing.T) {
	r := rates{until: time.Unix(60, 0)}
	r.committed()
	if r.until.IsZero() {
		t.Error("void although nothing has changed")
	}
	r.changed.Store(true)
	r.committed()
	if !r.until.IsZero() {
		t.Error("kept although fraud was learned of")
	}
}
