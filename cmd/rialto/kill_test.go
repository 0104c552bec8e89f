package main

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
	"github.com/rialto-hub/rialto/psd2/store"
)

// TestKillLosesNothingAndPaysOnce kills the hub's real process while payers
// are at every stage of a deposit, again and again, now and then while it is
// still starting. Afterwards each payment is what the bank says, the bank has
// executed at most one transfer for it, the merchant was told every event, with
// one id, and the monitor, which died with the hub, has decided each once and
// told officers of every hit.
func TestKillLosesNothingAndPaysOnce(t *testing.T) {
	onBothDatabases(t, "hub", killHub)
}

func killHub(ctx context.Context, t *testing.T, o fleet.Options, v verdict, random *rand.Rand) {
	o = impatient(t, o)
	f, end := startFleet(ctx, t, o)
	defer end()
	k := newKillers(t, f)
	k.payers(ctx, 8)
	began := time.Now()
	for done := 1; done <= v.Kills; done++ {
		after := time.NewTimer(time.Duration(10+random.IntN(300)) * time.Millisecond)
		<-after.C // the moment of the kill is the test's input
		f.KillHub()
		for done < v.Kills && random.IntN(8) == 0 {
			f.KillStartingHub(ctx, time.Duration(random.IntN(250))*time.Millisecond)
			v.InStart++
			done++
		}
		if err := f.StartHub(ctx); err != nil {
			t.Fatal(err)
		}
	}
	v.Seconds = time.Since(began).Seconds()
	k.conclude(ctx, v)
	watched(ctx, t, storeOf(ctx, t, filepath.Join(o.Dir, "hub.yaml")))
}

// watched checks what the monitor has made of all payments.
func watched(ctx context.Context, t *testing.T, db *store.DB) {
	t.Helper()
	followed(ctx, t, db, "compliance.monitor")
	number := func(query string) (n int) {
		t.Helper()
		if err := db.Get(ctx, &n, query); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := number(`SELECT COUNT(*) FROM payments WHERE NOT EXISTS (SELECT 1 FROM monitor_decisions WHERE transaction_id = payments.id)`); n > 0 {
		t.Errorf("%d of %d payments have no decision", n, number(`SELECT COUNT(*) FROM payments`))
	}
	hits := number(`SELECT COUNT(*) FROM monitor_hits`)
	if n := number(`SELECT COUNT(*) FROM monitor_hits WHERE NOT EXISTS (SELECT 1 FROM compliance_hits WHERE compliance_hits.id = 'hit_' || LOWER(monitor_hits.rule) || '_' || transaction_id)`); n > 0 || hits == 0 {
		t.Errorf("officers were not told of %d of %d hits", n, hits)
	}
	if n := number(`SELECT COUNT(*) FROM (SELECT 1 FROM compliance_alerts WHERE open = 1 GROUP BY entity_kind, entity_key, family, sample HAVING COUNT(*) > 1) AS twice`); n > 0 {
		t.Errorf("%d alerts are there twice", n)
	}
}
