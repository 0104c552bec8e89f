package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/names"
	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// The lists of OFAC and the United Nations in a hub that serves: who came
// before they were there is found by the day's run, whose signed report counts
// right; who is listed and comes after is refused before his money moves, and
// an ordinary player gets to his bank.
func TestServeScreensByTheRealLists(t *testing.T) {
	t.Parallel()
	real := testkit.Compliance(t, "lists")
	b, s := startBank(t), newShop(t, nil)
	cfg := processConfig(t, b, s)
	lists := filepath.Join(t.TempDir(), "lists") // not there yet
	cfg["compliance"] = map[string]any{"screening": map[string]any{"lists": lists, "reload_every": "100ms", "unscreened_deposits": "allow"}}
	hub := serve(t, cfg)
	s.Client = s.client(t, hub.urls["public"])
	db, keys := besides(t, cfg)

	deposit := func(p psd2.Player) (id, page string) {
		t.Helper()
		d := s.deposit("")
		d.Player, d.Player.KYCStatus = p, "verified"
		created := s.create(t, d)
		return created.ID, created.HostedPage.URL
	}
	pay := func(address string) (atBank bool) {
		person := payer.Payer{Client: payer.NewClient(nil), Bank: "sandbank", Now: time.Now, NeverReturns: true}
		r, _ := person.Pay(t.Context(), address) // he has no login there; whether he got there is what counts
		return r.AtBank
	}
	deposit(psd2.Player{Reference: "player-early", Name: "Oleg Deripaska", DateOfBirth: "1968-01-02", Residence: "RU"})
	deposit(psd2.Player{Reference: "player-clean", Name: "Sabine Hoffmann", DateOfBirth: "1971-05-04", Residence: "DE"})
	until(t, func() bool { return countOf(t, db, `SELECT COUNT(*) FROM screening_persons`) == 2 })
	whole := filepath.Join(t.TempDir(), "whole")
	if err := os.CopyFS(whole, os.DirFS(real)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(whole, lists); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return countOf(t, db, `SELECT COUNT(*) FROM compliance_runs`) == 1 })
	checkRun(t, db, keys, lists)

	id, page := deposit(psd2.Player{Reference: "player-late", Name: "Alyaksandr Hryhoryavich Lukashenka", DateOfBirth: "1954-08-30", Residence: "BY"})
	if pay(page) {
		t.Error("a listed player was sent to his bank")
	}
	if got, err := s.Client.Get(t.Context(), id); err != nil || got.Status != psd2.StateFailed || got.FailureReason != psd2.ReasonPaymentNotPossible {
		t.Errorf("a listed player: %+v %v", got, err)
	}
	if _, page = deposit(psd2.Player{Reference: "player-ordinary", Name: "Stefan Schäfer", DateOfBirth: "1965-04-02", Residence: "DE"}); !pay(page) {
		t.Error("an ordinary player was not sent to his bank")
	}
	if n := len(b.initiations()); n != 1 {
		t.Errorf("the bank got %d orders, want the ordinary player's", n)
	}
}

// besides opens the database of a hub that runs, and its public keys.
func besides(t *testing.T, settings map[string]any) (*store.DB, *jose.KeySet) {
	t.Helper()
	text, err := yaml.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jose.LoadKeySet(cfg.SigningKeysFile)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), cfg.Database, storeOptions(cfg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // nothing was written
	return db, keys
}

func countOf(t *testing.T, db *store.DB, query string) (n int) {
	t.Helper()
	if err := db.Get(context.Background(), &n, query); err != nil {
		t.Fatal(err)
	}
	return n
}

// checkRun compares the first run's signed report with what the lists hold and
// what was found.
func checkRun(t *testing.T, db *store.DB, keys *jose.KeySet, lists string) {
	t.Helper()
	list, err := names.LoadDir(lists)
	if err != nil {
		t.Fatal(err)
	}
	desk, err := compliance.NewDesk(compliance.Config{}, compliance.Deps{Store: db, Keys: keys, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	days, err := desk.Days(t.Context(), desker, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var runs []compliance.SignedRun
	for _, d := range days {
		runs = append(runs, d.Runs...)
	}
	if len(runs) != 1 {
		t.Fatalf("%d runs in the calendar", len(runs))
	}
	r := runs[0].Run
	found := countOf(t, db, `SELECT COUNT(*) FROM screening_hits`)
	if r.Kind != compliance.RunFull || r.Persons != 2 || r.Failed != 0 || r.Hits == 0 || r.Hits != found || r.Entries != len(list.Entries) || len(list.Entries) < 10_000 || r.Lists["sanctions"] != list.Hash {
		t.Errorf("the report says %+v; there are %d hits, and %d entries of the list %s", r, found, len(list.Entries), list.Hash)
	}
	if _, err := jose.VerifyDetached(runs[0].JWS, keys.Public(), []byte(runs[0].Report), time.Now()); err != nil {
		t.Errorf("the report's signature: %v", err)
	}
	if n := countOf(t, db, `SELECT COUNT(*) FROM compliance_alerts WHERE family = 'sanctions'`); n != 1 {
		t.Errorf("%d alerts about the listed player, want 1", n)
	}
}
