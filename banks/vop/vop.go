// Package vop asks a payee's bank whether a name belongs to an IBAN:
// verification of payee (Reg. 260/2012 Art. 5c; EPC VoP rulebook and its API).
//
//	POST {base}/vop/v1/payee-verifications
//
//	MTCH  the name is the holder's        CMTC  nearly: the bank says the holder's name
//	NMTC  it is not                       NOAP  the bank does not say
//
// Whoever cannot be asked, does not answer within Config.Limit, or answers
// something else counts as NOAP; so does a close match without a name, since
// nobody could show it. The cause is logged, without name or account.
//
// Neighbours: banks/courier (the transport), psd2 (Match and VoPResult);
// psd2/hub asks before a payout and when a merchant wants to know.
package vop

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/psd2"
)

// Config says whom to ask. Only BaseURL has no usable zero value.
type Config struct {
	// BaseURL is what /vop/v1/payee-verifications is appended to: our bank's, or
	// a routing and verification mechanism's.
	BaseURL string `yaml:"base_url"`
	// RequestingBIC is who asks, where the counterpart wants to know.
	RequestingBIC string `yaml:"requesting_bic"`
	// TLS is our client certificate and whom we trust.
	TLS courier.TLS `yaml:"tls"`
	// SigningKeyFile holds our private JWK set; "" sends unsigned requests.
	SigningKeyFile string `yaml:"signing_key_file"`
	// AnswerKeysFile holds the counterpart's public JWK set; with it an answer
	// that is not signed is not believed.
	AnswerKeysFile string `yaml:"answer_keys_file"`
	// Aim is the time after which an answer is logged as slow; 0 is 1 s.
	Aim time.Duration `yaml:"aim"`
	// Limit is how long anybody waits; 0 is 5 s, as the rulebook has it.
	Limit time.Duration `yaml:"limit"`
	// InsecureLoopback allows plain http to a loopback address.
	InsecureLoopback bool `yaml:"insecure_loopback"`
}

// Client asks. It is safe for concurrent use.
type Client struct {
	url        *url.URL
	bic        string
	aim, limit time.Duration
	seal       courier.Seal
	line       *courier.Line
	log        *slog.Logger
	now        func() time.Time
}

