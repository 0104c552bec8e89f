package consent

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/sca"
)

// consentPage is the page on which the payer says yes.
type consentPage struct {
	sums
	Bank    option
	Domains []string // that the payer will see in the address bar
	Next    string   // where he authorises, when the bank has one approach and it leads to no other page: "app" or "here"
	Action  string
	Ticket  string
	Again   string // why it is shown again, or ""
	Others  string
	// Confirmed says that he has confirmed at the hub; what is left is his bank.
	Confirmed bool
	// Changed is when something last happened to his ways to confirm; nil when
	// nothing has lately. He is told wherever he pays (security row A15).
	Changed *time.Time
	familiar

	AskID      bool // the bank wants to know who pays before it takes the order
	AskAccount bool // and from which account
	wants
	Payee        *payeeCheck // what the payee's bank said of his name; nil when it was not asked
	WrongID      string      // what is wrong with the entry, or ""
	WrongAccount string
}

// payeeCheck is a verification of payee in words (Reg. 260/2012 Art. 5c(1)).
type payeeCheck struct {
	Kind string // of the notice
	Text string
	At   time.Time
}

// payeeChecked is the evidence about the account the money goes to. It warns,
// and never stops a payment.
func (v *visit) payeeChecked() *payeeCheck {
	account, ok := v.merchant.Account(v.payment.PayeeAccountID)
	if !ok || account.IBAN != v.payment.Personal.Payee.IBAN {
		return nil
	}
	e, ok, err := v.Hub.AccountEvidence(v.ctx(), v.merchant.ID, account)
	if err != nil {
		edge.Annotate(v.ctx(), "error", err.Error())
	}
	if err != nil || !ok {
		return nil
	}
	c := &payeeCheck{Kind: "look", At: e.CheckedAt, Text: v.say("vop."+strings.ToLower(string(e.Match)), "name", e.MatchedName)}
	if e.Match == psd2.MatchExact {
		c.Kind = "done"
	}
	return c
}

// wants are a payer's entries for a bank that wants them with the order.
type wants struct{ PSUID, Account string }

// confirm is GET /pay/{id}/confirm?bank=.
func (v *visit) confirm() error {
	if err := v.mine(); err != nil {
		return err
	}
	return v.consent(v.QueryParam("bank"), "", http.StatusOK, wants{}, "")
}

// consent shows the consent for a bank, or what is in its way. entered is what
// the payer has entered, wrong the name of the field to look at again.
func (v *visit) consent(bankID, again string, status int, entered wants, wrong string) error {
	if v.payment.State != psd2.StateAuthorizationRequired || over(v.payment, v.Now()) {
		return v.away(v.to(""))
	}
	bank, listed := v.option(bankID)
	info, _, usable := v.Hub.Bank(bankID)
	switch {
	case !listed:
		return v.away(v.to("/banks"))
	case bank.Note != "" || !usable:
		return v.away(v.to("/banks?off=" + url.QueryEscape(bankID)))
	}
	asked, err := v.asked()
	if err != nil {
		return err
	}
	if asked.State == sca.Reported {
		return v.away(v.to(""))
	}
	ticket, err := newTicket(v.Random, v.secret, v.payment, bankID)
	if err != nil {
		return err
	}
	known, err := v.familiar()
	if err != nil {
		return err
	}
	changed, err := v.changed()
	if err != nil {
		return err
	}
	c := consentPage{sums: v.sums(), Bank: bank, Domains: hosts(info.RedirectOrigins), Action: v.to("/confirm"), Ticket: ticket,
		Payee: v.payeeChecked(), Again: again, Others: v.to("/banks?other=1"), Confirmed: asked.Stands, Changed: changed, familiar: known, AskID: info.First == psd2.PromptIdentify, AskAccount: info.DebtorMandatory, wants: entered}
	if len(info.Approaches) == 1 {
		c.Next = map[banks.Approach]string{banks.Decoupled: "app", banks.Embedded: "here"}[info.Approaches[0]]
	}
	switch wrong {
	case "psu_id":
		c.WrongID = v.say("confirm.wrong_id", "bank", bank.Name)
	case "iban":
		c.WrongAccount = v.say("confirm.wrong_account")
	}
	title, scripts := v.say("confirm.title", "name", v.merchant.Name), []string{"limit.js"}
	if c.Confirmed {
		title = v.say("confirm.done")
	}
	if c.Known != "" {
		scripts = append(scripts, "known.js")
	}
	self := &url.URL{Path: v.to("/confirm"), RawQuery: url.Values{"bank": {bankID}}.Encode()}
	return v.show(page.Page{
		Name: "confirm", Status: status, Self: self, About: v.to("/about"), FormAction: info.RedirectOrigins,
		Title: title, Scripts: scripts, Data: c,
	})
}

// hosts are the parts of origins that an address bar shows.
func hosts(origins []string) []string {
	var list []string
	for _, o := range origins {
		if u, err := url.Parse(o); err == nil && !slices.Contains(list, u.Host) {
			list = append(list, u.Host)
		}
	}
	return list
}

