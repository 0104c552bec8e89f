package console

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
)

// rules is GET /rules: how each rule does, by what officers decided.
func (v *visit) rules() error {
	const period = 90 * 24 * time.Hour
	stats, err := v.Desk.RuleStats(v.ctx(), v.officer, v.Now().Add(-period))
	if err != nil {
		return err
	}
	advice, err := v.Desk.Advise(v.ctx(), v.officer, v.Now().Add(-period))
	if err != nil {
		return err
	}
	seen, err := v.seeing()
	if err != nil {
		return err
	}
	type ruleRow struct {
		ID, Title, Version       string
		Alerts, Open, FP, NS, SR int64
		Precision                string
		Share                    int // of the meter, 0 to 100
		Decided                  bool
		Samples                  string
		Advice                   string
		Line                     string // a suggested limit, in words
		Limit, Value             string // and for a form
		Last                     instant
	}
	var rows []ruleRow
	for _, s := range stats {
		r := ruleRow{ID: s.Rule, Title: v.rule(s.Rule), Version: s.Version, Alerts: s.Alerts, Open: s.Open, FP: s.FalsePositive, NS: s.NoSuspicion,
			SR: s.SAR, Last: v.at(s.Last()), Precision: "–", Samples: "–"}
		if share, ok := s.Precision(); ok {
			r.Precision, r.Share, r.Decided = percent(share), int(share*100), true
			if s.Decided() >= 20 && share < 0.1 {
				r.Advice = v.say("rules.too_wide")
			}
		}
		if s.Samples > 0 {
			r.Samples = strconv.FormatInt(s.SamplesHit, 10) + " / " + strconv.FormatInt(s.Samples, 10)
			if s.SamplesHit*10 > s.Samples {
				r.Advice = v.say("rules.too_narrow")
			}
		}
		if a, ok := advice[s.Rule]; ok {
			r.Line, r.Limit, r.Value = v.adviceText(a), a.Limit, number(a.Value)
		}
		rows = append(rows, r)
	}
	return v.show("rules", page.Page{Name: "rules", Title: v.say("nav.rules"), Self: v.Request().URL, Data: struct {
		Rows    []ruleRow
		Changes bool
		Seeing  *seeing
	}{rows, v.Book != nil, seen}})
}

// adviceText says what a suggested limit would have meant.
func (v *visit) adviceText(a compliance.Advice) string {
	line := a.Limit + " = " + v.decimal(a.Value, -1)
	if a.Catches > 0 {
		return v.say("rules.catches", "line", line, "n", a.Catches, "of", a.Missed)
	}
	return v.say("rules.drops", "line", line, "n", a.Drops, "of", a.FalsePositives, "worth", a.Worth)
}

// screening is GET /screening: open hits, and what is cleared.
func (v *visit) screening() error {
	hits, _, err := v.Desk.Queue(v.ctx(), v.officer, compliance.Filter{Listed: true, Limit: listed})
	if err != nil {
		return err
	}
	cleared, err := v.Desk.Whitelist(v.ctx(), v.officer, 200)
	if err != nil {
		return err
	}
	type clearedRow struct {
		Person, Entry string
		Until, Added  instant
		By, Case      string
	}
	data := struct {
		Rows    []row
		Cleared []clearedRow
	}{}
	for _, c := range hits {
		data.Rows = append(data.Rows, v.row(c, false))
	}
	names := v.names()
	for _, c := range cleared {
		by := names[c.AddedBy]
		if by == "" {
			by = c.AddedBy
		}
		data.Cleared = append(data.Cleared, clearedRow{short(c.PersonID), c.EntryID, v.at(c.Until()), v.at(c.Added()), by, c.CaseID})
	}
	return v.show("screening", page.Page{Name: "screening", Title: v.say("nav.screening"), Self: v.Request().URL, Data: data})
}

// runs is GET /runs?month=2026-11: the calendar of daily runs.
func (v *visit) runs() error {
	month := v.pages.Local(v.Now())
	if given := v.QueryParam("month"); given != "" {
		var err error
		if month, err = time.ParseInLocation("2006-01", given, month.Location()); err != nil {
			return psd2.NotFound("month")
		}
	}
	days, err := v.Desk.Days(v.ctx(), v.officer, month)
	if err != nil {
		return err
	}
	type dayCell struct {
		N      int
		Kind   string // full, delta, missed, future, none
		Text   string
		Title  string
		Column int
	}
	type runRow struct {
		At, End               instant
		Kind                  string
		Persons, Hits, Failed int
		Lists, ID             string
	}
	first := time.Date(month.Year(), month.Month(), 1, 0, 0, 0, 0, month.Location())
	data := struct {
		Month, Before, After string
		Weekdays             []string
		Blank                []int
		Days                 []dayCell
		Runs                 []runRow
		Missed               int
	}{Month: page.Date(v.lang, first), Before: first.AddDate(0, -1, 0).Format("2006-01"), After: first.AddDate(0, 1, 0).Format("2006-01"),
		Weekdays: strings.Fields(v.say("runs.weekdays")), Blank: make([]int, (int(first.Weekday())+6)%7)}
	data.Month = data.Month[strings.IndexAny(data.Month, "\u00a0")+len("\u00a0"):]
	for _, d := range days {
		cell := dayCell{N: d.Date.Day(), Kind: "none", Text: v.say("runs.none")}
		switch {
		case d.Future:
			cell.Kind, cell.Text = "future", ""
		case d.Full:
			cell.Kind, cell.Text = "full", v.say("runs.full")
		case d.Missed:
			cell.Kind, cell.Text = "missed", v.say("runs.missed")
			data.Missed++
		case len(d.Runs) > 0:
			cell.Kind, cell.Text = "delta", v.say("runs.delta")
		}
		data.Days = append(data.Days, cell)
		for _, r := range d.Runs {
			lists := make([]string, 0, len(r.Run.Lists))
			for name, hash := range r.Run.Lists {
				lists = append(lists, name+" "+hash[:min(len(hash), 8)])
			}
			data.Runs = append(data.Runs, runRow{v.at(r.Run.StartedAt), v.at(r.Run.EndedAt), v.sayOr("runs."+r.Run.Kind, r.Run.Kind), r.Run.Persons, r.Run.Hits,
				r.Run.Failed, strings.Join(lists, ", "), r.Run.ID})
		}
	}
	return v.show("runs", page.Page{Name: "runs", Title: v.say("nav.runs"), Self: v.Request().URL, Data: data})
}

