package jose_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// C25: what may be the inner JWS of a rollover: by the new key, about this
// client, this call and the key that is replaced, and of just now.
func TestInnerJWSOfARollover(t *testing.T) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.ES512, jose.EdDSA, jose.PS256} {
		next := newKey(t, alg)
		inner, err := jose.SignRollover(next, about, noon)
		if err != nil {
			t.Fatal(err)
		}
		got, err := jose.VerifyRollover(inner, about, noon)
		if err != nil || got.ID() != next.ID() || got.Thumbprint() != next.Public().Thumbprint() || got.Algorithm() != alg {
			t.Errorf("%s: %v %v", alg, got, err)
		}
	}
	next, old := newKey(t, jose.ES256), newKey(t, jose.ES256)
	named := func(kid string) map[string]any {
		jwk := jwkOf(t, next)
		jwk["kid"] = kid
		return jwk
	}
	header := func(change map[string]any) map[string]any {
		h := map[string]any{"typ": jose.TypRollover, "jwk": jwkOf(t, next)}
		maps.Copy(h, change)
		return h
	}
	claims := func(change map[string]any) map[string]any {
		c := map[string]any{"iss": about.ClientID, "aud": about.URL, "replaces": about.Replaces, "iat": noon.Unix()}
		maps.Copy(c, change)
		return c
	}
	if _, err := jose.VerifyRollover(sign(t, next, header(nil), claims(nil)), about, noon); err != nil {
		t.Fatalf("what the others differ from: %v", err)
	}
	for name, inner := range map[string]string{
		"nothing":                   "",
		"no JWS":                    "abc",
		"signed by another key":     sign(t, old, header(nil), claims(nil)),
		"another kind":              sign(t, next, header(map[string]any{"typ": jose.TypDPoP}), claims(nil)),
		"a kid in the header":       sign(t, next, header(map[string]any{"kid": "k"}), claims(nil)),
		"no key":                    sign(t, next, map[string]any{"typ": jose.TypRollover}, claims(nil)),
		"a private key":             sign(t, next, header(map[string]any{"jwk": privateJWK(t, next)}), claims(nil)),
		"a key without kid":         sign(t, next, header(map[string]any{"jwk": named("")}), claims(nil)),
		"a kid that is none":        sign(t, next, header(map[string]any{"jwk": named("../x")}), claims(nil)),
		"another client":            sign(t, next, header(nil), claims(map[string]any{"iss": "mer_01jd9t0000000000000000000b"})),
		"no client":                 sign(t, next, header(nil), claims(map[string]any{"iss": ""})),
		"another call":              sign(t, next, header(nil), claims(map[string]any{"aud": issuer + "/v1/payments"})),
		"several calls":             sign(t, next, header(nil), claims(map[string]any{"aud": []string{about.URL}})),
		"another key's place":       sign(t, next, header(nil), claims(map[string]any{"replaces": next.Public().Thumbprint()})),
		"no key's place":            sign(t, next, header(nil), claims(map[string]any{"replaces": ""})),
		"no time":                   sign(t, next, header(nil), map[string]any{"iss": about.ClientID, "aud": about.URL, "replaces": about.Replaces}),
		"more than five minutes":    sign(t, next, header(nil), claims(map[string]any{"iat": noon.Add(-301 * time.Second).Unix()})),
		"more than a minute before": sign(t, next, header(nil), claims(map[string]any{"iat": noon.Add(61 * time.Second).Unix()})),
	} {
		key, err := jose.VerifyRollover(inner, about, noon)
		var refused *psd2.Error
		if key != nil || !errors.As(err, &refused) || refused.Code != psd2.CodeInvalid || refused.Reason != "new_key_invalid" || refused.Field != "new_key" {
			t.Errorf("%s: %v", name, err)
		}
	}
	inner, err := jose.SignRollover(next, jose.RolloverRequest{}, noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jose.VerifyRollover(inner, jose.RolloverRequest{}, noon); err == nil {
		t.Error("a rollover of nothing")
	}
}

var about = jose.RolloverRequest{ClientID: clientID, URL: issuer + "/v1/signing-keys", Replaces: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}
