package consent

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/sca"
)

// Situations a payment can be in, as the payer sees them. Each has a title
// that says in the first sentence whether money has moved, and texts under
// status.SITUATION.
const (
	sitAsking     = "asking"     // we are asking the bank to take the order
	sitLogin      = "login"      // he has to log in at his bank before it takes an order
	sitAtBank     = "at_bank"    // he should be at his bank
	sitApp        = "app"        // he should confirm in his bank's app
	sitPrompt     = "prompt"     // his bank asks something through us
	sitWaiting    = "waiting"    // he is back, the bank has not said
	sitOnItsWay   = "on_its_way" // the bank accepted the order
	sitPaid       = "paid"       // his account is debited
	sitArrived    = "arrived"    // the payee has it
	sitTryAgain   = "try_again"  // an attempt failed, another may follow
	sitExpired    = "expired"    // time over, nothing paid
	sitCanceled   = "canceled"   // given up, nothing paid
	sitFailed     = "failed"     // ended without money moving
	sitUnknown    = "unknown"    // nobody can say yet
	sitCancelling = "cancelling" // given up, but the bank may still pay
)

// situation is what the page shows of a payment.
func situation(p *psd2.Payment, now time.Time) string {
	a := p.Open()
	switch p.State {
	case psd2.StateSettled:
		return sitArrived
	case psd2.StateExecuted:
		return sitPaid
	case psd2.StateAuthorized:
		return sitOnItsWay
	case psd2.StateOutcomeUnknown:
		if p.CancelledBy != "" {
			return sitCancelling
		}
		return sitUnknown
	case psd2.StateFailed:
		switch p.Failure {
		case psd2.ReasonExpired:
			return sitExpired
		case psd2.ReasonPayerCanceled, psd2.ReasonMerchantCanceled:
			return sitCanceled
		}
		return sitFailed
	case psd2.StateAuthorizationRequired:
		if over(p, now) {
			return sitExpired
		}
		return sitTryAgain
	}
	switch {
	case p.CancelledBy != "":
		return sitCancelling
	case a == nil || a.State == psd2.AttemptSubmitting:
		return sitAsking
	case a.State == psd2.AttemptPreparing:
		return sitLogin
	case asked(p) != nil:
		return sitPrompt
	case a.ReturnedAt == nil && a.Prompt == psd2.PromptApp:
		return sitApp
	case a.ReturnedAt == nil:
		return sitAtBank
	}
	return sitWaiting
}

// looks are the sign beside the first sentence, how long a page without
// JavaScript waits before it loads again (0: nothing more is expected), and
// the step it belongs to.
var looks = map[string]struct {
	kind    string
	refresh time.Duration
	step    int
}{
	sitAsking:     {"", 2 * time.Second, 1},
	sitLogin:      {"", 5 * time.Second, 2},
	sitAtBank:     {"", 5 * time.Second, 2},
	sitApp:        {"", 5 * time.Second, 2},
	sitPrompt:     {"", 0, 2},
	sitWaiting:    {"", 3 * time.Second, 2},
	sitOnItsWay:   {"", 3 * time.Second, 2},
	sitPaid:       {"done", 0, 3},
	sitArrived:    {"done", 0, 3},
	sitTryAgain:   {"failed", 0, 1},
	sitExpired:    {"failed", 0, 3},
	sitCanceled:   {"failed", 0, 3},
	sitFailed:     {"failed", 0, 3},
	sitUnknown:    {"look", 20 * time.Second, 3},
	sitCancelling: {"look", 10 * time.Second, 3},
}

// statusPage is the one page for every state.
type statusPage struct {
	sums
	Situation string
	Kind      string
	Step      int
	Lead      string // the first sentence: has money moved?
	More      string // what happens now, or what went wrong and what to do
	Notice    string // news of this very request, or ""
	BankName  string
	Live      string // path of the event stream; "" when nothing more is expected
	State     string // what the page shows, for comparing with the stream
	Until     *time.Time
	At        *time.Time // when it happened
	ToBank    string     // link back to the bank
	Says      string     // the bank's own words to the payer
	Undo      string     // link to the bank, where he confirms that he wants to cancel
	Retry     string     // link to the same bank again
	Others    string     // link to the choice of banks
	CanCancel bool
	Back      string // link to the merchant
	ToConfirm string // link to an open confirmation
	offer
}

// status is GET /pay/{id}.
func (v *visit) status() error {
	if err := v.mine(); err != nil {
		return err
	}
	if v.payment.State == psd2.StateFailed && v.payment.Failure == psd2.ReasonAuthenticationFailed { // perhaps because he said so
		switch asked, err := v.asked(); {
		case err != nil:
			return err
		case asked.State == sca.Reported:
			return v.confirmation(asked)
		}
	}
	if v.payment.State == psd2.StateAuthorizationRequired && !over(v.payment, v.Now()) {
		switch asked, err := v.news(); {
		case err != nil:
			return err
		case asked != nil:
			return v.confirmation(*asked)
		case v.payment.Last() == nil:
			return v.away(v.to("/banks"))
		}
	}
	// The payer looks, so the bank is asked: whoever closed his tab at the bank
	// must not have to wait for a callback.
	if a := v.payment.Open(); a != nil && a.State != psd2.AttemptSubmitting || over(v.payment, v.Now()) && !v.payment.State.Final() {
		p, err := v.Hub.Refresh(v.ctx(), v.payment.ID)
		if err != nil {
			edge.Annotate(v.ctx(), "error", err.Error()) // what we know is still true
		} else {
			v.payment = p
		}
	}
	return v.state(http.StatusOK, "")
}

