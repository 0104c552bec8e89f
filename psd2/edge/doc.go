// Package edge is the plumbing every web room of Rialto shares: what happens
// to a request before a room sees it, and to its answer afterwards. It knows
// net/http only, so a room may use any router behind it.
//
//	Edge.Wrap        trace id, client address behind trusted proxies, methods we
//	                 answer, panics, metrics, one wide log event per request
//	SecurityHeaders  what every answer carries, errors too
//	WriteProblem     the one place where a *psd2.Error becomes an HTTP answer
//	NoteFailure      the same for rooms that answer with a page
//	Stream           server-sent events for a page that waits
//	ReadBody         raw bytes with a cap and a content type
//	DecodeStrict     JSON with nothing left to interpretation
//	ReadForm         the same for forms
//	Limiter          token buckets in bounded memory
//	NewServer        an http.Server with time limits and a quiet error log
//
// What a request says about itself is believed only from a trusted proxy:
// X-Forwarded-For and X-Forwarded-Proto are read from the right, traceparent
// is continued; from anybody else they are ignored, as are X-Client-Cert,
// X-Real-IP, Forwarded and X-HTTP-Method-Override from everybody.
//
// Neighbours: psd2/api, psd2/consent, psd2/ops, sca/app and compliance/console
// import it; it imports psd2 and prometheus.
package edge
