package api

import (
	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
)

// payoutRequest is the body of POST /v1/payouts: either payment_source_id or
// payee says where the money goes.
type payoutRequest struct {
	Amount struct {
		AmountMinor int64  `json:"amount_minor"`
		Currency    string `json:"currency"`
	} `json:"amount"`
	AccountID string `json:"account_id"`
	Reference string `json:"reference"`
	Player    struct {
		Reference                 string `json:"reference"`
		Name                      string `json:"name"`
		DateOfBirth               string `json:"date_of_birth"`
		Residence                 string `json:"residence"`
		KYCStatus                 string `json:"kyc_status"`
		RegisteredAt              string `json:"registered_at"`
		StakeMinorSinceLastPayout *int64 `json:"stake_minor_since_last_payout"`
	} `json:"player"`
	SourceID string `json:"payment_source_id"`
	Payee    struct {
		Name string `json:"name"`
		IBAN string `json:"iban"`
	} `json:"payee"`
	Metadata map[string]string `json:"metadata"`
}

func (r *payoutRequest) wish() hub.PayoutRequest {
	return hub.PayoutRequest{
		Amount:    psd2.Money{AmountMinor: r.Amount.AmountMinor, Currency: r.Amount.Currency},
		AccountID: r.AccountID, Reference: r.Reference,
		Player: psd2.Player{
			Reference: r.Player.Reference, Name: r.Player.Name, DateOfBirth: r.Player.DateOfBirth,
			Residence: r.Player.Residence, KYCStatus: r.Player.KYCStatus, RegisteredAt: r.Player.RegisteredAt,
			StakeMinorSinceLastPayout: r.Player.StakeMinorSinceLastPayout,
		},
		SourceID: r.SourceID, Payee: psd2.Party{Name: r.Payee.Name, IBAN: psd2.IBAN(r.Payee.IBAN)}, Metadata: r.Metadata,
	}
}

func (a *room) createPayout(c echo.Context, o *order) error {
	var wish payoutRequest
	invalid := edge.DecodeStrict(o.body, &wish)
	return a.createTransfer(c, o, "/v1/payouts/", psd2.PrefixPayout, func(tx *store.Tx) (*psd2.Transfer, error) {
		if invalid != nil {
			return nil, invalid
		}
		return a.Hub.PayoutIn(tx, o.merchant, wish.wish())
	})
}

func (a *room) listPayouts(c echo.Context, who *call) error {
	q, err := query(c.Request(), "status", "player_reference", "reference", "end_to_end_id", "limit", "cursor")
	if err != nil {
		return err
	}
	f, err := transferFilter(q, psd2.KindPayout, psd2.PrefixPayout)
	if err != nil {
		return err
	}
	f.MerchantID = who.merchant.ID
	return a.writeTransfers(c, f)
}
