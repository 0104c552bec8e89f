package jose_test

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
)

const (
	issuer   = "https://pay.localhost"
	api      = "https://pay.localhost/v1"
	clientID = "mer_01jd9t0000000000000000000a"
)

func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	var refused *psd2.Error
	if !errors.As(err, &refused) || refused.Code != psd2.CodeUnauthorized || refused.Reason != reason {
		t.Fatalf("got %v, want a refusal with %s", err, reason)
	}
}

// sign makes a JWT with any header and claims, as an attacker can.
func sign(t *testing.T, key *jose.Key, header map[string]any, claims any) string {
	t.Helper()
	data, err := key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	var jwk gojose.JSONWebKey
	if err := json.Unmarshal(data, &jwk); err != nil {
		t.Fatal(err)
	}
	jwk.KeyID = ""
	options := &gojose.SignerOptions{}
	for name, value := range header {
		options.WithHeader(gojose.HeaderKey(name), value)
	}
	signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.SignatureAlgorithm(key.Algorithm()), Key: jwk}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	object, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func clients(keys map[string]*jose.PublicKeySet) jose.ClientKeys {
	return func(id string) (*jose.PublicKeySet, error) {
		if set, ok := keys[id]; ok {
			return set, nil
		}
		return nil, psd2.NotFound("client")
	}
}

func TestClientAssertionAuthenticatesItsClient(t *testing.T) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.ES512} {
		key := newKey(t, alg)
		assertion, err := jose.SignClientAssertion(key, clientID, issuer, "jti-1", noon)
		if err != nil {
			t.Fatal(err)
		}
		got, err := jose.VerifyClientAssertion(assertion, clients(map[string]*jose.PublicKeySet{clientID: registered(t, key)}), jose.AssertionPolicy{Issuer: issuer}, noon)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		want := jose.ClientAssertion{ClientID: clientID, KeyID: key.ID(), ID: "jti-1", ExpiresAt: noon.Add(time.Minute)}
		if *got != want {
			t.Fatalf("%s: %+v", alg, got)
		}
	}
}

func TestClientAssertionRules(t *testing.T) { // C10, C13, C14, C19
	key, other := newKey(t, jose.ES256), newKey(t, jose.ES256)
	known := clients(map[string]*jose.PublicKeySet{clientID: registered(t, key), "mer_other": registered(t, other)})
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	cases := map[string]struct {
		claims, header map[string]any
		ok             bool
	}{
		"plain":                 {ok: true},
		"typ JWT":               {header: map[string]any{"typ": "JWT"}, ok: true},
		"typ of RFC 7523bis":    {header: map[string]any{"typ": "client-authentication+jwt"}, ok: true},
		"unknown claim":         {claims: map[string]any{"x": 1}, ok: true},
		"nbf 10 s ahead":        {claims: map[string]any{"nbf": at(10 * time.Second)}, ok: true},
		"iat 10 s ahead":        {claims: map[string]any{"iat": at(10 * time.Second)}, ok: true},
		"exp with a fraction":   {claims: map[string]any{"exp": float64(at(time.Minute)) + 0.5}, ok: true},
		"exp 5 min ahead":       {claims: map[string]any{"exp": at(5 * time.Minute)}, ok: true},
		"nbf 61 s ahead":        {claims: map[string]any{"nbf": at(61 * time.Second)}},
		"iat 61 s ahead":        {claims: map[string]any{"iat": at(61 * time.Second)}},
		"exp too far":           {claims: map[string]any{"exp": at(5*time.Minute + time.Second)}},
		"expired":               {claims: map[string]any{"exp": at(0)}},
		"no exp":                {claims: map[string]any{"exp": nil}},
		"exp as text":           {claims: map[string]any{"exp": "4000000000"}},
		"exp absurd":            {claims: map[string]any{"exp": 1e300}},
		"no jti":                {claims: map[string]any{"jti": nil}},
		"empty jti":             {claims: map[string]any{"jti": ""}},
		"jti too long":          {claims: map[string]any{"jti": strings.Repeat("j", 129)}},
		"jti with a line break": {claims: map[string]any{"jti": "a\nb"}},
		"jti a number":          {claims: map[string]any{"jti": 7}},
		"aud token endpoint":    {claims: map[string]any{"aud": issuer + "/oauth/token"}},
		"aud a list":            {claims: map[string]any{"aud": []string{issuer}}},
		"aud with slash":        {claims: map[string]any{"aud": issuer + "/"}},
		"no aud":                {claims: map[string]any{"aud": nil}},
		"sub of another":        {claims: map[string]any{"sub": "mer_other"}},
		"iss of another":        {claims: map[string]any{"iss": "mer_other"}},
		"all of another":        {claims: map[string]any{"iss": "mer_other", "sub": "mer_other"}},
		"unknown client":        {claims: map[string]any{"iss": "mer_none", "sub": "mer_none"}},
		"client with SQL":       {claims: map[string]any{"iss": "' OR 1=1", "sub": "' OR 1=1"}},
		"no client":             {claims: map[string]any{"iss": nil, "sub": nil}},
		"kid of another client": {header: map[string]any{"kid": other.ID()}},
		"no kid":                {header: map[string]any{"kid": nil}},
		"typ at+jwt":            {header: map[string]any{"typ": "at+jwt"}},
		"typ dpop+jwt":          {header: map[string]any{"typ": "dpop+jwt"}},
		"typ not a string":      {header: map[string]any{"typ": 1}},
		"jku":                   {header: map[string]any{"jku": "http://127.0.0.1:1/jwks"}},
		"jwk":                   {header: map[string]any{"jwk": jwkOf(t, key)}},
		"crit":                  {header: map[string]any{"crit": []string{"exp"}}},
		"b64 false":             {header: map[string]any{"b64": false}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			claims := map[string]any{"iss": clientID, "sub": clientID, "aud": issuer, "exp": at(time.Minute), "iat": at(0), "jti": "jti-1"}
			header := map[string]any{"kid": key.ID()}
			maps.Copy(claims, c.claims)
			maps.Copy(header, c.header)
			_, err := jose.VerifyClientAssertion(sign(t, key, header, claims), known, jose.AssertionPolicy{Issuer: issuer}, noon)
			if c.ok {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantReason(t, err, "invalid_client")
		})
	}
}

