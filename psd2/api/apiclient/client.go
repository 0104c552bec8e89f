// Package apiclient is the merchant's side of the API, as a small program
// needs it: it gets and renews access tokens, signs what must be signed, and
// speaks Go types. The demo casino and the benchmark use it; merchants may
// read it to see how a client is written.
//
// It keeps no state but the current token. Neighbours: psd2/api answers it,
// psd2/jose signs for it.
package apiclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 4 << 20

// renewBefore is how long before its end a token is replaced.
const renewBefore = 30 * time.Second

// Config says who the merchant is.
type Config struct {
	BaseURL  string           // where the API is, without a slash at the end; also its issuer
	ClientID string           // mer_…
	Key      *jose.Key        // registered; signs assertions and requests
	Scopes   []string         // asked for; all of the client's when empty
	DPoP     *jose.Key        // when set, tokens are bound to this key
	HTTP     *http.Client     // http.DefaultClient when nil
	Now      func() time.Time // time.Now when nil
	Random   io.Reader        // for jti; crypto/rand in production
}

// Client is safe for concurrent use.
type Client struct {
	cfg Config

	mu      sync.Mutex
	key     *jose.Key // registered; ReplaceKey changes it
	token   string
	expires time.Time
}

// New makes a client.
func New(c Config) (*Client, error) {
	if c.BaseURL == "" || c.ClientID == "" || c.Key == nil || c.Random == nil {
		return nil, errors.New("apiclient: base URL, client id, key and randomness must be given")
	}
	c.BaseURL = strings.TrimSuffix(c.BaseURL, "/")
	if c.HTTP == nil {
		c.HTTP = http.DefaultClient
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Client{cfg: c, key: c.Key}, nil
}

// Problem is an error answer of the API.
type Problem struct {
	Status     int           `json:"status"`
	Code       string        `json:"code"`
	Detail     string        `json:"detail"`
	Field      string        `json:"field"`
	TraceID    string        `json:"trace_id"`
	RetryAfter time.Duration `json:"-"`
}

func (p *Problem) Error() string {
	return fmt.Sprintf("api: %d %s: %s (trace %s)", p.Status, p.Code, p.Detail, p.TraceID)
}

// Create asks for a deposit. idempotencyKey names the intention: repeat it
// with the same deposit after an error that is not a *Problem.
func (c *Client) Create(ctx context.Context, d Deposit, idempotencyKey string) (*Payment, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("apiclient: %w", err)
	}
	return call[Payment](ctx, c, http.MethodPost, "/v1/payments", body, idempotencyKey)
}

// Cancel asks for a deposit to be cancelled.
func (c *Client) Cancel(ctx context.Context, paymentID, idempotencyKey string) (*Payment, error) {
	return call[Payment](ctx, c, http.MethodPost, "/v1/payments/"+url.PathEscape(paymentID)+"/cancel", []byte("{}"), idempotencyKey)
}

// Get reads a deposit.
func (c *Client) Get(ctx context.Context, paymentID string) (*Payment, error) {
	return call[Payment](ctx, c, http.MethodGet, "/v1/payments/"+url.PathEscape(paymentID), nil, "")
}

// List reads a page of deposits; filter takes the parameters of
// GET /v1/payments.
func (c *Client) List(ctx context.Context, filter url.Values) (*PaymentList, error) {
	return call[PaymentList](ctx, c, http.MethodGet, withQuery("/v1/payments", filter), nil, "")
}

// Events reads the events behind one; "" begins at the beginning.
func (c *Client) Events(ctx context.Context, after string, limit int) (*EventList, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if after != "" {
		q.Set("after", after)
	}
	return call[EventList](ctx, c, http.MethodGet, withQuery("/v1/events", q), nil, "")
}

func withQuery(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// call does one request. It is not repeated here: whoever calls knows whether
// to.
func call[T any](ctx context.Context, c *Client, method, target string, body []byte, key string) (*T, error) {
	token, err := c.Token(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.cfg.BaseURL+target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("apiclient: %w", err)
	}
	if method != http.MethodGet {
		signature, err := jose.SignRequest(c.signer(), method, target, []jose.Header{{Name: "Idempotency-Key", Value: key}}, body, c.cfg.Now())
		if err != nil {
			return nil, fmt.Errorf("apiclient: %w", err)
		}
		if len(body) > 0 {
			req.Header.Set("Content-Type", "application/json")
		}
		req.Header.Set("Idempotency-Key", key)
		req.Header.Set(jose.HeaderSignature, signature)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if c.cfg.DPoP != nil {
		req.Header.Set("Authorization", "DPoP "+token)
		if err := c.prove(req, token); err != nil {
			return nil, err
		}
	}
	out := new(T)
	return out, c.do(req, out)
}

// Token gives the current access token, getting a new one when it is about to
// expire.
func (c *Client) Token(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	if c.token != "" && now.Add(renewBefore).Before(c.expires) {
		return c.token, nil
	}
	assertion, err := jose.SignClientAssertion(c.key, c.cfg.ClientID, c.cfg.BaseURL, psd2.NewUUID(now, c.cfg.Random), now)
	if err != nil {
		return "", fmt.Errorf("apiclient: %w", err)
	}
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}
	if len(c.cfg.Scopes) > 0 {
		form.Set("scope", strings.Join(c.cfg.Scopes, " "))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.BaseURL+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("apiclient: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.cfg.DPoP != nil {
		if err := c.prove(req, ""); err != nil {
			return "", err
		}
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := c.do(req, &answer); err != nil {
		return "", err
	}
	c.token, c.expires = answer.AccessToken, now.Add(time.Duration(answer.ExpiresIn)*time.Second)
	return c.token, nil
}

// prove adds the DPoP proof of a request.
func (c *Client) prove(req *http.Request, token string) error {
	now := c.cfg.Now()
	proof, err := jose.SignDPoP(c.cfg.DPoP, jose.DPoPRequest{Method: req.Method, URL: req.URL.String(), AccessToken: token},
		psd2.NewUUID(now, c.cfg.Random), now)
	if err != nil {
		return fmt.Errorf("apiclient: %w", err)
	}
	req.Header.Set("DPoP", proof)
	return nil
}

func (c *Client) do(req *http.Request, out any) error {
	res, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("apiclient: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("apiclient: read answer: %w", err)
	}
	if res.StatusCode >= 300 {
		return problemOf(res, body)
	}
	if res.StatusCode == http.StatusNoContent {
		return nil
	}
	if text, ok := out.(*[]byte); ok { // not JSON
		*text = body
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("apiclient: read answer: %w", err)
	}
	return nil
}

// problemOf reads both forms of errors, ours and OAuth's.
func problemOf(res *http.Response, body []byte) error {
	var wire struct {
		Problem
		OAuth       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(body, &wire); err != nil {
		return fmt.Errorf("apiclient: status %d without a problem", res.StatusCode)
	}
	p := wire.Problem
	p.Status = res.StatusCode
	if wire.OAuth != "" {
		p.Code, p.Detail = wire.OAuth, wire.Description
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return &p
}
