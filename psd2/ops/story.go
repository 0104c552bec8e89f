package ops

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
)

type storyPage struct {
	ID         string
	Amount     psd2.Money
	State      badge
	StateCode  string
	Merchant   string
	Notice     string // what the state asks of the operator
	Zone       string
	AsOf       instant
	Facts      []fact
	Attempts   []attemptView
	Saw        []entry
	Journal    []entry
	Decision   *decisionView
	MoneyBack  []transferRow // refunds
	Entries    []entryRow    // of statements
	Deliveries []deliveryView
	Unread     bool // deliveries could not be read
	Live       string
	Version    int64
}

type attemptView struct {
	N     int
	ID    string
	Bank  string
	State badge
	Facts []fact
}

type deliveryView struct {
	ID, EventID, Type, Endpoint, Host string
	State                             badge
	Attempts                          int64
	Created                           instant
	Next                              *instant
	Tries                             []tryView
}

type tryView struct {
	At     instant
	Took   string
	Result string
	Failed bool
}

// payment is GET /payments/{id}.
func (v *visit) payment() error {
	p, err := v.Hub.Payment(v.ctx(), v.Param("id"))
	if err != nil {
		return err
	}
	return v.story(p)
}

// story shows everything there is about a payment.
func (v *visit) story(p *psd2.Payment) error {
	v.found(p)
	events, err := v.Store.PaymentEvents(v.ctx(), p.ID)
	if err != nil {
		return err
	}
	s := storyPage{
		ID: p.ID, Amount: p.Amount, State: v.stateBadge(p.State), StateCode: string(p.State), Merchant: v.merchantName(p.MerchantID),
		Zone: v.zone(), AsOf: v.fine(v.Now()), Facts: v.facts(p), Attempts: v.attempts(p), Saw: v.saw(p), Journal: v.journal(events),
		Live: "/payments/" + p.ID + "/live", Version: p.Version,
	}
	switch {
	case odd(p):
		s.Notice = v.say("story.odd")
	case p.State == psd2.StateOutcomeUnknown:
		s.Notice = v.say("story.unknown")
	case p.PayerCheck == psd2.PayerMismatched:
		s.Notice = v.say("story.mismatched")
	}
	var words []*psd2.OperatorDecision
	for i := range p.Attempts {
		words = append(words, p.Attempts[i].Decision)
	}
	if s.Decision, err = v.decision(p.ID, words); err != nil {
		return err
	}
	if s.MoneyBack, err = v.moneyBack(p); err != nil {
		return err
	}
	if s.Entries, err = v.entries(p.ID); err != nil {
		return err
	}
	s.Deliveries, s.Unread = v.sent(p.ID)
	return v.console("payments", page.Page{Name: "story", Title: v.say("story.title", "id", p.ID), Status: v.typed.Status,
		Self: &url.URL{Path: "/payments/" + p.ID}, Data: s})
}

// sent are the webhooks about an object; unread says that they could not be
// read, and then the rest of the story is still true.
func (v *visit) sent(objectID string) (list []deliveryView, unread bool) {
	if v.Webhooks == nil {
		return nil, false
	}
	found, err := v.Webhooks.Deliveries(v.ctx(), objectID)
	if err != nil {
		edge.Annotate(v.ctx(), "error", err.Error())
	}
	return v.deliveries(found), err != nil
}

func odd(p *psd2.Payment) bool {
	for _, a := range p.Attempts {
		if a.Odd > 0 {
			return true
		}
	}
	return false
}

