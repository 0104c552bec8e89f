package webhooks

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

func TestJitterStaysWithinAFifthAndFollowsItsSeed(t *testing.T) {
	seed := [32]byte{7}
	t.Logf("seed %x", seed)
	one, two := rand.NewChaCha8(seed), rand.NewChaCha8(seed)
	distinct := map[time.Duration]bool{}
	for i, base := range schedule {
		for range 200 {
			wait, ok := pause(i, one)
			if again, _ := pause(i, two); !ok || wait != again {
				t.Fatalf("%s and %s from one seed", wait, again)
			}
			if wait < base*8/10 || wait > base*12/10 {
				t.Fatalf("try %d: %s is not %s ±20 %%", i, wait, base)
			}
			distinct[wait] = true
		}
	}
	if len(distinct) < 1000 {
		t.Fatalf("only %d different pauses", len(distinct))
	}
	if _, ok := pause(len(schedule), one); ok {
		t.Fatal("the schedule never ends")
	}
	if wait, ok := pause(1, bytes.NewReader(nil)); !ok || wait != schedule[1] {
		t.Fatalf("without randomness: %s", wait)
	}
}
