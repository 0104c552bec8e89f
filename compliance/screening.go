package compliance

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// maxWhitelist is the longest a list entry stays cleared for a person.
const maxWhitelist = 366 * 24 * time.Hour

// Cleared is a list entry that two officers found not to be the person.
type Cleared struct {
	PersonID string `db:"person_id"`
	EntryID  string `db:"entry_id"` // ofac-sdn:26188
	UntilAt  int64  `db:"until"`
	CaseID   string `db:"case_id"`
	AddedAt  int64  `db:"added_at"`
	AddedBy  string `db:"added_by"`
}

// Until is when screening reports the entry again.
func (c Cleared) Until() time.Time { return at(c.UntilAt) }

// Added is when the second person approved.
func (c Cleared) Added() time.Time { return at(c.AddedAt) }

// Whitelisted reports whether a list entry was cleared for a person and has
// not come back. Screening asks before it raises a hit.
func (d *Desk) Whitelisted(tx *store.Tx, personID, entryID string) (bool, error) {
	var n int
	err := tx.Get(&n, `SELECT COUNT(*) FROM compliance_whitelist WHERE person_id = ? AND entry_id = ? AND until > ?`, personID, entryID, tx.Now.UnixMicro())
	if err != nil {
		return false, fmt.Errorf("whitelist: %w", err)
	}
	return n > 0, nil
}

// whitelist clears a proposal's entries once the second person has approved.
func (d *Desk) whitelist(tx *store.Tx, c *Case, p Proposal) error {
	if len(p.Entries) > 0 && c.PersonID == "" {
		return psd2.Invalid("entries", "no_person", "list entries are cleared for a person, and this case is about none")
	}
	for _, entry := range p.Entries {
		_, err := tx.Exec(`INSERT INTO compliance_whitelist (person_id, entry_id, until, case_id, added_at, added_by) VALUES (?,?,?,?,?,?)
			ON CONFLICT (person_id, entry_id) DO UPDATE SET until = excluded.until, case_id = excluded.case_id, added_at = excluded.added_at, added_by = excluded.added_by`,
			c.PersonID, entry, us(p.Until), c.ID, tx.Now.UnixMicro(), p.By)
		if err != nil {
			return fmt.Errorf("whitelist: %w", err)
		}
	}
	return nil
}

// Whitelist lists what is cleared, the first to end first.
func (d *Desk) Whitelist(ctx context.Context, o Officer, limit int) ([]Cleared, error) {
	if err := o.must(Viewer, Analyst, MLRO); err != nil {
		return nil, err
	}
	var list []Cleared
	err := d.Store.Select(ctx, &list, `SELECT person_id, entry_id, until, case_id, added_at, added_by FROM compliance_whitelist
		WHERE until > ? ORDER BY until LIMIT ?`, d.Store.Now().UnixMicro(), limit)
	if err != nil {
		return nil, fmt.Errorf("whitelist: %w", err)
	}
	return list, nil
}

// Run is the report of one screening run (Regulation (EU) 260/2012 Art. 5d:
// at once on each change of a list, and every calendar day).
type Run struct {
	ID        string            `json:"id"`
	Kind      string            `json:"kind"`  // full, delta
	Lists     map[string]string `json:"lists"` // SHA-256 by list
	Entries   int               `json:"entries"`
	Persons   int               `json:"persons"`
	Hits      int               `json:"hits"`
	Cleared   int               `json:"cleared"` // hits that the whitelist took out
	Failed    int               `json:"failed"`  // persons that could not be screened
	StartedAt time.Time         `json:"started_at"`
	EndedAt   time.Time         `json:"ended_at"`
}

// Kinds of runs.
const (
	RunFull  = "full"
	RunDelta = "delta"
)

// SignedRun is a run's report with its signature, a detached JWS over Report's
// bytes.
type SignedRun struct {
	Run    Run
	Day    string // 2026-11-20, in German time, on which it began
	Report string
	JWS    string
}

