package ops

import (
	"cmp"
	"net/url"
	"slices"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/page"
)

type questionRow struct {
	ID, Short, Href string
	Kind            string
	Amount          psd2.Money
	Merchant, Where string
	Since           instant
	Age             string
	State           badge
	Detail          string
}

type queuePage struct {
	Zone  string
	AsOf  instant
	Tabs  []tab
	Rows  []questionRow
	Stuck []stuckRow
	Total psd2.Money
	Full  bool
}

// stuckRow is an order that cannot even be looked at.
type stuckRow struct {
	ID, Kind string
	Since    instant
	Age      string
	Tried    instant
	Tries    string
	Cause    string
}

// queue is GET /unknown: orders whose bank does not say what became of them,
// the oldest or (?by=amount) the largest first. Orders that cannot be looked at
// stand below: their outcome is unknown too, until somebody has mended what is
// broken.
func (v *visit) queue() error {
	by := v.QueryParam("by")
	if by != "" && by != "amount" {
		return psd2.NotFound("order")
	}
	list, err := v.Hub.Undecided(v.ctx(), listed)
	if err != nil {
		return err
	}
	if by == "amount" {
		slices.SortStableFunc(list, func(a, b hub.Question) int { return cmp.Compare(b.Amount.AmountMinor, a.Amount.AmountMinor) })
	}
	q := queuePage{Zone: v.zone(), AsOf: v.fine(v.Now()), Total: psd2.Euro(0), Full: len(list) >= listed, Tabs: []tab{
		{Text: v.say("queue.by_age"), Href: "/unknown", Current: by == ""}, {Text: v.say("queue.by_amount"), Href: "/unknown?by=amount", Current: by == "amount"}}}
	names := v.bankNames()
	for _, one := range list {
		q.Rows = append(q.Rows, v.questionRow(one, names))
		q.Total.AmountMinor += one.Amount.AmountMinor // at most two hundred of at most a billion
	}
	if q.Stuck, err = v.stuck(); err != nil {
		return err
	}
	self := &url.URL{Path: "/unknown"}
	if by != "" {
		self.RawQuery = "by=" + by
	}
	return v.console("unknown", page.Page{Name: "unknown", Title: v.say("queue.title"), Self: self, Data: q})
}

func (v *visit) stuck() ([]stuckRow, error) {
	list, err := v.Hub.Stuck(v.ctx(), listed)
	rows := make([]stuckRow, 0, len(list))
	for _, s := range list {
		rows = append(rows, stuckRow{ID: s.ObjectID, Kind: v.say("kind." + kindOf(s.ObjectID)), Since: v.at(s.Since), Age: v.took(v.Now().Sub(s.Since)),
			Tried: v.at(s.LastAt), Tries: v.count(int(s.Tries)), Cause: withoutIBANs(s.Cause)})
	}
	return rows, err
}

func (v *visit) questionRow(q hub.Question, banks map[string]string) questionRow {
	r := questionRow{ID: q.ObjectID, Short: q.ObjectID[max(0, len(q.ObjectID)-8):], Href: hrefOf(q.ObjectID), Kind: v.say("kind." + kindOf(q.ObjectID)), Amount: q.Amount,
		Merchant: v.merchantName(q.MerchantID), Where: nameOr(banks, q.BankID), Since: v.at(q.Since), Age: v.took(v.Now().Sub(q.Since))}
	if r.Where == "" {
		r.Where = q.AccountID
	}
	switch {
	case q.Proposal != nil:
		r.State, r.Detail = badge{"look", v.say("queue.proposed")}, v.say("queue.proposed_by", "name", q.Proposal.By.Name)
	case v.Now().Before(q.DecidableAt):
		r.State, r.Detail = badge{"", v.say("queue.asking")}, v.say("queue.asking_until", "at", v.clock(q.DecidableAt).Text)
	default:
		r.State = badge{"look", v.say("queue.to_decide")}
	}
	return r
}

// hrefOf is the page of a payment or transfer.
func hrefOf(id string) string {
	if psd2.IsID(psd2.PrefixPayment, id) {
		return "/payments/" + id
	}
	return "/transfers/" + id
}

// kindOf says what an id is of.
func kindOf(id string) string {
	switch {
	case psd2.IsID(psd2.PrefixRefund, id):
		return string(psd2.KindRefund)
	case psd2.IsID(psd2.PrefixPayout, id):
		return string(psd2.KindPayout)
	}
	return "deposit"
}
