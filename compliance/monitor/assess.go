package monitor

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2/store"
)

// assessment is what becomes of some transactions: facts to remember, and what
// the rules say. It was made from the state as of a revision.
type assessment struct {
	set      *ruleSet
	state    int64
	changes  []*change
	more     []rest // to be judged again some time
	verdicts []*verdict
	swept    bool
}

// verdict is what all who judge say of one transaction.
type verdict struct {
	subject
	judged *rules.Judgement
	shadow *rules.Judgement // what the set in shadow says; nil without one
	scores []*seen          // what the models say
	near   *rules.Hit       // of what no rule hit: the line it came nearest to
}

// assess reads what the rules need and judges, and writes nothing: subjects as
// they stand, and those after them that were judged without them, each once. A
// revision that is known changes nothing, unless the sweeper wants a decision.
func (m *Monitor) assess(ctx context.Context, set *ruleSet, state int64, subjects []subject, swept bool) (*assessment, error) {
	a, v := &assessment{set: set, state: state, swept: swept}, m.view(ctx)
	wanted := map[string]subject{}
	for _, s := range newest(subjects) {
		c, err := m.look(v, s)
		if err != nil {
			return nil, err
		}
		if c != nil {
			a.changes = append(a.changes, c)
			v.fresh[s.fact.ID] = s.fact
		}
		if swept || c != nil && !c.same && s.fact.Status != rules.Pending { // pending: nothing has moved yet
			wanted[s.fact.ID] = s
		}
	}
	for _, c := range a.changes {
		if err := m.addLater(v, c, a, wanted); err != nil {
			return nil, err
		}
	}
	return a, m.judgeAll(v, a, wanted)
}

// newest drops all but the newest revision of each transaction.
func newest(subjects []subject) []subject {
	at := map[string]int{}
	var out []subject
	for _, s := range subjects {
		i, twice := at[s.fact.ID]
		switch {
		case !twice:
			at[s.fact.ID] = len(out)
			out = append(out, s)
		case s.fact.Revision > out[i].fact.Revision:
			out[i] = s
		}
	}
	return out
}

// look compares a subject with what is remembered of it; nil when this
// revision, or a newer one, is known.
func (m *Monitor) look(v *view, s subject) (*change, error) {
	var stored row
	err := v.Get(&stored, selectRow+`id = ?`, s.fact.ID)
	known := err == nil
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return nil, err
	case known && stored.Revision >= s.fact.Revision:
		return nil, nil
	}
	return changeTo(s, known, stored)
}

// addLater adds those who were judged without a change that they ought to have
// seen.
func (m *Monitor) addLater(v *view, c *change, a *assessment, wanted map[string]subject) error {
	if c.same || c.fact.Status == rules.Pending {
		return nil
	}
	ids, more, err := v.later(c.fact)
	if err != nil {
		return err
	}
	a.more = append(a.more, more...)
	for _, id := range ids {
		if _, ok := wanted[id]; ok {
			continue
		}
		if i := slices.IndexFunc(a.changes, func(c *change) bool { return c.fact.ID == id }); i >= 0 {
			wanted[id] = a.changes[i].subject
			continue
		}
		var r row
		if err := v.Get(&r, selectRow+`id = ?`, id); errors.Is(err, sql.ErrNoRows) {
			continue // deleted meanwhile: the state has moved
		} else if err != nil {
			return err
		}
		f, err := r.fact()
		if err != nil {
			return err
		}
		wanted[id] = subject{fact: f, personID: r.PersonID}
	}
	return nil
}

// judgeAll judges the newest first, whose windows hold those of the others, and
// leaves the verdicts in order of time.
func (m *Monitor) judgeAll(v *view, a *assessment, wanted map[string]subject) error {
	for _, s := range wanted {
		a.verdicts = append(a.verdicts, &verdict{subject: s})
	}
	slices.SortFunc(a.verdicts, func(x, y *verdict) int { return placeOf(x.fact).compare(placeOf(y.fact)) })
	for _, one := range slices.Backward(a.verdicts) {
		if err := m.judge(v, a.set, one); err != nil {
			return err
		}
	}
	return nil
}

