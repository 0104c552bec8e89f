package sctinst

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

// Channel is one merchant's account. It keeps connections, but no state of any
// order, and is safe for concurrent use.
type Channel struct {
	info    banks.ChannelInfo
	base    *url.URL
	seal    courier.Seal
	line    *courier.Line
	log     *slog.Logger
	now     func() time.Time
	unknown bool // Config.UnknownIsFinal
}

var _ banks.Channel = (*Channel)(nil)

// New makes the channel id. The error names everything that is wrong with the
// profile.
func New(id string, c Config, d banks.Deps) (*Channel, error) {
	base, account, err := c.check()
	if err != nil {
		return nil, fmt.Errorf("channel %s: %w", id, err)
	}
	seal, err := courier.LoadSeal(c.SigningKeyFile, c.BankKeysFile)
	if err != nil {
		return nil, fmt.Errorf("channel %s: %w", id, err)
	}
	tls, err := c.TLS.Load()
	if err != nil {
		return nil, fmt.Errorf("channel %s: %w", id, err)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if c.DedupWindow == 0 {
		c.DedupWindow = defaultDedup
	}
	line := courier.New(id, courier.Options{TLS: tls, ConnectTimeout: c.ConnectTimeout, Timeout: c.Timeout,
		IdleConnections: c.IdleConnections, MaxBody: iso20022.MaxBytes}, d)
	return &Channel{base: base, seal: seal, line: line, log: d.Log, now: d.Now, unknown: c.UnknownIsFinal,
		info: banks.ChannelInfo{ID: id, Account: account, Dedup: c.DedupWindow}}, nil
}

// Certificates lists our client certificate, none without mutual TLS.
func (c *Channel) Certificates() []courier.Certificate { return c.line.Certificates() }

// ChannelInfo implements banks.Channel.
func (c *Channel) ChannelInfo() banks.ChannelInfo { return c.info }

// reasons of a bank that decide about more than the order's status.
const (
	reasonDuplicate   = "AM05"
	reasonNotReceived = "AG09"
)

// Pay implements banks.Channel. A refusal in a pain.002 is a status and no
// error.
func (c *Channel) Pay(ctx context.Context, t banks.Transfer) (banks.TransferStatus, error) {
	body, err := c.order(t)
	if err != nil {
		return banks.TransferStatus{}, err
	}
	s, err := c.ask(ctx, call{what: "pay", method: http.MethodPost, path: "payments", body: body, requestID: t.RequestID, traceID: t.TraceID},
		t.MessageID, t.EndToEndID)
	if err == nil && s.Status == "RJCT" && s.Reason == reasonDuplicate {
		return banks.TransferStatus{}, unreadable(reasonDuplicate, nil)
	}
	return s, err
}

// Find implements banks.Channel.
func (c *Channel) Find(ctx context.Context, r banks.TransferRef) (banks.TransferStatus, error) {
	body, err := c.inquiry(r)
	if err != nil {
		return banks.TransferStatus{}, err
	}
	s, err := c.ask(ctx, call{what: "find", method: http.MethodPost, path: "inquiries", body: body, requestID: r.RequestID, traceID: r.TraceID},
		r.MessageID, r.EndToEndID)
	if err == nil && s.Status == "RJCT" && s.Reason == reasonNotReceived {
		kind := banks.Uncertain // it may still be on its way through the bank
		if c.unknown {
			kind = banks.NotFound
		}
		return banks.TransferStatus{}, &banks.Error{Kind: kind, Code: reasonNotReceived, HTTPStatus: http.StatusOK}
	}
	return s, err
}

// ask sends a message and reads the pain.002 about one order of ours.
func (c *Channel) ask(ctx context.Context, k call, messageID, endToEndID string) (banks.TransferStatus, error) {
	rep, err := c.do(ctx, k)
	if err != nil {
		return banks.TransferStatus{}, err
	}
	m, err := read[*iso20022.InitiationStatus](rep)
	if err != nil {
		return banks.TransferStatus{}, err
	}
	c.tell(ctx, m.Name(), m.Ignored, k.traceID)
	if m.Group.Original.MessageID != messageID || !about(m, endToEndID) {
		return banks.TransferStatus{}, unreadable("ANSWER_MISMATCHED", nil)
	}
	status, reasons := m.Outcome(endToEndID)
	if status == "" {
		return banks.TransferStatus{}, unreadable("ANSWER_INCOMPLETE", nil)
	}
	return banks.TransferStatus{Status: code(status), Reason: firstReason(reasons)}, nil
}

// about reports whether a report can be about our one order: it names no
// transaction at all, or ours.
func about(m *iso20022.InitiationStatus, endToEndID string) bool {
	named := 0
	for _, b := range m.Batches {
		for _, t := range b.Transactions {
			if t.EndToEndID == endToEndID {
				return true
			}
			named++
		}
	}
	return named == 0
}

// unsendable is an order or a question that no bank could take; nothing was
// sent.
func unsendable(code string, err error) error {
	return &banks.Error{Kind: banks.BadRequest, Code: code, Err: err}
}

// checkRefs checks what every message about a transfer carries.
func checkRefs(messageID, endToEndID, requestID string) error {
	switch {
	case psd2.CheckReference(messageID) != nil:
		return unsendable("MESSAGE_ID_INVALID", nil)
	case psd2.CheckReference(endToEndID) != nil || endToEndID == "NOTPROVIDED":
		return unsendable("END_TO_END_ID_INVALID", nil)
	case uuid.Validate(requestID) != nil || len(requestID) != 36:
		return unsendable("REQUEST_ID_INVALID", nil)
	}
	return nil
}
