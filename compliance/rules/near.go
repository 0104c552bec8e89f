package rules

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Nearest is the rule whose line a transaction came nearest to without crossing
// it, as the hit that it was not: whoever samples what the rules leave out
// reads from it what a lower line would have caught. ok is false for one that
// came no more than half the way to any.
func (e *Engine) Nearest(f *Fact, h *History) (hit Hit, ok bool) {
	s := newScope(f, h)
	env := e.environment(s)
	defer func() { clear(env); environments.Put(env) }()
	best := 0.5 // one of two is no sign of anything
	for i := range e.rules {
		r := &e.rules[i]
		if !slices.Contains(r.On, f.Kind) || r.missing(f) != nil {
			continue
		}
		for n := range r.grades {
			if near := e.near(r.grades[n].written, env); near > best {
				best, hit, ok = near, e.hit(r, n, s, env), true
			}
		}
	}
	return hit, ok
}

// compared is a comparison of an input with a limit or a number.
var compared = regexp.MustCompile(`\b([a-z_][a-z0-9_]*) (>=|>|<=|<) (?:limit\.([a-z0-9_]+)|([0-9.]+))`)

// near is how much of its way an expression has come, 0 to 1: of its best
// alternative the part that lacks most. An alternative whose comparisons all
// hold is stopped by something else than a limit, and one that wants less than
// there is is no question of degree.
func (e *Engine) near(written string, env map[string]any) (best float64) {
	for alternative := range strings.SplitSeq(written, "||") {
		parts := compared.FindAllStringSubmatch(alternative, -1)
		least := 1.0
		for _, c := range parts {
			x, known := env[c[1]].(float64)
			limit, err := strconv.ParseFloat(c[4], 64)
			if err != nil {
				limit = e.limits[c[3]]
			}
			switch above := c[2][0] == '>'; {
			case !known, !above && x > limit, above && limit == 0 && x <= 0:
				least = 0
			case above && limit > 0:
				least = min(least, x/limit)
			}
		}
		if least < 1 {
			best = max(best, least)
		}
	}
	return best
}
