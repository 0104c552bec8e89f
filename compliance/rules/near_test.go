package rules_test

import (
	"testing"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/rules/rulestest"
)

// The line a transaction came nearest to is one it came more than half the way
// to, and one of a number: not a list it might have been on, and not a rule
// that something else than a limit keeps silent.
func TestTheLineATransactionCameNearestTo(t *testing.T) {
	for _, c := range []struct {
		past []string
		now  string
		want string
	}{
		{nil, "deposit 5000", ""},
		{nil, "deposit 60000 registered=1h", "R21"},
		{nil, "deposit 50000 registered=1h", ""},
		{nil, "deposit 90000 registered=25h", ""}, // too late, whatever the amount
		{nil, "deposit 60000", ""},                // when he registered is not known
		{[]string{"2d payout 1000"}, "payout 1000 iban=i2", "R07"},
		{[]string{"9m deposit 1000 x4 every 2m"}, "deposit 1000", "R14"},
		{nil, "deposit 15000", ""}, // a burst takes two
	} {
		k := rulestest.Cases(t)[0]
		k.Past, k.Now = c.past, c.now
		past, now := k.Facts(t)
		memory := rules.NewMemory()
		for _, f := range past {
			memory.Add(f)
		}
		engine := engine(t, rules.ProfileOnlineDE)
		hit, ok := engine.Nearest(now, memory.History(now))
		if hit.Rule != c.want || ok != (c.want != "") {
			t.Errorf("%v, %s: nearest to %q, want %q", c.past, c.now, hit.Rule, c.want)
		}
		if again, err := engine.Replay(hit); ok && err == nil {
			t.Errorf("%s: it crossed the line: %+v", c.now, again)
		}
	}
}
