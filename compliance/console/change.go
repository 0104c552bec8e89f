package console

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
)

// backtested is how far back a backtest looks.
const backtested = 60 * 24 * time.Hour

// setView is a set of rules in a list.
type setView struct {
	ID, Short, Reason, By string
	State                 badge
	Number                int64
	At                    instant
}

var setKinds = map[rulebook.State]string{rulebook.StateShadow: "look", rulebook.StatePublished: "done", rulebook.StateWithdrawn: "failed"}

func (v *visit) setView(s *rulebook.Set) setView {
	x := setView{ID: s.ID, Short: short(s.ID), Reason: s.Reason, By: s.DraftedName, Number: s.Number, At: v.at(s.DraftedAt),
		State: badge{setKinds[s.State], v.say("set." + string(s.State))}}
	if s.Origin == rulebook.OriginShipped {
		x.By, x.Reason = v.say("actor.system"), v.say("changes.shipped")
	}
	return x
}

// limitView is a limit that a form may change.
type limitView struct {
	Name, Value string
	Chosen      bool
}

// changes is GET /rules/changes?limit=&value=: all sets, and a new draft.
func (v *visit) changes() error {
	if v.Book == nil {
		return psd2.NotFound("page")
	}
	list, err := v.Book.History(v.ctx(), v.officer, listed)
	if err != nil {
		return err
	}
	data := struct {
		Sets    []setView
		Limits  []limitView
		Value   string
		Text    string
		Model   *modelForm // nil: none has watched
		Drafts  bool
		Waiting bool // a set is in shadow already
	}{Drafts: v.mayDraft(), Value: v.comma(v.QueryParam("value"))}
	for _, s := range list {
		data.Sets = append(data.Sets, v.setView(s))
		data.Waiting = data.Waiting || s.State == rulebook.StateShadow
		if s.State != rulebook.StatePublished {
			continue
		}
		data.Text = s.Catalogue
		c, err := rules.ParseCatalogue(strings.NewReader(s.Catalogue))
		if err != nil {
			return err
		}
		for name, n := range c.Limits {
			data.Limits = append(data.Limits, limitView{name, v.decimal(n, -1), name == v.QueryParam("limit")})
		}
		if data.Model, err = v.modelForm(c.Model); err != nil {
			return err
		}
	}
	slices.SortFunc(data.Limits, func(a, b limitView) int { return strings.Compare(a.Name, b.Name) })
	return v.show("rules", page.Page{Name: "changes", Title: v.say("changes.title"), Self: v.Request().URL, Data: data})
}

