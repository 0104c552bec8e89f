package screening_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/names"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/compliance/screening"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// What is found at the first payment is told once, explained, and can be
// computed again.
func TestTheFirstPaymentScreensItsPlayer(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		s := w.service(nil)
		must(t, w.rest(s)) // today's full run is over before he comes
		p := w.pay("p1", "Quuxberger, Zenobia", "1980-02-03", "DE")
		w.pay("p2", "Anna Koch", "1990-01-01", "DE")
		w.pay("p1", "Quuxberger, Zenobia", "1980-02-03", "DE")
		must(t, w.rest(s))
		if n := w.findings(); n != 1 {
			t.Fatalf("%d findings, want 1", n)
		}
		c, hit, in := w.theCase()
		if c.PersonID != p.PersonID || hit.Rule != "R27" || hit.ObjectID != p.ID || hit.Severity != compliance.SeverityCritical {
			t.Errorf("case %+v, hit %+v", c, hit)
		}
		if in.EntryID != "own:7" || in.EntryName != "Zenobia Quuxberger" || in.Explanation.BirthDate != names.Agrees || !in.Explanation.Exact || !strings.Contains(in.Words, "quuxberger") {
			t.Errorf("explained by %+v", in)
		}
		list, err := names.LoadDir(w.dir)
		must(t, err)
		if h, err := screening.Replay(list, hit.Inputs); err != nil || h.Score != in.Score {
			t.Errorf("replayed to %v, %v", h.Score, err)
		}
		w.list(villain, "8,Person,Somebody Else,,")
		if list, err = names.LoadDir(w.dir); err != nil {
			t.Fatal(err)
		}
		if _, err := screening.Replay(list, hit.Inputs); err == nil {
			t.Error("replayed with another list")
		}
		for player, want := range map[string]bool{"p1": true, "p2": false} {
			r, pep, err := s.Screened(ctx, w.db.PersonID(merchant, player))
			if err != nil || r == nil || (r.Score >= 0.95 && r.Agrees) != want || pep != nil {
				t.Errorf("%s: %+v %v %v", player, r, pep, err)
			}
		}
		if r, _, err := s.Screened(ctx, w.db.PersonID(merchant, "p3")); err != nil || r != nil {
			t.Errorf("somebody never seen: %+v %v", r, err)
		}
	})
}

// Who tells another birth date is somebody to be judged anew.
func TestChangedDataAreScreenedAnew(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		s := w.service(nil)
		w.pay("p1", "Anna Koch", "1990-01-01", "DE")
		must(t, w.rest(s))
		w.pay("p1", "Zenobia Quuxberger", "", "")
		must(t, w.rest(s))
		if n := w.findings(); n != 1 {
			t.Fatalf("%d findings after the name changed, want 1", n)
		}
		p := w.pay("p1", "Zenobia Quuxberger", "1980-02-03", "DE")
		must(t, w.rest(s))
		if n := w.findings(); n != 2 {
			t.Errorf("%d findings after the birth date came, want 2", n)
		}
		if _, hit, _ := w.theCase(); hit.ObjectID != p.ID {
			t.Errorf("the newest is about %s, want %s", hit.ObjectID, p.ID)
		}
	})
}

// The hub may have a new player screened before anything is initiated.
func TestOnboardScreensAtOnce(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		s := w.service(nil)
		must(t, w.rest(s))
		p := w.pay("p1", "Zenobia Quuxberger", "1980-02-03", "DE")
		for range 2 {
			must(t, s.Onboard(ctx, p))
		}
		if r, _, err := s.Screened(ctx, p.PersonID); err != nil || r == nil || r.Score < 0.95 {
			t.Errorf("%+v %v", r, err)
		}
		must(t, w.rest(s))
		if n := w.findings(); n != 1 {
			t.Errorf("%d findings, want 1", n)
		}
	})
}

