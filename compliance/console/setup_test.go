package console_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/console"
	"github.com/rialto-hub/rialto/compliance/goaml"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

var (
	ctx   = context.Background()
	anna  = compliance.Officer{ID: "ofc_anna", Name: "Anna Amsel", Roles: []compliance.Role{compliance.Analyst}, Credential: "key-anna"}
	bert  = compliance.Officer{ID: "ofc_bert", Name: "Bert Buchfink", Roles: []compliance.Role{compliance.Analyst}, Credential: "key-bert"}
	maria = compliance.Officer{ID: "ofc_maria", Name: "Maria Meise", Roles: []compliance.Role{compliance.MLRO}, Credential: "key-maria"}
	milan = compliance.Officer{ID: "ofc_milan", Name: "Moritz Milan", Roles: []compliance.Role{compliance.MLRO}, Credential: "key-milan"}
	rita  = compliance.Officer{ID: "ofc_rita", Name: "Rita Rabe", Roles: []compliance.Role{compliance.Viewer, compliance.Auditor}, Credential: "key-rita"}
	admin = compliance.Officer{ID: "ofc_adam", Name: "Adam Adler", Roles: []compliance.Role{compliance.Admin}, Credential: "key-adam"}
	gone  = compliance.Officer{ID: "ofc_greta", Name: "Greta Gans"}
)

const (
	merchantID = "mer_00000000000000000000000001"
	payerIBAN  = "DE02120300000000202051"
	playerName = "Jörg Müßig"
)

// badges is a sign-in by a cookie that names the officer: what matters here is
// what the console makes of its answers.
type badges struct {
	clock *testkit.Clock
	mu    sync.Mutex
	open  map[string]console.Session
}

func (b *badges) Session(r *http.Request) (console.Session, error) {
	c, err := r.Cookie("officer")
	if err != nil {
		return console.Session{}, psd2.Fail(psd2.CodeUnauthorized, "nobody", "nobody is signed in")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.open[c.Value]
	if !ok {
		return s, psd2.Fail(psd2.CodeUnauthorized, "nobody", "nobody is signed in")
	}
	before := s
	s.Used = b.clock.Now()
	b.open[c.Value] = s
	return before, nil
}

func (b *badges) SignIn(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", "/sign-in")
	w.WriteHeader(http.StatusSeeOther)
}

func (b *badges) SignOut(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func (b *badges) Colleagues(context.Context) ([]compliance.Officer, error) {
	return []compliance.Officer{anna, bert, maria, milan, admin}, nil
}

// Names also knows who may not be given a case any more.
func (b *badges) Names(context.Context) (map[string]string, error) {
	names := map[string]string{gone.ID: gone.Name}
	for _, o := range []compliance.Officer{anna, bert, maria, milan, admin, rita} {
		names[o.ID] = o.Name
	}
	return names, nil
}

// refresh lets all who are signed in begin now.
func (b *badges) refresh() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, s := range b.open {
		s.Began, s.Used = b.clock.Now(), b.clock.Now()
		b.open[id] = s
	}
}

// change alters an officer's session, or ends it with nil.
func (b *badges) change(id string, f func(*console.Session)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f == nil {
		delete(b.open, id)
		return
	}
	s := b.open[id]
	f(&s)
	b.open[id] = s
}

type world struct {
	*compliance.Desk
	t      testing.TB
	clock  *testkit.Clock
	db     *store.DB
	badges *badges
	book   *rulebook.Book
	server *httptest.Server
	hits   int
	watch  *watched
}

// watched says what it was told to.
type watched struct {
	blind []compliance.Blind
	drift []score.Drifted
}

func (w *watched) Blind(context.Context) ([]compliance.Blind, int, error) { return w.blind, 1000, nil }

func (w *watched) BlindTo(_ context.Context, ids []string) ([]compliance.Blind, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return w.blind, nil
}

func (w *watched) Drift(context.Context) ([]score.Drifted, error) { return w.drift, nil }

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, clock: testkit.NewClock(), watch: &watched{}}
	w.db = testkit.SQLite(t, w.clock.Now)
	keys, err := jose.NewKeySet(rand.Reader, w.clock.Now())
	must(t, err)
	w.Desk, err = compliance.NewDesk(compliance.Config{}, compliance.Deps{Store: w.db, Keys: keys, Now: w.clock.Now, Random: rand.Reader})
	must(t, err)
	w.badges = &badges{clock: w.clock, open: map[string]console.Session{}}
	for _, o := range []compliance.Officer{anna, bert, maria, milan, admin, rita} {
		w.badges.open[o.ID] = console.Session{Officer: o, Passkey: true, Began: w.clock.Now(), Used: w.clock.Now()}
	}
	w.book, err = rulebook.Open(ctx, rulebook.Config{}, rulebook.Deps{Store: w.db, Keys: keys, Audit: w.Desk, Outcomes: w.Desk, History: past{w.clock.Now}, Models: scorers{w.clock.Now}, Random: rand.Reader})
	must(t, err)
	room, err := console.New(console.Deps{Desk: w.Desk, Book: w.book, Watch: w.watch, Login: w.badges, Goaml: goaml.Sandbox(), Now: w.clock.Now,
		Merchant: func(context.Context, string) string { return "Casino Royal" }})
	must(t, err)
	w.server = httptest.NewServer(room)
	t.Cleanup(w.server.Close)
	_, port, err := net.SplitHostPort(w.server.Listener.Addr().String())
	must(t, err)
	w.server.URL = "http://officers.localhost:" + port
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sessionOf is a session that begins now.
func sessionOf(w *world, o compliance.Officer) console.Session {
	return console.Session{Officer: o, Passkey: true, Began: w.clock.Now(), Used: w.clock.Now()}
}

