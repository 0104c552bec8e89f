package jose_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
)

func TestKeysOfEveryAcceptedKindCanBeRegistered(t *testing.T) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.EdDSA, jose.PS256, jose.ES512} {
		key := newKey(t, alg)
		for _, drop := range [][]string{nil, {"alg"}, {"use"}, {"alg", "use"}} {
			members := jwkOf(t, key)
			for _, name := range drop {
				delete(members, name)
			}
			set, err := jose.ParseJWKS(jwks(t, members))
			if err != nil {
				t.Fatalf("%s without %v: %v", alg, drop, err)
			}
			public, ok := set.Key(key.ID())
			if !ok || public.Algorithm() != alg || public.Thumbprint() != key.Public().Thumbprint() {
				t.Fatalf("%s: registered as %+v", alg, public)
			}
		}
	}
}

func TestKeysThatFitNoAlgorithmAreRefusedAtRegistration(t *testing.T) { // C12
	ec, ec512, ed, rsa2048 := newKey(t, jose.ES256), newKey(t, jose.ES512), newKey(t, jose.EdDSA), newKey(t, jose.PS256)
	set := func(key *jose.Key, changes map[string]any) []byte {
		members := jwkOf(t, key)
		maps.Copy(members, changes)
		return jwks(t, members)
	}
	num := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	weak := new(big.Int).Lsh(big.NewInt(1), 1023)
	weak.SetBit(weak, 0, 1)
	even := new(big.Int).Lsh(big.NewInt(1), 2047)
	huge := new(big.Int).Lsh(big.NewInt(1), 8191)
	huge.SetBit(huge, 0, 1)
	private := privateJWK(t, ec)

	cases := map[string][]byte{
		"P-384":                   []byte(`{"keys":[{"kty":"EC","crv":"P-384","kid":"a","x":"` + b64(strings.Repeat("a", 48)) + `","y":"` + b64(strings.Repeat("b", 48)) + `"}]}`),
		"secp256k1":               set(ec, map[string]any{"crv": "secp256k1"}),
		"ES384 on P-256":          set(ec, map[string]any{"alg": "ES384"}),
		"ES512 on P-256":          set(ec, map[string]any{"alg": "ES512"}),
		"ES256 on P-521":          set(ec512, map[string]any{"alg": "ES256"}),
		"RS256":                   set(rsa2048, map[string]any{"alg": "RS256"}),
		"HS256 on RSA":            set(rsa2048, map[string]any{"alg": "HS256"}),
		"none":                    set(ec, map[string]any{"alg": "none"}),
		"alg not a string":        set(ec, map[string]any{"alg": 1}),
		"RSA 1024":                set(rsa2048, map[string]any{"n": num(weak)}),
		"RSA even modulus":        set(rsa2048, map[string]any{"n": num(even)}),
		"RSA 8192":                set(rsa2048, map[string]any{"n": num(huge)}),
		"RSA e=3":                 set(rsa2048, map[string]any{"e": "Aw"}),
		"RSA e=1":                 set(rsa2048, map[string]any{"e": "AQ"}),
		"RSA e even":              set(rsa2048, map[string]any{"e": "AQAC"}),
		"point off the curve":     set(ec, map[string]any{"y": jwkOf(t, newKey(t, jose.ES256))["y"]}),
		"point at infinity":       set(ec, map[string]any{"x": b64(strings.Repeat("\x00", 32)), "y": b64(strings.Repeat("\x00", 32))}),
		"short coordinate":        set(ec, map[string]any{"x": b64("short")}),
		"Ed25519 of low order":    set(ed, map[string]any{"x": b64("\x01" + strings.Repeat("\x00", 31))}),
		"Ed25519 too short":       set(ed, map[string]any{"x": b64("short")}),
		"X25519":                  set(ed, map[string]any{"crv": "X25519"}),
		"Ed448":                   set(ed, map[string]any{"crv": "Ed448"}),
		"oct":                     []byte(`{"keys":[{"kty":"oct","kid":"a","k":"` + b64(strings.Repeat("k", 32)) + `"}]}`),
		"k in an EC key":          set(ec, map[string]any{"k": b64("secret")}),
		"private key":             jwks(t, private),
		"unknown kty":             set(ec, map[string]any{"kty": "AKP"}),
		"no kty":                  set(ec, map[string]any{"kty": nil}),
		"x5u":                     set(ec, map[string]any{"x5u": "https://127.0.0.1/cert"}),
		"jku":                     set(ec, map[string]any{"jku": "https://127.0.0.1/jwks"}),
		"use enc":                 set(ec, map[string]any{"use": "enc"}),
		"key_ops sign":            set(ec, map[string]any{"key_ops": []string{"sign", "verify"}}),
		"no kid":                  set(ec, map[string]any{"kid": nil}),
		"kid with a path":         set(ec, map[string]any{"kid": "../../etc/passwd"}),
		"kid with SQL":            set(ec, map[string]any{"kid": "x' OR '1'='1"}),
		"kid as a URL":            set(ec, map[string]any{"kid": "https://evil"}),
		"kid as an array":         set(ec, map[string]any{"kid": []string{"a"}}),
		"kid as a number":         set(ec, map[string]any{"kid": 7}),
		"kid too long":            set(ec, map[string]any{"kid": strings.Repeat("k", 65)}),
		"empty kid":               set(ec, map[string]any{"kid": ""}),
		"two keys of one kid":     jwks(t, jwkOf(t, ec), jwkOf(t, ec)),
		"no keys":                 []byte(`{"keys":[]}`),
		"eleven keys":             jwks(t, many(t, 11)...),
		"a key, not a set":        []byte(`{"kty":"EC"}`),
		"an array":                []byte(`[]`),
		"null":                    []byte(`null`),
		"a null key":              []byte(`{"keys":[null]}`),
		"duplicate member of set": []byte(`{"keys":[],"keys":[]}`),
		"duplicate member of key": []byte(`{"keys":[{"kty":"EC","kty":"OKP"}]}`),
		"trailing JSON":           append(set(ec, nil), "{}"...),
		"too large":               append(set(ec, nil), strings.Repeat(" ", 64<<10)...),
	}
	for name, document := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := jose.ParseJWKS(document)
			if psd2.CodeOf(err) != psd2.CodeInvalid {
				t.Fatalf("got %v, want an invalid key set", err)
			}
			if d, _ := private["d"].(string); strings.Contains(err.Error(), d) {
				t.Fatal("the error quotes the private key")
			}
		})
	}
}

