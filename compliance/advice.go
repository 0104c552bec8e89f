package compliance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

// Advice is a threshold that the outcomes of a rule's alerts suggest. It says
// what it would have meant for the alerts that were decided, no more: a person
// decides, and a backtest shows the rest.
type Advice struct {
	Rule  string
	Input string  // what the rule compares, e.g. threshold_n_24h
	Limit string  // with which limit, e.g. threshold_count
	Above bool    // it fires from the limit upwards
	Value float64 // the suggested limit

	// Of a higher line: so many of the false positives would not have come, and
	// all alerts that were worth it would.
	Drops, FalsePositives int
	// Of a lower line: so many of the samples from below the line that were
	// worth it would have been alerts.
	Catches, Missed int
	Worth           int // decided alerts that were no false positive
}

// What it takes to suggest anything.
const (
	adviceDecided = 20   // alerts with an outcome
	adviceDrops   = 3    // false positives that would go
	adviceMissed  = 2    // samples below the line that were worth it
	adviceHits    = 2000 // newest hits that are looked at
)

// Advise suggests thresholds from what officers decided since a time, by rule:
// the line that would have kept every alert that was worth it and spared most
// false positives; or, where samples from below the line were worth it, the
// line that would have caught them. Reports of suspicion count for reporting
// officers only.
func (d *Desk) Advise(ctx context.Context, o Officer, since time.Time) (map[string]Advice, error) {
	if err := o.must(Viewer, Analyst, MLRO, Admin); err != nil {
		return nil, err
	}
	hidden := ` AND outcome <> 'sar'`
	if o.Has(MLRO) {
		hidden = ``
	}
	var rows []struct {
		ID      string `db:"id"`
		Rule    string `db:"rule"`
		Subject string `db:"subject"`
		Sample  int64  `db:"sample"`
		Outcome string `db:"outcome"`
		Sealed  []byte `db:"sealed"`
	}
	err := d.Store.Select(ctx, &rows, `SELECT compliance_hits.id, rule, subject, sample, outcome, sealed FROM compliance_hits
		JOIN compliance_alerts ON compliance_alerts.id = alert_id WHERE outcome <> '' AND last_at >= ?`+hidden+` ORDER BY compliance_hits.at DESC LIMIT ?`,
		since.UnixMicro(), adviceHits)
	if err != nil {
		return nil, fmt.Errorf("advice: %w", err)
	}
	seen := map[string]*evidence{}
	for _, r := range rows {
		inputs, err := d.unseal(d.get(ctx), r.Subject, "compliance_hits", r.ID, "sealed", r.Sealed)
		if errors.Is(err, store.ErrErased) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if seen[r.Rule] == nil {
			seen[r.Rule] = &evidence{at: map[comparison]*values{}}
		}
		seen[r.Rule].add(inputs, r.Sample == 1, r.Outcome == OutcomeFalsePositive)
	}
	out := map[string]Advice{}
	for id, e := range seen {
		if a, ok := e.advice(); ok {
			a.Rule = id
			out[id] = a
		}
	}
	return out, nil
}

// comparison is a part of a rule's expression: an input against a limit.
type comparison struct {
	input, limit string
	above        bool
}

var comparisons = regexp.MustCompile(`\b([a-z_][a-z0-9_]*)\s*(>=|>|<=|<)\s*limit\.([a-z_][a-z0-9_]*)`)

// evidence is what a rule's decided hits saw.
type evidence struct {
	worth, wrong int
	missed       int // samples that were worth it
	at           map[comparison]*values
}

// values are an input's, by what became of the alert.
type values struct{ worth, wrong, missed []float64 }

func (e *evidence) add(inputs json.RawMessage, sample, wrong bool) {
	var hit struct {
		When    string         `json:"when"`
		Written string         `json:"written"` // with the names of limits; in old hits When has them
		Inputs  map[string]any `json:"inputs"`
	}
	if json.Unmarshal(inputs, &hit) != nil || sample && wrong {
		return // a sample that was nothing is as it should be
	}
	switch {
	case sample:
		e.missed++
	case wrong:
		e.wrong++
	default:
		e.worth++
	}
	for _, m := range comparisons.FindAllStringSubmatch(cmp.Or(hit.Written, hit.When), -1) {
		x, ok := hit.Inputs[m[1]].(float64)
		if !ok {
			continue
		}
		c := comparison{m[1], m[3], m[2][0] == '>'}
		if e.at[c] == nil {
			e.at[c] = &values{}
		}
		v := e.at[c]
		switch {
		case sample:
			v.missed = append(v.missed, x)
		case wrong:
			v.wrong = append(v.wrong, x)
		default:
			v.worth = append(v.worth, x)
		}
	}
}

// advice picks the comparison that changes most. Catching what was missed goes
// before sparing work.
func (e *evidence) advice() (best Advice, ok bool) {
	for c, v := range e.at {
		a := Advice{Input: c.input, Limit: c.limit, Above: c.above, FalsePositives: e.wrong, Missed: e.missed, Worth: e.worth}
		switch {
		case len(v.missed) >= adviceMissed:
			a.Value, a.Catches = first(v.missed, c.above), len(v.missed)
		// Another part of the expression may have fired: only a line that every
		// worthy alert passes by this input loses none of them.
		case e.missed < adviceMissed && e.worth+e.wrong >= adviceDecided && e.worth > 0 && len(v.worth) == e.worth:
			a.Value = first(v.worth, c.above)
			for _, x := range v.wrong {
				if c.above && x < a.Value || !c.above && x > a.Value {
					a.Drops++
				}
			}
			if a.Drops < adviceDrops {
				continue
			}
		default:
			continue
		}
		if !ok || a.better(best) {
			best, ok = a, true
		}
	}
	return best, ok
}

// better orders suggestions; names settle what numbers leave open.
func (a Advice) better(b Advice) bool {
	if a.Catches != b.Catches {
		return a.Catches > b.Catches
	}
	if a.Drops != b.Drops {
		return a.Drops > b.Drops
	}
	return a.Input < b.Input
}

// first is the value nearest to where a rule does not fire.
func first(x []float64, above bool) float64 {
	if above {
		return slices.Min(x)
	}
	return slices.Max(x)
}

// OutcomesOf says how officers decided about transactions: false_positive,
// no_suspicion, sar; nothing for those they have not decided about. The gravest
// counts.
func (d *Desk) OutcomesOf(ctx context.Context, transactionIDs []string) (map[string]string, error) {
	out := make(map[string]string, len(transactionIDs))
	grave := map[string]int{OutcomeFalsePositive: 1, OutcomeNoSuspicion: 2, OutcomeSAR: 3}
	for some := range slices.Chunk(transactionIDs, 500) {
		query := `SELECT object_id, outcome FROM compliance_hits JOIN compliance_alerts ON compliance_alerts.id = alert_id
			WHERE outcome <> '' AND object_id IN (?` + strings.Repeat(`,?`, len(some)-1) + `)`
		args := make([]any, len(some))
		for i, id := range some {
			args[i] = id
		}
		var rows []struct {
			Object  string `db:"object_id"`
			Outcome string `db:"outcome"`
		}
		if err := d.Store.Select(ctx, &rows, query, args...); err != nil {
			return nil, fmt.Errorf("outcomes: %w", err)
		}
		for _, r := range rows {
			if grave[r.Outcome] > grave[out[r.Object]] {
				out[r.Object] = r.Outcome
			}
		}
	}
	return out, nil
}
