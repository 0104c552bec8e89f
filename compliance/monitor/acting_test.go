package monitor_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2"
)

// acts is the shipped catalogue with the model's section.
func acts(version string, line float64) []byte {
	return fmt.Appendf(rules.ShippedText(), "\nmodel: {version: %s, novelty: %v, severity: high, weight: 30}\n", version, line)
}

// span is a day around now.
func (w *world) span() rulebook.Span {
	return rulebook.Span{From: w.clock.Now().Add(-24 * time.Hour), Until: w.clock.Now().Add(time.Hour)}
}

// letAct takes a model through draft, backtest and shadow to publication.
func (w *world) letAct(b *rulebook.Book, version string, line float64) {
	w.t.Helper()
	s, err := b.Draft(ctx, anna, acts(version, line), "the model has proved itself")
	must(w.t, err)
	_, err = b.Backtest(ctx, anna, s.ID, w.span())
	must(w.t, err)
	_, err = b.Shadow(ctx, anna, s.ID)
	must(w.t, err)
	_, err = b.Publish(ctx, maria, s.ID)
	must(w.t, err)
}

// noveltyOf is what a model has said of a transaction.
func (w *world) noveltyOf(id, version string) float64 {
	w.t.Helper()
	var n int64
	must(w.t, w.db.Get(ctx, &n, `SELECT novelty FROM monitor_scores WHERE transaction_id = ? AND model = ?`, id, version))
	return float64(n) / 1e6
}

// unusual is a deposit that no rule hits and the model finds unusual; usual is
// one that it does not.
func (w *world) unusual(player string) *psd2.Payment {
	return w.deposit(payment{player: player, name: "Otto Test", holder: "Otto Test", amount: 49000, iban: ibanOf(player)})
}

func (w *world) usual(player string) *psd2.Payment {
	return w.deposit(payment{player: player, name: "Ida Test", holder: "Ida Test", amount: 2000, iban: ibanOf(player)})
}

// ibanOf is the player's own account.
func ibanOf(player string) psd2.IBAN {
	for check := 2; check < 99; check++ {
		if iban, err := psd2.ParseIBAN(fmt.Sprintf("DE%02d%018s", check, player[1:])); err == nil {
			return iban
		}
	}
	panic("one of them is right")
}

// A model that has watched raises alerts of its own once a second person has
// published that it does: one open alert for a player, with what moved the
// score, which comes out the same again. It stops nothing.
func TestAModelActsOnceTwoPersonsHaveLetIt(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		model, book := trained(t), w.book()
		m := w.start(nil, []func(*monitor.Config){func(c *monitor.Config) { c.Profile = rules.ProfileOnlineDE }},
			[]func(*monitor.Deps){func(d *monitor.Deps) { d.Book, d.Model, d.Audit = book, model, w.desk }})
		watched, plain := w.unusual("p1"), w.usual("p2")
		must(t, w.catchUp(m))
		if n := len(w.hits(watched.ID)); n != 0 {
			t.Fatalf("a model that only watches, or a rule, hit: %v", w.hits(watched.ID))
		}
		high, low := w.noveltyOf(watched.ID, model.Version), w.noveltyOf(plain.ID, model.Version)
		if high-low < 0.02 {
			t.Fatalf("novelty %v and %v: nothing to tell them apart by", high, low)
		}
		w.letAct(book, model.Version, (high+low)/2)

		first, second, quiet := w.unusual("p3"), w.unusual("p3"), w.usual("p4")
		must(t, w.catchUp(m))
		if hits := w.hits(quiet.ID); len(hits) != 0 {
			t.Errorf("the usual one: %v", hits)
		}
		hit := w.hits(first.ID)[rules.ModelRule]
		if hit.Family != "model" || hit.Action != rules.Alert || hit.Severity != rules.High {
			t.Fatalf("the unusual one: %+v", hit)
		}
		if again := w.hits(second.ID)[rules.ModelRule]; again.Version != hit.Version {
			t.Errorf("the second: %+v", again)
		}
		var action string
		must(t, w.db.Get(ctx, &action, `SELECT action FROM monitor_decisions WHERE transaction_id = ?`, first.ID))
		if action != string(rules.Alert) {
			t.Errorf("decided %s", action)
		}
		if n := w.number(`SELECT COUNT(*) FROM compliance_alerts WHERE family = 'model'`); n != 1 {
			t.Errorf("%d alerts of the family model, want one with two hits", n)
		}
		w.replays(book, first.ID, model)
		w.stopsNothing(m)
	})
}

// replays fails unless the model's hit comes out the same from what is stored,
// and another when that is not what it was.
func (w *world) replays(book *rulebook.Book, id string, model *score.Model) {
	w.t.Helper()
	in := w.inputsOf(id, rules.ModelRule)
	var seen struct {
		Model *score.Scored `json:"model"`
	}
	must(w.t, json.Unmarshal(in, &seen))
	if seen.Model == nil || seen.Model.Version != model.Version || seen.Model.Mode != score.Active || len(seen.Model.ForNovel) == 0 {
		w.t.Errorf("the alert says of the model %+v", seen.Model)
	}
	if again, err := book.Replay(ctx, in); err != nil || again.Rule != rules.ModelRule || again.Severity != rules.High {
		w.t.Errorf("judged again: %+v %v", again, err)
	}
	var doc map[string]any
	must(w.t, json.Unmarshal(in, &doc))
	for name, change := range map[string]func(map[string]any){
		"another score":   func(inputs map[string]any) { inputs["novelty"] = inputs["novelty"].(float64) + 0.01 },
		"other numbers":   func(inputs map[string]any) { inputs["numbers"].([]any)[slices.Index(model.Columns, "amount")] = 1.0 },
		"fewer numbers":   func(inputs map[string]any) { inputs["numbers"] = []any{1.0} },
		"no numbers":      func(inputs map[string]any) { delete(inputs, "numbers") },
		"words in it":     func(inputs map[string]any) { inputs["numbers"] = []any{"one"} },
		"a risk it lacks": func(inputs map[string]any) { inputs["risk"] = 0.9 },
	} {
		var changed map[string]any
		must(w.t, json.Unmarshal(in, &changed))
		change(changed["inputs"].(map[string]any))
		b, err := json.Marshal(changed)
		must(w.t, err)
		if _, err := book.Replay(ctx, b); err == nil {
			w.t.Errorf("%s: the same result", name)
		}
	}
}

