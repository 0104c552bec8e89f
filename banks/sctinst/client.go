package sctinst

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/banks/iso20022"
)

const contentXML = "application/xml"

// call is one exchange with the bank.
type call struct {
	what      string
	method    string
	path      string
	query     url.Values
	body      []byte // a message; nil for none
	requestID string
	traceID   string
}

// do sends a signed request once and returns an answer only when the bank has
// signed it for this very request.
func (c *Channel) do(ctx context.Context, k call) (*courier.Reply, error) {
	u := c.base.JoinPath(k.path)
	u.RawQuery = k.query.Encode()
	r := courier.Request{What: k.what, Method: k.method, URL: u, Body: k.body, RequestID: k.requestID, TraceID: k.traceID,
		Header: http.Header{"Accept": {contentXML}}}
	if k.body != nil {
		r.Header.Set("Content-Type", contentXML)
	}
	if err := c.seal.Sign(&r, c.now()); err != nil {
		return nil, &banks.Error{Kind: banks.Unavailable, Code: "SIGNING_KEY_MISSING", Err: err}
	}
	rep, failure := c.line.Do(ctx, r)
	if failure != nil {
		return nil, failure
	}
	retry := courier.RetryAfter(rep.Header, c.now())
	if err := c.seal.Verify(r, rep, c.now()); err != nil {
		c.log.ErrorContext(ctx, "an answer of the bank is not believed", "bank", c.info.ID, "call", k.what, "http_status", rep.Status,
			"request_id", k.requestID, "trace_id", k.traceID, "error", err)
		return nil, &banks.Error{Kind: banks.Uncertain, Code: "SIGNATURE_INVALID", HTTPStatus: rep.Status, RetryAfter: retry, Err: err}
	}
	e := &banks.Error{HTTPStatus: rep.Status, RetryAfter: retry, Kind: banks.Uncertain}
	switch s := rep.Status; {
	case s == http.StatusOK || s == http.StatusAccepted:
		return rep, nil
	case s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable:
		e.Kind = banks.Unavailable
	case s == http.StatusNotFound:
		e.Kind = banks.NotFound
	case s >= 400 && s < 500 && s != http.StatusRequestTimeout && s != http.StatusConflict:
		e.Kind = banks.BadRequest
	}
	return nil, e
}

// unreadable is an answer that the bank signed and we cannot use.
func unreadable(code string, err error) error {
	return &banks.Error{Kind: banks.Uncertain, Code: code, HTTPStatus: http.StatusOK, Err: err}
}

// read reads one message of an answer. Faults of the codec never quote the
// message, so they may be passed on.
func read[M iso20022.Message](rep *courier.Reply) (M, error) {
	m, err := iso20022.ReadAs[M](rep.Body, iso20022.Lenient)
	if err != nil {
		return m, unreadable("ANSWER_UNREADABLE", err)
	}
	return m, nil
}

// tell logs what a lenient reader passed over, for who talks to the bank.
func (c *Channel) tell(ctx context.Context, what string, ignored int, traceID string) {
	if ignored > 0 {
		c.log.LogAttrs(ctx, slog.LevelInfo, "the bank's message departs from the schema", slog.String("bank", c.info.ID),
			slog.String("message", what), slog.Int("departures", ignored), slog.String("trace_id", traceID))
	}
}

var codeForm = regexp.MustCompile(`^[A-Z0-9]{4}$`)

// code makes a bank's code harmless: ISO 20022 codes are four capitals or
// digits, and what is none becomes "?", which no table knows.
func code(s string) string {
	if s != "" && !codeForm.MatchString(s) {
		return "?"
	}
	return s
}

func firstReason(list []iso20022.Reason) string {
	for _, r := range list {
		if r.Code != "" {
			return code(r.Code)
		}
	}
	for _, r := range list {
		if r.Proprietary != "" {
			return code(r.Proprietary)
		}
	}
	return ""
}
