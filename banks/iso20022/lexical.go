package iso20022

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// lexical is what the text of a leaf element must look like.
type lexical struct {
	rule    string // rule id of a breach
	expects string // ends the sentence "… must be"
	text    bool   // free text, to which the character set applies
	typed   bool   // becomes a number, an amount or a time: never tolerated when wrong
	money   bool   // carries the attribute Ccy
	ok      func(string) bool
}

var sizedType = regexp.MustCompile(`^(?:([tc])(\d+)|n(\d+)(?:-(\d+))?|d(\d+)\.(\d+)(\+?))$`)

// builtin returns the lexical type of that name, or nil.
func builtin(name string) *lexical {
	switch name {
	case "bool":
		return &lexical{rule: "schema-boolean", expects: "true, false, 1 or 0", typed: true, ok: isBool}
	case "date":
		return &lexical{rule: "schema-date", expects: "a date as 2026-11-21", typed: true, ok: isDate}
	case "dateTime":
		return &lexical{rule: "schema-date", expects: "a date and time as 2026-11-21T20:15:30.123Z", typed: true, ok: isDateTime}
	case "time":
		return &lexical{rule: "schema-date", expects: "a time as 20:15:30Z", ok: isTime}
	case "yearMonth":
		return &lexical{rule: "schema-date", expects: "a month as 2026-11", ok: isYearMonth}
	case "amount":
		return decimalType(18, 5, true)
	case "money", "money13":
		l := decimalType(18, 5, true)
		if name == "money13" {
			l = decimalType(18, 13, true)
		}
		l.money = true
		return l
	}
	m := sizedType.FindStringSubmatch(name)
	switch {
	case m == nil:
		return nil
	case m[1] != "":
		most, _ := strconv.Atoi(m[2])
		return textType(most)
	case m[3] != "":
		return digitsType(m[3], m[4])
	default:
		total, _ := strconv.Atoi(m[5])
		frac, _ := strconv.Atoi(m[6])
		return decimalType(total, frac, m[7] == "+")
	}
}

func textType(most int) *lexical {
	return &lexical{
		rule: "schema-length", text: true,
		expects: fmt.Sprintf("1 to %d characters long", most),
		ok: func(s string) bool {
			n := utf8.RuneCountInString(s)
			return n >= 1 && n <= most
		},
	}
}

func digitsType(least, most string) *lexical {
	if most == "" {
		most = least
	}
	l := patternType("[0-9]{" + least + "," + most + "}")
	l.expects = least + " to " + most + " digits"
	l.typed = true
	return l
}

func patternType(pattern string) *lexical {
	re := regexp.MustCompile(`^(?:` + pattern + `)$`)
	return &lexical{rule: "schema-pattern", expects: "of the form " + pattern, ok: re.MatchString}
}

func codeType(codes []string) *lexical {
	set := make(map[string]bool, len(codes))
	for _, c := range codes {
		set[c] = true
	}
	return &lexical{
		rule: "schema-code", expects: "one of " + strings.Join(codes, ", "),
		ok: func(s string) bool { return set[s] },
	}
}

// decimalType counts digits as XML Schema does: leading zeros and zeros at the
// end of the fraction do not count.
func decimalType(total, frac int, positive bool) *lexical {
	expects := fmt.Sprintf("a decimal number of at most %d digits, %d of them decimals", total, frac)
	if positive {
		expects += ", not negative"
	}
	return &lexical{rule: "schema-decimal", expects: expects, typed: true, ok: func(s string) bool {
		s = trim(s)
		unsigned := strings.TrimPrefix(s, "+")
		negative := false
		if unsigned == s {
			unsigned, negative = strings.CutPrefix(s, "-")
		}
		whole, decimals, _ := strings.Cut(unsigned, ".")
		if whole+decimals == "" || !allDigits(whole) || !allDigits(decimals) {
			return false
		}
		whole, decimals = strings.TrimLeft(whole, "0"), strings.TrimRight(decimals, "0")
		if negative && positive && whole+decimals != "" {
			return false
		}
		return len(decimals) <= frac && len(whole)+len(decimals) <= total
	}}
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// trim removes the white space that XML Schema collapses around everything
// but strings. (strings.TrimSpace would take more.)
func trim(s string) string { return strings.Trim(s, " \t\r\n") }

func isBool(s string) bool {
	switch trim(s) {
	case "true", "false", "1", "0":
		return true
	}
	return false
}

var (
	zone       = `(Z|[+-](0\d|1[0-3]):[0-5]\d|[+-]14:00)?`
	dateForm   = regexp.MustCompile(`^\d{4}-\d\d-\d\d` + zone + `$`)
	stampForm  = regexp.MustCompile(`^\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?` + zone + `$`)
	timeForm   = regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?` + zone + `$`)
	monthForm  = regexp.MustCompile(`^\d{4}-(0[1-9]|1[0-2])` + zone + `$`)
	yearZero   = "0000"
	dayPattern = "2006-01-02"
)

func isDate(s string) bool {
	s = trim(s)
	return dateForm.MatchString(s) && isDay(s[:10])
}

func isDateTime(s string) bool {
	s = trim(s)
	return stampForm.MatchString(s) && isDay(s[:10])
}

// isDay reports whether the calendar has the day: 2026-02-30 it has not.
func isDay(s string) bool {
	_, err := time.Parse(dayPattern, s)
	return err == nil && s[:4] != yearZero
}

func isTime(s string) bool { return timeForm.MatchString(trim(s)) }

func isYearMonth(s string) bool {
	s = trim(s)
	return monthForm.MatchString(s) && s[:4] != yearZero
}
