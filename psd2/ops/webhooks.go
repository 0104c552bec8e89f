package ops

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2/page"
)

// Webhooks knows what merchants were told, and how the places do that they are
// told at.
type Webhooks interface {
	// Deliveries gives those of an object (pay_…), oldest first.
	Deliveries(ctx context.Context, objectID string) ([]Delivery, error)
	// Endpoints gives those of all merchants, at most limit of them, the ones
	// that want attention first.
	Endpoints(ctx context.Context, limit int) ([]Endpoint, error)
}

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	ID         string // dlv_…
	EventID    string // evt_…
	Type       string // of the event
	EndpointID string // whe_…
	Host       string // of the endpoint's URL; its path and query may be secret
	State      string // pending, delivered or failed
	Attempts   int64  // requests made so far
	CreatedAt  time.Time
	NextAt     *time.Time // of the next request, when pending
	Tries      []Try      // oldest first, as many as are kept
}

// Try is one request to an endpoint.
type Try struct {
	At     time.Time
	Took   time.Duration
	Status int    // of the answer; 0: there was none
	Error  string // why it failed, a few words without personal data
}

// Endpoint is where a merchant is told, and how that goes.
type Endpoint struct {
	ID           string // whe_…
	MerchantID   string
	Host         string     // as of a Delivery
	State        string     // active, paused or disabled
	Reason       string     // why it is disabled: gone, asked, failing, merchant; or paused: unreadable
	BudgetUsed   int        // percent of the failures that are borne; at 100 it is disabled
	FailingSince *time.Time // nothing has been delivered since
	DeliveredAt  *time.Time // the last success; nil: none is known
	Waiting      int        // deliveries still to be made
	Crowded      bool       // more wait than were counted
	WaitingFrom  *time.Time // when the oldest of them was made
}

// alarming and worrying are the shares of the failure budget from which an
// endpoint is shown in red and in amber; at the second its merchant is told.
const (
	alarming = 70
	worrying = 50
)

type endpointRow struct {
	ID, Host, Merchant string
	State              badge
	Why                string
	Budget             badge
	Failing, Delivered *instant
	Waiting            string
	WaitingFor         string // age of the oldest
}

type webhooksPage struct {
	Zone    string
	AsOf    instant
	Rows    []endpointRow
	Failing int
	Full    bool
	Docs    string // where the merchant's own view of it is described
}

// webhooks is GET /webhooks: the endpoints of all merchants, the worst first.
func (v *visit) webhooks() error {
	w := webhooksPage{Zone: v.zone(), AsOf: v.fine(v.Now()), Docs: v.Docs}
	if v.Webhooks != nil {
		list, err := v.Webhooks.Endpoints(v.ctx(), listed)
		if err != nil {
			return err
		}
		w.Full = len(list) == listed
		for _, e := range list {
			if e.FailingSince != nil || e.State == "disabled" {
				w.Failing++
			}
			w.Rows = append(w.Rows, v.endpointRow(e))
		}
	}
	return v.console("webhooks", page.Page{Name: "webhooks", Title: v.say("webhooks.title"), Self: &url.URL{Path: "/webhooks"}, Data: w})
}

func (v *visit) endpointRow(e Endpoint) endpointRow {
	r := endpointRow{ID: e.ID, Host: e.Host, Merchant: v.merchantName(e.MerchantID), State: v.endpointState(e), Budget: badge{"done", strconv.Itoa(e.BudgetUsed) + " %"},
		Failing: v.maybe(e.FailingSince), Delivered: v.maybe(e.DeliveredAt), Waiting: v.count(e.Waiting)}
	if e.Reason != "" {
		r.Why = v.sayOr("endpoint.why."+e.Reason, e.Reason)
	}
	switch {
	case e.BudgetUsed >= alarming:
		r.Budget.Kind = "failed"
	case e.BudgetUsed >= worrying:
		r.Budget.Kind = "look"
	case e.BudgetUsed == 0:
		r.Budget.Kind = ""
	}
	if e.Crowded {
		r.Waiting = v.say("webhooks.more_than", "n", r.Waiting)
	}
	if e.WaitingFrom != nil {
		r.WaitingFor = v.took(v.Now().Sub(*e.WaitingFrom))
	}
	return r
}

func (v *visit) endpointState(e Endpoint) badge {
	switch {
	case e.State == "disabled":
		return badge{"failed", v.say("endpoint.disabled")}
	case e.State == "paused":
		return badge{"", v.say("endpoint.paused")}
	case e.FailingSince != nil:
		return badge{"look", v.say("endpoint.failing")}
	}
	return badge{"done", v.say("endpoint.active")}
}

// count writes a number in the language's groups of three.
func (v *visit) count(n int) string {
	digits, sign := strconv.Itoa(n), ","
	if v.lang == page.German {
		sign = "."
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteString(sign)
		}
		b.WriteRune(d)
	}
	return b.String()
}