// facts are the payment's own.
func (v *visit) facts(p *psd2.Payment) []fact {
	me := &p.Personal
	list := []fact{
		{Key: "fact.merchant", Text: v.merchantName(p.MerchantID), Code: p.MerchantID},
		{Key: "fact.reference", Text: withoutIBANs(me.Reference)},
		{Key: "fact.payee", Text: me.Payee.Name, Code: page.MaskedIBAN(me.Payee.IBAN)},
		{Key: "fact.player", Text: page.MaskedName(me.Player.Name), Code: withoutIBANs(me.Player.Reference)},
		{Key: "fact.source", Text: page.MaskedName(me.Source.Name), Code: page.MaskedIBAN(me.Source.IBAN)},
		{Key: "fact.payer_check", Text: v.say("check." + string(p.PayerCheck)), Kind: checkKinds[p.PayerCheck]},
		{Key: "fact.payer_policy", Text: v.policy(p.PayerPolicy)},
	}
	for _, moment := range []struct {
		key string
		at  *time.Time
	}{
		{"fact.created", &p.CreatedAt}, {"fact.expires", &p.ExpiresAt}, {"fact.authorized", p.AuthorizedAt}, {"fact.executed", p.ExecutedAt},
		{"fact.creditable", p.CreditableAt}, {"fact.settled", p.SettledAt}, {"fact.failed", p.FailedAt},
	} {
		if moment.at != nil {
			list = append(list, fact{Key: moment.key, At: v.maybe(moment.at)})
		}
	}
	if p.RecallRequestedAt != nil {
		list = append(list, fact{Key: "fact.recalled", Code: p.RecallCode, At: v.maybe(p.RecallRequestedAt), Kind: "look"})
	}
	if p.ReturnedAt != nil {
		list = append(list, fact{Key: "fact.sent_back", Code: p.ReturnCode, At: v.maybe(p.ReturnedAt), Kind: "look"})
	}
	if p.CancelledBy != "" {
		list = append(list, fact{Key: "fact.cancel_asked", Text: v.reason(p.CancelledBy), Code: string(p.CancelledBy)})
	}
	if p.Failure != "" {
		list = append(list, fact{Key: "fact.failure", Text: v.reason(p.Failure), Code: join(string(p.Failure), p.BankCode), Kind: "failed"},
			fact{Key: "fact.failure_stage", Text: v.say("state." + string(p.FailureStage)), Code: string(p.FailureStage)})
	}
	return append(list, fact{Key: "fact.version", Code: fmt.Sprintf("%d / %d", p.Version, p.Sequence)})
}

var checkKinds = map[psd2.PayerCheck]string{psd2.PayerMatched: "done", psd2.PayerMismatched: "failed"}

func (v *visit) policy(p psd2.Policy) string {
	switch p {
	case psd2.PayerOptional, psd2.PayerOff:
		return v.say("policy." + string(p))
	}
	return v.say("policy.required")
}

// attempts are newest first: the last one is what the operator is asked about.
func (v *visit) attempts(p *psd2.Payment) []attemptView {
	names := v.bankNames()
	views := make([]attemptView, 0, len(p.Attempts))
	for i := len(p.Attempts) - 1; i >= 0; i-- {
		a := &p.Attempts[i]
		views = append(views, attemptView{N: i + 1, ID: a.ID, Bank: nameOr(names, a.BankID), State: v.attemptBadge(a.State), Facts: v.attemptFacts(a)})
	}
	return views
}

func (v *visit) attemptFacts(a *psd2.Attempt) []fact {
	list := []fact{
		{Key: "fact.end_to_end_id", Code: a.EndToEndID},
		{Key: "fact.request_id", Code: a.RequestID},
		{Key: "fact.attempt_id", Code: a.ID},
	}
	if a.Approach != "" {
		list = append(list, fact{Key: "fact.approach", Code: a.Approach})
	}
	list = append(list, v.risk(a), fact{Key: "fact.started", At: v.maybe(&a.StartedAt)})
	if lapse, ok := a.LapsesAt(); ok {
		list = append(list, fact{Key: "fact.lapses", At: v.maybe(&lapse)})
	}
	asked := a.AskedAt
	if asked != nil && a.AnsweredAt != nil && asked.Equal(*a.AnsweredAt) {
		asked = nil // the answer says it
	}
	for _, moment := range []struct {
		key string
		at  *time.Time
	}{{"fact.returned", a.ReturnedAt}, {"fact.asked", asked}, {"fact.answered", a.AnsweredAt}, {"fact.ended", a.EndedAt}} {
		if moment.at != nil {
			list = append(list, fact{Key: moment.key, At: v.maybe(moment.at)})
		}
	}
	if a.BankStatus != "" {
		list = append(list, fact{Key: "fact.bank_status", Text: v.say("standing." + strconv.Itoa(int(psd2.StandingOf(a.BankStatus)))), Code: a.BankStatus})
	}
	if a.SCAStatus != "" {
		list = append(list, fact{Key: "fact.sca_status", Code: a.SCAStatus})
	}
	if a.Failure != "" || a.BankReason != "" {
		list = append(list, fact{Key: "fact.failure", Text: v.reason(a.Failure), Code: join(string(a.Failure), a.BankReason), Kind: "failed"})
	}
	if a.Odd > 0 {
		list = append(list, fact{Key: "fact.odd", Text: strconv.Itoa(a.Odd), Kind: "look"})
	}
	return list
}

