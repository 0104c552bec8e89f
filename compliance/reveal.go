package compliance

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// RevealReasons are the codes for opening a masked field.
var RevealReasons = []string{"compare_name", "contact_bank", "write_report", "answer_authority", "other"}

// Reveal notes that an officer opens one masked field of a case, and lets him:
// a field at a time, with a reason, so many an hour. The caller shows the value
// once this has returned without an error.
func (d *Desk) Reveal(ctx context.Context, o Officer, caseID, field, reason string) error {
	if err := o.must(workers...); err != nil {
		return err
	}
	known := false
	for _, r := range RevealReasons {
		known = known || r == reason
	}
	if !known {
		return psd2.Invalid("reason", "reason_required", "choose a reason from the list")
	}
	c, err := d.Case(ctx, o, caseID)
	if err != nil {
		return err
	}
	return d.tx(ctx, func(tx *store.Tx) error {
		var n int
		err := tx.Get(&n, `SELECT COUNT(*) FROM compliance_audit WHERE actor = ? AND action = 'field.revealed' AND at > ?`,
			o.ID, tx.Now.Add(-time.Hour).UnixMicro())
		if err != nil {
			return err
		}
		if n >= 3*d.RevealsPerHour {
			return &psd2.Error{Code: psd2.CodeRateLimited, Reason: "too_many_reveals",
				Message: "you have opened too many masked fields in an hour; a reporting officer has been told", RetryAfter: time.Hour}
		}
		if n == d.RevealsPerHour { // once, when the line is crossed
			e := bySystem("reveal.excessive", o.ID)
			e.detail = map[string]any{"officer": o.ID, "in_an_hour": n}
			if err := d.append(tx, e); err != nil {
				return err
			}
		}
		e := byOfficer(o, "field.revealed", c.ID)
		e.subject, e.detail = c.Subject, map[string]any{"field": field, "reason": reason}
		return d.append(tx, e)
	})
}

// Excess lists who opened unusually many masked fields in the last week, for
// reporting officers.
func (d *Desk) Excess(ctx context.Context, o Officer) ([]Line, error) {
	if !o.Has(MLRO, Admin, Auditor) {
		return nil, nil
	}
	var lines []Line
	err := d.Store.Select(ctx, &lines, selectAudit+` WHERE actor = 'rialto' AND action = 'reveal.excessive' AND at > ? ORDER BY seq DESC LIMIT 20`,
		d.Store.Now().Add(-7*24*time.Hour).UnixMicro())
	return lines, err
}