// New makes a client. The error names everything that is wrong with the
// configuration.
func New(c Config, d banks.Deps) (*Client, error) {
	base, baseErr := courier.ParseBase(c.BaseURL, c.InsecureLoopback)
	wrong := []error{baseErr}
	if c.RequestingBIC != "" && !psd2.IsBIC(c.RequestingBIC) {
		wrong = append(wrong, errors.New("requesting_bic is not a BIC"))
	}
	if c.Aim < 0 || c.Limit < 0 {
		wrong = append(wrong, errors.New("times must not be negative"))
	}
	seal, sealErr := courier.LoadSeal(c.SigningKeyFile, c.AnswerKeysFile)
	tls, tlsErr := c.TLS.Load()
	if err := errors.Join(append(wrong, sealErr, tlsErr)...); err != nil {
		return nil, fmt.Errorf("vop: %w", err)
	}
	if c.Aim == 0 {
		c.Aim = time.Second
	}
	if c.Limit == 0 {
		c.Limit = 5 * time.Second
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	line := courier.New("vop", courier.Options{TLS: tls, Timeout: c.Limit, ConnectTimeout: min(c.Limit, 5*time.Second), MaxBody: 16 << 10}, d)
	return &Client{url: base.JoinPath("vop/v1/payee-verifications"), bic: c.RequestingBIC, aim: c.Aim, limit: c.Limit,
		seal: seal, line: line, log: d.Log, now: d.Now}, nil
}

// Certificates lists our client certificate, none without mutual TLS.
func (c *Client) Certificates() []courier.Certificate { return c.line.Certificates() }

type account struct {
	IBAN psd2.IBAN `json:"iban"`
}

type party struct {
	Name string `json:"name"`
}

type agent struct {
	BICFI string `json:"bicfi"`
}

type question struct {
	PartyAccount    account `json:"partyAccount"`
	Party           party   `json:"party"`
	PartyAgent      *agent  `json:"partyAgent,omitempty"`
	RequestingAgent *agent  `json:"requestingAgent,omitempty"`
}

type answer struct {
	PartyNameMatch psd2.Match `json:"partyNameMatch"`
	MatchedName    string     `json:"matchedName"`
}

// Verify asks once. The result can always be used: with an error it is NOAP,
// and the error says why.
func (c *Client) Verify(ctx context.Context, payee psd2.Party) (psd2.VoPResult, error) {
	start := c.now()
	a, err := c.ask(ctx, payee)
	result := psd2.VoPResult{Match: a.PartyNameMatch, CheckedAt: c.now()}
	if a.PartyNameMatch == psd2.MatchClose {
		result.MatchedName = a.MatchedName
	}
	if err != nil {
		result = psd2.VoPResult{Match: psd2.MatchNotPossible, CheckedAt: c.now()}
		c.log.WarnContext(ctx, "a payee could not be verified", "error", err, "trace_id", psd2.TraceOf(ctx))
	}
	if took := c.now().Sub(start); took > c.aim {
		c.log.InfoContext(ctx, "a verification of payee was slow", "ms", took.Milliseconds(), "trace_id", psd2.TraceOf(ctx))
	}
	return result, err
}

func (c *Client) ask(ctx context.Context, payee psd2.Party) (answer, error) {
	iban, err := psd2.ParseIBAN(string(payee.IBAN))
	if err != nil || strings.TrimSpace(payee.Name) == "" || psd2.CheckText("name", payee.Name, 140) != nil {
		return answer{}, &banks.Error{Kind: banks.BadRequest, Code: "PAYEE_INVALID"}
	}
	q := question{PartyAccount: account{iban}, Party: party{strings.TrimSpace(payee.Name)}}
	if psd2.IsBIC(payee.BIC) {
		q.PartyAgent = &agent{payee.BIC}
	}
	if c.bic != "" {
		q.RequestingAgent = &agent{c.bic}
	}
	body, err := json.Marshal(q)
	if err != nil {
		return answer{}, &banks.Error{Kind: banks.BadRequest, Code: "PAYEE_INVALID"}
	}
	r := courier.Request{What: "verify payee", Method: http.MethodPost, URL: c.url, Body: body, RequestID: psd2.NewUUID(c.now(), rand.Reader),
		TraceID: psd2.TraceOf(ctx), Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"},
			"X-Request-Timestamp": {c.now().UTC().Format("2006-01-02T15:04:05.000Z")}}}
	if err := c.seal.Sign(&r, c.now()); err != nil {
		return answer{}, &banks.Error{Kind: banks.Unavailable, Code: "SIGNING_KEY_MISSING", Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	rep, failure := c.line.Do(ctx, r)
	if failure != nil {
		return answer{}, failure
	}
	odd := func(code string, err error) (answer, error) {
		return answer{}, &banks.Error{Kind: banks.Uncertain, Code: code, HTTPStatus: rep.Status, RetryAfter: courier.RetryAfter(rep.Header, c.now()), Err: err}
	}
	if err := c.seal.Verify(r, rep, c.now()); err != nil {
		return odd("SIGNATURE_INVALID", err)
	}
	if rep.Status != http.StatusOK {
		return odd("NOT_ANSWERED", nil)
	}
	a, ok := parse(rep)
	if !ok {
		return odd("ANSWER_UNREADABLE", nil)
	}
	return a, nil
}

// parse reads an answer strictly: JSON with each member once, a code that the
// scheme has, and with a close match the name.
func parse(rep *courier.Reply) (answer, bool) {
	var a answer
	media, _, err := mime.ParseMediaType(rep.Header.Get("Content-Type"))
	if err != nil || media != "application/json" || json.Unmarshal(rep.Body, &a) != nil {
		return answer{}, false
	}
	switch a.PartyNameMatch {
	case psd2.MatchExact, psd2.MatchNone, psd2.MatchNotPossible:
		return a, true
	case psd2.MatchClose:
		name := strings.TrimSpace(a.MatchedName)
		return a, name != "" && utf8.RuneCountInString(name) <= 140 && psd2.CheckText("matched_name", a.MatchedName, 140) == nil
	}
	return answer{}, false
}
