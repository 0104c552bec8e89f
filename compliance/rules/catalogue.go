package rules

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
	"gopkg.in/yaml.v3"
)

//go:embed catalogue.yaml
var shipped []byte

// Action is what a rule asks for.
type Action string

// Actions, from the weakest. HOLD is for money out only: an SCT Inst credit
// cannot be held on its way in, so on a deposit it is an ALERT.
const (
	Allow  Action = "ALLOW"
	Alert  Action = "ALERT"
	StepUp Action = "STEP_UP"
	Hold   Action = "HOLD"
	Block  Action = "BLOCK"
)

var actions = []Action{Allow, Alert, StepUp, Hold, Block}

// Above reports whether an action is stronger than another.
func (a Action) Above(b Action) bool { return slices.Index(actions, a) > slices.Index(actions, b) }

// Severity orders the officers' queue.
type Severity string

// Severities, from the lowest.
const (
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

var severities = []Severity{Low, Medium, High, Critical}

// PaymentNotPossible is the one public reason for everything that must not be
// said (GwG §47(1)).
const PaymentNotPossible = "payment_not_possible"

// publicReasons are the only words that may leave the house.
var publicReasons = []string{PaymentNotPossible, "limit_exceeded", "own_account_required", "kyc_required"}

// Grade is one way to hit: when it holds, with which consequence.
type Grade struct {
	When     string   `yaml:"when" json:"when"`
	Severity Severity `yaml:"severity" json:"severity"`
	Action   Action   `yaml:"action" json:"action"`
	Weight   int      `yaml:"weight" json:"weight"` // share in the composite score, 0..100
}

// Rule is one row of the catalogue.
type Rule struct {
	ID       string   `yaml:"id" json:"id"`
	Name     string   `yaml:"name" json:"name"`
	Family   string   `yaml:"family" json:"family"` // open alerts of one family join
	Entity   string   `yaml:"entity" json:"entity"` // whom the alert is about
	On       []Kind   `yaml:"on" json:"on"`
	Needs    []string `yaml:"needs" json:"needs,omitempty"` // without them silence is no_data
	Evidence []string `yaml:"evidence" json:"evidence,omitempty"`
	Shows    []string `yaml:"shows" json:"shows,omitempty"` // what a hit records beside what the expressions read
	Grade    `yaml:",inline"`
	Lower    []Grade `yaml:"lower" json:"lower,omitempty"` // weaker grades, tried in order
	Public   string  `yaml:"public" json:"public,omitempty"`
	Source   string  `yaml:"source" json:"source"`
}

// Profile is what a licence or place changes.
type Profile struct {
	Limits     map[string]float64  `yaml:"limits" json:"limits,omitempty"`
	Actions    map[string]Action   `yaml:"actions" json:"actions,omitempty"`
	Severities map[string]Severity `yaml:"severities" json:"severities,omitempty"`
	Off        []string            `yaml:"off" json:"off,omitempty"`
}

// Catalogue is rules as data.
type Catalogue struct {
	Version  string             `yaml:"version" json:"version"`
	Limits   map[string]float64 `yaml:"limits" json:"limits"`
	Profiles map[string]Profile `yaml:"profiles" json:"profiles"`
	Features map[string]Feature `yaml:"features" json:"features"`
	Rules    []Rule             `yaml:"rules" json:"rules"`
	Model    *Acting            `yaml:"model" json:"model,omitempty"` // nil: the fraud score only watches
}

// Profiles that ship.
const (
	ProfileOnlineDE    = "online_de"
	ProfileLandBasedDE = "land_based_de"
	ProfileEUAMLR2027  = "eu_amlr_2027"
	ProfileStream60D   = "stream_60d" // recorded streams of sixty days
)

// Stronger gives the stronger of two actions.
func Stronger(a, b Action) Action {
	if slices.Index(actions, b) > slices.Index(actions, a) {
		return b
	}
	return a
}

// ShippedText is the catalogue that comes with the hub as it was written.
func ShippedText() []byte { return slices.Clone(shipped) }

// Shipped is the catalogue that comes with the hub.
func Shipped() *Catalogue {
	c, err := ParseCatalogue(bytes.NewReader(shipped))
	if err != nil {
		panic("rules: the catalogue that ships: " + err.Error()) // every test would fail
	}
	return c
}

// ParseCatalogue reads a catalogue strictly: an unknown field is an error.
func ParseCatalogue(r io.Reader) (*Catalogue, error) {
	var c Catalogue
	d := yaml.NewDecoder(io.LimitReader(r, 1<<20))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("rules: catalogue: %w", err)
	}
	if len(c.Rules) == 0 {
		return nil, errors.New("rules: catalogue: it holds no rules")
	}
	return &c, nil
}

