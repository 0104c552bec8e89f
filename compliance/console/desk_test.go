package console_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/score"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// main is what a page says, without its frame.
func (a answer) main() string { return a.body[max(strings.Index(a.body, "<main"), 0):] }

// has fails unless a page shows all of these.
func (a answer) has(t *testing.T, status int, want ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %s", a.status, status, a.main())
	}
	for _, text := range want {
		if !strings.Contains(a.body, text) {
			t.Errorf("the page lacks %q: %s", text, a.main())
		}
	}
}

// held lets a rule hold a payout and gives the hold's id.
func (w *world) held(person, object string) string {
	w.t.Helper()
	must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error { return w.HoldObject(tx, person, object, "R03") }))
	var id string
	must(w.t, w.db.Get(ctx, &id, `SELECT id FROM compliance_holds WHERE object_id = ?`, object))
	return id
}

var seenField = regexp.MustCompile(`name="seen" value="([0-9]+)"`)

func TestHeldPayoutIsDecidedByTwoOnThePage(t *testing.T) { // D01
	w := newWorld(t)
	c := w.structuring("anton")
	id := w.held(c.PersonID, "pot_1")
	must(t, w.db.Tx(ctx, func(tx *store.Tx) error { // of the case's person: its hit names the payout
		return w.Raise(tx, compliance.Finding{ID: "hit_pot", EntityKind: "person", EntityKey: c.PersonID, PersonID: c.PersonID, ObjectID: "pot_1", Rule: "R03",
			Family: "payout", RuleVersion: "1", Severity: 3, Score: 60, At: w.clock.Now()})
	}))
	w.get(anna, "/cases/"+c.ID).has(t, 200, `data-test="hold-refuse"`, "pot_1")
	w.get(anna, "/holds").has(t, 200, `href="/cases/`+c.ID)
	w.post(anna, "/holds/"+id, "do", "refuse", "note", "").has(t, http.StatusBadRequest)
	if a := w.post(anna, "/holds/"+id, "do", "refuse", "note", "not his account", "back", c.ID); a.header.Get("Location") != "/cases/"+c.ID {
		t.Fatalf("proposed: %d %s", a.status, a.header.Get("Location"))
	}
	own := w.get(anna, "/holds").body
	if strings.Contains(own, `data-test="hold-approve"`) || !strings.Contains(own, `data-test="hold-return"`) {
		t.Error("who proposed is shown approval, or cannot take it back")
	}
	page := w.get(bert, "/holds")
	page.has(t, 200, `data-test="hold-approve"`, "Anna Amsel")
	seen := seenField.FindStringSubmatch(page.body)[1]
	w.post(anna, "/holds/"+id, "do", "approve", "seen", seen, "note", "I agree").has(t, http.StatusForbidden, "second person")
	w.post(bert, "/holds/"+id, "do", "approve", "seen", "1", "note", "an old page").has(t, http.StatusConflict, "Anna Amsel")
	if a := w.post(bert, "/holds/"+id, "do", "approve", "seen", seen, "note", "agreed", "back", "//evil.example"); a.header.Get("Location") != "/holds" {
		t.Fatalf("decided: %d %q", a.status, a.header.Get("Location"))
	}
	w.get(bert, "/holds").has(t, 200, `data-test="ended"`, "refused")
}

// newcomer is a hit that the shipped rules really make, as the monitor stores it.
func newcomer(t testing.TB, now time.Time) map[string]any {
	t.Helper()
	engine, err := rules.Shipped().Compile(rules.ProfileOnlineDE, nil)
	must(t, err)
	registered := now.Add(-time.Hour)
	j, err := engine.Judge(&rules.Fact{ID: "pay_1", At: now, Kind: rules.Deposit, Status: rules.Settled, Amount: 150000, Currency: "EUR", Merchant: merchantID,
		Player: "p", Person: "p", RegisteredAt: &registered, KYC: "verified"}, &rules.History{})
	must(t, err)
	for _, h := range j.Hits {
		if h.Rule != "R21" {
			continue
		}
		b, err := json.Marshal(h)
		must(t, err)
		var m map[string]any
		must(t, json.Unmarshal(b, &m))
		return m
	}
	t.Fatalf("a large first deposit hits %+v", j.Hits)
	return nil
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}

