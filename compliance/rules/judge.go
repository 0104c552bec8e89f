package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/expr-lang/expr/vm"
)

// Hit is a rule that held, with everything needed to see why and to replay it.
// It holds no name and no account number.
type Hit struct {
	Rule      string         `json:"rule"`
	Version   string         `json:"version"`
	Family    string         `json:"family"`
	Entity    string         `json:"entity"` // kind
	EntityKey string         `json:"entity_key"`
	Grade     int            `json:"grade"`             // 0 the rule's own, then its lower ones
	When      string         `json:"when"`              // the expression, numbers in place
	Written   string         `json:"written,omitempty"` // the same as its author wrote it, limits by name
	Severity  Severity       `json:"severity"`
	Action    Action         `json:"action"`
	Weight    int            `json:"weight"`
	Public    string         `json:"public"`
	Inputs    map[string]any `json:"inputs"`
	// Limits and Windows are those that the rule and its features go by, by name.
	Limits   map[string]float64 `json:"limits,omitempty"`
	Windows  map[string]string  `json:"windows,omitempty"`
	Evidence []string           `json:"evidence,omitempty"` // other transactions that make the finding
}

// Gap is a rule that could not be judged.
type Gap struct {
	Rule    string   `json:"rule"`
	Missing []string `json:"missing"`
}

// Judgement is what the rules say of one transaction.
type Judgement struct {
	ID      string `json:"id"`
	Profile string `json:"profile"`
	Version string `json:"version"` // of the whole rule set
	Action  Action `json:"action"`  // the strongest
	Score   int    `json:"score"`   // sum of weights, at most 100
	Public  string `json:"public,omitempty"`
	Hits    []Hit  `json:"hits"`
	NoData  []Gap  `json:"no_data,omitempty"`
}

// environments are reused: they are the larger part of a judgement's memory.
var environments = sync.Pool{New: func() any { return map[string]any{} }}

// maxEvidence bounds the transactions that a hit names.
const maxEvidence = 32

// Judge applies every rule for the fact's kind. It always applies all of them,
// so that the time it takes says nothing about the outcome. An error means that
// an expression failed, which a compiled catalogue does not.
func (e *Engine) Judge(f *Fact, h *History) (*Judgement, error) {
	s := newScope(f, h)
	env := e.environment(s)
	defer func() { clear(env); environments.Put(env) }()
	j := &Judgement{ID: f.ID, Profile: e.Profile, Version: e.Version, Action: Allow}
	var machine vm.VM
	for i := range e.rules {
		r := &e.rules[i]
		if !slices.Contains(r.On, f.Kind) {
			continue
		}
		if err := e.apply(r, s, env, &machine, j); err != nil {
			return nil, err
		}
	}
	j.Score = min(j.Score, 100)
	return j, nil
}

// environment is what expressions read of a transaction.
func (e *Engine) environment(s *scope) map[string]any {
	env := environments.Get().(map[string]any) //nolint:forcetypeassert // the pool holds nothing else
	s.facts(env, e.lists, e.limits)
	for _, m := range e.byKind[s.f.Kind] {
		env[m.name] = s.value(m)
	}
	env["fired"] = map[string]bool{}
	return env
}

func (e *Engine) apply(r *rule, s *scope, env map[string]any, machine *vm.VM, j *Judgement) error {
	n, err := r.holds(env, machine)
	switch {
	case err != nil:
		return err
	case n >= 0:
		env["fired"].(map[string]bool)[r.ID] = true //nolint:forcetypeassert // Judge put it there
		j.add(e.hit(r, n, s, env))
		return nil
	}
	if missing := r.missing(s.f); missing != nil {
		j.NoData = append(j.NoData, Gap{r.ID, missing})
	}
	return nil
}

// missing lists what the rule needs and a fact lacks.
func (r *rule) missing(f *Fact) (names []string) {
	for _, need := range r.needs {
		if !need.has(f) {
			names = append(names, need.name)
		}
	}
	return names
}

// holds gives the first grade that holds, or -1.
func (r *rule) holds(env map[string]any, machine *vm.VM) (int, error) {
	for i := range r.grades {
		out, err := machine.Run(r.grades[i].program, env)
		if err != nil {
			return -1, fmt.Errorf("rules: rule %s: %w", r.ID, err)
		}
		if out == true {
			return i, nil
		}
	}
	return -1, nil
}

