package console

import (
	"encoding/csv"
	"net/url"
	"strconv"
	"strings"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
)

// listed is how many cases one page shows.
const listed = 50

// tab is one part of the queue, or a kept filter.
type tab struct {
	Text, Href string
	Current    bool
	Count      string
	Look       bool
}

// row is one case of the queue.
type row struct {
	ID, Short string
	Version   int64
	Tick      bool // it can be chosen for a bulk
	Severity  badge
	Score     int64
	Title     string
	Alerts    int
	Sample    bool
	Escalated bool
	Entity    string
	Merchant  string
	Opened    instant
	Age       string
	Clock     badge
	State     badge
	Assignee  string
	Lock      string
	Bulk      string
}

type queuePage struct {
	Tabs, Views          []tab
	Filter               filterForm
	Rows                 []row
	Next                 string // URL of the next page
	Query                string // of this one, for a view
	First                bool
	Works, CanBulk       bool
	Reasons, FNs         []option
	Bulks                []bulkRow
	Notice               string
	EmptyTitle, EmptyNow string
}

// bulkRow is a closing of many that waits for a second person.
type bulkRow struct {
	ID, By, Reason string
	N              int
	Own            bool
}

type filterForm struct {
	Bucket               string
	Severities, Families []option
	Assignees, States    []option
	Overdue, Samples     bool
	Active               bool
}

// families of the catalogue's rules, and those of other sources, in the order of
// the select.
var families = []string{"third_party", "payout_account", "sanctions", "pep", "structuring", "pass_through", "fan_in", "fan_out", "cycle", "shared_account",
	"shared_device", "shared_network", "mule", "vasp", "velocity", "anomaly", "geography", "player_protection", "fraud", "text", "merchant", "authentication", "model"}

func (v *visit) filter(q url.Values) compliance.Filter {
	severity, _ := strconv.ParseInt(q.Get("severity"), 10, 64) // anything else chooses all
	f := compliance.Filter{Bucket: q.Get("bucket"), State: compliance.State(q.Get("state")), Family: q.Get("family"), Severity: severity,
		Assignee: q.Get("assignee"), Overdue: q.Get("overdue") != "", Samples: q.Get("samples") != "", After: q.Get("after"), Limit: listed}
	if f.Assignee == "me" {
		f.Assignee = v.officer.ID
	}
	if f.Bucket == "" {
		f.Bucket = compliance.BucketOpen
	}
	return f
}

// queue is GET /queue.
func (v *visit) queue() error {
	q := v.Request().URL.Query()
	f := v.filter(q)
	list, next, err := v.Desk.Queue(v.ctx(), v.officer, f)
	if err != nil {
		return err
	}
	counts, err := v.Desk.Counts(v.ctx(), v.officer)
	if err != nil {
		return err
	}
	views, err := v.Desk.Views(v.ctx(), v.officer)
	if err != nil {
		return err
	}
	p := queuePage{Filter: v.filterForm(f, q), Tabs: v.buckets(f, counts), Works: v.officer.Has(compliance.Analyst, compliance.MLRO), First: f.After == "",
		Reasons: v.reasons(compliance.Reasons[compliance.ProposeFalsePositive]), EmptyTitle: v.say("queue.empty"), EmptyNow: v.say("queue.empty_next")}
	p.CanBulk = p.Works && f.Bucket == compliance.BucketOpen
	q.Del("after")
	q.Del("lang")
	p.Query = q.Encode()
	for _, view := range views {
		p.Views = append(p.Views, tab{Text: view.Name, Href: "/queue?" + view.Query, Current: view.Query == p.Query})
	}
	if next != "" {
		q.Set("after", next)
		p.Next = "/queue?" + q.Encode()
	}
	for _, c := range list {
		p.Rows = append(p.Rows, v.row(c, p.CanBulk))
	}
	p.Bulks = v.bulks(list)
	if n, err := strconv.Atoi(q.Get("proposed")); err == nil {
		p.Notice = v.say("bulk.proposed", "n", n)
	}
	return v.show("queue", page.Page{Name: "queue", Title: v.say("queue.title"), Self: v.Request().URL, Data: p})
}

