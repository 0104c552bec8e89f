package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2/page"
)

// What templates are given: texts ready to be shown, personal data masked.

// instant is a point in time and how it is written.
type instant struct {
	T    time.Time
	Text string
}

// badge is a short text with a colour: done, failed, look or none.
type badge struct{ Kind, Text string }

// option is an entry of a select.
type option struct {
	Value, Text string
	Chosen      bool
}

// fact is one line of a list of facts.
type fact struct {
	Term, Text string
	Code       string
	Kind       string
}

func (v *visit) at(t time.Time) instant {
	if t.IsZero() {
		return instant{}
	}
	layout := "2 Jan 2006 15:04"
	if v.lang == page.German {
		layout = "02.01.2006 15:04"
	}
	return instant{t, v.pages.Local(t).Format(layout)}
}

func (v *visit) day(t time.Time) string {
	layout := "2 Jan 2006"
	if v.lang == page.German {
		layout = "02.01.2006"
	}
	return v.pages.Local(t).Format(layout)
}

// span writes a duration in its largest unit.
func (v *visit) span(d time.Duration) string {
	d = d.Abs()
	switch {
	case d >= 48*time.Hour:
		return v.say("span.days", "n", int(d.Hours()/24))
	case d >= time.Hour:
		return v.say("span.hours", "n", int(d.Hours()))
	}
	return v.say("span.minutes", "n", int(d.Minutes()))
}

// clockOf is the service level's clock: what is left, or since when it is late.
func (v *visit) clockOf(c *compliance.Case) badge {
	now := v.Now()
	left := c.DueAt.Sub(now)
	switch {
	case c.State.Ended():
		return badge{}
	case c.State == compliance.SARFiled:
		if now.Before(c.WaitUntil) {
			return badge{"look", v.say("clock.waiting", "day", v.day(c.WaitUntil))}
		}
		return badge{"failed", v.say("clock.waited")}
	case c.State.Proposed(), c.State == compliance.SARExported:
		return badge{"look", v.say("clock.second", "span", v.span(now.Sub(c.ChangedAt)))}
	case left < 0:
		return badge{"failed", v.say("clock.late", "span", v.span(left))}
	case left < c.DueAt.Sub(c.OpenedAt)/4:
		return badge{"look", v.say("clock.left", "span", v.span(left))}
	}
	return badge{"", v.say("clock.left", "span", v.span(left))}
}

var severityNames = [...]string{1: "low", 2: "medium", 3: "high", 4: "critical"}

func (v *visit) severity(n int64) badge {
	if n < 1 || n > 4 {
		return badge{}
	}
	kind := ""
	switch n {
	case compliance.SeverityCritical:
		kind = "failed"
	case compliance.SeverityHigh:
		kind = "look"
	}
	return badge{kind, v.say("severity." + severityNames[n])}
}

var stateKinds = map[compliance.State]string{
	compliance.ProposedFalsePositive: "look", compliance.ProposedNoSuspicion: "look", compliance.ProposedSAR: "look",
	compliance.SARExported: "look", compliance.SARFiled: "look", compliance.Closed: "done", compliance.Released: "done", compliance.Blocked: "failed",
}

func (v *visit) state(s compliance.State) badge {
	return badge{stateKinds[s], v.say("state." + string(s))}
}

// rule is a rule's title; a rule of the deployment's own is named by its id.
func (v *visit) rule(id string) string {
	return v.sayOr("rule."+strings.ToLower(id), id)
}

func (v *visit) family(name string) string { return v.sayOr("family."+name, name) }

func (v *visit) outcome(name string) string {
	if name == "" {
		return "–"
	}
	return v.sayOr("outcome."+name, name)
}

func (v *visit) reasonText(code string) string { return v.sayOr("reason."+code, code) }

// reasons are the options of a select.
func (v *visit) reasons(codes []string) []option {
	list := make([]option, 0, len(codes))
	for _, c := range codes {
		list = append(list, option{Value: c, Text: v.reasonText(c)})
	}
	return list
}

// short is the end of an id, enough to tell two in a list apart.
func short(id string) string {
	if len(id) <= 8 {
		return id
	}
	return id[len(id)-6:]
}

// tidy undoes what copying does to an id.
func tidy(q string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, q))
}

// decimal writes a number with at most so many digits behind the point, or the
// comma; -1 is as many as it has.
func (v *visit) decimal(n float64, digits int) string {
	s := strconv.FormatFloat(n, 'f', digits, 64)
	if digits > 0 {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return v.comma(s)
}

// signed writes a difference with two digits.
func (v *visit) signed(n float64) string { return v.comma(fmt.Sprintf("%+.2f", n)) }

// comma puts a number's decimal point as the language has it.
func (v *visit) comma(s string) string {
	if v.lang == page.German {
		return strings.Replace(s, ".", ",", 1)
	}
	return s
}

// percent writes a share without decimals.
func percent(share float64) string { return fmt.Sprintf("%.0f\u00a0%%", share*100) }
