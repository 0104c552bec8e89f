package ops

import (
	"fmt"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
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

// fact is one line of a list of facts.
type fact struct {
	Key  string // of the text that names it
	Text string
	Code string // set in fixed width, after Text
	At   *instant
	Kind string // as of a badge, for what wants attention
	Href string // where Code leads; "" nowhere
}

// entry is one line of a timeline.
type entry struct {
	At    instant
	Since string // time since the line before
	Kind  string // as of a badge
	Title string
	Text  string // why, or what it means
	Meta  string // where it stands
	Code  string
}

// row is one payment of a list.
type row struct {
	ID, Short string
	Created   instant
	Day       string // of Created
	Today     bool   // then a phone leaves the day out
	State     badge
	Amount    psd2.Money
	Merchant  string
	Reference string
	Bank      string
	Why       string // the failure in words, if it failed
	Payer     string // masked
}

// stateKinds are the colours of states, of payments and attempts alike.
var stateKinds = map[string]string{
	string(psd2.StateExecuted): "done", string(psd2.StateSettled): "done", string(psd2.StateFailed): "failed",
	string(psd2.StateOutcomeUnknown): "look", string(psd2.AttemptUnknown): "look", string(psd2.AttemptRefused): "failed",
}

func (v *visit) stateBadge(s psd2.State) badge {
	return badge{stateKinds[string(s)], v.say("state." + string(s))}
}

func (v *visit) attemptBadge(s psd2.AttemptState) badge {
	return badge{stateKinds[string(s)], v.say("attempt." + string(s))}
}

// at writes day and time to the second.
func (v *visit) at(t time.Time) instant {
	return instant{t, v.day(t) + " " + v.clock(t).Text}
}

// day and clock are the two halves of at.
func (v *visit) day(t time.Time) string {
	layout := "2 Jan 2006"
	if v.lang == page.German {
		layout = "02.01.2006"
	}
	return v.pages.Local(t).Format(layout)
}

func (v *visit) clock(t time.Time) instant { return instant{t, v.pages.Local(t).Format("15:04:05")} }

// fine writes the time of day to the millisecond.
func (v *visit) fine(t time.Time) instant {
	return instant{t, v.decimals(v.pages.Local(t).Format("15:04:05.000"))}
}

func (v *visit) maybe(t *time.Time) *instant {
	if t == nil {
		return nil
	}
	i := v.at(*t)
	return &i
}

// decimals puts the language's decimal sign.
func (v *visit) decimals(s string) string {
	if v.lang == page.German {
		return strings.Replace(s, ".", ",", 1)
	}
	return s
}

// took writes a duration in at most two units.
func (v *visit) took(d time.Duration) string {
	switch {
	case d < 0:
		return "−" + v.took(-d)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return v.decimals(fmt.Sprintf("%.1f s", d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d", int(d.Hours())/24)
}

// since gives the time between two lines of a timeline.
func (v *visit) since(before, at time.Time) string {
	if before.IsZero() {
		return ""
	}
	return "+ " + v.took(at.Sub(before))
}

// zone names the zone of all times on a page.
func (v *visit) zone() string {
	zone := v.pages.Local(v.Now()).Format("MST")
	if v.lang == page.German {
		zone = strings.NewReplacer("CEST", "MESZ", "CET", "MEZ").Replace(zone)
	}
	return zone
}

// reason says a failure in words, or "" when there is none.
func (v *visit) reason(why psd2.FailureReason) string {
	if why == "" {
		return ""
	}
	return v.say("reason." + string(why))
}

// bankNames are the registry's, by id.
func (v *visit) bankNames() map[string]string {
	names := map[string]string{}
	for _, b := range v.Hub.Banks() {
		names[b.ID] = b.Name
	}
	return names
}

// rows are the lines of a list. A merchant that cannot be read is named by id.
func (v *visit) rows(list []*psd2.Payment) []row {
	names, merchants, today := v.bankNames(), map[string]string{}, v.day(v.Now())
	rows := make([]row, 0, len(list))
	for _, p := range list {
		if merchants[p.MerchantID] == "" {
			merchants[p.MerchantID] = v.merchantName(p.MerchantID)
		}
		r := row{ID: p.ID, Short: p.ID[max(0, len(p.ID)-8):], Created: v.clock(p.CreatedAt), Day: v.day(p.CreatedAt), State: v.stateBadge(p.State), Amount: p.Amount,
			Merchant: merchants[p.MerchantID], Reference: withoutIBANs(p.Personal.Reference), Why: v.reason(p.Failure), Payer: page.MaskedName(p.Personal.Player.Name)}
		r.Today = r.Day == today
		if a := p.Last(); a != nil {
			r.Bank = nameOr(names, a.BankID)
		}
		rows = append(rows, r)
	}
	return rows
}

func (v *visit) merchantName(id string) string {
	if m, err := v.Hub.Merchant(v.ctx(), id); err == nil {
		return m.Name
	}
	return id
}

func nameOr(names map[string]string, id string) string {
	if n := names[id]; n != "" {
		return n
	}
	return id
}
