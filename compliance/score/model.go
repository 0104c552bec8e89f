package score

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"time"
)

// Mode says whether a model acted when it looked. No model says so itself: a
// published rule set does.
type Mode string

// Modes.
const (
	Shadow Mode = "shadow"
	Active Mode = "active"
)

// Model is a trained model with everything that explains it.
type Model struct {
	Version   string      `json:"version"` // hash of what decides
	TrainedAt time.Time   `json:"trained_at"`
	Seed      uint64      `json:"seed"`
	Rows      int         `json:"rows"`
	Columns   []string    `json:"columns"`
	Usual     []float64   `json:"usual"` // median of every column
	Bins      [][]float64 `json:"bins"`  // inner decile borders of every column, for Drift
	Shares    [][]float64 `json:"shares"`
	Forest    Forest      `json:"forest"`
	Logistic  *Logistic   `json:"logistic,omitempty"` // nil until there are outcomes
}

// Sample is what a model learns from. Bad may be nil: then only novelty is
// learned.
type Sample struct {
	Columns []string
	Rows    [][]float64
	Bad     []bool
}

// minOutcomes are how many suspicious and how many clean outcomes a regression
// needs to mean anything.
const minOutcomes = 10

// Train makes a model; the same sample, seed and time give the
// same bytes.
func Train(s Sample, seed uint64, now time.Time) (*Model, error) {
	if len(s.Rows) < 2 || len(s.Columns) == 0 {
		return nil, errors.New("score: there is nothing to learn from")
	}
	for i, r := range s.Rows {
		if len(r) != len(s.Columns) {
			return nil, fmt.Errorf("score: row %d has %d numbers, want %d", i, len(r), len(s.Columns))
		}
		if slices.ContainsFunc(r, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
			return nil, fmt.Errorf("score: row %d holds what is no number", i)
		}
	}
	if s.Bad != nil && len(s.Bad) != len(s.Rows) {
		return nil, errors.New("score: there must be one outcome a row")
	}
	m := &Model{TrainedAt: now.UTC(), Seed: seed, Rows: len(s.Rows), Columns: s.Columns}
	m.learnRange(s.Rows)
	m.Forest = growForest(s.Rows, rand.New(rand.NewPCG(seed, 0x1f))) //nolint:gosec // a model must come out the same again
	bad := 0
	for _, b := range s.Bad {
		if b {
			bad++
		}
	}
	if bad >= minOutcomes && len(s.Bad)-bad >= minOutcomes {
		m.Logistic = fitLogistic(s.Rows, s.Bad)
	}
	m.Version = m.hash()
	return m, nil
}

