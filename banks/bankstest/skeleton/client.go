package skeleton

import (
	"context"
	"net/http"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
)

// call sends one request. What the line cannot tell, the bank's answer does:
// only what says for certain that there is no order is not uncertain.
func (b *Bank) call(ctx context.Context, r courier.Request, want int) (answer, *banks.Error) {
	rep, failure := b.line.Do(ctx, r)
	if failure != nil {
		return answer{}, failure
	}
	e := &banks.Error{Kind: banks.Uncertain, HTTPStatus: rep.Status, RetryAfter: courier.RetryAfter(rep.Header, b.now())}
	a, ours := parse(rep)
	switch s := rep.Status; {
	case s == want && ours && a.Status != "":
		return a, nil
	case s == http.StatusTooManyRequests, s == http.StatusServiceUnavailable && e.RetryAfter > 0:
		e.Kind = banks.Unavailable // the bank says that it did not process it
	case s == http.StatusNotFound && ours && r.Method == http.MethodGet:
		e.Kind = banks.NotFound // a gateway's own 404 says nothing of the order
	case s >= 400 && s < 500 && s != http.StatusRequestTimeout && s != http.StatusConflict && s != http.StatusNotFound:
		e.Kind = banks.BadRequest
	}
	e.Code = a.reason()
	return answer{}, e
}
