package jose

import (
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/rialto-hub/rialto/psd2"
)

// maxAssertionLife is how far ahead the exp of a client assertion may lie
// unless the policy says otherwise: it bounds how long a jti must be kept.
const maxAssertionLife = 5 * time.Minute

// ClientKeys finds the registered keys of a client, or returns an error when
// there is no such client. The id has the form of a key id, nothing else about
// it is known yet.
type ClientKeys func(clientID string) (*PublicKeySet, error)

// AssertionPolicy is what a client assertion must satisfy.
type AssertionPolicy struct {
	// Issuer is our issuer URL: the only accepted aud, as a string (FAPI 2.0
	// §5.3.2.1). Token endpoint URLs and lists are refused, because a list may
	// name a second server that could replay the assertion here.
	Issuer string
	// MaxLife is how far ahead exp may lie; five minutes when zero.
	MaxLife time.Duration
}

// ClientAssertion is what a valid client assertion proves. The caller accepts
// it once: it consumes ID for ClientID, kept until ExpiresAt.
type ClientAssertion struct {
	ClientID  string
	KeyID     string
	ID        string // jti
	ExpiresAt time.Time
}

type assertionClaims struct {
	Issuer    string          `json:"iss"`
	Subject   string          `json:"sub"`
	Audience  json.RawMessage `json:"aud"`
	ExpiresAt *numericDate    `json:"exp"`
	IssuedAt  *numericDate    `json:"iat"`
	NotBefore *numericDate    `json:"nbf"`
	ID        string          `json:"jti"`
}

var assertionProfile = profile{maxLength: maxJWT, members: []string{"alg", "kid", "typ"}}

// VerifyClientAssertion checks a private_key_jwt client assertion (RFC 7523,
// OpenID Connect Core §9). The client named in it only chooses whose keys it
// is checked against. The error is a *psd2.Error with reason invalid_client,
// the same for an unknown client, an unknown key and a wrong signature.
func VerifyClientAssertion(assertion string, clients ClientKeys, policy AssertionPolicy, now time.Time) (*ClientAssertion, error) {
	jws, refused := assertionProfile.parse(assertion)
	if refused != nil {
		return nil, invalidClient("the client assertion is not a JWT we accept: "+refused.Message, nil)
	}
	if typ, found := jws.member("typ"); (found || len(jws.header["typ"]) > 0) && typ != TypAssertion && typ != "client-authentication+jwt" {
		return nil, invalidClient("typ of a client assertion is JWT", nil)
	}
	var claims assertionClaims
	if err := json.Unmarshal(jws.payload, &claims); err != nil {
		return nil, invalidClient("the claims of the client assertion cannot be read", err)
	}
	if !IsKeyID(claims.Issuer) || claims.Issuer != claims.Subject {
		return nil, invalidClient("iss and sub of a client assertion are both the client_id", nil)
	}
	key, err := clientKey(jws, claims.Issuer, clients, now)
	if err != nil {
		return nil, err
	}
	if err := jws.verify(key, nil); err != nil {
		return nil, invalidClient(notAuthenticated, err)
	}
	return claims.check(key, policy, now)
}

const notAuthenticated = "the client is unknown, or the assertion is not signed with one of its keys"

func clientKey(jws *compact, clientID string, clients ClientKeys, now time.Time) (*PublicKey, error) {
	keys, err := clients(clientID)
	switch code := psd2.CodeOf(err); {
	case err == nil:
	case code == psd2.CodeUnavailable || code == psd2.CodeInternal:
		return nil, err // we could not look: that says nothing about the client
	default:
		return nil, invalidClient(notAuthenticated, err)
	}
	key, refused := jws.keyFrom(keys, now)
	if refused != nil {
		return nil, invalidClient(notAuthenticated, asCause(refused))
	}
	return key, nil
}

func (c *assertionClaims) check(key *PublicKey, policy AssertionPolicy, now time.Time) (*ClientAssertion, error) {
	life := policy.MaxLife
	if life == 0 {
		life = maxAssertionLife
	}
	audience, ok := stringMember(c.Audience)
	switch {
	case !ok || audience != policy.Issuer || audience == "":
		return nil, invalidClient("aud must be our issuer, as a string", nil)
	case c.ExpiresAt == nil:
		return nil, invalidClient("exp is missing", nil)
	case !now.Before(c.ExpiresAt.Time):
		return nil, invalidClient("the client assertion has expired", nil)
	case c.ExpiresAt.After(now.Add(life)):
		return nil, invalidClient("exp is more than "+life.String()+" ahead", nil)
	case inFuture(c.IssuedAt, now) || inFuture(c.NotBefore, now):
		return nil, invalidClient("iat or nbf is more than 60 s in the future; is the client's clock right?", nil)
	case !isJTI(c.ID):
		return nil, invalidClient("jti must be 1 to 128 visible ASCII characters", nil)
	}
	return &ClientAssertion{ClientID: c.Issuer, KeyID: key.id, ID: c.ID, ExpiresAt: c.ExpiresAt.Time}, nil
}

func invalidClient(message string, cause error) *psd2.Error {
	return denied("invalid_client", message, cause)
}

// SignClientAssertion makes the assertion with which a client asks issuer for
// a token. It lives for one minute; jti must be new each time.
func SignClientAssertion(key *Key, clientID, issuer, jti string, now time.Time) (string, error) {
	if !isJTI(jti) {
		return "", errors.New("jose: sign client assertion: jti must be 1 to 128 visible ASCII characters")
	}
	return SignJWT(key, TypAssertion, map[string]any{
		"iss": clientID,
		"sub": clientID,
		"aud": issuer,
		"iat": now.Unix(),
		"exp": now.Add(time.Minute).Unix(),
		"jti": jti,
	})
}