// risk says whether money may move by the attempt.
func (v *visit) risk(a *psd2.Attempt) fact {
	switch {
	case a.AtRiskAt == nil:
		return fact{Key: "fact.risk", Text: v.say("risk.never")}
	case a.AtRisk():
		return fact{Key: "fact.risk", Text: v.say("risk.now"), At: v.maybe(a.AtRiskAt), Kind: "look"}
	}
	return fact{Key: "fact.risk", Text: v.say("risk.was"), At: v.maybe(a.AtRiskAt)}
}

var eventKinds = map[string]string{
	psd2.EventExecuted: "done", psd2.EventCreditable: "done", psd2.EventSettled: "done",
	psd2.EventAttemptFailed: "failed", psd2.EventFailed: "failed", psd2.EventOutcomeUnknown: "look",
}

// journal is the payment's events, oldest first. Of an event's data only codes
// are read; the rest is personal.
func (v *visit) journal(events []psd2.Event) []entry {
	list := make([]entry, 0, len(events))
	var before time.Time
	for _, e := range events {
		where := v.say("journal.waiting")
		if e.Position > 0 {
			where = v.say("journal.position", "n", e.Position)
		}
		list = append(list, entry{At: v.fine(e.CreatedAt), Since: v.since(before, e.CreatedAt), Kind: eventKinds[e.Type],
			Title: e.Type, Text: v.eventNote(e), Meta: v.say("journal.sequence", "n", e.Sequence) + " · " + where, Code: e.ID})
		before = e.CreatedAt
	}
	return list
}

// eventNote says why, where an event knows.
func (v *visit) eventNote(e psd2.Event) string {
	var data struct {
		Payment struct {
			Failure  psd2.FailureReason `json:"failure_reason"`
			BankCode string             `json:"bank_code"`
			Check    psd2.PayerCheck    `json:"payer_check"`
			Attempts []struct {
				Failure  psd2.FailureReason `json:"failure_reason"`
				BankCode string             `json:"bank_code"`
			} `json:"attempts"`
		} `json:"payment"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return "" // the event itself is still true
	}
	p := data.Payment
	switch e.Type {
	case psd2.EventFailed:
		return join(v.reason(p.Failure), p.BankCode)
	case psd2.EventAttemptFailed:
		if n := len(p.Attempts); n > 0 {
			return join(v.reason(p.Attempts[n-1].Failure), p.Attempts[n-1].BankCode)
		}
	case psd2.EventPayerChecked, psd2.EventPayerMismatched:
		if p.Check != "" {
			return v.say("check." + string(p.Check))
		}
	}
	return ""
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " · " + b
}

var deliveryKinds = map[string]string{"delivered": "done", "failed": "failed"}

func (v *visit) deliveries(list []Delivery) []deliveryView {
	views := make([]deliveryView, 0, len(list))
	for _, d := range list {
		view := deliveryView{ID: d.ID, EventID: d.EventID, Type: d.Type, Endpoint: d.EndpointID, Host: d.Host, Attempts: d.Attempts,
			State: badge{deliveryKinds[d.State], d.State}, Created: v.fine(d.CreatedAt), Next: v.maybe(d.NextAt)}
		if v.pages.Texts().Has("delivery." + d.State) {
			view.State.Text = v.say("delivery." + d.State)
		}
		for _, t := range d.Tries {
			view.Tries = append(view.Tries, tryView{At: v.fine(t.At), Took: v.took(t.Took), Result: result(t), Failed: t.Status < 200 || t.Status > 299})
		}
		views = append(views, view)
	}
	return views
}

func result(t Try) string {
	if t.Status == 0 {
		return t.Error
	}
	return join(strconv.Itoa(t.Status), t.Error)
}
