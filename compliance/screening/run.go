package screening

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

const prefixRun = "srn"

// runRow is a run, whole or under way.
type runRow struct {
	ID        string `db:"id"`
	Kind      string `db:"kind"`
	State     string `db:"state"` // running, reporting (all screened, its report may be missing), done
	Day       string `db:"day"`
	Lists     string `db:"lists"`
	Entries   int64  `db:"entries"`
	After     string `db:"after_person"`
	Persons   int64  `db:"persons"`
	Hits      int64  `db:"hits"`
	Cleared   int64  `db:"cleared"`
	Failed    int64  `db:"failed"`
	StartedAt int64  `db:"started_at"`
	EndedAt   int64  `db:"ended_at"`
}

const selectRuns = `SELECT id, kind, state, day, lists, entries, after_person, persons, hits, cleared, failed, started_at, ended_at FROM screening_runs `

// retryAfter is how long after a full run that left somebody out the next is
// tried.
const retryAfter = time.Hour

// oneRun reads at most one run; nil when there is none.
func (s *Service) oneRun(ctx context.Context, where string, args ...any) (*runRow, error) {
	var r runRow
	err := s.deps.Store.Get(ctx, &r, selectRuns+where, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

// work goes on with the open run, or begins the one that is due.
func (s *Service) work(ctx context.Context, now time.Time, books library) (more bool, err error) {
	r, err := s.oneRun(ctx, `WHERE open = 1`)
	if err != nil {
		return false, err
	}
	if r == nil {
		return s.begin(ctx, now, books)
	}
	if r.State == "reporting" {
		return true, s.report(ctx, r)
	}
	if _, versions, _ := books.key(); r.Lists != encoded(versions) {
		return true, s.supersede(ctx, r)
	}
	return true, s.advance(ctx, r, books)
}

func encoded(v map[string]string) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic("screening: " + err.Error()) // strings
	}
	return string(b)
}

// begin opens the run that is due, if any.
func (s *Service) begin(ctx context.Context, now time.Time, books library) (bool, error) {
	_, versions, entries := books.key()
	lists := encoded(versions)
	full, err := s.fullDue(ctx, now, lists)
	if err != nil {
		return false, err
	}
	r := runRow{Kind: compliance.RunFull, Entries: int64(entries)}
	if !full {
		changed, differs, err := s.delta(ctx, books)
		if err != nil || !differs {
			return false, err
		}
		r.Kind, r.Entries = compliance.RunDelta, int64(len(changed))
	}
	return s.lead(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO screening_runs (id, kind, state, open, day, lists, entries, after_person, persons, hits, cleared, failed, started_at, ended_at)
			VALUES (?, ?, 'running', 1, ?, ?, ?, '', 0, 0, 0, 0, ?, 0) ON CONFLICT DO NOTHING`,
			psd2.NewID(prefixRun, tx.Now, s.deps.Random), r.Kind, s.day(tx.Now), lists, r.Entries, tx.Now.UnixMicro())
		return err
	})
}

// fullDue says whether everybody has to be screened against everything now: no
// complete full run today, and its hour has come or a day was missed. After one
// that left somebody out it waits, unless the lists have changed since.
func (s *Service) fullDue(ctx context.Context, now time.Time, lists string) (bool, error) {
	last, err := s.lastFull(ctx)
	if err != nil || last == s.day(now) {
		return false, err
	}
	local := now.In(s.zone)
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, s.zone)
	if last >= s.day(midnight.AddDate(0, 0, -1)) && local.Sub(midnight) < s.cfg.DailyAt {
		return false, nil
	}
	tried, err := s.oneRun(ctx, `WHERE kind = ? AND day = ? ORDER BY ended_at DESC LIMIT 1`, compliance.RunFull, s.day(now))
	if err != nil || tried == nil {
		return err == nil, err
	}
	return tried.Lists != lists || !now.Before(time.UnixMicro(tried.EndedAt).Add(retryAfter)), nil
}

type baselineRow struct {
	List    string `db:"list"`
	Hash    string `db:"hash"`
	Digests string `db:"digests"`
}

// delta compares the lists with those of the last completed run: which entries,
// by list and id, are new or changed, and whether anything differs at all.
func (s *Service) delta(ctx context.Context, books library) (changed map[[2]string]bool, differs bool, err error) {
	var rows []baselineRow
	if err := s.deps.Store.Select(ctx, &rows, `SELECT list, hash, digests FROM screening_baseline`); err != nil {
		return nil, false, err
	}
	before := map[string]baselineRow{}
	for _, r := range rows {
		before[r.List] = r
	}
	changed = map[[2]string]bool{}
	for _, b := range books {
		if before[b.name].Hash == b.hash {
			continue
		}
		differs = true
		old := map[string]string{}
		if text := before[b.name].Digests; text != "" {
			if err := json.Unmarshal([]byte(text), &old); err != nil {
				return nil, false, err
			}
		}
		for id := range b.changed(old) {
			changed[[2]string{b.name, id}] = true
		}
	}
	return changed, differs, nil
}

// advance screens the next persons of a run, or ends it.
func (s *Service) advance(ctx context.Context, r *runRow, books library) error {
	var rows []personRow
	err := s.deps.Store.Select(ctx, &rows, selectPersons+`WHERE person_id > ? ORDER BY person_id LIMIT ?`, r.After, batch)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return s.end(ctx, r, books)
	}
	var only func(match) bool
	if r.Kind == compliance.RunDelta {
		changed, _, err := s.delta(ctx, books)
		if err != nil {
			return err
		}
		only = func(m match) bool { return changed[[2]string{m.book.name, m.hit.EntryID}] }
	}
	if led, err := s.lead(ctx, nothing); err != nil || !led {
		return err
	}
	looked, err := s.look(ctx, books, rows)
	if err != nil {
		return err
	}
	var t tally
	moved := false
	led, err := s.lead(ctx, func(tx *store.Tx) error {
		t = tally{}
		n, err := tx.Exec(`UPDATE screening_runs SET after_person = ? WHERE id = ? AND state = 'running' AND after_person = ?`, rows[len(rows)-1].ID, r.ID, r.After)
		if moved = n == 1; err != nil || !moved {
			return err
		}
		if err := s.keepAll(tx, books, looked, only, &t); err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE screening_runs SET persons = persons + ?, hits = hits + ?, cleared = cleared + ?, failed = failed + ? WHERE id = ?`,
			t.persons, t.hits, t.cleared, t.failed, r.ID)
		return err
	})
	if led && moved {
		s.metrics.add(r.Kind, t)
	}
	return err
}

