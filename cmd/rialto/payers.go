package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

// payersCommand is "rialto payers": what an operator does for payers by hand.
func payersCommand(e env, args []string) error {
	if len(args) == 0 || args[0] != "reset" {
		return usagef("say what to do: reset")
	}
	return payersReset(e, args[1:])
}

// openPayers opens the database of a configuration and the payers' side of the
// hub's own authentication over it; the caller closes the database.
func openPayers(e env, config string) (*store.DB, *sca.Service, error) {
	cfg, err := configs.Load(config)
	if err != nil {
		return nil, nil, err
	}
	db, err := openStore(e, cfg)
	if err != nil {
		return nil, nil, err
	}
	// The origin says whose passkeys are whose; none is looked at here.
	cfg.SCA.Origin = "http://localhost"
	service, err := sca.New(cfg.SCA, sca.Deps{Store: db, Now: time.Now, Random: rand.Reader, Log: slog.New(slog.NewTextHandler(e.stderr, nil))})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, service, nil
}

// payersReset takes everything with which a payer confirms from him: he has lost
// it, and somebody has checked that it is he who says so. He pays as people do
// who never enrolled, and may enrol again after a payment.
func payersReset(e env, args []string) error {
	f := flags(e, "payers reset")
	config := f.String("config", "", "YAML file of the hub")
	merchant := f.String("merchant", "", "id of the merchant whose player he is")
	player := f.String("player", "", "the merchant's reference of the player")
	asJSON := f.Bool("json", false, "print JSON")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *merchant == "" || *player == "" {
		return usagef("--merchant and --player are needed")
	}
	db, service, err := openPayers(e, *config)
	if err != nil {
		return err
	}
	defer db.Close()
	person := db.PersonID(*merchant, *player)
	if err := service.ResetPayer(e.ctx, person); err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(e.stdout).Encode(map[string]string{"person_id": person, "reset": "done"})
	}
	_, err = fmt.Fprintf(e.stdout, "person  %s\nfactors, blocks and sessions are gone; he may enrol again after a payment\n", person)
	return err
}
