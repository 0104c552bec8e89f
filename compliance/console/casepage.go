package console

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rules/explain"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
)

// casePage is all of a case on one page.
type casePage struct {
	ID, Short  string
	Version    int64
	Title      string
	Severity   badge
	Score      int64
	State      badge
	Clock      badge
	Sample     bool
	Escalated  bool
	Erased     bool
	Restricted bool
	Lock       string
	Proposal   *proposalView
	Wait       string
	Alerts     []alertView
	Chart      *chart
	Graph      *graph
	Similar    []similarView
	Facts      []fact
	Person     []fact
	Fields     []option // that may be revealed
	Why        []option // reasons to
	Revealed   *fact
	History    []historyLine
	Actions    []actionForm
	Report     bool // there is a page for the report
	Joined     string
	Holds      []holdRow // money that waits because of it
	Ended      []holdRow // or waited
	Gaps       []fact    // what rules could not see
	CanSplit   bool
	CanJoin    bool
	Joinable   []option
}

type proposalView struct {
	Text    string
	Own     bool
	Entries []string
}

type alertView struct {
	ID, Title, Family string
	Severity          badge
	Score             int64
	Hits              int
	Last              instant
	Outcome           string
	Words             string
	Numbers           []fact
	Rule, Version     string
}

type similarView struct {
	ID, Short, Title, Outcome, Reason string
	Same                              bool
	Score                             int64
	Closed                            instant
}

type historyLine struct {
	At    instant
	Who   string
	Title string
	Note  string
	Gone  bool
	Kind  string
}

// theCase loads the case of the URL for this officer.
func (v *visit) theCase() (*compliance.Case, error) {
	return v.Desk.Case(v.ctx(), v.officer, v.Param("id"))
}

// showCase is GET /cases/{id}.
func (v *visit) showCase() error {
	c, err := v.Desk.Open(v.ctx(), v.officer, v.Param("id"))
	if err != nil {
		return err
	}
	return v.caseWith(c, nil)
}

func (v *visit) caseWith(c *compliance.Case, revealed *fact) error {
	p := casePage{ID: c.ID, Short: short(c.ID), Version: c.Version, Title: v.rule(c.Rule), Severity: v.severity(c.Severity), Score: c.Score,
		State: v.state(c.State), Clock: v.clockOf(c), Sample: c.Sample, Escalated: c.Escalated, Erased: !c.ErasedAt.IsZero(),
		Restricted: c.State.Restricted(), Revealed: revealed, Why: v.reasons(compliance.RevealReasons)}
	if c.LockedBy != "" && c.LockedBy != v.officer.ID && v.Now().Before(c.LockedUntil) {
		p.Lock = v.say("case.locked", "who", c.LockedName, "until", v.at(c.LockedUntil).Text)
	}
	if c.State.Proposed() {
		p.Proposal = &proposalView{Own: c.Proposal.By == v.officer.ID, Entries: c.Proposal.Entries, Text: v.say("case.proposal",
			"who", c.Proposal.Name, "what", v.say("state."+string(c.State)), "when", v.at(c.Proposal.At).Text, "why", v.reasonText(c.Proposal.Reason))}
	}
	if c.State == compliance.SARFiled {
		p.Wait = v.say("case.waiting", "reference", c.Reference, "until", v.at(c.WaitUntil).Text)
	}
	facts, err := v.Facts.FactsOf(v.ctx(), c)
	if err != nil {
		return err
	}
	hits, err := v.alerts(c, &p)
	if err != nil {
		return err
	}
	p.Chart, p.Graph = v.chartOf(facts, hits), v.graphOf(c, facts)
	p.Facts, p.Person, p.Fields = v.caseFacts(c), v.person(facts), v.fields(facts)
	if err := v.past(c, &p); err != nil {
		return err
	}
	if p.Actions, err = v.actions(c, listEntries(hits)); err != nil {
		return err
	}
	if err := v.around(c, facts, &p); err != nil {
		return err
	}
	p.Report = v.officer.Has(compliance.MLRO) && c.State != compliance.New && c.State != compliance.Triaged && c.State != compliance.Closed
	self := *v.Request().URL
	self.Path = "/cases/" + c.ID
	return v.show("queue", page.Page{Name: "case", Title: p.Title + " …" + p.Short, Self: &self, Data: p})
}

