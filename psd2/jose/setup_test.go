package jose_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
)

// noon is the present of most tests.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newKey(t testing.TB, alg jose.Algorithm) *jose.Key {
	t.Helper()
	key, err := jose.GenerateKey(alg, rand.Reader, noon.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// jwkOf returns a key's public JWK as members, for tests to spoil.
func jwkOf(t testing.TB, key *jose.Key) map[string]any {
	t.Helper()
	return privateJWK(t, key, "d", "p", "q", "dp", "dq", "qi")
}

// privateJWK returns a key's JWK without the members named.
func privateJWK(t testing.TB, key *jose.Key, without ...string) map[string]any {
	t.Helper()
	data, err := key.MarshalJWK()
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]any{}
	if err := json.Unmarshal(data, &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range without {
		delete(members, name)
	}
	return members
}

func jwks(t testing.TB, keys ...map[string]any) []byte {
	t.Helper()
	data, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// registered passes keys through registration, as a client's would.
func registered(t testing.TB, keys ...*jose.Key) *jose.PublicKeySet {
	t.Helper()
	var members []map[string]any
	for _, key := range keys {
		members = append(members, jwkOf(t, key))
	}
	set, err := jose.ParseJWKS(jwks(t, members...))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func wantPart(t *testing.T, err error, part jose.Part) {
	t.Helper()
	var refused *jose.SignatureError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want a refusal of part %s", err, part)
	}
	if refused.Part != part {
		t.Fatalf("refused as %q (%s), want %q", refused.Part, refused.Message, part)
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func unb64(t testing.TB, s string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// withHeader replaces the protected header of a compact JWS and leaves its
// signature alone.
func withHeader(jws, header string) string {
	_, rest, _ := strings.Cut(jws, ".")
	return b64(header) + "." + rest
}

// request is a deposit as a merchant sends it.
type request struct {
	method, target string
	header         http.Header
	body           []byte
}

const body = `{"amount":{"amount_minor":2500,"currency":"EUR"},"reference":"J &+/ Söhne 🎰","big":12345678901234567890}`

func deposit() request {
	return request{
		method: "POST",
		target: "/v1/payments?expand=a%2Fb&x=1+2",
		header: http.Header{"Idempotency-Key": {"k-1"}, "X-Other": {"value; with=\"things\""}},
		body:   []byte(body),
	}
}

func (r request) sign(t testing.TB, key *jose.Key, now time.Time) string {
	t.Helper()
	signature, err := jose.SignRequest(key, r.method, r.target, []jose.Header{
		{Name: "Idempotency-Key", Value: r.header.Get("Idempotency-Key")},
		{Name: "x-other", Value: r.header.Get("X-Other")},
	}, r.body, now)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func (r request) verify(signature string, keys *jose.PublicKeySet, now time.Time) error {
	_, err := jose.VerifyRequest(signature, keys, r.method, r.target, r.header, r.body, now)
	return err
}
