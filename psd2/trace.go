package psd2

import "context"

type traceKey struct{}

// WithTrace carries a trace id, 32 hex digits, to whatever the request causes:
// logs, the bank's request, the problem answer.
func WithTrace(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, traceKey{}, id)
}

// TraceOf is the request's trace id, or "".
func TraceOf(ctx context.Context) string {
	id, _ := ctx.Value(traceKey{}).(string)
	return id
}
