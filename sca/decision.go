package sca

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"reflect"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// keepDecision writes a decision down with everything it was made from: the
// facts, and the rules as they read.
func (s *Service) keepDecision(tx *store.Tx, paymentID string, f Facts, d Decision) error {
	facts, err := json.Marshal(f)
	if err != nil {
		return err
	}
	decision, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if _, err = tx.Exec(`INSERT INTO sca_rules (hash, rules, first_at) VALUES (?, ?, ?) ON CONFLICT (hash) DO NOTHING`, s.rulesHash, string(s.rulesText), tx.Now.UnixMicro()); err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO sca_decisions (id, payment_id, rules, level, facts, decision, created_at, rules_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		psd2.NewID(prefixDecision, tx.Now, s.random), paymentID, d.Rules, string(d.Level), string(facts), string(decision), tx.Now.UnixMicro(), s.rulesHash)
	return err
}

// decided is a payment's last decision. A payment that was never decided about
// needs a confirmation: a step that was left out must not look like one that was
// not needed.
func (s *Service) decided(tx *store.Tx, paymentID string) (d Decision, err error) {
	var text string
	err = tx.Get(&text, `SELECT decision FROM sca_decisions WHERE payment_id = ? ORDER BY id DESC LIMIT 1`, paymentID)
	if errors.Is(err, sql.ErrNoRows) {
		return Decision{Level: Strong}, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &d)
	}
	return d, err
}

// Kept is a stored decision.
type Kept struct {
	PaymentID string    `json:"payment_id"`
	Facts     Facts     `json:"facts"`
	Decision  Decision  `json:"decision"`
	At        time.Time `json:"at"`

	rules string // that decided, as YAML; "" when they were not kept
}

// Decisions are those about a payment, oldest first.
func (s *Service) Decisions(ctx context.Context, paymentID string) ([]Kept, error) {
	var rows []struct {
		Facts     string `db:"facts"`
		Decision  string `db:"decision"`
		Rules     string `db:"rules"`
		CreatedAt int64  `db:"created_at"`
	}
	err := s.db.Select(ctx, &rows, `SELECT d.facts, d.decision, COALESCE(r.rules, '') AS rules, d.created_at FROM sca_decisions d
		LEFT JOIN sca_rules r ON r.hash = d.rules_hash WHERE d.payment_id = ? ORDER BY d.id`, paymentID)
	if err != nil {
		return nil, err
	}
	list := make([]Kept, len(rows))
	for i, r := range rows {
		list[i] = Kept{PaymentID: paymentID, At: time.UnixMicro(r.CreatedAt).UTC(), rules: r.Rules}
		if err := errors.Join(json.Unmarshal([]byte(r.Facts), &list[i].Facts), json.Unmarshal([]byte(r.Decision), &list[i].Decision)); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Replayed is a stored decision and what its own rules say of its facts now.
type Replayed struct {
	Kept
	Again Decision `json:"again"`
	Same  bool     `json:"same"`
}

// Replay decides again about a payment, each time with the facts and the rules
// that were kept. Anything but the same answer means that one of the three was
// changed, or that the program decides differently now.
func (s *Service) Replay(ctx context.Context, paymentID string) ([]Replayed, error) {
	kept, err := s.Decisions(ctx, paymentID)
	if err != nil {
		return nil, err
	}
	if len(kept) == 0 {
		return nil, psd2.NotFound("decision")
	}
	list := make([]Replayed, len(kept))
	for i, k := range kept {
		if k.rules == "" {
			return nil, errors.New("sca: the rules of this decision were not kept")
		}
		rules, err := onlyRules([]byte(k.rules))
		if err != nil {
			return nil, err
		}
		list[i] = Replayed{Kept: k, Again: Decide(rules, k.Facts)}
		list[i].Same = reflect.DeepEqual(list[i].Again, k.Decision)
	}
	return list, nil
}