func TestAlertIsJudgedAgain(t *testing.T) {
	w := newWorld(t)
	whole := newcomer(t, w.clock.Now())
	changed := newcomer(t, w.clock.Now())
	changed["inputs"].(map[string]any)["amount"] = 100 //nolint:forcetypeassert // the engine made it
	graver := newcomer(t, w.clock.Now())
	graver["severity"] = "critical"
	for name, x := range map[string]struct{ inputs, want string }{
		"another severity":        {text(t, graver), "Same result: 0, another result: 1, cannot be judged here: 0"},
		"as stored":               {text(t, whole), "Same result: 1, another result: 0, cannot be judged here: 0"},
		"other inputs":            {text(t, changed), "Same result: 0, another result: 1, cannot be judged here: 0"},
		"nothing a rule has seen": {`{"what":"not_me"}`, "Same result: 0, another result: 0, cannot be judged here: 1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := w.raise(w.payment(name, 150000), "R21", "behaviour", 2, 40, x.inputs)
			path := "/alerts/" + w.alertOf(c)
			w.get(anna, path).has(t, 200, `data-test="judge"`)
			w.post(anna, path+"/judge").has(t, 200, x.want)
			lines, err := w.History(ctx, c.ID, 1)
			must(t, err)
			if lines[0].Action != "alert.judged" || lines[0].Actor != anna.ID {
				t.Errorf("the chain ends with %+v", lines[0])
			}
		})
	}
}

func TestAlertShowsWhatMovedTheScore(t *testing.T) {
	w := newWorld(t)
	hit, risk := newcomer(t, w.clock.Now()), 0.82
	hit["model"] = score.Scored{Version: "3f9a", Mode: "shadow", Novelty: 0.71, Risk: &risk, ForRisk: []score.Part{{Column: "amount", Value: 150000, Usual: 2500, Moved: 1.4}, {Column: "age_days", Value: 900, Usual: 30, Moved: -0.7}}}
	c := w.raise(w.payment("anton", 150000), "R21", "behaviour", 2, 40, text(t, hit))
	page := w.get(anna, "/alerts/"+w.alertOf(c))
	page.has(t, 200, `data-test="model"`, "3f9a", "82", "1.40", "-0.70", "age days", "€1,500.00")
	if strings.Count(page.body, `class="more"`) != 1 || strings.Count(page.body, `class="less"`) != 1 {
		t.Errorf("bars: %s", page.body)
	}
}

func TestWhatRulesCannotSeeIsShown(t *testing.T) {
	w := newWorld(t)
	c := w.structuring("anton")
	if body := w.get(anna, "/cases/"+c.ID).body; strings.Contains(body, `data-test="gaps"`) {
		t.Error("a gap where there is none")
	}
	w.get(anna, "/rules").has(t, 200, "All rules saw what they need.", "No model is in use")
	w.watch.blind = []compliance.Blind{{Rule: "R29", Missing: []string{"mule_list"}, Transactions: 950}, {Rule: "R25", Missing: []string{"place"}, Transactions: 20}}
	w.watch.drift = []score.Drifted{{Column: "amount", PSI: 0.31}, {Column: "night", PSI: 0.02}}
	w.get(anna, "/cases/"+c.ID).has(t, 200, `data-test="gaps"`, "list of mule accounts", "R29", "place of the IP address")
	w.get(anna, "/rules").has(t, 200, "list of mule accounts", "950", "train anew", "0.31", "steady")
}

