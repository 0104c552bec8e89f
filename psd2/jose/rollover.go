package jose

import (
	"crypto/subtle"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/rialto-hub/rialto/psd2"
)

// A client replaces a registered key the way an ACME account does (RFC 8555
// §7.3.5): the old key signs the request, and the request holds a JWS by the
// new key that names the client and the old key. So nobody gets in by the new key
// alone, nor has a stranger's key registered as his. Who has the old key can bring
// one of his own: it is the notice of it that gives him away.

// TypRollover is typ of the inner JWS.
const TypRollover = "key-rollover+jwt"

// RolloverRequest is the request that an inner JWS must be about.
type RolloverRequest struct {
	ClientID string
	URL      string // absolute, as the client knows it
	Replaces string // thumbprint of the key that signs the request
}

type rolloverClaims struct {
	Issuer   string       `json:"iss"`
	Audience string       `json:"aud"`
	Replaces string       `json:"replaces"`
	IssuedAt *numericDate `json:"iat"`
}

// VerifyRollover checks the inner JWS of a request that replaces a key and
// returns the new key, whose kid is one that can be registered. The error is a
// *psd2.Error about the field new_key.
func VerifyRollover(inner string, request RolloverRequest, now time.Time) (*PublicKey, error) {
	jws, key, err := parseOwnKey(inner, TypRollover, "rollover", invalidRollover)
	if err != nil {
		return nil, err
	}
	if !IsKeyID(key.id) {
		return nil, invalidRollover("jwk of a rollover needs a kid of 1 to 64 characters of A-Z, a-z, 0-9, _ and -", nil)
	}
	var claims rolloverClaims
	if err := json.Unmarshal(jws.payload, &claims); err != nil {
		return nil, invalidRollover("the claims of the rollover cannot be read", err)
	}
	switch {
	case claims.Issuer != request.ClientID || request.ClientID == "":
		return nil, invalidRollover("iss of a rollover is your client id", nil)
	case claims.Audience != request.URL || request.URL == "":
		return nil, invalidRollover("aud of a rollover is the URL it is sent to", nil)
	case subtle.ConstantTimeCompare([]byte(claims.Replaces), []byte(request.Replaces)) != 1 || request.Replaces == "":
		return nil, invalidRollover("replaces is not the RFC 7638 thumbprint of the key that signs the request", nil)
	case !recent(claims.IssuedAt, requestMaxAge, now):
		return nil, invalidRollover("iat of the rollover is missing, more than five minutes ago or more than 60 s in the future", nil)
	}
	return key, nil
}

func invalidRollover(message string, cause error) *psd2.Error {
	return &psd2.Error{Code: psd2.CodeInvalid, Reason: "new_key_invalid", Field: "new_key", Message: message, Err: cause}
}

// SignRollover makes the inner JWS with the new key, as a client does.
func SignRollover(next *Key, request RolloverRequest, now time.Time) (string, error) {
	claims := rolloverClaims{Issuer: request.ClientID, Audience: request.URL, Replaces: request.Replaces, IssuedAt: dateOf(now)}
	return signJWT(next, claims, map[gojose.HeaderKey]any{"typ": TypRollover, "jwk": next.public.jwk()})
}