// RecordRun signs and keeps a run's report, and gives its id.
func (d *Desk) RecordRun(ctx context.Context, r Run) (id string, err error) {
	err = d.Store.Tx(ctx, func(tx *store.Tx) error {
		id, err = d.RecordRunIn(tx, r)
		return err
	})
	return id, err
}

// RecordRunIn is RecordRun in the transaction that ends the run: both are there,
// or neither.
func (d *Desk) RecordRunIn(tx *store.Tx, r Run) (string, error) {
	if err := lockChain(tx); err != nil {
		return "", err
	}
	r.ID = psd2.NewID(prefixRun, tx.Now, d.Random)
	r.StartedAt, r.EndedAt = r.StartedAt.UTC(), r.EndedAt.UTC()
	report := canonical(r)
	jws, err := d.signature(report, tx.Now)
	if err != nil {
		return "", err
	}
	_, err = tx.Exec(`INSERT INTO compliance_runs (id, day, kind, complete, report, jws, ended_at) VALUES (?,?,?,?,?,?,?)`,
		r.ID, r.StartedAt.In(d.zone).Format(time.DateOnly), r.Kind, flag(r.Failed == 0), string(report), jws, us(r.EndedAt))
	if err != nil {
		return "", fmt.Errorf("record run: %w", err)
	}
	e := bySystem("screening.run", r.ID)
	e.detail = map[string]any{"kind": r.Kind, "persons": r.Persons, "hits": r.Hits, "failed": r.Failed}
	return r.ID, d.append(tx, e)
}

// Day is one day of the calendar of daily runs.
type Day struct {
	Date   time.Time // its beginning in German time
	Runs   []SignedRun
	Full   bool // a full run that left nobody out
	Missed bool // the day is over, and there was none
	Future bool
}

// Days gives a month of runs. A day before the first run ever is not missed.
func (d *Desk) Days(ctx context.Context, o Officer, month time.Time) ([]Day, error) {
	if err := o.must(Viewer, Analyst, MLRO, Admin); err != nil {
		return nil, err
	}
	month = month.In(d.zone)
	first := time.Date(month.Year(), month.Month(), 1, 0, 0, 0, 0, d.zone)
	end := first.AddDate(0, 1, 0)
	var rows []struct {
		Day    string `db:"day"`
		Report string `db:"report"`
		JWS    string `db:"jws"`
	}
	err := d.Store.Select(ctx, &rows, `SELECT day, report, jws FROM compliance_runs WHERE day >= ? AND day < ? ORDER BY day, ended_at`,
		first.Format(time.DateOnly), end.Format(time.DateOnly))
	if err != nil {
		return nil, fmt.Errorf("runs: %w", err)
	}
	var since string
	if err := d.Store.Get(ctx, &since, `SELECT COALESCE(MIN(day), '') FROM compliance_runs`); err != nil {
		return nil, fmt.Errorf("runs: %w", err)
	}
	byDay := map[string][]SignedRun{}
	for _, r := range rows {
		s := SignedRun{Day: r.Day, Report: r.Report, JWS: r.JWS}
		if err := json.Unmarshal([]byte(r.Report), &s.Run); err != nil {
			return nil, fmt.Errorf("runs: %w", err)
		}
		byDay[r.Day] = append(byDay[r.Day], s)
	}
	return daysOf(first, end, d.Now().In(d.zone), since, byDay), nil
}

func daysOf(first, end, now time.Time, since string, runs map[string][]SignedRun) []Day {
	var days []Day
	today := now.Format(time.DateOnly)
	for at := first; at.Before(end); at = at.AddDate(0, 0, 1) {
		name := at.Format(time.DateOnly)
		day := Day{Date: at, Runs: runs[name], Future: name > today}
		for _, r := range day.Runs {
			day.Full = day.Full || r.Run.Kind == RunFull && r.Run.Failed == 0
		}
		day.Missed = !day.Full && name < today && since != "" && name >= since
		days = append(days, day)
	}
	return days
}
