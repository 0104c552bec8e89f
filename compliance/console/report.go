package console

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/goaml"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
)

// steps of the wizard, in their order.
var steps = []string{"facts", "people", "payments", "check"}

type reportPage struct {
	ID, Short  string
	Version    int64
	Step       int
	StepKey    string
	Names      []string // text keys of the step line
	Final      bool     // exported: to be read only
	Status     badge
	Reference  string
	Hash       string
	Draft      goaml.Report
	Indicators []indicator
	Payments   []paymentForm
	Missing    []missingView
	Reasons    []option
	CanPropose bool
	Proposed   bool
	Earlier    string
	Next       string
}

type indicator struct {
	Code, Text string
	Chosen     bool
}

// paymentForm is a reported transaction as fields.
type paymentForm struct {
	N               int
	Number, At      string
	Amount, Purpose string
	From, To        goaml.Account
	FromSubject     bool
	Attempted       bool
}

// missingView is an entry of the check, with the step where it is entered.
type missingView struct{ Text, Rule, Href string }

// theReport loads a case and its report for the wizard.
func (v *visit) theReport() (*compliance.Case, *compliance.Report, error) {
	c, err := v.theCase()
	if err != nil {
		return nil, nil, err
	}
	facts, err := v.Facts.FactsOf(v.ctx(), c)
	if err != nil {
		return nil, nil, err
	}
	r, err := v.Desk.Draft(v.ctx(), v.officer, c, facts, v.Goaml)
	if err == nil && r.ID == "" { // nobody has written yet
		err = v.tellWhy(c, &r.Draft)
	}
	return c, r, err
}

// tellWhy begins the account of what happened with what the rules saw.
func (v *visit) tellWhy(c *compliance.Case, draft *goaml.Report) error {
	var p casePage
	hits, err := v.alerts(c, &p)
	if err != nil {
		return err
	}
	slices.SortStableFunc(hits, func(a, b compliance.Hit) int { return a.At().Compare(b.At()) })
	lines := []string{}
	for _, h := range hits {
		if why := v.explain(h); h.Inputs != nil && !slices.Contains(lines, why) {
			lines = append(lines, why)
		}
	}
	draft.Facts = strings.TrimSpace(strings.Join(append([]string{draft.Facts}, lines[:min(len(lines), 20)]...), "\n"))
	return nil
}

// report is GET /cases/{id}/report.
func (v *visit) report() error {
	c, r, err := v.theReport()
	if err != nil {
		return err
	}
	step := max(slices.Index(steps, v.QueryParam("step")), 0)
	p := reportPage{ID: c.ID, Short: short(c.ID), Version: c.Version, Step: step, StepKey: steps[step], Draft: r.Draft, Reference: r.Draft.Reference,
		Hash: r.FileHash, Final: r.Status != compliance.ReportDraft || c.State != compliance.Investigating && c.State != compliance.AwaitingInfo,
		Reasons: v.reasons(compliance.Reasons[compliance.ProposeSAR]), Earlier: strings.Join(r.Draft.Earlier, ", "), Proposed: c.State == compliance.ProposedSAR}
	p.Status = badge{map[string]string{compliance.ReportFiled: "done", compliance.ReportExported: "look"}[r.Status], v.say("report.status." + r.Status)}
	for _, s := range steps {
		p.Names = append(p.Names, "report.step."+s)
	}
	if step+1 < len(steps) {
		p.Next = steps[step+1]
	}
	for _, code := range r.Profile.Indicators {
		text := code.Text[string(v.lang)]
		if text == "" {
			text = code.Code
		}
		p.Indicators = append(p.Indicators, indicator{code.Code, text, slices.Contains(r.Draft.Indicators, code.Code)})
	}
	for i, t := range r.Draft.Transactions {
		p.Payments = append(p.Payments, paymentForm{N: i + 1, Number: t.Number, At: v.pages.Local(t.At).Format("2006-01-02T15:04"), Amount: t.Amount.Decimal(),
			Purpose: t.Purpose, From: t.From, To: t.To, FromSubject: t.FromSubject, Attempted: t.Attempted})
	}
	v.checkReport(c, r, &p)
	self := *v.Request().URL
	return v.show("queue", page.Page{Name: "report", Title: v.say("report.title") + " …" + p.Short, Self: &self, Data: p})
}

func (v *visit) checkReport(c *compliance.Case, r *compliance.Report, p *reportPage) {
	draft := r.Draft
	if draft.Reference == "" {
		draft.Reference = "-" // given when it is saved
	}
	draft.At = v.Now()
	for _, m := range goaml.Check(draft, r.Profile) {
		first, _, _ := strings.Cut(m.Field, ".")
		p.Missing = append(p.Missing, missingView{Text: v.say("missing."+m.Why, "field", v.fieldName(m.Field)), Rule: m.Rule, Href: stepOf(first)})
	}
	p.CanPropose = len(p.Missing) == 0 && !p.Final && r.ID != "" && c.Can(compliance.ProposeSAR, v.officer, v.Now())
}

func stepOf(field string) string {
	switch field {
	case "subject", "officer":
		return "people"
	case "transactions":
		return "payments"
	case "profile":
		return ""
	}
	return "facts"
}

