package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2/store"
)

// openModel reads the model that the configuration names.
func (d *Deps) openModel(file string) error {
	if d.Model != nil || file == "" {
		return nil
	}
	in, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("monitor: model: %w", err)
	}
	defer func() { _ = in.Close() }() // only read
	if d.Model, err = score.Read(in); err != nil {
		return fmt.Errorf("monitor: %s: %w", file, err)
	}
	return nil
}

// score lets the model look at a transaction: what it saw and what it says. It
// watches: nothing is decided by it. Without a model, or with one that needs
// numbers that the rules in force no longer take, there is no score.
func (m *Monitor) score(set *ruleSet, f *rules.Fact, h *rules.History) ([]float64, *score.Scored, error) {
	if m.deps.Model == nil {
		return nil, nil, nil
	}
	engine := set.live.of(f.Merchant)
	at := set.columns[engine]
	if at == nil {
		return nil, nil, nil
	}
	values := engine.Values(f, h)
	seen := make([]float64, len(at))
	for i, n := range at {
		seen[i] = values[n]
	}
	s, err := m.deps.Model.Score(seen)
	if err != nil {
		return nil, nil, err
	}
	return seen, &s, nil
}

// keepScore stores what the model saw and said.
func keepScore(tx *store.Tx, id string, seen []float64, s *score.Scored) error {
	numbers, err := json.Marshal(seen)
	if err != nil {
		return err
	}
	risk := int64(-1)
	if s.Risk != nil {
		risk = millionths(*s.Risk)
	}
	_, err = tx.Exec(`INSERT INTO monitor_scores (transaction_id, model, novelty, risk, numbers, at) VALUES (?,?,?,?,?,?)
		ON CONFLICT (transaction_id) DO UPDATE SET model = excluded.model, novelty = excluded.novelty, risk = excluded.risk, numbers = excluded.numbers, at = excluded.at`,
		id, s.Version, millionths(s.Novelty), risk, string(numbers), tx.Now.UnixMicro())
	return err
}

func millionths(v float64) int64 { return int64(math.Round(v * 1e6)) }

// How many of the newest transactions drift is measured on, and from how many
// it means something.
const (
	driftRows  = 1000
	driftLeast = 50
)

// Drift says how far what the model sees now has moved from what it learned,
// the most drifted number first. It is nil without a model, and while fewer
// than 50 transactions were scored.
func (m *Monitor) Drift(ctx context.Context) ([]score.Drifted, error) {
	if m.deps.Model == nil {
		return nil, nil
	}
	var docs []string
	err := m.deps.Store.Select(ctx, &docs, `SELECT numbers FROM monitor_scores WHERE model = ? ORDER BY at DESC LIMIT ?`, m.deps.Model.Version, driftRows)
	if err != nil || len(docs) < driftLeast {
		return nil, err
	}
	rows := make([][]float64, len(docs))
	for i, doc := range docs {
		if err := json.Unmarshal([]byte(doc), &rows[i]); err != nil {
			return nil, err
		}
	}
	return m.deps.Model.Drift(rows), nil
}

// measureDrift tells the metric.
func (m *Monitor) measureDrift(ctx context.Context) error {
	drifted, err := m.Drift(ctx)
	for _, d := range drifted {
		m.metrics.drift.WithLabelValues(d.Column).Set(d.PSI)
	}
	return err
}
