package app_test

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
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
	staff  *sca.Staff
	room   *app.Room
	server *httptest.Server
	origin string
	person string
}

func newWorld(t *testing.T, forStaff bool) *world {
	t.Helper()
	w := &world{t: t, clock: testkit.NewClock()}
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
	w.sca, err = sca.New(sca.Config{Origin: w.origin}, sca.Deps{Store: w.db, Now: w.clock.Now,
		Signer: func(now time.Time) (*jose.Key, error) { return keys.Signer(jose.ES256, now) },
		Ping:   func(_ context.Context, device string) error { return messages.Nudge(device) }})
	must(t, err)
	d := app.Deps{SCA: w.sca, Origin: w.origin, Now: w.clock.Now, Nudged: messages.Nudged,
		Bound: func(r *http.Request, payment string) string {
			c, err := r.Cookie(boundCookie)
			if err != nil || payment != paymentID {
				return ""
			}
			return c.Value
		},
		Done: func(payment string) string { return "/done/" + payment }}
	if forStaff {
		w.staff = sca.NewStaff(w.sca)
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
		Linked: sca.Linked{PaymentID: paymentID, Amount: psd2.Euro(2500), CreditorName: "Casino Example Ltd", CreditorIBAN: "MT84MALT011000012345MTLCAST001S", DebtorRef: "Deposit 1"}})
	must(w.t, err)
	return c
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
