package sctinst

import (
	"context"
	"net/http"
	"net/url"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

// States of banks.RecallStatus.
const (
	recallPending  = "pending"
	recallAccepted = "accepted"
	recallRefused  = "refused"
)

// Recall implements banks.Channel. The payee's bank has 15 banking days to
// answer, so pending is the rule.
func (c *Channel) Recall(ctx context.Context, r banks.Recall) (banks.RecallStatus, error) {
	body, err := c.recall(r)
	if err != nil {
		return banks.RecallStatus{}, err
	}
	rep, err := c.do(ctx, call{what: "recall", method: http.MethodPost, path: "recalls", body: body, requestID: r.RequestID, traceID: r.TraceID})
	if err != nil {
		return banks.RecallStatus{}, err
	}
	return c.recallAnswer(ctx, rep, r)
}

// RecallStatus implements banks.Channel.
func (c *Channel) RecallStatus(ctx context.Context, r banks.Recall) (banks.RecallStatus, error) {
	if err := checkRefs(r.MessageID, r.EndToEndID, r.RequestID); err != nil {
		return banks.RecallStatus{}, err
	}
	if psd2.CheckReference(r.ID) != nil {
		return banks.RecallStatus{}, unsendable("RECALL_ID_INVALID", nil)
	}
	rep, err := c.do(ctx, call{what: "recall status", method: http.MethodGet, path: "recalls", query: url.Values{"id": {r.ID}},
		requestID: r.RequestID, traceID: r.TraceID})
	if err != nil {
		return banks.RecallStatus{}, err
	}
	return c.recallAnswer(ctx, rep, r)
}

// recallAnswer reads what came: nothing yet, a camt.029 (no) or a pacs.004
// (yes). An answer about another transfer, or a return of more than was sent,
// decides nothing.
func (c *Channel) recallAnswer(ctx context.Context, rep *courier.Reply, r banks.Recall) (banks.RecallStatus, error) {
	if rep.Status == http.StatusAccepted && len(rep.Body) == 0 {
		return banks.RecallStatus{State: recallPending}, nil
	}
	m, err := iso20022.Read(rep.Body, iso20022.Lenient)
	if err != nil {
		return banks.RecallStatus{}, unreadable("ANSWER_UNREADABLE", err)
	}
	switch m := m.(type) {
	case *iso20022.RecallAnswer:
		c.tell(ctx, m.Name(), m.Ignored, r.TraceID)
		for _, d := range m.Decisions {
			if d.EndToEndID != r.EndToEndID || d.Original.MessageID != r.MessageID {
				continue
			}
			if m.Status == "RJCR" && (d.Status == "" || d.Status == "RJCR") {
				return banks.RecallStatus{State: recallRefused, Reason: firstReason(d.Reasons)}, nil
			}
			return banks.RecallStatus{State: recallPending}, nil
		}
	case *iso20022.Return:
		for _, t := range m.Transfers {
			if t.EndToEndID == r.EndToEndID && t.Original.MessageID == r.MessageID && t.Amount.Currency == r.Amount.Currency &&
				t.Amount.AmountMinor <= r.Amount.AmountMinor {
				return banks.RecallStatus{State: recallAccepted, Reason: firstReason(t.Reasons)}, nil
			}
		}
	}
	return banks.RecallStatus{}, unreadable("ANSWER_MISMATCHED", nil)
}
