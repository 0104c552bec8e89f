package berlingroup

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rialto-hub/rialto/banks"
)

// tokenRequest asks a token endpoint. The bank authenticates us by the
// connection's certificate, or by a secret where the profile has one.
func (b *Bank) tokenRequest(ctx context.Context, u *url.URL, form url.Values, requestID, traceID string) (*reply, *banks.Error) {
	form.Set("client_id", b.p.clientID)
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if b.p.clientSecret != "" {
		header.Set("Authorization", basic(b.p.clientID, b.p.clientSecret))
	}
	return b.client.do(ctx, request{what: "oauth token", method: http.MethodPost, url: u, header: header, body: []byte(form.Encode()), foreign: true,
		requestID: requestID, traceID: traceID})
}

// basic writes client_secret_basic (RFC 6749 §2.3.1).
func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// take reads the token and forgets what was needed to get it.
func (l *login) take(body []byte, now time.Time) bool {
	var t struct {
		Token   string `json:"access_token"`
		Type    string `json:"token_type"`
		Expires int64  `json:"expires_in"`
		Refresh string `json:"refresh_token"`
	}
	if body == nil || json.Unmarshal(body, &t) != nil || !strings.EqualFold(t.Type, "Bearer") || t.Token == "" || len(t.Token) > 8192 ||
		strings.IndexFunc(t.Token, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return false
	}
	l.Token, l.State, l.Verifier, l.ReturnTo, l.Expires = t.Token, "", "", "", time.Time{}
	if t.Refresh != "" && len(t.Refresh) <= 8192 {
		l.Refresh = t.Refresh
	}
	if t.Expires > 0 {
		l.Expires = now.Add(time.Duration(min(t.Expires, 10*365*24*3600)) * time.Second)
	}
	return true
}

// tokenRefused reads an error of the token endpoint (RFC 6749 §5.2).
func tokenRefused(rep *reply, now time.Time) *banks.Error {
	failure := failed(rep, false, now)
	a, ok := parse(rep.json)
	if why := a.code("error"); ok && why != "" && rep.status < 500 {
		failure.Kind, failure.Code = banks.Refused, why
	}
	return failure
}

// maxRenewed bounds the tokens that are remembered.
const maxRenewed = 4096

// bearer gives the token to call the bank with. One that has run out is
// renewed, where the bank gave the means; the new one is remembered by this
// process, since an order's state does not change with a question. When it
// cannot be renewed the old one goes out, and the bank says what it thinks.
func (b *Bank) bearer(ctx context.Context, st state, r banks.Ref) string {
	l := st.Login
	now := b.client.now()
	if l == nil || l.Token == "" || l.Refresh == "" || l.Expires.IsZero() || now.Before(l.Expires) {
		return st.token()
	}
	key := digest(l.Refresh)
	b.oauth.mu.Lock()
	last, known := b.oauth.renewed[key]
	b.oauth.mu.Unlock()
	if known && (last.Expires.IsZero() || now.Before(last.Expires)) {
		return last.Token
	}
	if !known {
		last = *l
	}
	u, err := url.Parse(l.TokenURL)
	if err != nil || !b.belongs(u) {
		return l.Token
	}
	v := visit{requestID: r.RequestID}
	rep, failure := b.tokenRequest(ctx, u, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {last.Refresh}}, v.id("refresh"), r.TraceID)
	if failure != nil || rep.status != http.StatusOK || !last.take(rep.json, now) {
		return l.Token
	}
	b.oauth.mu.Lock()
	defer b.oauth.mu.Unlock()
	if b.oauth.renewed == nil || len(b.oauth.renewed) >= maxRenewed {
		b.oauth.renewed = map[string]login{}
	}
	b.oauth.renewed[key] = last
	return last.Token
}
