package monitor

import (
	"context"
	"encoding/json"
	"errors"
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

// record stores a hit and hands it to the officers: once, and once more when
// what came late has made it graver.
func (m *Monitor) record(tx *store.Tx, s subject, hit rules.Hit, j *rules.Judgement, counts *tally) error {
	doc, err := json.Marshal(hit)
	if err != nil {
		return err
	}
	id := "hit_" + strings.ToLower(hit.Rule) + "_" + j.ID
	n, err := tx.Exec(`INSERT INTO monitor_hits (transaction_id, rule, version, action, hit, at) VALUES (?,?,?,?,?,?) ON CONFLICT (transaction_id, rule) DO NOTHING`,
		j.ID, hit.Rule, hit.Version, string(hit.Action), string(doc), tx.Now.UnixMicro())
	switch {
	case err != nil:
		return err
	case n == 1:
		counts.note(&counts.hits, hit.Rule)
	default:
		graver, err := worsen(tx, j.ID, hit, string(doc))
		if err != nil || !graver {
			return err
		}
		id += "_" + strings.ToLower(string(hit.Severity)+"_"+string(hit.Action))
	}
	f, err := s.finding(id, hit, j.Score)
	if err != nil {
		return err
	}
	if err := m.deps.Alerts.Raise(tx, f); err != nil {
		return fmt.Errorf("raise %s: %w", hit.Rule, err)
	}
	return nil
}

// worsen replaces a hit that is known by the graver one, if it is that.
func worsen(tx *store.Tx, id string, hit rules.Hit, doc string) (bool, error) {
	var stored string
	if err := tx.Get(&stored, `SELECT hit FROM monitor_hits WHERE transaction_id = ? AND rule = ?`, id, hit.Rule); err != nil {
		return false, err
	}
	var known rules.Hit
	if err := json.Unmarshal([]byte(stored), &known); err != nil {
		return false, fmt.Errorf("hit of %s: %w", id, err)
	}
	before, now := severityOf(known.Severity), severityOf(hit.Severity)
	if now < before || now == before && !hit.Action.Above(known.Action) {
		return false, nil
	}
	n, err := tx.Exec(`UPDATE monitor_hits SET version = ?, action = ?, hit = ?, at = ? WHERE transaction_id = ? AND rule = ? AND hit = ?`,
		hit.Version, string(hit.Action), doc, tx.Now.UnixMicro(), id, hit.Rule, stored)
	return n == 1, err
}

// finding is what the officers get of a hit.
func (s subject) finding(id string, hit rules.Hit, score int) (compliance.Finding, error) {
	f := compliance.Finding{
		ID: id, EntityKind: hit.Entity, EntityKey: hit.EntityKey, PersonID: s.personID, MerchantID: s.fact.Merchant, ObjectID: s.fact.ID,
		Rule: hit.Rule, Family: hit.Family, RuleVersion: hit.Version, Severity: severityOf(hit.Severity), Score: int64(score), At: s.fact.At,
	}
	var doc any = hit
	if s.scored != nil {
		doc = inputs{hit, s.scored}
	}
	if s.fact.Kind == rules.HourEnd {
		f.ObjectID = ""
	}
	if f.EntityKey == "" { // an entity this transaction lacks: its player answers
		f.EntityKind, f.EntityKey = "player", s.fact.Player
	}
	var err error
	f.Inputs, err = json.Marshal(doc)
	return f, err
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

// decide makes the transaction's one decision, or renews it; first says which.
func (m *Monitor) decide(tx *store.Tx, j *rules.Judgement, bySweeper bool, counts *tally) (first bool, err error) {
	for _, g := range j.NoData {
		counts.note(&counts.noData, g.Rule)
	}
	gaps, err := json.Marshal(j.NoData)
	if err != nil {
		return false, err
	}
	now := tx.Now.UnixMicro()
	var looked int64
	if err := tx.Get(&looked, `INSERT INTO monitor_decisions (transaction_id, action, score, profile, rules_version, no_data, looked, by_sweeper, decided_at, updated_at)
		VALUES (?,?,?,?,?,?,1,?,?,?)
		ON CONFLICT (transaction_id) DO UPDATE SET action = excluded.action, score = excluded.score, profile = excluded.profile,
			rules_version = excluded.rules_version, no_data = excluded.no_data, looked = monitor_decisions.looked + 1, updated_at = excluded.updated_at
		RETURNING looked`,
		j.ID, string(j.Action), j.Score, j.Profile, j.Version, string(gaps), number(bySweeper), now, now); err != nil {
		return false, err
	}
	if looked == 1 {
		counts.decided++
		if bySweeper {
			counts.swept++
		}
	}
	_, err = tx.Exec(`UPDATE monitor_transactions SET decided = 1 WHERE id = ? AND decided = 0`, j.ID)
	return looked == 1, err
}

// sweepBatch bounds one sweep.
const sweepBatch = 16

// overdue are the undecided of whom nothing more may come, and those decided
// who have to be judged again.
const overdue = `decided = 0 AND (seen_at <= ? OR EXISTS (SELECT 1 FROM monitor_decisions WHERE transaction_id = monitor_transactions.id))`

// sweep judges merchants' hours that are over, judges again what too much came
// before to do so at once, and decides what has been undecided for too long:
// read anew, or as it was last seen when its person has been erased or it is damaged. It reports
// whether there is more.
func (m *Monitor) sweep(ctx context.Context, now time.Time) (again bool, err error) {
	if again, err = m.sweepHours(ctx, now); err != nil {
		return false, err
	}
	var rows []row
	err = m.deps.Store.Select(ctx, &rows, selectRow+overdue+` ORDER BY seen_at LIMIT ?`, now.Add(-m.cfg.DecideWithin).UnixMicro(), sweepBatch)
	if err != nil {
		return false, err
	}
	set, err := m.sets.current(ctx)
	if err != nil {
		return false, err
	}
	subjects := make([]subject, len(rows))
	for i, r := range rows {
		if subjects[i], err = m.again(ctx, r); err != nil {
			return false, err
		}
	}
	if len(rows) > 0 {
		if err := m.settle(ctx, set, subjects, true); err != nil {
			return false, err
		}
	}
	return again || len(rows) == sweepBatch, m.measure(ctx, now)
}

// again is a transaction that is remembered, as it stands now.
func (m *Monitor) again(ctx context.Context, r row) (subject, error) {
	s, err := m.load(ctx, r.ID)
	if err != nil && !errors.Is(err, store.ErrDamaged) || s.fact != nil {
		return s, err
	}
	s.fact, err = r.fact()
	s.personID = r.PersonID
	return s, err
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
			return m.judgeHour(tx, set, e.Merchant, e.Hour, &counts)
		})
		if err != nil {
			return false, err
		}
		m.metrics.add(counts)
	}
	return len(ended) == sweepBatch, nil
}

