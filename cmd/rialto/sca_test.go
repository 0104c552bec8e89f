package main

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

// TestDecisionIsReplayedOnTheCommandLine: by the rules of then, whatever the
// configuration says now; and a decision that was changed is a finding.
func TestDecisionIsReplayedOnTheCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := write(t, dir, "rules.yaml", strings.Replace(must(t, "sca", "rules"), "level: block}", "level: passkey}", 1))
	config := write(t, dir, "rialto.yaml", "data_dir: "+dir+"\nsandbox: true\nsca: {rules_file: "+rules+"}\n")
	cfg, err := configs.Load(config)
	ok(t, err)
	change := func(statement string) {
		t.Helper()
		db, err := openStore(env{t.Context(), io.Discard, io.Discard}, cfg)
		ok(t, err)
		defer db.Close()
		ok(t, db.Tx(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(statement); return err }))
	}
	db, err := openStore(env{t.Context(), io.Discard, io.Discard}, cfg)
	ok(t, err)
	service, err := sca.New(sca.Config{Origin: "http://localhost", RulesFile: rules}, sca.Deps{Store: db, Now: time.Now})
	ok(t, err)
	r, err := service.Require(t.Context(), sca.PaymentFacts{PaymentID: "pay_1", PersonID: db.PersonID("mer_1", "p-1"), Amount: psd2.Euro(2500), Approach: "redirect"})
	ok(t, err)
	ok(t, db.Tx(t.Context(), r.Keep))
	ok(t, db.Close())
	write(t, dir, "rules.yaml", must(t, "sca", "rules")) // the file is another one now
	if out := must(t, "sca", "replay", "--config", config, "pay_1"); !strings.Contains(out, "same") || !strings.Contains(out, "low_value") || strings.Contains(out, "different") {
		t.Errorf("%s", out)
	}
	change(`UPDATE sca_decisions SET facts = REPLACE(facts, '2500', '250000')`)
	code, out, _ := rialto(t, "sca", "replay", "--config", config, "pay_1")
	if code != 1 || !strings.Contains(out, "different") || !strings.Contains(out, "now  ") {
		t.Errorf("exit %d: %s", code, out)
	}
	code, out, _ = rialto(t, "sca", "replay", "--config", config, "--json", "pay_1")
	var list []sca.Replayed
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 1 || len(list) != 1 || list[0].Same || list[0].Facts.Amount.AmountMinor != 250000 {
		t.Errorf("exit %d: %s %v", code, out, err)
	}
	for args, want := range map[string]int{"sca": 2, "sca undo": 2, "sca replay": 2, "sca replay --config " + config + " pay_2": 1} {
		if code, _, _ := rialto(t, strings.Fields(args)...); code != want {
			t.Errorf("%s: exit %d", args, code)
		}
	}
}

// TestReceiptVerifiesByTheDatabaseAfterItsKeyIsGone: --config knows every key
// that ever signed a receipt.
func TestReceiptVerifiesByTheDatabaseAfterItsKeyIsGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := write(t, dir, "rialto.yaml", "data_dir: "+dir+"\nsandbox: true\n")
	cfg, err := configs.Load(config)
	ok(t, err)
	db, err := openStore(env{t.Context(), io.Discard, io.Discard}, cfg)
	ok(t, err)
	now := time.Now().Add(-time.Hour)
	keys, err := jose.NewKeySet(rand.Reader, now, jose.ES256) // of which the hub's own file knows nothing
	ok(t, err)
	service, err := sca.New(sca.Config{Origin: "http://localhost"}, sca.Deps{Store: db, Now: time.Now, Signer: func(at time.Time) (*jose.Key, error) { return keys.Signer(jose.ES256, at) }})
	ok(t, err)
	id := executed(t, db, now)
	_, err = db.Sequencer("test").Step(t.Context(), time.Now())
	ok(t, err)
	_, err = service.Follower("test").Step(t.Context(), time.Now())
	ok(t, err)
	jws, err := service.Receipt(t.Context(), id)
	ok(t, err)
	ok(t, db.Close())
	receipt := write(t, dir, "receipt.jws", jws)
	if out := must(t, "verify", "receipt", "--config", config, receipt); !strings.Contains(out, "genuine") || !strings.Contains(out, "bank had authorised "+id) {
		t.Errorf("%s", out)
	}
}

// executed is a payment that its bank has carried out.
func executed(t *testing.T, db *store.DB, now time.Time) (id string) {
	t.Helper()
	p := &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: "mer_1", PersonID: db.PersonID("mer_1", "p-1"), Amount: psd2.Euro(2500),
		ExpiresAt: now.Add(time.Hour), LinkHash: rand.Text(), PayerPolicy: psd2.PayerOff,
		Personal: psd2.Personal{Player: psd2.Player{Reference: "p-1"}, Payee: psd2.Party{Name: "Casino", IBAN: "DE89370400440532013000"}}}
	p.Create(now)
	ok(t, db.Tx(t.Context(), func(tx *store.Tx) error { return tx.CreatePayment(p) }))
	attempt := psd2.NewID(psd2.PrefixAttempt, now, rand.Reader)
	_, err := db.UpdatePayment(t.Context(), p.ID, func(p *psd2.Payment) error {
		if err := p.BeginAttempt(psd2.Attempt{ID: attempt, BankID: "b", EndToEndID: psd2.NewEndToEndID(attempt), State: psd2.AttemptSubmitting}, psd2.PSU{}, now); err != nil {
			return err
		}
		if err := p.Initiated(attempt, "redirect", psd2.Prompt{Kind: psd2.PromptRedirect}, []byte("{}"), now); err != nil {
			return err
		}
		p.Report(attempt, psd2.Report{Status: "ACSC", SCAStatus: psd2.SCAFinalised}, now)
		return nil
	})
	ok(t, err)
	return p.ID
}
