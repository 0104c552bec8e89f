package monitor

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// openModel reads the model that the configuration names and keeps it: what
// watches now may act later, and is judged by again as long as alerts are kept.
func (m *Monitor) openModel(file string) error {
	if m.deps.Model == nil && file == "" {
		return nil
	}
	if m.deps.Model == nil {
		in, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("monitor: model: %w", err)
		}
		defer func() { _ = in.Close() }() // only read
		if m.deps.Model, err = score.Read(in); err != nil {
			return fmt.Errorf("monitor: %s: %w", file, err)
		}
	}
	model := m.deps.Model
	doc, err := json.Marshal(model)
	if err != nil {
		return fmt.Errorf("monitor: model: %w", err)
	}
	err = m.deps.Store.Tx(context.Background(), func(tx *store.Tx) error {
		n, err := tx.Exec(`INSERT INTO monitor_models (version, model, since) VALUES (?,?,?) ON CONFLICT (version) DO NOTHING`, model.Version, string(doc), tx.Now.UnixMicro())
		if err != nil || n == 0 {
			return err
		}
		return m.note(tx, "model.watches", "model:"+model.Version, map[string]any{"rows": model.Rows, "trained_at": model.TrainedAt.Format(time.RFC3339)})
	})
	if err != nil {
		return fmt.Errorf("monitor: model: %w", err)
	}
	return nil
}

// seer is a model with where it finds its columns among each engine's values.
type seer struct {
	model *score.Model
	mode  score.Mode
	at    map[*rules.Engine][]int // nil for an engine that does not take all of them
}

func newSeer(m *score.Model, mode score.Mode, by engines) *seer {
	s := &seer{m, mode, map[*rules.Engine][]int{}}
	for _, e := range by.byProfile {
		have := e.Columns()
		at := make([]int, len(m.Columns))
		for i, name := range m.Columns {
			if at[i] = slices.Index(have, name); at[i] < 0 {
				at = nil
				break
			}
		}
		s.at[e] = at
	}
	return s
}

// seen is what a model saw of a transaction and said.
type seen struct {
	numbers []float64
	said    score.Scored
}

func (s *seen) asScore() rules.ModelScore {
	return rules.ModelScore{Version: s.said.Version, Numbers: s.numbers, Novelty: s.said.Novelty, Risk: s.said.Risk}
}

// look is nil without a model, and for one that needs numbers that the engine
// does not take.
func (s *seer) look(e *rules.Engine, f *rules.Fact, h *rules.History) (*seen, error) {
	if s == nil || s.at[e] == nil {
		return nil, nil
	}
	at, values := s.at[e], e.Values(f, h)
	numbers := make([]float64, len(at))
	for i, n := range at {
		numbers[i] = values[n]
	}
	said, err := s.model.Score(numbers)
	said.Mode = s.mode
	return &seen{numbers, said}, err
}

// see lets the models look at a transaction: the one that acts, and the one
// that watches, if it is another. The first is the one whose word stands with
// the alerts.
func (s *ruleSet) see(f *rules.Fact, h *rules.History) (list []*seen, err error) {
	engine := s.live.of(f.Merchant)
	for _, by := range []*seer{s.acting, s.watching} {
		one, err := by.look(engine, f, h)
		if err != nil {
			return nil, err
		}
		if one != nil {
			list = append(list, one)
		}
	}
	return list, nil
}

// placeModels finds the models that a rule set lets act or try to, and has the
// configured one watch.
func (s *ruleSet) placeModels(watching *score.Model, load func(version string) (*score.Model, error)) error {
	acting := func(by engines, mode score.Mode) (*seer, error) {
		a := by.of("").Acting()
		if a == nil {
			return nil, nil
		}
		m, err := load(a.Version)
		if err != nil {
			return nil, err
		}
		return newSeer(m, mode, by), nil
	}
	var err error
	if s.acting, err = acting(s.live, score.Active); err != nil {
		return err
	}
	if s.shadowID != "" {
		if s.trying, err = acting(s.shadow, score.Shadow); err != nil {
			return err
		}
	}
	if watching != nil && (s.acting == nil || s.acting.model.Version != watching.Version) {
		s.watching = newSeer(watching, score.Shadow, s.live)
	}
	return nil
}