// judgeHour judges a merchant's hour, in shadow too.
func (m *Monitor) judgeHour(tx *store.Tx, set *ruleSet, merchant string, hour int64, counts *tally) error {
	f := rules.HourFact(merchant, time.Unix(hour*3600, 0))
	past, err := hours(tx, merchant, hour)
	if err != nil {
		return err
	}
	j, err := set.live.of(merchant).Judge(f, &rules.History{Hours: past})
	if err != nil {
		return err
	}
	if set.shadowID != "" {
		shadow, err := set.shadow.of(merchant).Judge(f, &rules.History{Hours: past})
		if err != nil {
			return err
		}
		if len(j.Hits)+len(shadow.Hits) > 0 { // most hours say nothing
			if err := m.deps.Book.Note(tx, set.shadowID, f.At, j, shadow); err != nil {
				return err
			}
		}
	}
	for _, hit := range j.Hits {
		if err := m.record(tx, subject{fact: f}, hit, j, counts); err != nil {
			return err
		}
	}
	var now rules.Hour
	if n := len(past); n > 0 && past[n-1].Hour == hour {
		now = past[n-1]
	}
	// One that has changed meanwhile stays to be judged.
	_, err = tx.Exec(`UPDATE monitor_hours SET judged = 1 WHERE merchant_id = ? AND hour = ? AND deposits = ? AND deposit_sum = ? AND refund_sum = ? AND failed = ?`,
		merchant, hour, now.Deposits, now.Sum, now.Refunds, now.Failed)
	return err
}

// measure tells the metric how many are undecided beyond their time, those
// included that cannot be read: anything but 0 wants somebody to look.
func (m *Monitor) measure(ctx context.Context, now time.Time) error {
	var n int64
	before := now.Add(-m.cfg.DecideWithin).UnixMicro()
	err := m.deps.Store.Get(ctx, &n, `SELECT COUNT(*) FROM (
		SELECT id FROM monitor_transactions WHERE decided = 0 AND seen_at <= ? UNION SELECT object_id FROM journal_aside WHERE walk = ? AND since <= ?) AS late
		WHERE NOT EXISTS (SELECT 1 FROM monitor_decisions WHERE transaction_id = late.id)`, before, leaseName, before)
	if err == nil {
		m.metrics.undecided.Set(float64(n))
	}
	return err
}
