package api

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
)

// contentTypeJOSE is a compact JWS (RFC 7515 §9.2.1).
const contentTypeJOSE = "application/jose"

// Receipts are the proofs of what authorised payments: what payers have confirmed
// at the hub, or what their banks said.
type Receipts interface {
	// Receipt is a payment's, a compact JWS; a *psd2.Error with CodeNotFound when
	// there is none.
	Receipt(ctx context.Context, paymentID string) (string, error)
	// ReceiptKeys is the JWKS of every key that ever signed one.
	ReceiptKeys(ctx context.Context) ([]byte, error)
}

// errNoReceipt is for payments that are not authorised yet.
var errNoReceipt = psd2.NotFound("receipt")

// receipt is GET /v1/payments/{id}/receipt.
func (a *room) receipt(c echo.Context, who *call) error {
	p, err := a.ownPayment(c, who)
	if err != nil {
		return err
	}
	if a.Receipts == nil {
		return errNoReceipt
	}
	jws, err := a.Receipts.Receipt(c.Request().Context(), p.ID)
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, contentTypeJOSE, []byte(jws))
}

// receiptKeys is GET /.well-known/receipt-jwks.json. Keys stay in it after they
// were rotated out: a receipt verifies as long as somebody keeps it.
func (a *room) receiptKeys(c echo.Context) error {
	jwks := []byte(`{"keys":[]}`)
	if a.Receipts != nil {
		var err error
		if jwks, err = a.Receipts.ReceiptKeys(c.Request().Context()); err != nil {
			return err
		}
	}
	c.Response().Header().Set("Cache-Control", "public, max-age=300")
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, jwks)
}