// keepScore stores what a model saw and said.
func keepScore(tx *store.Tx, id string, s *seen) error {
	numbers, err := json.Marshal(s.numbers)
	if err != nil {
		return err
	}
	risk := int64(-1)
	if s.said.Risk != nil {
		risk = millionths(*s.said.Risk)
	}
	_, err = tx.Exec(`INSERT INTO monitor_scores (transaction_id, model, novelty, risk, numbers, at) VALUES (?,?,?,?,?,?)
		ON CONFLICT (transaction_id, model) DO UPDATE SET novelty = excluded.novelty, risk = excluded.risk, numbers = excluded.numbers, at = excluded.at`,
		id, s.said.Version, millionths(s.said.Novelty), risk, string(numbers), tx.Now.UnixMicro())
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
// the most drifted number first: the one that acts, else the one that watches.
// It is nil without a model, and while fewer than 50 transactions were scored.
func (m *Monitor) Drift(ctx context.Context) ([]score.Drifted, error) {
	set, err := m.sets.current(ctx)
	if err != nil {
		return nil, err
	}
	by := set.acting
	if by == nil {
		by = set.watching
	}
	if by == nil {
		return nil, nil
	}
	var docs []string
	err = m.deps.Store.Select(ctx, &docs, `SELECT numbers FROM monitor_scores WHERE model = ? ORDER BY at DESC LIMIT ?`, by.model.Version, driftRows)
	if err != nil || len(docs) < driftLeast {
		return nil, err
	}
	rows := make([][]float64, len(docs))
	for i, doc := range docs {
		if err := json.Unmarshal([]byte(doc), &rows[i]); err != nil {
			return nil, err
		}
	}
	return by.model.Drift(rows), nil
}

// measureDrift tells the metric.
func (m *Monitor) measureDrift(ctx context.Context) error {
	drifted, err := m.Drift(ctx)
	for _, d := range drifted {
		m.metrics.drift.WithLabelValues(d.Column).Set(d.PSI)
	}
	return err
}

// Model loads a version of the fraud score that has watched; one that never did
// is not found.
func (a Archive) Model(ctx context.Context, version string) (*score.Model, error) {
	var doc string
	err := a.Store.Get(ctx, &doc, `SELECT model FROM monitor_models WHERE version = ?`, version)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, psd2.NotFound("model " + version)
	}
	if err != nil {
		return nil, fmt.Errorf("monitor: model: %w", err)
	}
	m, err := score.ReadJSON([]byte(doc))
	if err == nil && m.Version != version {
		err = fmt.Errorf("it is %s", m.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("monitor: model %s: %w", version, err)
	}
	return m, nil
}

// Models lists the versions that have watched, the newest first, with how many
// transactions each has scored.
func (a Archive) Models(ctx context.Context) ([]rulebook.Watched, error) {
	var rows []struct {
		Version string `db:"version"`
		Since   int64  `db:"since"`
		Scored  int    `db:"scored"`
	}
	err := a.Store.Select(ctx, &rows, `SELECT version, since, (SELECT COUNT(*) FROM monitor_scores WHERE model = version) AS scored FROM monitor_models ORDER BY since DESC, version`)
	if err != nil {
		return nil, fmt.Errorf("monitor: models: %w", err)
	}
	out := make([]rulebook.Watched, len(rows))
	for i, r := range rows {
		out[i] = rulebook.Watched{Version: r.Version, Since: time.UnixMicro(r.Since).UTC(), Scored: r.Scored}
	}
	return out, nil
}

// Scores are what a version has said of transactions, by their ids.
func (a Archive) Scores(ctx context.Context, version string, from, until time.Time) (map[string]rules.ModelScore, error) {
	var rows []struct {
		ID      string `db:"transaction_id"`
		Novelty int64  `db:"novelty"`
		Risk    int64  `db:"risk"`
	}
	err := a.Store.Select(ctx, &rows, `SELECT s.transaction_id, s.novelty, s.risk FROM monitor_scores s JOIN monitor_transactions t ON t.id = s.transaction_id
		WHERE s.model = ? AND t.at >= ? AND t.at < ?`, version, from.UnixMicro(), until.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("monitor: scores: %w", err)
	}
	out := make(map[string]rules.ModelScore, len(rows))
	for _, r := range rows {
		s := rules.ModelScore{Version: version, Novelty: float64(r.Novelty) / 1e6}
		if r.Risk >= 0 {
			risk := float64(r.Risk) / 1e6
			s.Risk = &risk
		}
		out[r.ID] = s
	}
	return out, nil
}
