package monitor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2/store"
)

// trained learns from invented ordinary transactions: small amounts, one a day.
func trained(t *testing.T) *score.Model { return trainedWith(t, 7) }

// retrained is another version.
func retrained(t *testing.T) *score.Model { return trainedWith(t, 8) }

func trainedWith(t *testing.T, seed uint64) *score.Model {
	t.Helper()
	engine, err := rules.Shipped().Compile(rules.ProfileOnlineDE, nil)
	must(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	s := score.Sample{Columns: engine.Columns()}
	memory := rules.NewMemory()
	begin := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	for i := range 300 {
		f := &rules.Fact{ID: fmt.Sprintf("t%03d", i), Revision: 1, At: begin.Add(time.Duration(i) * time.Hour), Kind: rules.Deposit, Status: rules.Settled,
			Amount: 1000 + random.Int64N(2000), Merchant: "m", Player: fmt.Sprint("p", i%30), Person: fmt.Sprint("p", i%30), IBAN: fmt.Sprint("i", i%30), Gambling: true}
		memory.Add(f)
		s.Rows = append(s.Rows, engine.Values(f, memory.History(f)))
	}
	m, err := score.Train(s, seed, begin)
	must(t, err)
	return m
}

// withModel starts a monitor with the model's file.
func (w *world) withModel(m *score.Model) *monitor.Monitor {
	w.t.Helper()
	doc, err := json.Marshal(m)
	must(w.t, err)
	file := filepath.Join(w.t.TempDir(), "model.json")
	must(w.t, os.WriteFile(file, doc, 0o600))
	return w.monitor(nil, func(c *monitor.Config) { c.Profile, c.Model = rules.ProfileOnlineDE, file })
}

// Until it is published that it acts, the model's score stands with the alert's
// inputs, with what moved it; the decision is the rules' alone, and the alert replays all the same.
func TestTheModelOnlyWatches(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		model := trained(t)
		m := w.withModel(model)
		alerted := w.deposit(payment{player: "p1", born: "1980-01-01", holder: "Anna Koch", amount: 200000})
		quiet := w.deposit(payment{player: "p2", name: "Eva Muster", born: "1975-01-01", holder: "Eva Muster", amount: 2000, iban: ibans[1]})
		must(t, w.catchUp(m))
		var novelty, usual int64
		must(t, w.db.Get(ctx, &novelty, `SELECT novelty FROM monitor_scores WHERE transaction_id = ? AND model = ?`, alerted.ID, model.Version))
		must(t, w.db.Get(ctx, &usual, `SELECT novelty FROM monitor_scores WHERE transaction_id = ?`, quiet.ID))
		if novelty <= usual {
			t.Errorf("novelty of 2,000 euro %d, of 20 euro %d", novelty, usual)
		}
		var action string
		must(t, w.db.Get(ctx, &action, `SELECT action FROM monitor_decisions WHERE transaction_id = ?`, quiet.ID))
		if action != "ALLOW" || len(w.hits(quiet.ID)) != 0 {
			t.Errorf("the model decided: %s", action)
		}
		in := w.inputsOf(alerted.ID, "R10")
		var seen struct {
			Model *score.Scored `json:"model"`
		}
		must(t, json.Unmarshal(in, &seen))
		if seen.Model == nil || seen.Model.Version != model.Version || seen.Model.Mode != score.Shadow || len(seen.Model.ForNovel) == 0 || seen.Model.ForNovel[0].Column == "" {
			t.Fatalf("the alert's inputs say of the model %+v", seen.Model)
		}
		engine, err := rules.Shipped().Compile(rules.ProfileOnlineDE, nil)
		must(t, err)
		if again, err := engine.ReplayJSON(in); err != nil || again.Rule != "R10" {
			t.Errorf("replay: %v", err)
		}
	})
}