// fieldName puts a path such as transactions.3.from.iban into words.
func (v *visit) fieldName(path string) string {
	words := []string{}
	for _, part := range strings.Split(path, ".") {
		if n, err := strconv.Atoi(part); err == nil {
			words = append(words, strconv.Itoa(n))
			continue
		}
		words = append(words, v.sayOr("field."+part, part))
	}
	return strings.Join(words, " · ")
}

// saveReport is POST /cases/{id}/report: one step, then the next.
func (v *visit) saveReport() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	c, r, err := v.theReport()
	if err != nil {
		return err
	}
	step := form.Get("step")
	switch step {
	case "facts":
		readFacts(form, r)
	case "people":
		readPeople(form, &r.Draft)
	case "payments":
		if err := v.readPayments(form, &r.Draft); err != nil {
			return err
		}
	default:
		return psd2.Invalid("step", "step_unknown", "there is no such step")
	}
	if err := v.Desk.SaveReport(v.ctx(), v.officer, c.ID, r.Profile, r.Draft); err != nil {
		return err
	}
	next := step
	if i := slices.Index(steps, step); form.Get("stay") == "" && i+1 < len(steps) {
		next = steps[i+1]
	}
	return v.away("/cases/" + c.ID + "/report?step=" + next)
}

func readFacts(form url.Values, r *compliance.Report) {
	d := &r.Draft
	d.Facts, d.Measures, d.Complaint = plain(form.Get("facts")), plain(form.Get("measures")), plain(form.Get("complaint"))
	d.BeneficialName = plain(form.Get("beneficial_name"))
	d.Earlier = strings.FieldsFunc(form.Get("earlier"), func(c rune) bool { return c == ',' || c == ' ' })
	d.Indicators = nil
	for _, code := range r.Profile.Indicators {
		if form.Get("indicator."+code.Code) != "" {
			d.Indicators = append(d.Indicators, code.Code)
		}
	}
}

// plain is a text as forms send it, with the line ends of everybody else.
func plain(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }

func readPeople(form url.Values, d *goaml.Report) {
	get := func(name string) string { return plain(form.Get(name)) }
	country := func(name string) string { return strings.ToUpper(get(name)) }
	d.Subject = goaml.Person{FirstName: get("first_name"), LastName: get("last_name"), BirthDate: get("birth_date"), BirthPlace: get("birth_place"), Nationality: country("nationality"),
		Residence: country("residence"), Address: get("address"), PostCode: get("post_code"), City: get("city")}
	d.Officer = goaml.Person{FirstName: get("officer_first_name"), LastName: get("officer_last_name"), Email: get("officer_email")}
}

// mostPayments bounds what one report lists.
const mostPayments = 200

// readPayments reads the listed payments and perhaps one more.
func (v *visit) readPayments(form url.Values, d *goaml.Report) error {
	var list []goaml.Transaction
	for i, t := range d.Transactions {
		if form.Get(fmt.Sprintf("remove.%d", i+1)) != "" {
			continue
		}
		one, err := v.readPayment(form, i+1, t)
		if err != nil {
			return err
		}
		list = append(list, one)
	}
	if form.Get("number.0") != "" {
		one, err := v.readPayment(form, 0, goaml.Transaction{})
		if err != nil {
			return err
		}
		list = append(list, one)
	}
	if len(list) > mostPayments {
		return psd2.Invalid("transactions", "too_many_payments", "a report lists at most 200 payments")
	}
	d.Transactions = list
	return nil
}

func (v *visit) readPayment(form url.Values, n int, t goaml.Transaction) (goaml.Transaction, error) {
	get := func(name string) string { return plain(form.Get(name + "." + strconv.Itoa(n))) }
	var err error
	t.Number, t.Purpose = get("number"), get("purpose")
	t.FromSubject, t.Attempted = get("from_subject") != "", get("attempted") != ""
	t.From.Name, t.To.Name = get("from_name"), get("to_name")
	if t.Amount, err = psd2.ParseDecimal(strings.ReplaceAll(get("amount"), ",", "."), psd2.EUR); err != nil {
		return t, psd2.Invalid("amount", "amount_invalid", "enter amounts as 1999.00")
	}
	if given := get("at"); v.pages.Local(t.At).Format("2006-01-02T15:04") != given { // else keep the seconds
		if t.At, err = time.ParseInLocation("2006-01-02T15:04", given, v.pages.Local(v.Now()).Location()); err != nil {
			return t, psd2.Invalid("at", "at_invalid", "enter day and time")
		}
	}
	for _, side := range []struct {
		name string
		to   *psd2.IBAN
	}{{"from_iban", &t.From.IBAN}, {"to_iban", &t.To.IBAN}} {
		given := strings.ToUpper(get(side.name))
		*side.to = ""
		if given == "" {
			continue
		}
		if *side.to, err = psd2.ParseIBAN(given); err != nil {
			return t, psd2.Invalid(side.name, "iban_invalid", "an account number is mistyped: check the IBANs")
		}
	}
	return t, nil
}

// reportFile is POST /cases/{id}/report/file.
func (v *visit) reportFile() error {
	c, err := v.theCase()
	if err != nil {
		return err
	}
	name, file, err := v.Desk.ReportFile(v.ctx(), v.officer, c.ID)
	if err != nil {
		return err
	}
	v.attach("application/xml", name)
	_, err = v.Response().Write(file)
	return err
}