func (e *Engine) hit(r *rule, n int, s *scope, env map[string]any) Hit {
	g := r.grades[n]
	h := Hit{
		Rule: r.ID, Version: r.version, Family: r.Family, Entity: r.Entity, EntityKey: s.f.entity(r.Entity), Grade: n, When: g.When, Written: g.written,
		Limits: r.limits, Windows: r.windows,
		Severity: g.Severity, Action: g.Action, Weight: g.Weight, Public: r.Public, Inputs: make(map[string]any, len(r.inputs)),
	}
	if h.Action == Hold && s.f.Kind == Deposit {
		h.Action = Alert // money on its way in cannot be held
	}
	for _, name := range r.inputs {
		if v, ok := env[name]; ok {
			h.Inputs[name] = v
		}
	}
	if before, ok := h.Inputs["fired"].(map[string]bool); ok {
		h.Inputs["fired"] = maps.Clone(before)
	}
	h.Evidence = e.evidenceOf(r, s)
	return h
}

// evidenceOf lists the other transactions a hit rests on, oldest first.
func (e *Engine) evidenceOf(r *rule, s *scope) []string {
	var ids []string
	for _, name := range r.Evidence {
		if name == chipDump {
			_, of := s.chipDump(e.limits["chip_band"])
			ids = append(ids, of...)
			continue
		}
		m := e.measures[name]
		picked := s.pick(m)
		for i := len(picked) - 1; i >= 0; i-- {
			if o := picked[i]; o != &s.self && (m.takeName != "other_players" || o.Player != s.self.Player) && !slices.Contains(ids, o.ID) {
				ids = append(ids, o.ID)
			}
		}
	}
	return ids[max(0, len(ids)-maxEvidence):]
}

// entity is the key of one of the fact's entities.
func (f *Fact) entity(kind string) string {
	switch kind {
	case "player":
		return f.Player
	case "person":
		return f.Person
	case "iban":
		return f.IBAN
	case "device":
		return f.Device
	case "network":
		return f.Network
	}
	return f.Merchant
}

func (j *Judgement) add(h Hit) {
	j.Hits = append(j.Hits, h)
	j.Score += h.Weight
	if h.Action.Above(j.Action) {
		j.Action, j.Public = h.Action, h.Public
	} else if h.Action == j.Action && h.Public != j.Public {
		j.Public = PaymentNotPossible // two reasons would say more than one
	}
}

// Replay judges a hit again from its own inputs, with the rule as it was
// compiled, and gives the same hit or says why not: another version of the
// rule, or inputs that no longer hit.
func (e *Engine) Replay(h Hit) (Hit, error) {
	i := slices.IndexFunc(e.rules, func(r rule) bool { return r.ID == h.Rule })
	switch {
	case i < 0:
		return Hit{}, fmt.Errorf("rules: replay: there is no rule %s", h.Rule)
	case e.rules[i].version != h.Version:
		return Hit{}, fmt.Errorf("rules: replay: rule %s is version %s, the hit is of %s", h.Rule, e.rules[i].version, h.Version)
	}
	r := &e.rules[i]
	env := maps.Clone(h.Inputs)
	if before, ok := env["fired"].(map[string]any); ok { // as JSON brings it back
		fired := map[string]bool{}
		for id, v := range before {
			fired[id] = v == true
		}
		env["fired"] = fired
	}
	var machine vm.VM
	n, err := r.holds(env, &machine)
	if err != nil {
		return Hit{}, err
	}
	if n < 0 {
		return Hit{}, fmt.Errorf("rules: replay: rule %s does not hold for these inputs", h.Rule)
	}
	g := r.grades[n]
	again := h
	again.Family, again.Entity, again.Public = r.Family, r.Entity, r.Public
	again.Grade, again.When, again.Written, again.Severity, again.Weight = n, g.When, g.written, g.Severity, g.Weight
	again.Limits, again.Windows = r.limits, r.windows
	if again.Action = g.Action; h.Action == Alert && g.Action == Hold {
		again.Action = Alert // it was a deposit
	}
	return again, nil
}

// ReplayJSON is Replay for a stored hit.
func (e *Engine) ReplayJSON(stored []byte) (Hit, error) {
	var h Hit
	if err := json.Unmarshal(stored, &h); err != nil {
		return Hit{}, fmt.Errorf("rules: replay: %w", err)
	}
	return e.Replay(h)
}
