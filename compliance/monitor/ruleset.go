package monitor

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
)

// engines are the compiled rules by profile.
type engines struct {
	byProfile map[string]*rules.Engine
	merchants map[string]string
	standard  string
}

func compileAll(c Config, catalogue *rules.Catalogue, lists *rules.Lists) (engines, error) {
	e := engines{byProfile: map[string]*rules.Engine{}, merchants: c.Merchants, standard: c.Profile}
	names := []string{c.Profile}
	for _, name := range c.Merchants {
		names = append(names, name)
	}
	for _, name := range names {
		if e.byProfile[name] != nil {
			continue
		}
		engine, err := catalogue.Compile(name, lists)
		if err != nil {
			return e, err
		}
		e.byProfile[name] = engine
	}
	return e, nil
}

// of is the engine that judges a merchant.
func (e engines) of(merchantID string) *rules.Engine {
	if name, ok := e.merchants[merchantID]; ok {
		return e.byProfile[name]
	}
	return e.byProfile[e.standard]
}

// ruleSet is everything that judges at one time. It never changes.
type ruleSet struct {
	revision int64
	number   int64 // of the publication
	live     engines
	shadowID string // "": none
	shadow   engines
	acting   *seer // the model that raises alerts; nil: none does
	watching *seer // another that only looks
	trying   *seer // the one that the set in shadow would let act
}

// reach is how far back live rules and those in shadow look.
func (s *ruleSet) reach(merchantID string) func(over string) time.Duration {
	live := s.live.of(merchantID)
	if s.shadowID == "" {
		return live.Reach
	}
	shadow := s.shadow.of(merchantID)
	return func(over string) time.Duration { return max(live.Reach(over), shadow.Reach(over)) }
}

// sets gives the rule set in force. It asks the book for its revision every
// time, so that a publication counts from the next judgement on, in every
// process.
type sets struct {
	cfg     Config
	book    *rulebook.Book // nil: the set never changes
	lists   *rules.Lists
	model   *score.Model // watches
	models  Archive      // holds those that act
	refused prometheus.Gauge
	log     *slog.Logger
	clock   func() time.Time

	now     atomic.Pointer[ruleSet]
	loading sync.Mutex
	bad     int64     // revision that was refused
	again   time.Time // when it is tried again
}

// retryRefused is how often a refused set is looked at again.
const retryRefused = 5 * time.Second

func (s *sets) open(catalogue *rules.Catalogue) error {
	if s.book != nil {
		set, err := s.load(context.Background(), 0)
		if err != nil {
			return err
		}
		s.now.Store(set)
		return nil
	}
	if catalogue == nil {
		catalogue = rules.Shipped()
	}
	set := &ruleSet{}
	var err error
	if set.live, err = compileAll(s.cfg, catalogue, s.lists); err != nil {
		return err
	}
	if err := set.placeModels(s.model, s.loadModel); err != nil {
		return err
	}
	s.now.Store(set)
	return nil
}

func (s *sets) loadModel(version string) (*score.Model, error) {
	return s.models.Model(context.Background(), version)
}

// current is the set in force. An error means that it is not known which one
// that is; a set that is refused is none: the one before stays.
func (s *sets) current(ctx context.Context) (*ruleSet, error) {
	have := s.now.Load()
	if s.book == nil {
		return have, nil
	}
	revision, err := s.book.Revision(ctx)
	if err != nil || revision == have.revision {
		return have, err
	}
	s.loading.Lock()
	defer s.loading.Unlock()
	if have = s.now.Load(); revision <= have.revision || revision == s.bad && s.clock().Before(s.again) {
		return have, nil
	}
	set, err := s.load(ctx, have.number)
	if err != nil {
		s.bad, s.again = revision, s.clock().Add(retryRefused)
		s.refused.Set(1)
		s.log.Error("monitor: the published rules are refused", "revision", revision, "cause", err.Error())
		return have, nil
	}
	s.refused.Set(0)
	s.now.Store(set)
	s.log.Info("monitor: other rules judge from now on", "revision", set.revision, "number", set.number, "shadow", set.shadowID)
	return set, nil
}

func (s *sets) load(ctx context.Context, atLeast int64) (*ruleSet, error) {
	c, err := s.book.Current(ctx, atLeast)
	if err != nil {
		return nil, err
	}
	set := &ruleSet{revision: c.Revision, number: c.Set.Number}
	if set.live, err = compileAll(s.cfg, c.Catalogue, s.lists); err != nil {
		return nil, err
	}
	if c.Shadow != nil {
		set.shadowID = c.Shadow.ID
		if set.shadow, err = compileAll(s.cfg, c.Watching, s.lists); err != nil {
			return nil, err
		}
	}
	return set, set.placeModels(s.model, s.loadModel)
}

// try lets the set in shadow judge, with the model that it would let act; nil
// when none is.
func (s *ruleSet) try(f *rules.Fact, h *rules.History) (*rules.Judgement, error) {
	if s.shadowID == "" {
		return nil, nil
	}
	engine := s.shadow.of(f.Merchant)
	j, err := engine.Judge(f, h)
	if err != nil {
		return nil, err
	}
	one, err := s.trying.look(engine, f, h)
	if one != nil {
		engine.AddModel(j, f, one.asScore())
	}
	return j, err
}
