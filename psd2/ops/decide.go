package ops

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
)

// decisionView is the part of a story that is about an unknown outcome and what
// people decide of it. nil: there never was anything to decide.
type decisionView struct {
	Object, EndToEndID string
	Open               bool // the outcome is unknown
	Since              instant
	Age                string
	Early              string    // until when only the bank can answer
	Proposal           *proposal // that waits
	Mine               bool      // the reader has made it
	WhyNot             string    // why he cannot decide
	Journal            []entry
	Typed              typed
	Contradicted       string // the bank's word against the people's
}

type proposal struct {
	ID      string
	Verdict badge
	Facts   []fact
}

// typed is what a form held that was not accepted, and why.
type typed struct {
	Verdict, Reason, Evidence, Remark string
	Notice                            string
	Wrong                             map[string]string // by field
	Status                            int
}

// decision shows what there is to decide, and what has been.
func (v *visit) decision(objectID string, words []*psd2.OperatorDecision) (*decisionView, error) {
	q, err := v.Hub.Question(v.ctx(), objectID)
	if err != nil {
		return nil, err
	}
	list, err := v.Hub.Decisions(v.ctx(), objectID)
	if err != nil || q == nil && len(list) == 0 && v.typed.Notice == "" {
		return nil, err
	}
	d := &decisionView{Object: objectID, Typed: v.typed, Journal: v.decisions(list)}
	for _, w := range words {
		if w.Contradicted() {
			d.Contradicted = v.say("decision.contradicted." + string(w.Verdict))
		}
	}
	if q == nil {
		return d, nil
	}
	d.Open, d.EndToEndID, d.Since, d.Age = true, q.EndToEndID, v.at(q.Since), v.took(v.Now().Sub(q.Since))
	if v.Now().Before(q.DecidableAt) {
		d.Early = v.at(q.DecidableAt).Text
	}
	if !v.person.may(RightDecide) {
		d.WhyNot = v.say("decision.not_your_role")
	}
	if p := q.Proposal; p != nil {
		d.Mine = p.By.ID == v.person.ID
		d.Proposal = &proposal{ID: p.ID, Verdict: v.verdict(p.Verdict), Facts: []fact{
			{Key: "decision.reason", Text: withoutIBANs(p.Reason)}, {Key: "decision.evidence", Text: withoutIBANs(p.Evidence)},
			{Key: "decision.proposed_by", Text: p.By.Name, At: v.maybe(&p.At)},
		}}
	}
	return d, nil
}

func (v *visit) verdict(x psd2.Verdict) badge {
	kind := "failed"
	if x == psd2.VerdictExecuted {
		kind = "done"
	}
	return badge{kind, v.say("verdict." + string(x))}
}

// decisions is the journal of them, oldest first.
func (v *visit) decisions(list []hub.Decision) []entry {
	var out []entry
	for _, d := range list {
		out = append(out, entry{At: v.at(d.At), Title: v.say("decision.was.proposed", "name", d.By.Name, "verdict", v.say("verdict."+string(d.Verdict))),
			Text: withoutIBANs(join(d.Reason, d.Evidence)), Code: d.ID})
		if e := d.End; e != nil {
			kind := map[string]string{"approved": "done", "returned": "failed"}[e.Outcome]
			out = append(out, entry{At: v.at(e.At), Kind: kind, Title: v.say("decision.was."+e.Outcome, "name", e.By.Name), Text: withoutIBANs(e.Remark), Since: v.since(d.At, e.At)})
		}
	}
	return out
}

// propose is POST /decisions.
func (v *visit) propose() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	object := form.Get("object")
	d, err := v.Hub.Propose(v.ctx(), v.person.operator(), hub.Draft{ObjectID: object, Verdict: psd2.Verdict(form.Get("verdict")),
		Reason: form.Get("reason"), Evidence: form.Get("evidence")})
	if err != nil {
		return v.notDecided(object, form, err)
	}
	edge.Annotate(v.ctx(), "decision", d.ID)
	return v.away(hrefOf(object) + "#decision")
}

// approve is POST /decisions/{id}/approve, giveBack the other one; object= is
// the page that the form was on.
func (v *visit) approve() error {
	return v.endDecision(func(id string, _ url.Values) error { return v.Hub.Approve(v.ctx(), v.person.operator(), id) })
}

func (v *visit) giveBack() error {
	return v.endDecision(func(id string, form url.Values) error {
		return v.Hub.Return(v.ctx(), v.person.operator(), id, form.Get("remark"))
	})
}

func (v *visit) endDecision(do func(id string, form url.Values) error) error {
	form, err := v.form()
	if err != nil {
		return err
	}
	id, object := v.Param("id"), form.Get("object")
	if !psd2.IsID(psd2.PrefixDecision, id) {
		return psd2.NotFound("decision")
	}
	edge.Annotate(v.ctx(), "decision", id)
	if err := do(id, form); err != nil {
		return v.notDecided(object, form, err)
	}
	return v.away(hrefOf(object) + "#decision")
}

// notDecided shows the story again, with what was typed and why nothing was
// decided.
func (v *visit) notDecided(object string, form url.Values, err error) error {
	var refused *psd2.Error
	if !errors.As(err, &refused) || refused.Code == psd2.CodeNotFound || refused.Code == psd2.CodeInternal {
		return err
	}
	edge.Annotate(v.ctx(), "refused", refused.Reason)
	v.typed = typed{Verdict: form.Get("verdict"), Reason: form.Get("reason"), Evidence: form.Get("evidence"), Remark: form.Get("remark"),
		Notice: v.say("decision.refused"), Wrong: map[string]string{}, Status: edge.StatusOf(err)}
	var late *hub.Overtaken
	switch {
	case errors.As(err, &late):
		v.typed.Notice = v.say("decision.overtaken."+late.Outcome, "name", late.By.Name, "at", v.at(late.At).Text)
	case refused.Field != "":
		v.typed.Status = http.StatusUnprocessableEntity
		v.typed.Notice = v.say("decision.incomplete")
		v.typed.Wrong[refused.Field] = v.say("decision.wrong." + refused.Field)
	case v.pages.Texts().Has("decision.not." + refused.Reason):
		v.typed.Notice = v.say("decision.not." + refused.Reason)
	}
	if psd2.IsID(psd2.PrefixPayment, object) {
		p, err := v.Hub.Payment(v.ctx(), object)
		if err != nil {
			return err
		}
		return v.story(p)
	}
	t, err := v.Hub.AnyTransfer(v.ctx(), object)
	if err != nil {
		return err
	}
	return v.transferStory(t)
}
