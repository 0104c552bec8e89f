package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
)

// verificationRequest is the body of POST /v1/payee-verifications: either one
// of the merchant's own accounts, or the payee of a payout he means to make.
type verificationRequest struct {
	PayeeAccountID string `json:"payee_account_id"`
	PayoutDraft    struct {
		Player struct {
			Reference string `json:"reference"`
			Name      string `json:"name"`
		} `json:"player"`
		Payee struct {
			Name string `json:"name"`
			IBAN string `json:"iban"`
		} `json:"payee"`
	} `json:"payout_draft"`
}

func (r *verificationRequest) question() hub.PayeeQuestion {
	d := &r.PayoutDraft
	return hub.PayeeQuestion{AccountID: r.PayeeAccountID, Player: psd2.Player{Reference: d.Player.Reference, Name: d.Player.Name},
		Payee: psd2.Party{Name: d.Payee.Name, IBAN: psd2.IBAN(d.Payee.IBAN)}}
}

type verificationView struct {
	ID          string     `json:"id"`
	Match       psd2.Match `json:"match"`
	MatchedName string     `json:"matched_name,omitempty"` // with CMTC alone
	CheckedAt   time.Time  `json:"checked_at"`
}

// verifyPayee asks the payee's bank. Like a cancellation the key is reserved
// before and the answer kept after, since no call to a bank is made inside a
// transaction; the limit is taken before the key, for questions that are
// repeated cost as much as new ones.
func (a *room) verifyPayee(c echo.Context, o *order) error {
	var wish verificationRequest
	if err := edge.DecodeStrict(o.body, &wish); err != nil {
		return err
	}
	if _, err := a.Hub.CheckQuestion(o.merchant, wish.question()); err != nil {
		return err
	}
	if err := a.perQuestion.Check(o.merchant.ID); err != nil {
		return err
	}
	ans, err := a.apart(c, o, func() (*answer, error) {
		v, err := a.Hub.VerifyPayee(c.Request().Context(), o.merchant, wish.question())
		if err != nil {
			return nil, err
		}
		return jsonAnswer(http.StatusOK, verificationView{v.ID, v.Match, v.MatchedName, v.CheckedAt})
	})
	if err != nil {
		return err
	}
	return ans.write(c)
}
