package console_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
)

const watchedModel = "00112233445566aa"

// scorers are a model that has watched since yesterday, and one that has not
// yet seen anything.
type scorers struct{ now func() time.Time }

func (scorers) Model(context.Context, string) (*score.Model, error) {
	return &score.Model{Version: watchedModel, Columns: []string{"amount"}}, nil
}

func (s scorers) Models(context.Context) ([]rulebook.Watched, error) {
	return []rulebook.Watched{{Version: "ffffffffffffffff", Since: s.now()}, {Version: watchedModel, Since: s.now().Add(-24 * time.Hour), Scored: 1234}}, nil
}

func (s scorers) Scores(context.Context, string, time.Time, time.Time) (map[string]rules.ModelScore, error) {
	return map[string]rules.ModelScore{"pay_p59-0-0": {Version: watchedModel, Novelty: 0.8}, "pay_p58-0-0": {Version: watchedModel, Novelty: 0.6}}, nil
}

// The form drafts that a model acts from a score on; the backtest counts what
// that would have alerted on; published, the next form takes it back.
func TestAModelIsLetActByARuleChange(t *testing.T) {
	w := newWorld(t)
	w.get(anna, "/rules/changes").has(t, 200, `data-test="model-form"`, "1234 payments", "It only watches")
	if strings.Contains(w.get(anna, "/rules/changes").body, "ffffffffffffffff") {
		t.Error("a model that has seen nothing may be chosen")
	}
	draft := func(change ...string) answer {
		return w.post(anna, "/rules/changes", append([]string{"reason", "it has proved itself", "catalogue", rulesText(t, w)}, change...)...)
	}
	for _, line := range []string{"", "0", "-3", "101", "NaN", "many"} {
		draft("model", watchedModel, "novelty", line, "severity", "high").has(t, http.StatusBadRequest, "above 0, up to 100")
	}
	draft("model", "ffffffffffffffff", "novelty", "70", "severity", "high").has(t, http.StatusBadRequest, "never has")
	a := draft("model", watchedModel, "novelty", "72,5", "severity", "high")
	if a.status != http.StatusSeeOther {
		t.Fatalf("draft: %d %s", a.status, a.body)
	}
	path := a.header.Get("Location")
	w.get(anna, path).has(t, 200, "<ins>model:", "novelty: 0.725", "severity: high")
	w.post(anna, path+"/backtest").has(t, 200, `<code>MODEL</code>`)
	w.post(anna, path, "do", "shadow")
	w.clock.Add(25 * time.Hour)
	w.badges.refresh()
	if a := w.post(maria, path, "do", "publish"); a.status != http.StatusSeeOther {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	w.get(anna, "/rules/changes?lang=de").has(t, 200, "<bdi>"+watchedModel+"</bdi> meldet", `value="72,5"`)
	text := rulesText(t, w)
	if a := draft("model", "none"); a.status != http.StatusSeeOther {
		t.Fatalf("back: %d %s", a.status, a.body)
	} else if body := w.get(anna, a.header.Get("Location")).body; !strings.Contains(body, "<del>model:") || strings.Contains(body, "<ins>") {
		t.Errorf("taking it back changes more than its section: %s", body)
	}
	if !strings.Contains(text, "\nmodel:") || strings.Count(text, "\nmodel:") != 1 {
		t.Error("the section is not there once")
	}
}

// German has a decimal comma, in the alert, in the rules' drift and in limits.
func TestGermanHasADecimalComma(t *testing.T) {
	w := newWorld(t)
	w.watch.drift = []score.Drifted{{Column: "amount", PSI: 0.31}}
	w.get(anna, "/rules?lang=de").has(t, 200, "0,31")
	w.get(anna, "/rules?lang=en").has(t, 200, "0.31")
	w.get(anna, "/rules/changes?limit=own_name&value=0.7&lang=de").has(t, 200, "own_name (0,65)", `value="0,7"`)
	c := w.raise(w.payment("anton", 5000), "MODEL", "model", 2, 30, `{"rule":"MODEL","when":"novelty >= 0.7","inputs":{"novelty":0.7256,"numbers":[1,2]},"limits":{"novelty":0.7},
		"model":{"version":"00112233445566aa","mode":"active","novelty":0.7256,"for_novelty":[{"column":"mean_90d","value":12.3456,"usual":2,"moved":0.123}]}}`)
	alerts, err := w.AlertsOf(ctx, c.ID)
	must(t, err)
	w.get(anna, "/alerts/"+alerts[0].ID+"?lang=de").has(t, 200, "wie ungewöhnlich 72,6", "0,726", "&#43;0,12", "12,346", "Er meldet.", "Betrugswert")
	w.get(anna, "/alerts/"+alerts[0].ID+"?lang=en").has(t, 200, "how unusual 72.6", "0.726", "&#43;0.12", "12.346", "It raises alerts.")
}

// An auditor takes an alert out as a file, and the chain says so; an analyst
// does not.
func TestAnAlertIsTakenOutForTheAuditor(t *testing.T) {
	w := newWorld(t)
	c := w.structuring("anton")
	alerts, err := w.AlertsOf(ctx, c.ID)
	must(t, err)
	path := "/alerts/" + alerts[0].ID
	if a := w.post(anna, path+"/proof"); a.status != http.StatusForbidden || strings.Contains(w.get(anna, path).body, `data-test="proof"`) {
		t.Errorf("an analyst: %d", a.status)
	}
	w.get(maria, path).has(t, 200, `data-test="proof"`)
	a := w.post(maria, path+"/proof")
	if a.status != 200 || !strings.Contains(a.header.Get("Content-Disposition"), "attachment") || !strings.Contains(a.body, rulebook.ProofFormat) || !strings.Contains(a.body, alerts[0].ID) {
		t.Errorf("a reporting officer: %d %.200s", a.status, a.body)
	}
	lines, err := w.History(ctx, c.ID, 50)
	must(t, err)
	if !slices.ContainsFunc(lines, func(l compliance.Line) bool { return l.Action == "alert.exported" && l.Actor == maria.ID }) {
		t.Error("the chain does not say so")
	}
}
