package rulebook

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Comparison sets a rule set beside the one in force (Base), over the same
// transactions; everything in it is ready to be drawn.
type Comparison struct {
	SetID        string        `json:"set_id"`
	BaseID       string        `json:"base_id"`
	Profile      string        `json:"profile,omitempty"` // of a backtest; live, each merchant's own
	From         time.Time     `json:"from"`
	Until        time.Time     `json:"until"`
	Transactions int           `json:"transactions"`
	Changed      int           `json:"changed"`  // decided otherwise
	Days         []DayVolume   `json:"days"`     // every day between, in order
	Rules        []RuleVolume  `json:"rules"`    // those that hit anything, by id
	Actions      []Shift       `json:"actions"`  // base action to other action, with how many
	Outcomes     []OutcomeDiff `json:"outcomes"` // what officers decided, and who alerts on it
	Examples     []Example     `json:"examples"` // some transactions that would be decided otherwise
}

// DayVolume is a day's alerts (hits of rules) under both.
type DayVolume struct {
	Day   string `json:"day"` // UTC
	Base  int    `json:"base"`
	Other int    `json:"other"`
}

// RuleVolume is a rule's hits under both.
type RuleVolume struct {
	Rule      string `json:"rule"`
	Base      int    `json:"base"`
	Other     int    `json:"other"`
	OnlyBase  int    `json:"only_base"`
	OnlyOther int    `json:"only_other"`
}

// Shift is how many transactions go from one decision to another.
type Shift struct {
	Base         rules.Action `json:"base"`
	Other        rules.Action `json:"other"`
	Transactions int          `json:"transactions"`
}

// OutcomeDiff is how many transactions with one outcome each set alerts on.
type OutcomeDiff struct {
	Outcome      string `json:"outcome"`
	Transactions int    `json:"transactions"`
	Base         int    `json:"base"`
	Other        int    `json:"other"`
}

// Example is a transaction that both decide differently.
type Example struct {
	ID         string       `json:"id"`
	Base       rules.Action `json:"base"`
	Other      rules.Action `json:"other"`
	BaseRules  []string     `json:"base_rules"`
	OtherRules []string     `json:"other_rules"`
}

const maxExamples = 20

// verdict is what one set says of a transaction.
type verdict struct {
	action rules.Action
	rules  []string
}

// comparer adds transactions up.
type comparer struct {
	Comparison
	days     map[string]*DayVolume
	byRule   map[string]*RuleVolume
	shifts   map[[2]rules.Action]int
	verdicts map[string][2]verdict
}

func newComparer(c Comparison) *comparer {
	return &comparer{Comparison: c, days: map[string]*DayVolume{}, byRule: map[string]*RuleVolume{}, shifts: map[[2]rules.Action]int{}, verdicts: map[string][2]verdict{}}
}

// add counts what both say of a transaction, or of a merchant's hour: that
// makes alerts too, but is no transaction and has no outcome.
func (c *comparer) add(id string, at time.Time, base, other verdict) {
	c.volumes(at, base, other)
	if !rules.IsHour(id) {
		c.Transactions++
		c.shifts[[2]rules.Action{base.action, other.action}]++
		c.verdicts[id] = [2]verdict{base, other}
		if base.action != other.action {
			c.Changed++
		}
	}
	if base.action != other.action && len(c.Examples) < maxExamples {
		c.Examples = append(c.Examples, Example{id, base.action, other.action, base.rules, other.rules})
	}
}

// volumes counts alerts by day and rule.
func (c *comparer) volumes(at time.Time, base, other verdict) {
	day := at.UTC().Format(time.DateOnly)
	if c.days[day] == nil {
		c.days[day] = &DayVolume{Day: day}
	}
	c.days[day].Base += len(base.rules)
	c.days[day].Other += len(other.rules)
	for _, r := range base.rules {
		c.rule(r).Base++
		if !slices.Contains(other.rules, r) {
			c.rule(r).OnlyBase++
		}
	}
	for _, r := range other.rules {
		c.rule(r).Other++
		if !slices.Contains(base.rules, r) {
			c.rule(r).OnlyOther++
		}
	}
}

func (c *comparer) rule(id string) *RuleVolume {
	if c.byRule[id] == nil {
		c.byRule[id] = &RuleVolume{Rule: id}
	}
	return c.byRule[id]
}

