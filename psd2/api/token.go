package api

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// tokenLife is short, so that a leaked token or a withdrawn key matters for
// minutes only; a new one costs the client one signature.
const tokenLife = 5 * time.Minute

const (
	grantType     = "client_credentials"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 §2.2
	maxTokenForm  = 20 << 10
)

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
}

// oauthError is an error of the token endpoint (RFC 6749 §5.2).
type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	TraceID     string `json:"trace_id"`
}

// token grants access tokens. Errors about the grant have OAuth's form; what
// any call may answer (413, 415, 429, 5xx) is a problem here too.
func (a *room) token(c echo.Context) error {
	r, w := c.Request(), c.Response()
	if err := a.perToken.Check(edge.AddrKey(edge.ClientAddr(r.Context()))); err != nil {
		return err
	}
	answer, err := a.grant(r)
	if err == nil {
		w.Header().Set("Pragma", "no-cache") // RFC 6749 §5.1; Cache-Control: no-store is on every answer
		return c.JSON(http.StatusOK, answer)
	}
	var e *psd2.Error
	if !errors.As(err, &e) || (e.Code != psd2.CodeInvalid && e.Code != psd2.CodeUnauthorized) {
		return err
	}
	edge.Annotate(r.Context(), "code", e.Reason)
	if e.Err != nil {
		edge.Annotate(r.Context(), "cause", e.Err.Error())
	}
	status := http.StatusBadRequest
	if e.Reason == "invalid_client" {
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `private_key_jwt realm="token"`)
	}
	return c.JSON(status, oauthError{Error: oauthCode(e.Reason), Description: e.Message, TraceID: edge.TraceID(r.Context())})
}

// oauthCode keeps OAuth's own codes; ours for broken forms are
// invalid_request there.
func oauthCode(reason string) string {
	switch reason {
	case "invalid_client", "invalid_scope", "unsupported_grant_type", "invalid_dpop_proof":
		return reason
	}
	return "invalid_request"
}

func (a *room) grant(r *http.Request) (*tokenAnswer, error) {
	if r.URL.RawQuery != "" { // an assertion in a URL ends up in logs
		return nil, psd2.Invalid("", "invalid_request", "parameters go into the body, not into the URL")
	}
	form, err := edge.ReadForm(r, maxTokenForm)
	if err != nil {
		return nil, err
	}
	switch grant := form.Get("grant_type"); grant {
	case grantType:
	case "":
		return nil, psd2.Invalid("", "invalid_request", "grant_type is missing")
	default:
		return nil, psd2.Invalid("", "unsupported_grant_type", "only client_credentials is supported")
	}
	client, err := a.client(r, form)
	if err != nil {
		return nil, err
	}
	proof, err := a.proof(r, "")
	if err != nil {
		return nil, err
	}
	err = a.Store.Tx(r.Context(), func(tx *store.Tx) error {
		first, err := tx.Consume("assertion", client.ClientID+"/"+client.ID, client.ExpiresAt)
		if err != nil {
			return err
		}
		if !first {
			return psd2.Fail(psd2.CodeUnauthorized, "invalid_client", "this client assertion was used before; make a new one, with a new jti, for each request")
		}
		if proof != nil {
			return consumeProof(tx, proof)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	edge.Annotate(r.Context(), "merchant_id", client.ClientID)
	m, err := a.Store.Merchant(r.Context(), client.ClientID)
	if err != nil {
		return nil, err
	}
	scopes, err := grantedScopes(form.Get("scope"), m)
	if err != nil {
		return nil, err
	}
	return a.issue(client.ClientID, scopes, proof)
}

// client authenticates the client by its assertion, the only way there is.
func (a *room) client(r *http.Request, form url.Values) (*jose.ClientAssertion, error) {
	if r.Header.Get("Authorization") != "" || form.Has("client_secret") {
		return nil, psd2.Fail(psd2.CodeUnauthorized, "invalid_client", "clients authenticate by private_key_jwt only")
	}
	if form.Get("client_assertion_type") != assertionType || form.Get("client_assertion") == "" {
		return nil, psd2.Fail(psd2.CodeUnauthorized, "invalid_client", "client_assertion and its client_assertion_type "+assertionType+" are needed")
	}
	find := func(id string) (*jose.PublicKeySet, error) {
		_, keys, err := a.merchantKeys(r.Context(), id)
		return keys, err
	}
	client, err := jose.VerifyClientAssertion(form.Get("client_assertion"), find, jose.AssertionPolicy{Issuer: a.PublicURL}, a.Now())
	if err != nil {
		return nil, err
	}
	if id := form.Get("client_id"); id != "" && id != client.ClientID {
		return nil, psd2.Fail(psd2.CodeUnauthorized, "invalid_client", "client_id and the client assertion disagree")
	}
	return client, nil
}

// grantedScopes are those asked for, or all of the merchant's when none is.
func grantedScopes(asked string, m *psd2.Merchant) ([]string, error) {
	if asked == "" {
		if len(m.Scopes) == 0 {
			return nil, psd2.Invalid("", "invalid_scope", "no scope is registered for this client")
		}
		return m.Scopes, nil
	}
	var granted []string
	for scope := range strings.SplitSeq(asked, " ") { // RFC 6749 §3.3: single spaces
		if !slices.Contains(m.Scopes, scope) {
			return nil, psd2.Invalid("", "invalid_scope", "a scope is unknown or not registered for this client")
		}
		if !slices.Contains(granted, scope) {
			granted = append(granted, scope)
		}
	}
	return granted, nil
}

func (a *room) issue(clientID string, scopes []string, proof *jose.DPoPProof) (*tokenAnswer, error) {
	now := a.Now().UTC().Truncate(time.Second)
	key, err := a.Keys.Signer(jose.ES256, now)
	if err != nil {
		return nil, err
	}
	claims := jose.AccessToken{
		Issuer: a.PublicURL, Audience: a.PublicURL, ClientID: clientID, Scopes: scopes,
		ID: psd2.NewUUID(now, a.Random), IssuedAt: now, ExpiresAt: now.Add(tokenLife),
	}
	answer := &tokenAnswer{TokenType: "Bearer", ExpiresIn: int(tokenLife.Seconds()), Scope: strings.Join(scopes, " ")}
	if proof != nil {
		claims.Thumbprint, answer.TokenType = proof.Thumbprint, "DPoP"
	}
	answer.AccessToken, err = jose.SignAccessToken(key, claims)
	return answer, err
}

// metadata answers discovery (RFC 8414).
func (a *room) metadata(c echo.Context) error {
	algs := []string{"ES256", "EdDSA", "PS256", "ES512"}
	c.Response().Header().Set("Cache-Control", "public, max-age=3600")
	return c.JSON(http.StatusOK, map[string]any{
		"issuer":                                a.PublicURL,
		"token_endpoint":                        a.PublicURL + "/oauth/token",
		"jwks_uri":                              a.PublicURL + "/.well-known/jwks.json",
		"service_documentation":                 a.PublicURL + "/docs",
		"response_types_supported":              []string{},
		"grant_types_supported":                 []string{grantType},
		"token_endpoint_auth_methods_supported": []string{"private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": algs,
		"dpop_signing_alg_values_supported":                algs,
		"scopes_supported":                                 Scopes,
	})
}

// jwks publishes our keys: receivers of webhooks verify with them.
func (a *room) jwks(c echo.Context) error {
	body, err := a.Keys.PublicJWKS(a.Now())
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "public, max-age=300")
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, body)
}