func many(t *testing.T, n int) []map[string]any {
	keys := make([]map[string]any, n)
	for i := range keys {
		keys[i] = jwkOf(t, newKey(t, jose.EdDSA))
	}
	return keys
}

func TestUnknownMembersOfARegisteredKeyAreIgnored(t *testing.T) {
	key := newKey(t, jose.ES256)
	members := jwkOf(t, key)
	members["x5c"] = []string{"this is not a certificate"}
	members["vendor"] = map[string]any{"note": "hello"}
	set, err := jose.ParseJWKS(jwks(t, members))
	if err != nil {
		t.Fatal(err)
	}
	published, err := set.MarshalJWKS()
	if err != nil || strings.Contains(string(published), "vendor") || !json.Valid(published) {
		t.Fatalf("published %s, %v", published, err)
	}
}

func TestPrivateKeysOfAnRSAClientCanBeRead(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 1024)
	if err == nil {
		raw, _ := json.Marshal(map[string]any{"kty": "RSA", "kid": "weak", "n": base64.RawURLEncoding.EncodeToString(private.N.Bytes()), "e": "AQAB"})
		if _, err := jose.ParseJWKS([]byte(`{"keys":[` + string(raw) + `]}`)); err == nil { // C12
			t.Fatal("a real RSA 1024 key was registered")
		}
	}
	key := newKey(t, jose.PS256)
	data, err := key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	again, err := jose.ParseKey(data)
	if err != nil || again.ID() != key.ID() || again.Public().Thumbprint() != key.Public().Thumbprint() {
		t.Fatalf("read back %v, %v", again, err)
	}
}

func FuzzParseJWKS(f *testing.F) {
	f.Add(jwks(f, jwkOf(f, newKey(f, jose.ES256)), jwkOf(f, newKey(f, jose.EdDSA))))
	f.Add(jwks(f, privateJWK(f, newKey(f, jose.ES512))))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"a"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := jose.ParseJWKS(data)
		if err != nil {
			if psd2.CodeOf(err) != psd2.CodeInvalid {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		again, err := set.MarshalJWKS()
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := jose.ParseJWKS(again); err != nil || twice.Len() != set.Len() {
			t.Fatalf("what was accepted is not accepted again: %v\n%s", err, again)
		}
	})
}