// authorise is POST /pay/{id}/confirm: the consent.
func (v *visit) authorise() error {
	if err := v.mine(); err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	bankID := form.Get("bank")
	nonce, ok := openTicket(form.Get("consent"), v.secret, v.payment, bankID)
	switch {
	case form.Get("consent") == "":
		return psd2.Fail(psd2.CodeForbidden, "consent_missing", "the form carries no consent")
	case !ok:
		return v.consent(bankID, v.say("confirm.again"), http.StatusConflict, wants{}, "")
	}
	psu, entered := v.psu(), wants{PSUID: strings.TrimSpace(form.Get("psu_id")), Account: form.Get("iban")}
	psu.ID = entered.PSUID
	if entered.Account != "" {
		typed := strings.ToUpper(strings.Join(strings.Fields(entered.Account), "")) // as people write it
		if psu.Account, err = psd2.ParseIBAN(typed); err != nil {
			return v.consent(bankID, "", http.StatusBadRequest, entered, "iban")
		}
	}
	switch asked, err := v.asked(); {
	case err != nil:
		return err
	case asked.State == sca.Reported:
		return v.away(v.to(""))
	}
	p, redirect, err := v.Hub.Authorise(v.ctx(), v.payment.ID, bankID, nonce, psu, v.browser(form))
	if err != nil {
		return v.notAuthorised(bankID, err, entered)
	}
	v.payment = p
	setCookie(v.Response(), bankCookie, bankID, bankLife)
	return v.toBank(redirect)
}

// toBank sends the payer on: to his bank, or to the page that says what comes
// next.
func (v *visit) toBank(redirect string) error {
	a := v.payment.Last()
	if strings.HasPrefix(redirect, "/sca/") { // a page of ours: he confirms there first
		return v.away(redirect)
	}
	if redirect == "" || a == nil {
		return v.away(v.to(""))
	}
	info, _, _ := v.Hub.Bank(a.BankID)
	if !allowed(redirect, info.RedirectOrigins) {
		edge.Annotate(v.ctx(), "problem", "redirect_refused")
		return v.away(v.to("")) // the order stays watched; nobody is sent to a place we do not know
	}
	return v.away(redirect)
}

// notAuthorised answers a consent that the hub did not take: used already, or
// the payment has gone on or ended meanwhile. Its sender sees where it stands;
// when it is open again, he is asked again.
func (v *visit) notAuthorised(bankID string, err error, entered wants) error {
	p, loadErr := v.Hub.Payment(v.ctx(), v.payment.ID)
	if loadErr != nil {
		return loadErr
	}
	v.payment = p
	if left, ok := leavesLess(err); ok {
		return v.less(bankID, left)
	}
	switch psd2.CodeOf(err) {
	case psd2.CodeConflict:
		if p.State == psd2.StateAuthorizationRequired && !over(p, v.Now()) {
			return v.consent(bankID, v.say("confirm.again"), http.StatusConflict, entered, "")
		}
		return v.state(http.StatusConflict, "")
	case psd2.CodeUnavailable:
		return v.away(v.to("/banks?off=" + url.QueryEscape(bankID)))
	case psd2.CodeInvalid:
		var e *psd2.Error
		if errors.As(err, &e) && (e.Field == "psu_id" || e.Field == "iban") {
			return v.consent(bankID, "", http.StatusBadRequest, entered, e.Field)
		}
		return v.away(v.to("/banks"))
	}
	return err
}

// allowed reports whether a redirect leads to one of the bank's own origins.
// The adapter has checked it; so does the page that would be blamed.
func allowed(redirect string, origins []string) bool {
	u, err := url.Parse(redirect)
	return err == nil && u.User == nil && slices.ContainsFunc(origins, func(o string) bool {
		return strings.EqualFold(u.Scheme+"://"+u.Host, o)
	})
}

// cancel is POST /pay/{id}/cancel.
func (v *visit) cancel() error {
	if err := v.mine(); err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	if !checkToken(form.Get("token"), v.secret, forCancelling, v.payment.ID) {
		return psd2.Fail(psd2.CodeForbidden, "form_token_invalid", "the form was not made for this browser")
	}
	if _, err := v.Hub.CancelByPayer(v.ctx(), v.payment.ID); err != nil {
		if psd2.CodeOf(err) != psd2.CodeConflict {
			return err
		}
		if v.payment, err = v.Hub.Payment(v.ctx(), v.payment.ID); err != nil {
			return err
		}
		return v.state(http.StatusConflict, v.say("status.not_cancelable"))
	}
	return v.away(v.to(""))
}

// returned is GET /return/{attempt}: the bank sent the payer back, and neither
// the path nor any parameter says what became of the payment. The hub asks the
// bank. Without the payment's cookie nothing is executed.
func (v *visit) returned() error {
	attempt := v.Param("attempt")
	if !psd2.IsID(psd2.PrefixAttempt, attempt) {
		return psd2.NotFound("payment")
	}
	for i, id := range boundIDs(v.Request()) {
		if i == maxBound {
			break
		}
		p, err := v.Hub.Payment(v.ctx(), id)
		if err != nil || p.Attempt(attempt) == nil || !v.Hub.IsBoundTo(p, cookie(v.Request(), bindCookie(id))) {
			continue
		}
		if err := v.perLink.Check(id); err != nil {
			return err
		}
		edge.Annotate(v.ctx(), "payment_id", id)
		v.payment = p
		next, redirect, err := v.Hub.Returned(v.ctx(), attempt, v.QueryParams())
		if err != nil {
			edge.Annotate(v.ctx(), "error", err.Error()) // the status page asks again
			return v.away(v.to(""))
		}
		v.payment = next
		return v.toBank(redirect)
	}
	return errElsewhere
}

// maxBound is how many payments of one browser a return is looked for in.
const maxBound = 20