func TestCasesAreSplitAndJoinedOnThePage(t *testing.T) {
	w := newWorld(t)
	c := w.structuring("anton")
	w.raise(w.payment("anton", 30000), "R05", "accounts", 2, 45, `{}`)
	other := w.structuring("berta")
	alerts, err := w.AlertsOf(ctx, c.ID)
	must(t, err)
	w.get(anna, "/cases/"+c.ID).has(t, 200, `data-test="do-split"`, `name="alert" value="`+alerts[1].ID)
	w.act(anna, c.ID, "split").has(t, http.StatusBadRequest, "tick the alerts")
	a := w.act(anna, c.ID, "split", "alert", alerts[1].ID)
	part, ok := strings.CutPrefix(a.header.Get("Location"), "/cases/")
	if !ok || part == c.ID {
		t.Fatalf("split: %d %s", a.status, a.body)
	}
	w.get(anna, "/cases/"+part).has(t, 200, "One account, many players", `<option value="`+c.ID)
	w.act(anna, part, "join", "into", "cas_unknown").has(t, http.StatusBadRequest, "no such other case")
	if a := w.act(anna, part, "join", "into", " "+strings.ToUpper(other.ID[:6])+other.ID[6:]); a.header.Get("Location") != "/cases/"+other.ID {
		t.Fatalf("join: %d %s", a.status, a.body)
	}
	w.get(anna, "/cases/"+part).has(t, 200, `data-test="joined"`, other.ID)
	w.get(anna, "/cases/"+other.ID).has(t, 200, "One account, many players", "joined another case to it")
}

func TestAuditorReadsTheChainAndChangesNothing(t *testing.T) { // D02
	w := newWorld(t)
	c := w.structuring("anton")
	id := w.held(c.PersonID, "pot_1")
	w.do(anna, c.ID, compliance.Act{Do: compliance.Investigate})
	w.do(anna, c.ID, compliance.Act{Do: compliance.Note, Note: "his sister wrote to us"})
	trail := w.get(rita, "/audit")
	trail.has(t, 200, "left a note")
	if strings.Contains(trail.body, "his sister") {
		t.Error("the trail opens notes")
	}
	file := w.post(rita, "/audit/export")
	file.has(t, 200, `"kind":"end"`)
	if strings.Contains(file.body, "his sister") {
		t.Error("the export opens notes")
	}
	holds := w.get(rita, "/holds")
	holds.has(t, 200, "pot_1")
	if strings.Contains(holds.body, `data-test="open-hold"`) {
		t.Error("an auditor is offered a decision")
	}
	w.post(rita, "/holds/"+id, "do", "release", "note", "let it go").has(t, http.StatusForbidden)
	w.act(rita, c.ID, "note").has(t, http.StatusForbidden)
	w.post(rita, "/cases/"+c.ID+"/reveal", "field", "name", "reason", "other").has(t, http.StatusBadRequest)
	w.post(rita, "/rules/changes", "catalogue", "x", "reason", "a reason").has(t, http.StatusForbidden)
	w.post(rita, "/keeping", "do", "hold", "subject", c.PersonID, "reason", "a reason").has(t, http.StatusForbidden)
}

// Staff stand in the chain under their names, those too who are officers no more.
func TestChainNamesItsPeople(t *testing.T) {
	w := newWorld(t)
	for _, o := range []compliance.Officer{rita, gone} {
		must(t, w.Record(ctx, compliance.ActorOfficer, o.ID, "officer.signed_in", o.ID, nil))
	}
	page := w.get(maria, "/audit")
	page.has(t, 200, "Rita Rabe", "Greta Gans")
	for _, id := range []string{rita.ID, gone.ID} {
		if strings.Contains(page.body, id) {
			t.Errorf("the page shows %s: %s", id, page.main())
		}
	}
}