// alerts fills why the case is here, and gives all hits for the chart.
func (v *visit) alerts(c *compliance.Case, p *casePage) ([]compliance.Hit, error) {
	list, err := v.Desk.AlertsOf(v.ctx(), c.ID)
	if err != nil {
		return nil, err
	}
	var all []compliance.Hit
	for _, a := range list {
		hits, err := v.Desk.HitsOf(v.ctx(), a, 50)
		if err != nil {
			return nil, err
		}
		all = append(all, hits...)
		view := alertView{ID: a.ID, Family: v.family(a.Family), Severity: v.severity(a.Severity), Score: a.Score, Hits: int(a.HitCount),
			Last: v.at(a.Last()), Outcome: v.outcome(a.Outcome)}
		if len(hits) > 0 {
			h := hits[0]
			view.Title, view.Rule, view.Version = v.rule(h.Rule), h.Rule, h.RuleVersion
			view.Words, view.Numbers = v.explain(h), v.numbers(h.Inputs)
		}
		p.Alerts = append(p.Alerts, view)
	}
	return all, nil
}

// listEntries are the list entries that hits are about.
func listEntries(hits []compliance.Hit) string {
	var ids []string
	for _, h := range hits {
		var in struct {
			EntryID string `json:"entry_id"`
		}
		if json.Unmarshal(h.Inputs, &in) == nil && in.EntryID != "" && !slices.Contains(ids, in.EntryID) {
			ids = append(ids, in.EntryID)
		}
	}
	return strings.Join(ids, " ")
}

// explain puts a hit into a sentence.
func (v *visit) explain(h compliance.Hit) string {
	if h.Inputs == nil {
		return v.say("alert.erased")
	}
	if text := explain.Stored(v.lang, h.Inputs); text != "" {
		return text
	}
	return v.say("alert.fired", "rule", h.Rule, "version", h.RuleVersion)
}

// numbers lists a hit's inputs: amounts as money, texts of people masked.
func (v *visit) numbers(inputs json.RawMessage) (list []fact) {
	var m map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(inputs)))
	decoder.UseNumber()
	if decoder.Decode(&m) != nil {
		return nil
	}
	condition := ""
	if inner, ok := m["inputs"].(map[string]any); ok { // a rule's hit: what it saw, the expression, and what else it rests on
		condition, _ = m["when"].(string)
		if e, ok := m["evidence"]; ok {
			inner["evidence"] = e
		}
		m = inner
	}
	for _, name := range slices.Sorted(maps.Keys(m))[:min(len(m), 40)] {
		list = append(list, fact{Term: v.sayOr("input."+name, columnName(name)), Text: v.input(name, m[name])})
	}
	if condition != "" {
		list = append(list, fact{Term: v.say("input.when"), Code: strings.Join(strings.Fields(condition), " "), Kind: "wide"})
	}
	return list
}

// columnName reads a number's name as words.
func columnName(name string) string {
	return strings.ReplaceAll(strings.TrimSuffix(name, "_minor"), "_", " ")
}

// isMoney tells amounts of cents by their names: the hub's own, and those of
// sums that rules take.
func isMoney(name string) bool {
	switch name { // sums by other names
	case "amount", "stake", "month_limit", "month_deposits", "all_deposits", "person_month", "person_24h", "last_deposit", "min_48h", "deposits_7d", "refunds_7d":
		return true
	}
	return strings.HasSuffix(name, "_minor") || strings.HasPrefix(name, "max_") || strings.HasPrefix(name, "sum_") || strings.HasSuffix(name, "_sum") ||
		strings.Contains(name, "_sum_") || strings.Contains(name, "_max_")
}

