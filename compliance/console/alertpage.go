package console

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
)

// alertPage is every hit of an alert.
type alertPage struct {
	ID, CaseID, CaseShort, Family string
	Severity                      badge
	Score                         int64
	Hits                          []hitView
	Judged                        string // how the hits came out again, "" before
	JudgedKind                    string
	Can                           bool // judge again
	Proves                        bool // take it as a file
}

type hitView struct {
	N             int64
	At            instant
	Title         string
	Rule, Version string
	Severity      badge
	Score         int64
	Object, Words string
	Numbers       []fact
	Model         *modelView
	Again         badge // how it came out again
}

// modelView is what the fraud score says of a transaction.
type modelView struct {
	Version, Words string
	Parts          []partView
}

// partView is what one number did to the score, as a bar from the middle.
type partView struct {
	Name, Value, Text string
	X, W              int // of 100; 50 is nothing
	Kind              string
}

// alert is GET /alerts/{id}.
func (v *visit) alert() error { return v.alertWith(false) }

// judgeAgain is POST /alerts/{id}/judge: every hit once more, from what was
// stored with it and the very version of its rule. Its answer is the page with
// what came out; the chain notes it.
func (v *visit) judgeAgain() error { return v.alertWith(true) }

func (v *visit) alertWith(judge bool) error {
	a, hits, err := v.openAlert()
	if err != nil {
		return err
	}
	p := alertPage{ID: a.ID, CaseID: a.CaseID, CaseShort: short(a.CaseID), Family: v.family(a.Family), Severity: v.severity(a.Severity), Score: a.Score, Can: v.Book != nil,
		Proves: v.Book != nil && v.officer.Has(provers...)}
	counts := map[verdict]int{}
	for _, h := range hits {
		x := hitView{N: h.N, At: v.at(h.At()), Title: v.rule(h.Rule), Rule: h.Rule, Version: h.RuleVersion, Severity: v.severity(h.Severity), Score: h.Score,
			Object: h.ObjectID, Words: v.explain(h), Numbers: v.numbers(h.Inputs), Model: v.model(h.Inputs)}
		if judge {
			came := v.again(h)
			counts[came]++
			x.Again = badge{verdictKinds[came], v.say("again." + string(came))}
		}
		p.Hits = append(p.Hits, x)
	}
	if judge {
		p.Judged = v.say("again.summary", "same", counts[comesOut], "other", counts[differs], "cannot", counts[cannot])
		if p.JudgedKind = "done"; counts[differs] > 0 {
			p.JudgedKind = "failed"
		}
		err := v.Desk.Record(v.ctx(), compliance.ActorOfficer, v.officer.ID, "alert.judged", a.CaseID,
			map[string]any{"alert": a.ID, "same": counts[comesOut], "other": counts[differs], "cannot": counts[cannot]})
		if err != nil {
			return err
		}
	}
	return v.show("queue", page.Page{Name: "alert", Title: v.say("alert.title", "family", p.Family), Self: v.Request().URL, Data: p})
}

// openAlert loads an alert of a case that the officer may see, and its hits.
func (v *visit) openAlert() (a compliance.Alert, hits []compliance.Hit, err error) {
	if a, err = v.Desk.Alert(v.ctx(), v.Param("id")); err != nil {
		return a, nil, err
	}
	if _, err := v.Desk.Case(v.ctx(), v.officer, a.CaseID); err != nil {
		return a, nil, psd2.NotFound("alert")
	}
	hits, err = v.Desk.HitsOf(v.ctx(), a, 200)
	return a, hits, err
}

// proof is POST /alerts/{id}/proof: the alert as a file that "rialto verify
// alert" judges again without a hub. What hits saw may name people: the chain
// notes who took it.
func (v *visit) proof() error {
	if v.Book == nil || !v.officer.Has(provers...) {
		return psd2.Fail(psd2.CodeForbidden, "role_missing", "your role does not allow this")
	}
	a, hits, err := v.openAlert()
	if err != nil {
		return err
	}
	p, err := v.Book.Prove(v.ctx(), a, hits)
	if err != nil {
		return err
	}
	if err := v.Desk.Record(v.ctx(), compliance.ActorOfficer, v.officer.ID, "alert.exported", a.CaseID, map[string]any{"alert": a.ID, "hits": len(hits)}); err != nil {
		return err
	}
	v.attach("application/json", "alert.json")
	return json.NewEncoder(v.Response()).Encode(p)
}

// provers may take an alert with its inputs out of the house.
var provers = []compliance.Role{compliance.MLRO, compliance.Auditor}

// verdict is how a hit came out when it was judged again.
type verdict string

const (
	comesOut verdict = "same"
	differs  verdict = "other"
	cannot   verdict = "cannot" // what is needed for it is not here any more
)

var verdictKinds = map[verdict]string{comesOut: "done", differs: "failed", cannot: ""}

// again judges a stored hit once more.
func (v *visit) again(h compliance.Hit) verdict {
	var kind struct {
		ListHash string `json:"list_hash"`
		When     string `json:"when"`
	}
	if h.Inputs == nil || json.Unmarshal(h.Inputs, &kind) != nil {
		return cannot
	}
	switch {
	case kind.ListHash != "" && v.Screening != nil:
		_, possible, err := v.Screening.Again(h.Inputs)
		if !possible {
			return cannot
		}
		if err != nil {
			return differs
		}
		return comesOut
	case kind.When != "" && v.Book != nil:
		var stored rules.Hit
		if json.Unmarshal(h.Inputs, &stored) != nil {
			return differs
		}
		now, err := v.Book.Replay(v.ctx(), h.Inputs)
		if err != nil || !rulebook.Same(stored, now) {
			return differs
		}
		return comesOut
	}
	return cannot // no rule made it: a factor, or a person, reported it
}

// model reads what the fraud score said of a hit's transaction; nil when none
// looked.
func (v *visit) model(inputs json.RawMessage) *modelView {
	var doc struct {
		Model *score.Scored `json:"model"`
	}
	if json.Unmarshal(inputs, &doc) != nil || doc.Model == nil {
		return nil
	}
	m := doc.Model
	x := &modelView{Version: m.Version, Words: v.say("model.novelty", "novelty", percent(m.Novelty))}
	parts := m.ForNovel
	if m.Risk != nil {
		x.Words = v.say("model.risk", "risk", percent(*m.Risk), "novelty", percent(m.Novelty))
		parts = m.ForRisk
	}
	x.Words += " " + v.say("model."+string(m.Mode))
	most := 0.0
	for _, p := range parts {
		most = max(most, math.Abs(p.Moved))
	}
	for _, p := range parts {
		if p.Moved == 0 {
			continue
		}
		w := max(int(math.Round(math.Abs(p.Moved)/most*50)), 1)
		view := partView{Name: v.sayOr("input."+p.Column, columnName(p.Column)), Value: v.input(p.Column, json.Number(strconv.FormatFloat(p.Value, 'f', -1, 64))),
			Text: v.signed(p.Moved), X: 50, W: w, Kind: "more"}
		if p.Moved < 0 {
			view.X, view.Kind = 50-w, "less"
		}
		x.Parts = append(x.Parts, view)
	}
	return x
}
