package skeleton

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/psd2"
)

const product = "instant-sepa-credit-transfers"

// state is what Status has to know of an order.
type state struct {
	Version int    `json:"v"`
	ID      string `json:"id"` // paymentId
}

// Bank is one bank. It keeps nothing of an order and is safe for concurrent
// use.
type Bank struct {
	info banks.Info
	base *url.URL
	line *courier.Line
	now  func() time.Time
}

var _ banks.Bank = (*Bank)(nil)

// Open is the adapter's banks.Factory.
func Open(e banks.Entry, d banks.Deps) (banks.Bank, error) {
	var c Config
	if err := e.DecodeProfile(&c); err != nil {
		return nil, err
	}
	return New(e.ID, c, d)
}

// New makes the adapter of the bank id. The error names everything that is
// wrong with the profile.
func New(id string, c Config, d banks.Deps) (*Bank, error) {
	base, tls, err := c.check()
	if err != nil {
		return nil, fmt.Errorf("bank %s: %w", id, err)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Bank{base: base, line: courier.New(id, courier.Options{TLS: tls}, d), now: d.Now,
		info: banks.Info{ID: id, Approaches: []banks.Approach{banks.Redirect}, RedirectOrigins: c.RedirectOrigins}}, nil
}

// Certificates lists our client certificate, none without mutual TLS.
func (b *Bank) Certificates() []courier.Certificate { return b.line.Certificates() }

// Info implements banks.Bank.
func (b *Bank) Info() banks.Info {
	i := b.info
	i.Approaches, i.RedirectOrigins = slices.Clone(i.Approaches), slices.Clone(i.RedirectOrigins)
	return i
}

// Initiate implements banks.Bank. The order's state is the bank's id of it.
func (b *Bank) Initiate(ctx context.Context, o banks.Order) (banks.Initiation, error) {
	body, err := compose(o)
	if err != nil {
		return banks.Initiation{}, &banks.Error{Kind: banks.BadRequest, Code: "ORDER_INVALID"} // without err, which quotes the order
	}
	h := accepts()
	h.Set("Content-Type", "application/json")
	h.Set("PSU-IP-Address", o.PSU.IP)
	h.Set("TPP-Redirect-URI", o.ReturnURL)
	if o.FailURL != "" {
		h.Set("TPP-Nok-Redirect-URI", o.FailURL)
	}
	a, failure := b.call(ctx, courier.Request{What: "initiate", Method: http.MethodPost, URL: b.base.JoinPath("v1/payments", product),
		Header: h, Body: body, RequestID: o.RequestID, TraceID: o.TraceID}, http.StatusCreated)
	if failure != nil {
		return banks.Initiation{}, failure
	}
	if psd2.StandingOf(a.Status) == psd2.StandingRefused {
		return banks.Initiation{}, &banks.Error{Kind: banks.Refused, Code: a.reason(), HTTPStatus: http.StatusCreated}
	}
	page := a.Links.Redirect.Href
	if !paymentID.MatchString(a.ID) || !b.mayShow(page) { // the bank has the order all the same
		return banks.Initiation{}, &banks.Error{Kind: banks.Uncertain, Code: "ANSWER_UNREADABLE", HTTPStatus: http.StatusCreated}
	}
	opaque, err := json.Marshal(state{1, a.ID})
	if err != nil {
		return banks.Initiation{}, &banks.Error{Kind: banks.Uncertain, Code: "STATE_UNWRITABLE"}
	}
	return banks.Initiation{State: opaque, Approach: banks.Redirect, Status: a.Status,
		Prompt: psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: page}}, nil
}

// mayShow holds a redirect to the profile's origins.
func (b *Bank) mayShow(page string) bool {
	u, err := url.Parse(page)
	return err == nil && u.User == nil && !strings.ContainsAny(page, "\\ ") && slices.Contains(b.info.RedirectOrigins, u.Scheme+"://"+u.Host)
}

// Status implements banks.Bank. The state comes from a database, so it is
// checked like anything else from outside.
func (b *Bank) Status(ctx context.Context, r banks.Ref) (banks.Status, error) {
	var st state
	if json.Unmarshal(r.State, &st) != nil || st.Version != 1 || !paymentID.MatchString(st.ID) {
		return banks.Status{}, &banks.Error{Kind: banks.BadRequest, Code: "STATE_INVALID"}
	}
	a, failure := b.call(ctx, courier.Request{What: "status", Method: http.MethodGet, URL: b.base.JoinPath("v1/payments", product, st.ID, "status"),
		Header: accepts(), RequestID: r.RequestID, TraceID: r.TraceID}, http.StatusOK)
	if failure != nil {
		return banks.Status{}, failure
	}
	return banks.Status{Transaction: a.Status, Reason: a.reason()}, nil
}

func accepts() http.Header { return http.Header{"Accept": {"application/json"}} }
