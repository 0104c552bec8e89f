package compliance

import (
	"context"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Case loads a case for an officer. One that is about a report of suspicion
// does not exist for who is no reporting officer.
func (d *Desk) Case(ctx context.Context, o Officer, id string) (*Case, error) {
	if err := o.must(Viewer, Analyst, MLRO, Admin); err != nil {
		return nil, err
	}
	if !psd2.IsID(PrefixCase, id) {
		return nil, psd2.NotFound("case")
	}
	c, err := loadCase(d.get(ctx), id)
	if err != nil {
		return nil, err
	}
	if c.State.Restricted() && !o.Has(MLRO) {
		return nil, psd2.NotFound("case")
	}
	return c, nil
}

// Open is Case for who comes to work: a case to be worked that is nobody else's
// is locked for him from then on. It is the same version of the case still.
func (d *Desk) Open(ctx context.Context, o Officer, id string) (*Case, error) {
	c, err := d.Case(ctx, o, id)
	if err != nil || !c.opens(o, d.Now()) {
		return c, err
	}
	err = d.tx(ctx, func(tx *store.Tx) error {
		if c, err = loadCase(tx.Get, id); err != nil || !c.opens(o, tx.Now) {
			return err
		}
		mine := c.LockedBy == o.ID && tx.Now.Before(c.LockedUntil)
		c.lock(o, tx.Now)
		_, err := tx.Exec(`UPDATE compliance_cases SET locked_by = ?, locked_name = ?, locked_until = ? WHERE id = ?`, c.LockedBy, c.LockedName, us(c.LockedUntil), id)
		if err != nil || mine {
			return err
		}
		return d.append(tx, byOfficer(o, "case.opened", id))
	})
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return c, nil
}

// Act does something to a case: in the case, in what hangs on it, and in the
// chain, or nowhere. It gives the case that work goes on with: the new one after
// a Split, the other one after a Join. A conflict names who was faster, and when.
func (d *Desk) Act(ctx context.Context, caseID string, a Act) (c *Case, err error) {
	if a.Do == ProposeSAR {
		if a.about, err = d.involvedIn(ctx, caseID); err != nil {
			return nil, err
		}
	}
	err = d.tx(ctx, func(tx *store.Tx) error {
		c, err = d.act(tx, caseID, a)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (d *Desk) act(tx *store.Tx, caseID string, a Act) (*Case, error) {
	c, err := loadCase(tx.Get, caseID)
	if err != nil {
		return nil, err
	}
	from, proposal := c.State, c.Proposal
	if err := c.Do(a, tx.Now); err != nil {
		return nil, err
	}
	next := c
	switch a.Do {
	case Split:
		next, err = d.split(tx, c, &a)
	case Join:
		next, err = d.join(tx, c, a)
	default:
		err = d.consequences(tx, c, a, from, proposal)
	}
	if err != nil {
		return nil, err
	}
	if err := saveCase(tx, c); err != nil {
		return nil, err
	}
	e := byOfficer(a.By, "case."+string(a.Do), c.ID)
	e.subject, e.personal, e.detail = c.Subject, a.Note, a.detail(c, from)
	if a.Do == Approve || a.Do == Return {
		e.detail["proposed_by"] = proposal.By
	}
	if next != c {
		e.detail["case"] = next.ID
	}
	return next, d.append(tx, e)
}

// detail is what the chain says of an action in the clear.
func (a *Act) detail(c *Case, from State) map[string]any {
	m := map[string]any{"from": from, "to": c.State, "version": a.Version}
	if rules[a.Do].reason {
		m["reason"] = a.Reason
	}
	if a.Reference != "" {
		m["reference"] = a.Reference
	}
	if !a.Until.IsZero() {
		m["until"] = a.Until.UTC().Format(time.RFC3339)
	}
	if a.To.ID != "" {
		m["assignee"] = a.To.ID
	}
	if a.Do == Split {
		m["alerts"] = a.Alerts
	}
	if len(a.Entries) > 0 {
		m["entries"] = a.Entries
	}
	if c.BulkID != "" {
		m["bulk"] = c.BulkID
	}
	return m
}

// consequences of an action outside the case's own row.
func (d *Desk) consequences(tx *store.Tx, c *Case, a Act, from State, p Proposal) error {
	switch {
	case a.Do == ProposeSAR:
		if err := d.reportReady(tx, c, a); err != nil {
			return err
		}
		return d.hold(tx, c, a.about, HoldReport)
	case (a.Do == Return || a.Do == Withdraw) && from == ProposedSAR:
		return d.endHolds(tx, c.ID, a.By.ID, "returned")
	case a.Do == Approve && from == ProposedSAR:
		return d.exportReport(tx, c)
	case a.Do == Approve:
		if err := d.whitelist(tx, c, p); err != nil {
			return err
		}
		if err := d.endHolds(tx, c.ID, a.By.ID, "closed"); err != nil { // of an earlier report, after a reopening
			return err
		}
		if err := d.settleHolds(tx, c, a.By, DecisionReleased); err != nil {
			return err
		}
		return closeAlerts(tx, c, true)
	case a.Do == File:
		return d.filed(tx, c, a)
	case a.Do == Release, a.Do == Block:
		if err := closeAlerts(tx, c, true); err != nil {
			return err
		}
		if a.Do == Release {
			if err := d.settleHolds(tx, c, a.By, DecisionReleased); err != nil {
				return err
			}
			return d.endHolds(tx, c.ID, a.By.ID, DecisionReleased)
		}
		if err := d.settleHolds(tx, c, a.By, DecisionRefused); err != nil {
			return err
		}
		return d.blockHolds(tx, c.ID, a.By.ID)
	case a.Do == Reopen:
		if err := d.unblockHolds(tx, c.ID); err != nil {
			return err
		}
		return closeAlerts(tx, c, false)
	}
	return nil
}

// closeAlerts ends a case's alerts with its outcome, or opens them again. One
// whose place a newer alert has taken stays closed: there is one open alert
// per entity and family.
func closeAlerts(tx *store.Tx, c *Case, ended bool) error {
	if ended {
		_, err := tx.Exec(`UPDATE compliance_alerts SET open = 0, outcome = ? WHERE case_id = ?`, c.Outcome, c.ID)
		return err
	}
	_, err := tx.Exec(`UPDATE compliance_alerts SET open = 1, outcome = '' WHERE case_id = ? AND open = 0 AND NOT EXISTS (
		SELECT 1 FROM compliance_alerts AS newer WHERE newer.open = 1 AND newer.entity_kind = compliance_alerts.entity_kind
		AND newer.entity_key = compliance_alerts.entity_key AND newer.family = compliance_alerts.family AND newer.sample = compliance_alerts.sample)`, c.ID)
	return err
}

// Seen is a case as an officer saw it when he ticked it in a list.
type Seen struct {
	ID      string
	Version int64
}

// maxBulk bounds how many cases one action may end.
const maxBulk = 200

// ProposeMany proposes one end for many cases, with one reason and one note.
// All or none: a case that cannot be proposed, or that changed meanwhile, is
// named by the error. The id is for the second person.
func (d *Desk) ProposeMany(ctx context.Context, cases []Seen, a Act) (bulkID string, err error) {
	if len(cases) == 0 || len(cases) > maxBulk {
		return "", psd2.Invalid("cases", "bulk_size", "choose 1 to 200 cases")
	}
	if a.Do != ProposeFalsePositive && a.Do != ProposeNoSuspicion {
		return "", psd2.Invalid("do", "bulk_action", "many cases at once can be closed, nothing else")
	}
	err = d.tx(ctx, func(tx *store.Tx) error {
		bulkID = psd2.NewID(prefixBulk, tx.Now, d.Random)
		for _, one := range cases {
			if err := d.proposeOneOfMany(tx, one, a, bulkID); err != nil {
				return err
			}
		}
		return nil
	})
	return bulkID, err
}

// proposeOneOfMany takes a case from wherever it is to its proposal, each step
// with its row in the chain.
func (d *Desk) proposeOneOfMany(tx *store.Tx, one Seen, a Act, bulkID string) error {
	c, err := loadCase(tx.Get, one.ID)
	if err != nil {
		return err
	}
	version := one.Version
	if c.State == New || c.State == Triaged {
		if c, err = d.act(tx, one.ID, Act{Do: Investigate, By: a.By, Version: version}); err != nil {
			return err
		}
		version = c.Version
	}
	a.Version, a.bulk = version, bulkID
	_, err = d.act(tx, one.ID, a)
	return err
}

// DecideMany approves or returns what ProposeMany proposed. Cases that changed
// since stay proposed; changed counts them.
func (d *Desk) DecideMany(ctx context.Context, bulkID string, a Act) (decided, changed int, err error) {
	if a.Do != Approve && a.Do != Return {
		return 0, 0, psd2.Invalid("do", "bulk_action", "a proposal is approved or returned")
	}
	err = d.tx(ctx, func(tx *store.Tx) error {
		decided, changed = 0, 0
		var rows []caseRow
		if err := tx.Select(&rows, selectCases+` WHERE bulk_id = ? AND bulk_id <> '' AND bucket = 'proposed' ORDER BY id`, bulkID); err != nil {
			return err
		}
		if len(rows) == 0 {
			return psd2.NotFound("proposal")
		}
		for _, r := range rows {
			c, err := r.decode()
			if err != nil {
				return err
			}
			if c.ChangedAt.After(c.Proposal.At) { // a new hit: to be looked at by itself
				changed++
				continue
			}
			a.Version = c.Version
			if _, err := d.act(tx, c.ID, a); err != nil {
				return err
			}
			decided++
		}
		return nil
	})
	return decided, changed, err
}

// Next picks the first case in the queue that nobody works on, or that is the
// officer's own, and locks it for him: two officers never get the same one.
// There may be none (nil).
func (d *Desk) Next(ctx context.Context, o Officer) (c *Case, err error) {
	if err := o.must(workers...); err != nil {
		return nil, err
	}
	err = d.tx(ctx, func(tx *store.Tx) error {
		c = nil
		var rows []caseRow
		err := tx.Select(&rows, selectCases+` WHERE bucket = 'open' AND state <> 'awaiting_info' AND (locked_by = '' OR locked_until <= ?)
			AND (assignee = '' OR assignee = ?) ORDER BY rank, id LIMIT 1`, tx.Now.UnixMicro(), o.ID)
		if err != nil || len(rows) == 0 {
			return err
		}
		c, err = d.act(tx, rows[0].ID, Act{Do: Take, By: o, Version: rows[0].Version})
		return err
	})
	return c, err
}

// wake puts cases whose rest is over back into the queue.
func (d *Desk) wake(ctx context.Context, now time.Time) (n int, err error) {
	var due []string
	err = d.Store.Select(ctx, &due, `SELECT id FROM compliance_cases WHERE bucket = 'snoozed' AND snoozed_until <= ? ORDER BY snoozed_until LIMIT ?`,
		now.UnixMicro(), stepBatch)
	if err != nil || len(due) == 0 {
		return 0, err
	}
	err = d.tx(ctx, func(tx *store.Tx) error {
		n = 0
		for _, id := range due {
			c, err := loadCase(tx.Get, id)
			if err != nil {
				return err
			}
			if c.bucket(now) != BucketOpen || tx.Now.Before(c.SnoozedUntil) { // somebody was faster
				continue
			}
			c.SnoozedUntil = time.Time{}
			if err := saveCase(tx, c); err != nil {
				return err
			}
			if err := d.append(tx, bySystem("case.woken", id)); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("wake: %w", err)
	}
	return n, nil
}
