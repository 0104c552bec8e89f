package app_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/psd2/testkit/passkey"
	"github.com/rialto-hub/rialto/sca"
	"github.com/rialto-hub/rialto/sca/app"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const (
	boundSecret = "the-bound-browser's-secret"
	boundCookie = "__Host-test_bound"
	paymentID   = "pay_01m7w6c478e4r9w60vqcy4mvph"
)

// world is the room on real parts, as a payer's or the consoles' origin.
type world struct {
	t      *testing.T
	clock  *testkit.Clock
	db     *store.DB
	sca    *sca.Service
	keys   *jose.KeySet // with which receipts are signed
	staff  *sca.Staff
	room   *app.Room
	server *httptest.Server
	origin string
	person string
	log    journal      // what the service and the room have logged
	pings  atomic.Int64 // that push devices were sent
}

// journal keeps a log; it may be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func newWorld(t *testing.T, forStaff bool, change ...func(*sca.Config)) *world {
	t.Helper()
	w := &world{t: t, clock: testkit.NewClock()}
	log := slog.New(slog.NewJSONHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.db = testkit.SQLite(t, w.clock.Now)
	w.person = w.db.PersonID("mer_1", "player-1")
	host := "pay.localhost:"
	if forStaff {
		host = "ops.localhost:"
	}
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(w.serve))
	_, port, err := net.SplitHostPort(w.server.Listener.Addr().String())
	must(t, err)
	w.origin = "http://" + host + port
	messages, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir()}, bus.Options{Now: time.Now})
	must(t, err)
	t.Cleanup(messages.Close)
	keys, err := jose.NewKeySet(rand.Reader, w.clock.Now(), jose.ES256)
	must(t, err)
	w.keys = keys
	config := sca.Config{Origin: w.origin}
	for _, c := range change {
		c(&config)
	}
	w.sca, err = sca.New(config, sca.Deps{Store: w.db, Now: w.clock.Now, Log: log, Countries: atlas{},
		Signer: func(now time.Time) (*jose.Key, error) { return keys.Signer(jose.ES256, now) },
		Ping:   func(_ context.Context, device string) error { w.pings.Add(1); return messages.Nudge(device) }})
	must(t, err)
	d := app.Deps{SCA: w.sca, Origin: w.origin, Now: w.clock.Now, Log: log, Nudged: messages.Nudged,
		Bound: func(r *http.Request, payment string) string {
			c, err := r.Cookie(boundCookie)
			if err != nil || payment != paymentID {
				return ""
			}
			return c.Value
		},
		Done: func(payment string) string { return "/done/" + payment }}
	if forStaff {
		w.staff = sca.NewStaff(w.sca, sca.Roles{"operator": {"payments:read"}})
		d.Staff, d.Home = w.staff, "/console"
	}
	w.room, err = app.New(d)
	must(t, err)
	w.server.Start()
	t.Cleanup(w.server.Close)
	t.Cleanup(w.room.Close)
	return w
}