// bulks gathers the closings of many among the cases of a page.
func (v *visit) bulks(list []*compliance.Case) []bulkRow {
	var out []bulkRow
	at := map[string]int{}
	for _, c := range list {
		if c.BulkID == "" || !c.State.Proposed() {
			continue
		}
		i, known := at[c.BulkID]
		if !known {
			i = len(out)
			at[c.BulkID] = i
			out = append(out, bulkRow{ID: c.BulkID, By: c.Proposal.Name, Reason: v.reasonText(c.Proposal.Reason), Own: c.Proposal.By == v.officer.ID})
		}
		out[i].N++
	}
	return out
}

func (v *visit) buckets(f compliance.Filter, counts map[string]int) []tab {
	var tabs []tab
	for _, b := range compliance.Buckets {
		if b == compliance.BucketFiled && !v.officer.Has(compliance.MLRO) {
			continue
		}
		t := tab{Text: v.say("bucket." + b), Href: "/queue?bucket=" + b, Current: f.Bucket == b}
		if n, ok := counts[b]; ok {
			t.Count = strconv.Itoa(n)
			if n == compliance.CountLimit {
				t.Count = strconv.Itoa(n-1) + "+"
			}
			t.Look = n > 0 && b == compliance.BucketProposed
		}
		tabs = append(tabs, t)
	}
	return tabs
}

func (v *visit) filterForm(f compliance.Filter, q url.Values) filterForm {
	form := filterForm{Bucket: f.Bucket, Overdue: f.Overdue, Samples: f.Samples,
		Active: f.Severity != 0 || f.Family != "" || f.Assignee != "" || f.State != "" || f.Overdue || f.Samples}
	for n := int64(4); n >= 1; n-- {
		form.Severities = append(form.Severities, option{strconv.FormatInt(n, 10), v.severity(n).Text, f.Severity == n})
	}
	for _, name := range families {
		form.Families = append(form.Families, option{name, v.family(name), f.Family == name})
	}
	for _, who := range []string{"me", "-"} {
		form.Assignees = append(form.Assignees, option{who, v.say("assignee." + map[string]string{"me": "me", "-": "nobody"}[who]), q.Get("assignee") == who})
	}
	for _, s := range compliance.States {
		if !s.Restricted() || v.officer.Has(compliance.MLRO) {
			form.States = append(form.States, option{string(s), v.say("state." + string(s)), f.State == s})
		}
	}
	return form
}

func (v *visit) row(c *compliance.Case, tick bool) row {
	r := row{ID: c.ID, Short: short(c.ID), Version: c.Version, Severity: v.severity(c.Severity), Score: c.Score, Title: v.rule(c.Rule), Alerts: int(c.Alerts),
		Sample: c.Sample, Escalated: c.Escalated, Entity: v.sayOr("entity."+c.EntityKind, c.EntityKind) + " …" + short(c.EntityKey),
		Merchant: v.Merchant(v.ctx(), c.MerchantID), Opened: v.at(c.OpenedAt), Age: v.span(v.Now().Sub(c.OpenedAt)), Clock: v.clockOf(c),
		State: v.state(c.State), Assignee: c.AssigneeName, Bulk: c.BulkID}
	if c.LockedBy != "" && c.LockedBy != v.officer.ID && v.Now().Before(c.LockedUntil) {
		r.Lock = c.LockedName
	}
	r.Tick = tick && r.Lock == ""
	return r
}

// next is POST /queue/next.
func (v *visit) next() error {
	c, err := v.Desk.Next(v.ctx(), v.officer)
	if err != nil {
		return err
	}
	if c == nil {
		return v.away("/queue")
	}
	return v.away("/cases/" + c.ID)
}