// inputsOf are the inputs of a rule's finding about a transaction, as officers
// open them.
func (w *world) inputsOf(id, rule string) json.RawMessage {
	w.t.Helper()
	var alert string
	must(w.t, w.db.Get(ctx, &alert, `SELECT alert_id FROM compliance_hits WHERE object_id = ? AND rule = ?`, id, rule))
	a, err := w.desk.Alert(ctx, alert)
	must(w.t, err)
	hits, err := w.desk.HitsOf(ctx, a, 10)
	must(w.t, err)
	for _, h := range hits {
		if h.ObjectID == id && h.Rule == rule {
			return h.Inputs
		}
	}
	w.t.Fatal("there are no inputs")
	return nil
}

// So it does with what the gate has stopped, which the consumer never judges.
func TestWhatTheGateStopsCarriesTheModelsWord(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		model := trained(t)
		m := w.withModel(model)
		mer, err := w.db.Merchant(ctx, merchant)
		must(t, err)
		p := w.deposit(payment{player: "p1", born: "1980-01-01", amount: 200000, open: true})
		v, err := m.Gate().Deposit(ctx, p, mer)
		must(t, err)
		if v.Action != rules.Block {
			t.Fatalf("%s", v.Action)
		}
		must(t, w.db.Tx(ctx, func(tx *store.Tx) error { return m.Gate().Record(tx, v) }))
		var seen struct {
			Model *score.Scored `json:"model"`
		}
		must(t, json.Unmarshal(w.inputsOf(p.ID, "R10"), &seen))
		if seen.Model == nil || seen.Model.Version != model.Version || len(seen.Model.ForNovel) == 0 {
			t.Errorf("the alert's inputs say of the model %+v", seen.Model)
		}
	})
}

// The metric shows when what comes in is unlike what was learned.
func TestDriftShows(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		m := w.withModel(trained(t))
		many := func(from int, amount int64) {
			for i := range 60 {
				f := &rules.Fact{ID: fmt.Sprintf("d%03d", from+i), Revision: 1, At: w.clock.Add(time.Hour), Kind: rules.Deposit, Status: rules.Settled, Amount: amount + int64(i*30),
					Merchant: "m", Player: fmt.Sprint("p", from+i), Person: fmt.Sprint("p", from+i), IBAN: fmt.Sprint("i", from+i)}
				must(t, m.Observe(ctx, f))
			}
			w.clock.Add(time.Minute)
			must(t, w.catchUp(m))
		}
		if d, err := m.Drift(ctx); err != nil || d != nil {
			t.Errorf("drift of nothing: %v %v", d, err)
		}
		psi := func() float64 {
			d, err := m.Drift(ctx)
			must(t, err)
			for _, c := range d {
				if c.Column == "amount" {
					return c.PSI
				}
			}
			t.Fatal("no amount")
			return 0
		}
		many(0, 1100)
		low := psi()
		many(60, 90000)
		many(120, 90000)
		if high := psi(); low > 0.5 || high < 1 || w.labelled("rialto_score_drift", "amount") != high {
			t.Errorf("drift of the amount %.2f, then %.2f, the metric says %.2f", low, high, w.labelled("rialto_score_drift", "amount"))
		}
	})
}

// labelled is a gauge with one label.
func (w *world) labelled(name, label string) float64 {
	w.t.Helper()
	families, err := w.metrics.Gather()
	must(w.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				return m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

func TestABrokenModelIsAnError(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		doc, err := json.Marshal(trained(t))
		must(t, err)
		file := filepath.Join(t.TempDir(), "model.json")
		must(t, os.WriteFile(file, bytes.Replace(doc, []byte(`"v":`), []byte(`"v":1`), 1), 0o600))
		if _, err := monitor.New(monitor.Config{Model: file}, monitor.Deps{Store: w.db, Alerts: w.desk}); err == nil {
			t.Error("a model that was changed is used")
		}
		if _, err := monitor.New(monitor.Config{Model: file + "x"}, monitor.Deps{Store: w.db, Alerts: w.desk}); err == nil {
			t.Error("a model that is not there is no error")
		}
	})
}

var (
	_ monitor.Audit  = (*compliance.Desk)(nil)
	_ monitor.Keeper = (*compliance.Desk)(nil)
)