// ProfileNames lists the catalogue's profiles.
func (c *Catalogue) ProfileNames() []string { return slices.Sorted(maps.Keys(c.Profiles)) }

// Limits of an expression: rules are written by people, not by programs.
const maxNodes = 200

// grade is a compiled Grade.
type grade struct {
	Grade
	written string
	program *vm.Program
	inputs  []string // what the expression reads, sorted
}

// rule is a compiled Rule.
type rule struct {
	Rule
	version string
	grades  []grade
	needs   []source
	inputs  []string // of all grades, and what is shown
	limits  map[string]float64
	windows map[string]string // of the features among inputs
}

// Engine is a compiled catalogue in one profile. It is safe for concurrent
// use.
type Engine struct {
	Profile  string
	Version  string // hash of everything that decides
	limits   map[string]float64
	rules    []rule
	measures map[string]*measure
	byKind   map[Kind][]*measure // what the rules for that kind read
	lists    *Lists
	acting   *Acting
}

// ownLimits are what the engine itself reads: a missing one would be 0, and
// month_limit 0 stops everybody.
var ownLimits = []string{"month_limit", "chip_band", "own_name"}

// Compile checks a catalogue and prepares it in one profile. Errors name the
// rule or feature at fault.
func (c *Catalogue) Compile(profile string, lists *Lists) (*Engine, error) {
	p, ok := c.Profiles[profile]
	if !ok {
		return nil, fmt.Errorf("rules: there is no profile %q (there are %s)", profile, strings.Join(c.ProfileNames(), ", "))
	}
	if lists == nil {
		lists = ShippedLists()
	}
	for _, name := range ownLimits {
		if _, ok := c.Limits[name]; !ok {
			return nil, fmt.Errorf("rules: the limit %s is missing", name)
		}
	}
	e := &Engine{Profile: profile, limits: maps.Clone(c.Limits), measures: map[string]*measure{}, byKind: map[Kind][]*measure{}, lists: lists}
	for name, v := range p.Limits {
		if _, ok := c.Limits[name]; !ok {
			return nil, fmt.Errorf("rules: profile %s: there is no limit %q", profile, name)
		}
		e.limits[name] = v
	}
	types := factTypes()
	for name, d := range c.Features {
		m, err := d.compile(name, e.limits)
		if err != nil {
			return nil, fmt.Errorf("rules: %w", err)
		}
		if _, taken := types[name]; taken {
			return nil, fmt.Errorf("rules: feature %s has the name of a fact", name)
		}
		e.measures[name], types[name] = &m, 0.0
	}
	fired := map[string]bool{}
	types["fired"] = fired
	sum := sha256.New()
	for _, r := range c.Rules {
		compiled, err := e.compile(c, p, r, types, fired)
		if err != nil {
			return nil, fmt.Errorf("rules: rule %s: %w", r.ID, err)
		}
		fired[r.ID] = true
		if slices.Contains(p.Off, r.ID) {
			continue
		}
		e.rules = append(e.rules, compiled)
		fmt.Fprintln(sum, r.ID, compiled.version)
	}
	if err := p.check(fired); err != nil {
		return nil, fmt.Errorf("rules: profile %s: %w", profile, err)
	}
	if e.acting = c.Model; e.acting != nil {
		if err := e.acting.check(); err != nil {
			return nil, fmt.Errorf("rules: %w", err)
		}
		fmt.Fprintln(sum, ModelRule, e.acting.ID())
	}
	e.Version = hex.EncodeToString(sum.Sum(nil)[:8])
	e.plan()
	return e, nil
}

