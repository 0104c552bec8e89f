package compliance_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/goaml"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

func sandboxProfile() goaml.Profile { return goaml.Sandbox() }

// unlocked lets any lock on a case lapse.
func (w *world) unlocked(id string) string {
	w.clock.Add(16 * time.Minute)
	return id
}

// reported takes a case to a filed report.
func (w *world) reported(c *compliance.Case) *compliance.Case {
	w.t.Helper()
	if w.load(c.ID).State == compliance.New {
		w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: maria})
	}
	must(w.t, w.SaveReport(ctx, maria, c.ID, sandboxProfile(), completeReport()))
	w.do(c.ID, compliance.Act{Do: compliance.ProposeSAR, By: maria, Reason: "structuring"})
	w.do(c.ID, compliance.Act{Do: compliance.Approve, By: moritz})
	return w.do(c.ID, compliance.Act{Do: compliance.File, By: maria, Reference: "FIU-2026-0815"})
}

func TestReportHoldsMoneyUntilItIsReleased(t *testing.T) {
	bothWorlds(t, func(t *testing.T, w *world) {
		c := w.raise(finding())
		w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: maria})
		_, err := w.try(c.ID, compliance.Act{Do: compliance.ProposeSAR, By: maria, Reason: "structuring"})
		refused(t, err, psd2.CodeInvalid, "report_missing")
		incomplete := completeReport()
		incomplete.Subject.BirthDate = ""
		must(t, w.SaveReport(ctx, maria, c.ID, sandboxProfile(), incomplete))
		_, err = w.try(c.ID, compliance.Act{Do: compliance.ProposeSAR, By: maria, Reason: "structuring"})
		refused(t, err, psd2.CodeInvalid, "report_incomplete")
		if w.held("psn_1", "pot_9") {
			t.Error("held before anything was proposed")
		}
		c = w.reported(c)
		if !w.held("psn_1", "pot_9") || w.held("psn_2", "pot_8") {
			t.Error("a reported person's payout must wait, and nobody else's")
		}
		// Friday 20 November 2026: Monday, Tuesday and Wednesday have to pass.
		if want := "2026-11-25T23:00:00Z"; c.WaitUntil.UTC().Format(time.RFC3339) != want {
			t.Errorf("the waiting period ends %s, want %s", c.WaitUntil.UTC().Format(time.RFC3339), want)
		}
		_, err = w.try(c.ID, compliance.Act{Do: compliance.Release, By: moritz})
		refused(t, err, psd2.CodeConflict, "waiting_period")
		w.clock.Add(c.WaitUntil.Sub(w.clock.Now()))
		if !w.held("psn_1", "") {
			t.Error("the end of the waiting period alone released the money")
		}
		c = w.do(c.ID, compliance.Act{Do: compliance.Release, By: moritz})
		if w.held("psn_1", "pot_9") || c.State != compliance.Released {
			t.Errorf("still held in %s", c.State)
		}
	})
}

func TestConsentOfTheFIUEndsTheWaiting(t *testing.T) {
	w := sqliteWorld(t)
	c := w.reported(w.raise(finding()))
	w.do(c.ID, compliance.Act{Do: compliance.Release, By: moritz, Reference: "FIU-consent-1"})
	if w.held("psn_1", "") {
		t.Error("held after the FIU's consent")
	}
}

func TestReturnedReportFreesTheMoney(t *testing.T) {
	w := sqliteWorld(t)
	c := w.raise(finding())
	w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: maria})
	must(t, w.SaveReport(ctx, maria, c.ID, sandboxProfile(), completeReport()))
	w.do(c.ID, compliance.Act{Do: compliance.ProposeSAR, By: maria, Reason: "structuring"})
	if !w.held("psn_1", "") {
		t.Error("not held when proposed")
	}
	w.do(c.ID, compliance.Act{Do: compliance.Return, By: moritz})
	if w.held("psn_1", "") {
		t.Error("held after the proposal was returned")
	}
}

