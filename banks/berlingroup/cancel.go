package berlingroup

import (
	"context"
	"net/http"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// Cancel implements banks.Canceller. A bank that wants the payer to authorise
// the cancellation has not done it; on its own pages or in its app he can, and
// the Prompt leads him there. A bank that wants his credentials through us for
// it is not followed: he is not asked for a password to undo something.
func (b *Bank) Cancel(ctx context.Context, r banks.Ref) (banks.Cancellation, error) {
	st, err := b.restore(r)
	if err != nil {
		return banks.Cancellation{}, err
	}
	u, ok := b.resolve(st.Payment)
	if !ok || !sendableURL(r.ReturnURL) || !sendableURL(r.FailURL) {
		return banks.Cancellation{}, unsendable("STATE_INVALID")
	}
	v := b.visit(ctx, r, st)
	header := psuHeaders(r.PSU, "")
	b.wishes(header, v)
	header.Set("TPP-Explicit-Authorisation-Preferred", truth(b.p.ExplicitAuthorisation))
	rep, failure := b.client.do(ctx, request{what: "cancel", method: http.MethodDelete, url: u, header: header,
		token: v.token, requestID: v.id(""), traceID: v.traceID})
	if failure != nil {
		return banks.Cancellation{}, failure
	}
	switch rep.status {
	case http.StatusNoContent:
		return banks.Cancellation{Done: true}, nil
	case http.StatusOK, http.StatusAccepted:
		return b.cancelling(ctx, st, rep, v), nil
	}
	return banks.Cancellation{}, failed(rep, false, b.client.now())
}

func sendableURL(s string) bool { return s == "" || absolute(s) }

// cancelling reads what a bank wants before it cancels. Whatever is odd about
// it, the order stands and its status is asked for as ever.
func (b *Bank) cancelling(ctx context.Context, st state, rep *reply, v visit) banks.Cancellation {
	a, ok := parse(rep.json)
	if !ok {
		return banks.Cancellation{}
	}
	if psd2.StandingOf(b.status(a)) == psd2.StandingCanceled {
		return banks.Cancellation{Done: true}
	}
	aside := state{Version: 1, Payment: st.Payment, Known: st.Known} // the order's own authorisation stays as it is
	in, failure := b.proceed(ctx, &aside, rep, v)
	if failure != nil || in.Prompt.Kind != psd2.PromptRedirect && in.Prompt.Kind != psd2.PromptApp {
		return banks.Cancellation{}
	}
	return banks.Cancellation{Prompt: in.Prompt}
}
