package rulebook_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

var (
	ctx    = context.Background()
	anna   = compliance.Officer{ID: "ofc_anna", Name: "Anna Amsel", Roles: []compliance.Role{compliance.Analyst}, Credential: "key-anna"}
	maria  = compliance.Officer{ID: "ofc_maria", Name: "Maria Meise", Roles: []compliance.Role{compliance.MLRO}, Credential: "key-maria"}
	moritz = compliance.Officer{ID: "ofc_moritz", Name: "Moritz Milan", Roles: []compliance.Role{compliance.MLRO}, Credential: "key-moritz"}
	vera   = compliance.Officer{ID: "ofc_vera", Name: "Vera", Roles: []compliance.Role{compliance.Viewer}, Credential: "key-vera"}
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
	*rulebook.Book
	t        testing.TB
	db       *store.DB
	clock    *testkit.Clock
	desk     *compliance.Desk
	keys     *jose.KeySet
	outcomes outcomes
}

// outcomes are what officers have decided.
type outcomes map[string]string

func (o outcomes) OutcomesOf(_ context.Context, ids []string) (map[string]string, error) {
	out := map[string]string{}
	for _, id := range ids {
		if v := o[id]; v != "" {
			out[id] = v
		}
	}
	return out, nil
}

func databases(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	clock := testkit.NewClock()
	testkit.Databases(t, clock.Now, func(t *testing.T, db *store.DB) {
		keys, err := jose.NewKeySet(rand.Reader, clock.Now())
		must(t, err)
		desk, err := compliance.NewDesk(compliance.Config{}, compliance.Deps{Store: db, Keys: keys, Now: clock.Now})
		must(t, err)
		w := &world{t: t, db: db, clock: clock, desk: desk, keys: keys, outcomes: outcomes{}}
		w.open()
		test(t, w)
	})
}

// open starts one more process.
func (w *world) open() {
	w.t.Helper()
	var err error
	w.Book, err = rulebook.Open(ctx, rulebook.Config{}, rulebook.Deps{Store: w.db, Keys: w.keys, Audit: w.desk, History: monitor.Archive{Store: w.db}, Models: monitor.Archive{Store: w.db}, Outcomes: w.outcomes})
	must(w.t, err)
}

// with is the catalogue in force with some text replaced.
func (w *world) with(old, new string) []byte {
	w.t.Helper()
	c, err := w.Current(ctx, 0)
	must(w.t, err)
	if strings.Count(c.Set.Catalogue, old) != 1 {
		w.t.Fatalf("%q is not there once", old)
	}
	return []byte(strings.Replace(c.Set.Catalogue, old, new, 1))
}

// month is a span around now.
func (w *world) month() rulebook.Span {
	return rulebook.Span{From: w.clock.Now().Add(-30 * 24 * time.Hour), Until: w.clock.Now().Add(time.Hour)}
}

// shadowed takes a catalogue into shadow.
func (w *world) shadowed(text []byte) *rulebook.Set {
	w.t.Helper()
	s, err := w.Draft(ctx, anna, text, "a limit that fits better")
	must(w.t, err)
	_, err = w.Backtest(ctx, anna, s.ID, w.month())
	must(w.t, err)
	s, err = w.Shadow(ctx, anna, s.ID)
	must(w.t, err)
	return s
}

// published takes a catalogue all the way.
func (w *world) published(text []byte) *rulebook.Set {
	w.t.Helper()
	s := w.shadowed(text)
	w.clock.Add(25 * time.Hour)
	s, err := w.Publish(ctx, maria, s.ID)
	must(w.t, err)
	return s
}

// exec changes the database behind everybody's back.
func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error { _, err := tx.Exec(query, args...); return err }))
}

// deposit is a settled one of a player, some time ago.
func (w *world) deposit(id string, ago time.Duration, amount int64) *rules.Fact {
	match := 1.0
	return &rules.Fact{ID: id, Revision: 1, At: w.clock.Now().Add(-ago), Kind: rules.Deposit, Status: rules.Settled, Amount: amount, Currency: "EUR", Merchant: "mer_1",
		Player: "player", Person: "person", PersonLinked: true, IBAN: "iban", Gambling: true, Holder: rules.HolderSelf, HolderMatch: &match, KYC: "verified"}
}
