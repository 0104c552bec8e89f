package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Scopes of access tokens. A merchant's registration says which of them his
// tokens may hold.
const (
	ScopePaymentsRead  = "payments:read"
	ScopePaymentsWrite = "payments:write"
	ScopeRefundsWrite  = "refunds:write"
	ScopePayoutsWrite  = "payouts:write"
	ScopeWebhooksWrite = "webhooks:write"
	ScopeReportsRead   = "reports:read"
	ScopeKeysWrite     = "keys:write"
)

// Scopes lists them all.
var Scopes = []string{ScopePaymentsRead, ScopePaymentsWrite, ScopeRefundsWrite, ScopePayoutsWrite, ScopeWebhooksWrite, ScopeReportsRead, ScopeKeysWrite}

// call is an authenticated request.
type call struct {
	merchant *psd2.Merchant
	keys     *jose.PublicKeySet // the merchant's registered ones
}

// authorised lets a request through to h when its token is valid and grants
// scope, and the merchant has not used up his rate.
func (a *room) authorised(scope string, h func(echo.Context, *call) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		who, err := a.authenticate(c.Request(), scope)
		if err != nil {
			return err
		}
		return h(c, who)
	}
}

// authenticate does that; "" asks for no scope.
func (a *room) authenticate(r *http.Request, scope string) (*call, error) {
	ctx := r.Context()
	token, err := a.accessToken(r)
	if err != nil {
		return nil, err
	}
	edge.Annotate(ctx, "merchant_id", token.ClientID)
	m, keys, err := a.merchantKeys(ctx, token.ClientID)
	if psd2.CodeOf(err) == psd2.CodeNotFound {
		return nil, invalidToken("the access token's client does not exist any more")
	}
	if err != nil {
		return nil, err
	}
	if scope != "" && (!token.Has(scope) || !slices.Contains(m.Scopes, scope)) { // a scope taken from the merchant ends at once
		return nil, psd2.Fail(psd2.CodeForbidden, "insufficient_scope", "this call needs the scope "+scope)
	}
	if err := a.perMerchant.Check(m.ID); err != nil {
		return nil, err
	}
	return &call{merchant: m, keys: keys}, nil
}

// accessToken verifies the token in the Authorization header and nowhere else,
// and holds it to its DPoP key (RFC 9449 §7): whoever stole a bound token
// cannot use it.
func (a *room) accessToken(r *http.Request) (*jose.AccessToken, error) {
	scheme, raw, err := credentials(r)
	if err != nil {
		return nil, err
	}
	now := a.Now()
	ours := a.Keys.Public()
	token := a.tokens.get(raw, now)
	if token == nil || !ours.Verifies(token.KeyID, now) { // a key's end is the end of what it signed
		if token, err = jose.VerifyAccessToken(raw, ours, a.PublicURL, a.PublicURL, now); err != nil {
			return nil, err
		}
		a.tokens.put(raw, token)
	}
	if bound := token.Thumbprint != ""; bound != (scheme == "dpop") {
		return nil, invalidToken("a token bound to a key is sent with the scheme DPoP, any other with Bearer")
	}
	proof, err := a.proof(r, raw)
	if err != nil {
		return nil, err
	}
	if err := jose.CheckBound(token, proof); err != nil {
		return nil, err
	}
	if proof != nil {
		err = a.Store.Tx(r.Context(), func(tx *store.Tx) error { return consumeProof(tx, proof) })
	}
	return token, err
}

func credentials(r *http.Request) (scheme, token string, err error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", "", psd2.Fail(psd2.CodeUnauthorized, "token_missing", "send an access token in the Authorization header")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	scheme = strings.ToLower(scheme)
	if len(values) != 1 || !ok || token == "" || (scheme != "bearer" && scheme != "dpop") {
		return "", "", invalidToken("the Authorization header must be Bearer or DPoP with one access token")
	}
	return scheme, token, nil
}

// proof verifies the request's DPoP proof; nil when it has none. token is ""
// at the token endpoint.
func (a *room) proof(r *http.Request, token string) (*jose.DPoPProof, error) {
	values := r.Header.Values("Dpop")
	switch len(values) {
	case 0:
		return nil, nil
	case 1:
		return jose.VerifyDPoP(values[0], jose.DPoPRequest{
			Method: r.Method, URL: a.PublicURL + r.URL.EscapedPath(), AccessToken: token,
		}, a.Now())
	}
	return nil, psd2.Fail(psd2.CodeUnauthorized, "invalid_dpop_proof", "send one DPoP proof")
}

// consumeProof takes a proof's jti, once.
func consumeProof(tx *store.Tx, proof *jose.DPoPProof) error {
	first, err := tx.Consume("dpop", proof.Thumbprint+"/"+proof.ID, proof.ExpiresAt)
	if err == nil && !first {
		return psd2.Fail(psd2.CodeUnauthorized, "invalid_dpop_proof", "this DPoP proof was used before; make a new one for each request")
	}
	return err
}

func invalidToken(message string) error {
	return psd2.Fail(psd2.CodeUnauthorized, "invalid_token", message)
}

// challenge is the WWW-Authenticate of a 401 (RFC 6750 §3, RFC 9449 §7.1).
func challenge(err error) string {
	var e *psd2.Error
	if !errors.As(err, &e) {
		return "Bearer"
	}
	switch e.Reason {
	case "invalid_token":
		return `Bearer error="invalid_token", DPoP error="invalid_token", algs="ES256 EdDSA PS256 ES512"`
	case "invalid_dpop_proof":
		return `DPoP error="invalid_dpop_proof", algs="ES256 EdDSA PS256 ES512"`
	case "token_missing":
		return `Bearer, DPoP algs="ES256 EdDSA PS256 ES512"`
	}
	return "Rialto-Signature"
}