func TestReportIsForReportingOfficersOnly(t *testing.T) { // D08
	w := sqliteWorld(t)
	c := w.reported(w.raise(finding()))
	_, err := w.Case(ctx, anna, c.ID)
	refused(t, err, psd2.CodeNotFound, "case")
	_, _, err = w.ReportFile(ctx, anna, c.ID)
	refused(t, err, psd2.CodeForbidden, "role")
	_, err = w.Act(ctx, c.ID, compliance.Act{Do: compliance.Note, By: anna, Version: c.Version, Note: "let me see"})
	refused(t, err, psd2.CodeNotFound, "case")
	for _, bucket := range compliance.Buckets {
		list, _, err := w.Queue(ctx, anna, compliance.Filter{Bucket: bucket})
		must(t, err)
		if len(list) != 0 {
			t.Errorf("an analyst sees it in %s", bucket)
		}
	}
	name, file, err := w.ReportFile(ctx, moritz, c.ID)
	must(t, err)
	if !strings.HasSuffix(name, ".xml") || !strings.Contains(string(file), "Müßig") {
		t.Errorf("%s: %s", name, file)
	}
}

func TestSecondReportNamesTheFirst(t *testing.T) {
	w := sqliteWorld(t)
	c := w.reported(w.raise(finding()))
	w.do(c.ID, compliance.Act{Do: compliance.Release, By: moritz, Reference: "FIU-consent-1"})
	c = w.do(c.ID, compliance.Act{Do: compliance.Reopen, By: maria})
	r, err := w.Draft(ctx, maria, c, &compliance.Facts{}, sandboxProfile())
	must(t, err)
	if len(r.Draft.Earlier) != 1 || r.Draft.Earlier[0] != "FIU-2026-0815" {
		t.Errorf("earlier reports: %q", r.Draft.Earlier)
	}
	must(t, w.SaveReport(ctx, maria, c.ID, sandboxProfile(), r.Draft))
	saved, err := w.Report(ctx, maria, w.load(c.ID))
	must(t, err)
	if saved.Status != compliance.ReportDraft || len(saved.Draft.Earlier) != 1 {
		t.Errorf("saved: %+v", saved)
	}
}

func TestClearedEntryNeedsTwoAndEnds(t *testing.T) {
	w := sqliteWorld(t)
	cleared := func() (yes bool) {
		must(t, w.db.Tx(ctx, func(tx *store.Tx) (err error) {
			yes, err = w.Whitelisted(tx, "psn_1", "un:6908555")
			return err
		}))
		return yes
	}
	c := w.raise(finding(func(f *compliance.Finding) { f.Family, f.Rule = "screening", "R27" }))
	w.do(c.ID, compliance.Act{Do: compliance.Investigate, By: anna})
	a := compliance.Act{Do: compliance.ProposeFalsePositive, By: anna, Reason: "name_differs", Entries: []string{"un:6908555"}, Until: w.clock.Now().AddDate(2, 0, 0)}
	_, err := w.try(c.ID, a)
	refused(t, err, psd2.CodeInvalid, "whitelist_until")
	a.Until = w.clock.Now().AddDate(0, 6, 0)
	w.do(c.ID, a)
	if cleared() {
		t.Error("cleared by one")
	}
	w.do(c.ID, compliance.Act{Do: compliance.Approve, By: bert})
	if !cleared() {
		t.Error("not cleared by two")
	}
	w.clock.Add(200 * 24 * time.Hour)
	if cleared() {
		t.Error("cleared for ever")
	}
}

func TestMissedDayShows(t *testing.T) {
	w := sqliteWorld(t) // Friday 20 November 2026, 11:00 in Berlin
	run := func(at time.Time, kind string, failed int) {
		_, err := w.RecordRun(ctx, compliance.Run{Kind: kind, Lists: map[string]string{"un": "ab"}, Persons: 3, Failed: failed, StartedAt: at, EndedAt: at.Add(time.Minute)})
		must(t, err)
	}
	day := func(d, hour int) time.Time { return time.Date(2026, 11, d, hour, 0, 0, 0, time.UTC) }
	run(day(15, 3), compliance.RunFull, 0)
	run(day(16, 3), compliance.RunDelta, 0) // no full one
	run(day(17, 3), compliance.RunFull, 1)  // left one out
	run(day(18, 23), compliance.RunFull, 0) // the 19th in Berlin
	days, err := w.Days(ctx, anna, w.clock.Now())
	must(t, err)
	var missed []int
	for _, d := range days {
		if d.Missed {
			missed = append(missed, d.Date.Day())
		}
	}
	if len(missed) != 3 || missed[0] != 16 || missed[1] != 17 || missed[2] != 18 {
		t.Errorf("missed: %v", missed)
	}
	signed := days[14].Runs[0]
	if _, err := jose.VerifyDetached(signed.JWS, w.keys.Public(), []byte(signed.Report), w.clock.Now()); err != nil {
		t.Errorf("the run's signature: %v", err)
	}
}

