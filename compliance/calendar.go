package compliance

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Calendar knows the working days of a German Land, as GwG §46 counts them:
// Saturdays, Sundays and public holidays are none.
type Calendar struct {
	land string
	zone *time.Location
}

// Lands are the codes that a Calendar takes (ISO 3166-2:DE without its prefix).
var Lands = strings.Fields("BB BE BW BY HB HE HH MV NI NW RP SH SL SN ST TH")

// NewCalendar makes the calendar of a Land.
func NewCalendar(land string) (Calendar, error) {
	if !slices.Contains(Lands, land) {
		return Calendar{}, fmt.Errorf("compliance: there is no Land %q", land)
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return Calendar{}, fmt.Errorf("compliance: %w", err)
	}
	return Calendar{land, zone}, nil
}

// in reports whether the Land is one of those.
func (c Calendar) in(lands string) bool { return slices.Contains(strings.Fields(lands), c.land) }

// holiday reports whether a day is a public holiday in the Land. Where a day is
// one in some of its municipalities only (Assumption in Bavaria), it counts:
// money that waits a day longer harms less than money that ran a day too soon.
func (c Calendar) holiday(year int, month time.Month, day int) bool {
	date := func(m time.Month, d int) bool { return month == m && day == d }
	switch {
	case date(time.January, 1), date(time.May, 1), date(time.October, 3), date(time.December, 25), date(time.December, 26):
		return true
	case date(time.January, 6):
		return c.in("BW BY ST")
	case date(time.March, 8):
		return c.land == "BE" && year >= 2019 || c.land == "MV" && year >= 2023
	case date(time.May, 8): // once, 75 and 80 years after the war's end
		return c.land == "BE" && (year == 2020 || year == 2025)
	case date(time.August, 15):
		return c.in("BY SL")
	case date(time.September, 20):
		return c.land == "TH" && year >= 2019
	case date(time.October, 31):
		return c.in("BB MV SN ST TH") || year == 2017 || year >= 2018 && c.in("HB HH NI SH")
	case date(time.November, 1):
		return c.in("BW BY NW RP SL")
	case month == time.November && day >= 16 && day <= 22: // the Wednesday before the 23rd
		return c.land == "SN" && time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Weekday() == time.Wednesday
	}
	return c.moving(year, month, day)
}

// moving are the holidays that go by Easter.
func (c Calendar) moving(year int, month time.Month, day int) bool {
	after := int(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Sub(easter(year)).Hours() / 24)
	switch after {
	case -2, 1, 39, 50: // Good Friday, Easter Monday, Ascension, Whit Monday
		return true
	case 0, 49: // Sundays by nature; holidays by law
		return c.land == "BB"
	case 60: // Corpus Christi
		return c.in("BW BY HE NW RP SL")
	}
	return false
}

// easter is Easter Sunday of the Gregorian calendar, after Gauss as corrected
// by Lichtenberg.
func easter(year int) time.Time {
	k := year / 100
	m := 15 + (3*k+3)/4 - (8*k+13)/25
	s := 2 - (3*k+3)/4
	a := year % 19
	d := (19*a + m) % 30
	r := (d + a/11) / 29
	og := 21 + d - r
	sz := 7 - (year+year/4+s)%7
	oe := 7 - (og-sz)%7
	return time.Date(year, time.March, og+oe, 0, 0, 0, 0, time.UTC)
}

// Working reports whether the day that t falls on in Germany is a working day.
func (c Calendar) Working(t time.Time) bool {
	t = t.In(c.zone)
	if w := t.Weekday(); w == time.Saturday || w == time.Sunday {
		return false
	}
	return !c.holiday(t.Year(), t.Month(), t.Day())
}

// waitingDays is how many working days have to pass after a report.
const waitingDays = 3

// WaitingEnd is when a reported transaction may run without the FIU's consent:
// the first moment after the third working day after the day of filing (GwG
// §46(1)).
func (c Calendar) WaitingEnd(filed time.Time) time.Time {
	y, m, d := filed.In(c.zone).Date()
	for left := waitingDays; left > 0; {
		d++
		if c.Working(time.Date(y, m, d, 12, 0, 0, 0, c.zone)) {
			left--
		}
	}
	return time.Date(y, m, d+1, 0, 0, 0, 0, c.zone)
}
