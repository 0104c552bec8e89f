package sca_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/psd2/testkit/passkey"
	"github.com/rialto-hub/rialto/sca"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const (
	origin  = "https://pay.example"
	browser = "the-payment-page's-session-hash"
)

// notices keeps what people were told.
type notices struct {
	sync.Mutex
	list []sca.Notice
}

func (n *notices) Notify(_ context.Context, one sca.Notice) {
	n.Lock()
	defer n.Unlock()
	n.list = append(n.list, one)
}

func (n *notices) count(what string) (count int) {
	n.Lock()
	defer n.Unlock()
	for _, one := range n.list {
		if one.What == what {
			count++
		}
	}
	return count
}

// world is a service on a database, with one payer.
type world struct {
	*sca.Service
	t       *testing.T
	db      *store.DB
	clock   *testkit.Clock
	notices *notices
	keys    *jose.KeySet
	person  string
	apps    map[string]app // by person
}

func newWorld(t *testing.T, db *store.DB, clock *testkit.Clock) *world {
	t.Helper()
	keys, err := jose.NewKeySet(rand.Reader, clock.Now(), jose.ES256)
	must(t, err)
	return worldWith(t, db, clock, keys)
}

func worldWith(t *testing.T, db *store.DB, clock *testkit.Clock, keys *jose.KeySet) *world {
	t.Helper()
	w := &world{t: t, db: db, clock: clock, notices: &notices{}, apps: map[string]app{}, keys: keys, person: db.PersonID("mer_1", "player-1")}
	s, err := sca.New(sca.Config{Origin: origin}, sca.Deps{Store: db, Now: clock.Now, Notices: w.notices, Countries: atlas{},
		Signer: func(now time.Time) (*jose.Key, error) { return keys.Signer(jose.ES256, now) }})
	must(t, err)
	w.Service = s
	return w
}

func sqlite(t *testing.T) *world {
	t.Helper()
	clock := testkit.NewClock()
	return newWorld(t, testkit.SQLite(t, clock.Now), clock)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t testing.TB, err error) {
	t.Helper()
	if !sca.Refused(err) {
		t.Fatalf("want the one refusal, got %v", err)
	}
}

