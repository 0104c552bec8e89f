package compliance

import (
	"context"
	"fmt"
	"slices"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Two cases that are one matter are joined, one that is two matters is split.
// Alerts move with their hits; notes stay where they were written, and each
// case's history names the other. Nothing is decided by it, so one officer does.

// split gives some of a case's alerts a case of their own.
func (d *Desk) split(tx *store.Tx, c *Case, a *Act) (*Case, error) {
	var all []Alert
	if err := tx.Select(&all, selectAlerts+` WHERE case_id = ? ORDER BY score DESC, id`, c.ID); err != nil {
		return nil, fmt.Errorf("split: %w", err)
	}
	moved := slices.DeleteFunc(slices.Clone(all), func(x Alert) bool { return !slices.Contains(a.Alerts, x.ID) })
	switch {
	case len(moved) != len(a.Alerts):
		return nil, psd2.Invalid("alerts", "split_unknown", "an alert is not of this case any more; look again")
	case len(moved) == len(all):
		return nil, psd2.Invalid("alerts", "split_all", "one alert at least has to stay")
	}
	first := moved[0]
	part := &Case{ID: psd2.NewID(PrefixCase, tx.Now, d.Random), State: c.State, Subject: first.Subject, EntityKind: first.EntityKind, EntityKey: first.EntityKey,
		MerchantID: first.MerchantID, Sample: c.Sample, DueAt: c.DueAt, OpenedAt: c.OpenedAt, Assignee: a.By.ID, AssigneeName: a.By.Name}
	if slices.ContainsFunc(moved, func(x Alert) bool { return x.Subject != first.Subject }) {
		part.Subject, part.EntityKind, part.EntityKey = c.Subject, c.EntityKind, c.EntityKey
	}
	if isPerson(part.Subject) {
		part.PersonID = part.Subject
	}
	part.touch(a.By, tx.Now)
	part.Severity = SeverityLow // until it is weighed
	if err := insertCase(tx, part); err != nil {
		return nil, err
	}
	for _, x := range moved {
		if _, err := tx.Exec(`UPDATE compliance_alerts SET case_id = ? WHERE id = ?`, part.ID, x.ID); err != nil {
			return nil, fmt.Errorf("split: %w", err)
		}
	}
	if err := reweigh(tx, c); err != nil {
		return nil, err
	}
	if err := reweigh(tx, part); err != nil {
		return nil, err
	}
	if err := saveCase(tx, part); err != nil {
		return nil, err
	}
	e := byOfficer(a.By, "case.split_off", part.ID)
	e.subject, e.detail = part.Subject, map[string]any{"case": c.ID, "alerts": a.Alerts}
	return part, d.append(tx, e)
}

// join moves a case's alerts to another one.
func (d *Desk) join(tx *store.Tx, c *Case, a Act) (*Case, error) {
	if a.Into == c.ID || !psd2.IsID(PrefixCase, a.Into) {
		return nil, psd2.Invalid("into", "join_unknown", "enter the number of the other case, cas_…")
	}
	whole, err := loadCase(tx.Get, a.Into)
	if err != nil || whole.State.Restricted() && !a.By.Has(MLRO) {
		return nil, psd2.Invalid("into", "join_unknown", "there is no such case")
	}
	row, err := reportRowOf(tx.Get, c.ID)
	switch {
	case err != nil:
		return nil, err
	case row != nil:
		return nil, c.conflict("case_has_report", "this case has a report: join the other one to it")
	case !slices.Contains(working, whole.State):
		return nil, whole.conflict("state_conflict", "the other case is not worked on any more; it was last changed by "+whole.lastChange())
	case whole.lockedFor(a.By, tx.Now):
		return nil, whole.conflict("case_locked", whole.LockedName+" is working on the other case")
	case whole.Sample != c.Sample:
		return nil, psd2.Invalid("into", "join_sample", "a sample stays by itself")
	}
	if _, err := tx.Exec(`UPDATE compliance_alerts SET case_id = ? WHERE case_id = ?`, whole.ID, c.ID); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	if err := reweigh(tx, whole); err != nil {
		return nil, err
	}
	whole.Escalated = whole.Escalated || c.Escalated
	if c.OpenedAt.Before(whole.OpenedAt) {
		whole.OpenedAt = c.OpenedAt
	}
	if c.DueAt.Before(whole.DueAt) {
		whole.DueAt = c.DueAt
	}
	whole.touch(a.By, tx.Now)
	if err := saveCase(tx, whole); err != nil {
		return nil, err
	}
	e := byOfficer(a.By, "case.joined_by", whole.ID)
	e.subject, e.detail = whole.Subject, map[string]any{"case": c.ID}
	return whole, d.append(tx, e)
}

// reweigh counts a case's alerts anew; without any it keeps its weight.
func reweigh(tx *store.Tx, c *Case) error {
	var sum struct {
		N        int64 `db:"n"`
		Severity int64 `db:"severity"`
		Score    int64 `db:"score"`
	}
	err := tx.Get(&sum, `SELECT COUNT(*) AS n, COALESCE(MAX(severity), 0) AS severity, COALESCE(MAX(score), 0) AS score FROM compliance_alerts WHERE case_id = ?`, c.ID)
	if err != nil {
		return fmt.Errorf("reweigh: %w", err)
	}
	if c.Alerts = sum.N; sum.N == 0 {
		return nil
	}
	c.Severity, c.Score = sum.Severity, sum.Score
	var top struct {
		Family string `db:"family"`
		Rule   string `db:"rule"`
	}
	err = tx.Get(&top, `SELECT family, rule FROM compliance_hits JOIN compliance_alerts ON compliance_alerts.id = alert_id
		WHERE case_id = ? ORDER BY compliance_hits.score DESC, compliance_hits.severity DESC, compliance_hits.at DESC, compliance_hits.id LIMIT 1`, c.ID)
	if err != nil {
		return fmt.Errorf("reweigh: %w", err)
	}
	c.Family, c.Rule = top.Family, top.Rule
	return nil
}

// Joinable lists open cases that may be the same matter as this one: of the same
// person or entity, or about the same payments.
func (d *Desk) Joinable(ctx context.Context, o Officer, c *Case) ([]*Case, error) {
	hidden := ` AND restricted = 0`
	if o.Has(MLRO) {
		hidden = ``
	}
	var rows []caseRow
	err := d.Store.Select(ctx, &rows, selectCases+` WHERE id <> ? AND sample = ? AND state IN ('new', 'triaged', 'investigating', 'awaiting_info')`+hidden+`
		AND (subject = ? OR id IN (SELECT case_id FROM compliance_alerts JOIN compliance_hits ON alert_id = compliance_alerts.id WHERE object_id IN`+ofCase+`))
		ORDER BY rank, id LIMIT 20`, c.ID, flag(c.Sample), c.Subject, c.ID)
	if err != nil {
		return nil, fmt.Errorf("joinable cases: %w", err)
	}
	list := make([]*Case, len(rows))
	for i := range rows {
		if list[i], err = rows[i].decode(); err != nil {
			return nil, err
		}
	}
	return list, nil
}
