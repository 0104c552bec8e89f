package limits

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Config says where the limit service is.
type Config struct {
	// URL of the service; empty: the hub's own count is all there is.
	URL string `yaml:"url"`
	// TokenFile holds the bearer token, if the service wants one.
	TokenFile string `yaml:"token_file"`
	// Timeout bounds one call (default 3 s): a payer waits for it.
	Timeout time.Duration `yaml:"timeout"`
}

// Client speaks to a limit service over HTTP:
//
//	POST {URL}/v1/reservations                {"reservation","person","amount_minor","currency":"EUR"} → {"granted","left_minor","limit_minor"?}
//	POST {URL}/v1/reservations/{id}/confirm   {"amount_minor"} → 204; what it is less than reserved is free again
//	POST {URL}/v1/reservations/{id}/release   → 204, also for one it has never seen
type Client struct {
	base  string
	token string
	http  *http.Client
}

// NewClient makes a client; transport may be nil.
func NewClient(c Config, transport http.RoundTripper) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("limits: url %q is no web address", c.URL)
	}
	if c.Timeout <= 0 {
		c.Timeout = 3 * time.Second
	}
	client := &Client{base: strings.TrimSuffix(c.URL, "/"), http: &http.Client{Transport: transport, Timeout: c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if c.TokenFile != "" {
		token, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("limits: token: %w", err)
		}
		client.token = strings.TrimSpace(string(token))
	}
	return client, nil
}

// Order is the wire form of a reservation.
type Order struct {
	Reservation string `json:"reservation"`
	Person      string `json:"person"`
	AmountMinor int64  `json:"amount_minor"`
	Currency    string `json:"currency"`
}

// Confirmation is the wire form of what was paid of a reservation.
type Confirmation struct {
	AmountMinor int64 `json:"amount_minor"`
}

// Decision is the wire form of an answer.
type Decision struct {
	Granted   bool  `json:"granted"`
	LeftMinor int64 `json:"left_minor"`
	// LimitMinor is the person's own monthly limit, whatever was decided; a
	// service that does not tell leaves everybody at DefaultLimit.
	LimitMinor *int64 `json:"limit_minor,omitempty"`
}

// Reserve implements Authority.
func (c *Client) Reserve(ctx context.Context, reservation, person string, amountMinor int64) (Answer, error) {
	body, err := json.Marshal(Order{reservation, person, amountMinor, "EUR"})
	if err != nil {
		return Answer{}, err
	}
	answer, err := c.post(ctx, "/v1/reservations", body)
	if err != nil {
		return Answer{}, err
	}
	var d Decision
	if err := json.Unmarshal(answer, &d); err != nil {
		return Answer{}, fmt.Errorf("limits: the answer is no decision: %w", err)
	}
	return Answer{Granted: d.Granted, LeftMinor: max(0, d.LeftMinor), LimitMinor: d.LimitMinor}, nil
}

// Confirm implements Authority.
func (c *Client) Confirm(ctx context.Context, reservation string, amountMinor int64) error {
	body, err := json.Marshal(Confirmation{amountMinor})
	if err != nil {
		return err
	}
	_, err = c.post(ctx, "/v1/reservations/"+url.PathEscape(reservation)+"/confirm", body)
	return err
}

// Release implements Authority.
func (c *Client) Release(ctx context.Context, reservation string) error {
	_, err := c.post(ctx, "/v1/reservations/"+url.PathEscape(reservation)+"/release", nil)
	return err
}

func (c *Client) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // read as far as wanted
	content, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		return nil, fmt.Errorf("limits: the service answered %d", answer.StatusCode)
	}
	return content, nil
}