func (v *visit) input(name string, value any) string {
	switch x := value.(type) {
	case json.Number:
		n, err := x.Int64()
		if err == nil && isMoney(name) {
			return page.Money(v.lang, psd2.Euro(n))
		}
		f, ferr := x.Float64()
		if ferr == nil && name == "holder_match" {
			return v.decimal(f*100, 0) + "\u00a0%"
		}
		if err != nil && ferr == nil {
			return v.decimal(f, 3)
		}
		return x.String()
	case bool:
		return v.say(map[bool]string{true: "yes", false: "no"}[x])
	case string:
		if t, err := time.Parse(time.RFC3339, x); err == nil {
			return v.at(t).Text
		}
		if iban, err := psd2.ParseIBAN(strings.ToUpper(x)); err == nil {
			return page.MaskedIBAN(iban)
		}
		if isWord(x) {
			return x
		}
		return page.MaskedName(x)
	case nil:
		return "–"
	case []any:
		if name == "evidence" {
			return strconv.Itoa(len(x))
		}
		return v.say("input.list", "n", len(x))
	case map[string]any: // which rules had fired before
		var yes []string
		for _, k := range slices.Sorted(maps.Keys(x)) {
			if x[k] == true && isWord(strings.ToLower(k)) {
				yes = append(yes, k)
			}
		}
		if len(yes) > 0 {
			return strings.Join(yes, ", ")
		}
	}
	return "–"
}

// isWord reports a short code of a program rather than a person's text.
func isWord(s string) bool {
	if len(s) > 24 || s == "" {
		return false
	}
	if _, err := psd2.ParseIBAN(strings.ToUpper(s)); err == nil {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '.' && r != '-' && r != '%'
	})
}

func (v *visit) caseFacts(c *compliance.Case) []fact {
	assignee := c.AssigneeName
	if assignee == "" {
		assignee = v.say("assignee.nobody")
	}
	list := []fact{
		{Term: v.say("fact.assignee"), Text: assignee},
		{Term: v.say("fact.opened"), Text: v.at(c.OpenedAt).Text},
		{Term: v.say("fact.entity"), Text: v.sayOr("entity."+c.EntityKind, c.EntityKind), Code: "…" + short(c.EntityKey)},
		{Term: v.say("fact.merchant"), Text: v.Merchant(v.ctx(), c.MerchantID)},
	}
	if c.Outcome != "" {
		list = append(list, fact{Term: v.say("fact.outcome"), Text: v.outcome(c.Outcome) + " · " + v.reasonText(c.Reason)})
	}
	if c.Reference != "" {
		list = append(list, fact{Term: v.say("fact.reference"), Code: c.Reference})
	}
	if !c.SnoozedUntil.IsZero() {
		list = append(list, fact{Term: v.say("fact.snoozed"), Text: v.at(c.SnoozedUntil).Text, Kind: "look"})
	}
	return list
}

// person is what is known of him, masked.
func (v *visit) person(f *compliance.Facts) []fact {
	if !f.Known {
		return nil
	}
	list := []fact{
		{Term: v.say("person.name"), Text: page.MaskedName(f.Player.Name)},
		{Term: v.say("person.birth"), Text: maskedDigits(f.Player.DateOfBirth)},
		{Term: v.say("person.reference"), Text: page.MaskedName(f.Player.Reference)},
		{Term: v.say("person.residence"), Text: f.Player.Residence},
		{Term: v.say("person.kyc"), Text: v.sayOr("kyc."+f.Player.KYCStatus, f.Player.KYCStatus)},
	}
	for i, a := range f.Accounts {
		list = append(list, fact{Term: v.say("person.account", "n", i+1), Text: page.MaskedIBAN(a.IBAN) + " · " + page.MaskedName(a.Name)})
	}
	return slices.DeleteFunc(list, func(x fact) bool { return x.Text == "" })
}

func maskedDigits(s string) string {
	if s == "" {
		return ""
	}
	return "••••-••-••"
}

// fields are those that can be revealed one by one.
func (v *visit) fields(f *compliance.Facts) []option {
	if !f.Known || !v.officer.Has(compliance.Analyst, compliance.MLRO) {
		return nil
	}
	list := []option{{Value: "name", Text: v.say("person.name")}, {Value: "birth", Text: v.say("person.birth")}, {Value: "reference", Text: v.say("person.reference")}}
	for i := range f.Accounts {
		list = append(list, option{Value: "account." + strconv.Itoa(i+1), Text: v.say("person.account", "n", i+1)})
	}
	return list
}