func TestMassRevealIsStoppedAndTold(t *testing.T) { // D05
	w := sqliteWorld(t, func(c *compliance.Config) { c.RevealsPerHour = 3 })
	c := w.raise(finding())
	refused(t, w.Reveal(ctx, anna, c.ID, "name", "curious"), psd2.CodeInvalid, "reason_required")
	refused(t, w.Reveal(ctx, admin, c.ID, "name", "other"), psd2.CodeForbidden, "role")
	for range 9 {
		must(t, w.Reveal(ctx, anna, c.ID, "name", "compare_name"))
	}
	refused(t, w.Reveal(ctx, anna, c.ID, "name", "compare_name"), psd2.CodeRateLimited, "too_many_reveals")
	lines, err := w.Excess(ctx, maria)
	must(t, err)
	if len(lines) != 1 || lines[0].Value("officer") != anna.ID {
		t.Errorf("told: %+v", lines)
	}
	var logged int
	must(t, w.db.Get(ctx, &logged, `SELECT COUNT(*) FROM compliance_audit WHERE action = 'field.revealed' AND detail LIKE '%compare_name%'`))
	if logged != 9 {
		t.Errorf("%d reveals are in the chain", logged)
	}
	w.clock.Add(2 * time.Hour)
	must(t, w.Reveal(ctx, anna, c.ID, "name", "compare_name"))
}

func TestWaitingPeriodCountsWorkingDays(t *testing.T) {
	for _, c := range []struct{ land, filed, runs string }{
		{"BE", "2026-11-20T10:00", "2026-11-26"}, // Friday: Mon, Tue, Wed
		{"BE", "2026-11-16T23:59", "2026-11-20"}, // Monday
		{"SN", "2026-11-16T08:00", "2026-11-21"}, // Wednesday 18 November is Repentance Day in Saxony
		{"BE", "2026-04-02T12:00", "2026-04-10"}, // Thursday before Easter: Good Friday, Easter Monday
		{"BE", "2025-04-17T12:00", "2025-04-25"}, // Easter on 20 April
		{"BE", "2024-03-28T12:00", "2024-04-05"}, // Easter on 31 March
		{"BE", "2027-03-25T12:00", "2027-04-02"}, // Easter on 28 March
		{"BE", "2026-12-23T09:00", "2026-12-30"}, // Thursday 24 counts, Christmas and its weekend do not
		{"BE", "2026-05-13T09:00", "2026-05-20"}, // Ascension on the 14th: Fri, Mon, Tue
		{"NW", "2026-06-03T09:00", "2026-06-10"}, // Corpus Christi on 4 June: Fri, Mon, Tue
		{"BE", "2026-06-03T09:00", "2026-06-09"}, // not in Berlin
		{"BE", "2026-03-06T09:00", "2026-03-12"}, // 8 March is a Sunday
		{"BE", "2027-03-05T09:00", "2027-03-12"}, // Monday 8 March: Women's Day in Berlin
		{"HH", "2025-10-30T09:00", "2025-11-06"}, // Reformation Day on Friday
		{"BY", "2025-10-30T09:00", "2025-11-05"}, // All Saints is a Saturday
		{"BE", "2026-10-02T09:00", "2026-10-08"}, // 3 October is a Saturday
	} {
		calendar, err := compliance.NewCalendar(c.land)
		must(t, err)
		berlin, err := time.LoadLocation("Europe/Berlin")
		must(t, err)
		filed, err := time.ParseInLocation("2006-01-02T15:04", c.filed, berlin)
		must(t, err)
		if got := calendar.WaitingEnd(filed).Format("2006-01-02T15:04"); got != c.runs+"T00:00" {
			t.Errorf("%s, filed %s: may run from %s, want %s", c.land, c.filed, got, c.runs)
		}
	}
	if _, err := compliance.NewCalendar("XX"); err == nil {
		t.Error("a Land that does not exist was taken")
	}
}
