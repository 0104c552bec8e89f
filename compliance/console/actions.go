package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
)

// actionForm is one thing the officer can do now.
type actionForm struct {
	Do        string
	Text      string
	Hint      string
	Key       string // that opens it
	Plain     bool   // a button without fields
	Primary   bool
	Reasons   []option
	Note      bool
	NoteNeeds bool
	Until     string // value of a date field; "" hides it
	UntilText string
	People    []option
	Reference string // label of a reference field; "" hides it
	Entries   bool
	EntryIDs  string // of the hits, to begin with
}

// act is POST /cases/{id}/act.
func (v *visit) act() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	version, err := strconv.ParseInt(form.Get("version"), 10, 64)
	if err != nil {
		return psd2.Invalid("version", "version_missing", "this form is out of date; load the page again")
	}
	a := compliance.Act{Do: compliance.Action(form.Get("do")), By: v.officer, Version: version, Reason: form.Get("reason"),
		Note: strings.TrimSpace(form.Get("note")), Reference: strings.TrimSpace(form.Get("reference")), Entries: strings.Fields(form.Get("entries")),
		Alerts: form["alert"], Into: tidy(form.Get("into"))}
	if day := form.Get("until"); day != "" && (a.Do == compliance.Snooze || len(a.Entries) > 0) {
		local := v.pages.Local(v.Now())
		if a.Until, err = time.ParseInLocation(time.DateOnly, day, local.Location()); err != nil {
			return psd2.Invalid("until", "until_invalid", "enter a day")
		}
		a.Until = a.Until.Add(6 * time.Hour) // it comes back in the morning
	}
	if a.Do == compliance.Assign {
		if a.To, err = v.colleague(form.Get("to")); err != nil {
			return err
		}
	}
	if !psd2.IsID(compliance.PrefixCase, v.Param("id")) {
		return psd2.NotFound("case")
	}
	c, err := v.Desk.Act(v.ctx(), v.Param("id"), a)
	if err != nil {
		return err
	}
	if a.Do == compliance.Unlock || a.Do == compliance.Snooze {
		return v.away("/queue")
	}
	return v.away("/cases/" + c.ID)
}

func (v *visit) colleague(id string) (compliance.Officer, error) {
	list, err := v.Login.Colleagues(v.ctx())
	if err != nil {
		return compliance.Officer{}, err
	}
	for _, o := range list {
		if o.ID == id {
			return o, nil
		}
	}
	return compliance.Officer{}, psd2.Invalid("to", "assignee_unfit", "choose a colleague from the list")
}

// actions are what the officer can do now, the likeliest first. entries are the
// list entries that were hit, "" when none was.
func (v *visit) actions(c *compliance.Case, entries string) ([]actionForm, error) {
	colleagues, err := v.Login.Colleagues(v.ctx())
	if err != nil {
		return nil, fmt.Errorf("colleagues: %w", err)
	}
	today := v.pages.Local(v.Now())
	var list []actionForm
	for _, f := range actionForms {
		do := compliance.Action(f.Do)
		if !c.Can(do, v.officer, v.Now()) || do == compliance.Take && c.Assignee == v.officer.ID && c.LockedBy == v.officer.ID {
			continue
		}
		f.Text = v.say("act." + f.Do)
		f.Reasons = v.reasons(compliance.Reasons[do])
		switch do {
		case compliance.Snooze:
			f.Until, f.UntilText = today.AddDate(0, 0, 14).Format(time.DateOnly), v.say("act.until")
		case compliance.ProposeFalsePositive:
			if entries != "" && c.PersonID != "" {
				f.Entries, f.EntryIDs, f.Until, f.UntilText = true, entries, today.AddDate(0, 6, 0).Format(time.DateOnly), v.say("act.entries_until")
			}
		case compliance.Assign:
			for _, o := range colleagues {
				if o.ID != c.Assignee && o.Has(compliance.Analyst, compliance.MLRO) {
					f.People = append(f.People, option{Value: o.ID, Text: o.Name})
				}
			}
			if len(f.People) == 0 {
				continue
			}
		case compliance.File:
			f.Reference = v.say("act.fiu_reference")
		case compliance.Release:
			if v.Now().Before(c.WaitUntil) {
				f.Reference = v.say("act.consent_reference")
			}
		case compliance.Approve, compliance.Return:
			f.Hint = v.say("act." + f.Do + "_hint")
		}
		list = append(list, f)
	}
	return list, nil
}

// actionForms in the order of a case's life. Keys are told by "?".
var actionForms = []actionForm{
	{Do: string(compliance.Approve), Note: true, Primary: true, Key: "p"},
	{Do: string(compliance.Return), Note: true, NoteNeeds: true, Key: "r"},
	{Do: string(compliance.File), Primary: true, Key: "f"},
	{Do: string(compliance.Release), Note: true, NoteNeeds: true, Primary: true},
	{Do: string(compliance.Block), Note: true, NoteNeeds: true},
	{Do: string(compliance.Take), Plain: true, Primary: true, Key: "a"},
	{Do: string(compliance.Investigate), Plain: true, Primary: true, Key: "i"},
	{Do: string(compliance.Note), Note: true, NoteNeeds: true, Key: "m"},
	{Do: string(compliance.ProposeFalsePositive), Note: true, NoteNeeds: true, Key: "c"},
	{Do: string(compliance.ProposeNoSuspicion), Note: true, NoteNeeds: true, Key: "s"},
	{Do: string(compliance.AskInfo), Note: true, NoteNeeds: true},
	{Do: string(compliance.Escalate), Note: true, NoteNeeds: true, Key: "e"},
	{Do: string(compliance.Assign), Key: "g"},
	{Do: string(compliance.Snooze), Note: true, NoteNeeds: true, Key: "z"},
	{Do: string(compliance.Wake), Plain: true},
	{Do: string(compliance.Withdraw), Note: true, NoteNeeds: true},
	{Do: string(compliance.Reopen), Note: true, NoteNeeds: true},
	{Do: string(compliance.Unlock), Plain: true, Key: "u"},
}
