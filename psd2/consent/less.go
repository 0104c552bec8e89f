package consent

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/page"
)

// lessPage offers what the payer's monthly limit leaves, where the merchant
// allows it, instead of ending the payment (GlüStV 2021 §6c).
type lessPage struct {
	sums
	Left   psd2.Money
	Action string
	BankID string
	Minor  int64
	Accept string // the form's token, good for this amount only
}

// less shows the offer in answer to a consent. Nothing has been sent, and
// nothing is changed until he accepts: then he is asked for his consent to the
// smaller amount.
func (v *visit) less(bankID string, left psd2.Money) error {
	s := lessPage{sums: v.sums(), Left: left, Action: v.to("/less"), BankID: bankID, Minor: left.AmountMinor,
		Accept: formToken(v.secret, forLess(left.AmountMinor), v.payment.ID)}
	self := &url.URL{Path: v.to("/confirm"), RawQuery: url.Values{"bank": {bankID}}.Encode()}
	return v.show(page.Page{Name: "less", Status: http.StatusConflict, Self: self, About: v.to("/about"),
		Title: v.say("less.title"), Scripts: []string{"limit.js"}, Data: s})
}

// forLess is what the token of the offer's form is good for.
func forLess(minor int64) string { return "less/" + strconv.FormatInt(minor, 10) }

// payLess is POST /pay/{id}/less: the payer takes the smaller amount.
func (v *visit) payLess() error {
	if err := v.mine(); err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	minor, err := strconv.ParseInt(form.Get("amount_minor"), 10, 64)
	if err != nil || !checkToken(form.Get("token"), v.secret, forLess(minor), v.payment.ID) {
		return psd2.Fail(psd2.CodeForbidden, "form_token_invalid", "the form was not made for this browser")
	}
	_, err = v.Hub.PayLess(v.ctx(), v.payment.ID, psd2.Money{AmountMinor: minor, Currency: v.payment.Amount.Currency})
	if err != nil && psd2.CodeOf(err) != psd2.CodeConflict && psd2.CodeOf(err) != psd2.CodeInvalid {
		return err
	}
	return v.away(v.to("/confirm?bank=" + url.QueryEscape(form.Get("bank")))) // when it came too late, that page says so
}

// leavesLess is the offer in a refusal of the hub's, if there is one.
func leavesLess(err error) (psd2.Money, bool) {
	var less *hub.LessLeft
	if !errors.As(err, &less) {
		return psd2.Money{}, false
	}
	return less.Left, true
}
