package rules

import (
	"maps"
	"slices"
)

// numbers are the facts that are numbers by themselves.
var numbers = []string{"amount", "holder_match", "stake", "holder_age", "account_hours", "travel_kmh", chipDump}

// Columns names the numbers that Values gives, sorted.
func (e *Engine) Columns() []string {
	out := slices.Clone(numbers)
	for name := range maps.Keys(e.measures) {
		if !e.measures[name].hours {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Values are the numbers known of a transaction, in the order of Columns: the
// same features that rules judge by, for a model to learn from.
func (e *Engine) Values(f *Fact, h *History) []float64 {
	s := newScope(f, h)
	env := environments.Get().(map[string]any) //nolint:forcetypeassert // the pool holds nothing else
	defer func() { clear(env); environments.Put(env) }()
	s.facts(env, e.lists, e.limits)
	columns := e.Columns()
	out := make([]float64, len(columns))
	for i, name := range columns {
		if m := e.measures[name]; m != nil {
			out[i] = s.value(m)
		} else {
			out[i], _ = env[name].(float64)
		}
	}
	return out
}
