package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2/store"
)

// tally counts what a transaction did, for the metrics after its commit.
type tally struct {
	decided, swept int
	hits           map[string]int
	noData         map[string]int
}

func (t *tally) note(to *map[string]int, rule string) {
	if *to == nil {
		*to = map[string]int{}
	}
	(*to)[rule]++
}

// Observe judges facts that come from elsewhere than the journal, such as the
// history of a hub that is taken over, all in one transaction. Of one that
// comes in several revisions the newest counts.
func (m *Monitor) Observe(ctx context.Context, facts ...*rules.Fact) error {
	set, err := m.sets.current(ctx)
	if err != nil {
		return err
	}
	subjects := make([]subject, len(facts))
	for i, f := range facts {
		subjects[i].fact = f
	}
	return m.settle(ctx, set, subjects, false)
}

// record stores a hit once and hands it to the officers.
func (m *Monitor) record(tx *store.Tx, s subject, hit rules.Hit, j *rules.Judgement, counts *tally) error {
	doc, err := json.Marshal(hit)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`INSERT INTO monitor_hits (transaction_id, rule, version, action, hit, at) VALUES (?,?,?,?,?,?) ON CONFLICT (transaction_id, rule) DO NOTHING`,
		j.ID, hit.Rule, hit.Version, string(hit.Action), string(doc), tx.Now.UnixMicro())
	if err != nil || n == 0 {
		return err
	}
	counts.note(&counts.hits, hit.Rule)
	f := compliance.Finding{
		ID: "hit_" + strings.ToLower(hit.Rule) + "_" + j.ID, EntityKind: hit.Entity, EntityKey: hit.EntityKey, PersonID: s.personID,
		MerchantID: s.fact.Merchant, ObjectID: j.ID, Rule: hit.Rule, Family: hit.Family, RuleVersion: hit.Version,
		Severity: severityOf(hit.Severity), Score: int64(j.Score), Inputs: doc, At: s.fact.At,
	}
	if s.scored != nil {
		if f.Inputs, err = json.Marshal(inputs{hit, s.scored}); err != nil {
			return err
		}
	}
	if s.fact.Kind == rules.HourEnd {
		f.ObjectID = ""
	}
	if f.EntityKey == "" { // an entity this transaction lacks: its player answers
		f.EntityKind, f.EntityKey = "player", s.fact.Player
	}
	if err := m.deps.Alerts.Raise(tx, f); err != nil {
		return fmt.Errorf("raise %s: %w", hit.Rule, err)
	}
	return nil
}

// inputs are a hit's with what the model said of the transaction; the hit
// replays from them as well.
type inputs struct {
	rules.Hit
	Model *score.Scored `json:"model"`
}

func severityOf(s rules.Severity) int64 {
	switch s {
	case rules.Critical:
		return compliance.SeverityCritical
	case rules.High:
		return compliance.SeverityHigh
	case rules.Medium:
		return compliance.SeverityMedium
	case rules.Low:
	}
	return compliance.SeverityLow
}