// Reg. 260/2012 Art. 5d: the payment path reads a result; a process that has
// never seen a list answers all the same, and gate and monitor act on it.
func TestThePaymentPathComparesNothing(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		p := w.pay("p1", "Zenobia Quuxberger", "1980-02-03", "DE")
		must(t, w.rest(w.service(nil)))
		must(t, os.RemoveAll(w.dir))
		without, err := screening.New(screening.Config{}, screening.Deps{Store: w.db, Desk: w.desk})
		must(t, err)
		m, err := monitor.New(monitor.Config{}, monitor.Deps{Store: w.db, Alerts: w.desk, Screened: without, Holder: "m"})
		must(t, err)
		mer, err := w.db.Merchant(ctx, merchant)
		must(t, err)
		v, err := m.Gate().Deposit(ctx, p, mer)
		if err != nil || v.Action != rules.Block || v.Reason != psd2.ReasonPaymentNotPossible {
			t.Errorf("%s %s %v, want BLOCK payment_not_possible", v.Action, v.Reason, err)
		}
		other := w.pay("p2", "Anna Koch", "1990-01-01", "DE") // not screened yet
		if v, err = m.Gate().Deposit(ctx, other, mer); err != nil || v.Action == rules.Block {
			t.Errorf("somebody else: %s %v", v.Action, err)
		}
		must(t, w.db.Tx(ctx, func(tx *store.Tx) error { _, err := tx.Exec(`DROP TABLE screening_hits`); return err }))
		if v, err = m.Gate().Deposit(ctx, p, mer); err == nil || v.Action != rules.Block {
			t.Errorf("results that cannot be read: %s %v, want BLOCK and an error", v.Action, err)
		}
	})
}

// Every calendar day everybody, with a signed report; a missed day shows.
func TestEverybodyIsScreenedEveryDayAndAMissedDayShows(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		s := w.service(nil)
		w.pay("p1", "Zenobia Quuxberger", "1980-02-03", "DE")
		w.pay("p2", "Anna Koch", "1990-01-01", "DE")
		for _, to := range []string{"2026-11-20T10:10:00Z", "2026-11-20T23:30:00Z", "2026-11-21T01:30:00Z", "2026-11-21T02:05:00Z", "2026-11-24T00:30:00Z"} {
			at, err := time.Parse(time.RFC3339, to)
			must(t, err)
			w.clock.Add(at.Sub(w.clock.Now()))
			must(t, w.rest(s))
			if to == "2026-11-21T01:30:00Z" && len(w.runs()) != 1 {
				t.Errorf("%d runs before three o'clock in Berlin, want the first day's", len(w.runs()))
			}
		}
		var days []string
		for _, r := range w.runs() {
			days = append(days, r.Day)
			if r.Run.Kind != compliance.RunFull || r.Run.Persons != 2 || r.Run.Hits != 1 || r.Run.Failed != 0 || r.Run.Entries != 1 || len(r.Run.Lists[screening.Sanctions]) != 64 ||
				r.Run.EndedAt.Before(r.Run.StartedAt) {
				t.Errorf("report %+v", r.Run)
			}
			if _, err := jose.VerifyDetached(r.JWS, w.keys.Public(), []byte(r.Report), r.Run.EndedAt); err != nil {
				t.Errorf("signature: %v", err)
			}
		}
		if got := strings.Join(days, " "); got != "2026-11-20 2026-11-21 2026-11-24" {
			t.Errorf("full runs on %s", got)
		}
		var missed []string
		for _, d := range w.days() {
			if d.Missed {
				missed = append(missed, d.Date.Format("02"))
			}
		}
		if got := strings.Join(missed, " "); got != "22 23" {
			t.Errorf("missed %q, want 22 and 23", got)
		}
		if n, told := w.findings(), w.counter("rialto_screening_hits_total"); n != 1 || told != 1 {
			t.Errorf("%d findings, %v by the metric: the same hit was told again", n, told)
		}
	})
}