// judge lets the rules, the models and the set in shadow look at a transaction.
// What failed moved no money: it is decided by what was found before, the
// gate's refusal say, and counts as a try for others.
func (m *Monitor) judge(v *view, set *ruleSet, one *verdict) error {
	f := one.fact
	engine := set.live.of(f.Merchant)
	if f.Status == rules.Failed {
		one.judged = &rules.Judgement{ID: f.ID, Profile: engine.Profile, Version: engine.Version, Action: rules.Allow}
		return v.found(one.judged)
	}
	h, err := v.history(set.reach(f.Merchant), f)
	if err != nil {
		return err
	}
	if one.judged, err = engine.Judge(f, h); err != nil {
		return err
	}
	if one.scores, err = set.see(f, h); err != nil {
		return err
	}
	for _, s := range one.scores {
		engine.AddModel(one.judged, f, s.asScore())
	}
	if len(one.scores) > 0 {
		one.scored = &one.scores[0].said
	}
	if m.deps.Samples != nil && len(one.judged.Hits) == 0 && f.Status != rules.Pending {
		if hit, ok := engine.Nearest(f, h); ok {
			one.near = &hit
		}
	}
	one.shadow, err = set.try(f, h)
	return err
}

// found makes a judgement of the hits that are stored.
func (v *view) found(j *rules.Judgement) error {
	var docs []string
	if err := v.Select(&docs, `SELECT hit FROM monitor_hits WHERE transaction_id = ?`, j.ID); err != nil {
		return err
	}
	for _, doc := range docs {
		var hit rules.Hit
		if err := json.Unmarshal([]byte(doc), &hit); err != nil {
			return fmt.Errorf("hits of %s: %w", j.ID, err)
		}
		if hit.Action.Above(j.Action) {
			j.Action = hit.Action
		}
		j.Score = min(j.Score+hit.Weight, 100)
	}
	return nil
}

// write stores an assessment, or fails with errMoved and stores nothing.
func (m *Monitor) write(tx *store.Tx, a *assessment, counts *tally) error {
	if len(a.changes) == 0 && len(a.verdicts) == 0 {
		return nil
	}
	if err := swapState(tx, a.state); err != nil {
		return err
	}
	for _, c := range a.changes {
		if err := remember(tx, c); err != nil {
			return err
		}
	}
	for _, r := range a.more {
		if err := r.enqueue(tx); err != nil {
			return err
		}
	}
	for _, v := range a.verdicts {
		if err := m.writeVerdict(tx, a, v, counts); err != nil {
			return err
		}
	}
	return nil
}

// writeVerdict records new hits with the alerts they raise, what those said who
// only watch, and the one decision.
func (m *Monitor) writeVerdict(tx *store.Tx, a *assessment, v *verdict, counts *tally) error {
	if v.shadow != nil {
		if err := m.deps.Book.Note(tx, a.set.shadowID, v.fact.At, v.judged, v.shadow); err != nil {
			return err
		}
	}
	for _, s := range v.scores {
		if err := keepScore(tx, v.fact.ID, s); err != nil {
			return err
		}
	}
	for _, hit := range v.judged.Hits {
		if err := m.record(tx, v.subject, hit, v.judged, counts); err != nil {
			return err
		}
	}
	first, err := m.decide(tx, v.judged, a.swept, counts)
	if err != nil || !first || v.near == nil {
		return err
	}
	f, err := v.finding("sample_"+v.fact.ID, *v.near, v.near.Weight)
	if err != nil {
		return err
	}
	if err := m.deps.Samples.RaiseSample(tx, f); err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	return nil
}

// settle assesses and writes, and does so again when the state has moved in
// between.
func (m *Monitor) settle(ctx context.Context, set *ruleSet, subjects []subject, swept bool) error {
	for {
		_, state, err := m.cursors(ctx)
		if err != nil {
			return err
		}
		a, err := m.assess(ctx, set, state, subjects, swept)
		if err != nil {
			return err
		}
		var counts tally
		err = m.deps.Store.Tx(ctx, func(tx *store.Tx) error {
			counts = tally{}
			return m.write(tx, a, &counts)
		})
		if errors.Is(err, errMoved) {
			continue
		}
		if err == nil {
			m.metrics.add(counts)
		}
		return err
	}
}