// decide makes the transaction's one decision, or renews it.
func (m *Monitor) decide(tx *store.Tx, j *rules.Judgement, bySweeper bool, counts *tally) error {
	for _, g := range j.NoData {
		counts.note(&counts.noData, g.Rule)
	}
	gaps, err := json.Marshal(j.NoData)
	if err != nil {
		return err
	}
	now := tx.Now.UnixMicro()
	if _, err := tx.Exec(`INSERT INTO monitor_decisions (transaction_id, action, score, profile, rules_version, no_data, looked, by_sweeper, decided_at, updated_at)
		VALUES (?,?,?,?,?,?,1,?,?,?)
		ON CONFLICT (transaction_id) DO UPDATE SET action = excluded.action, score = excluded.score, profile = excluded.profile,
			rules_version = excluded.rules_version, no_data = excluded.no_data, looked = monitor_decisions.looked + 1, updated_at = excluded.updated_at`,
		j.ID, string(j.Action), j.Score, j.Profile, j.Version, string(gaps), number(bySweeper), now, now); err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE monitor_transactions SET decided = 1 WHERE id = ? AND decided = 0`, j.ID)
	if n == 1 {
		counts.decided++
		if bySweeper {
			counts.swept++
		}
	}
	return err
}

// sweepBatch bounds one sweep.
const sweepBatch = 16

// sweep judges merchants' hours that are over, and decides what has been
// undecided for too long: read anew, or as it was last seen when its person has
// been erased. It reports whether there is more.
func (m *Monitor) sweep(ctx context.Context, now time.Time) (again bool, err error) {
	if again, err = m.sweepHours(ctx, now); err != nil {
		return false, err
	}
	var rows []row
	err = m.deps.Store.Select(ctx, &rows, selectRow+`decided = 0 AND seen_at <= ? ORDER BY seen_at LIMIT ?`, now.Add(-m.cfg.DecideWithin).UnixMicro(), sweepBatch)
	if err != nil {
		return false, err
	}
	set, err := m.sets.current(ctx)
	if err != nil {
		return false, err
	}
	for _, r := range rows {
		if err := m.sweepOne(ctx, set, r); err != nil {
			return false, err
		}
	}
	return again || len(rows) == sweepBatch, m.measure(ctx, now)
}

func (m *Monitor) sweepOne(ctx context.Context, set *ruleSet, r row) error {
	s, err := m.load(ctx, r.ID)
	if err != nil {
		return err
	}
	if s.fact == nil {
		if s.fact, err = r.fact(); err != nil {
			return err
		}
		s.personID = r.PersonID
	}
	return m.settle(ctx, set, []subject{s}, true)
}

func (m *Monitor) sweepHours(ctx context.Context, now time.Time) (again bool, err error) {
	var ended []struct {
		Merchant string `db:"merchant_id"`
		Hour     int64  `db:"hour"`
	}
	err = m.deps.Store.Select(ctx, &ended, `SELECT merchant_id, hour FROM monitor_hours WHERE judged = 0 AND hour < ? ORDER BY hour LIMIT ?`, now.Unix()/3600, sweepBatch)
	if err != nil {
		return false, err
	}
	if len(ended) == 0 {
		return false, nil
	}
	set, err := m.sets.current(ctx)
	if err != nil {
		return false, err
	}
	for _, e := range ended {
		var counts tally
		err := m.deps.Store.Tx(ctx, func(tx *store.Tx) error {
			counts = tally{}
			f := rules.HourFact(e.Merchant, time.Unix(e.Hour*3600, 0))
			past, err := hours(tx, e.Merchant, e.Hour)
			if err != nil {
				return err
			}
			j, err := set.live.of(e.Merchant).Judge(f, &rules.History{Hours: past})
			if err != nil {
				return err
			}
			for _, hit := range j.Hits {
				if err := m.record(tx, subject{fact: f}, hit, j, &counts); err != nil {
					return err
				}
			}
			_, err = tx.Exec(`UPDATE monitor_hours SET judged = 1 WHERE merchant_id = ? AND hour = ?`, e.Merchant, e.Hour)
			return err
		})
		if err != nil {
			return false, err
		}
		m.metrics.add(counts)
	}
	return len(ended) == sweepBatch, nil
}

// measure tells the metric how many are undecided beyond their time: anything
// but 0 wants somebody to look.
func (m *Monitor) measure(ctx context.Context, now time.Time) error {
	var n int64
	err := m.deps.Store.Get(ctx, &n, `SELECT COUNT(*) FROM monitor_transactions WHERE decided = 0 AND seen_at <= ?`, now.Add(-m.cfg.DecideWithin).UnixMicro())
	if err == nil {
		m.metrics.undecided.Set(float64(n))
	}
	return err
}
