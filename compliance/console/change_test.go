package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rules"
)

// past is two months of deposits: most are ordinary, some players pay in three
// or five times just below the threshold.
type past struct{ now func() time.Time }

func (p past) Facts(_ context.Context, from, until time.Time, _ int) (list []*rules.Fact, err error) {
	match := 1.0
	for day := range 60 {
		at := p.now().Add(time.Duration(day-60)*24*time.Hour - time.Hour)
		for i := range 1 + day%3 {
			who, times, amount := fmt.Sprintf("p%d-%d", day, i), 1, int64(4000+day*10)
			if i == 1 && day%4 == 0 {
				times, amount = 3+day%5/4*2, 180000
			}
			for n := range times {
				f := &rules.Fact{ID: fmt.Sprintf("pay_%s-%d", who, n), Revision: 1, At: at.Add(time.Duration(n) * 20 * time.Minute), Kind: rules.Deposit,
					Status: rules.Settled, Amount: amount, Currency: "EUR", Merchant: merchantID, Player: who, Person: who, IBAN: "iban-" + who,
					Holder: rules.HolderSelf, HolderMatch: &match, KYC: "verified"}
				if !f.At.Before(from) && f.At.Before(until) {
					list = append(list, f)
				}
			}
		}
	}
	return list, nil
}

// drafted makes a change of one limit through the form of the page.
func (w *world) drafted(o compliance.Officer, limit, value string) (path string) {
	w.t.Helper()
	current, err := w.book.Current(ctx, 0)
	must(w.t, err)
	a := w.post(o, "/rules/changes", "limit", limit, "value", value, "reason", "three are ordinary here", "catalogue", strings.ReplaceAll(current.Set.Catalogue, "\n", "\r\n"))
	if a.status != http.StatusSeeOther {
		w.t.Fatalf("draft: %d %s", a.status, a.body)
	}
	return a.header.Get("Location")
}

func TestRuleChangeGoesThroughTwoPeople(t *testing.T) { // D01
	w := newWorld(t)
	path := w.drafted(anna, "threshold_count", "4")
	body := w.get(anna, path).body
	if strings.Count(body, "<del>") != 1 || !strings.Contains(body, "<ins>  threshold_count: 4") {
		t.Errorf("the difference is not one line: %s", body)
	}
	if a := w.post(anna, path, "do", "shadow"); a.status != http.StatusConflict || !strings.Contains(a.body, "Backtest it first") {
		t.Errorf("into shadow untested: %d", a.status)
	}
	a := w.post(anna, path+"/backtest")
	if a.status != http.StatusOK || !strings.Contains(a.body, `data-test="tested"`) || strings.Count(a.body, `class="bar after"`) != 61 || !strings.Contains(a.body, "<code>R08</code>") {
		t.Fatalf("backtest: %d %s", a.status, a.body)
	}
	if a := w.post(anna, path, "do", "shadow"); a.status != http.StatusSeeOther {
		t.Fatalf("into shadow: %d %s", a.status, a.body)
	}
	w.clock.Add(25 * time.Hour)
	w.badges.refresh()
	if a := w.post(anna, path, "do", "publish"); a.status != http.StatusForbidden {
		t.Errorf("an analyst publishes: %d", a.status)
	}
	both := anna // the same person with more roles
	both.Roles = []compliance.Role{compliance.Analyst, compliance.MLRO}
	w.badges.open[anna.ID] = sessionOf(w, both)
	if a := w.get(anna, path); strings.Contains(a.body, `data-test="publish"`) || !strings.Contains(a.body, `data-test="second"`) {
		t.Error("who drafted is offered to publish")
	}
	if a := w.post(anna, path, "do", "publish"); a.status != http.StatusForbidden {
		t.Errorf("who drafted publishes: %d", a.status)
	}
	if a := w.post(maria, path, "do", "publish"); a.status != http.StatusSeeOther {
		t.Fatalf("the second person: %d %s", a.status, a.body)
	}
	current, err := w.book.Current(ctx, 0)
	must(t, err)
	if current.Set.PublishedBy != maria.ID || !strings.Contains(current.Set.Catalogue, "threshold_count: 4") {
		t.Errorf("in force: %+v", current.Set)
	}
	if a := w.get(anna, "/rules/changes"); strings.Count(a.body, `data-test="set"`) != 2 {
		t.Errorf("the list: %s", a.body)
	}
}

