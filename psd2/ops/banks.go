package ops

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2/page"
)

type bankRow struct {
	ID, Name, BICs, Countries, Adapter, Approaches string
	State                                          badge
	Why                                            string
	Until                                          *instant
	Latency                                        string
	Unanswered                                     int
	Presumed                                       bool // unavailable, as RTS Art. 33(1) has it
	Windows                                        []window
}

// window is how a bank did in the last hour by one approach, or in a week.
type window struct {
	Name, Answered, Share, P50, P95 string
	Kind                            string // as of a badge
}

type banksPage struct {
	Zone      string
	AsOf      instant
	Rows      []bankRow
	Available int
}

// banks is GET /banks: each bank as this process sees it.
func (v *visit) banks() error {
	b := banksPage{Zone: v.zone(), AsOf: v.fine(v.Now())}
	for _, l := range v.Hub.Banks() {
		if l.Available {
			b.Available++
		}
		b.Rows = append(b.Rows, v.bankRow(l))
	}
	return v.console("banks", page.Page{Name: "banks", Title: v.say("banks.title"), Self: &url.URL{Path: "/banks"}, Data: b})
}

func (v *visit) bankRow(l banks.Listing) bankRow {
	r := bankRow{ID: l.ID, Name: l.Name, BICs: strings.Join(l.BICs, " "), Countries: strings.Join(l.Countries, " "), Adapter: l.Adapter}
	approaches := make([]string, 0, len(l.Approaches))
	for _, a := range l.Approaches {
		approaches = append(approaches, string(a))
	}
	r.Approaches = strings.Join(approaches, ", ")
	r.Unanswered, r.Presumed, r.Windows = l.Unanswered, l.PresumedUnavailable, v.windows(v.Hub.BankHistory(l.ID))
	if l.Latency > 0 {
		r.Latency = v.took(l.Latency)
	}
	if !l.Until.IsZero() {
		r.Until = v.maybe(&l.Until)
	}
	switch {
	case l.Available:
		r.State = badge{"done", v.say("banks.available")}
	case l.Reason == banks.ReasonDisabled:
		r.State, r.Why = badge{"", v.say("banks.disabled")}, l.Disabled
	case l.Reason == banks.ReasonBusy:
		r.State, r.Why = badge{"look", v.say("banks.busy")}, v.say("banks.why_busy")
	default:
		r.State, r.Why = badge{"failed", v.say("banks.not_answering")}, v.say("banks.why_not_answering")
	}
	return r
}

// windows are what was seen of a bank: the last hour by approach, and the last
// week of all of them.
func (v *visit) windows(h banks.History) []window {
	var list []window
	for _, a := range slices.Sorted(maps.Keys(h.Hour)) {
		name := string(a)
		if a == "" {
			name = v.say("banks.all")
		}
		list = append(list, v.window(name, h.Hour[a]))
	}
	var week banks.Measure
	for _, m := range h.Week {
		week.Calls, week.Answered = week.Calls+m.Calls, week.Answered+m.Answered
	}
	if week.Calls > 0 {
		list = append(list, v.window(v.say("banks.week"), week))
	}
	return list
}

func (v *visit) window(name string, m banks.Measure) window {
	w := window{Name: name, Answered: fmt.Sprintf("%d / %d", m.Answered, m.Calls), Share: "–", P50: "–", P95: "–"}
	if m.Calls > 0 {
		share := m.Answered * 1000 / m.Calls
		w.Share = v.decimals(fmt.Sprintf("%d.%d %%", share/10, share%10))
		switch {
		case share < 900:
			w.Kind = "failed"
		case share < 990:
			w.Kind = "look"
		default:
			w.Kind = "done"
		}
	}
	if m.P50 > 0 {
		w.P50, w.P95 = v.took(m.P50), v.took(m.P95)
	}
	return w
}
