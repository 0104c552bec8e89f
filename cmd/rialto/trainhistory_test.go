package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// TestTheScoreLearnsFromWhatOfficersFound: the transactions that a hub has kept
// are the sample, and the reports that officers filed are what was suspicious.
func TestTheScoreLearnsFromWhatOfficersFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := write(t, dir, "rialto.yaml", "data_dir: "+dir+"\nsandbox: true\n")
	cfg, err := configs.Load(config)
	ok(t, err)
	keys, err := jose.NewKeySet(rand.Reader, time.Now(), jose.ES256)
	ok(t, err)
	ok(t, keys.Save(cfg.SigningKeysFile))
	out := filepath.Join(dir, "model.json")
	train := func(args ...string) (int, string, string) {
		return rialto(t, append([]string{"train", "--config", config, "--out", out, "--json"}, args...)...)
	}
	if code, _, stderr := train(); code != 1 || !strings.Contains(stderr, "no transaction") {
		t.Errorf("a hub without a history: exit %d, %s", code, stderr)
	}
	const players, suspicious = 150, 60
	func() {
		db, err := store.Open(t.Context(), cfg.Database, storeOptions(cfg))
		ok(t, err)
		defer db.Close()
		desk, err := compliance.NewDesk(compliance.Config{}, compliance.Deps{Store: db, Keys: keys})
		ok(t, err)
		m, err := monitor.New(monitor.Config{}, monitor.Deps{Store: db, Alerts: desk, Holder: "test"})
		ok(t, err)
		defer m.Close()
		var facts []*rules.Fact
		began := time.Now().Add(-240 * time.Hour)
		for i := range players {
			f := &rules.Fact{ID: psd2.NewID(psd2.PrefixPayment, began, rand.Reader), Revision: 1, At: began.Add(time.Duration(i) * time.Minute), Kind: rules.Deposit,
				Status: rules.Settled, Amount: 2000 + int64(i), Currency: "EUR", Merchant: "mer_1", Player: fmt.Sprint("psn_", i), Person: fmt.Sprint("psn_", i)}
			if i < suspicious { // large ones are what officers report here
				f.Amount += 90_000
			}
			facts = append(facts, f)
		}
		for _, f := range facts {
			ok(t, m.Observe(t.Context(), f))
		}
		for i, f := range facts {
			outcome := compliance.OutcomeFalsePositive
			switch {
			case i < suspicious:
				outcome = compliance.OutcomeSAR
			case i%2 == 0:
				continue // nobody has looked
			}
			ok(t, db.Tx(t.Context(), func(tx *store.Tx) error {
				err := desk.Raise(tx, compliance.Finding{ID: "hit_" + f.ID, EntityKind: "person", EntityKey: f.Player, PersonID: f.Player, MerchantID: "mer_1", ObjectID: f.ID,
					Rule: "R08", Family: "structuring", RuleVersion: "1", Severity: compliance.SeverityHigh, Score: 70, Inputs: json.RawMessage(`{}`), At: f.At})
				if err != nil {
					return err
				}
				n, err := tx.Exec(`UPDATE compliance_alerts SET outcome = ? WHERE id = (SELECT alert_id FROM compliance_hits WHERE object_id = ? AND rule = 'R08' LIMIT 1)`, outcome, f.ID)
				if err == nil && n != 1 {
					return fmt.Errorf("%d alerts decided", n)
				}
				return err
			}))
		}
	}()
	code, stdout, stderr := train()
	var r trainReport
	if err := json.Unmarshal([]byte(stdout), &r); code != 0 || err != nil {
		t.Fatalf("exit %d, %v: %s %s", code, err, stdout, stderr)
	}
	if r.Learned+r.Held != players || r.Held == 0 || r.Mode != "shadow" || r.RiskAUC < 0.9 {
		t.Errorf("%+v", r)
	}
	if text, err := os.ReadFile(out); err != nil || strings.Contains(string(text), "psn_") {
		t.Errorf("the model names players: %v", err)
	}
	if code, _, _ := train("--days", "5"); code != 1 {
		t.Errorf("older than wanted: exit %d", code)
	}
	for _, args := range [][]string{{"--labels", "l.tsv"}, {"--events", "e.jsonl"}, {"--days", "0"}} {
		if code, _, _ := train(args...); code != 2 {
			t.Errorf("%v: exit %d", args, code)
		}
	}
}