// check reports a profile that speaks of rules that are not there.
func (p Profile) check(known map[string]bool) error {
	named := slices.Concat(slices.Collect(maps.Keys(p.Actions)), slices.Collect(maps.Keys(p.Severities)), p.Off)
	for _, id := range named {
		if !known[id] {
			return fmt.Errorf("there is no rule %q", id)
		}
	}
	return nil
}

func (e *Engine) compile(c *Catalogue, p Profile, r Rule, types map[string]any, fired map[string]bool) (rule, error) {
	if a, ok := p.Actions[r.ID]; ok {
		r.Action = a
	}
	if s, ok := p.Severities[r.ID]; ok {
		r.Severity = s
	}
	out := rule{Rule: r}
	if r.Public == "" {
		out.Public = PaymentNotPossible
	}
	if err := r.check(fired); err != nil {
		return out, err
	}
	for _, name := range r.Needs {
		out.needs = append(out.needs, source{name, needs[name]})
	}
	for _, g := range append([]Grade{r.Grade}, r.Lower...) {
		compiled, err := e.compileGrade(g, types, fired)
		if err != nil {
			return out, err
		}
		out.grades = append(out.grades, compiled)
		out.inputs = append(out.inputs, compiled.inputs...)
	}
	for _, name := range r.Shows {
		if _, known := types[name]; !known {
			return out, fmt.Errorf("shows %q is not known", name)
		}
		out.inputs = append(out.inputs, name)
	}
	sort.Strings(out.inputs)
	out.inputs = slices.Compact(out.inputs)
	for _, name := range r.Evidence {
		if e.measures[name] == nil && name != chipDump {
			return out, fmt.Errorf("evidence %q is no feature", name)
		}
	}
	out.version = out.hash(c, e.limits)
	out.record(c, e.limits)
	return out, nil
}

// record notes the limits and windows that the rule goes by, for its hits.
func (r *rule) record(c *Catalogue, numbers map[string]float64) {
	r.limits, r.windows = map[string]float64{}, map[string]string{}
	for _, g := range r.grades {
		for _, m := range limitName.FindAllStringSubmatch(g.written, -1) {
			r.limits[m[1]] = numbers[m[1]]
		}
	}
	if slices.Contains(r.inputs, chipDump) {
		r.limits["chip_band"] = numbers["chip_band"]
	}
	for _, name := range r.inputs {
		d, ok := c.Features[name]
		if !ok {
			continue
		}
		r.windows[name] = d.Window
		for _, word := range []string{d.From, d.To} {
			if v, ok := numbers[word]; ok {
				r.limits[word] = v
			}
		}
	}
}

func (r Rule) check(fired map[string]bool) error {
	switch {
	case r.ID == "" || r.Name == "" || r.Family == "" || len(r.On) == 0:
		return errors.New("id, name, family and on must be given")
	case fired[r.ID], r.ID == ModelRule:
		return errors.New("the id is taken")
	case !slices.Contains(entityKinds, r.Entity):
		return fmt.Errorf("entity %q is not known", r.Entity)
	case r.Public != "" && !slices.Contains(publicReasons, r.Public):
		return fmt.Errorf("%q is no public reason", r.Public)
	}
	for _, k := range r.On {
		if !slices.Contains([]Kind{Deposit, Payout, Refund, HourEnd}, k) {
			return fmt.Errorf("on %q is not known", k)
		}
	}
	for _, n := range r.Needs {
		if needs[n] == nil {
			return fmt.Errorf("needs %q is not known", n)
		}
	}
	for _, g := range append([]Grade{r.Grade}, r.Lower...) {
		if !slices.Contains(actions, g.Action) || !slices.Contains(severities, g.Severity) || g.Weight < 0 || g.Weight > 100 {
			return errors.New("severity, action or weight is not known")
		}
	}
	return nil
}

var limitName = regexp.MustCompile(`\blimit\.([a-z0-9_]+)`)