func (m *Model) hash() string {
	b, err := json.Marshal([]any{m.Columns, m.Usual, m.Forest, m.Logistic})
	if err != nil {
		panic("score: " + err.Error()) // numbers only, checked to be finite
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func (m *Model) learnRange(rows [][]float64) {
	for c := range m.Columns {
		values := column(rows, c)
		sort.Float64s(values)
		m.Usual = append(m.Usual, values[len(values)/2])
		var borders []float64
		for d := 1; d < 10; d++ {
			if v := values[len(values)*d/10]; len(borders) == 0 || v > borders[len(borders)-1] {
				borders = append(borders, v)
			}
		}
		m.Bins = append(m.Bins, borders)
		m.Shares = append(m.Shares, shares(values, borders))
	}
}

func column(rows [][]float64, c int) []float64 {
	out := make([]float64, len(rows))
	for i, r := range rows {
		out[i] = r[c]
	}
	return out
}

// shares are the parts of values in each bin.
func shares(values, borders []float64) []float64 {
	out := make([]float64, len(borders)+1)
	for _, v := range values {
		out[sort.SearchFloat64s(borders, v)] += 1 / float64(len(values))
	}
	return out
}

// ReadJSON is Read for what stands in a larger document.
func ReadJSON(text []byte) (*Model, error) { return Read(bytes.NewReader(text)) }

// Read reads a model and checks that its content is what its version says.
func Read(r io.Reader) (*Model, error) {
	var m Model
	d := json.NewDecoder(io.LimitReader(r, 64<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("score: model: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return &m, nil
}

func (m *Model) check() error {
	width := len(m.Columns)
	switch {
	case m.hash() != m.Version:
		return errors.New("score: model: its content is not what its version says")
	case len(m.Usual) != width || len(m.Bins) != width || len(m.Shares) != width:
		return errors.New("score: model: its columns do not fit")
	case m.Logistic != nil && (len(m.Logistic.Weights) != width || len(m.Logistic.Mean) != width || len(m.Logistic.SD) != width):
		return errors.New("score: model: its columns do not fit")
	}
	for _, t := range m.Forest.Trees {
		for i, n := range t {
			if n.Column >= width || n.Column >= 0 && (n.Left <= i || n.Right <= i || n.Left >= len(t) || n.Right >= len(t)) {
				return errors.New("score: model: a tree is broken")
			}
		}
	}
	return nil
}

// Part is what one column did to a score.
type Part struct {
	Column string  `json:"column"`
	Value  float64 `json:"value"`
	Usual  float64 `json:"usual"`
	Moved  float64 `json:"moved"` // novelty: of the score; risk: of its log-odds
}

// Scored is a transaction's score with its explanation, largest parts first.
type Scored struct {
	Version  string   `json:"version"`
	Mode     Mode     `json:"mode"`
	Novelty  float64  `json:"novelty"`        // 0..1, about 0.5 is usual
	Risk     *float64 `json:"risk,omitempty"` // 0..1; nil without a regression
	ForNovel []Part   `json:"for_novelty"`
	ForRisk  []Part   `json:"for_risk,omitempty"`
}

// parts that an explanation shows.
const shown = 5

// Score scores one row in the order of Columns. What a column did to novelty is
// how much lower it would be with the column's usual value.
func (m *Model) Score(row []float64) (Scored, error) {
	if len(row) != len(m.Columns) {
		return Scored{}, fmt.Errorf("score: %d numbers, want %d", len(row), len(m.Columns))
	}
	out := Scored{Version: m.Version, Mode: Shadow, Novelty: m.Forest.Score(row)}
	with := slices.Clone(row)
	moved := make([]float64, len(row))
	for c, v := range row {
		if v == m.Usual[c] {
			continue
		}
		with[c] = m.Usual[c]
		moved[c] = out.Novelty - m.Forest.Score(with)
		with[c] = v
	}
	out.ForNovel = m.parts(row, moved)
	if m.Logistic != nil {
		risk, by := m.Logistic.Score(row)
		out.Risk, out.ForRisk = &risk, m.parts(row, by)
	}
	return out, nil
}

func (m *Model) parts(row, moved []float64) []Part {
	var out []Part
	for c, v := range moved {
		if v != 0 {
			out = append(out, Part{m.Columns[c], row[c], m.Usual[c], v})
		}
	}
	slices.SortStableFunc(out, func(a, b Part) int { return cmp.Compare(math.Abs(b.Moved), math.Abs(a.Moved)) })
	return out[:min(len(out), shown)]
}

// Drifted is how far a column has moved from what the model learned.
type Drifted struct {
	Column string  `json:"column"`
	PSI    float64 `json:"psi"` // population stability index: above 0.1 look, above 0.25 train anew
}

// Drift compares what the model sees now with what it learned from, the most
// drifted column first.
func (m *Model) Drift(rows [][]float64) []Drifted {
	if len(rows) == 0 {
		return nil
	}
	var out []Drifted
	for c, name := range m.Columns {
		psi := 0.0
		for i, now := range shares(column(rows, c), m.Bins[c]) {
			a, b := max(now, 1e-4), max(m.Shares[c][i], 1e-4)
			psi += (a - b) * math.Log(a/b)
		}
		out = append(out, Drifted{name, psi})
	}
	slices.SortStableFunc(out, func(a, b Drifted) int { return cmp.Compare(b.PSI, a.PSI) })
	return out
}

// AUC is the chance that a bad row scores above a good one; 0.5 is guessing.
func AUC(scores []float64, bad []bool) float64 {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[a], scores[b]) })
	ranks, n := 0.0, 0.0
	for i := 0; i < len(order); {
		k := i
		for k < len(order) && scores[order[k]] == scores[order[i]] {
			k++
		}
		for _, at := range order[i:k] {
			if bad[at] {
				ranks += float64(i+k+1) / 2
				n++
			}
		}
		i = k
	}
	good := float64(len(scores)) - n
	if n == 0 || good == 0 {
		return 0
	}
	return (ranks - n*(n+1)/2) / (n * good)
}
