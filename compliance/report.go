package compliance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/compliance/goaml"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

const prefixReport = "sar"

// Report is a report of suspicion: a draft that officers write, then one file
// that does not change any more.
type Report struct {
	ID         string
	CaseID     string
	Status     string // draft, exported, filed
	Profile    goaml.Profile
	Draft      goaml.Report
	FileHash   string // SHA-256 of the XML
	ExportedAt time.Time
	FiledAt    time.Time
	FIURef     string
}

// Statuses of a report.
const (
	ReportDraft    = "draft"
	ReportExported = "exported"
	ReportFiled    = "filed"
)

// sealedReport is what a report's draft column holds.
type sealedReport struct {
	Profile goaml.Profile `json:"profile"`
	Draft   goaml.Report  `json:"draft"`
}

type reportRow struct {
	ID         string `db:"id"`
	CaseID     string `db:"case_id"`
	N          int64  `db:"n"`
	Reference  string `db:"reference"`
	Status     string `db:"status"`
	Draft      []byte `db:"draft"`
	File       []byte `db:"file"`
	FileHash   string `db:"file_hash"`
	ExportedAt int64  `db:"exported_at"`
	FiledAt    int64  `db:"filed_at"`
	FIURef     string `db:"fiu_ref"`
}

// reportRowOf loads a case's newest report, nil when there is none.
func reportRowOf(get getter, caseID string) (*reportRow, error) {
	var r reportRow
	err := get(&r, `SELECT id, case_id, n, reference, status, draft, file, file_hash, exported_at, filed_at, fiu_ref
		FROM compliance_reports WHERE case_id = ? ORDER BY n DESC LIMIT 1`, caseID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load report: %w", err)
	}
	return &r, nil
}

func (d *Desk) openReport(get getter, c *Case, r *reportRow) (*Report, error) {
	plain, err := d.unseal(get, c.Subject, "compliance_reports", r.ID, "draft", r.Draft)
	if err != nil {
		return nil, err
	}
	var s sealedReport
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, fmt.Errorf("decode report: %w", err)
	}
	return &Report{ID: r.ID, CaseID: r.CaseID, Status: r.Status, Profile: s.Profile, Draft: s.Draft, FileHash: r.FileHash,
		ExportedAt: at(r.ExportedAt), FiledAt: at(r.FiledAt), FIURef: r.FIURef}, nil
}

// Report loads a case's report for a reporting officer; a case without one
// gives NotFound.
func (d *Desk) Report(ctx context.Context, o Officer, c *Case) (*Report, error) {
	if err := o.must(reporters...); err != nil {
		return nil, err
	}
	r, err := reportRowOf(d.get(ctx), c.ID)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, psd2.NotFound("report")
	}
	return d.openReport(d.get(ctx), c, r)
}

// SaveReport writes a case's draft. A report that has been exported is final;
// after the case was reopened a new draft begins, which names the earlier one.
func (d *Desk) SaveReport(ctx context.Context, o Officer, caseID string, p goaml.Profile, draft goaml.Report) error {
	if err := o.must(reporters...); err != nil {
		return err
	}
	return d.tx(ctx, func(tx *store.Tx) error {
		c, err := loadCase(tx.Get, caseID)
		if err != nil {
			return err
		}
		if c.State != Investigating && c.State != AwaitingInfo {
			return c.conflict("state_conflict", "a report is written while the case is investigated; it was last changed by "+c.lastChange())
		}
		if c.lockedFor(o, tx.Now) {
			return c.conflict("case_locked", c.LockedName+" is working on this case until "+c.LockedUntil.Format(time.RFC3339))
		}
		row, err := reportRowOf(tx.Get, caseID)
		if err != nil {
			return err
		}
		return d.writeDraft(tx, o, c, row, sealedReport{p, draft})
	})
}

func (d *Desk) writeDraft(tx *store.Tx, o Officer, c *Case, row *reportRow, s sealedReport) error {
	isNew := row == nil || row.Status != ReportDraft
	if isNew {
		if row != nil && row.FIURef != "" && !slices.Contains(s.Draft.Earlier, row.FIURef) {
			s.Draft.Earlier = append(s.Draft.Earlier, row.FIURef)
		}
		n := int64(1)
		if row != nil {
			n = row.N + 1
		}
		row = &reportRow{ID: psd2.NewID(prefixReport, tx.Now, d.Random), N: n}
	}
	row.Reference = strings.ToUpper(strings.TrimPrefix(row.ID, prefixReport+"_"))
	s.Draft.Reference = row.Reference
	plain, err := encode(s)
	if err != nil {
		return err
	}
	sealed, err := d.seal(tx, c.Subject, "compliance_reports", row.ID, "draft", plain)
	if err != nil {
		return err
	}
	if isNew {
		_, err = tx.Exec(`INSERT INTO compliance_reports (id, case_id, n, reference, status, draft, file_hash, exported_at, filed_at, fiu_ref, updated_at)
			VALUES (?, ?, ?, ?, 'draft', ?, '', 0, 0, '', ?)`, row.ID, c.ID, row.N, row.Reference, sealed, tx.Now.UnixMicro())
	} else {
		_, err = tx.Exec(`UPDATE compliance_reports SET draft = ?, updated_at = ? WHERE id = ? AND status = 'draft'`, sealed, tx.Now.UnixMicro(), row.ID)
	}
	if err != nil {
		return fmt.Errorf("save report: %w", err)
	}
	e := byOfficer(o, "report.saved", c.ID)
	e.detail = map[string]any{"report": row.ID}
	return d.append(tx, e)
}