// serve puts the room beside what stands for the other rooms of its origin.
func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/start": // what the hosted page does: bind, then lead here
		http.SetCookie(rw, &http.Cookie{Name: boundCookie, Value: boundSecret, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.Redirect(rw, r, "/sca/pay/"+paymentID+"/"+r.URL.Query().Get("id"), http.StatusSeeOther)
	case strings.HasPrefix(r.URL.Path, "/done/"), r.URL.Path == "/console":
		rw.Header().Set("Content-Type", "text/html")
		_, _ = rw.Write([]byte("<!doctype html><link rel=icon href=data:,><title>Done</title><h1 id=done>Done</h1>"))
	default:
		w.room.ServeHTTP(rw, r)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// enrolLink is a payer's one-time link.
func (w *world) enrolLink() string {
	w.t.Helper()
	token, err := w.sca.EnrolPayer(w.t.Context(), w.person)
	must(w.t, err)
	return w.origin + "/sca/enrol/" + token
}

// begin opens a challenge for the one payment.
func (w *world) begin(level sca.Level, lang string) sca.Challenge {
	w.t.Helper()
	c, err := w.sca.Begin(w.t.Context(), sca.BeginRequest{PersonID: w.person, Level: level, Session: sca.SessionHash(boundSecret), Language: lang,
		From: abroad, Linked: linked()})
	must(w.t, err)
	return c
}

func linked() sca.Linked {
	return sca.Linked{PaymentID: paymentID, Amount: psd2.Euro(2500), CreditorName: "Casino Example Ltd", CreditorIBAN: "MT84MALT011000012345MTLCAST001S", DebtorRef: "Deposit 1",
		Shop: sca.Shop{Name: "Lucky Casino", Domain: "casino.example"}}
}

// atlas puts this machine into one country and the browser in which payments are
// begun into another.
type atlas struct{}

var abroad = netip.MustParseAddr("192.0.2.1")

func (atlas) Country(a netip.Addr) (string, bool) {
	if a == abroad {
		return "AT", true
	}
	return "DE", a.IsLoopback()
}

// elsewhere reports whether the payment's confirmation is known to come from
// another country.
func (w *world) elsewhere() bool {
	w.t.Helper()
	need, err := w.sca.Require(w.t.Context(), sca.PaymentFacts{PaymentID: paymentID, PersonID: w.person, Amount: psd2.Euro(2500)})
	must(w.t, err)
	return need.Elsewhere
}

func (w *world) state(id string) sca.State {
	w.t.Helper()
	c, err := w.sca.Challenge(w.t.Context(), id, sca.SessionHash(boundSecret))
	must(w.t, err)
	return c.State
}

// code is what an authenticator app shows now.
func (w *world) code(key string) string {
	w.t.Helper()
	code, err := totp.GenerateCode(key, w.clock.Now())
	must(w.t, err)
	return code
}

// withTOTP enrols an app past the pages.
func (w *world) withTOTP() (key string) {
	w.t.Helper()
	token, err := w.sca.EnrolPayer(w.t.Context(), w.person)
	must(w.t, err)
	secret, err := w.sca.OpenEnrolment(w.t.Context(), token)
	must(w.t, err)
	by, err := w.sca.Session(w.t.Context(), sca.SessionEnrol, secret, false)
	must(w.t, err)
	setup, err := w.sca.BeginTOTP(w.t.Context(), by, "anna")
	must(w.t, err)
	must(w.t, w.sca.ConfirmTOTP(w.t.Context(), by, setup.FactorID, w.code(setup.Key), "App"))
	w.clock.Add(31 * time.Second)
	return setup.Key
}

// codeOf is what an app with other parameters shows now.
func (w *world) codeOf(key, algorithm string, digits int) string {
	w.t.Helper()
	alg := map[string]otp.Algorithm{"SHA1": otp.AlgorithmSHA1, "SHA256": otp.AlgorithmSHA256, "SHA512": otp.AlgorithmSHA512}[algorithm]
	code, err := totp.GenerateCodeCustom(key, w.clock.Now(), totp.ValidateOpts{Period: 30, Digits: otp.Digits(digits), Algorithm: alg})
	must(w.t, err)
	return code
}

// withMorePasskeys enrols a passkey past the pages, for somebody who has factors
// already.
func (w *world) withMorePasskeys() {
	w.t.Helper()
	ctx, by := w.t.Context(), w.proved()
	c, err := w.sca.BeginPasskey(ctx, by, "anna")
	must(w.t, err)
	key, err := passkey.New(w.origin)
	must(w.t, err)
	response, err := key.Attest(c.Options)
	must(w.t, err)
	must(w.t, w.sca.FinishPasskey(ctx, by, c.ID, response, "Laptop"))
}

// withMoreTOTP is the same with an app.
func (w *world) withMoreTOTP() (key string) {
	w.t.Helper()
	ctx, by := w.t.Context(), w.proved()
	setup, err := w.sca.BeginTOTP(ctx, by, "anna")
	must(w.t, err)
	must(w.t, w.sca.ConfirmTOTP(ctx, by, setup.FactorID, w.code(setup.Key), "App"))
	w.clock.Add(31 * time.Second)
	return setup.Key
}

// proved is a session at the payer's factors that has proved itself just now.
func (w *world) proved() sca.Session {
	w.t.Helper()
	ctx := w.t.Context()
	token, err := w.sca.EnrolPayer(ctx, w.person)
	must(w.t, err)
	secret, err := w.sca.OpenEnrolment(ctx, token)
	must(w.t, err)
	must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE sca_sessions SET verified_at = ? WHERE token_hash = ?`, tx.Now.UnixMicro(), sca.SessionHash(secret))
		return err
	}))
	by, err := w.sca.Session(ctx, sca.SessionEnrol, secret, false)
	must(w.t, err)
	return by
}
