package compliance

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Prefixes of our ids.
const (
	PrefixAlert = "alr"
	PrefixCase  = "cas"
	prefixHold  = "hld"
	prefixBulk  = "blk"
	prefixErase = "ers"
	prefixRun   = "run"
)

// Outcomes of a case, and so of its alerts.
const (
	OutcomeFalsePositive = "false_positive"
	OutcomeNoSuspicion   = "no_suspicion"
	OutcomeSAR           = "sar"
	OutcomeJoined        = "joined" // its alerts are another case's now
)

// Case is one matter to decide: the open alerts of one person or entity. What
// is personal of it lies sealed in its hits, notes and report.
type Case struct {
	ID         string
	Version    int64
	State      State
	Subject    string // whose key seals it
	EntityKind string // player, iban, device, ip, merchant …
	EntityKey  string // opaque
	PersonID   string // "" when it is not about one person
	MerchantID string
	Family     string // of the weightiest alert, with its rule
	Rule       string
	Alerts     int64
	Sample     bool // below the line, drawn to check the rules
	Severity   int64
	Score      int64

	DueAt          time.Time // the service level's clock
	SnoozedUntil   time.Time
	SnoozeSeverity int64
	Escalated      bool

	Assignee, AssigneeName string
	LockedBy, LockedName   string
	LockedUntil            time.Time

	Proposal  Proposal
	BulkID    string
	Outcome   string
	Reason    string
	Reference string    // the FIU's
	WaitUntil time.Time // until then a reported transaction does not run (GwG §46)
	JoinedTo  string    // the case that has its alerts now

	OpenedAt, ChangedAt    time.Time
	ChangedBy, ChangedName string // who changed it last
	ClosedAt, ErasedAt     time.Time
}

// Severities.
const (
	SeverityLow      = 1
	SeverityMedium   = 2
	SeverityHigh     = 3
	SeverityCritical = 4
)

// serviceLevel is how soon a case should be proposed, by severity.
var serviceLevel = [...]time.Duration{1: 10 * 24 * time.Hour, 2: 72 * time.Hour, 3: 24 * time.Hour, 4: 4 * time.Hour}

// pointWorth is the waiting time that one point of score counts for, and
// escalation the points an escalated case gains.
const (
	pointWorth = 30 * time.Minute
	escalation = 100
)

func (c *Case) rank() int64 {
	score := c.Score
	if c.Escalated {
		score += escalation
	}
	return c.OpenedAt.Add(-time.Duration(score) * pointWorth).UnixMicro()
}

// Buckets of the queue.
const (
	BucketOpen     = "open"
	BucketSnoozed  = "snoozed"
	BucketProposed = "proposed"
	BucketFiled    = "filed"
	BucketClosed   = "closed"
)

// bucket says in which part of the queue a case is.
func (c *Case) bucket(now time.Time) string {
	switch {
	case c.State.Ended():
		return BucketClosed
	case c.State.Proposed():
		return BucketProposed
	case c.State == SARExported, c.State == SARFiled:
		return BucketFiled
	case now.Before(c.SnoozedUntil):
		return BucketSnoozed
	}
	return BucketOpen
}

type caseRow struct {
	ID             string `db:"id"`
	Version        int64  `db:"version"`
	State          string `db:"state"`
	Subject        string `db:"subject"`
	EntityKind     string `db:"entity_kind"`
	EntityKey      string `db:"entity_key"`
	PersonID       string `db:"person_id"`
	MerchantID     string `db:"merchant_id"`
	Family         string `db:"family"`
	Rule           string `db:"rule"`
	Alerts         int64  `db:"alerts"`
	Sample         int64  `db:"sample"`
	Severity       int64  `db:"severity"`
	Score          int64  `db:"score"`
	Rank           int64  `db:"rank"`
	DueAt          int64  `db:"due_at"`
	SnoozedUntil   int64  `db:"snoozed_until"`
	SnoozeSeverity int64  `db:"snooze_severity"`
	Escalated      int64  `db:"escalated"`
	Assignee       string `db:"assignee"`
	AssigneeName   string `db:"assignee_name"`
	LockedBy       string `db:"locked_by"`
	LockedName     string `db:"locked_name"`
	LockedUntil    int64  `db:"locked_until"`
	Proposal       string `db:"proposal"`
	BulkID         string `db:"bulk_id"`
	Outcome        string `db:"outcome"`
	Reason         string `db:"reason"`
	Reference      string `db:"reference"`
	WaitUntil      int64  `db:"wait_until"`
	OpenedAt       int64  `db:"opened_at"`
	ChangedAt      int64  `db:"changed_at"`
	ChangedBy      string `db:"changed_by"`
	ChangedName    string `db:"changed_name"`
	ClosedAt       int64  `db:"closed_at"`
	ErasedAt       int64  `db:"erased_at"`
	JoinedTo       string `db:"joined_to"`
}

const selectCases = `SELECT id, version, state, subject, entity_kind, entity_key, person_id, merchant_id, family, rule, alerts, sample,
	severity, score, rank, due_at, snoozed_until, snooze_severity, escalated, assignee, assignee_name, locked_by, locked_name, locked_until,
	proposal, bulk_id, outcome, reason, reference, wait_until, opened_at, changed_at, changed_by, changed_name, closed_at, erased_at, joined_to
	FROM compliance_cases`