func TestTheMetricCountsMissedDays(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		s := w.service(nil)
		must(t, w.rest(s))
		must(t, os.RemoveAll(w.dir))
		w.clock.Add(72*time.Hour + time.Minute)
		s = w.service(nil) // knows no list
		if err := w.rest(s); err == nil {
			t.Error("no list, and no error")
		}
		if n := w.gauge("rialto_screening_days_missed"); n != 2 {
			t.Errorf("%v days missed, want 2", n)
		}
		if w.gauge("rialto_screening_lists_failing") != 1 || len(w.runs()) != 1 {
			t.Error("lists that cannot be read do not show, or were screened against")
		}
	})
}

// A new entry is looked for at once; what was known before is not told again.
func TestAListChangeIsScreenedAtOnce(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		s := w.service(nil)
		w.pay("p1", "Zenobia Quuxberger", "1980-02-03", "DE")
		w.pay("p2", "Ottokar Plimsoll", "1990-01-01", "DE")
		must(t, w.rest(s))
		w.relist(s, villain, "9,Person,Ottokar Plimsoll,1990-01-01,DE")
		runs := w.runs()
		if len(runs) != 2 || runs[1].Run.Kind != compliance.RunDelta || runs[1].Run.Entries != 1 || runs[1].Run.Hits != 1 || runs[1].Run.Persons != 2 {
			t.Fatalf("runs %+v", runs)
		}
		if n := w.findings(); n != 2 {
			t.Errorf("%d findings, want 2", n)
		}
		w.relist(s, "9,Person,Ottokar Plimsoll,1990-01-01,DE") // the first one is delisted
		if r, _, err := s.Screened(ctx, w.db.PersonID(merchant, "p1")); err != nil || r == nil || r.Score != 0 {
			t.Errorf("delisted, and still found: %+v %v", r, err)
		}
		if runs = w.runs(); len(runs) != 3 || runs[2].Run.Hits != 0 {
			t.Errorf("the third run: %+v", runs[len(runs)-1].Run)
		}
	})
}

// Half a list that is still being copied is not taken for a shorter one.
func TestAListIsReadWhenItRests(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		s := w.service(nil)
		p := w.pay("p1", "Zenobia Quuxberger", "1980-02-03", "DE")
		must(t, w.rest(s))
		for i := range 3 { // every look sees another state of the copy
			w.list(fmt.Sprintf("8,Person,Somebody Else%s,,", strings.Repeat("x", i)))
			w.clock.Add(2 * time.Minute)
			must(t, w.rest(s))
		}
		w.list(villain, "8,Person,Somebody Else,,")
		for range 2 {
			w.clock.Add(2 * time.Minute)
			must(t, w.rest(s))
		}
		if r, _, err := s.Screened(ctx, p.PersonID); err != nil || r.Score < 0.95 {
			t.Errorf("%+v %v", r, err)
		}
		if runs := w.runs(); len(runs) != 2 || runs[1].Run.Entries != 1 || runs[1].Run.Lists[screening.Sanctions] == runs[0].Run.Lists[screening.Sanctions] {
			t.Errorf("runs %+v", runs)
		}
	})
}

// What changes about an entry is a reason to look again; what does not is none.
func TestAChangedEntryIsToldAgain(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		s := w.service(nil)
		w.pay("p1", "Zenobia Quuxberger", "1980-02-03", "DE")
		must(t, w.rest(s))
		w.relist(s, "7,Person,Zenobia Quuxberger,1980-02-03,AT", "8,Person,Somebody Else,,")
		if n := w.findings(); n != 2 {
			t.Errorf("%d findings, want 2", n)
		}
		w.relist(s, "7,Person,Zenobia Quuxberger,1980-02-03,AT", "8,Person,Somebody Different,,")
		if n := w.findings(); n != 2 {
			t.Errorf("%d findings after another entry changed, want 2", n)
		}
	})
}

