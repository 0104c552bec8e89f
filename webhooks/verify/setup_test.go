package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/rialto-hub/rialto/webhooks/verify"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const eventBody = `{"id":"evt_1","type":"payment.creditable","created_at":"2026-11-22T11:59:58.123Z","sequence":4,` +
	`"data":{"payment_id":"pay_1","name":"J &+/ Söhne 🎰","big":12345678901234567890}}`

// sender is the hub's side: all three ways of signing.
type sender struct {
	secret  verify.Secret
	signing verify.SigningKey
	jws     crypto.Signer
	alg     jose.SignatureAlgorithm
	kid     string
}

func newSender(t testing.TB) *sender {
	t.Helper()
	secret, err := verify.GenerateSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signing, err := verify.GenerateSigningKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &sender{secret: secret, signing: signing, jws: key, alg: jose.ES256, kid: "hub-1"}
}

func (s *sender) jwks(t testing.TB) []byte {
	t.Helper()
	data, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.jws.Public(), KeyID: s.kid, Algorithm: string(s.alg), Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (s *sender) signJWS(t testing.TB, content []byte, at time.Time, extra map[string]any) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithHeader("kid", s.kid).WithHeader("iat", at.Unix())
	for name, value := range extra {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.jws}, options)
	if err != nil {
		t.Fatal(err)
	}
	object, err := signer.Sign(content)
	if err != nil {
		t.Fatal(err)
	}
	text, err := object.DetachedCompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// deliver returns the headers of a delivery signed in all three ways.
func (s *sender) deliver(t testing.TB, id string, at time.Time, body []byte) http.Header {
	t.Helper()
	header := http.Header{}
	header.Set(verify.HeaderID, id)
	header.Set(verify.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	header.Set(verify.HeaderSignature, verify.SignV1(s.secret, id, at, body)+" "+verify.SignV1a(s.signing, id, at, body))
	header.Set(verify.HeaderJWS, s.signJWS(t, verify.Content(id, at, body), at, nil))
	return header
}

// verifiers returns one verifier for each thing a receiver may hold.
func (s *sender) verifiers(t testing.TB) map[string]*verify.Verifier {
	t.Helper()
	return map[string]*verify.Verifier{
		"v1":  verifier(t, verify.Config{Secrets: []string{s.secret.Reveal()}}),
		"v1a": verifier(t, verify.Config{PublicKeys: []string{s.signing.Public().String()}}),
		"jws": verifier(t, verify.Config{JWKS: s.jwks(t)}),
	}
}

func verifier(t testing.TB, config verify.Config) *verify.Verifier {
	t.Helper()
	v, err := verify.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantReason(t *testing.T, err error, reason verify.Reason) {
	t.Helper()
	var refused *verify.Error
	if !errors.As(err, &refused) || refused.Reason != reason {
		t.Fatalf("got %v, want a refusal because of the %s", err, reason)
	}
}

func ed25519Key(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