func TestForgedClientAssertionLooksLikeAnUnknownClient(t *testing.T) {
	key, thief := newKey(t, jose.ES256), newKey(t, jose.ES256)
	known := clients(map[string]*jose.PublicKeySet{clientID: registered(t, key)})
	policy := jose.AssertionPolicy{Issuer: issuer}
	claims := map[string]any{"iss": clientID, "sub": clientID, "aud": issuer, "exp": noon.Add(time.Minute).Unix(), "jti": "j"}
	_, forged := jose.VerifyClientAssertion(sign(t, thief, map[string]any{"kid": key.ID()}, claims), known, policy, noon)
	wantReason(t, forged, "invalid_client")
	claims["iss"], claims["sub"] = "mer_none", "mer_none"
	_, unknown := jose.VerifyClientAssertion(sign(t, thief, map[string]any{"kid": key.ID()}, claims), known, policy, noon)
	wantReason(t, unknown, "invalid_client")
	var a, b *psd2.Error
	if errors.As(forged, &a); errors.As(unknown, &b) && a.Message != b.Message {
		t.Fatalf("%q and %q tell which clients exist", a.Message, b.Message)
	}
	none := b64(`{"alg":"none","kid":"`+key.ID()+`"}`) + "." + b64(`{"iss":"`+clientID+`","sub":"`+clientID+`"}`) + "."
	_, err := jose.VerifyClientAssertion(none, known, policy, noon) // C10
	wantReason(t, err, "invalid_client")
	_, err = jose.VerifyClientAssertion(strings.Repeat(".", 10<<20), known, policy, noon) // C24
	wantReason(t, err, "invalid_client")
}

func TestFailingLookUpOfClientKeysIsNotTheClientsFault(t *testing.T) {
	key, down := newKey(t, jose.ES256), errors.New("database is down")
	assertion, err := jose.SignClientAssertion(key, clientID, issuer, "j", noon)
	if err != nil {
		t.Fatal(err)
	}
	_, err = jose.VerifyClientAssertion(assertion, func(string) (*jose.PublicKeySet, error) { return nil, down }, jose.AssertionPolicy{Issuer: issuer}, noon)
	if !errors.Is(err, down) || psd2.CodeOf(err) != psd2.CodeInternal {
		t.Fatal(err)
	}
}

func accessToken(thumbprint string) jose.AccessToken {
	return jose.AccessToken{
		Issuer: issuer, Audience: api, ClientID: clientID, Scopes: []string{"payments:read", "payments:write"},
		ID: "tok-1", IssuedAt: noon, ExpiresAt: noon.Add(5 * time.Minute), Thumbprint: thumbprint,
	}
}

