package app_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/sca"
	"github.com/rialto-hub/rialto/sca/app"
)

func raw(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	must(t, err)
	return b
}

// TestBrowserSideOpensTheRFCsExample holds the test's own browser side against
// RFC 8291, Appendix A.
func TestBrowserSideOpensTheRFCsExample(t *testing.T) {
	key, err := ecdh.P256().NewPrivateKey(raw(t, "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
	must(t, err)
	body := raw(t, "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN")
	got, err := testkit.OpenPush(key, raw(t, "BTBZMqHH6r4Tts7J_aSIgg"), body)
	if err != nil || string(got) != "When I grow up, I want to be a watermelon" {
		t.Errorf("%q %v", got, err)
	}
}

// service is a push service: it takes what it is sent and answers with status.
type service struct {
	*httptest.Server
	status int
	got    []*http.Request
	bodies [][]byte
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{status: http.StatusCreated}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.got, s.bodies = append(s.got, r), append(s.bodies, body)
		w.Header().Set("Location", "https://fcm.googleapis.com/elsewhere")
		w.WriteHeader(s.status)
	}))
	t.Cleanup(s.Close)
	return s
}

// client reaches the service under every name.
func (s *service) client() *http.Client {
	c := s.Client()
	transport := c.Transport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: transport.TLSClientConfig.RootCAs, ServerName: "example.com", MinVersion: tls.VersionTLS12}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// withDevice pairs a push device past the pages and gives its session.
func (w *world) withDevice() sca.Session {
	w.t.Helper()
	device, err := w.sca.Session(w.t.Context(), sca.SessionDevice, w.pairedDevice(), false)
	must(w.t, err)
	return device
}

// pairedDevice is the secret of a push device that was paired past the pages.
func (w *world) pairedDevice() (secret string) {
	w.t.Helper()
	ctx := w.t.Context()
	token, err := w.sca.EnrolPayer(ctx, w.person)
	must(w.t, err)
	enrol, err := w.sca.OpenEnrolment(ctx, token)
	must(w.t, err)
	by, err := w.sca.Session(ctx, sca.SessionEnrol, enrol, false)
	must(w.t, err)
	pair, err := w.sca.PairDevice(ctx, by)
	must(w.t, err)
	d := newDevice(w.t)
	secret, number, err := w.sca.RegisterDevice(ctx, pair, "Phone", d.jwk, d.sign("rialto-device:"+pair, w.clock.Now()))
	must(w.t, err)
	id, err := w.sca.Pairing(ctx, by)
	must(w.t, err)
	must(w.t, w.sca.ConfirmDevice(ctx, by, id, number))
	return secret
}

// device is a push device's key.
type device struct {
	t   *testing.T
	key *ecdsa.PrivateKey
	jwk []byte
}

func newDevice(t *testing.T) *device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	point, err := key.PublicKey.Bytes()
	must(t, err)
	b64 := base64.RawURLEncoding.EncodeToString
	jwk, err := json.Marshal(map[string]string{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])})
	must(t, err)
	return &device{t, key, jwk}
}

func (d *device) sign(payload string, at time.Time) string {
	d.t.Helper()
	header, err := json.Marshal(map[string]any{"alg": "ES256", "iat": at.Unix(), "kid": "device"})
	must(d.t, err)
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, d.key, sum[:])
	must(d.t, err)
	return input + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func TestPushServiceGetsAnEncryptedWakeUpOnly(t *testing.T) { // RFC 8030, 8291, 8292
	w := newWorld(t, false)
	device := w.withDevice()
	browser, err := ecdh.P256().GenerateKey(rand.Reader)
	must(t, err)
	auth := make([]byte, 16)
	_, _ = rand.Read(auth)
	b64 := base64.RawURLEncoding.EncodeToString
	s := newService(t)
	private, public, err := app.NewVAPIDKeys()
	must(t, err)
	push := &app.WebPush{SCA: w.sca, PublicKey: public, PrivateKey: private, Contact: "mailto:help@rialto.example", Client: s.client()}

	must(t, push.Ping(t.Context(), device.FactorID)) // it listens nowhere yet
	if len(s.got) != 0 {
		t.Error("somebody was called who has not subscribed")
	}
	must(t, w.sca.Subscribe(t.Context(), device, sca.Subscription{Endpoint: "https://fcm.googleapis.com/fcm/send/abc", Auth: b64(auth), P256DH: b64(browser.PublicKey().Bytes())}))
	must(t, push.Ping(t.Context(), device.FactorID))
	if len(s.got) != 1 {
		t.Fatalf("%d messages", len(s.got))
	}
	r := s.got[0]
	if r.Method != http.MethodPost || r.Host != "fcm.googleapis.com" || r.URL.Path != "/fcm/send/abc" || r.Header.Get("TTL") != "120" ||
		r.Header.Get("Urgency") != "high" || r.Header.Get("Content-Encoding") != "aes128gcm" {
		t.Errorf("%s %s %s %v", r.Method, r.Host, r.URL, r.Header)
	}
	plain, err := testkit.OpenPush(browser, auth, s.bodies[0])
	if err != nil || string(plain) != `{"look":true}` {
		t.Errorf("the browser reads %q, %v", plain, err)
	}
	stranger, err := ecdh.P256().GenerateKey(rand.Reader)
	must(t, err)
	if _, err := testkit.OpenPush(stranger, auth, s.bodies[0]); err == nil {
		t.Error("somebody else reads it")
	}
	checkVAPID(t, r.Header.Get("Authorization"), public)

	s.status = http.StatusFound
	if err := push.Ping(t.Context(), device.FactorID); err == nil || len(s.got) != 2 {
		t.Errorf("a redirect: %v, %d calls", err, len(s.got))
	}
	s.status = http.StatusGone // RFC 8030 §7.3: the subscription is over
	must(t, push.Ping(t.Context(), device.FactorID))
	must(t, push.Ping(t.Context(), device.FactorID))
	if len(s.got) != 3 {
		t.Errorf("a service that has let the device go is called again: %d calls", len(s.got))
	}
}

// checkVAPID holds the application server's word for who it is (RFC 8292).
func checkVAPID(t *testing.T, header, public string) {
	t.Helper()
	params, ok := strings.CutPrefix(header, "vapid ")
	if !ok {
		t.Fatalf("Authorization: %s", header)
	}
	values := map[string]string{}
	for p := range strings.SplitSeq(params, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		values[name] = value
	}
	if strings.TrimRight(values["k"], "=") != strings.TrimRight(public, "=") {
		t.Errorf("k=%s", values["k"])
	}
	parts := strings.Split(values["t"], ".")
	if len(parts) != 3 {
		t.Fatalf("t=%s", values["t"])
	}
	signature := raw(t, parts[2])
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw(t, public))
	must(t, err)
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		t.Error("the token is not signed by k")
	}
	var claims struct {
		Aud string `json:"aud"`
		Sub string `json:"sub"`
		Exp int64  `json:"exp"`
	}
	must(t, json.Unmarshal(raw(t, parts[1]), &claims))
	if left := time.Until(time.Unix(claims.Exp, 0)); claims.Aud != "https://fcm.googleapis.com" || claims.Sub != "mailto:help@rialto.example" || left <= 0 || left > 24*time.Hour {
		t.Errorf("%+v", claims)
	}
}