func reason(err error) string {
	var e *psd2.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// enrolment is a session at the payer's own factors.
func (w *world) enrolment() sca.Session { w.t.Helper(); return w.enrolmentOf(w.person) }

func (w *world) enrolmentOf(person string) sca.Session {
	w.t.Helper()
	token, err := w.EnrolPayer(w.t.Context(), person)
	must(w.t, err)
	secret, err := w.OpenEnrolment(w.t.Context(), token)
	must(w.t, err)
	return w.session(sca.SessionEnrol, secret)
}

func (w *world) session(kind, secret string) sca.Session {
	w.t.Helper()
	s, err := w.Session(w.t.Context(), kind, secret, true)
	must(w.t, err)
	return s
}

// app is an authenticator app.
type app struct {
	secret string
	clock  *testkit.Clock
	digits otp.Digits
	alg    otp.Algorithm
}

func (a app) at(step int64) string {
	code, err := hotp.GenerateCodeCustom(a.secret, uint64(step), hotp.ValidateOpts{Digits: a.digits, Algorithm: a.alg})
	if err != nil {
		panic(err)
	}
	return code
}

func (a app) step() int64  { return a.clock.Now().Unix() / 30 }
func (a app) code() string { return a.at(a.step()) }

// wrong is a code that is none of the accepted ones.
func (a app) wrong() string {
	for n := 0; ; n++ {
		code := strings.Repeat(string(rune('0'+n)), 6)
		if code != a.code() && code != a.at(a.step()-1) {
			return code
		}
	}
}

// withTOTP enrols an app and lets a step pass, so that its code is fresh.
func (w *world) withTOTP() app {
	w.t.Helper()
	return w.enrolTOTP(w.enrolment())
}

func (w *world) enrolTOTP(by sca.Session) app {
	w.t.Helper()
	setup, err := w.BeginTOTP(w.t.Context(), by, "anna")
	must(w.t, err)
	a := app{secret: setup.Key, clock: w.clock, digits: otp.Digits(setup.Params.Digits)}
	must(w.t, w.ConfirmTOTP(w.t.Context(), by, setup.FactorID, a.code(), "App"))
	w.clock.Add(31 * time.Second)
	w.apps[by.PersonID] = a
	return a
}

func (w *world) linked(payment string) sca.Linked {
	return sca.Linked{PaymentID: payment, Amount: psd2.Euro(2500), CreditorName: "Casino Example Ltd", CreditorIBAN: "MT84MALT011000012345MTLCAST001S", DebtorRef: "Deposit 1",
		Shop: sca.Shop{Name: "Casino Example", Domain: "casino.example"}}
}

// begin opens a challenge for a payment.
func (w *world) begin(payment string, level sca.Level) sca.Challenge {
	w.t.Helper()
	c, err := w.Begin(w.t.Context(), sca.BeginRequest{PersonID: w.person, Linked: w.linked(payment), Level: level, Session: browser, Language: "en"})
	must(w.t, err)
	return c
}

func (w *world) answerCode(id, code string) error {
	_, err := w.Answer(w.t.Context(), id, sca.Answer{Session: browser, Method: sca.TOTP, Code: code})
	return err
}

// key is a passkey on a virtual authenticator.
type key struct{ passkey.Key }

func newKey() *key {
	k, err := passkey.New(origin)
	if err != nil {
		panic(err)
	}
	return &key{*k}
}

func (k *key) attest(t testing.TB, options []byte) []byte {
	t.Helper()
	response, err := k.Attest(options)
	must(t, err)
	return response
}

func (k *key) assert(t testing.TB, options []byte) []byte {
	t.Helper()
	response, err := k.Assert(options)
	must(t, err)
	return response
}

// forge makes an assertion in which everything can be chosen; it is signed by
// the true key.
func (k *key) forge(t testing.TB, options []byte, client map[string]any, flags byte) []byte {
	t.Helper()
	o, err := virtualwebauthn.ParseAssertionOptions(string(options))
	must(t, err)
	data := map[string]any{"type": "webauthn.get", "challenge": base64.RawURLEncoding.EncodeToString(o.Challenge), "origin": k.RP.Origin}
	for name, v := range client {
		data[name] = v
	}
	clientData, err := json.Marshal(data)
	must(t, err)
	rp := sha256.Sum256([]byte(k.RP.ID))
	auth := binary.BigEndian.AppendUint32(append(rp[:], flags), k.Cred.Counter)
	clientHash := sha256.Sum256(clientData)
	digest := sha256.Sum256(append(append([]byte{}, auth...), clientHash[:]...))
	signature, err := k.Cred.Key.Sign(digest[:])
	must(t, err)
	enc := base64.RawURLEncoding.EncodeToString
	answer, err := json.Marshal(map[string]any{"type": "public-key", "id": enc(k.Cred.ID), "rawId": enc(k.Cred.ID),
		"response": map[string]any{"clientDataJSON": enc(clientData), "authenticatorData": enc(auth), "signature": enc(signature)}})
	must(t, err)
	return answer
}

func (w *world) withPasskey() *key { w.t.Helper(); return w.enrolPasskey(w.enrolment()) }

func (w *world) enrolPasskey(by sca.Session) *key {
	w.t.Helper()
	k := newKey()
	c, err := w.BeginPasskey(w.t.Context(), by, "anna")
	must(w.t, err)
	must(w.t, w.FinishPasskey(w.t.Context(), by, c.ID, k.attest(w.t, c.Options), "Laptop"))
	return k
}

func (w *world) answerKey(id string, response []byte) error {
	_, err := w.Answer(w.t.Context(), id, sca.Answer{Session: browser, Method: sca.Passkey, Assertion: response})
	return err
}

// phone is a push device.
type phone struct {
	w       *world
	key     *jose.Key
	jwk     []byte
	session sca.Session
}

func newPhone(w *world) *phone {
	w.t.Helper()
	key, err := jose.GenerateKey(jose.ES256, rand.Reader, w.clock.Now())
	must(w.t, err)
	private, err := key.MarshalJWK()
	must(w.t, err)
	var members map[string]any
	must(w.t, json.Unmarshal(private, &members))
	members["kid"] = "device"
	private, err = json.Marshal(members)
	must(w.t, err)
	p := &phone{w: w}
	p.key, err = jose.ParseKey(private)
	must(w.t, err)
	delete(members, "d")
	p.jwk, err = json.Marshal(members)
	must(w.t, err)
	return p
}

// sign makes a compact JWS as the device's WebCrypto does.
func (p *phone) sign(payload []byte, at time.Time) string {
	p.w.t.Helper()
	detached, err := jose.SignDetached(p.key, payload, at)
	must(p.w.t, err)
	header, signature, _ := strings.Cut(detached, "..")
	return header + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + signature
}

func (w *world) withPhone() *phone { w.t.Helper(); return w.enrolPhone(w.enrolment()) }

func (w *world) enrolPhone(by sca.Session) *phone {
	w.t.Helper()
	p := newPhone(w)
	token, err := w.PairDevice(w.t.Context(), by)
	must(w.t, err)
	secret, number, err := w.RegisterDevice(w.t.Context(), token, "Phone", p.jwk, p.sign([]byte("rialto-device:"+token), w.clock.Now()))
	must(w.t, err)
	id, err := w.Pairing(w.t.Context(), by)
	must(w.t, err)
	must(w.t, w.ConfirmDevice(w.t.Context(), by, id, number))
	p.session = w.session(sca.SessionDevice, secret)
	return p
}

// waiting is the one challenge that waits for the device.
func (p *phone) waiting() sca.PushChallenge {
	p.w.t.Helper()
	list, err := p.w.PushChallenges(p.w.t.Context(), p.session)
	must(p.w.t, err)
	if len(list) != 1 {
		p.w.t.Fatalf("%d challenges wait for the device", len(list))
	}
	return list[0]
}

// answer signs a decision; change alters the payload before it is signed.
func (p *phone) answer(c sca.PushChallenge, decision, number string, change func(map[string]string)) (sca.Result, error) {
	p.w.t.Helper()
	payload := map[string]string{"challenge": c.ID, "decision": decision, "link_hash": c.LinkHash, "number": number, "text": c.Display.Text, "text_hash": c.Display.Hash()}
	if change != nil {
		change(payload)
	}
	b, err := json.Marshal(payload)
	must(p.w.t, err)
	return p.w.AnswerPush(p.w.t.Context(), p.session, p.sign(b, time.Unix(c.IssuedAt, 0)))
}

func secretOf(t testing.TB, otpauth string) []byte {
	t.Helper()
	u, err := url.Parse(otpauth)
	must(t, err)
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(u.Query().Get("secret"))
	must(t, err)
	return raw
}

// known is a browser's proof that it holds the key beside its cookie.
func (p *phone) known(secret string) string {
	return base64.RawURLEncoding.EncodeToString(p.jwk) + "." + p.sign([]byte("rialto-known:"+sca.SessionHash(secret)), p.w.clock.Now())
}
