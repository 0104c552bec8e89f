package jose

import (
	"crypto/subtle"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/rialto-hub/rialto/psd2"
)

// AccessToken is what an RFC 9068 access token says.
type AccessToken struct {
	Issuer    string    // our issuer URL
	Audience  string    // the API's URL
	ClientID  string    // who it was issued to; sub is the same, there is no user
	Scopes    []string  // granted scopes
	ID        string    // jti
	IssuedAt  time.Time // to the second
	ExpiresAt time.Time // to the second
	// Thumbprint is cnf.jkt: the RFC 7638 thumbprint of the DPoP key the token
	// is bound to; empty for a bearer token.
	Thumbprint string
	KeyID      string // of our key, that signed a verified one
}

// Has reports whether the token grants a scope.
func (t *AccessToken) Has(scope string) bool {
	for _, granted := range t.Scopes {
		if granted == scope {
			return true
		}
	}
	return false
}

type accessClaims struct {
	Issuer       string        `json:"iss"`
	Subject      string        `json:"sub"`
	ClientID     string        `json:"client_id"`
	Audience     string        `json:"aud"`
	ExpiresAt    *numericDate  `json:"exp"`
	IssuedAt     *numericDate  `json:"iat"`
	ID           string        `json:"jti"`
	Scope        string        `json:"scope"`
	Confirmation *confirmation `json:"cnf,omitempty"`
}

type confirmation struct {
	Thumbprint string `json:"jkt"`
}

// SignAccessToken signs a token of typ at+jwt.
func SignAccessToken(key *Key, token AccessToken) (string, error) {
	claims := accessClaims{
		Issuer:    token.Issuer,
		Subject:   token.ClientID,
		ClientID:  token.ClientID,
		Audience:  token.Audience,
		ExpiresAt: dateOf(token.ExpiresAt),
		IssuedAt:  dateOf(token.IssuedAt),
		ID:        token.ID,
		Scope:     strings.Join(token.Scopes, " "),
	}
	if token.Thumbprint != "" {
		claims.Confirmation = &confirmation{Thumbprint: token.Thumbprint}
	}
	return SignJWT(key, TypAccessToken, claims)
}

var accessProfile = profile{maxLength: maxJWT, members: []string{"alg", "kid", "typ"}}

// VerifyAccessToken checks a token that we have issued: keys are our own
// (KeySet.Public), issuer and audience must match exactly. The error is a
// *psd2.Error with reason invalid_token. The caller goes on with CheckBound.
func VerifyAccessToken(token string, keys *PublicKeySet, issuer, audience string, now time.Time) (*AccessToken, error) {
	jws, refused := accessProfile.parse(token)
	if refused != nil {
		return nil, invalidToken("the access token is not one of ours", asCause(refused))
	}
	if typ, _ := jws.member("typ"); typ != TypAccessToken {
		return nil, invalidToken("this is not an access token", nil)
	}
	key, refused := jws.keyFrom(keys, now)
	if refused != nil {
		return nil, invalidToken("the access token is not one of ours", asCause(refused))
	}
	if err := jws.verify(key, nil); err != nil {
		return nil, invalidToken("the access token is not one of ours", err)
	}
	var claims accessClaims
	if err := json.Unmarshal(jws.payload, &claims); err != nil {
		return nil, invalidToken("the access token is not one of ours", err)
	}
	verified, err := claims.check(issuer, audience, now)
	if err == nil {
		verified.KeyID = key.id
	}
	return verified, err
}

func (c *accessClaims) check(issuer, audience string, now time.Time) (*AccessToken, error) {
	switch {
	case c.Issuer != issuer || c.Audience != audience || c.ClientID == "" || c.Subject != c.ClientID || c.ID == "":
		return nil, invalidToken("the access token was issued for something else", nil)
	case c.ExpiresAt == nil || !now.Before(c.ExpiresAt.Time):
		return nil, invalidToken("the access token has expired", nil)
	case c.IssuedAt == nil || inFuture(c.IssuedAt, now):
		return nil, invalidToken("the access token is not valid yet", nil)
	}
	token := &AccessToken{
		Issuer: c.Issuer, Audience: c.Audience, ClientID: c.ClientID, ID: c.ID,
		Scopes: strings.Fields(c.Scope), IssuedAt: c.IssuedAt.Time, ExpiresAt: c.ExpiresAt.Time,
	}
	if c.Confirmation != nil {
		if c.Confirmation.Thumbprint == "" {
			return nil, invalidToken("the access token is bound in a way we do not know", nil)
		}
		token.Thumbprint = c.Confirmation.Thumbprint
	}
	return token, nil
}

func invalidToken(message string, cause error) *psd2.Error {
	return denied("invalid_token", message, cause)
}

// CheckBound holds a token to its DPoP key: a bound token needs a proof by
// that very key, and a proof needs a bound token (RFC 9449 §7.1), so a stolen
// token is worthless without the key. proof is nil when none was sent.
func CheckBound(token *AccessToken, proof *DPoPProof) error {
	switch {
	case token.Thumbprint == "" && proof == nil:
		return nil
	case token.Thumbprint == "":
		return invalidToken("a DPoP proof was sent with a token that is not bound to a key", nil)
	case proof == nil:
		return invalidToken("the access token is bound to a key: send a DPoP proof", nil)
	case subtle.ConstantTimeCompare([]byte(token.Thumbprint), []byte(proof.Thumbprint)) != 1:
		return invalidToken("the access token is bound to another key", nil)
	}
	return nil
}
