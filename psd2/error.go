package psd2

import (
	"errors"
	"time"
)

// Code says what kind of failure an error is. The web edge maps it to an HTTP
// status in one place (psd2/edge); nothing else does.
type Code string

// The kinds of failure.
const (
	CodeInvalid       Code = "invalid"        // the request is wrong; nothing changed
	CodeUnauthorized  Code = "unauthorized"   // who are you
	CodeForbidden     Code = "forbidden"      // known, but not allowed
	CodeNotFound      Code = "not_found"      // absent, or another tenant's
	CodeConflict      Code = "conflict"       // the present state does not allow it
	CodeUnprocessable Code = "unprocessable"  // well-formed, but contradicts an earlier request
	CodeTooLarge      Code = "too_large"      // more bytes than we read
	CodeMediaType     Code = "media_type"     // not the content type we read
	CodeRateLimited   Code = "rate_limited"   // slow down; see RetryAfter
	CodeUnavailable   Code = "unavailable"    // we or the bank can't just now; nothing changed
	CodeInternal      Code = "internal_error" // our fault; never explained outside
)

// Error is the only error whose words may reach the outside. Everything else
// is shown as an internal error with nothing but its trace id.
type Error struct {
	Code       Code
	Reason     string        // stable machine code for the caller, e.g. "idempotency_key_reused"
	Message    string        // one sentence for a person; holds no personal data and no internals
	Field      string        // JSON path of the offending field, if one is to blame
	RetryAfter time.Duration // with CodeRateLimited and CodeUnavailable
	Err        error         // cause, for the log only
}

func (e *Error) Error() string {
	s := string(e.Code) + " " + e.Reason + ": " + e.Message
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf-free constructors: the words are constants, so nothing personal slips
// into them.

// Invalid says which field of a request is wrong.
func Invalid(field, reason, message string) *Error {
	return &Error{Code: CodeInvalid, Reason: reason, Message: message, Field: field}
}

// Fail makes an error of any code.
func Fail(code Code, reason, message string) *Error {
	return &Error{Code: code, Reason: reason, Message: message}
}

// NotFound is the one answer for what does not exist and for what belongs to
// somebody else.
func NotFound(what string) *Error {
	return &Error{Code: CodeNotFound, Reason: what + "_not_found", Message: "there is no such " + what}
}

// CodeOf returns the code of the first *Error in err's chain, or CodeInternal.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
