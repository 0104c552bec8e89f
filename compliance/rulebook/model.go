package rulebook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2"
)

// Models are the versions of the fraud score that have watched.
// monitor.Archive is one.
type Models interface {
	// Model loads a version; one that never watched is not found.
	Model(ctx context.Context, version string) (*score.Model, error)
	// Models lists them, the newest first.
	Models(ctx context.Context) ([]Watched, error)
	// Scores are what a version has said of transactions between two moments.
	Scores(ctx context.Context, version string, from, until time.Time) (map[string]rules.ModelScore, error)
}

// Watched is a version of the fraud score and how long it has watched.
type Watched struct {
	Version string
	Since   time.Time
	Scored  int // transactions
}

// Models lists the versions of the fraud score that a set may let act.
func (b *Book) Models(ctx context.Context, o compliance.Officer) ([]Watched, error) {
	if err := may(o, readers); err != nil || b.deps.Models == nil {
		return nil, err
	}
	return b.deps.Models.Models(ctx)
}

// mayAct refuses a set that lets a model act which has not watched live traffic
// before, or which needs numbers that the set does not take.
func (b *Book) mayAct(ctx context.Context, c *rules.Catalogue) error {
	if c.Model == nil {
		return nil
	}
	version := c.Model.Version
	var list []Watched
	if b.deps.Models != nil {
		var err error
		if list, err = b.deps.Models.Models(ctx); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(list, func(w Watched) bool { return w.Version == version && w.Scored > 0 }) {
		return psd2.Invalid("catalogue", "model_never_shadowed", "model "+version+" has never watched live payments here: only one that has may act")
	}
	m, err := b.deps.Models.Model(ctx, version)
	if err != nil {
		return err
	}
	for _, profile := range c.ProfileNames() {
		e, err := c.Compile(profile, b.deps.Lists)
		if err != nil {
			return err
		}
		have := e.Columns()
		if i := slices.IndexFunc(m.Columns, func(name string) bool { return !slices.Contains(have, name) }); i >= 0 {
			return psd2.Invalid("catalogue", "model_does_not_fit", "model "+version+" needs the number "+m.Columns[i]+", which these rules do not take")
		}
	}
	return nil
}

// replayModel scores what the model saw of a stored hit once more, with the
// very version that acted.
func replayModel(engine *rules.Engine, h rules.Hit, models func(version string) (*score.Model, error)) (rules.Hit, error) {
	if engine.Acting() == nil {
		return rules.Hit{}, errors.New("rulebook: replay: no model acts in that set")
	}
	m, err := models(engine.Acting().Version)
	if err != nil {
		return rules.Hit{}, err
	}
	numbers, err := h.ModelNumbers()
	if err != nil {
		return rules.Hit{}, err
	}
	s, err := m.Score(numbers)
	if err != nil {
		return rules.Hit{}, fmt.Errorf("rulebook: replay: %w", err)
	}
	return engine.ReplayModel(h, rules.ModelScore{Version: m.Version, Numbers: numbers, Novelty: s.Novelty, Risk: s.Risk})
}

// addModel adds to a set's verdicts what its model would have alerted on: the
// scores that it has said in shadow.
func (b *Book) addModel(ctx context.Context, s *Set, c *comparer, to map[string]verdict) error {
	catalogue, err := parse([]byte(s.Catalogue))
	if err != nil || catalogue.Model == nil || b.deps.Models == nil {
		return err
	}
	scores, err := b.deps.Models.Scores(ctx, catalogue.Model.Version, c.From, c.Until)
	if err != nil {
		return fmt.Errorf("rulebook: %w", err)
	}
	for id, said := range scores {
		if catalogue.Model.Holds(said.Novelty, said.Risk) {
			v := to[id].orAllow()
			v.action = rules.Stronger(v.action, rules.Alert)
			v.rules = append(v.rules, rules.ModelRule)
			to[id] = v
		}
	}
	return nil
}

// invalidCatalogue says what is wrong with a catalogue.
func invalidCatalogue(err error) error {
	return psd2.Invalid("catalogue", "catalogue_invalid", strings.TrimPrefix(err.Error(), "rules: "))
}