func (r *caseRow) decode() (*Case, error) {
	c := &Case{
		ID: r.ID, Version: r.Version, State: State(r.State), Subject: r.Subject, EntityKind: r.EntityKind, EntityKey: r.EntityKey,
		PersonID: r.PersonID, MerchantID: r.MerchantID, Family: r.Family, Rule: r.Rule, Alerts: r.Alerts, Sample: r.Sample == 1,
		Severity: r.Severity, Score: r.Score, DueAt: at(r.DueAt), SnoozedUntil: at(r.SnoozedUntil), SnoozeSeverity: r.SnoozeSeverity,
		Escalated: r.Escalated == 1, Assignee: r.Assignee, AssigneeName: r.AssigneeName, LockedBy: r.LockedBy, LockedName: r.LockedName,
		LockedUntil: at(r.LockedUntil), BulkID: r.BulkID, Outcome: r.Outcome, Reason: r.Reason, Reference: r.Reference,
		WaitUntil: at(r.WaitUntil), OpenedAt: at(r.OpenedAt), ChangedAt: at(r.ChangedAt), ChangedBy: r.ChangedBy,
		ChangedName: r.ChangedName, ClosedAt: at(r.ClosedAt), ErasedAt: at(r.ErasedAt), JoinedTo: r.JoinedTo,
	}
	if r.Proposal == "" {
		return c, nil
	}
	if err := json.Unmarshal([]byte(r.Proposal), &c.Proposal); err != nil {
		return nil, fmt.Errorf("decode case: %w", err)
	}
	return c, nil
}

// at and us turn microseconds into times and back; 0 is the zero time.
func at(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func us(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// getter reads one row, in a transaction or outside.
type getter func(dst any, query string, args ...any) error

func loadCase(get getter, id string) (*Case, error) {
	var r caseRow
	err := get(&r, selectCases+` WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, psd2.NotFound("case")
	}
	if err != nil {
		return nil, fmt.Errorf("load case: %w", err)
	}
	return r.decode()
}

// fields are a case's columns after its id, in the order of columns.
func (c *Case) fields(now time.Time) ([]any, error) {
	proposal := ""
	if c.Proposal.By != "" {
		b, err := json.Marshal(c.Proposal)
		if err != nil {
			return nil, fmt.Errorf("encode case: %w", err)
		}
		proposal = string(b)
	}
	return []any{
		c.Version, string(c.State), c.bucket(now), flag(c.State.Restricted()), c.Subject, c.EntityKind, c.EntityKey, c.PersonID, c.MerchantID,
		c.Family, c.Rule, c.Alerts, flag(c.Sample), c.Severity, c.Score, c.rank(), us(c.DueAt), us(c.SnoozedUntil), c.SnoozeSeverity,
		flag(c.Escalated), c.Assignee, c.AssigneeName, c.LockedBy, c.LockedName, us(c.LockedUntil), proposal, c.BulkID, c.Outcome, c.Reason,
		c.Reference, us(c.WaitUntil), us(c.OpenedAt), us(c.ChangedAt), c.ChangedBy, c.ChangedName, us(c.ClosedAt), us(c.ErasedAt), c.JoinedTo,
	}, nil
}

func insertCase(tx *store.Tx, c *Case) error {
	c.Version = 1
	fields, err := c.fields(tx.Now)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO compliance_cases (id, version, state, bucket, restricted, subject, entity_kind, entity_key, person_id, merchant_id,
		family, rule, alerts, sample, severity, score, rank, due_at, snoozed_until, snooze_severity, escalated, assignee, assignee_name,
		locked_by, locked_name, locked_until, proposal, bulk_id, outcome, reason, reference, wait_until, opened_at, changed_at, changed_by,
		changed_name, closed_at, erased_at, joined_to) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		append([]any{c.ID}, fields...)...)
	return err
}

// saveCase writes a case back over the version it was loaded with. Whoever is
// second gets a conflict that names the first.
func saveCase(tx *store.Tx, c *Case) error {
	loaded := c.Version
	c.Version++
	fields, err := c.fields(tx.Now)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE compliance_cases SET version = ?, state = ?, bucket = ?, restricted = ?, subject = ?, entity_kind = ?, entity_key = ?,
		person_id = ?, merchant_id = ?, family = ?, rule = ?, alerts = ?, sample = ?, severity = ?, score = ?, rank = ?, due_at = ?,
		snoozed_until = ?, snooze_severity = ?, escalated = ?, assignee = ?, assignee_name = ?, locked_by = ?, locked_name = ?,
		locked_until = ?, proposal = ?, bulk_id = ?, outcome = ?, reason = ?, reference = ?, wait_until = ?, opened_at = ?, changed_at = ?,
		changed_by = ?, changed_name = ?, closed_at = ?, erased_at = ?, joined_to = ? WHERE id = ? AND version = ?`,
		append(fields, c.ID, loaded)...)
	if err != nil || n == 1 {
		return err
	}
	now, err := loadCase(tx.Get, c.ID)
	if err != nil {
		return err
	}
	return now.changed()
}
