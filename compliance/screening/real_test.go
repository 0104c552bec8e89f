package screening_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/compliance/screening"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// The lists of OFAC and the United Nations, as they are published: who is on
// them is found under another spelling, ordinary people are not.
func TestRealListsFindTheirOwn(t *testing.T) {
	dir := testkit.Compliance(t, "lists")
	databases(t, func(t *testing.T, w *world) {
		w.config.Lists = dir
		listed := map[string][3]string{
			"lukaschen": {"Aljaksandr Lukaschenka", "1954-08-30", "BY"},
			"deripaska": {"Oleg Deripaska", "1968-01-02", "RU"},
			"zawahiri":  {"Ayman az-Zawahiri", "1951-06-19", "EG"},
			"maduro":    {"Maduro Moros, Nicolás", "1962-11-23", "VE"},
		}
		for player, p := range listed {
			w.pay(player, p[0], p[1], p[2])
		}
		for i, name := range []string{"Anna Koch", "Jürgen Müller", "Maria Schneider", "Thomas Becker", "Sabine Hoffmann", "Stefan Schäfer"} {
			w.pay(fmt.Sprint("clean", i), name, fmt.Sprintf("19%d-04-0%d", 60+i*5, i+1), "DE")
		}
		s := w.service(nil)
		must(t, w.rest(s))
		for player := range listed {
			if r, _, err := s.Screened(ctx, w.db.PersonID(merchant, player)); err != nil || r == nil || r.Score < 0.67 {
				t.Errorf("%s: %+v %v", player, r, err)
			}
		}
		for i := range 6 {
			if r, _, err := s.Screened(ctx, w.db.PersonID(merchant, fmt.Sprint("clean", i))); err != nil || r == nil || r.Score != 0 {
				t.Errorf("clean%d: %+v %v", i, r, err)
			}
		}
		runs := w.runs()
		if len(runs) != 1 || runs[0].Run.Entries != 8976+442+1003 || runs[0].Run.Persons != 10 || len(runs[0].Run.Lists[screening.Sanctions]) != 64 {
			t.Errorf("reports %+v", runs)
		}
		var ids []string
		must(t, w.db.Select(ctx, &ids, `SELECT entry_id FROM screening_hits`))
		if all := strings.Join(ids, " "); !strings.Contains(all, "ofac-sdn:") || !strings.Contains(all, "un:") {
			t.Errorf("hits on %s: both lists expected", all)
		}
	})
}
