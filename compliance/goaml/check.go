package goaml

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Missing is something a report needs and does not have.
type Missing struct {
	Field string // where to enter it: facts, indicators, subject.birth_date, transactions.3.from …
	Why   string // key of a text: empty, too_short, unknown_code, profile, bad_date, too_long
	Rule  string // where it is asked for
}

const (
	section3 = "GwGMeldV §3"
	identity = "GwG §11(4)"
	schema   = "goAML"
)

// leastFacts is how many characters tell a story rather than a heading.
const leastFacts = 80

// mostFacts is the schema's limit of the field.
const mostFacts = 4000

type checker struct{ missing []Missing }

func (c *checker) need(ok bool, field, why, rule string) {
	if !ok {
		c.missing = append(c.missing, Missing{field, why, rule})
	}
}

func (c *checker) text(value, field, rule string) {
	c.need(strings.TrimSpace(value) != "", field, "empty", rule)
	c.need(utf8.RuneCountInString(value) <= 255, field, "too_long", schema)
	c.need(utf8.ValidString(value) && printable(value), field, "characters", schema)
}

// printable reports whether XML 1.0 can hold a text.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 && r != '\n' && r != '\t' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	})
}

// Check says what a report lacks, in the order of the form. Nothing missing
// means that Write writes it; whether the FIU's own schema takes it is for that
// schema to say.
func Check(r Report, p Profile) []Missing {
	c := &checker{}
	c.profile(p)
	c.text(r.Reference, "reference", section3)
	c.need(len(r.Reference) <= 64, "reference", "too_long", schema)
	c.need(!r.At.IsZero(), "at", "empty", schema)
	c.need(len(r.Indicators) > 0, "indicators", "empty", section3)
	for _, code := range r.Indicators {
		c.need(p.has(code), "indicators", "unknown_code", section3)
	}
	facts := utf8.RuneCountInString(strings.TrimSpace(r.Facts))
	c.need(facts > 0, "facts", "empty", section3)
	c.need(facts == 0 || facts >= leastFacts, "facts", "too_short", section3)
	c.need(utf8.RuneCountInString(reasonText(r)) <= mostFacts && utf8.RuneCountInString(r.Measures) <= mostFacts, "facts", "too_long", schema)
	c.need(printable(r.Facts) && printable(r.Measures), "facts", "characters", schema)
	c.text(r.Complaint, "complaint", section3)
	c.person(r.Subject, "subject", identity)
	c.date(r.Subject.BirthDate, "subject.birth_date", identity)
	c.text(r.Subject.BirthPlace, "subject.birth_place", identity)
	c.text(r.Subject.Nationality, "subject.nationality", identity)
	c.text(r.Subject.Address, "subject.address", identity)
	c.text(r.Subject.City, "subject.city", identity)
	c.person(r.Officer, "officer", section3)
	c.text(r.Officer.Email, "officer.email", section3)
	c.need(len(r.Transactions) > 0, "transactions", "empty", section3)
	for i, t := range r.Transactions {
		c.transaction(t, p, fmt.Sprintf("transactions.%d", i+1))
	}
	return c.missing
}

func (p Profile) has(code string) bool {
	return slices.ContainsFunc(p.Indicators, func(c Code) bool { return c.Code == code })
}

func (c *checker) profile(p Profile) {
	for _, f := range []struct{ name, value string }{
		{"entity_id", p.EntityID}, {"submission_code", p.SubmissionCode}, {"report_code", p.ReportCode},
		{"currency", p.Currency}, {"transfer_mode", p.TransferMode}, {"funds_code", p.FundsCode}, {"country", p.Country},
	} {
		c.need(f.value != "", "profile."+f.name, "profile", schema)
	}
	c.need(len(p.Indicators) > 0, "profile.indicators", "profile", schema)
}

func (c *checker) person(p Person, field, rule string) {
	c.text(p.FirstName, field+".first_name", rule)
	c.text(p.LastName, field+".last_name", rule)
}

func (c *checker) date(value, field, rule string) {
	_, err := time.Parse(time.DateOnly, value)
	c.need(value != "", field, "empty", rule)
	c.need(value == "" || err == nil, field, "bad_date", rule)
}

func (c *checker) transaction(t Transaction, p Profile, field string) {
	c.text(t.Number, field+".number", section3)
	c.text(t.Purpose, field+".purpose", section3)
	c.need(!t.At.IsZero(), field+".at", "empty", section3)
	c.need(t.Amount.AmountMinor > 0, field+".amount", "empty", section3)
	c.need(t.Amount.Currency == p.Currency || p.Currency == "", field+".amount", "currency", schema)
	for _, side := range []struct {
		name string
		a    Account
	}{{"from", t.From}, {"to", t.To}} {
		c.need(side.a.IBAN != "", field+"."+side.name+".iban", "empty", section3)
		c.text(side.a.Name, field+"."+side.name+".name", section3)
	}
}
