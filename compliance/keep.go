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

// keptUntil says until when a subject's data has to be kept; open cases give
// the far future.
func (d *Desk) keptUntil(get getter, subject string) (time.Time, error) {
	var open int
	var last int64
	err := errors.Join(
		get(&open, `SELECT COUNT(*) FROM compliance_cases WHERE subject = ? AND closed_at = 0`, subject),
		get(&last, `SELECT COALESCE(MAX(closed_at), 0) FROM compliance_cases WHERE subject = ?`, subject))
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

// Erase destroys a subject's key, if nothing obliges to keep what it seals.
// Otherwise the conflict says until when, and that the law asks for it.
func (d *Desk) Erase(ctx context.Context, o Officer, subject, reason string) error {
	if err := o.must(Admin); err != nil {
		return err
	}
	if len([]rune(reason)) < 3 || len(reason) > 200 {
		return psd2.Invalid("reason", "reason_required", "say why, in a few words without personal data")
	}
	return d.tx(ctx, func(tx *store.Tx) error {
		return d.erase(tx, byOfficer(o, "subject.erased", subject), subject, reason)
	})
}

func (d *Desk) erase(tx *store.Tx, e entry, subject, reason string) error {
	var held int
	if err := tx.Get(&held, `SELECT COUNT(*) FROM compliance_legal_holds WHERE subject = ?`, subject); err != nil {
		return err
	}
	if held > 0 {
		return psd2.Fail(psd2.CodeConflict, "legal_hold", "a legal hold keeps this data")
	}
	until, err := d.keptUntil(tx.Get, subject)
	if err != nil {
		return err
	}
	if tx.Now.Before(until) {
		return psd2.Fail(psd2.CodeConflict, "retention", "the law keeps this data until "+until.Format(time.DateOnly)+" (9999: while a case is open)")
	}
	n, err := tx.Exec(`DELETE FROM compliance_keys WHERE subject = ?`, subject)
	if err != nil {
		return err
	}
	if n == 0 {
		return psd2.NotFound("subject")
	}
	cases, err := tx.Exec(`UPDATE compliance_cases SET erased_at = ?, version = version + 1 WHERE subject = ? AND erased_at = 0`, tx.Now.UnixMicro(), subject)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM compliance_whitelist WHERE person_id = ?`, subject); err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO compliance_erasures (id, subject, at, by_actor, reason, cases) VALUES (?, ?, ?, ?, ?, ?)`,
		psd2.NewID(prefixErase, tx.Now, d.Random), subject, tx.Now.UnixMicro(), e.actor, reason, cases)
	if err != nil {
		return err
	}
	e.detail = map[string]any{"cases": cases, "reason": reason}
	return d.append(tx, e)
}

// retain erases whose time of keeping is over.
func (d *Desk) retain(ctx context.Context, now time.Time) (int, error) {
	var due []string
	err := d.Store.Select(ctx, &due, `SELECT DISTINCT subject FROM compliance_cases WHERE closed_at > 0 AND closed_at <= ? AND erased_at = 0
		AND NOT EXISTS (SELECT 1 FROM compliance_legal_holds WHERE compliance_legal_holds.subject = compliance_cases.subject)
		AND NOT EXISTS (SELECT 1 FROM compliance_cases AS newer WHERE newer.subject = compliance_cases.subject AND (newer.closed_at = 0 OR newer.closed_at > ?))
		LIMIT ?`, us(now.AddDate(-d.KeepYears, 0, 0)), us(now.AddDate(-d.KeepYears, 0, 0)), stepBatch)
	if err != nil {
		return 0, err
	}
	for _, subject := range due {
		err := d.tx(ctx, func(tx *store.Tx) error {
			return d.erase(tx, bySystem("subject.erased", subject), subject, "retention")
		})
		if err != nil && psd2.CodeOf(err) != psd2.CodeConflict && psd2.CodeOf(err) != psd2.CodeNotFound {
			return 0, err
		}
	}
	return len(due), nil
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

// Dossier exports a subject's data. forAuthority gives a reporting officer all
// of it. Without, it is what the person himself may get (GDPR Art. 15): what he
// was cleared of, and nothing that tells whether anyone suspected him (GwG
// §47(1) with BDSG §29(1)).
func (d *Desk) Dossier(ctx context.Context, o Officer, subject string, forAuthority bool) (*Dossier, error) {
	roles := []Role{Admin, MLRO}
	if forAuthority {
		roles = reporters
	}
	if err := o.must(roles...); err != nil {
		return nil, err
	}
	err := d.Record(ctx, ActorOfficer, o.ID, "subject.exported", subject, map[string]any{"for_authority": forAuthority})
	if err != nil {
		return nil, err
	}
	x := &Dossier{Subject: subject, At: d.Now().UTC()}
	err = d.Store.Select(ctx, &x.Cleared, `SELECT person_id, entry_id, until, '' AS case_id, added_at, '' AS added_by FROM compliance_whitelist WHERE person_id = ? ORDER BY entry_id`, subject)
	if err != nil || !forAuthority {
		return x, err
	}
	if x.KeptUntil, err = d.keptUntil(d.get(ctx), subject); err != nil {
		return nil, err
	}
	var rows []caseRow
	if err := d.Store.Select(ctx, &rows, selectCases+` WHERE subject = ? ORDER BY id`, subject); err != nil {
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