// audit is GET /audit?below=: the chain, newest first.
func (v *visit) audit() error {
	below, _ := strconv.ParseInt(v.QueryParam("below"), 10, 64) // anything else begins at the end
	const rows = 100
	lines, err := v.Desk.Trail(v.ctx(), v.officer, below, rows)
	if err != nil {
		return err
	}
	excess, err := v.Desk.Excess(v.ctx(), v.officer)
	if err != nil {
		return err
	}
	type auditRow struct {
		Seq               int64
		At                instant
		Who, What, Object string
		Person            string // whose id the object is
		Case              bool
		Hash              string
	}
	data := struct {
		Rows    []auditRow
		Next    int64
		Excess  []string
		Protect bool
	}{Protect: compliance.Protected(v.ctx(), v.Desk.Store)}
	names := v.names()
	for _, l := range lines {
		h := v.historyLine(l, names)
		data.Rows = append(data.Rows, auditRow{l.Seq, v.at(l.When()), h.Who, h.Title, l.Object, names[l.Object], psd2.IsID(compliance.PrefixCase, l.Object), l.Hash[:12]})
	}
	if len(lines) == rows {
		data.Next = lines[rows-1].Seq
	}
	for _, l := range excess {
		who := names[l.Value("officer")]
		if who == "" {
			who = l.Value("officer")
		}
		data.Excess = append(data.Excess, v.say("audit.excess", "who", who, "when", v.at(l.When()).Text))
	}
	return v.show("audit", page.Page{Name: "audit", Title: v.say("nav.audit"), Self: v.Request().URL, Data: data})
}

// exportAudit is POST /audit/export.
func (v *visit) exportAudit() error {
	if !v.officer.Has(compliance.Admin, compliance.MLRO, compliance.Auditor) {
		return psd2.Fail(psd2.CodeForbidden, "role_missing", "your role does not allow this")
	}
	v.attach("application/jsonl", "audit.jsonl")
	return v.Desk.ExportAudit(v.ctx(), v.Response(), v.officer)
}

// keeping is GET /keeping: legal holds, erasure, what is kept about a person.
func (v *visit) keeping() error {
	if !v.officer.Has(compliance.Admin, compliance.MLRO) {
		return psd2.NotFound("page")
	}
	holds, err := v.Desk.LegalHolds(v.ctx(), v.officer, listed)
	if err != nil {
		return err
	}
	type heldRow struct {
		Subject, Reason, By string
		Since               instant
		Person              bool
	}
	data := struct {
		Admin, MLRO bool
		Done        string
		Held        []heldRow
	}{Admin: v.officer.Has(compliance.Admin), MLRO: v.officer.Has(compliance.MLRO), Done: v.sayOr("keeping.done."+v.QueryParam("done"), "")}
	names := v.names()
	for _, h := range holds {
		by := names[h.SetBy]
		if by == "" {
			by = h.SetBy
		}
		data.Held = append(data.Held, heldRow{h.Subject, h.Reason, by, v.at(h.Set()), strings.HasPrefix(h.Subject, "psn_")})
	}
	return v.show("keeping", page.Page{Name: "keeping", Title: v.say("nav.keeping"), Self: v.Request().URL, Data: data})
}

// keep is POST /keeping.
func (v *visit) keep() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	subject, reason := strings.TrimSpace(form.Get("subject")), strings.TrimSpace(form.Get("reason"))
	if subject == "" || len(subject) > 200 {
		return psd2.Invalid("subject", "subject_missing", "enter the person's id, psn_…")
	}
	do := form.Get("do")
	switch do {
	case "hold":
		err = v.Desk.SetLegalHold(v.ctx(), v.officer, subject, reason)
	case "lift":
		err = v.Desk.LiftLegalHold(v.ctx(), v.officer, subject)
	case "erase":
		err = v.Desk.Erase(v.ctx(), v.officer, subject, reason)
	case "dossier":
		return v.dossier(subject)
	case "export":
		return v.away("/persons/" + url.PathEscape(subject) + "/data")
	default:
		return psd2.Invalid("do", "action_unknown", "there is no such action")
	}
	if err != nil {
		return err
	}
	return v.away("/keeping?done=" + do)
}

func (v *visit) dossier(subject string) error {
	d, err := v.Desk.Dossier(v.ctx(), v.officer, subject)
	if err != nil {
		return err
	}
	return v.document(d)
}

// personData is GET /persons/{id}/data: what the person himself may get.
func (v *visit) personData() error {
	d, err := v.Desk.Disclose(v.ctx(), v.officer, v.Param("id"))
	if err != nil {
		return err
	}
	return v.document(d)
}

// document answers with a JSON file.
func (v *visit) document(d any) error {
	v.attach("application/json", "data.json")
	e := json.NewEncoder(v.Response())
	e.SetIndent("", "  ")
	return e.Encode(d)
}
