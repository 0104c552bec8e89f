package screening_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/screening"
)

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
