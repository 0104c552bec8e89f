package berlingroup

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// login is one authorisation request and what came of it. The server it was
// made to is part of it: a return is answered to that server only, whatever
// the return says (mix-up, RFC 9700 §4.4).
type login struct {
	State    string    `json:"state,omitempty"`
	Verifier string    `json:"verifier,omitempty"` // PKCE
	Issuer   string    `json:"issuer"`
	Named    bool      `json:"named,omitempty"` // the return must carry iss (RFC 9207)
	TokenURL string    `json:"token_url"`
	ReturnTo string    `json:"return_to,omitempty"`
	Token    string    `json:"token,omitempty"`
	Expires  time.Time `json:"expires,omitzero"` // of the token; zero when the bank does not say
	Refresh  string    `json:"refresh,omitempty"`
}

// metadata is what we use of an authorisation server's (RFC 8414 §2).
type metadata struct {
	Issuer    string   `json:"issuer"`
	Authorize string   `json:"authorization_endpoint"`
	Token     string   `json:"token_endpoint"`
	Methods   []string `json:"code_challenge_methods_supported"`
	SendsIss  bool     `json:"authorization_response_iss_parameter_supported"`
}

// oauthServer remembers metadata for a while, and tokens that were renewed.
type oauthServer struct {
	mu      sync.Mutex
	from    string
	known   metadata
	until   time.Time
	renewed map[string]login // by digest of the refresh token of the order's state
}

const metadataLife = 10 * time.Minute

// Prepare implements banks.Preparer at a bank that wants its customer to log in
// before it takes an order (OAuth2 pre-step).
func (b *Bank) Prepare(ctx context.Context, o banks.Order) (banks.Initiation, error) {
	if !b.p.OAuth.Before {
		return banks.Initiation{}, unsendable("NOTHING_TO_PREPARE")
	}
	if code := b.fault(o); code != "" { // better now than after the login
		return banks.Initiation{}, unsendable(code)
	}
	st := state{Version: 1}
	v := visit{requestID: o.RequestID, traceID: o.TraceID, psu: o.PSU, returnURL: o.ReturnURL}
	prompt, failure := b.authorizationRequest(ctx, &st, b.p.OAuth.MetadataURL, b.p.OAuth.Scope, v)
	if failure != nil {
		return banks.Initiation{}, failure
	}
	return banks.Initiation{State: st.opaque(), Approach: banks.Redirect, Prompt: prompt}, nil
}

// integrated sends the payer to authorise the order with a token request
// (integrated OAuth, scope PIS:<paymentId>). The profile's metadata count
// before the link's: a link may lead only where the bank itself is.
func (b *Bank) integrated(ctx context.Context, st *state, link string, v visit) (psd2.Prompt, *banks.Error) {
	from := b.p.OAuth.MetadataURL
	if from == "" {
		from = link
	}
	return b.authorizationRequest(ctx, st, from, "PIS:"+st.ID, v)
}

// authorizationRequest makes state, PKCE verifier and the address of the
// authorisation server for one login.
func (b *Bank) authorizationRequest(ctx context.Context, st *state, from, scope string, v visit) (psd2.Prompt, *banks.Error) {
	m, failure := b.server(ctx, from, v)
	if failure != nil {
		return psd2.Prompt{}, failure
	}
	where, ok := b.redirect(m.Authorize)
	if !ok {
		return psd2.Prompt{}, &banks.Error{Kind: banks.Uncertain, Code: "REDIRECT_NOT_ALLOWED"}
	}
	var secrets [64]byte
	if _, err := io.ReadFull(b.random, secrets[:]); err != nil {
		return psd2.Prompt{}, &banks.Error{Kind: banks.Unavailable, Code: "NO_RANDOMNESS"}
	}
	b64 := base64.RawURLEncoding
	st.Login = &login{State: b64.EncodeToString(secrets[:32]), Verifier: b64.EncodeToString(secrets[32:]),
		Issuer: m.Issuer, Named: m.SendsIss || b.p.OAuth.RequireIss, TokenURL: m.Token, ReturnTo: v.returnURL}
	u, err := url.Parse(where)
	if err != nil {
		return psd2.Prompt{}, &banks.Error{Kind: banks.Uncertain, Code: "REDIRECT_NOT_ALLOWED"}
	}
	q := u.Query()
	for name, value := range map[string]string{
		"response_type": "code", "client_id": b.p.clientID, "redirect_uri": v.returnURL, "scope": scope, "state": st.Login.State,
		"code_challenge": challengeOf(st.Login.Verifier), "code_challenge_method": "S256",
	} {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: u.String()}, nil
}

