package page

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a machine without zone files must not show payers UTC

	"github.com/rialto-hub/rialto/psd2"
)

const nbsp = "\u00a0"

// Money writes an amount as the language does, never broken over two lines:
// "1.025,00 €" in German, "€1,025.00" in English.
func Money(l Lang, m psd2.Money) string {
	whole, cents, _ := strings.Cut(m.Decimal(), ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	group, point := ",", "."
	if l == German {
		group, point = ".", ","
	}
	number := grouped(whole, group) + point + cents
	switch {
	case m.Currency != psd2.EUR:
		return sign + number + nbsp + m.Currency
	case l == German:
		return sign + number + nbsp + "€"
	default:
		return sign + "€" + number
	}
}

func grouped(digits, sep string) string {
	var b strings.Builder
	for i, c := range []byte(digits) {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteString(sep)
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Words writes an amount for the ear: "1025 euros and 50 cents". Signs and
// separators are read differently from one voice to the next; words are not.
func Words(l Lang, m psd2.Money) string {
	if m.Currency != psd2.EUR || m.AmountMinor < 0 {
		return Money(l, m)
	}
	euros, cents := m.AmountMinor/100, m.AmountMinor%100
	if l == German {
		if cents == 0 {
			return fmt.Sprintf("%d Euro", euros)
		}
		return fmt.Sprintf("%d Euro und %d Cent", euros, cents)
	}
	s := plural(euros, "euro")
	if cents > 0 {
		s += " and " + plural(cents, "cent")
	}
	return s
}

func plural(n int64, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

var germanMonths = [...]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli",
	"August", "September", "Oktober", "November", "Dezember"}

// Date writes a day: "21. November 2026", "21 November 2026".
func Date(l Lang, t time.Time) string {
	if l == German {
		return fmt.Sprintf("%d.%s%s %d", t.Day(), nbsp, germanMonths[t.Month()-1], t.Year())
	}
	return fmt.Sprintf("%d%s%s %d", t.Day(), nbsp, t.Month(), t.Year())
}

// Clock writes the time of day with its zone: "21:54 Uhr MEZ", "21:54 CET".
// The zone is said because the server does not know where the reader is.
func Clock(l Lang, t time.Time) string {
	zone := t.Format("MST")
	if l == German {
		switch zone {
		case "CET":
			zone = "MEZ"
		case "CEST":
			zone = "MESZ"
		}
		return t.Format("15:04") + nbsp + "Uhr" + nbsp + zone
	}
	return t.Format("15:04") + nbsp + zone
}

// Moment writes day and time.
func Moment(l Lang, t time.Time) string { return Date(l, t) + ", " + Clock(l, t) }