// compileGrade puts the limits' numbers into the expression, so that the
// program, its hash and its replay hold them.
func (e *Engine) compileGrade(g Grade, types map[string]any, fired map[string]bool) (grade, error) {
	var unknown error
	written := strings.Join(strings.Fields(g.When), " ")
	g.When = strings.Join(strings.Fields(limitName.ReplaceAllStringFunc(g.When, func(s string) string {
		v, ok := e.limits[strings.TrimPrefix(s, "limit.")]
		if !ok {
			unknown = fmt.Errorf("there is no %s", s)
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	})), " ")
	if unknown != nil {
		return grade{}, unknown
	}
	program, err := expr.Compile(g.When, expr.Env(types), expr.AsBool(), expr.MaxNodes(maxNodes),
		expr.DisableAllBuiltins(), expr.EnableBuiltin("max"), expr.EnableBuiltin("min"))
	if err != nil {
		return grade{}, fmt.Errorf("%q: %w", g.When, err)
	}
	reads := &reader{names: map[string]bool{}, fired: map[string]bool{}}
	node := program.Node()
	ast.Walk(&node, reads)
	for id := range reads.fired {
		if !fired[id] {
			return grade{}, fmt.Errorf("fired.%s: only earlier rules can have fired", id)
		}
	}
	return grade{Grade: g, written: written, program: program, inputs: slices.Sorted(maps.Keys(reads.names))}, nil
}

// reader notes what an expression reads.
type reader struct{ names, fired map[string]bool }

// Visit implements ast.Visitor.
func (r *reader) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		r.names[n.Value] = true
	case *ast.MemberNode:
		if of, ok := n.Node.(*ast.IdentifierNode); ok && of.Value == "fired" {
			if id, ok := n.Property.(*ast.StringNode); ok {
				r.fired[id.Value] = true
			}
		}
	}
}

// hash pins the rule and every feature it reads.
func (r *rule) hash(c *Catalogue, numbers map[string]float64) string {
	reads := map[string]Feature{}
	for _, name := range r.inputs {
		if d, ok := c.Features[name]; ok {
			reads[name] = d
		}
	}
	when := make([]Grade, len(r.grades))
	for i, g := range r.grades {
		when[i] = g.Grade
	}
	limits := map[string]float64{}
	for _, d := range reads { // amounts and windows may name limits
		for _, word := range []string{d.From, d.To} {
			if v, ok := numbers[word]; ok {
				limits[word] = v
			}
		}
	}
	for fact, limit := range map[string]string{"month_limit": "month_limit", chipDump: "chip_band", "other_named": "own_name"} { // facts that hold or take a limit
		if slices.Contains(r.inputs, fact) {
			limits[limit] = numbers[limit]
		}
	}
	b, err := json.Marshal([]any{r.Rule, when, reads, limits})
	if err != nil {
		panic("rules: " + err.Error()) // plain data
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// plan notes which features the rules for each kind read.
func (e *Engine) plan() {
	for _, k := range []Kind{Deposit, Payout, Refund, HourEnd} {
		seen := map[string]bool{}
		for i := range e.rules {
			if r := &e.rules[i]; slices.Contains(r.On, k) {
				for _, name := range r.inputs {
					if m := e.measures[name]; m != nil && !seen[name] {
						seen[name] = true
						e.byKind[k] = append(e.byKind[k], m)
					}
				}
			}
		}
		slices.SortFunc(e.byKind[k], func(a, b *measure) int { return strings.Compare(a.name, b.name) })
	}
}

// Reach is how far back the features look over one kind of entity; forever is
// 400 days, longer than any dormancy.
func (e *Engine) Reach(over string) time.Duration {
	reach := 24 * time.Hour // what chip_dump needs of device and network
	for _, m := range e.measures {
		if m.over != over {
			continue
		}
		switch m.window {
		case forever:
			return 400 * 24 * time.Hour
		case month:
			reach = max(reach, 31*24*time.Hour+time.Hour) // with the hour of winter time
		default:
			reach = max(reach, time.Duration(m.window)*time.Microsecond)
		}
	}
	return reach
}
