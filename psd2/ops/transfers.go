package ops

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/psd2/store"
)

type transferRow struct {
	ID, Short, Kind string
	Created         instant
	Day             string
	Today           bool
	State           badge
	Why             string
	Amount          psd2.Money
	Merchant        string
	Reference       string
	Payee           string
}

type transfersPage struct {
	Title, Zone, Empty string
	Tabs               []tab
	Rows               []transferRow
	Full               bool
}

// transfers is GET /transfers: refunds and payouts, the newest first.
func (v *visit) transfers() error {
	state := psd2.TransferState(v.QueryParam("state"))
	if state != "" && !slices.Contains(psd2.TransferStates, state) {
		return psd2.NotFound("state")
	}
	list, err := v.Store.RecentTransfers(v.ctx(), "", state, listed)
	if err != nil {
		return err
	}
	p := transfersPage{Title: v.say("transfers.title"), Zone: v.zone(), Empty: v.say("transfers.none"), Rows: v.transferRows(list), Full: len(list) == listed}
	for _, s := range append([]psd2.TransferState{""}, psd2.TransferStates...) {
		t := tab{Text: v.say("payments.newest"), Href: "/transfers", Current: s == state}
		if s != "" {
			t.Text, t.Href = v.say("transfer."+string(s)), "/transfers?state="+string(s)
		}
		p.Tabs = append(p.Tabs, t)
	}
	self := &url.URL{Path: "/transfers"}
	if state != "" {
		self.RawQuery = "state=" + string(state)
	}
	return v.console("transfers", page.Page{Name: "transfers", Title: p.Title, Self: self, Data: p})
}

func (v *visit) transferRows(list []*psd2.Transfer) []transferRow {
	today := v.day(v.Now())
	rows := make([]transferRow, 0, len(list))
	for _, t := range list {
		r := transferRow{ID: t.ID, Short: t.ID[max(0, len(t.ID)-8):], Kind: v.say("kind." + string(t.Kind)), Created: v.clock(t.CreatedAt), Day: v.day(t.CreatedAt),
			State: v.transferBadge(t.State), Why: v.reason(t.Failure), Amount: t.Amount, Merchant: v.merchantName(t.MerchantID),
			Reference: withoutIBANs(t.Personal.Reference), Payee: page.MaskedName(t.Personal.Payee.Name)}
		r.Today = r.Day == today
		rows = append(rows, r)
	}
	return rows
}

var transferKinds = map[psd2.TransferState]string{psd2.TransferExecuted: "done", psd2.TransferFailed: "failed", psd2.TransferReturned: "look", psd2.TransferUnknown: "look"}

func (v *visit) transferBadge(s psd2.TransferState) badge {
	return badge{transferKinds[s], v.say("transfer." + string(s))}
}

type transferPage struct {
	ID         string
	Kind       string
	Amount     psd2.Money
	State      badge
	StateCode  string
	Merchant   string
	Notice     string
	Zone       string
	AsOf       instant
	Facts      []fact
	Bank       []fact
	Recall     []fact
	Entries    []entryRow
	Decision   *decisionView
	Journal    []entry
	Deliveries []deliveryView
	Unread     bool
	Live       string
	Version    int64
}

// entryRow is a line of a statement.
type entryRow struct {
	At     instant
	Kind   string
	Amount psd2.Money
	Out    bool
	Class  badge
	BankID string
	Reason string
}

// transfer is GET /transfers/{id}.
func (v *visit) transfer() error {
	t, err := v.Hub.AnyTransfer(v.ctx(), v.Param("id"))
	if err != nil {
		return err
	}
	return v.transferStory(t)
}

// transferStory shows everything there is about a refund or payout. That
// compliance holds it is not among it: operators are outsiders there.
func (v *visit) transferStory(t *psd2.Transfer) error {
	edge.Annotate(v.ctx(), "transfer_id", t.ID)
	edge.Annotate(v.ctx(), "merchant_id", t.MerchantID)
	events, err := v.Store.PaymentEvents(v.ctx(), t.ID)
	if err != nil {
		return err
	}
	s := transferPage{ID: t.ID, Kind: v.say("kind." + string(t.Kind)), Amount: t.Amount, State: v.transferBadge(t.State), StateCode: string(t.State),
		Merchant: v.merchantName(t.MerchantID), Zone: v.zone(), AsOf: v.fine(v.Now()), Facts: v.transferFacts(t), Bank: v.orderFacts(t), Recall: v.recallFacts(t.Recall),
		Journal: v.journal(events), Live: "/transfers/" + t.ID + "/live", Version: t.Version}
	switch {
	case t.Odd > 0:
		s.Notice = v.say("story.odd")
	case t.State == psd2.TransferUnknown:
		s.Notice = v.say("story.transfer_unknown")
	}
	if s.Entries, err = v.entries(t.ID); err != nil {
		return err
	}
	if s.Decision, err = v.decision(t.ID, []*psd2.OperatorDecision{t.Decision}); err != nil {
		return err
	}
	s.Deliveries, s.Unread = v.sent(t.ID)
	return v.console("transfers", page.Page{Name: "transfer", Title: v.say("transfers.one", "id", t.ID), Status: v.typed.Status,
		Self: &url.URL{Path: "/transfers/" + t.ID}, Data: s})
}

