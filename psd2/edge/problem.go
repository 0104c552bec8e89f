package edge

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/rialto-hub/rialto/psd2"
)

// Problem is an error answer: RFC 9457 problem details with our members.
type Problem struct {
	Type    string `json:"type"`            // urn:rialto:problem: + kind
	Title   string `json:"title"`           // the kind in words, constant per kind
	Status  int    `json:"status"`          // as in the status line
	Code    string `json:"code"`            // stable reason, for programs
	Detail  string `json:"detail"`          // one sentence, for people
	Field   string `json:"field,omitempty"` // JSON path of the field to blame
	TraceID string `json:"trace_id"`        // names the request when asking for help
}

// ContentTypeProblem is the media type of RFC 9457.
const ContentTypeProblem = "application/problem+json"

// statuses is the one mapping of our failures to HTTP.
var statuses = map[psd2.Code]struct {
	status int
	title  string
}{
	psd2.CodeInvalid:       {http.StatusBadRequest, "The request is not valid"},
	psd2.CodeUnauthorized:  {http.StatusUnauthorized, "Authentication failed"},
	psd2.CodeForbidden:     {http.StatusForbidden, "Not allowed"},
	psd2.CodeNotFound:      {http.StatusNotFound, "Not found"},
	psd2.CodeConflict:      {http.StatusConflict, "Not possible in the present state"},
	psd2.CodeUnprocessable: {http.StatusUnprocessableEntity, "Contradicts an earlier request"},
	psd2.CodeTooLarge:      {http.StatusRequestEntityTooLarge, "Too large"},
	psd2.CodeMediaType:     {http.StatusUnsupportedMediaType, "Content type not supported"},
	psd2.CodeRateLimited:   {http.StatusTooManyRequests, "Too many requests"},
	psd2.CodeUnavailable:   {http.StatusServiceUnavailable, "Not available at the moment"},
	psd2.CodeInternal:      {http.StatusInternalServerError, "Internal error"},
	"method_not_allowed":   {http.StatusMethodNotAllowed, "Method not allowed"},
}

var internal = &psd2.Error{Code: psd2.CodeInternal, Reason: "internal_error",
	Message: "something went wrong on our side; the trace id tells us what"}

// publicOf is what an error may say outside: itself if it is a *psd2.Error of
// a known code, else an internal error with nothing but the trace id.
func publicOf(err error) *psd2.Error {
	var e *psd2.Error
	if !errors.As(err, &e) || e.Code == psd2.CodeInternal {
		return internal
	}
	if _, known := statuses[e.Code]; !known {
		return internal
	}
	return e
}

// StatusOf is the HTTP status of an error, for rooms that show pages instead
// of problems.
func StatusOf(err error) int { return statuses[publicOf(err).Code].status }

// Member is an extension member of one problem (RFC 9457 §3.2), e.g. the digest
// that helps to find out why a signature does not match.
type Member struct{ Name, Value string }

// WriteProblem answers with err. Causes and unknown errors go to the request's
// wide event only.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error, more ...Member) {
	if r.Context().Err() != nil { // the client is gone: what follows from that is nobody's fault
		err = psd2.Fail(psd2.CodeUnavailable, "request_aborted", "the request was aborted")
	}
	public := publicOf(err)
	if public == internal {
		Annotate(r.Context(), "error", err.Error())
	}
	writeProblem(w, r, statuses[public.Code].status, public, more...)
}

// ProblemBody is the body of a problem, for rooms that keep an answer in order
// to repeat it.
func ProblemBody(r *http.Request, err error, more ...Member) []byte {
	public := publicOf(err)
	return problemBody(r, statuses[public.Code].status, public, more)
}

func problemBody(r *http.Request, status int, e *psd2.Error, more []Member) []byte {
	body, err := json.Marshal(Problem{
		Type: "urn:rialto:problem:" + string(e.Code), Title: statuses[e.Code].title, Status: status,
		Code: e.Reason, Detail: e.Message, Field: e.Field, TraceID: TraceID(r.Context()),
	})
	for _, m := range more {
		member, memberErr := json.Marshal(map[string]string{m.Name: m.Value})
		err = errors.Join(err, memberErr)
		body = append(append(body[:len(body)-1], ','), member[1:]...)
	}
	if err != nil { // strings and a number: cannot happen
		return []byte("{}\n")
	}
	return append(body, '\n')
}

func writeProblem(w http.ResponseWriter, r *http.Request, status int, e *psd2.Error, more ...Member) {
	Annotate(r.Context(), "code", e.Reason)
	body := problemBody(r, status, e, more)
	header := w.Header()
	setBaseHeaders(header, r)
	if header.Get("Content-Security-Policy") == "" {
		header.Set("Content-Security-Policy", bareCSP)
	}
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", ContentTypeProblem)
	header.Del("Content-Length")
	if status == http.StatusTooManyRequests || e.RetryAfter > 0 {
		header.Set("Retry-After", RetrySeconds(e))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// NoteFailure does what is the same for every failure that a room answers with
// a page of its own instead of a problem: Retry-After, and the cause in the
// request's wide event.
func NoteFailure(w http.ResponseWriter, r *http.Request, status int, err error) {
	var e *psd2.Error
	if errors.As(err, &e) {
		Annotate(r.Context(), "problem", e.Reason)
		if e.RetryAfter > 0 {
			w.Header().Set("Retry-After", RetrySeconds(e))
		}
	}
	if status >= http.StatusInternalServerError {
		Annotate(r.Context(), "error", err.Error())
	}
}

// RetrySeconds is the value of Retry-After for e: whole seconds, at least one.
func RetrySeconds(e *psd2.Error) string {
	return strconv.Itoa(max(1, int(math.Ceil(e.RetryAfter.Seconds()))))
}
