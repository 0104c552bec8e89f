package main

import (
	"context"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// TestKillLosesNothingAndPaysOnce kills the hub's real process while payers
// are at every stage of a deposit, again and again, now and then while it is
// still starting. Afterwards each payment is what the bank says, the bank has
// executed at most one transfer for it, and the merchant was told every event,
// with one id.
func TestKillLosesNothingAndPaysOnce(t *testing.T) {
	onBothDatabases(t, killHub)
}

// onBothDatabases runs a kill test with the hub on SQLite and on PostgreSQL.
func onBothDatabases(t *testing.T, test func(t *testing.T, database string, o fleet.Options)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite", fleet.Options{}) })
	t.Run("postgres", func(t *testing.T) {
		db := testkit.PostgresConfig(t)
		test(t, "postgres", fleet.Options{DatabaseURL: db.URL, KeyFile: db.KeyFile})
	})
}

func killHub(t *testing.T, database string, o fleet.Options) {
	kills, seed, random := chaos(t, 6, 1000)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(kills)*5*time.Second+10*time.Minute)
	defer cancel()
	f, err := fleet.Start(ctx, impatient(t, o))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer func() {
		if t.Failed() {
			t.Logf("the hub's last words:\n%s", f.HubLog())
		}
	}()
	k := newKillers(t, f)
	k.payers(ctx, 8)
	began, inStart := time.Now(), 0
	for done := 1; done <= kills; done++ {
		after := time.NewTimer(time.Duration(10+random.IntN(300)) * time.Millisecond)
		<-after.C // the moment of the kill is the test's input
		f.KillHub()
		for done < kills && random.IntN(8) == 0 {
			f.KillStartingHub(ctx, time.Duration(random.IntN(250))*time.Millisecond)
			inStart++
			done++
		}
		if err := f.StartHub(ctx); err != nil {
			t.Fatal(err)
		}
		if done%100 == 0 {
			t.Logf("%d kills", done)
		}
	}
	k.conclude(ctx, verdict{Killed: "hub", Database: database, Seed: seed, Kills: kills, InStart: inStart, Seconds: time.Since(began).Seconds()})
}
