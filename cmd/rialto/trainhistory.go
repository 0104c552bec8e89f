package main

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// mostHistory bounds how many transactions of a hub are learned from; they are
// read into memory.
const mostHistory = 500_000

// trainHistory is what a hub's monitor has kept of the last days, with the
// rules in force there. Suspicious is what officers filed a report about; what
// they found harmless, or have not decided about, is not. The names of players,
// persons and accounts are keyed hashes, as they are in the database.
func trainHistory(e env, config, profile string, days int) (engine *rules.Engine, facts []*rules.Fact, bad map[string]bool, err error) {
	cfg, err := configs.Load(config)
	if err != nil {
		return nil, nil, nil, err
	}
	keys, err := jose.LoadKeySet(cfg.SigningKeysFile)
	if err != nil {
		return nil, nil, nil, err
	}
	db, err := openStore(e, cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	desk, err := compliance.NewDesk(cfg.Compliance.Desk, compliance.Deps{Store: db, Keys: keys})
	if err != nil {
		return nil, nil, nil, err
	}
	book, err := rulebook.Open(e.ctx, cfg.Compliance.Rulebook, rulebook.Deps{Store: db, Keys: keys, Audit: desk})
	if err != nil {
		return nil, nil, nil, err
	}
	current, err := book.Current(e.ctx, 0)
	if err != nil {
		return nil, nil, nil, err
	}
	if engine, err = current.Catalogue.Compile(cmp.Or(profile, cfg.Compliance.Monitor.Profile, rules.ProfileOnlineDE), nil); err != nil {
		return nil, nil, nil, err
	}
	now := db.Now()
	if facts, err = (monitor.Archive{Store: db}).Facts(e.ctx, now.AddDate(0, 0, -days), now.Add(time.Second), mostHistory); err != nil {
		return nil, nil, nil, err
	}
	if len(facts) == 0 {
		return nil, nil, nil, fmt.Errorf("the hub has kept no transaction of the last %d days", days)
	}
	ids := make([]string, len(facts))
	for i, f := range facts {
		ids[i] = f.ID
	}
	outcomes, err := desk.OutcomesOf(e.ctx, ids)
	if err != nil {
		return nil, nil, nil, err
	}
	if len(outcomes) > 0 {
		bad = map[string]bool{}
	}
	for id, outcome := range outcomes {
		if outcome == compliance.OutcomeSAR {
			bad[id] = true
		}
	}
	return engine, facts, bad, nil
}