// Two officers clear an entry for a person; it counts nowhere until their time
// is over, then it is told again.
func TestAClearedEntryIsQuietUntilItsTimeIsOver(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		s := w.service(nil)
		p := w.pay("p1", "Zenobia Quuxberger", "1980-02-03", "DE")
		must(t, w.rest(s))
		until := w.clock.Now().Add(60 * time.Hour)
		w.clear(until)
		if r, _, err := s.Screened(ctx, p.PersonID); err != nil || r == nil || r.Score != 0 {
			t.Errorf("cleared, and still in the payment path: %+v %v", r, err)
		}
		w.clock.Add(24 * time.Hour)
		must(t, w.rest(s))
		last := w.runs()[len(w.runs())-1].Run
		if last.Hits != 1 || last.Cleared != 1 || w.findings() != 1 {
			t.Errorf("cleared: report %+v, %d findings", last, w.findings())
		}
		w.clock.Add(until.Sub(w.clock.Now()) - time.Minute)
		must(t, w.rest(s))
		if n := w.findings(); n != 1 {
			t.Errorf("%d findings a minute before", n)
		}
		w.clock.Add(24 * time.Hour)
		for range 2 {
			must(t, w.rest(s))
			w.clock.Add(24 * time.Hour)
		}
		if n := w.findings(); n != 2 {
			t.Errorf("%d findings after the time was over, want 2", n)
		}
		if r, _, err := s.Screened(ctx, p.PersonID); err != nil || r.Score < 0.95 {
			t.Errorf("after the time was over: %+v %v", r, err)
		}
	})
}

// clear takes the only case through the officers' hands.
func (w *world) clear(until time.Time) {
	w.t.Helper()
	c, _, in := w.theCase()
	for _, a := range []compliance.Act{
		{Do: compliance.Take, By: anna}, {Do: compliance.Investigate, By: anna},
		{Do: compliance.ProposeFalsePositive, By: anna, Reason: "name_differs", Entries: []string{in.EntryID}, Until: until},
		{Do: compliance.Approve, By: bert},
	} {
		a.Version, a.Note = c.Version, "a namesake"
		var err error
		if c, err = w.desk.Act(ctx, c.ID, a); err != nil {
			w.t.Fatalf("%s: %v", a.Do, err)
		}
	}
}

// The process dies at every call to the desk in turn, and another goes on.
func TestAKilledRunLosesAndDoublesNothing(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		const listed, others = 5, 150 // more than two commits
		rows := make([]string, listed)
		for i := range listed {
			name := []string{"Zenobia Quuxberger", "Ottokar Plimsoll", "Isolde Krumbhaar", "Fridolin Wackernagel", "Kunigunde Ziegenspeck"}[i]
			rows[i] = fmt.Sprintf("%d,Person,%s,,", i, name)
			w.pay(fmt.Sprint("listed", i), name, "", "")
		}
		w.list(rows...)
		for i := range others {
			w.pay(fmt.Sprint("p", i), []string{"Anna Koch", "Peter Beispiel", "Li Na"}[i%3], "", "")
		}
		lives := 0
		for budget := 0; ; budget++ {
			err := w.rest(w.service(&dying{w.desk, budget}))
			if err == nil {
				break
			}
			if !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			lives++
			w.clock.Add(40 * time.Second) // the dead one's lease runs out
		}
		runs := w.runs()
		if lives < 4 || len(runs) != 1 {
			t.Fatalf("%d lives, %d reports, want several and one", lives, len(runs))
		}
		if r := runs[0].Run; r.Persons != listed+others || r.Hits != listed || r.Failed != 0 {
			t.Errorf("report %+v", r)
		}
		if n := w.findings(); n != listed {
			t.Errorf("%d findings, want %d", n, listed)
		}
		if n := w.number(`SELECT COUNT(*) FROM screening_persons WHERE pending = 0 AND screened_at > 0`); n != listed+others {
			t.Errorf("%d persons screened", n)
		}
	})
}

