package screening_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/screening"
	"github.com/rialto-hub/rialto/psd2/jose"
)

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

// The process dies at every call to the desk in turn, and another goes on.
func TestAKilledRunLosesAndDoublesNothing(t *testing.T) {
	databases(t, func(t *testing.T, w *world) {
		// However many listed people meet in one commit: the lives that may call the
		// desk 0, 1, 2, 3 and 4 times die before 13 calls are made.
		const listed, others, deaths = 12, 120, 5
		rows := make([]string, listed)
		for i := range listed {
			name := []string{"Zenobia", "Ottokar", "Isolde", "Fridolin"}[i%4] + " " + []string{"Quuxberger", "Krumbhaar", "Ziegenspeck"}[i/4]
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
		if lives < deaths || len(runs) != 1 {
			t.Fatalf("%d lives, %d reports, want %d and one", lives, len(runs), deaths)
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
