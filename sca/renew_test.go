package sca_test

import (
	"testing"
	"time"

	"github.com/rialto-hub/rialto/sca"
)

func TestMoreTimeIsANewChallengeInTheSamePlace(t *testing.T) { // B29
	w := sqlite(t)
	a := w.withTOTP()
	old := w.begin("pay_1", sca.Any)
	w.clock.Add(4*time.Minute + 50*time.Second)
	c, err := w.Renew(t.Context(), old.ID, browser)
	must(t, err)
	if c.ID == old.ID || !c.ExpiresAt.After(old.ExpiresAt) || c.Display.Text != old.Display.Text || c.LinkHash == old.LinkHash || c.Number == "" {
		t.Errorf("%+v", c)
	}
	if _, err := w.Renew(t.Context(), old.ID, browser); reason(err) != "sca_challenge_ended" {
		t.Errorf("twice: %v", err)
	}
	latest, err := w.Latest(t.Context(), "pay_1", browser)
	must(t, err)
	if latest.ID != c.ID {
		t.Errorf("the newest is %s, want %s", latest.ID, c.ID)
	}
	if _, err := w.Latest(t.Context(), "pay_1", "another"); reason(err) != "challenge_not_found" {
		t.Errorf("another browser: %v", err)
	}
	if _, err := w.Renew(t.Context(), c.ID, "another"); reason(err) != "challenge_not_found" {
		t.Errorf("another browser: %v", err)
	}
	w.clock.Add(4 * time.Minute) // beyond the old one's end
	if err := w.answerCode(old.ID, a.code()); reason(err) != "sca_challenge_ended" {
		t.Errorf("the old one: %v", err)
	}
	must(t, w.answerCode(c.ID, a.code()))
	if _, err := w.Renew(t.Context(), c.ID, browser); reason(err) != "sca_challenge_ended" {
		t.Errorf("one that has ended: %v", err)
	}
}

// TestMoreTimeForgetsNoFailedTry: beginning again is no way around the block.
func TestMoreTimeForgetsNoFailedTry(t *testing.T) { // A09
	w := sqlite(t)
	a := w.withTOTP()
	c := w.begin("pay_1", sca.Any)
	for range 5 {
		refused(t, w.answerCode(c.ID, a.wrong()))
		var err error
		c, err = w.Renew(t.Context(), c.ID, browser)
		must(t, err)
	}
	refused(t, w.answerCode(c.ID, a.code()))
}