// bulk is POST /queue/bulk. Each ticked case comes with the version that was
// shown: case.cas_… = version.
func (v *visit) bulk() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	var cases []compliance.Seen
	for name, values := range form {
		id, isCase := strings.CutPrefix(name, "case.")
		if !isCase {
			continue
		}
		version, err := strconv.ParseInt(values[0], 10, 64)
		if err != nil || !psd2.IsID(compliance.PrefixCase, id) {
			return psd2.Invalid("cases", "bulk_case", "this list is out of date; load it again")
		}
		cases = append(cases, compliance.Seen{ID: id, Version: version})
	}
	_, err = v.Desk.ProposeMany(v.ctx(), cases, compliance.Act{Do: compliance.Action(form.Get("do")), By: v.officer,
		Reason: form.Get("reason"), Note: form.Get("note")})
	if err != nil {
		return err
	}
	return v.away("/queue?bucket=proposed&proposed=" + strconv.Itoa(len(cases)))
}

// decideMany is POST /proposals/{id}.
func (v *visit) decideMany() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	_, _, err = v.Desk.DecideMany(v.ctx(), v.Param("id"), compliance.Act{Do: compliance.Action(form.Get("do")), By: v.officer, Note: form.Get("note")})
	if err != nil {
		return err
	}
	return v.away("/queue?bucket=proposed")
}

// saveView is POST /queue/views.
func (v *visit) saveView() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	query := form.Get("query")
	if form.Get("remove") != "" {
		query = ""
	} else if query == "" {
		query = "bucket=" + compliance.BucketOpen
	}
	if parsed, err := url.ParseQuery(query); err != nil || parsed.Encode() != query {
		return psd2.Invalid("query", "view_invalid", "this filter cannot be kept")
	}
	if err := v.Desk.SaveView(v.ctx(), v.officer, compliance.View{Name: strings.TrimSpace(form.Get("name")), Query: query}); err != nil {
		return err
	}
	return v.away("/queue?" + query)
}

// csv is POST /queue/csv: the filtered queue, as many rows as there are, in
// pieces, so that a million of them need no memory.
func (v *visit) csv() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	q, err := url.ParseQuery(form.Get("query"))
	if err != nil {
		return psd2.Invalid("query", "view_invalid", "this filter cannot be exported")
	}
	f := v.filter(q)
	f.After, f.Limit = "", 200
	list, next, err := v.Desk.Queue(v.ctx(), v.officer, f)
	if err != nil {
		return err
	}
	err = v.Desk.Record(v.ctx(), compliance.ActorOfficer, v.officer.ID, "queue.exported", "queue", map[string]any{"query": q.Encode()})
	if err != nil {
		return err
	}
	v.attach("text/csv; charset=utf-8", "queue.csv")
	w := csv.NewWriter(v.Response())
	write := func(cells ...string) error {
		for i := range cells {
			cells[i] = harmless(cells[i])
		}
		return w.Write(cells)
	}
	err = write("case", "state", "severity", "score", "rule", "family", "alerts", "entity", "entity_key", "merchant", "opened_at", "due_at", "assignee", "outcome", "reason")
	for err == nil {
		for _, c := range list {
			err = write(c.ID, string(c.State), severityNames[c.Severity], strconv.FormatInt(c.Score, 10), c.Rule, c.Family, strconv.FormatInt(c.Alerts, 10),
				c.EntityKind, c.EntityKey, c.MerchantID, stamp(c.OpenedAt), stamp(c.DueAt), c.AssigneeName, c.Outcome, c.Reason)
			if err != nil {
				return nil // the reader has gone
			}
		}
		if next == "" {
			break
		}
		w.Flush()
		f.After = next
		list, next, err = v.Desk.Queue(v.ctx(), v.officer, f)
	}
	w.Flush()
	return err
}

func stamp(t interface{ Format(string) string }) string { return t.Format("2006-01-02T15:04:05Z") }

// harmless keeps a spreadsheet from taking a cell for a formula.
func harmless(cell string) string {
	if strings.ContainsAny(cell[:min(len(cell), 1)], "=+-@\t\r\n|%") || strings.HasPrefix(cell, "＝") || strings.HasPrefix(cell, "＋") ||
		strings.HasPrefix(cell, "－") || strings.HasPrefix(cell, "＠") {
		return "'" + cell
	}
	return cell
}
