package jose

import (
	"github.com/rialto-hub/rialto/psd2"
)

// Part names the part of a signed message that made verification fail, so that
// a client can be told what to look at.
type Part string

// The parts, in the order in which they are checked.
const (
	PartForm      Part = "form"      // not a compact JWS of this profile
	PartAlg       Part = "alg"       // an algorithm we do not take, or not this key's
	PartKid       Part = "kid"       // missing, malformed, or not one of the sender's keys
	PartIat       Part = "iat"       // missing, or outside the window
	PartHeader    Part = "header"    // sig_headers and the request's headers disagree
	PartSignature Part = "signature" // everything is in order but the signature does not match these bytes
)

// SignatureError says which part of a signature fails and why. Message is made
// of our words and of header names only; it never quotes values.
type SignatureError struct {
	Part    Part
	Message string
	// Digest is the lower-case hex SHA-256 of the bytes that we believe were
	// signed. It is set with PartSignature only: a client that hashes its own
	// bytes sees at once whether the bytes or the key differ.
	Digest string
}

func (e *SignatureError) Error() string { return "signature " + string(e.Part) + ": " + e.Message }

// Unwrap gives the error in the vocabulary of the web edge: what is malformed
// is invalid, what is well-formed and not believed is unauthorized.
func (e *SignatureError) Unwrap() error {
	code := psd2.CodeUnauthorized
	if e.Part == PartForm || e.Part == PartHeader {
		code = psd2.CodeInvalid
	}
	return &psd2.Error{Code: code, Reason: "signature_" + string(e.Part), Message: e.Message}
}

func refuse(part Part, message string) *SignatureError {
	return &SignatureError{Part: part, Message: message}
}

// invalidKey is how registration of a key is refused.
func invalidKey(field, message string) *psd2.Error {
	return psd2.Invalid(field, "jwks_invalid", message)
}
