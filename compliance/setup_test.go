package compliance_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/goaml"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

var (
	ctx    = context.Background()
	anna   = compliance.Officer{ID: "ofc_anna", Name: "Anna Amsel", Roles: []compliance.Role{compliance.Analyst}, Credential: "key-anna"}
	bert   = compliance.Officer{ID: "ofc_bert", Name: "Bert Buchfink", Roles: []compliance.Role{compliance.Analyst}, Credential: "key-bert"}
	maria  = compliance.Officer{ID: "ofc_maria", Name: "Maria Meise", Roles: []compliance.Role{compliance.MLRO}, Credential: "key-maria"}
	moritz = compliance.Officer{ID: "ofc_moritz", Name: "Moritz Milan", Roles: []compliance.Role{compliance.MLRO}, Credential: "key-moritz"}
	admin  = compliance.Officer{ID: "ofc_adam", Name: "Adam Adler", Roles: []compliance.Role{compliance.Admin}, Credential: "key-adam"}
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused fails unless err has that code and reason.
func refused(t testing.TB, err error, code psd2.Code, reason string) {
	t.Helper()
	if psd2.CodeOf(err) != code || !strings.Contains(fmt.Sprint(err), reason) {
		t.Errorf("got %v, want %s %s", err, code, reason)
	}
}

type world struct {
	*compliance.Desk
	t     testing.TB
	clock *testkit.Clock
	db    *store.DB
	keys  *jose.KeySet
	hits  atomic.Int64
	same  map[string][]string // what links a person across merchants
}

func newWorld(t testing.TB, clock *testkit.Clock, db *store.DB, change ...func(*compliance.Config)) *world {
	t.Helper()
	keys, err := jose.NewKeySet(rand.Reader, clock.Now())
	must(t, err)
	c := compliance.Config{Land: "BE"}
	for _, f := range change {
		f(&c)
	}
	w := &world{t: t, clock: clock, db: db, keys: keys, same: map[string][]string{}}
	w.Desk, err = compliance.NewDesk(c, compliance.Deps{Store: db, Keys: keys, Now: clock.Now, Random: rand.Reader,
		Identities: func(_ *store.Tx, person string) ([]string, error) { return w.same[person], nil }})
	must(t, err)
	return w
}

func sqliteWorld(t testing.TB, change ...func(*compliance.Config)) *world {
	clock := testkit.NewClock()
	return newWorld(t, clock, testkit.SQLite(t, clock.Now), change...)
}

// bothWorlds runs a test on each database.
func bothWorlds(t *testing.T, test func(*testing.T, *world)) {
	t.Run("sqlite", func(t *testing.T) { test(t, sqliteWorld(t)) })
	t.Run("postgres", func(t *testing.T) {
		clock := testkit.NewClock()
		test(t, newWorld(t, clock, testkit.Open(t, testkit.PostgresConfig(t), clock.Now)))
	})
}

func finding(change ...func(*compliance.Finding)) compliance.Finding {
	f := compliance.Finding{EntityKind: "person", EntityKey: "psn_1", PersonID: "psn_1", MerchantID: "mer_1", ObjectID: "pot_1",
		Rule: "R08", Family: "structuring", RuleVersion: "3", Severity: 2, Score: 60, Inputs: json.RawMessage(`{"count":4,"name":"Erika Mustermann"}`)}
	for _, c := range change {
		c(&f)
	}
	return f
}

// raise hands a finding over and gives the case it went to.
func (w *world) raise(f compliance.Finding) *compliance.Case {
	w.t.Helper()
	if f.ID == "" {
		f.ID = fmt.Sprintf("hit_%d", w.hits.Add(1))
	}
	if f.At.IsZero() {
		f.At = w.clock.Now()
	}
	must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error { return w.Raise(tx, f) }))
	var id string
	must(w.t, w.db.Get(ctx, &id, `SELECT case_id FROM compliance_alerts JOIN compliance_hits ON alert_id = compliance_alerts.id WHERE compliance_hits.id = ?`, f.ID))
	return w.load(id)
}

func (w *world) load(id string) *compliance.Case {
	w.t.Helper()
	c, err := w.Case(ctx, maria, id)
	must(w.t, err)
	return c
}

// do acts with the newest version and demands success.
func (w *world) do(id string, a compliance.Act) *compliance.Case {
	w.t.Helper()
	c, err := w.try(id, a)
	must(w.t, err)
	return c
}

func (w *world) try(id string, a compliance.Act) (*compliance.Case, error) {
	w.t.Helper()
	if a.Version == 0 {
		a.Version = w.load(id).Version
	}
	if a.Note == "" {
		a.Note = "a note in words"
	}
	if a.Reason == "" {
		a.Reason = "other"
	}
	return w.Act(ctx, id, a)
}

func (w *world) held(person, object string) bool {
	w.t.Helper()
	return w.standing(person, object) == compliance.StandingHeld
}

func (w *world) standing(person, object string, identities ...string) (s compliance.Standing) {
	w.t.Helper()
	must(w.t, w.db.Tx(ctx, func(tx *store.Tx) (err error) {
		s, err = w.Standing(tx, person, object, identities...)
		return err
	}))
	return s
}

// completeReport is one that nothing is missing from.
func completeReport() goaml.Report {
	p := goaml.Sandbox()
	return goaml.Report{
		Facts:      "Vier Einzahlungen knapp unter dem Schwellenwert innerhalb von sechs Stunden, danach sofort eine Auszahlung an ein fremdes Konto in Österreich.",
		Complaint:  "keine",
		Indicators: []string{p.Indicators[0].Code},
		Officer:    goaml.Person{FirstName: "Maria", LastName: "Meise", Email: "fiu@casino.example"},
		Subject: goaml.Person{FirstName: "Jörg", LastName: "Müßig", BirthDate: "1980-02-29", BirthPlace: "Görlitz", Nationality: "DE", Residence: "DE",
			Address: "Königstraße 5", PostCode: "10115", City: "Berlin"},
		Transactions: []goaml.Transaction{{Number: "pay_1", At: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), Amount: psd2.Euro(199900), Purpose: "Einzahlung", FromSubject: true,
			From: goaml.Account{Name: "Jörg Müßig", IBAN: "DE02120300000000202051"}, To: goaml.Account{Name: "Casino GmbH", IBAN: "DE89370400440532013000"}}},
	}
}