// payment stores a deposit of a player.
func (w *world) payment(player string, amount int64, change ...func(*psd2.Payment)) *psd2.Payment {
	w.t.Helper()
	now := w.clock.Now()
	p := &psd2.Payment{ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: merchantID, PersonID: w.db.PersonID(merchantID, player),
		State: psd2.StateSettled, Amount: psd2.Euro(amount), CreatedAt: now, UpdatedAt: now, ExpiresAt: now.Add(time.Hour),
		LinkHash: psd2.NewID("lnk", now, rand.Reader)}
	p.Personal = psd2.Personal{Reference: "Einzahlung " + player, Player: psd2.Player{Reference: player, Name: playerName, DateOfBirth: "1980-02-29", Residence: "DE"},
		Payee: psd2.Party{Name: "Casino Royal GmbH", IBAN: "DE89370400440532013000"}, DeviceID: "device-of-" + player,
		Source: psd2.Party{Name: playerName, IBAN: payerIBAN}}
	for _, c := range change {
		c(p)
	}
	must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error { return tx.CreatePayment(p) }))
	must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error { // its source becomes known later
		_, err := tx.UpdatePayment(p.ID, func(*psd2.Payment) error { return nil })
		return err
	}))
	return p
}

func (w *world) raise(p *psd2.Payment, rule, family string, severity, score int64, inputs string) *compliance.Case {
	w.t.Helper()
	w.hits++
	f := compliance.Finding{ID: fmt.Sprintf("hit_%d", w.hits), EntityKind: "person", EntityKey: p.PersonID, PersonID: p.PersonID, MerchantID: p.MerchantID,
		ObjectID: p.ID, Rule: rule, Family: family, RuleVersion: "3", Severity: severity, Score: score, Inputs: json.RawMessage(inputs), At: w.clock.Now()}
	must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error { return w.Raise(tx, f) }))
	var id string
	must(w.t, w.db.Get(ctx, &id, `SELECT case_id FROM compliance_alerts JOIN compliance_hits ON alert_id = compliance_alerts.id WHERE compliance_hits.id = ?`, f.ID))
	c, err := w.Case(ctx, maria, id)
	must(w.t, err)
	return c
}

// structuring makes a player with four deposits just below 2,000 euros, and
// the case that follows.
func (w *world) structuring(player string) *compliance.Case {
	w.t.Helper()
	var last *psd2.Payment
	for i := range 4 {
		last = w.payment(player, 199900-int64(i)*250)
		w.clock.Add(90 * time.Minute)
	}
	w.badges.refresh()
	return w.raise(last, "R08", "structuring", compliance.SeverityHigh, 70,
		`{"count":4,"sum_minor":798100,"limit_minor":200000,"window":"6h","holder":"`+playerName+`","iban":"`+payerIBAN+`"}`)
}

// answer is what the room said.
type answer struct {
	status int
	header http.Header
	body   string
}

// client speaks for an officer without following redirects.
func (w *world) send(o string, method, path string, form url.Values) answer {
	w.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	_, port, _ := net.SplitHostPort(w.server.Listener.Addr().String())
	req, err := http.NewRequest(method, "http://127.0.0.1:"+port+path, body)
	must(w.t, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if o != "" {
		req.AddCookie(&http.Cookie{Name: "officer", Value: o})
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	must(w.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(w.t, err)
	return answer{res.StatusCode, res.Header, string(b)}
}

func (w *world) get(o compliance.Officer, path string) answer { return w.send(o.ID, "GET", path, nil) }

func (w *world) post(o compliance.Officer, path string, pairs ...string) answer {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return w.send(o.ID, "POST", path, form)
}

// act does something through the page.
func (w *world) act(o compliance.Officer, id, do string, pairs ...string) answer {
	w.t.Helper()
	c, err := w.Case(ctx, maria, id)
	must(w.t, err)
	return w.post(o, "/cases/"+id+"/act", append([]string{"do", do, "version", fmt.Sprint(c.Version), "reason", "other", "note", "in a few words"}, pairs...)...)
}