// end closes a run for its report, and makes its lists the ones that later
// changes are measured from.
func (s *Service) end(ctx context.Context, r *runRow, books library) error {
	digests := map[string]string{}
	for _, b := range books {
		digests[b.name] = encoded(b.digests)
	}
	_, err := s.lead(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`UPDATE screening_runs SET state = 'reporting', ended_at = ? WHERE id = ? AND state = 'running' AND after_person = ?`, tx.Now.UnixMicro(), r.ID, r.After)
		if err != nil || n == 0 {
			return err
		}
		for _, b := range books {
			_, err := tx.Exec(`INSERT INTO screening_baseline (list, hash, digests) VALUES (?, ?, ?) ON CONFLICT (list) DO UPDATE SET hash = excluded.hash, digests = excluded.digests`,
				b.name, b.hash, digests[b.name])
			if err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// supersede ends a run whose lists have changed: whom it has not reached counts
// as left out, so that its report is not a complete one.
func (s *Service) supersede(ctx context.Context, r *runRow) error {
	_, err := s.lead(ctx, func(tx *store.Tx) error {
		var left int64
		if err := tx.Get(&left, `SELECT COUNT(*) FROM screening_persons WHERE person_id > ?`, r.After); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE screening_runs SET state = 'reporting', ended_at = ?, failed = failed + ? WHERE id = ? AND state = 'running' AND after_person = ?`,
			tx.Now.UnixMicro(), max(left, 1), r.ID, r.After)
		return err
	})
	return err
}

// report hands a run's report to the desk, which signs it, in the transaction
// that ends the run.
func (s *Service) report(ctx context.Context, r *runRow) error {
	versions := map[string]string{}
	if err := json.Unmarshal([]byte(r.Lists), &versions); err != nil {
		return err
	}
	run := compliance.Run{Kind: r.Kind, Lists: versions, Entries: int(r.Entries), Persons: int(r.Persons), Hits: int(r.Hits), Cleared: int(r.Cleared),
		Failed: int(r.Failed), StartedAt: time.UnixMicro(r.StartedAt).UTC(), EndedAt: time.UnixMicro(r.EndedAt).UTC()}
	_, err := s.lead(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`UPDATE screening_runs SET state = 'done', open = 0 WHERE id = ? AND state = 'reporting'`, r.ID)
		if err != nil || n == 0 { // another process has ended it
			return err
		}
		_, err = s.deps.Desk.RecordRunIn(tx, run)
		return err
	})
	return err
}