// waiting lets rules hold payouts of a case's person: one that nobody has looked
// at, one proposed by a colleague, one decided; and rules be blind and drift.
func (w *world) waiting(c *compliance.Case) {
	w.t.Helper()
	ids := map[string]string{}
	for _, name := range []string{"new", "proposed", "decided"} {
		object := psd2.NewID(psd2.PrefixPayout, w.clock.Now(), rand.Reader)
		ids[name] = w.held(c.PersonID, object)
		must(w.t, w.db.Tx(ctx, func(tx *store.Tx) error {
			return w.Raise(tx, compliance.Finding{ID: "hit_" + object, EntityKind: "person", EntityKey: c.PersonID, PersonID: c.PersonID, MerchantID: merchantID, ObjectID: object,
				Rule: "R03", Family: "payout_account", RuleVersion: "1", Severity: 2, Score: 30, At: w.clock.Now()})
		}))
		w.clock.Add(9 * time.Hour)
	}
	for name, do := range map[string]string{"proposed": compliance.HoldRefuse, "decided": compliance.HoldRelease} {
		must(w.t, w.ProposeHold(ctx, anna, ids[name], do, "Kontoauszug liegt vor"))
	}
	holds, err := w.Holds(ctx, bert, 10)
	must(w.t, err)
	for _, h := range holds {
		if p, ok := h.Proposed(); ok && h.ID == ids["decided"] {
			must(w.t, w.DecideHold(ctx, bert, h.ID, p.At, true, "einverstanden"))
		}
	}
	w.badges.refresh()
	w.watch.blind = []compliance.Blind{{Rule: "R29", Missing: []string{"mule_list"}, Transactions: 950}, {Rule: "R24", Missing: []string{"ip_country", "residence"}, Transactions: 20}}
	w.watch.drift = []score.Drifted{{Column: "amount", PSI: 0.31}, {Column: "night", PSI: 0.14}, {Column: "sum_24h", PSI: 0.02}}
	hit, risk := newcomer(w.t, w.clock.Now()), 0.82
	hit["model"] = score.Scored{Version: "3f9a", Mode: "shadow", Novelty: 0.71, Risk: &risk, ForRisk: []score.Part{{Column: "amount", Value: 150000, Usual: 2500, Moved: 1.4},
		{Column: "account_hours", Value: 1, Usual: 900, Moved: 0.9}, {Column: "own_deposits", Value: 1, Usual: 30, Moved: -0.7}}}
	b, err := json.Marshal(hit)
	must(w.t, err)
	w.raise(w.payment("anton", 150000), "R21", "behaviour", 3, 99, string(b))
}

// Every rule's family has a name in each language and can be filtered by.
func TestFamiliesOfTheCatalogueHaveNames(t *testing.T) {
	w := newWorld(t)
	page := w.get(anna, "/queue?lang=en").body
	german := w.get(anna, "/queue?lang=de").body
	for _, r := range rules.Shipped().Rules {
		for lang, body := range map[string]string{"en": page, "de": german} {
			if !strings.Contains(body, `<option value="`+r.Family+`">`) || strings.Contains(body, `<option value="`+r.Family+`">`+r.Family+`<`) {
				t.Errorf("%s: %s has the family %s, which has no name", lang, r.ID, r.Family)
			}
		}
	}
}

// A list hit is on the screening page under whatever its case is about, and its
// entry is offered to be cleared.
func TestListHitsAreFoundAndCleared(t *testing.T) {
	w := newWorld(t)
	c := w.structuring("anton")
	if body := w.get(anna, "/screening").body; strings.Contains(body, c.ID) {
		t.Error("a case without a list hit is on the screening page")
	}
	w.raise(w.payment("anton", 5000), "R27", "sanctions", 2, 30, `{"entry_id":"un:6908555","list_hash":"ab"}`)
	w.do(anna, c.ID, compliance.Act{Do: compliance.Investigate})
	w.get(anna, "/screening").has(t, 200, c.ID)
	w.get(anna, "/cases/"+c.ID).has(t, 200, `name="entries" value="un:6908555"`)
}
