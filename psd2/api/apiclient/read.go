package apiclient

import (
	"context"
	"net/http"
	"net/url"
)

// Read gets any resource of the API into a type of the caller's, for those who
// want more of it than this package's types keep. target begins with /v1/.
func Read[T any](ctx context.Context, c *Client, target string) (T, error) {
	out, err := call[T](ctx, c, http.MethodGet, target, nil, "")
	if err != nil {
		var none T
		return none, err
	}
	return *out, nil
}

// Receipt reads the proof of what authorised a payment, a compact JWS to be kept
// as it is. The *Problem has code receipt_not_found until it is authorised.
func (c *Client) Receipt(ctx context.Context, paymentID string) (string, error) {
	jws, err := call[[]byte](ctx, c, http.MethodGet, "/v1/payments/"+url.PathEscape(paymentID)+"/receipt", nil, "")
	if err != nil {
		return "", err
	}
	return string(*jws), nil
}

// PaymentEvents reads a deposit's whole journal.
func (c *Client) PaymentEvents(ctx context.Context, paymentID string) (*EventList, error) {
	return call[EventList](ctx, c, http.MethodGet, "/v1/payments/"+url.PathEscape(paymentID)+"/events", nil, "")
}
