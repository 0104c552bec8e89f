package main

import (
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

// TestPayerWhoLostEverythingIsReset: his factor is gone, and a link lets him
// enrol without a proof again.
func TestPayerWhoLostEverythingIsReset(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := write(t, dir, "rialto.yaml", "data_dir: "+dir+"\nsandbox: true\n")
	reset := func(player string) (int, string) {
		code, out, _ := rialto(t, "payers", "reset", "--config", config, "--merchant", "mer_1", "--player", player)
		return code, out
	}
	if code, _ := reset("nobody"); code != 1 {
		t.Errorf("somebody who is not there: exit %d", code)
	}
	cfg, err := configs.Load(config)
	ok(t, err)
	open := func(fn func(*store.DB, *sca.Service)) {
		t.Helper()
		db, err := store.Open(t.Context(), cfg.Database, storeOptions(cfg))
		ok(t, err)
		defer db.Close()
		s, err := sca.New(sca.Config{Origin: "http://localhost"}, sca.Deps{Store: db, Now: time.Now})
		ok(t, err)
		fn(db, s)
	}
	enrol := func(db *store.DB, s *sca.Service) error {
		t.Helper()
		token, err := s.EnrolPayer(t.Context(), db.PersonID("mer_1", "p-1"))
		ok(t, err)
		secret, err := s.OpenEnrolment(t.Context(), token)
		ok(t, err)
		by, err := s.Session(t.Context(), sca.SessionEnrol, secret, false)
		ok(t, err)
		_, err = s.NewRecoveryCodes(t.Context(), by)
		return err
	}
	open(func(db *store.DB, s *sca.Service) {
		ok(t, enrol(db, s))
		if enrol(db, s) == nil {
			t.Fatal("a link alone changes factors")
		}
	})
	if code, out := reset("p-1"); code != 0 || !strings.Contains(out, "he may enrol again") {
		t.Errorf("exit %d: %s", code, out)
	}
	open(func(db *store.DB, s *sca.Service) { ok(t, enrol(db, s)) })
	for _, args := range [][]string{{"payers"}, {"payers", "erase"}, {"payers", "reset", "--config", config, "--merchant", "mer_1"}} {
		if code, _, _ := rialto(t, args...); code != 2 {
			t.Errorf("%v: exit %d", args, code)
		}
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