// Two processes: one works, and what it did is not done again.
func TestTwoProcessesScreenOnce(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		a, b := w.service(nil), w.service(nil)
		for i := range 6 {
			w.pay(fmt.Sprint("p", i), "Zenobia Quuxberger", "1980-02-03", "DE")
			must(t, w.rest([]*screening.Service{a, b}[i%2]))
			w.clock.Add(40 * time.Second) // the lease changes hands
		}
		must(t, w.rest(a))
		if len(w.runs()) != 1 || w.findings() != 6 {
			t.Errorf("%d runs, %d findings", len(w.runs()), w.findings())
		}
	})
}

// Who lost the lease in the middle of a piece, and comes back after another has
// done it, does not do it again.
func TestALateProcessDoesNotRepeatAPiece(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		for i := range 100 {
			w.pay(fmt.Sprint("p", i), "Anna Koch", "", "")
		}
		a, b := w.service(nil), w.service(nil)
		must(t, w.rest(a))
		w.clock.Add(24 * time.Hour)
		_, err := a.Step(ctx, w.clock.Now()) // the run begins
		must(t, err)
		must(t, a.AdvanceLate(ctx, func() {
			w.clock.Add(40 * time.Second)
			_, err := b.Step(ctx, w.clock.Now())
			must(t, err)
			w.clock.Add(40 * time.Second)
		}))
		must(t, w.rest(a))
		if r := w.runs()[1].Run; r.Persons != 100 {
			t.Errorf("report %+v", r)
		}
	})
}

// A list that changes meanwhile ends a run with an honest report.
func TestAListThatChangesDuringARunEndsIt(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		for i := range 200 {
			w.pay(fmt.Sprint("p", i), "Anna Koch", "", "")
		}
		s := w.service(nil)
		must(t, w.rest(s))
		w.clock.Add(24 * time.Hour)
		for range 2 { // the run begins, and screens the first
			_, err := s.Step(ctx, w.clock.Now())
			must(t, err)
		}
		w.list(villain, "8,Person,Somebody Else,,")
		w.clock.Add(2 * time.Minute)
		_, err := s.Step(ctx, w.clock.Now()) // sees that it has changed, and goes on until it rests
		must(t, err)
		w.clock.Add(2 * time.Minute)
		must(t, w.rest(s))
		runs := w.runs()
		if len(runs) != 3 {
			t.Fatalf("%d reports, want 3: %+v", len(runs), runs)
		}
		if r := runs[1].Run; r.Persons != 128 || r.Failed != 72 {
			t.Errorf("the run that was ended: %+v", r)
		}
		if r := runs[2].Run; r.Kind != compliance.RunFull || r.Persons != 200 || r.Failed != 0 || r.Entries != 2 {
			t.Errorf("the run after it: %+v", r)
		}
	})
}

// Whom nobody named cannot be screened, and the report says so.
func TestWhoHasNoNameIsLeftOutVisibly(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		s := w.service(nil)
		w.pay("p1", "", "", "")
		w.pay("p2", "Anna Koch", "", "")
		must(t, w.rest(s))
		if r := w.runs()[0].Run; r.Persons != 1 || r.Failed != 1 {
			t.Errorf("report %+v", r)
		}
		if r, _, err := s.Screened(ctx, w.db.PersonID(merchant, "p1")); err != nil || r != nil {
			t.Errorf("screened without a name: %+v %v", r, err)
		}
		w.clock.Add(10 * time.Minute)
		must(t, w.rest(s))
		if len(w.runs()) != 1 {
			t.Errorf("%d runs: it was tried again at once", len(w.runs()))
		}
		w.pay("p1", "Peter Beispiel", "", "")
		w.clock.Add(time.Hour)
		must(t, w.rest(s))
		if runs := w.runs(); len(runs) != 2 || runs[1].Run.Failed != 0 || !w.days()[19].Full {
			t.Errorf("an hour later, with a name: %+v", runs)
		}
	})
}

