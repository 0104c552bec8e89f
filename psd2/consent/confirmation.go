package consent

import (
	"net/http"
	"net/url"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/page"
	"github.com/rialto-hub/rialto/sca"
)

// asked is the confirmation this browser was asked for last; one without id
// when it never was.
func (v *visit) asked() (sca.Challenge, error) {
	if v.SCA == nil || v.secret == "" {
		return sca.Challenge{}, nil
	}
	c, err := v.SCA.Latest(v.ctx(), v.payment.ID, sca.SessionHash(v.secret))
	if err != nil && psd2.CodeOf(err) == psd2.CodeNotFound {
		return sca.Challenge{}, nil
	}
	return c, err
}

// changed is when something last happened to the payer's factors, if lately.
func (v *visit) changed() (*time.Time, error) {
	if v.SCA == nil {
		return nil, nil
	}
	list, err := v.SCA.Recent(v.ctx(), v.payment.PersonID)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0].At, nil
}

// news is the confirmation that is the last thing that happened to the payment,
// or that ended it for this browser; nil when something came after it.
func (v *visit) news() (*sca.Challenge, error) {
	c, err := v.asked()
	if err != nil || c.ID == "" {
		return nil, err
	}
	if a := v.payment.Last(); a != nil && !a.StartedAt.Before(c.CreatedAt) && c.State != sca.Reported {
		return nil, nil
	}
	return &c, nil
}

// confirmation is what a payer sees who comes back from a confirmation. Once it
// is approved one press leads to the bank he had chosen: the order still needs
// a consent of its own, spent by a POST.
func (v *visit) confirmation(c sca.Challenge) error {
	chosen := cookie(v.Request(), bankCookie)
	bank, listed := v.option(chosen)
	if c.State == sca.Approved {
		if !listed {
			return v.away(v.to("/banks"))
		}
		return v.consent(chosen, "", http.StatusOK, wants{}, "")
	}
	key := "confirmation." + string(c.State)
	if c.State == sca.Cancelled && c.Method == sca.Push {
		key = "confirmation.wrong_number"
	}
	s := statusPage{sums: v.sums(), Situation: "confirm_" + string(c.State), Kind: "look", Step: 1, CanCancel: true, Until: &v.payment.ExpiresAt,
		Lead: v.say(key + ".lead"), More: v.say(key+".more", "merchant", v.merchant.Name)}
	switch c.State {
	case sca.Open:
		s.Kind, s.ToConfirm = "", "/sca/pay/"+c.PaymentID+"/"+c.ID
	case sca.Reported:
		s.Kind, s.Until, s.Back, s.CanCancel = "failed", nil, v.back(), !v.payment.State.Final()
	default:
		if s.Others = v.to("/banks?other=1"); listed && bank.Note == "" {
			s.BankName, s.Retry = bank.Name, v.to("/confirm?bank="+url.QueryEscape(chosen))
		}
	}
	return v.show(page.Page{Name: "status", Title: s.Lead, Self: &url.URL{Path: v.to("")}, About: v.to("/about"), Scripts: []string{"limit.js"}, Data: s})
}

// offer is what a payer is offered after a payment, never before one and never
// in its way.
type offer struct {
	EnrolURL   string // of the form; "" offers nothing
	EnrolToken string
	Enrolled   bool // he has factors: he may change them
}

// mayEnrol reports whether a payer may go to his factors: he has some, and proves
// himself there before he changes any, or his bank has shown that the account is
// the player's (or his merchant waives that). Without either, whoever holds a
// stolen login could make the first factor, and lock its owner out.
func (v *visit) mayEnrol(has int) bool {
	switch v.payment.PayerCheck {
	case psd2.PayerMatched, psd2.PayerWaived:
		return true
	case psd2.PayerMismatched:
		return false
	}
	return has > 0
}

// afterPaying notes the browser as one from which he pays, and offers factors.
// Neither may keep the result from being shown. Who paid from somebody else's
// account is offered nothing: he is not known to be this player.
func (v *visit) afterPaying() (o offer) {
	p := v.payment
	if v.SCA == nil || v.secret == "" || p.PayerCheck == psd2.PayerMismatched {
		return o
	}
	if err := v.SCA.PaidFrom(v.ctx(), p.PersonID, p.ID, cookie(v.Request(), sca.KnownCookie)); err != nil {
		v.Log.WarnContext(v.ctx(), "consent", "what", "familiar browser", "error", err.Error())
	}
	factors, err := v.SCA.Factors(v.ctx(), p.PersonID)
	if err != nil {
		v.Log.WarnContext(v.ctx(), "consent", "what", "factors", "error", err.Error())
		return o
	}
	if !v.mayEnrol(len(factors)) {
		return o
	}
	return offer{EnrolURL: v.to("/enrol"), EnrolToken: formToken(v.secret, forEnrolling, p.ID), Enrolled: len(factors) > 0}
}

// enrol is POST /pay/{id}/enrol: a one-time link to the payer's own factors.
// Whoever has some already proves himself there before he changes any.
func (v *visit) enrol() error {
	if err := v.mine(); err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	p := v.payment
	if v.SCA == nil || !p.State.MoneyMoved() {
		return psd2.NotFound("page")
	}
	factors, err := v.SCA.Factors(v.ctx(), p.PersonID)
	switch {
	case err != nil:
		return err
	case !v.mayEnrol(len(factors)):
		return psd2.NotFound("page")
	case !checkToken(form.Get("token"), v.secret, forEnrolling, p.ID):
		return psd2.Fail(psd2.CodeForbidden, "form_token_invalid", "the form was not made for this browser")
	}
	token, err := v.SCA.EnrolPayer(v.ctx(), p.PersonID)
	if err != nil {
		return err
	}
	return v.away("/sca/enrol/" + token + "?payment=" + p.ID) // where he comes back to
}