// challengeOf is PKCE's S256 (RFC 7636 §4.2).
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// server gives the authorisation server's endpoints: the profile's, or those
// its metadata name. What could lead elsewhere is refused: the metadata, the
// issuer and the token endpoint belong to the bank, the issuer is the one the
// profile names, and PKCE is S256 (RFC 8414 §3.3, RFC 9700 §2.1.1).
func (b *Bank) server(ctx context.Context, from string, v visit) (metadata, *banks.Error) {
	if o := b.p.OAuth; o.AuthorizationEndpoint != "" {
		return metadata{Issuer: o.Issuer, Authorize: o.AuthorizationEndpoint, Token: o.TokenEndpoint, SendsIss: o.RequireIss}, nil
	}
	u, err := url.Parse(from)
	if err == nil && !u.IsAbs() {
		u = b.p.base.JoinPath("/").ResolveReference(u)
	}
	if err != nil || !b.belongs(u) {
		return metadata{}, &banks.Error{Kind: banks.Uncertain, Code: "LINK_NOT_ALLOWED"}
	}
	b.oauth.mu.Lock()
	if b.oauth.from == u.String() && b.client.now().Before(b.oauth.until) {
		defer b.oauth.mu.Unlock()
		return b.oauth.known, nil
	}
	b.oauth.mu.Unlock()
	rep, failure := b.client.do(ctx, request{what: "oauth metadata", method: http.MethodGet, url: u, header: http.Header{}, foreign: true,
		requestID: v.id("metadata"), traceID: v.traceID})
	if failure != nil {
		return metadata{}, failure
	}
	var m metadata
	if rep.status != http.StatusOK || rep.json == nil || json.Unmarshal(rep.json, &m) != nil || !b.usable(m, u) {
		return metadata{}, oddly(rep, "OAUTH_METADATA_NOT_USABLE")
	}
	b.oauth.mu.Lock()
	defer b.oauth.mu.Unlock()
	b.oauth.from, b.oauth.known, b.oauth.until = u.String(), m, b.client.now().Add(metadataLife)
	return m, nil
}

func (b *Bank) usable(m metadata, from *url.URL) bool {
	issuer, err := url.Parse(m.Issuer)
	token, tokenErr := url.Parse(m.Token)
	switch {
	case err != nil || tokenErr != nil || m.Issuer == "" || m.Token == "":
		return false
	case b.p.OAuth.Issuer != "" && m.Issuer != b.p.OAuth.Issuer:
		return false
	case b.p.OAuth.Issuer == "" && origin(issuer) != origin(from):
		return false
	}
	return b.belongs(token) && (m.Methods == nil || slices.Contains(m.Methods, "S256"))
}

// belongs reports whether an address is the bank's: of its interface's origin,
// or of the issuer's that the profile names.
func (b *Bank) belongs(u *url.URL) bool {
	if u.User != nil || u.Fragment != "" || u.Opaque != "" || !b.p.mayVisit(u) {
		return false
	}
	if origin(u) == origin(b.p.base) {
		return true
	}
	issuer, err := url.Parse(b.p.OAuth.Issuer)
	return err == nil && b.p.OAuth.Issuer != "" && origin(u) == origin(issuer)
}

// loggedIn reads what Prepare and Return made, where the bank wants a login
// before the order.
func (b *Bank) loggedIn(o banks.Order) (state, error) {
	if !b.p.OAuth.Before {
		return state{}, nil
	}
	st, err := b.restore(banks.Ref{State: o.State, RequestID: o.RequestID})
	if err != nil {
		return st, err
	}
	if st.token() == "" || st.Payment != "" || !st.Login.Expires.IsZero() && !b.client.now().Before(st.Login.Expires) {
		return st, unsendable("LOGIN_MISSING")
	}
	return st, nil
}

