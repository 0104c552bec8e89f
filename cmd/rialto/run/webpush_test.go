package run

import "testing"

// TestMessengersAreFew: where every push service hangs, what comes next is not
// kept waiting, and does not pile up; a messenger that is back goes again.
func TestMessengersAreFew(t *testing.T) {
	var m messengers
	release := make(chan struct{})
	for i := range pushesAtOnce {
		if !m.send(func() { <-release }) {
			t.Fatalf("only %d go", i)
		}
	}
	if m.send(func() { t.Error("it went all the same") }) {
		t.Error("one too many goes")
	}
	close(release)
	m.under.Wait()
	gone := false
	if !m.send(func() { gone = true }) {
		t.Error("nobody goes any more")
	}
	if m.under.Wait(); !gone {
		t.Error("it did not go")
	}
}
