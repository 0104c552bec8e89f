package jose

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
)

// HeaderSignature is the HTTP header that carries a detached JWS, on a
// merchant's request and on our webhooks.
const HeaderSignature = "Rialto-Signature"

// Bounds of a request signature. The longest honest one, PS256 with a 4096 bit
// key and several header names, stays under 1,200 characters.
const (
	maxSignature     = 4096
	maxSignedHeaders = 16
	requestMaxAge    = 5 * time.Minute
)

// idempotencyKey must be among the signed headers: without it a captured
// request could be sent again under another key, and pay twice.
const idempotencyKey = "Idempotency-Key"

var requestProfile = profile{
	maxLength: maxSignature,
	detached:  true,
	members:   []string{"alg", "kid", "iat", "sig_headers"},
}

// Header is one header of a request that is to be signed.
type Header struct{ Name, Value string }

// SignRequest returns the value of Rialto-Signature for a request. target is
// the path with its query exactly as sent ("/v1/payments?x=1"), headers are
// those to sign, in order, and must include Idempotency-Key; body is the raw
// bytes as sent. The signed bytes are
//
//	METHOD SP target LF  { Name ": " value LF }  body
func SignRequest(key *Key, method, target string, headers []Header, body []byte, now time.Time) (string, error) {
	if method == "" || !isToken(method) {
		return "", errors.New("jose: sign request: the method is not a token")
	}
	if err := checkTarget(target); err != nil {
		return "", err
	}
	names := make([]string, len(headers))
	for i, header := range headers {
		names[i] = header.Name
		if strings.ContainsAny(header.Value, "\r\n\x00") || header.Value != strings.Trim(header.Value, " \t") {
			return "", errors.New("jose: sign request: a header value has line breaks or outer spaces, which do not survive HTTP")
		}
	}
	list := strings.Join(names, ",")
	if _, refused := parseSignedHeaders(list); refused != nil {
		return "", errors.New("jose: sign request: " + refused.Message)
	}
	signature, err := key.sign(canonicalRequest(method, target, headers, body), map[gojose.HeaderKey]any{
		"kid":         key.ID(),
		"iat":         now.Unix(),
		"sig_headers": list,
	}, true)
	if err != nil {
		return "", err
	}
	return signature, nil
}

func checkTarget(target string) error {
	if !strings.HasPrefix(target, "/") {
		return errors.New("jose: sign request: the target is the path with its query, beginning with /")
	}
	for i := range len(target) {
		if target[i] <= ' ' || target[i] == 0x7f || target[i] == '#' {
			return errors.New("jose: sign request: the target must be percent-encoded as it is sent, without fragment")
		}
	}
	return nil
}

// VerifiedRequest is what a valid Rialto-Signature proves.
type VerifiedRequest struct {
	KeyID         string
	Algorithm     Algorithm
	IssuedAt      time.Time
	SignedHeaders []string // as listed by the client
	// Digest is the SHA-256 of the signed bytes: evidence of what exactly the
	// merchant has asked for.
	Digest [sha256.Size]byte
}

// VerifyRequest checks the Rialto-Signature of a request: signature is the
// header's value, keys are that client's registered keys, target is what the
// request line held (http.Request.RequestURI), body the raw bytes before any
// parsing. The error is a *SignatureError that names the part that fails, and
// unwraps to a *psd2.Error.
func VerifyRequest(signature string, keys *PublicKeySet, method, target string, header http.Header, body []byte, now time.Time) (*VerifiedRequest, error) {
	verified, err := verifyRequest(signature, keys, method, target, header, body, now)
	if err != nil {
		return nil, err
	}
	return verified, nil
}

func verifyRequest(signature string, keys *PublicKeySet, method, target string, header http.Header, body []byte, now time.Time) (*VerifiedRequest, *SignatureError) {
	jws, refused := requestProfile.parse(signature)
	if refused != nil {
		return nil, refused
	}
	key, refused := jws.keyFrom(keys, now)
	if refused != nil {
		return nil, refused
	}
	issuedAt, refused := jws.issuedAt(now, requestMaxAge)
	if refused != nil {
		return nil, refused
	}
	list, ok := jws.member("sig_headers")
	if !ok {
		return nil, refuse(PartHeader, "sig_headers is missing or not a string")
	}
	names, refused := parseSignedHeaders(list)
	if refused != nil {
		return nil, refused
	}
	headers := make([]Header, len(names))
	for i, name := range names {
		values := header.Values(name)
		if len(values) != 1 {
			return nil, refuse(PartHeader, "sig_headers lists "+http.CanonicalHeaderKey(name)+", which the request must carry exactly once")
		}
		headers[i] = Header{Name: name, Value: values[0]}
	}
	payload := canonicalRequest(method, target, headers, body)
	digest := sha256.Sum256(payload)
	if err := jws.verify(key, payload); err != nil {
		return nil, &SignatureError{
			Part:    PartSignature,
			Message: "the signature does not match: compare the SHA-256 of the bytes you signed with ours; method, path with query, header values and the raw body must be exactly as sent",
			Digest:  hex.EncodeToString(digest[:]),
		}
	}
	return &VerifiedRequest{KeyID: key.id, Algorithm: key.alg, IssuedAt: issuedAt, SignedHeaders: names, Digest: digest}, nil
}

// parseSignedHeaders reads the comma-separated list of header names.
func parseSignedHeaders(list string) ([]string, *SignatureError) {
	if len(list) > 1024 || strings.Count(list, ",") >= maxSignedHeaders {
		return nil, refuse(PartHeader, "sig_headers lists more than 16 headers")
	}
	names := strings.Split(list, ",")
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if len(name) > 64 || !isToken(name) {
			return nil, refuse(PartHeader, "sig_headers must be header names separated by commas, without spaces")
		}
		canonical := http.CanonicalHeaderKey(name)
		if seen[canonical] {
			return nil, refuse(PartHeader, "sig_headers lists "+canonical+" twice")
		}
		seen[canonical] = true
	}
	if !seen[idempotencyKey] {
		return nil, refuse(PartHeader, "sig_headers must include Idempotency-Key")
	}
	if seen[HeaderSignature] {
		return nil, refuse(PartHeader, "sig_headers must not list Rialto-Signature itself")
	}
	return names, nil
}

// canonicalRequest builds the signed bytes. The header section cannot be
// mistaken for the body, because sig_headers, which is signed too, says how
// many lines it has and HTTP lets no line break into a value.
func canonicalRequest(method, target string, headers []Header, body []byte) []byte {
	size := len(method) + len(target) + 2 + len(body)
	for _, header := range headers {
		size += len(header.Name) + len(header.Value) + 3
	}
	payload := make([]byte, 0, size)
	payload = append(payload, method...)
	payload = append(payload, ' ')
	payload = append(payload, target...)
	payload = append(payload, '\n')
	for _, header := range headers {
		payload = append(payload, header.Name...)
		payload = append(payload, ": "...)
		payload = append(payload, header.Value...)
		payload = append(payload, '\n')
	}
	return append(payload, body...)
}

// isToken reports whether s is an RFC 9110 §5.6.2 token.
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !isBase64URL(c) && strings.IndexByte("!#$%&'*+.^`|~", c) < 0 {
			return false
		}
	}
	return true
}