// Return implements banks.Returner: it takes an authorisation code to the
// token endpoint, or a confirmation code to the bank. What a return says of the
// order is not believed; without a code to take anywhere it is nothing.
func (b *Bank) Return(ctx context.Context, r banks.Ref, query url.Values) (banks.Initiation, error) {
	st, err := b.restore(r)
	if err != nil {
		return banks.Initiation{}, err
	}
	switch {
	case st.Login != nil && st.Login.Token == "":
		return b.exchange(ctx, st, r, query)
	case st.Confirm != "" && query.Has(b.p.ConfirmationParameter):
		return b.confirm(ctx, st, r, query)
	}
	return banks.Initiation{}, nil
}

// single gives a parameter, "" when it is absent; false when it is there twice
// or is nothing a server would send.
func single(q url.Values, name string) (string, bool) {
	switch v := q[name]; len(v) {
	case 0:
		return "", true
	case 1:
		odd := strings.IndexFunc(v[0], func(r rune) bool { return r < ' ' || r > '~' })
		return v[0], len(v[0]) <= 4096 && odd < 0
	}
	return "", false
}

// ours checks that a return answers the request that this login made, and gives
// the code (B21). Nothing is sent before all of it holds.
func (l *login) ours(q url.Values) (code string, err error) {
	got := map[string]string{}
	for _, name := range []string{"state", "iss", "code", "error"} {
		value, ok := single(q, name)
		if !ok {
			return "", unsendable("RETURN_AMBIGUOUS")
		}
		got[name] = value
	}
	switch {
	case l.State == "" || subtle.ConstantTimeCompare([]byte(got["state"]), []byte(l.State)) != 1:
		return "", unsendable("RETURN_OF_ANOTHER_REQUEST")
	case got["iss"] != "" && got["iss"] != l.Issuer, got["iss"] == "" && (l.Named || q.Has("iss")):
		return "", unsendable("RETURN_OF_ANOTHER_BANK")
	case got["error"] != "":
		return "", &banks.Error{Kind: banks.Refused, Code: codeText(got["error"])}
	case got["code"] == "":
		return "", unsendable("RETURN_WITHOUT_CODE")
	}
	return got["code"], nil
}

// exchange swaps the code for a token, at the server the login was made to.
func (b *Bank) exchange(ctx context.Context, st state, r banks.Ref, query url.Values) (banks.Initiation, error) {
	code, err := st.Login.ours(query)
	if err != nil {
		return banks.Initiation{}, err
	}
	u, err := url.Parse(st.Login.TokenURL)
	if err != nil || !b.belongs(u) {
		return banks.Initiation{}, unsendable("STATE_INVALID")
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {st.Login.ReturnTo}, "code_verifier": {st.Login.Verifier}}
	rep, failure := b.tokenRequest(ctx, u, form, r.RequestID, r.TraceID)
	if failure != nil {
		return banks.Initiation{}, failure
	}
	if rep.status != http.StatusOK {
		return banks.Initiation{}, tokenRefused(rep, b.client.now())
	}
	if !st.Login.take(rep.json, b.client.now()) {
		return banks.Initiation{}, oddly(rep, "TOKEN_UNREADABLE")
	}
	return banks.Initiation{State: st.opaque(), Approach: banks.Redirect, Ready: st.Payment == ""}, nil
}

// confirm takes the confirmation code of a return to the bank: proof that the
// one who came back is the one who authorised.
func (b *Bank) confirm(ctx context.Context, st state, r banks.Ref, query url.Values) (banks.Initiation, error) {
	code, ok := single(query, b.p.ConfirmationParameter)
	u, allowed := b.resolve(st.Confirm)
	if !ok || code == "" || !allowed {
		return banks.Initiation{}, unsendable("RETURN_WITHOUT_CODE")
	}
	body, err := json.Marshal(map[string]string{"confirmationCode": code})
	if err != nil {
		return banks.Initiation{}, unsendable("RETURN_WITHOUT_CODE")
	}
	rep, failure := b.client.do(ctx, request{what: "confirm", method: http.MethodPut, url: u, header: psuHeaders(r.PSU, ""), body: body,
		token: st.token(), requestID: r.RequestID, traceID: r.TraceID})
	if failure != nil {
		return banks.Initiation{}, failure
	}
	if !success(rep) {
		return banks.Initiation{}, failed(rep, false, b.client.now())
	}
	a, _ := parse(rep.json)
	st.Confirm = ""
	return banks.Initiation{State: st.opaque(), Approach: banks.Redirect, SCA: a.code("scaStatus"), Status: b.status(a)}, nil
}