// state shows where the payment stands.
func (v *visit) state(status int, notice string) error {
	p, now := v.payment, v.Now()
	sit := situation(p, now)
	if sit == sitPrompt {
		return v.prompt(status, notice)
	}
	look := looks[sit]
	s := statusPage{sums: v.sums(), Situation: sit, Kind: look.kind, Step: look.step, Notice: notice, State: fingerprint(p, now)}
	if a := p.Last(); a != nil {
		if o, ok := v.option(a.BankID); ok {
			s.BankName = o.Name
		}
	}
	s.Lead, s.More = v.sentences(sit)
	v.links(&s, now)
	if look.refresh > 0 {
		s.Live = v.to("/live")
	}
	if look.kind == "done" {
		s.offer = v.afterPaying()
	}
	return v.show(page.Page{Name: "status", Status: status, Title: s.Lead, Self: &url.URL{Path: v.to("")},
		About: v.to("/about"), Scripts: []string{"live.js", "limit.js"}, Refresh: look.refresh, Data: s})
}

// sentences are the first two of the page.
func (v *visit) sentences(sit string) (lead, more string) {
	bank := v.say("status.your_bank")
	if a := v.payment.Last(); a != nil {
		if o, ok := v.option(a.BankID); ok {
			bank = o.Name
		}
	}
	pairs := []any{"amount", page.Money(v.lang, v.payment.Amount), "bank", bank,
		"payee", v.payment.Personal.Payee.Name, "merchant", v.merchant.Name}
	lead = v.say("status."+sit+".lead", pairs...)
	switch sit {
	case sitTryAgain:
		more = v.say("reason."+reasonKey(v.payment.Last()), pairs...)
	case sitFailed:
		reason := string(v.payment.Failure)
		if v.payment.Failure == psd2.ReasonLimitExceeded && v.payment.Last() == nil {
			reason = "month_limit" // no bank was asked: it is the player's own
		}
		more = v.say("reason."+reason, pairs...)
	case sitCanceled:
		more = v.say("status.canceled.by_"+string(v.payment.Failure), pairs...)
	default:
		more = v.say("status."+sit+".more", pairs...)
	}
	return lead, more
}

// reasonKey names the sentence about a failed attempt.
func reasonKey(a *psd2.Attempt) string {
	if a == nil || a.Failure == "" {
		return string(psd2.ReasonBankUnavailable)
	}
	return string(a.Failure)
}

// links are the ways on from each situation.
func (v *visit) links(s *statusPage, now time.Time) {
	p, a := v.payment, v.payment.Last()
	switch s.Situation {
	case sitTryAgain:
		s.CanCancel, s.Others, s.Until = true, v.to("/banks?other=1"), &p.ExpiresAt
		if o, ok := v.option(a.BankID); ok && o.Note == "" && worthRetrying(a.Failure) {
			s.Retry = v.to("/confirm?bank=" + url.QueryEscape(a.BankID))
		}
	case sitAsking:
		s.CanCancel = true
	case sitAtBank, sitLogin, sitApp:
		s.CanCancel, s.Until = true, &p.ExpiresAt
		prompt := p.Personal.Attempts[a.ID].Prompt
		s.Says = prompt.Message
		if allowed(prompt.RedirectURL, v.origins(a.BankID)) {
			s.ToBank = prompt.RedirectURL
		}
	case sitCancelling:
		if to := p.Personal.Attempts[a.ID].Cancel.RedirectURL; allowed(to, v.origins(a.BankID)) {
			s.Undo = to
		}
		s.Back = v.back()
	case sitWaiting:
		s.CanCancel, s.Until = true, &p.ExpiresAt
	case sitPaid:
		s.At, s.Back = p.ExecutedAt, v.back()
	case sitArrived:
		s.At, s.Back = p.SettledAt, v.back()
	default:
		s.At, s.Back = p.FailedAt, v.back()
	}
}

// worthRetrying reports whether the same bank may well say yes the next time.
func worthRetrying(why psd2.FailureReason) bool {
	switch why {
	case psd2.ReasonAccountBlocked, psd2.ReasonInvalidAccount, psd2.ReasonPaymentNotPossible, psd2.ReasonOwnAccountRequired:
		return false
	}
	return true
}

// back is the merchant's return URI with payment_id and state, and nothing
// else: what became of the payment he is told by webhook and API.
func (v *visit) back() string {
	u, err := url.Parse(v.payment.ReturnURI)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "" // registered URIs are neither; a link to nowhere is worse than none
	}
	add := "payment_id=" + url.QueryEscape(v.payment.ID)
	if s := v.payment.Personal.State; s != "" {
		add += "&state=" + url.QueryEscape(s)
	}
	if u.RawQuery != "" {
		add = u.RawQuery + "&" + add
	}
	u.RawQuery = add
	return u.String()
}

// fingerprint changes when the page would look different.
func fingerprint(p *psd2.Payment, now time.Time) string {
	parts := []string{situation(p, now)}
	if a := p.Last(); a != nil {
		parts = append(parts, a.ID, string(a.State), string(a.Prompt))
	}
	return strings.Join(parts, ".")
}