// reveal is POST /cases/{id}/reveal.
func (v *visit) reveal() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	c, err := v.theCase()
	if err != nil {
		return err
	}
	facts, err := v.Facts.FactsOf(v.ctx(), c)
	if err != nil {
		return err
	}
	field := form.Get("field")
	i := slices.IndexFunc(v.fields(facts), func(o option) bool { return o.Value == field })
	if i < 0 {
		return psd2.Invalid("field", "field_unknown", "there is no such field")
	}
	value := ""
	switch field {
	case "name":
		value = facts.Player.Name
	case "birth":
		value = facts.Player.DateOfBirth
	case "reference":
		value = facts.Player.Reference
	default:
		n, _ := strconv.Atoi(strings.TrimPrefix(field, "account.")) // one of fields
		value = facts.Accounts[n-1].IBAN.Grouped() + " · " + facts.Accounts[n-1].Name
	}
	if err := v.Desk.Reveal(v.ctx(), v.officer, c.ID, field, form.Get("reason")); err != nil {
		return err
	}
	return v.caseWith(c, &fact{Term: v.fields(facts)[i].Text, Text: value})
}

// past fills similar cases and the history.
func (v *visit) past(c *compliance.Case, p *casePage) error {
	similar, err := v.Desk.Similar(v.ctx(), v.officer, c, 5)
	if err != nil {
		return err
	}
	for _, s := range similar {
		p.Similar = append(p.Similar, similarView{ID: s.ID, Short: short(s.ID), Title: v.rule(s.Rule), Outcome: v.outcome(s.Outcome),
			Reason: v.reasonText(s.Reason), Same: s.Same == 1, Score: s.Score, Closed: v.at(s.Closed())})
	}
	lines, err := v.Desk.History(v.ctx(), c.ID, 100)
	if err != nil {
		return err
	}
	names := v.names()
	for i := 0; i < len(lines); {
		n := 1
		for i+n < len(lines) && repeats(lines[i], lines[i+n]) {
			n++
		}
		line := v.historyLine(lines[i], names)
		if n > 1 {
			line.Title += " " + v.say("history.times", "n", n)
		}
		p.History = append(p.History, line)
		i += n
	}
	return nil
}

// repeats reports whether an older line says no more than that a rule hit once
// more: both make one line of the page.
func repeats(l, older compliance.Line) bool {
	return l.Action == "alert.hit" && older.Action == l.Action && older.Actor == l.Actor && l.Note == "" && older.Note == ""
}

// names of officers by id.
func (v *visit) names() map[string]string {
	names, err := v.Login.Names(v.ctx())
	if err != nil { // ids stand for names
		return map[string]string{v.officer.ID: v.officer.Name}
	}
	return names
}

func (v *visit) historyLine(l compliance.Line, names map[string]string) historyLine {
	h := historyLine{At: v.at(l.When()), Note: l.Note, Gone: l.Gone, Title: v.sayOr("did."+l.Action, l.Action)}
	switch l.ActorKind {
	case compliance.ActorRule:
		h.Who, h.Kind = v.rule(l.Actor), "look"
	case compliance.ActorSystem:
		h.Who = v.say("actor.system")
	default:
		if h.Who = names[l.Actor]; h.Who == "" {
			h.Who = l.Actor
		}
	}
	if r := l.Value("reason"); r != "" {
		h.Title += ": " + v.reasonText(r)
	}
	if r := l.Value("reference"); r != "" {
		h.Title += " (" + r + ")"
	}
	if f := l.Value("field"); f != "" {
		h.Title += " · " + f
	}
	if strings.HasSuffix(l.Action, ".approve") {
		h.Kind = "done"
	}
	return h
}

func sortRows(rows []chartRow) {
	slices.SortStableFunc(rows, func(a, b chartRow) int { return b.At.T.Compare(a.At.T) })
}
