package apiclient

import (
	"context"
	"net/http"
	"net/url"

	"github.com/rialto-hub/rialto/psd2"
)

// Refund is the body of POST /v1/payments/{id}/refunds.
type Refund struct {
	Amount    psd2.Money        `json:"amount"`
	Reference string            `json:"reference"` // 1 to 35 EPC characters
	Metadata  map[string]string `json:"metadata,omitempty"`
}

// Payout is the body of POST /v1/payouts; give SourceID or Payee.
type Payout struct {
	Amount    psd2.Money        `json:"amount"`
	AccountID string            `json:"account_id"` // yours, that pays
	Reference string            `json:"reference"`
	Player    psd2.Player       `json:"player"`
	SourceID  string            `json:"payment_source_id,omitempty"` // of a deposit of this player
	Payee     *Payee            `json:"payee,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
}

// Payee is an account of the player's own.
type Payee struct {
	Name string    `json:"name"`
	IBAN psd2.IBAN `json:"iban"`
}

// Transfer is a refund or a payout. Make a new one only when it has failed and
// Retryable is true.
type Transfer = psd2.TransferView

// TransferList is a page of refunds or payouts, newest first.
type TransferList struct {
	Data       []Transfer `json:"data"`
	NextCursor string     `json:"next_cursor"` // "" on the last page
}

// Refund sends (a part of) a deposit back. Repeat it with the same key after an
// error that is not a *Problem, and after the problem source_unknown.
func (c *Client) Refund(ctx context.Context, paymentID string, r Refund, idempotencyKey string) (*Transfer, error) {
	return send[Transfer](ctx, c, "/v1/payments/"+url.PathEscape(paymentID)+"/refunds", r, idempotencyKey)
}

// Payout pays a player. Repeat it with the same key after an error that is not
// a *Problem.
func (c *Client) Payout(ctx context.Context, p Payout, idempotencyKey string) (*Transfer, error) {
	return send[Transfer](ctx, c, "/v1/payouts", p, idempotencyKey)
}

// RecallRefund asks for an executed refund back.
func (c *Client) RecallRefund(ctx context.Context, id string, why psd2.RecallReason, idempotencyKey string) (*Transfer, error) {
	return send[Transfer](ctx, c, "/v1/refunds/"+url.PathEscape(id)+"/recall", map[string]psd2.RecallReason{"reason": why}, idempotencyKey)
}

// RecallPayout asks for an executed payout back.
func (c *Client) RecallPayout(ctx context.Context, id string, why psd2.RecallReason, idempotencyKey string) (*Transfer, error) {
	return send[Transfer](ctx, c, "/v1/payouts/"+url.PathEscape(id)+"/recall", map[string]psd2.RecallReason{"reason": why}, idempotencyKey)
}

// GetRefund reads a refund.
func (c *Client) GetRefund(ctx context.Context, id string) (*Transfer, error) {
	return call[Transfer](ctx, c, http.MethodGet, "/v1/refunds/"+url.PathEscape(id), nil, "")
}

// GetPayout reads a payout.
func (c *Client) GetPayout(ctx context.Context, id string) (*Transfer, error) {
	return call[Transfer](ctx, c, http.MethodGet, "/v1/payouts/"+url.PathEscape(id), nil, "")
}

// Refunds reads a page of a deposit's refunds.
func (c *Client) Refunds(ctx context.Context, paymentID string, filter url.Values) (*TransferList, error) {
	return call[TransferList](ctx, c, http.MethodGet, withQuery("/v1/payments/"+url.PathEscape(paymentID)+"/refunds", filter), nil, "")
}

// Payouts reads a page of payouts; filter takes the parameters of
// GET /v1/payouts.
func (c *Client) Payouts(ctx context.Context, filter url.Values) (*TransferList, error) {
	return call[TransferList](ctx, c, http.MethodGet, withQuery("/v1/payouts", filter), nil, "")
}
