package verify

// Reason says which kind of thing is wrong with a refused delivery.
type Reason string

// The reasons, and whom they usually point to.
const (
	ReasonHeader    Reason = "header"    // a webhook header is missing, repeated or malformed: a proxy, or not a webhook
	ReasonClock     Reason = "clock"     // signed more than five minutes from now: a clock is wrong, or it is a replay
	ReasonKey       Reason = "key"       // no key that we hold could have made any of the signatures: configuration
	ReasonSignature Reason = "signature" // our key, but not these bytes: a forgery, or the wrong secret
	ReasonBody      Reason = "body"      // the body was altered on the way in, is too large, or is not an event
)

// Error is the only error of this package's verification. Message is fit for
// the receiver's log; it quotes neither keys nor bodies.
type Error struct {
	Reason  Reason
	Message string
	Err     error // cause, where there is one
}

func (e *Error) Error() string {
	s := "webhook " + string(e.Reason) + ": " + e.Message
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

func refuse(reason Reason, message string) *Error { return &Error{Reason: reason, Message: message} }
