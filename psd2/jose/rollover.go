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
// new key that names the client and the old key. So whoever has only one of the
// two replaces nothing: the old key's thief has to bring a key of his own, and
// nobody can have a stranger's key registered as his.

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

// jwk is allowed as in a DPoP proof: the JWS shows possession of the key it
// brings, and trust comes from the request around it.
var rolloverProfile = profile{maxLength: maxJWT, members: []string{"alg", "typ", "jwk"}}

// VerifyRollover checks the inner JWS of a request that replaces a key and
// returns the new key, whose kid is one that can be registered. The error is a
// *psd2.Error about the field new_key.
func VerifyRollover(inner string, request RolloverRequest, now time.Time) (*PublicKey, error) {
	jws, refused := rolloverProfile.parse(inner)
	if refused != nil {
		return nil, invalidRollover("this is not a JWS we accept: " + refused.Message)
	}
	if typ, _ := jws.member("typ"); typ != TypRollover {
		return nil, invalidRollover("its typ is " + TypRollover)
	}
	key, err := parsePublicKey(jws.header["jwk"], "jwk")
	if err != nil {
		return nil, invalidRollover("its jwk is not a public key that we take, and only that")
	}
	switch {
	case !IsKeyID(key.id):
		return nil, invalidRollover("its jwk needs a kid of 1 to 64 characters of A-Z, a-z, 0-9, _ and -")
	case key.alg != jws.alg:
		return nil, invalidRollover("its alg is not the algorithm of its jwk")
	case jws.verify(key, nil) != nil:
		return nil, invalidRollover("it is not signed with the key in its jwk")
	}
	var claims rolloverClaims
	if err := json.Unmarshal(jws.payload, &claims); err != nil {
		return nil, invalidRollover("its claims cannot be read")
	}
	switch {
	case claims.Issuer != request.ClientID || request.ClientID == "":
		return nil, invalidRollover("its iss is not your client id")
	case claims.Audience != request.URL || request.URL == "":
		return nil, invalidRollover("its aud is not the URL it is sent to")
	case subtle.ConstantTimeCompare([]byte(claims.Replaces), []byte(request.Replaces)) != 1 || request.Replaces == "":
		return nil, invalidRollover("replaces is not the RFC 7638 thumbprint of the key that signs the request")
	case claims.IssuedAt == nil || claims.IssuedAt.Before(now.Add(-requestMaxAge)) || inFuture(claims.IssuedAt, now):
		return nil, invalidRollover("its iat is missing, more than five minutes ago or more than 60 s in the future")
	}
	return key, nil
}

func invalidRollover(message string) error {
	return psd2.Invalid("new_key", "new_key_invalid", message)
}

// SignRollover makes the inner JWS with the new key, as a client does.
func SignRollover(next *Key, request RolloverRequest, now time.Time) (string, error) {
	claims := rolloverClaims{Issuer: request.ClientID, Audience: request.URL, Replaces: request.Replaces, IssuedAt: dateOf(now)}
	return signJWT(next, claims, map[gojose.HeaderKey]any{"typ": TypRollover, "jwk": next.public.jwk()})
}
