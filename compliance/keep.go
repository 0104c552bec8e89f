package compliance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Retention: a subject's data is kept Config.KeepYears after his last case
// ended, longer under a legal hold, and never while a case is open. Then his
// key is destroyed: hits, notes, drafts, reports and the sealed half of the
// chain's rows become unreadable at once, in every copy and backup of the
// tables; the chain itself still verifies.

// withSubject finds the cases about a subject: its own, and those that its
// alerts were joined to.
const withSubject = `(subject = ? OR id IN (SELECT case_id FROM compliance_alerts WHERE compliance_alerts.subject = ?))`

// keptUntil says until when a subject's data has to be kept; open cases give
// the far future.
func (d *Desk) keptUntil(get getter, subject string) (time.Time, error) {
	var open int
	var last int64
	err := errors.Join(
		get(&open, `SELECT COUNT(*) FROM compliance_cases WHERE `+withSubject+` AND closed_at = 0`, subject, subject),
		get(&last, `SELECT COALESCE(MAX(closed_at), 0) FROM compliance_cases WHERE `+withSubject, subject, subject))
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("retention: %w", err)
	case open > 0:
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), nil
	case last == 0:
		return time.Time{}, nil
	}
	return at(last).AddDate(d.KeepYears, 0, 0), nil
}

// SetLegalHold keeps a subject's data until LiftLegalHold.
func (d *Desk) SetLegalHold(ctx context.Context, o Officer, subject, reason string) error {
	if err := o.must(Admin, MLRO); err != nil {
		return err
	}
	if len([]rune(reason)) < 3 || len(reason) > 200 {
		return psd2.Invalid("reason", "reason_required", "say why, in a few words without personal data")
	}
	return d.tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO compliance_legal_holds (subject, set_at, set_by, reason) VALUES (?, ?, ?, ?) ON CONFLICT (subject) DO NOTHING`,
			subject, tx.Now.UnixMicro(), o.ID, reason)
		if err != nil {
			return err
		}
		e := byOfficer(o, "legal_hold.set", subject)
		e.detail = map[string]any{"reason": reason}
		return d.append(tx, e)
	})
}

// LiftLegalHold ends a legal hold.
func (d *Desk) LiftLegalHold(ctx context.Context, o Officer, subject string) error {
	if err := o.must(Admin, MLRO); err != nil {
		return err
	}
	return d.tx(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`DELETE FROM compliance_legal_holds WHERE subject = ?`, subject)
		if err != nil {
			return err
		}
		if n == 0 {
			return psd2.NotFound("legal hold")
		}
		return d.append(tx, byOfficer(o, "legal_hold.lifted", subject))
	})
}

// Kept reports whether the desk still has to keep what is known of a person: a
// legal hold, an open case, or one that ended not long enough ago. The records
// of others about him stay as long.
func (d *Desk) Kept(tx *store.Tx, personID string) (bool, error) {
	err := d.mayErase(tx, personID, false)
	if psd2.CodeOf(err) == psd2.CodeConflict {
		return true, nil
	}
	return err != nil, err
}

// LegalHold is a subject whose data is kept until somebody lifts it.
type LegalHold struct {
	Subject string `db:"subject"`
	SetAt   int64  `db:"set_at"`
	SetBy   string `db:"set_by"`
	Reason  string `db:"reason"`
}

// Set is since when.
func (h LegalHold) Set() time.Time { return at(h.SetAt) }

// LegalHolds lists who is under one, oldest first.
func (d *Desk) LegalHolds(ctx context.Context, o Officer, limit int) ([]LegalHold, error) {
	if err := o.must(Admin, MLRO, Auditor); err != nil {
		return nil, err
	}
	var list []LegalHold
	err := d.Store.Select(ctx, &list, `SELECT subject, set_at, set_by, reason FROM compliance_legal_holds ORDER BY set_at, subject LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("legal holds: %w", err)
	}
	return list, nil
}

// Dossier is everything the desk keeps about a subject, opened.
type Dossier struct {
	Subject   string     `json:"subject"`
	At        time.Time  `json:"at"`
	Cleared   []Cleared  `json:"cleared_list_entries"`
	KeptUntil time.Time  `json:"kept_until,omitzero"`
	Cases     []CaseFile `json:"cases,omitempty"`
}

// CaseFile is a case with its hits and history in a Dossier.
type CaseFile struct {
	Case    *Case   `json:"case"`
	Alerts  []Alert `json:"alerts"`
	Hits    []Hit   `json:"hits"`
	History []Line  `json:"history"`
}

// Dossier exports all that the desk keeps about a subject, for an authority
// that may ask for it. What the person himself may get is Disclose.
func (d *Desk) Dossier(ctx context.Context, o Officer, subject string) (*Dossier, error) {
	if err := o.must(reporters...); err != nil {
		return nil, err
	}
	err := d.Record(ctx, ActorOfficer, o.ID, "subject.exported", subject, map[string]any{"for_authority": true})
	if err != nil {
		return nil, err
	}
	x := &Dossier{Subject: subject, At: d.Now().UTC()}
	err = d.Store.Select(ctx, &x.Cleared, `SELECT person_id, entry_id, until, case_id, added_at, added_by FROM compliance_whitelist WHERE person_id = ? ORDER BY entry_id`, subject)
	if err != nil {
		return nil, err
	}
	if x.KeptUntil, err = d.keptUntil(d.get(ctx), subject); err != nil {
		return nil, err
	}
	var rows []caseRow
	if err := d.Store.Select(ctx, &rows, selectCases+` WHERE `+withSubject+` ORDER BY id`, subject, subject); err != nil {
		return nil, err
	}
	for _, r := range rows {
		file, err := d.caseFile(ctx, r)
		if err != nil {
			return nil, err
		}
		x.Cases = append(x.Cases, file)
	}
	return x, nil
}

// dossierRows bounds what an export reads of one case.
const dossierRows = 10000

func (d *Desk) caseFile(ctx context.Context, r caseRow) (f CaseFile, err error) {
	if f.Case, err = r.decode(); err != nil {
		return f, err
	}
	if f.Alerts, err = d.AlertsOf(ctx, r.ID); err != nil {
		return f, err
	}
	for _, a := range f.Alerts {
		hits, err := d.HitsOf(ctx, a, dossierRows)
		if err != nil {
			return f, err
		}
		f.Hits = append(f.Hits, hits...)
	}
	f.History, err = d.History(ctx, r.ID, dossierRows)
	return f, err
}
