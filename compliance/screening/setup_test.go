package screening_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/screening"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

var (
	ctx    = context.Background()
	viewer = compliance.Officer{ID: "ofc_vera", Roles: []compliance.Role{compliance.Viewer}}
	anna   = compliance.Officer{ID: "ofc_anna", Name: "Anna", Roles: []compliance.Role{compliance.Analyst}, Credential: "key-anna"}
	bert   = compliance.Officer{ID: "ofc_bert", Name: "Bert", Roles: []compliance.Role{compliance.Analyst}, Credential: "key-bert"}
)

const merchant = "mer_01jd0000000000000000000000"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a hub's database, real officers, and a directory with a list.
type world struct {
	t       testing.TB
	db      *store.DB
	clock   *testkit.Clock
	desk    *compliance.Desk
	keys    *jose.KeySet
	dir     string
	config  screening.Config
	metrics *prometheus.Registry
	lives   int
}

func databases(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	on := func(t *testing.T, open func(*testing.T, func() time.Time) *store.DB) {
		clock := testkit.NewClock()
		db := open(t, clock.Now)
		keys, err := jose.NewKeySet(rand.Reader, clock.Now())
		must(t, err)
		desk, err := compliance.NewDesk(compliance.Config{}, compliance.Deps{Store: db, Keys: keys, Now: clock.Now})
		must(t, err)
		must(t, db.Tx(ctx, func(tx *store.Tx) error {
			return tx.PutMerchant(&psd2.Merchant{ID: merchant, Name: "Casino", Gambling: true})
		}))
		w := &world{t: t, db: db, clock: clock, desk: desk, keys: keys, dir: t.TempDir()}
		w.config.Lists = w.dir
		w.list(villain)
		test(t, w)
	}
	t.Run("sqlite", func(t *testing.T) {
		on(t, func(t *testing.T, now func() time.Time) *store.DB { return testkit.SQLite(t, now) })
	})
	t.Run("postgres", func(t *testing.T) {
		on(t, func(t *testing.T, now func() time.Time) *store.DB {
			return testkit.Open(t, testkit.PostgresConfig(t), now)
		})
	})
}

const villain = "7,Person,Zenobia Quuxberger,1980-02-03,DE"

// list writes the list directory: rows of id, schema, name, birth date, country.
func (w *world) list(rows ...string) {
	w.t.Helper()
	text := "id,schema,name,birth_date,countries\n" + strings.Join(rows, "\n") + "\n"
	must(w.t, os.WriteFile(filepath.Join(w.dir, "own.csv"), []byte(text), 0o600))
}

// relist writes the list anew and lets the service see that it rests.
func (w *world) relist(s *screening.Service, rows ...string) {
	w.t.Helper()
	w.list(rows...)
	w.clock.Add(2 * time.Minute)
	must(w.t, w.rest(s))
	w.clock.Add(2 * time.Minute)
	must(w.t, w.rest(s))
}

// service starts one more life.
func (w *world) service(desk screening.Desk) *screening.Service {
	w.t.Helper()
	if desk == nil {
		desk = w.desk
	}
	w.lives++
	w.metrics = prometheus.NewRegistry()
	s, err := screening.New(w.config, screening.Deps{Store: w.db, Desk: desk, Holder: "life-" + string(rune('a'+w.lives)), Metrics: w.metrics})
	must(w.t, err)
	return s
}

// rest runs the service until it has nothing to do.
func (w *world) rest(s *screening.Service) error {
	w.t.Helper()
	seq := w.db.Sequencer("test")
	for {
		next, err := seq.Step(ctx, w.clock.Now())
		must(w.t, err)
		if next.After(w.clock.Now()) {
			break
		}
	}
	for {
		next, err := s.Step(ctx, w.clock.Now())
		if err != nil {
			return err
		}
		if next.After(w.clock.Now()) {
			return nil
		}
	}
}

// pay makes a payment of a player, a moment after the last.
func (w *world) pay(player, name, born, country string) *psd2.Payment {
	w.t.Helper()
	now := w.clock.Add(time.Second)
	p := &psd2.Payment{
		ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: merchant, PersonID: w.db.PersonID(merchant, player),
		Amount: psd2.Euro(5000), PayeeAccountID: "acc_1", ReturnURI: "https://casino.example/back", ExpiresAt: now.Add(15 * time.Minute), LinkHash: rand.Text(),
		Personal: psd2.Personal{Reference: "Einzahlung", Payee: psd2.Party{Name: "Casino", IBAN: "DE02120300000000202051"},
			Player: psd2.Player{Reference: player, Name: name, DateOfBirth: born, Residence: country}},
	}
	p.Create(now)
	must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error { return tx.CreatePayment(p) }))
	return p
}

func (w *world) number(query string, args ...any) int {
	w.t.Helper()
	var n int
	must(w.t, w.db.Get(ctx, &n, query, args...))
	return n
}

func (w *world) findings() int { return w.number(`SELECT COUNT(*) FROM compliance_hits`) }

// runs are the reports of a month, oldest first.
func (w *world) runs() (out []compliance.SignedRun) {
	w.t.Helper()
	for _, d := range w.days() {
		out = append(out, d.Runs...)
	}
	return out
}

func (w *world) days() []compliance.Day {
	w.t.Helper()
	days, err := w.desk.Days(ctx, viewer, w.clock.Now())
	must(w.t, err)
	return days
}

func (w *world) gauge(name string) float64 {
	w.t.Helper()
	families, err := w.metrics.Gather()
	must(w.t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	w.t.Fatalf("there is no metric %s", name)
	return 0
}

// counter sums a counter over its labels.
func (w *world) counter(name string) (sum float64) {
	w.t.Helper()
	families, err := w.metrics.Gather()
	must(w.t, err)
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// theCase is the only case there is, and the inputs of its newest hit.
func (w *world) theCase() (*compliance.Case, compliance.Hit, screening.Inputs) {
	w.t.Helper()
	var id string
	must(w.t, w.db.Get(ctx, &id, `SELECT id FROM compliance_cases`))
	c, err := w.desk.Case(ctx, viewer, id)
	must(w.t, err)
	alerts, err := w.desk.AlertsOf(ctx, id)
	must(w.t, err)
	hits, err := w.desk.HitsOf(ctx, alerts[0], 10)
	must(w.t, err)
	var in screening.Inputs
	must(w.t, json.Unmarshal(hits[0].Inputs, &in))
	return c, hits[0], in
}

var errKilled = errors.New("killed")

// dying is a desk whose process dies at one of its calls, after it has written.
type dying struct {
	*compliance.Desk
	left int
}

func (d *dying) die() error {
	if d.left--; d.left < 0 {
		return errKilled
	}
	return nil
}

func (d *dying) Raise(tx *store.Tx, f compliance.Finding) error {
	if err := d.Desk.Raise(tx, f); err != nil {
		return err
	}
	return d.die()
}

func (d *dying) RecordRunIn(tx *store.Tx, r compliance.Run) (string, error) {
	id, err := d.Desk.RecordRunIn(tx, r)
	if err != nil {
		return "", err
	}
	return id, d.die()
}
