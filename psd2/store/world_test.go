package store_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		commitUntilKilled(path)
	}
	os.Exit(testkit.Main(m))
}

var (
	ctx   = context.Background()
	kinds = []string{"sqlite", "postgres"}
)

// world is one database that several processes may open.
type world struct {
	kind   string
	config store.Config
	now    func() time.Time
}

func newWorld(t testing.TB, kind string, now func() time.Time) *world {
	t.Helper()
	w := &world{kind: kind, now: now}
	if kind == "postgres" {
		w.config = testkit.PostgresConfig(t)
	} else {
		w.config = store.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "rialto.db")}
	}
	return w
}

// both runs a test on both databases.
func both(t *testing.T, now func() time.Time, test func(t *testing.T, w *world)) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) { test(t, newWorld(t, kind, now)) })
	}
}

// open opens the database as one more process would.
func (w *world) open(t testing.TB) *store.DB {
	t.Helper()
	return testkit.Open(t, w.config, w.now)
}

// raw opens the database without the store.
func (w *world) raw(t testing.TB) *sql.DB {
	t.Helper()
	driver, source := "pgx", w.config.URL
	if path, ok := strings.CutPrefix(w.config.URL, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// newPayment makes a payment of one player, ready to be created.
func newPayment(db *store.DB, merchant, player string) *psd2.Payment {
	now := db.Now()
	p := &psd2.Payment{
		ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: merchant,
		PersonID: db.PersonID(merchant, player), Amount: psd2.Euro(2500),
		PayeeAccountID: "acc_1", ReturnURI: "https://casino.example/back",
		ExpiresAt: now.Add(15 * time.Minute), LinkHash: rand.Text(),
		PayerPolicy: psd2.PayerRequired,
		Personal: psd2.Personal{
			Reference: "Deposit 1", State: "cart 7", Metadata: map[string]string{"table": "roulette"},
			Player: psd2.Player{Reference: player, Name: "Erika Mustermann"},
			Payee:  psd2.Party{Name: "Casino", IBAN: "DE89370400440532013000"},
		},
	}
	p.Create(now)
	return p
}

// create stores payments in one transaction.
func create(t testing.TB, db *store.DB, ps ...*psd2.Payment) {
	t.Helper()
	if err := tryCreate(db, ps...); err != nil {
		t.Fatal(err)
	}
}

func tryCreate(db *store.DB, ps ...*psd2.Payment) error {
	return db.Tx(ctx, func(tx *store.Tx) error {
		for _, p := range ps {
			if err := tx.CreatePayment(p); err != nil {
				return err
			}
		}
		return nil
	})
}

// created stores one new payment.
func created(t testing.TB, db *store.DB, merchant, player string) *psd2.Payment {
	t.Helper()
	p := newPayment(db, merchant, player)
	create(t, db, p)
	return p
}

// update changes a payment and fails the test if that fails.
func update(t testing.TB, db *store.DB, id string, fn func(*psd2.Payment) error) *psd2.Payment {
	t.Helper()
	p, err := db.UpdatePayment(ctx, id, fn)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// advance takes a payment one step on: attempt, link, then the bank's answers
// up to settled.
func advance(p *psd2.Payment, now time.Time) error {
	switch a := p.Open(); {
	case p.State == psd2.StateAuthorizationRequired:
		id := psd2.NewID(psd2.PrefixAttempt, now, rand.Reader)
		return p.BeginAttempt(psd2.Attempt{ID: id, BankID: "bank", EndToEndID: psd2.NewEndToEndID(id),
			RequestID: psd2.NewUUID(now, rand.Reader)}, psd2.PSU{IP: "192.0.2.7"}, now)
	case a != nil && a.State == psd2.AttemptSubmitting:
		return p.Initiated(a.ID, "redirect", psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: "https://bank.example/authorise"}, []byte(`{"payment":"77"}`), now)
	}
	status := map[psd2.State]string{psd2.StateAuthorizing: "ACTC", psd2.StateAuthorized: "ACSC"}[p.State]
	if status == "" {
		status = "ACCC"
	}
	p.Report(p.Last().ID, psd2.Report{Status: status, Payer: psd2.Party{Name: "Max Mustermann", IBAN: "DE02120300000000202051"}}, now)
	return nil
}

// same compares all that is stored of two payments.
func same(t testing.TB, got, want *psd2.Payment) {
	t.Helper()
	if g, w := written(t, got), written(t, want); g != w {
		t.Fatalf("got  %s\nwant %s", g, w)
	}
}

func written(t testing.TB, p *psd2.Payment) string {
	t.Helper()
	b, err := json.Marshal([]any{p, p.Personal, p.Version})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