func (v *visit) transferFacts(t *psd2.Transfer) []fact {
	me := &t.Personal
	list := []fact{
		{Key: "fact.merchant", Text: v.merchantName(t.MerchantID), Code: t.MerchantID},
		{Key: "fact.reference", Text: withoutIBANs(me.Reference)},
		{Key: "fact.paid_from", Text: me.Payer.Name, Code: page.MaskedIBAN(me.Payer.IBAN)},
		{Key: "fact.paid_to", Text: page.MaskedName(me.Payee.Name), Code: page.MaskedIBAN(me.Payee.IBAN)},
		{Key: "fact.player", Text: page.MaskedName(me.Player.Name), Code: withoutIBANs(me.Player.Reference)},
	}
	if me.VoP != nil && t.SubmittedAt != nil {
		list = append(list, fact{Key: "fact.vop", Code: string(me.VoP.Match), At: v.maybe(&me.VoP.CheckedAt)})
	}
	if t.PaymentID != "" {
		list = append(list, fact{Key: "fact.deposit", Code: t.PaymentID, Href: "/payments/" + t.PaymentID})
	}
	for _, moment := range []struct {
		key string
		at  *time.Time
	}{{"fact.created", &t.CreatedAt}, {"fact.authorized", t.AuthorizedAt}, {"fact.executed", t.ExecutedAt}, {"fact.returned_money", t.ReturnedAt}, {"fact.failed", t.FailedAt}} {
		if moment.at != nil {
			list = append(list, fact{Key: moment.key, At: v.maybe(moment.at)})
		}
	}
	if t.ReturnReason != "" {
		list = append(list, fact{Key: "fact.return_reason", Code: t.ReturnReason, Kind: "look"})
	}
	if t.Failure != "" {
		list = append(list, fact{Key: "fact.failure", Text: v.reason(t.Failure), Code: join(string(t.Failure), t.BankCode), Kind: "failed"},
			fact{Key: "fact.retryable", Text: v.say("retryable." + strconv.FormatBool(t.Retryable))})
	}
	return append(list, fact{Key: "fact.version", Code: fmt.Sprintf("%d / %d", t.Version, t.Sequence)})
}

// orderFacts are what our own bank knows of it.
func (v *visit) orderFacts(t *psd2.Transfer) []fact {
	list := []fact{{Key: "fact.end_to_end_id", Code: t.EndToEndID}, {Key: "fact.message_id", Code: t.MessageID}, {Key: "fact.account", Code: t.AccountID}}
	for _, moment := range []struct {
		key string
		at  *time.Time
	}{{"fact.submitted", t.SubmittedAt}, {"fact.taken", t.TakenAt}, {"fact.unknown", t.UnknownAt}, {"fact.asked", t.AskedAt}} {
		if moment.at != nil {
			list = append(list, fact{Key: moment.key, At: v.maybe(moment.at)})
		}
	}
	if t.SubmittedAt != nil && t.Dedup > 0 {
		until := t.SubmittedAt.Add(t.Dedup)
		list = append(list, fact{Key: "fact.dedup", At: v.maybe(&until)})
	}
	if t.BankStatus != "" {
		list = append(list, fact{Key: "fact.bank_status", Text: v.say("standing." + strconv.Itoa(int(psd2.StandingOf(t.BankStatus)))), Code: t.BankStatus})
	}
	if t.Odd > 0 {
		list = append(list, fact{Key: "fact.odd", Text: strconv.Itoa(t.Odd), Kind: "look"})
	}
	return list
}

func (v *visit) recallFacts(r *psd2.TransferRecall) []fact {
	if r == nil {
		return nil
	}
	list := []fact{{Key: "recall.reason", Text: v.say("recall.why." + string(r.Reason)), Code: r.Reason.Code()}, {Key: "recall.state", Text: v.say("recall.state." + string(r.State)), Code: r.BankCode},
		{Key: "recall.requested", At: v.maybe(&r.RequestedAt)}}
	if r.SentAt != nil {
		list = append(list, fact{Key: "recall.sent", At: v.maybe(r.SentAt)})
	}
	if r.AnsweredAt != nil {
		list = append(list, fact{Key: "recall.answered", At: v.maybe(r.AnsweredAt)})
	}
	return list
}

var classKinds = map[psd2.EntryClass]string{psd2.EntryMatched: "done", psd2.EntryLate: "look", psd2.EntryDuplicate: "failed", psd2.EntryWrongAmount: "failed", psd2.EntryForeign: "look"}

// entries are what statements show of a payment or transfer.
func (v *visit) entries(objectID string) ([]entryRow, error) {
	list, err := v.Store.EntriesOf(v.ctx(), objectID)
	rows := make([]entryRow, 0, len(list))
	for _, e := range list {
		rows = append(rows, entryRow{At: v.at(e.BookedAt), Kind: v.say("entry." + string(e.Kind)), Amount: e.Amount, Out: !e.Incoming,
			Class: badge{classKinds[e.Class], v.say("class." + string(e.Class))}, BankID: e.BankID, Reason: e.Reason})
	}
	return rows, err
}

// moneyBack lists a deposit's refunds.
func (v *visit) moneyBack(p *psd2.Payment) ([]transferRow, error) {
	list, _, err := v.Store.Transfers(v.ctx(), store.TransferFilter{MerchantID: p.MerchantID, Kind: psd2.KindRefund, PaymentID: p.ID, Limit: 100})
	return v.transferRows(list), err
}
