package compliance

import (
	"context"
	"fmt"
	"time"
)

// Reported lists the persons about whom a report of suspicion was filed before
// a moment: who the case was about, and whose money had to wait for it. It is
// for rules that look for subjects of earlier reports, which must not say why
// they fired: nobody but reporting officers may know of a report (GwG §47).
func (d *Desk) Reported(ctx context.Context, before time.Time) (persons []string, err error) {
	err = d.Store.Select(ctx, &persons, `SELECT compliance_holds.person_id FROM compliance_holds JOIN compliance_reports ON compliance_reports.case_id = compliance_holds.case_id
			WHERE status = 'filed' AND filed_at < ? AND cause = ? AND compliance_holds.person_id <> ''
		UNION SELECT person_id FROM compliance_cases JOIN compliance_reports ON case_id = compliance_cases.id
			WHERE status = 'filed' AND filed_at < ? AND person_id <> ''`, us(before), HoldReport, us(before))
	if err != nil {
		return nil, fmt.Errorf("reported: %w", err)
	}
	return persons, nil
}
