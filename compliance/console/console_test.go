package console_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/console"
	"github.com/rialto-hub/rialto/psd2"
)

// D03 is in browser_test.go; D07 in compliance/audit_test.go.

func TestPageCannotGoRoundFourEyes(t *testing.T) { // D01
	w := newWorld(t)
	c := w.structuring("anton")
	w.act(anna, c.ID, "investigate")
	if a := w.act(anna, c.ID, "propose_no_suspicion"); a.status != http.StatusSeeOther {
		t.Fatalf("propose: %d %s", a.status, a.body)
	}
	if a := w.get(anna, "/cases/"+c.ID); strings.Contains(a.body, `data-test="do-approve"`) {
		t.Error("who proposed is offered to approve")
	}
	if a := w.act(anna, c.ID, "approve"); a.status != http.StatusForbidden || !strings.Contains(a.body, "second person") {
		t.Errorf("self-approval: %d %s", a.status, a.body)
	}
	if a := w.act(bert, c.ID, "approve"); a.status != http.StatusSeeOther {
		t.Errorf("approval: %d %s", a.status, a.body)
	}
}

func TestFiredOfficerIsOutAtOnce(t *testing.T) { // D02
	w := newWorld(t)
	c := w.structuring("anton")
	if a := w.get(maria, "/audit"); a.status != http.StatusOK {
		t.Fatalf("audit: %d", a.status)
	}
	w.badges.change(maria.ID, func(s *console.Session) { s.Roles = []compliance.Role{compliance.Viewer} })
	if a := w.get(maria, "/audit"); a.status != http.StatusForbidden {
		t.Errorf("a role that was taken away still counts: %d", a.status)
	}
	if a := w.act(maria, c.ID, "investigate"); a.status != http.StatusForbidden {
		t.Errorf("a viewer acts: %d", a.status)
	}
	w.badges.change(maria.ID, nil)
	if a := w.get(maria, "/queue"); a.status != http.StatusSeeOther || a.header.Get("Location") != "/sign-in" {
		t.Errorf("after the dismissal: %d %s", a.status, a.header.Get("Location"))
	}
	if a := w.act(maria, c.ID, "take"); a.status != http.StatusUnauthorized {
		t.Errorf("an action after the dismissal: %d", a.status)
	}
}

