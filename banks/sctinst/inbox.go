package sctinst

import (
	"context"
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

var _ banks.RecallInbox = (*Channel)(nil)

// Recalls implements banks.RecallInbox: one camt.056 at a time, asked for by
// the id of the one before. A bank without the path has told of none.
func (c *Channel) Recalls(ctx context.Context, after string) ([]psd2.RecallNotice, string, error) {
	if after != "" && psd2.CheckReference(after) != nil {
		return nil, after, unsendable("CURSOR_INVALID", nil)
	}
	q := url.Values{}
	if after != "" {
		q.Set("after", after)
	}
	rep, err := c.do(ctx, call{what: "recalls", method: http.MethodGet, path: "recalls/incoming", query: q,
		requestID: uuid.NewString(), traceID: psd2.TraceOf(ctx)})
	if be, ok := err.(*banks.Error); ok && be.Kind == banks.NotFound {
		return nil, after, nil
	}
	if err != nil {
		return nil, after, err
	}
	if rep.Status == http.StatusAccepted && len(rep.Body) == 0 {
		return nil, after, nil
	}
	m, err := read[*iso20022.Recall](rep)
	if err != nil {
		return nil, after, err
	}
	c.tell(ctx, m.Name(), m.Ignored, psd2.TraceOf(ctx))
	if psd2.CheckReference(m.ID) != nil || m.ID == after { // it could not be gone on from
		return nil, after, unreadable("RECALL_ID_INVALID", nil)
	}
	list := make([]psd2.RecallNotice, len(m.Transfers))
	for i, t := range m.Transfers {
		id := t.ID
		if id == "" {
			id = m.ID + "/" + t.EndToEndID
		}
		list[i] = psd2.RecallNotice{ID: id, EndToEndID: t.EndToEndID, Reason: firstReason(t.Reasons), ReceivedAt: c.now()}
		if !m.CreatedAt.IsZero() {
			list[i].ReceivedAt = m.CreatedAt
		}
	}
	return list, m.ID, nil
}
