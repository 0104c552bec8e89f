package sandbox

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
)

// control is one switch on the operator's page.
type control struct {
	Name    string
	On      bool     // of a yes-or-no
	Number  bool     // a count or a duration
	Value   string   // of a number or a choice
	Choices []string // of a choice; "" is the truth

	set func(string) bool
}

// group is what belongs together on the page.
type group struct {
	Title    string
	Controls []control
}

func yesNo(name string, at *bool) control {
	return control{Name: name, On: *at, set: func(v string) bool { *at = v == "true"; return true }}
}

func number(name string, at *int) control {
	return control{Name: name, Number: true, Value: strconv.Itoa(*at), set: func(v string) bool {
		if v == "" { // a form of somebody's own that leaves it out
			return true
		}
		n, err := strconv.Atoi(v)
		*at = n
		return err == nil
	}}
}

func choice[T ~string](name string, at *T, of []T) control {
	c := control{Name: name, Value: string(*at), set: func(v string) bool { *at = T(v); return true }}
	for _, v := range of {
		c.Choices = append(c.Choices, string(v))
	}
	return c
}

// groups are all switches in the order of the page.
func (s *Switches) groups() []group {
	return []group{
		{"sw_group_reach", []control{yesNo("down", &s.Down), number("retry_after_sec", &s.RetryAfterSecs), number("latency_ms", &s.LatencyMillis),
			yesNo("bad_certificate", &s.BadCertificate)}},
		{"sw_group_lost", []control{number("lose_before", &s.LoseBefore), number("lose_after", &s.LoseAfter), number("lose_step", &s.LoseStep),
			number("lose_status", &s.LoseStatus)}},
		{"sw_group_answers", []control{choice("initiation_answer", &s.InitiationAnswer, answers), choice("status_answer", &s.StatusAnswer, answers),
			choice("redirect", &s.Redirect, redirects)}},
		{"sw_group_lies", []control{yesNo("changed_amount", &s.ChangedAmount), yesNo("changed_payee", &s.ChangedPayee), yesNo("status_back", &s.StatusBack),
			yesNo("unknown_codes", &s.UnknownCodes), yesNo("duplicate_booking", &s.DuplicateBooking)}},
	}
}

// getSwitches answers with a page to a browser and with JSON to everyone else.
func (s *Sandbox) getSwitches(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	if !wantsPage(c) {
		return c.JSON(http.StatusOK, b.switches.get())
	}
	return s.switchesPage(c, b, http.StatusOK, "")
}

func (s *Sandbox) switchesPage(c echo.Context, b *bank, code int, p problem) error {
	now := b.switches.get()
	page := struct {
		frame
		Bank   string
		Origin string
		Groups []group
		Saved  bool
		Quiet  bool
		Banks  []bankView
	}{frame: frameOf(b), Bank: b.ID, Origin: s.origin(c.Request()), Groups: now.groups(), Saved: p == "" && c.QueryParam("saved") == "1", Quiet: now.Quiet(), Banks: s.views()}
	page.Problem, page.Wide = p, true
	return s.render(c, code, "switches", "switches_title", &page, "", "bank", b.Name)
}

// postSwitches changes the switches that are named in the JSON, or all of them
// by the page's form.
func (s *Sandbox) postSwitches(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	if strings.HasPrefix(c.Request().Header.Get("Content-Type"), "application/json") {
		body, err := readBody(c.Request())
		if err != nil {
			return badJSON
		}
		now, ok := b.switches.update(func(sw *Switches) bool { return decode(body, sw) == nil })
		if !ok {
			return psd2.Invalid("", "switches_invalid", "a switch is unknown or out of range; nothing was changed")
		}
		return c.JSON(http.StatusOK, now)
	}
	_, ok := b.switches.update(func(sw *Switches) bool {
		if c.FormValue("action") == "reset" {
			*sw = quietSwitches(b.Bank)
			return true
		}
		ok := true
		for _, g := range sw.groups() {
			for _, ctl := range g.Controls {
				ok = ctl.set(c.FormValue(ctl.Name)) && ok
			}
		}
		return ok
	})
	if !ok {
		return s.switchesPage(c, b, http.StatusUnprocessableEntity, "sw_invalid")
	}
	return c.Redirect(http.StatusSeeOther, "/sandbox/"+b.ID+"/switches?saved=1")
}