// done puts everything in order, days without a transaction included.
func (c *comparer) done() *Comparison {
	for at := c.From.UTC().Truncate(24 * time.Hour); at.Before(c.Until) && len(c.days) > 0; at = at.AddDate(0, 0, 1) {
		day := at.Format(time.DateOnly)
		if v := c.days[day]; v != nil {
			c.Days = append(c.Days, *v)
		} else {
			c.Days = append(c.Days, DayVolume{Day: day})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.byRule)) {
		c.Rules = append(c.Rules, *c.byRule[id])
	}
	for k, n := range c.shifts {
		c.Actions = append(c.Actions, Shift{k[0], k[1], n})
	}
	slices.SortFunc(c.Actions, func(a, b Shift) int { return cmp.Or(cmp.Compare(a.Base, b.Base), cmp.Compare(a.Other, b.Other)) })
	return &c.Comparison
}

// judged adds what officers decided. Whether a report of suspicion was made is
// for reporting officers only: for others such a transaction is undecided.
func (b *Book) judged(ctx context.Context, c *comparer, o compliance.Officer) error {
	if b.deps.Outcomes == nil || len(c.verdicts) == 0 {
		return nil
	}
	of, err := b.deps.Outcomes.OutcomesOf(ctx, slices.Sorted(maps.Keys(c.verdicts)))
	if err != nil {
		return fmt.Errorf("rulebook: outcomes: %w", err)
	}
	by := map[string]*OutcomeDiff{}
	for id, outcome := range of {
		v, asked := c.verdicts[id]
		if !asked || outcome == compliance.OutcomeSAR && !o.Has(compliance.MLRO) {
			continue
		}
		if by[outcome] == nil {
			by[outcome] = &OutcomeDiff{Outcome: outcome}
		}
		by[outcome].Transactions++
		if len(v[0].rules) > 0 {
			by[outcome].Base++
		}
		if len(v[1].rules) > 0 {
			by[outcome].Other++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		c.Outcomes = append(c.Outcomes, *by[name])
	}
	return nil
}

// Span says what a backtest covers.
type Span struct {
	From, Until time.Time // Until is exclusive
	Profile     string    // empty: Config.Profile
}

// warmUp is how much history before a span is judged with it, so that windows
// are full when it begins.
const warmUp = 90 * 24 * time.Hour

// Backtest judges stored transactions by a draft and by what is in force.
func (b *Book) Backtest(ctx context.Context, o compliance.Officer, id string, span Span) (*Comparison, error) {
	if err := may(o, drafters); err != nil {
		return nil, err
	}
	if span.Profile == "" {
		span.Profile = b.cfg.Profile
	}
	if !span.From.Before(span.Until) {
		return nil, psd2.Invalid("from", "span_empty", "the span ends before it begins")
	}
	s, err := get(b.getter(ctx), id)
	if err != nil {
		return nil, err
	}
	if s.State != StateDraft && s.State != StateShadow {
		return nil, conflict("state_conflict", "this set is "+string(s.State))
	}
	base, _, err := b.inForce(ctx)
	if err != nil {
		return nil, err
	}
	if b.deps.History == nil {
		return nil, conflict("no_history", "there is no stored history")
	}
	facts, err := b.deps.History.Facts(ctx, span.From.Add(-warmUp), span.Until, b.cfg.MaxTransactions+1)
	if err != nil {
		return nil, fmt.Errorf("rulebook: history: %w", err)
	}
	if len(facts) > b.cfg.MaxTransactions {
		return nil, psd2.Invalid("from", "span_too_long", fmt.Sprintf("the span and the %d days before hold more than %d transactions", int(warmUp.Hours()/24), b.cfg.MaxTransactions))
	}
	c := newComparer(Comparison{SetID: s.ID, BaseID: base.ID, Profile: span.Profile, From: span.From.UTC(), Until: span.Until.UTC()})
	if err := b.compare(ctx, c, base, s, facts); err != nil {
		return nil, err
	}
	if err := b.judged(ctx, c, o); err != nil {
		return nil, err
	}
	err = b.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE rulebook_sets SET tested_at = ? WHERE id = ?`, tx.Now.UnixMicro(), s.ID)
		if err != nil {
			return err
		}
		return b.note(tx, o, "rules.backtested", s, map[string]any{"transactions": c.Transactions, "changed": c.Changed, "profile": span.Profile})
	})
	if err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	return c.done(), nil
}

func (b *Book) compare(ctx context.Context, c *comparer, base, other *Set, facts []*rules.Fact) error {
	var of [2]map[string]verdict
	hours := map[string]time.Time{}
	for i, s := range []*Set{base, other} {
		test, err := b.run(s, c.Profile, facts)
		if err != nil {
			return err
		}
		of[i] = verdicts(test)
		if err := b.addModel(ctx, s, c, of[i]); err != nil {
			return err
		}
		for _, h := range test.Hours {
			hours[h.ID] = h.Hour
		}
	}
	for _, f := range facts {
		if f.Status == rules.Failed || f.At.Before(c.From) {
			continue
		}
		c.add(f.ID, f.At, of[0][f.ID].orAllow(), of[1][f.ID].orAllow())
	}
	for _, id := range slices.Sorted(maps.Keys(hours)) {
		if at := hours[id]; !at.Before(c.From) {
			c.add(id, at, of[0][id].orAllow(), of[1][id].orAllow())
		}
	}
	return nil
}

// orAllow is the verdict of a set that says nothing.
func (v verdict) orAllow() verdict {
	if v.action == "" {
		v.action = rules.Allow
	}
	return v
}

// run judges all facts by a set.
func (b *Book) run(s *Set, profile string, facts []*rules.Fact) (*rules.Backtest, error) {
	catalogue, err := parse([]byte(s.Catalogue))
	if err != nil {
		return nil, err
	}
	engine, err := catalogue.Compile(profile, b.deps.Lists)
	if err != nil {
		return nil, psd2.Invalid("profile", "profile_unknown", strings.TrimPrefix(err.Error(), "rules: "))
	}
	return engine.Run(facts)
}

// verdicts are what each transaction's own hits ask for, and each hour's.
func verdicts(test *rules.Backtest) map[string]verdict {
	out := map[string]verdict{}
	add := func(id, rule string, action rules.Action) {
		v := out[id].orAllow()
		v.action = rules.Stronger(v.action, action)
		v.rules = append(v.rules, rule)
		out[id] = v
	}
	for _, r := range test.Rows {
		if !r.Linked { // else it is a later transaction's finding
			add(r.Tx, r.Rule, r.Action)
		}
	}
	for _, h := range test.Hours {
		add(h.ID, h.Rule, h.Action)
	}
	return out
}

// Note records what a set in shadow says of a live transaction beside the
// decision; said again, the newer one stays. The monitor calls it in the
// transaction that decides.
func (b *Book) Note(tx *store.Tx, setID string, at time.Time, live, other *rules.Judgement) error {
	_, err := tx.Exec(`INSERT INTO rulebook_verdicts (set_id, transaction_id, at, live_action, live_rules, action, rules) VALUES (?,?,?,?,?,?,?)
		ON CONFLICT (set_id, transaction_id) DO UPDATE SET live_action = excluded.live_action, live_rules = excluded.live_rules, action = excluded.action, rules = excluded.rules`,
		setID, live.ID, at.UnixMicro(), string(live.Action), hitRules(live), string(other.Action), hitRules(other))
	if err != nil {
		return fmt.Errorf("rulebook: %w", err)
	}
	return nil
}

func hitRules(j *rules.Judgement) string {
	ids := make([]string, len(j.Hits))
	for i, h := range j.Hits {
		ids[i] = h.Rule
	}
	return strings.Join(ids, " ")
}

// ShadowReport compares what a set has said in shadow with what was decided.
func (b *Book) ShadowReport(ctx context.Context, o compliance.Officer, id string) (*Comparison, error) {
	if err := may(o, readers); err != nil {
		return nil, err
	}
	s, err := get(b.getter(ctx), id)
	if err != nil {
		return nil, err
	}
	if s.ShadowAt.IsZero() {
		return nil, conflict("state_conflict", "this set was never in shadow")
	}
	var rows []struct {
		ID         string `db:"transaction_id"`
		At         int64  `db:"at"`
		LiveAction string `db:"live_action"`
		LiveRules  string `db:"live_rules"`
		Action     string `db:"action"`
		Rules      string `db:"rules"`
	}
	err = b.deps.Store.Select(ctx, &rows, `SELECT transaction_id, at, live_action, live_rules, action, rules FROM rulebook_verdicts WHERE set_id = ? ORDER BY at, transaction_id LIMIT ?`, id, b.cfg.MaxTransactions)
	if err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	until := b.deps.Store.Now()
	for _, end := range []time.Time{s.EndedAt, s.PublishedAt} {
		if !end.IsZero() && end.Before(until) {
			until = end
		}
	}
	c := newComparer(Comparison{SetID: s.ID, BaseID: s.BaseID, From: s.ShadowAt, Until: until.UTC()})
	for _, r := range rows {
		if at(r.At).Before(c.From) { // a transaction that was judged again
			c.From = at(r.At)
		}
		c.add(r.ID, at(r.At), verdict{rules.Action(r.LiveAction), strings.Fields(r.LiveRules)}, verdict{rules.Action(r.Action), strings.Fields(r.Rules)})
	}
	if err := b.judged(ctx, c, o); err != nil {
		return nil, err
	}
	return c.done(), nil
}