// PEP lists are a list of their own; without one the rule says no_data.
func TestPEPListsAreTheirOwn(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		w.config.PEP = t.TempDir()
		must(t, os.WriteFile(filepath.Join(w.config.PEP, "pep.csv"), []byte("id,schema,name,birth_date\n1,Person,Ottokar Plimsoll,1960\n"), 0o600))
		s := w.service(nil)
		p := w.pay("p1", "Ottokar Plimsoll", "1960-05-05", "DE")
		must(t, w.rest(s))
		sanctions, pep, err := s.Screened(ctx, p.PersonID)
		if err != nil || sanctions == nil || sanctions.Score != 0 || pep == nil || pep.Score < 0.9 || !pep.YearAgrees {
			t.Errorf("%+v %+v %v", sanctions, pep, err)
		}
		if _, hit, in := w.theCase(); hit.Rule != "R28" || hit.Severity != compliance.SeverityMedium || in.List != screening.PEP {
			t.Errorf("%+v %+v", hit, in)
		}
	})
}

// One list that cannot be read stops all: a run without it would look complete.
func TestOneUnreadableListStopsRuns(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		w.config.PEP = filepath.Join(w.dir, "nowhere")
		s := w.service(nil)
		p := w.pay("p1", "Zenobia Quuxberger", "1980-02-03", "DE")
		if err := w.rest(s); err == nil {
			t.Error("no error")
		}
		if r, _, err := s.Screened(ctx, p.PersonID); err != nil || r != nil || len(w.runs()) != 0 {
			t.Errorf("screened against half: %+v %v, %d runs", r, err, len(w.runs()))
		}
		if w.number(`SELECT COUNT(*) FROM screening_persons WHERE pending = 1`) != 1 || w.gauge("rialto_screening_lists_failing") != 1 || w.gauge("rialto_screening_pending") != 1 {
			t.Error("that nobody is screened does not show")
		}
	})
}

// Erasure in the hub ends screening; nothing of the person stays here.
func TestAnErasedPersonIsForgotten(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		s := w.service(nil)
		p := w.pay("p1", "Zenobia Quuxberger", "1980-02-03", "DE")
		must(t, w.rest(s))
		must(t, w.db.Tx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(`DELETE FROM person_keys WHERE person_id = ?`, p.PersonID)
			return err
		}))
		w.clock.Add(24 * time.Hour)
		must(t, w.rest(s))
		if n := w.number(`SELECT COUNT(*) FROM screening_persons`) + w.number(`SELECT COUNT(*) FROM screening_hits`); n != 0 {
			t.Errorf("%d rows stayed", n)
		}
		if r := w.runs()[1].Run; r.Failed != 0 || r.Persons != 0 {
			t.Errorf("report %+v", r)
		}
	})
}

// Nothing that identifies anybody is kept in the clear.
func TestNothingKeptNamesAnybody(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		w.pay("playerref77", "Zenobia Quuxberger", "1980-02-03", "DE")
		must(t, w.rest(w.service(nil)))
		var kept []string
		must(t, w.db.Select(ctx, &kept, `SELECT p.person_id || p.object_id || p.facts_hash || h.entry_id || h.basis FROM screening_persons p JOIN screening_hits h ON h.person_id = p.person_id`))
		must(t, w.db.Select(ctx, &kept, `SELECT detail || object FROM compliance_audit`))
		if len(kept) == 0 {
			t.Fatal("nothing was kept")
		}
		for _, secret := range []string{"playerref77", "Zenobia", "zenobia", "uuxberger", "1980"} {
			if strings.Contains(strings.Join(kept, " "), secret) {
				t.Errorf("%q is kept in the clear", secret)
			}
		}
	})
}