// reportReady refuses to propose a report that lacks anything.
func (d *Desk) reportReady(tx *store.Tx, c *Case, a Act) error {
	row, err := reportRowOf(tx.Get, c.ID)
	if err != nil {
		return err
	}
	if row == nil || row.Status != ReportDraft {
		return psd2.Invalid("report", "report_missing", "write the report first")
	}
	r, err := d.openReport(tx.Get, c, row)
	if err != nil {
		return err
	}
	r.Draft.At = tx.Now
	if missing := goaml.Check(r.Draft, r.Profile); len(missing) > 0 {
		return psd2.Invalid(missing[0].Field, "report_incomplete", "the report is not complete; the check on its page says what is missing")
	}
	return nil
}

// exportReport makes the one file when the second person has approved.
func (d *Desk) exportReport(tx *store.Tx, c *Case) error {
	row, err := reportRowOf(tx.Get, c.ID)
	if err != nil {
		return err
	}
	if row == nil || row.Status != ReportDraft {
		return c.conflict("report_exported", "this report has been exported already")
	}
	r, err := d.openReport(tx.Get, c, row)
	if err != nil {
		return err
	}
	r.Draft.At = tx.Now.In(d.zone).Truncate(time.Second)
	var file bytes.Buffer
	if err := goaml.Write(&file, r.Draft, r.Profile); err != nil {
		return err
	}
	sum := sha256.Sum256(file.Bytes())
	hash := hex.EncodeToString(sum[:])
	sealed, err := d.seal(tx, c.Subject, "compliance_reports", row.ID, "file", file.Bytes())
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE compliance_reports SET status = 'exported', file = ?, file_hash = ?, exported_at = ?, updated_at = ? WHERE id = ?`,
		sealed, hash, tx.Now.UnixMicro(), tx.Now.UnixMicro(), row.ID)
	if err != nil {
		return fmt.Errorf("export report: %w", err)
	}
	e := bySystem("report.exported", c.ID)
	e.detail = map[string]any{"report": row.ID, "sha256": hash}
	return d.append(tx, e)
}

// filed starts the waiting period.
func (d *Desk) filed(tx *store.Tx, c *Case, a Act) error {
	c.WaitUntil = d.calendar.WaitingEnd(tx.Now)
	row, err := reportRowOf(tx.Get, c.ID)
	if err != nil {
		return err
	}
	if row == nil || row.Status != ReportExported {
		return c.conflict("report_not_exported", "there is no exported report")
	}
	_, err = tx.Exec(`UPDATE compliance_reports SET status = 'filed', filed_at = ?, fiu_ref = ?, updated_at = ? WHERE id = ?`,
		tx.Now.UnixMicro(), a.Reference, tx.Now.UnixMicro(), row.ID)
	if err != nil {
		return fmt.Errorf("file report: %w", err)
	}
	_, err = tx.Exec(`UPDATE compliance_holds SET wait_until = ? WHERE case_id = ? AND ended_at = 0`, us(c.WaitUntil), c.ID)
	return err
}

// ReportFile gives the exported XML to a reporting officer, and notes that he
// took it.
func (d *Desk) ReportFile(ctx context.Context, o Officer, caseID string) (name string, file []byte, err error) {
	if err := o.must(reporters...); err != nil {
		return "", nil, err
	}
	err = d.tx(ctx, func(tx *store.Tx) error {
		c, err := loadCase(tx.Get, caseID)
		if err != nil {
			return err
		}
		row, err := reportRowOf(tx.Get, caseID)
		if err != nil {
			return err
		}
		if row == nil || len(row.File) == 0 {
			return psd2.NotFound("report")
		}
		if file, err = d.unseal(tx.Get, c.Subject, "compliance_reports", row.ID, "file", row.File); err != nil {
			return err
		}
		name = row.Reference + ".xml"
		e := byOfficer(o, "report.downloaded", c.ID)
		e.detail = map[string]any{"report": row.ID, "sha256": row.FileHash}
		return d.append(tx, e)
	})
	return name, file, err
}