func TestDraftChangesNothingButItsLimit(t *testing.T) {
	w := newWorld(t)
	for _, value := range []string{"", "many", "1e400", "4; drop"} {
		if a := w.post(anna, "/rules/changes", "limit", "threshold_count", "value", value, "reason", "why not", "catalogue", rulesText(t, w)); a.status != http.StatusUnprocessableEntity && a.status != http.StatusBadRequest {
			t.Errorf("value %q: %d", value, a.status)
		}
	}
	for _, limit := range []string{"threshold", "no_such", "R08", "threshold_count: 3\n  x"} {
		a := w.post(anna, "/rules/changes", "limit", limit, "value", "7", "reason", "why not", "catalogue", rulesText(t, w))
		if want := limit == "threshold"; (a.status == http.StatusSeeOther) != want {
			t.Errorf("limit %q: %d", limit, a.status)
		}
	}
	viewer := anna
	viewer.Roles = []compliance.Role{compliance.Viewer}
	w.badges.open[anna.ID] = sessionOf(w, viewer)
	if a := w.post(anna, "/rules/changes", "limit", "threshold", "value", "7", "reason", "why not", "catalogue", rulesText(t, w)); a.status != http.StatusForbidden {
		t.Errorf("a viewer drafts: %d", a.status)
	}
}

func rulesText(t *testing.T, w *world) string {
	t.Helper()
	c, err := w.book.Current(ctx, 0)
	must(t, err)
	return c.Set.Catalogue
}

func TestSuggestedLimitLeadsToADraft(t *testing.T) {
	w := newWorld(t)
	for i := range 21 {
		n, do := 3, compliance.ProposeFalsePositive
		if i%3 == 0 {
			n, do = 6, compliance.ProposeNoSuspicion
		}
		hit, err := json.Marshal(map[string]any{"when": "threshold_n_24h >= limit.threshold_count", "inputs": map[string]any{"threshold_n_24h": n, "sum_24h": 798100}})
		must(t, err)
		c := w.raise(w.payment(fmt.Sprintf("player%d", i), 190000), "R08", "structuring", compliance.SeverityMedium, 40, string(hit))
		w.do(anna, c.ID, compliance.Act{Do: compliance.Investigate})
		if i == 0 { // how a rule's own hit is shown
			if body := w.get(anna, "/cases/"+c.ID).body; !strings.Contains(body, "7,981.00") || !strings.Contains(body, "limit.threshold_count") {
				t.Errorf("the hit is not put into words and numbers: %s", body)
			}
		}
		w.do(anna, c.ID, compliance.Act{Do: do, Reason: "other"})
		w.do(bert, c.ID, compliance.Act{Do: compliance.Approve})
	}
	body := w.get(anna, "/rules").body
	if !strings.Contains(body, "threshold_count = 6") || !strings.Contains(body, "14 of 14") || !strings.Contains(body, "/rules/changes?limit=threshold_count&amp;value=6") {
		t.Errorf("no suggestion: %s", body)
	}
	if body := w.get(anna, "/rules/changes?limit=threshold_count&value=6").body; !strings.Contains(body, `value="threshold_count" selected`) || !strings.Contains(body, `value="6"`) {
		t.Error("the form does not take the suggestion up")
	}
}

// D08: what the person gets is a file, and of the hub's data alone.
func TestPersonsFileIsGivenByItsAddress(t *testing.T) {
	w := newWorld(t)
	c := w.structuring("anton")
	must(t, w.SetLegalHold(ctx, maria, c.PersonID, "court order 5"))
	for _, o := range []compliance.Officer{admin, maria} {
		a := w.get(o, "/persons/"+url.PathEscape(c.PersonID)+"/data")
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment;") || !strings.Contains(a.body, playerName) || !strings.Contains(a.body, payerIBAN) {
			t.Errorf("%s: %d %s", o.ID, a.status, a.body)
		}
		text := strings.ToLower(regexp.MustCompile(`(pay|psn)_[0-9A-Za-z_-]+`).ReplaceAllString(a.body, "")) // by chance an id says anything
		for _, word := range []string{"r08", "structuring", "alert", "case", "court", "hold\""} {
			if strings.Contains(text, word) {
				t.Errorf("the file says %q", word)
			}
		}
		if strings.Contains(a.body, c.ID) {
			t.Error("the file names the case")
		}
		if a := w.get(o, "/keeping"); !strings.Contains(a.body, `data-test="held"`) || !strings.Contains(a.body, "court order 5") {
			t.Errorf("%s does not see who is under a legal hold", o.ID)
		}
	}
	for _, o := range []compliance.Officer{anna, bert} {
		if a := w.get(o, "/persons/"+c.PersonID+"/data"); a.status != http.StatusForbidden {
			t.Errorf("%s: %d", o.ID, a.status)
		}
	}
	if a := w.get(admin, "/persons/psn_nobody/data"); a.status != http.StatusNotFound {
		t.Errorf("a stranger: %d", a.status)
	}
	if a := w.get(anna, "/rules/changes/rls_none"); a.status != http.StatusNotFound {
		t.Errorf("a set that is not there: %d", a.status)
	}
}