// number writes a limit as the catalogue does.
func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// draft is POST /rules/changes: one limit, the fraud score's part, or the whole
// catalogue.
func (v *visit) draft() error {
	if v.Book == nil {
		return psd2.NotFound("page")
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	text := []byte(strings.ReplaceAll(form.Get("catalogue"), "\r\n", "\n")) // as a textarea sends it
	switch {
	case form.Get("limit") != "":
		text, err = withLimit(text, form.Get("limit"), strings.TrimSpace(form.Get("value")))
	case form.Get("model") != "":
		text, err = modelDrafted(text, form)
	}
	if err != nil {
		return err
	}
	s, err := v.Book.Draft(v.ctx(), v.officer, text, form.Get("reason"))
	if err != nil {
		return err
	}
	return v.away("/rules/changes/" + s.ID)
}

// withLimit changes one limit in a catalogue's text and leaves all else, its
// comments too.
func withLimit(text []byte, name, value string) ([]byte, error) {
	n, err := strconv.ParseFloat(strings.Replace(value, ",", ".", 1), 64)
	if err != nil {
		return nil, psd2.Invalid("value", "limit_value", "enter a number")
	}
	line := regexp.MustCompile(`(?m)^(  ` + regexp.QuoteMeta(name) + `: *)[0-9.]+`)
	at := line.FindSubmatchIndex(text)
	if at == nil {
		return nil, psd2.Invalid("limit", "limit_unknown", "there is no such limit")
	}
	changed := slices.Concat(text[:at[3]], []byte(number(n)), text[at[1]:])
	c, err := rules.ParseCatalogue(bytes.NewReader(changed))
	if err != nil || c.Limits[name] != n {
		return nil, psd2.Invalid("limit", "limit_unknown", "there is no such limit")
	}
	return changed, nil
}

// changePage is one set on its way.
type changePage struct {
	Set      setView
	Hash     string
	Story    []fact
	Lines    []diffLine
	Same     bool // as a person who drafted it
	Test     bool
	Shadow   bool
	Publish  bool
	Withdraw bool
	Tested   *volume // a backtest that was just made
	Live     *volume // what it said in shadow
}

// change is GET /rules/changes/{id}.
func (v *visit) change() error { return v.changeWith(nil) }

// backtest is POST /rules/changes/{id}/backtest. Its answer is the page with
// the comparison; the set notes that it was tested.
func (v *visit) backtest() error {
	if v.Book == nil {
		return psd2.NotFound("page")
	}
	now := v.Now()
	c, err := v.Book.Backtest(v.ctx(), v.officer, v.Param("id"), rulebook.Span{From: now.Add(-backtested), Until: now})
	if err != nil {
		return err
	}
	return v.changeWith(c)
}

func (v *visit) changeWith(tested *rulebook.Comparison) error {
	if v.Book == nil {
		return psd2.NotFound("page")
	}
	s, err := v.Book.Set(v.ctx(), v.officer, v.Param("id"))
	if err != nil {
		return err
	}
	p := changePage{Set: v.setView(s), Hash: s.Hash, Same: s.DraftedBy == v.officer.ID}
	p.Story = v.storyOf(s)
	if s.BaseID != "" {
		base, err := v.Book.Set(v.ctx(), v.officer, s.BaseID)
		if err != nil {
			return err
		}
		p.Lines = diff(base.Catalogue, s.Catalogue)
	}
	drafts := v.mayDraft()
	early := s.State == rulebook.StateDraft || s.State == rulebook.StateShadow
	p.Test, p.Withdraw = drafts && early, drafts && early
	p.Shadow = drafts && s.State == rulebook.StateDraft && !s.TestedAt.IsZero()
	p.Publish = v.officer.Has(compliance.MLRO, compliance.Admin) && s.State == rulebook.StateShadow && !p.Same
	if tested != nil {
		p.Tested = v.volumeOf(tested)
	}
	if !s.ShadowAt.IsZero() {
		live, err := v.Book.ShadowReport(v.ctx(), v.officer, s.ID)
		if err != nil {
			return err
		}
		p.Live = v.volumeOf(live)
	}
	return v.show("rules", page.Page{Name: "change", Title: v.say("changes.one", "id", p.Set.Short), Self: v.Request().URL, Data: p})
}

// storyOf tells what has happened to a set, and when.
func (v *visit) storyOf(s *rulebook.Set) []fact {
	list := []fact{{Term: v.say("set.draft"), Text: v.at(s.DraftedAt).Text + " · " + v.setView(s).By}}
	add := func(term string, at time.Time, who string) {
		if !at.IsZero() {
			list = append(list, fact{Term: v.say(term), Text: strings.TrimSuffix(v.at(at).Text+" · "+who, " · ")})
		}
	}
	names := v.names()
	add("changes.tested", s.TestedAt, "")
	add("set.shadow", s.ShadowAt, names[s.ShadowBy])
	published := s.PublishedName
	if s.Origin == rulebook.OriginShipped {
		published = ""
	}
	add("set.published", s.PublishedAt, published)
	if s.State == rulebook.StateRetired || s.State == rulebook.StateWithdrawn {
		add("set."+string(s.State), s.EndedAt, "")
	}
	return list
}

// changeDo is POST /rules/changes/{id}: shadow, publish, withdraw.
func (v *visit) changeDo() error {
	if v.Book == nil {
		return psd2.NotFound("page")
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	id := v.Param("id")
	switch form.Get("do") {
	case "shadow":
		_, err = v.Book.Shadow(v.ctx(), v.officer, id)
	case "publish":
		_, err = v.Book.Publish(v.ctx(), v.officer, id)
	case "withdraw":
		_, err = v.Book.Withdraw(v.ctx(), v.officer, id, form.Get("reason"))
	default:
		err = psd2.Invalid("do", "action_unknown", "there is no such action")
	}
	if err != nil {
		return err
	}
	return v.away("/rules/changes/" + id)
}

// volume is a comparison, drawn.
type volume struct {
	Summary  string
	Bars     []volumeBar
	Top      string
	Days     []tick
	Rules    []ruleShift
	Actions  []shift
	Outcomes []outcomeShift
	Examples []exampleView
	Rows     []dayRow
}

type volumeBar struct {
	X, Y, H, W float64
	Kind       string // before, after
	Title      string
}

type dayRow struct {
	Day           string
	Before, After int
}

type ruleShift struct {
	ID, Title             string
	Before, After         int
	Gone, New             int
	WidthBefore, WidthNow int
}

type shift struct {
	From, To string
	N        int
}

type outcomeShift struct {
	Outcome          string
	N, Before, After int
}

type exampleView struct{ ID, Before, After string }

const (
	volumeLeft, volumeRight = 40.0, 630.0
	volumeTop, volumeBase   = 12.0, 120.0
)

func (v *visit) volumeOf(c *rulebook.Comparison) *volume {
	x := &volume{}
	largest, before, after := 1, 0, 0
	for _, d := range c.Days {
		largest = max(largest, d.Base, d.Other)
		before, after = before+d.Base, after+d.Other
	}
	x.Top = strconv.Itoa(largest)
	x.Summary = v.say("volume.summary", "n", c.Transactions, "changed", c.Changed, "before", before, "after", after)
	slot := (volumeRight - volumeLeft) / float64(max(len(c.Days), 1))
	every := max(len(c.Days)/6, 1)
	for i, d := range c.Days {
		left := volumeLeft + float64(i)*slot
		day := d.Day
		if t, err := time.Parse(time.DateOnly, d.Day); err == nil {
			day = v.day(t)
		}
		for k, n := range []int{d.Base, d.Other} {
			h := (volumeBase - volumeTop) * float64(n) / float64(largest)
			kind := []string{"before", "after"}[k]
			x.Bars = append(x.Bars, volumeBar{X: left + slot*(0.1+0.4*float64(k)), Y: volumeBase - h, H: h, W: slot * 0.38, Kind: kind,
				Title: fmt.Sprintf("%s, %s: %d", day, v.say("volume."+kind), n)})
		}
		if i%every == 0 && left < volumeRight-30 {
			x.Days = append(x.Days, tick{X: left + slot/2, Text: day[:max(len(day)-5, 0)]})
		}
		x.Rows = append(x.Rows, dayRow{day, d.Base, d.Other})
	}
	most := 1
	for _, r := range c.Rules {
		most = max(most, r.Base, r.Other)
	}
	for _, r := range c.Rules {
		x.Rules = append(x.Rules, ruleShift{r.Rule, v.rule(r.Rule), r.Base, r.Other, r.OnlyBase, r.OnlyOther, r.Base * 100 / most, r.Other * 100 / most})
	}
	action := func(a rules.Action) string { return v.sayOr("action."+strings.ToLower(string(a)), string(a)) }
	for _, a := range c.Actions {
		if a.Base != a.Other {
			x.Actions = append(x.Actions, shift{action(a.Base), action(a.Other), a.Transactions})
		}
	}
	for _, o := range c.Outcomes {
		x.Outcomes = append(x.Outcomes, outcomeShift{v.outcome(o.Outcome), o.Transactions, o.Base, o.Other})
	}
	for _, e := range c.Examples {
		x.Examples = append(x.Examples, exampleView{e.ID, action(e.Base) + " " + strings.Join(e.BaseRules, " "), action(e.Other) + " " + strings.Join(e.OtherRules, " ")})
	}
	return x
}
