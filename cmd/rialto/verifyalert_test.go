package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// watch is a desk with its rulebook, and a model that acts on whatever it sees.
type watch struct {
	t     *testing.T
	clock *testkit.Clock
	keys  *jose.KeySet
	desk  *compliance.Desk
	book  *rulebook.Book
	m     *monitor.Monitor
	n     int
}

func newWatch(t *testing.T) *watch {
	t.Helper()
	w := &watch{t: t, clock: testkit.NewClock()}
	db := testkit.SQLite(t, w.clock.Now)
	var err error
	ok := func() {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w.keys, err = jose.NewKeySet(rand.Reader, w.clock.Now())
	ok()
	w.desk, err = compliance.NewDesk(compliance.Config{}, compliance.Deps{Store: db, Keys: w.keys, Now: w.clock.Now, Random: rand.Reader})
	ok()
	archive := monitor.Archive{Store: db}
	w.book, err = rulebook.Open(t.Context(), rulebook.Config{ShadowFor: -1}, rulebook.Deps{Store: db, Keys: w.keys, Audit: w.desk, History: archive, Models: archive})
	ok()
	engine, err := rules.Shipped().Compile(rules.ProfileOnlineDE, nil)
	ok()
	sample := score.Sample{Columns: engine.Columns()}
	for i := range 40 {
		row := make([]float64, len(sample.Columns))
		for c := range row {
			row[c] = float64((i + c) % 7)
		}
		sample.Rows = append(sample.Rows, row)
	}
	model, err := score.Train(sample, 1, w.clock.Now())
	ok()
	w.m, err = monitor.New(monitor.Config{}, monitor.Deps{Store: db, Alerts: w.desk, Book: w.book, Model: model, Holder: "test"})
	ok()
	w.deposit(1000)
	text := fmt.Appendf(rules.ShippedText(), "\nmodel: {version: %s, novelty: 0.01, severity: high, weight: 30}\n", model.Version)
	s, err := w.book.Draft(t.Context(), desker, text, "it has proved itself")
	ok()
	_, err = w.book.Backtest(t.Context(), desker, s.ID, rulebook.Span{From: w.clock.Now().Add(-time.Hour), Until: w.clock.Now().Add(time.Hour)})
	ok()
	_, err = w.book.Shadow(t.Context(), desker, s.ID)
	ok()
	_, err = w.book.Publish(t.Context(), compliance.Officer{ID: "usr_3", Roles: []compliance.Role{compliance.MLRO}, Credential: "k3"}, s.ID)
	ok()
	return w
}

// deposit has a player of his own pay in.
func (w *watch) deposit(cents int64) {
	w.t.Helper()
	w.n++
	who := fmt.Sprint("p", w.n)
	f := &rules.Fact{ID: fmt.Sprint("pay_", w.n), Revision: 1, At: w.clock.Now(), Kind: rules.Deposit, Status: rules.Settled, Amount: cents, Currency: "EUR", Merchant: "mer_1",
		Player: who, Person: who, PersonLinked: true, IBAN: "iban-" + who, Gambling: true, Holder: rules.HolderSelf, KYC: "verified"}
	if err := w.m.Observe(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

// proof is the file of the alert of a family.
func (w *watch) proof(family string) string {
	w.t.Helper()
	var id string
	ctx := w.t.Context()
	err := w.desk.Store.Get(ctx, &id, `SELECT id FROM compliance_alerts WHERE family = ?`, family)
	var a compliance.Alert
	if err == nil {
		a, err = w.desk.Alert(ctx, id)
	}
	var hits []compliance.Hit
	if err == nil {
		hits, err = w.desk.HitsOf(ctx, a, 10)
	}
	var p *rulebook.Proof
	if err == nil {
		p, err = w.book.Prove(ctx, a, hits)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// An alert's file is judged again without a hub and comes out the same, by rules
// and by the fraud score; what is changed in it shows.
func TestVerifyAlertJudgesAgain(t *testing.T) {
	w := newWatch(t)
	w.deposit(200_000)
	byRule, byModel := w.proof("player_protection"), w.proof("model")
	dir := t.TempDir()
	jwks, err := w.keys.PublicJWKS(w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	others, err := jose.NewKeySet(rand.Reader, w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	strange, err := others.PublicJWKS(w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	trusted, wrong := write(t, dir, "jwks.json", string(jwks)), write(t, dir, "other.json", string(strange))
	for name, c := range map[string]struct {
		file string
		args []string
		code int
		out  string
	}{
		"rule":            {byRule, []string{"--keys", trusted}, 0, "same result 1, another 0"},
		"model":           {byModel, []string{"--keys", trusted}, 0, "same result 1, another 0"},
		"its own keys":    {byRule, nil, 0, "same result 1"},
		"other keys":      {byRule, []string{"--keys", wrong}, 1, "another 1"},
		"other amount":    {strings.Replace(byRule, `"person_month":200000`, `"person_month":2000`, 1), []string{"--keys", trusted}, 1, "another 1"},
		"other severity":  {strings.Replace(byRule, `"severity":"medium"`, `"severity":"low"`, 1), []string{"--keys", trusted}, 1, "another 1"},
		"other rules":     {strings.Replace(byRule, `month_limit: 100000`, `month_limit: 100001`, 1), []string{"--keys", trusted}, 1, "is not what was signed"},
		"other score":     {strings.Replace(byModel, `"novelty":0.`, `"novelty":0.0`, 1), []string{"--keys", trusted, "--json"}, 1, `"result":"other"`},
		"other model":     {strings.Replace(byModel, `"sample":`, `"sample":1`, 1), nil, 1, ""},
		"no such format":  {strings.Replace(byRule, rulebook.ProofFormat, "rialto-alert/2", 1), nil, 1, ""},
		"what is no file": {`{"format":`, nil, 1, ""},
	} {
		if (c.code != 0 && name != "other keys" && name != "what is no file") && (c.file == byRule || c.file == byModel) {
			t.Errorf("%s: nothing was changed", name)
		}
		var out, errs bytes.Buffer
		args := append(append([]string{"verify", "alert"}, c.args...), write(t, dir, "alert.json", c.file))
		if code := dispatch(env{context.Background(), &out, &errs}, args); code != c.code || !strings.Contains(out.String(), c.out) {
			t.Errorf("%s: exit %d, said %q %q", name, code, out.String(), errs.String())
		}
	}
}
