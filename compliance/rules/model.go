package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// ModelRule is the fraud score's name among the rules, in its hits and alerts.
const ModelRule = "MODEL"

const modelFamily = "model"

// Acting lets the fraud score raise alerts: of the one version that it names,
// from one of the two lines on. It has no action of its own, so that it never
// stops or delays anything. A catalogue without it only watches.
type Acting struct {
	Version  string   `yaml:"version" json:"version"`
	Novelty  float64  `yaml:"novelty" json:"novelty,omitempty"` // 0 to 1; 0: however unusual it is
	Risk     float64  `yaml:"risk" json:"risk,omitempty"`       // 0 to 1; 0: whatever the risk
	Severity Severity `yaml:"severity" json:"severity"`
	Weight   int      `yaml:"weight" json:"weight"` // share in the composite score, 0..100
}

// ModelScore is what a version of the model saw of a transaction and said.
type ModelScore struct {
	Version string
	Numbers []float64 // in the order of the model's columns
	Novelty float64
	Risk    *float64 // nil: it learned no outcomes
}

var modelVersion = regexp.MustCompile(`^[0-9a-f]{16}$`)

func (a *Acting) check() error {
	switch {
	case !modelVersion.MatchString(a.Version):
		return fmt.Errorf("model: %q is no version of a model", a.Version)
	case !(a.Novelty >= 0 && a.Novelty <= 1 && a.Risk >= 0 && a.Risk <= 1) || a.Novelty == 0 && a.Risk == 0: // NaN is neither
		return errors.New("model: novelty or risk must be given, above 0 and up to 1")
	case !slices.Contains(severities, a.Severity) || a.Weight < 0 || a.Weight > 100:
		return errors.New("model: severity or weight is not known")
	}
	return nil
}

// Holds reports whether a score is above one of the lines.
func (a *Acting) Holds(novelty float64, risk *float64) bool {
	return a.Novelty > 0 && novelty >= a.Novelty || a.Risk > 0 && risk != nil && *risk >= a.Risk
}

// ID pins the model's version, the lines and what they do; it is the version of
// the hits.
func (a *Acting) ID() string {
	b, err := json.Marshal(a)
	if err != nil {
		panic("rules: " + err.Error()) // plain data, checked to be finite
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func (a *Acting) when() string {
	var parts []string
	if a.Novelty > 0 {
		parts = append(parts, fmt.Sprintf("novelty >= %v", a.Novelty))
	}
	if a.Risk > 0 {
		parts = append(parts, fmt.Sprintf("risk >= %v", a.Risk))
	}
	return strings.Join(parts, " || ")
}

func (a *Acting) hit(s ModelScore, kind, key string) Hit {
	h := Hit{Rule: ModelRule, Version: a.ID(), Family: modelFamily, Entity: kind, EntityKey: key, When: a.when(), Severity: a.Severity, Action: Alert, Weight: a.Weight,
		Public: PaymentNotPossible, Inputs: map[string]any{"model": s.Version, "novelty": s.Novelty, "numbers": s.Numbers}, Limits: map[string]float64{}}
	if s.Risk != nil {
		h.Inputs["risk"] = *s.Risk
	}
	for name, line := range map[string]float64{"novelty": a.Novelty, "risk": a.Risk} {
		if line > 0 {
			h.Limits[name] = line
		}
	}
	return h
}

// Acting is what lets the fraud score act; nil: it watches.
func (e *Engine) Acting() *Acting { return e.acting }

// AddModel adds the fraud score's hit to a judgement, if it acts in the version
// that looked and is above its lines.
func (e *Engine) AddModel(j *Judgement, f *Fact, s ModelScore) {
	if e.acting == nil || e.acting.Version != s.Version || !e.acting.Holds(s.Novelty, s.Risk) {
		return
	}
	j.add(e.acting.hit(s, "player", f.Player))
	j.Score = min(j.Score, 100)
}

// ReplayModel compares a stored hit of the fraud score with what the same
// version says of the same numbers now, and gives the same hit or says why not.
func (e *Engine) ReplayModel(h Hit, now ModelScore) (Hit, error) {
	switch {
	case e.acting == nil || e.acting.ID() != h.Version || e.acting.Version != now.Version:
		return Hit{}, fmt.Errorf("rules: replay: the model does not act as in version %s", h.Version)
	case !e.acting.Holds(now.Novelty, now.Risk):
		return Hit{}, errors.New("rules: replay: the score is below its line for these inputs")
	}
	again := e.acting.hit(now, h.Entity, h.EntityKey)
	for _, name := range []string{"novelty", "risk"} {
		before, had := h.Inputs[name].(float64)
		after, has := again.Inputs[name].(float64)
		if had != has || math.Abs(before-after) > 1e-9 { // processors differ in the last digit
			return Hit{}, fmt.Errorf("rules: replay: %s was %v, is %v", name, before, after)
		}
	}
	again.Inputs = maps.Clone(h.Inputs)
	return again, nil
}

// ModelNumbers are what the model saw of a stored hit.
func (h Hit) ModelNumbers() ([]float64, error) {
	switch list := h.Inputs["numbers"].(type) {
	case []float64:
		return list, nil
	case []any: // as JSON brings it back
		out := make([]float64, len(list))
		for i, v := range list {
			n, ok := v.(float64)
			if !ok {
				return nil, errors.New("rules: replay: what the model saw is no list of numbers")
			}
			out[i] = n
		}
		return out, nil
	}
	return nil, errors.New("rules: replay: what the model saw was not kept")
}
