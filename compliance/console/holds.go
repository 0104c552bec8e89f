package console

import (
	"strconv"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
)

// holdRow is money out that waits, or waited.
type holdRow struct {
	ID, Case, What, Cause string
	Short                 string // a payout's number
	End                   string // of it
	Since                 instant
	State                 badge
	By                    string // who ended it
	Propose               bool   // this officer can
	Proposal              string // what is proposed, in words
	Seen                  string // which proposal that is
	Decide, Own           bool
}

// holdRows makes rows of holds: what waits, and what was decided.
func (v *visit) holdRows(list []compliance.Hold) (open, done []holdRow) {
	names, works := v.names(), v.officer.Has(compliance.Analyst, compliance.MLRO)
	for _, h := range list {
		r := holdRow{ID: h.ID, Case: h.CaseID, Cause: v.say("hold." + h.Cause), Since: v.at(h.Since()), By: names[h.EndedBy],
			What: v.say("hold.all_of", "who", "…"+short(h.PersonID))}
		if h.ObjectID != "" {
			r.What, r.Short, r.End = v.sayOr("object."+h.ObjectID[:min(3, len(h.ObjectID))], ""), h.ObjectID, short(h.ObjectID)
		}
		if h.EndedAt != 0 {
			kind := "done"
			if h.Decision == compliance.DecisionRefused {
				kind = "failed"
			}
			r.State = badge{kind, v.sayOr("hold."+h.Decision, h.Decision) + ", " + v.at(h.Ended()).Text}
			done = append(done, r)
			continue
		}
		r.State = v.holdState(h)
		if h.Cause == compliance.HoldRule && works {
			r.Propose = true
			if p, ok := h.Proposed(); ok {
				r.Proposal = v.say("hold.proposal_"+p.Do, "who", p.Name, "when", v.at(p.At).Text)
				r.Seen, r.Own = strconv.FormatInt(p.At.UnixMicro(), 10), p.By == v.officer.ID
				r.Decide, r.Propose = true, false
			}
		}
		open = append(open, r)
	}
	return open, done
}

// holdState says how long a hold has been there, louder when it has been long:
// a payout that waits for days tells a player something.
func (v *visit) holdState(h compliance.Hold) badge {
	const soon, late = 4 * time.Hour, 24 * time.Hour
	waited := v.Now().Sub(h.Since())
	switch {
	case h.Decision == compliance.DecisionBlocked:
		return badge{"failed", v.say("state.blocked")}
	case h.WaitUntil != 0 && v.Now().Before(h.Until()):
		return badge{"look", v.say("clock.waiting", "day", v.day(h.Until()))}
	case h.WaitUntil != 0:
		return badge{"failed", v.say("clock.waited")}
	case h.Cause == compliance.HoldRule && waited > late:
		return badge{"failed", v.say("hold.waits", "span", v.span(waited))}
	case waited > soon:
		return badge{"look", v.say("hold.waits", "span", v.span(waited))}
	}
	return badge{"", v.say("hold.waits", "span", v.span(waited))}
}

// holds is GET /holds.
func (v *visit) holds() error {
	list, err := v.Desk.Holds(v.ctx(), v.officer, 200)
	if err != nil {
		return err
	}
	var objects []string
	for _, h := range list {
		if h.CaseID == "" {
			objects = append(objects, h.ObjectID)
		}
	}
	cases, err := v.Desk.CasesOf(v.ctx(), v.officer, objects)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].CaseID == "" {
			list[i].CaseID = cases[list[i].ObjectID]
		}
	}
	open, done := v.holdRows(list)
	return v.show("holds", page.Page{Name: "holds", Title: v.say("nav.holds"), Self: v.Request().URL, Data: struct{ Open, Done []holdRow }{open, done}})
}

// decideHold is POST /holds/{id}: do= release or refuse proposes, approve or
// return is the second person's word on the proposal seen. back= is the case it
// was done from.
func (v *visit) decideHold() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	id, note := v.Param("id"), form.Get("note")
	switch do := form.Get("do"); do {
	case "approve", "return":
		seen, wrong := strconv.ParseInt(form.Get("seen"), 10, 64)
		if wrong != nil {
			return psd2.Invalid("seen", "version_missing", "this form is out of date; load the page again")
		}
		err = v.Desk.DecideHold(v.ctx(), v.officer, id, time.UnixMicro(seen), do == "approve", note)
	default:
		err = v.Desk.ProposeHold(v.ctx(), v.officer, id, do, note)
	}
	if err != nil {
		return err
	}
	if back := form.Get("back"); psd2.IsID(compliance.PrefixCase, back) {
		return v.away("/cases/" + back)
	}
	return v.away("/holds")
}