// stopsNothing fails if the gate knows of the model.
func (w *world) stopsNothing(m *monitor.Monitor) {
	w.t.Helper()
	mer, err := w.db.Merchant(ctx, merchant)
	must(w.t, err)
	open := w.deposit(payment{player: "p9", name: "Otto Test", amount: 49000, open: true})
	if v, err := m.Gate().Deposit(ctx, open, mer); err != nil || v.Action != rules.Allow {
		w.t.Errorf("the gate says %s %v", v.Action, err)
	}
}

// The set in shadow counts what its model would alert on, and so does its
// backtest, from what the model said while it watched.
func TestAShadowedSetCountsWhatItsModelWouldAlertOn(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		model, book := trained(t), w.book()
		m := w.withBook(book, func(d *monitor.Deps) { d.Model = model })
		before := w.unusual("p1")
		must(t, w.catchUp(m))
		line := w.noveltyOf(before.ID, model.Version) - 0.01
		s, err := book.Draft(ctx, anna, acts(model.Version, line), "the model has proved itself")
		must(t, err)
		c, err := book.Backtest(ctx, anna, s.ID, w.span())
		must(t, err)
		if len(c.Rules) != 1 || c.Rules[0].Rule != rules.ModelRule || c.Rules[0].Base != 0 || c.Rules[0].Other != 1 || c.Changed != 1 {
			t.Errorf("backtest: %+v", c.Rules)
		}
		_, err = book.Shadow(ctx, anna, s.ID)
		must(t, err)
		live := w.unusual("p2")
		must(t, w.catchUp(m))
		if hits := w.hits(live.ID); len(hits) != 0 {
			t.Errorf("in shadow it alerts: %v", hits)
		}
		r, err := book.ShadowReport(ctx, anna, s.ID)
		must(t, err)
		if len(r.Rules) != 1 || r.Rules[0].Rule != rules.ModelRule || r.Rules[0].OnlyOther != 1 {
			t.Errorf("shadow: %+v", r.Rules)
		}
	})
}

// A version that has never watched does not get as far as a draft, whoever asks;
// one person does not let it act; and a newer one may watch while it does.
func TestOnlyAModelThatWasShadowedMayAct(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		model, book := trained(t), w.book()
		_, err := book.Draft(ctx, anna, acts(model.Version, 0.6), "let it act")
		if psd2.CodeOf(err) != psd2.CodeInvalid || !strings.Contains(fmt.Sprint(err), "model_never_shadowed") {
			t.Fatalf("a model nobody knows: %v", err)
		}
		m := w.withBook(book, func(d *monitor.Deps) { d.Model = model })
		if _, err = book.Draft(ctx, anna, acts(model.Version, 0.6), "let it act"); err == nil {
			t.Fatal("a model that has seen nothing may act")
		}
		seen := w.unusual("p1")
		must(t, w.catchUp(m))
		for _, bad := range []string{"{version: 12, novelty: 0.5, severity: low}", "{version: " + model.Version + ", severity: low}", "{version: " + model.Version + ", novelty: 1.5, severity: low}",
			"{version: " + model.Version + ", novelty: 0.5, severity: grave}", "{version: " + model.Version + ", novelty: 0.5, severity: low, action: BLOCK}"} {
			if _, err := book.Draft(ctx, anna, append(rules.ShippedText(), "\nmodel: "+bad+"\n"...), "let it act"); err == nil {
				t.Errorf("drafted: %s", bad)
			}
		}
		both := compliance.Officer{ID: anna.ID, Name: anna.Name, Credential: "another-key", Roles: []compliance.Role{compliance.MLRO}}
		s, err := book.Draft(ctx, anna, acts(model.Version, w.noveltyOf(seen.ID, model.Version)-0.01), "let it act")
		must(t, err)
		_, err = book.Backtest(ctx, anna, s.ID, w.span())
		must(t, err)
		_, err = book.Shadow(ctx, anna, s.ID)
		must(t, err)
		if _, err := book.Publish(ctx, both, s.ID); psd2.CodeOf(err) != psd2.CodeForbidden {
			t.Errorf("one person alone: %v", err)
		}
		_, err = book.Publish(ctx, maria, s.ID)
		must(t, err)

		w.clock.Add(time.Minute) // the lease of the first life is over
		newer := retrained(t)
		m = w.withBook(w.book(), func(d *monitor.Deps) { d.Model = newer }) // the file holds another one now
		p := w.unusual("p2")
		must(t, w.catchUp(m))
		if hit := w.hits(p.ID)[rules.ModelRule]; hit.Inputs["model"] != model.Version {
			t.Errorf("the published model no longer acts: %+v", hit)
		}
		w.noveltyOf(p.ID, newer.Version) // the newer one watches
		w.clock.Add(time.Minute)
		m = w.withBook(w.book()) // and without a file
		p = w.unusual("p3")
		must(t, w.catchUp(m))
		if len(w.hits(p.ID)) != 1 {
			t.Error("without a file the published model no longer acts")
		}
	})
}
