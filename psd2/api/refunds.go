package api

import (
	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
)

// refundRequest is the body of POST /v1/payments/{id}/refunds. It does not say
// where the money goes: back to where it came from.
type refundRequest struct {
	Amount struct {
		AmountMinor int64  `json:"amount_minor"`
		Currency    string `json:"currency"`
	} `json:"amount"`
	Reference string            `json:"reference"`
	Metadata  map[string]string `json:"metadata"`
}

func (a *room) createRefund(c echo.Context, o *order) error {
	id, err := paymentID(c)
	if err != nil {
		return err
	}
	var wish refundRequest
	invalid := edge.DecodeStrict(o.body, &wish)
	return a.createTransfer(c, o, "/v1/refunds/", psd2.PrefixRefund, func(tx *store.Tx) (*psd2.Transfer, error) {
		if invalid != nil {
			return nil, invalid
		}
		return a.Hub.RefundIn(tx, o.merchant, id, hub.RefundRequest{
			Amount:    psd2.Money{AmountMinor: wish.Amount.AmountMinor, Currency: wish.Amount.Currency},
			Reference: wish.Reference, Metadata: wish.Metadata,
		})
	})
}

func (a *room) listRefunds(c echo.Context, who *call) error {
	q, err := query(c.Request(), "status", "limit", "cursor")
	if err != nil {
		return err
	}
	f, err := transferFilter(q, psd2.KindRefund, psd2.PrefixRefund)
	if err != nil {
		return err
	}
	id, err := paymentID(c)
	if err != nil {
		return err
	}
	p, err := a.Store.MerchantPayment(c.Request().Context(), who.merchant.ID, id)
	if err != nil {
		return err
	}
	f.MerchantID, f.PaymentID = who.merchant.ID, p.ID
	return a.writeTransfers(c, f)
}