func TestSpreadsheetSeesNoFormula(t *testing.T) { // D04
	w := newWorld(t)
	p := w.payment("anton", 1000)
	p.MerchantID = "@SUM(1)"
	w.raise(p, "=HYPERLINK(\"http://evil\")", "+family", 2, 50, `{}`)
	a := w.post(anna, "/queue/csv", "query", "")
	if a.status != http.StatusOK || !strings.Contains(a.body, `"'=HYPERLINK(""http://evil"")"`) || !strings.Contains(a.body, "'+family") || !strings.Contains(a.body, "'@SUM") {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, line := range strings.Split(a.body, "\n") {
		for _, cell := range strings.Split(line, ",") {
			if regexp.MustCompile(`^"?[=+@\t-]`).MatchString(cell) {
				t.Errorf("a cell begins like a formula: %q", cell)
			}
		}
	}
}

func TestEveryCaseIsInTheFileOnce(t *testing.T) { // D04: in pieces
	w := newWorld(t)
	for i := range 450 {
		p := w.payment(fmt.Sprintf("p%d", i%3), 1000)
		p.PersonID = fmt.Sprintf("psn_%d", i)
		w.raise(p, "R08", "structuring", 2, int64(i%100), `{}`)
	}
	a := w.post(anna, "/queue/csv", "query", "")
	seen := map[string]bool{}
	for _, id := range regexp.MustCompile(`cas_[0-9a-z]{26}`).FindAllString(a.body, -1) {
		seen[id] = true
	}
	if len(seen) != 450 || strings.Count(a.body, "\n") != 451 {
		t.Errorf("%d cases in %d lines", len(seen), strings.Count(a.body, "\n"))
	}
}

func TestMaskedUntilAskedFor(t *testing.T) { // D05
	w := newWorld(t)
	c := w.structuring("anton")
	for _, path := range []string{"/queue", "/cases/" + c.ID, "/alerts/" + w.alertOf(c)} {
		a := w.get(maria, path)
		if a.status != http.StatusOK {
			t.Fatalf("%s: %d", path, a.status)
		}
		for _, secret := range []string{"Müßig", "1980-02-29", payerIBAN, "DE02 1203", "anton"} {
			if strings.Contains(a.body, secret) {
				t.Errorf("%s shows %q", path, secret)
			}
		}
	}
	if a := w.post(anna, "/cases/"+c.ID+"/reveal", "field", "name"); a.status != http.StatusBadRequest {
		t.Errorf("without a reason: %d", a.status)
	}
	a := w.post(anna, "/cases/"+c.ID+"/reveal", "field", "name", "reason", "compare_name")
	if a.status != http.StatusOK || !strings.Contains(a.body, playerName) || strings.Contains(a.body, "1980-02-29") {
		t.Errorf("one field: %d", a.status)
	}
	if a := w.get(anna, "/cases/"+c.ID); strings.Contains(a.body, "Müßig") || !strings.Contains(a.body, "looked at a masked value") {
		t.Error("it stays open, or is not in the history")
	}
}

func (w *world) alertOf(c *compliance.Case) string {
	w.t.Helper()
	list, err := w.AlertsOf(ctx, c.ID)
	must(w.t, err)
	return list[0].ID
}

func TestOpeningACaseLocksIt(t *testing.T) {
	w := newWorld(t)
	c := w.structuring("anton")
	lockedBy := func(want string) {
		t.Helper()
		if got, err := w.Case(ctx, maria, c.ID); err != nil || got.LockedBy != want || got.Version != c.Version {
			t.Fatalf("locked by %q, version %d, want %q and %d (%v)", got.LockedBy, got.Version, want, c.Version, err)
		}
	}
	w.get(rita, "/cases/"+c.ID).has(t, 200)
	lockedBy("") // she only reads
	w.get(anna, "/cases/"+c.ID).has(t, 200, "opened the case", `data-test="do-unlock"`)
	lockedBy(anna.ID)
	w.get(bert, "/cases/"+c.ID).has(t, 200, "Anna Amsel is working on this case")
	lockedBy(anna.ID)
	w.act(bert, c.ID, "investigate").has(t, http.StatusConflict, "Anna Amsel")
	w.clock.Add(10 * time.Minute)
	w.badges.refresh()
	w.get(anna, "/cases/"+c.ID) // still there
	w.clock.Add(10 * time.Minute)
	w.badges.refresh()
	w.act(bert, c.ID, "investigate").has(t, http.StatusConflict, "Anna Amsel")
	w.act(anna, c.ID, "escalate")
	if got := w.get(anna, "/cases/"+c.ID); got.status != 200 {
		t.Fatal(got.status)
	}
	if a := w.act(maria, c.ID, "investigate"); a.status != http.StatusSeeOther {
		t.Errorf("who escalated keeps it: %d %s", a.status, a.main())
	}
	lines, err := w.History(ctx, c.ID, 100)
	must(t, err)
	opened := 0
	for _, l := range lines {
		if l.Action == "case.opened" {
			opened++
		}
	}
	if opened != 1 {
		t.Errorf("the chain says %d times that it was opened", opened)
	}
}

func TestSecondDeciderLearnsWhoAndWhen(t *testing.T) { // D06
	w := newWorld(t)
	c := w.structuring("anton")
	w.act(anna, c.ID, "investigate")
	w.act(anna, c.ID, "propose_no_suspicion")
	seen, err := w.Case(ctx, maria, c.ID)
	must(t, err)
	w.act(bert, c.ID, "approve")
	a := w.post(maria, "/cases/"+c.ID+"/act", "do", "approve", "version", fmt.Sprint(seen.Version))
	if a.status != http.StatusConflict || !strings.Contains(a.body, "Bert Buchfink changed this case on 20") {
		t.Errorf("%d %s", a.status, a.body)
	}
	a = w.send(maria.ID, "POST", "/cases/"+c.ID+"/act?lang=de", map[string][]string{"do": {"approve"}, "version": {fmt.Sprint(seen.Version)}})
	if a.status != http.StatusConflict || !strings.Contains(a.body, "Bert Buchfink hat diesen Vorgang geändert") {
		t.Errorf("in German: %d %s", a.status, a.body)
	}
}

func TestAnalystSeesNoTraceOfAReport(t *testing.T) { // D08
	w := newWorld(t)
	c := w.reported(w.structuring("anton"))
	for _, path := range []string{"/cases/" + c.ID, "/cases/" + c.ID + "/report", "/alerts/" + w.alertOf(c), "/audit"} {
		if a := w.get(anna, path); a.status != http.StatusNotFound && a.status != http.StatusForbidden {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	for _, path := range []string{"/queue", "/queue?bucket=filed", "/queue?bucket=proposed", "/holds", "/rules", "/screening"} {
		if a := w.get(anna, path); strings.Contains(a.body, c.ID) || strings.Contains(a.body, "FIU-2026") {
			t.Errorf("%s shows it", path)
		}
	}
	missing, hidden := w.get(anna, "/cases/cas_00000000000000000000000000"), w.get(anna, "/cases/"+c.ID)
	trace := regexp.MustCompile(`[0-9a-f]{32}`)
	if trace.ReplaceAllString(missing.body, "") != trace.ReplaceAllString(hidden.body, "") {
		t.Error("a hidden case answers otherwise than one that does not exist")
	}
}

// reported takes a case to a filed report through the desk.
func (w *world) reported(c *compliance.Case) *compliance.Case {
	w.t.Helper()
	w.do(maria, c.ID, compliance.Act{Do: compliance.Investigate})
	c, err := w.Case(ctx, maria, c.ID)
	must(w.t, err)
	facts, err := w.FactsOf(ctx, c)
	must(w.t, err)
	r, err := w.Draft(ctx, maria, c, facts, sandbox())
	must(w.t, err)
	fillReport(r)
	must(w.t, w.SaveReport(ctx, maria, c.ID, r.Profile, r.Draft))
	w.do(maria, c.ID, compliance.Act{Do: compliance.ProposeSAR, Reason: "structuring"})
	w.do(milan, c.ID, compliance.Act{Do: compliance.Approve})
	return w.do(maria, c.ID, compliance.Act{Do: compliance.File, Reference: "FIU-2026-0815"})
}

func (w *world) do(o compliance.Officer, id string, a compliance.Act) *compliance.Case {
	w.t.Helper()
	c, err := w.Case(ctx, maria, id)
	must(w.t, err)
	a.By, a.Version = o, c.Version
	if a.Note == "" {
		a.Note = "in a few words"
	}
	if a.Reason == "" {
		a.Reason = "other"
	}
	c, err = w.Act(ctx, id, a)
	must(w.t, err)
	return c
}

func TestFilesAreSavedAndNeverShown(t *testing.T) { // D09
	w := newWorld(t)
	c := w.reported(w.structuring("anton"))
	for name, a := range map[string]answer{
		"xml":     w.post(maria, "/cases/"+c.ID+"/report/file"),
		"csv":     w.post(maria, "/queue/csv", "query", "bucket=filed"),
		"audit":   w.post(admin, "/audit/export"),
		"dossier": w.post(maria, "/keeping", "do", "dossier", "subject", c.PersonID),
	} {
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment;") || a.header.Get("X-Content-Type-Options") != "nosniff" ||
			!strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") || strings.Contains(a.header.Get("Content-Type"), "html") {
			t.Errorf("%s: %d %v", name, a.status, a.header)
		}
	}
	for _, o := range []compliance.Officer{anna, admin} { // another's file by its address
		if a := w.post(o, "/cases/"+c.ID+"/report/file"); a.status != http.StatusNotFound && a.status != http.StatusForbidden {
			t.Errorf("%s takes the file: %d", o.ID, a.status)
		}
	}
}

func TestOnlyAFreshPasskeySessionCounts(t *testing.T) { // D10
	for name, spoil := range map[string]func(*console.Session, time.Time){
		"password only":   func(s *console.Session, _ time.Time) { s.Passkey = false },
		"15 idle minutes": func(s *console.Session, now time.Time) { s.Used = now.Add(-15 * time.Minute) },
		"8 hours":         func(s *console.Session, now time.Time) { s.Began = now.Add(-8 * time.Hour) },
	} {
		w := newWorld(t)
		if a := w.get(anna, "/queue"); a.status != http.StatusOK {
			t.Fatalf("%s: before: %d", name, a.status)
		}
		w.badges.change(anna.ID, func(s *console.Session) { spoil(s, w.clock.Now()) })
		if a := w.get(anna, "/queue"); a.status != http.StatusSeeOther {
			t.Errorf("%s: %d", name, a.status)
		}
	}
}

func TestForeignFormsDoNothing(t *testing.T) { // B01
	w := newWorld(t)
	c := w.structuring("anton")
	req, err := http.NewRequest("POST", "http://"+w.server.Listener.Addr().String()+"/cases/"+c.ID+"/act", strings.NewReader("do=take&version=1"))
	must(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	req.AddCookie(&http.Cookie{Name: "officer", Value: anna.ID})
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestEveryPageInBothLanguages(t *testing.T) {
	w := newWorld(t)
	open := w.structuring("anton")
	filed := w.reported(w.structuring("berta"))
	_, err := w.RecordRun(ctx, compliance.Run{Kind: compliance.RunFull, Persons: 3, Lists: map[string]string{"un": "abcdef0123"}, StartedAt: w.clock.Now(), EndedAt: w.clock.Now()})
	must(t, err)
	for _, path := range []string{"/queue", "/queue?bucket=filed", "/queue?severity=3&overdue=1&family=structuring", "/cases/" + open.ID, "/cases/" + filed.ID,
		"/cases/" + filed.ID + "/report?step=facts", "/cases/" + filed.ID + "/report?step=people", "/cases/" + filed.ID + "/report?step=payments",
		"/cases/" + filed.ID + "/report?step=check", "/alerts/" + w.alertOf(open), "/rules", "/screening", "/runs", "/runs?month=2026-10", "/holds", "/audit", "/keeping"} {
		for _, lang := range []string{"en", "de"} {
			sep := "?"
			if strings.Contains(path, "?") {
				sep = "&"
			}
			a := w.get(maria, path+sep+"lang="+lang)
			if a.status != http.StatusOK {
				t.Errorf("%s in %s: %d", path, lang, a.status)
			}
			if key := regexp.MustCompile(`>\s*(?:nav|state|rule|act|col|case|did|reason|input|chart|report|field)\.[a-z_.]+\s*<`).FindString(a.body); key != "" {
				t.Errorf("%s in %s shows the key %q", path, lang, key)
			}
			if strings.Contains(a.body, " style=") || strings.Contains(a.body, "<script>") || strings.Contains(a.body, " onclick") {
				t.Errorf("%s holds something inline", path)
			}
		}
	}
}

func TestBulkThroughThePage(t *testing.T) {
	w := newWorld(t)
	a, b := w.structuring("anton"), w.structuring("berta")
	if got := w.post(anna, "/queue/bulk", "case."+a.ID, "1", "case."+b.ID, "1", "do", "propose_false_positive", "reason", "rule_too_wide", "note", "too wide"); got.status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.status, got.body)
	}
	page := w.get(bert, "/queue?bucket=proposed")
	found := regexp.MustCompile(`/proposals/blk_[0-9a-z]+`).FindString(page.body)
	if found == "" {
		t.Fatalf("no proposal on the page: %s", page.body)
	}
	if got := w.post(anna, found, "do", "approve"); got.status != http.StatusForbidden {
		t.Errorf("self-approval: %d", got.status)
	}
	if got := w.post(bert, found, "do", "approve"); got.status != http.StatusSeeOther {
		t.Errorf("approval: %d %s", got.status, got.body)
	}
	for _, id := range []string{a.ID, b.ID} {
		if c, err := w.Case(ctx, anna, id); err != nil || c.State != compliance.Closed {
			t.Errorf("%v %v", c, err)
		}
	}
}

func TestViewsAreKept(t *testing.T) {
	w := newWorld(t)
	w.post(anna, "/queue/views", "name", "Late & high", "query", "bucket=open&overdue=1&severity=3")
	if a := w.get(anna, "/queue"); !strings.Contains(a.body, `href="/queue?bucket=open&amp;overdue=1&amp;severity=3"`) {
		t.Error("the view is not on the page")
	}
	if a := w.get(bert, "/queue"); strings.Contains(a.body, "Late") {
		t.Error("a colleague has it")
	}
	if a := w.post(anna, "/queue/views", "name", "x", "query", "//evil"); a.status != http.StatusBadRequest {
		t.Errorf("a foreign address was kept: %d", a.status)
	}
}

func TestPaymentsReferToNoOneElse(t *testing.T) { // links of two players at one account
	w := newWorld(t)
	c := w.structuring("anton")
	w.payment("berta", 5000, func(p *psd2.Payment) { p.Personal.Player.Name = "Berta Fremd" })
	a := w.get(anna, "/cases/"+c.ID)
	if !strings.Contains(a.body, "Other person") || strings.Contains(a.body, "Fremd") {
		t.Errorf("the other person at the account: %v", strings.Contains(a.body, "Other person"))
	}
}
