package ops

import (
	"net/url"
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