func TestAccessTokenSaysWhatWasGranted(t *testing.T) {
	set := newKeySet(t)
	text, err := jose.SignAccessToken(signer(t, set, jose.ES256, noon), accessToken("thumb"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := jose.VerifyAccessToken(text, set.Public(), issuer, api, noon.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if got.ClientID != clientID || got.Thumbprint != "thumb" || !got.Has("payments:write") || got.Has("payouts:write") || got.Has("payments") || !got.ExpiresAt.Equal(noon.Add(5*time.Minute)) {
		t.Fatalf("%+v", got)
	}
	for at, ok := range map[time.Duration]bool{-61 * time.Second: false, -10 * time.Second: true, 5*time.Minute - time.Second: true, 5 * time.Minute: false} {
		_, err := jose.VerifyAccessToken(text, set.Public(), issuer, api, noon.Add(at))
		if (err == nil) != ok {
			t.Errorf("%s after issue: %v", at, err)
		}
	}
	for _, wrong := range [][2]string{{"https://evil", api}, {issuer, "https://other/api"}, {issuer, ""}} {
		_, err := jose.VerifyAccessToken(text, set.Public(), wrong[0], wrong[1], noon)
		wantReason(t, err, "invalid_token")
	}
	_, err = jose.VerifyAccessToken(text, newKeySet(t).Public(), issuer, api, noon)
	wantReason(t, err, "invalid_token")
}

func TestNoOtherJWTPassesForAnAccessToken(t *testing.T) {
	set := newKeySet(t)
	key := signer(t, set, jose.ES256, noon)
	claims := map[string]any{"iss": issuer, "aud": api, "sub": clientID, "client_id": clientID, "jti": "1", "iat": noon.Unix(), "exp": noon.Add(time.Minute).Unix(), "scope": "payments:write"}
	verify := func(text string) error {
		_, err := jose.VerifyAccessToken(text, set.Public(), issuer, api, noon)
		return err
	}
	if err := verify(sign(t, key, map[string]any{"kid": key.ID(), "typ": "at+jwt"}, claims)); err != nil {
		t.Fatal(err)
	}
	for _, typ := range []any{"JWT", "jwt", "receipt+jwt", "dpop+jwt", "application/at+jwt", "", nil} {
		wantReason(t, verify(sign(t, key, map[string]any{"kid": key.ID(), "typ": typ}, claims)), "invalid_token")
	}
	for name, value := range map[string]any{"aud": []string{api}, "sub": "other", "client_id": nil, "jti": nil, "exp": nil, "iat": nil, "cnf": map[string]string{"x5t#S256": "a"}} {
		changed := maps.Clone(claims)
		changed[name] = value
		wantReason(t, verify(sign(t, key, map[string]any{"kid": key.ID(), "typ": "at+jwt"}, changed)), "invalid_token")
	}
	wantReason(t, verify(b64(`{"alg":"none","typ":"at+jwt","kid":"`+key.ID()+`"}`)+"."+b64("{}")+"."), "invalid_token") // C10
}

func TestStolenBoundTokenIsWorthlessWithoutItsKey(t *testing.T) { // C47
	set, owner, thief := newKeySet(t), newKey(t, jose.ES256), newKey(t, jose.ES256)
	text, err := jose.SignAccessToken(signer(t, set, jose.ES256, noon), accessToken(owner.Public().Thumbprint()))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jose.VerifyAccessToken(text, set.Public(), issuer, api, noon)
	if err != nil {
		t.Fatal(err)
	}
	request := jose.DPoPRequest{Method: "POST", URL: api + "/payments", AccessToken: text}
	prove := func(key *jose.Key) *jose.DPoPProof {
		proof, err := jose.SignDPoP(key, request, "p", noon)
		if err != nil {
			t.Fatal(err)
		}
		verified, err := jose.VerifyDPoP(proof, request, noon)
		if err != nil {
			t.Fatal(err)
		}
		return verified
	}
	if err := jose.CheckBound(token, prove(owner)); err != nil {
		t.Fatal(err)
	}
	wantReason(t, jose.CheckBound(token, prove(thief)), "invalid_token")
	wantReason(t, jose.CheckBound(token, nil), "invalid_token")
	bearer := accessToken("")
	if err := jose.CheckBound(&bearer, nil); err != nil {
		t.Fatal(err)
	}
	wantReason(t, jose.CheckBound(&bearer, prove(owner)), "invalid_token")
}

func TestDPoPProofRules(t *testing.T) { // C10, C11, C14, C19, C47
	key := newKey(t, jose.ES256)
	request := jose.DPoPRequest{Method: "POST", URL: "https://Pay.localhost:443/v1/payments?after=1#x", AccessToken: "the-token"}
	const ath = "wqc_z2HfvcrceaELozCy7162b8Cmc17Wm3lrs8l7l64" // printf the-token | openssl dgst -sha256 -binary | basenc --base64url
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	private := privateJWK(t, key)
	rsaKey := newKey(t, jose.PS256)
	cases := map[string]struct {
		claims, header map[string]any
		ok             bool
	}{
		"plain":                {ok: true},
		"iat 60 s old":         {claims: map[string]any{"iat": at(-time.Minute)}, ok: true},
		"iat 10 s ahead":       {claims: map[string]any{"iat": at(10 * time.Second)}, ok: true},
		"htu with query":       {claims: map[string]any{"htu": "https://pay.localhost/v1/payments?x=1"}, ok: true},
		"htu other case":       {claims: map[string]any{"htu": "HTTPS://PAY.localhost/v1/payments"}, ok: true},
		"iat 61 s old":         {claims: map[string]any{"iat": at(-61 * time.Second)}},
		"iat 61 s ahead":       {claims: map[string]any{"iat": at(61 * time.Second)}},
		"no iat":               {claims: map[string]any{"iat": nil}},
		"other method":         {claims: map[string]any{"htm": "GET"}},
		"method in other case": {claims: map[string]any{"htm": "post"}},
		"other path":           {claims: map[string]any{"htu": "https://pay.localhost/v1/payouts"}},
		"other path case":      {claims: map[string]any{"htu": "https://pay.localhost/v1/Payments"}},
		"other host":           {claims: map[string]any{"htu": "https://evil.localhost/v1/payments"}},
		"other port":           {claims: map[string]any{"htu": "https://pay.localhost:444/v1/payments"}},
		"other scheme":         {claims: map[string]any{"htu": "http://pay.localhost/v1/payments"}},
		"userinfo":             {claims: map[string]any{"htu": "https://a@pay.localhost/v1/payments"}},
		"relative htu":         {claims: map[string]any{"htu": "/v1/payments"}},
		"no htu":               {claims: map[string]any{"htu": nil}},
		"no jti":               {claims: map[string]any{"jti": nil}},
		"no ath":               {claims: map[string]any{"ath": nil}},
		"ath of other token":   {claims: map[string]any{"ath": b64("x")}},
		"typ JWT":              {header: map[string]any{"typ": "JWT"}},
		"no typ":               {header: map[string]any{"typ": nil}},
		"no jwk":               {header: map[string]any{"jwk": nil}},
		"private jwk":          {header: map[string]any{"jwk": private}},
		"oct jwk":              {header: map[string]any{"jwk": map[string]any{"kty": "oct", "k": "AAAA"}}},
		"jwk of another":       {header: map[string]any{"jwk": jwkOf(t, newKey(t, jose.ES256))}},
		"jwk of another kind":  {header: map[string]any{"jwk": jwkOf(t, rsaKey)}},
		"jwk by reference":     {header: map[string]any{"jwk": map[string]any{"kty": "EC", "x5u": "http://127.0.0.1:1"}}},
		"kid":                  {header: map[string]any{"kid": key.ID()}},
		"jku":                  {header: map[string]any{"jku": "http://127.0.0.1:1"}},
		"crit":                 {header: map[string]any{"crit": []string{"jwk"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			claims := map[string]any{"jti": "p-1", "htm": "POST", "htu": "https://pay.localhost/v1/payments", "iat": at(0), "ath": ath}
			header := map[string]any{"typ": "dpop+jwt", "jwk": jwkOf(t, key)}
			maps.Copy(claims, c.claims)
			maps.Copy(header, c.header)
			proof, err := jose.VerifyDPoP(sign(t, key, header, claims), request, noon)
			if !c.ok {
				wantReason(t, err, "invalid_dpop_proof")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if proof.Thumbprint != key.Public().Thumbprint() || proof.ID != "p-1" || !proof.ExpiresAt.After(proof.IssuedAt.Add(time.Minute)) {
				t.Fatalf("%+v", proof)
			}
		})
	}
}
