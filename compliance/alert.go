package compliance

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Finding is what a rule hands over when it has fired.
type Finding struct {
	ID          string // of the hit, the same at every delivery: a second one changes nothing
	EntityKind  string // player, person, iban, device, ip, merchant
	EntityKey   string // opaque or hashed: it is stored in the clear
	PersonID    string // psn_…, when it is about one person
	MerchantID  string
	ObjectID    string // the payment, payout or refund it fired on
	Rule        string // R01 …
	Family      string // structuring, payer …: one open alert per entity and family
	RuleVersion string
	Severity    int64           // 1 low to 4 critical
	Score       int64           // 0 to 100
	Inputs      json.RawMessage // what the rule saw, enough to compute it again; sealed
	At          time.Time
}

// ListFamilies are the families of hits on lists of people: the only ones whose
// entries can be cleared.
var ListFamilies = []string{"sanctions", "pep"}

// Blind is a rule that some transactions could not be judged by, for want of
// data: no hit of it means nothing there.
type Blind struct {
	Rule         string
	Missing      []string // what was not there, the commonest first
	Transactions int
}

// Alert is an entity's trouble with one family of rules.
type Alert struct {
	ID         string `db:"id"`
	CaseID     string `db:"case_id"`
	Subject    string `db:"subject"`
	EntityKind string `db:"entity_kind"`
	EntityKey  string `db:"entity_key"`
	MerchantID string `db:"merchant_id"`
	Family     string `db:"family"`
	Severity   int64  `db:"severity"`
	Score      int64  `db:"score"`
	HitCount   int64  `db:"hits"`
	Sample     int64  `db:"sample"`
	Open       int64  `db:"open"`
	Outcome    string `db:"outcome"`
	FirstAt    int64  `db:"first_at"`
	LastAt     int64  `db:"last_at"`
}

// First and Last are the times of the first and the newest hit.
func (a Alert) First() time.Time { return at(a.FirstAt) }

// Last is the time of the newest hit.
func (a Alert) Last() time.Time { return at(a.LastAt) }

const selectAlerts = `SELECT id, case_id, subject, entity_kind, entity_key, merchant_id, family, severity, score, hits, sample, open, outcome, first_at, last_at
	FROM compliance_alerts`

// Hit is one firing of one rule.
type Hit struct {
	ID          string `db:"id"`
	AlertID     string `db:"alert_id"`
	N           int64  `db:"n"`
	Rule        string `db:"rule"`
	RuleVersion string `db:"rule_version"`
	ObjectID    string `db:"object_id"`
	Severity    int64  `db:"severity"`
	Score       int64  `db:"score"`
	AtMicro     int64  `db:"at"`
	Sealed      []byte `db:"sealed"`

	Inputs json.RawMessage `db:"-"` // nil when its subject was erased
}

// At is when it fired.
func (h Hit) At() time.Time { return at(h.AtMicro) }

// Raise takes a finding into the queue, in the transaction of whoever found it.
// The entity's open alert of that family gets it as one more hit; else a new
// alert joins the person's or entity's case under work, or opens one.
func (d *Desk) Raise(tx *store.Tx, f Finding) error { return d.raise(tx, f, false) }

// RaiseSample takes one of Config.SampleEvery findings that stayed below the
// line into the queue, so that officers see what the rules leave out. Which
// ones depends on their ids alone.
func (d *Desk) RaiseSample(tx *store.Tx, f Finding) error {
	if d.SampleEvery <= 0 {
		return nil
	}
	sum := sha256.Sum256([]byte("sample\x00" + f.ID))
	if binary.BigEndian.Uint64(sum[:8])%uint64(d.SampleEvery) != 0 {
		return nil
	}
	f.Severity, f.Score = SeverityLow, min(f.Score, 5)
	return d.raise(tx, f, true)
}

func (f *Finding) check() error {
	switch {
	case f.ID == "" || f.EntityKind == "" || f.EntityKey == "" || f.Rule == "" || f.Family == "":
		return psd2.Invalid("", "finding_incomplete", "a finding needs an id, an entity, a rule and its family")
	case f.Severity < SeverityLow || f.Severity > SeverityCritical || f.Score < 0 || f.Score > 100:
		return psd2.Invalid("severity", "finding_out_of_range", "severity is 1 to 4, score 0 to 100")
	case f.At.IsZero():
		return psd2.Invalid("at", "finding_incomplete", "a finding needs its time")
	}
	return nil
}

// subject is whose key seals it.
func (f *Finding) subject() string {
	if f.PersonID != "" {
		return f.PersonID
	}
	return "entity:" + f.EntityKind + ":" + f.EntityKey
}

func (d *Desk) raise(tx *store.Tx, f Finding, sample bool) error {
	if err := f.check(); err != nil {
		return err
	}
	if err := lockChain(tx); err != nil {
		return err
	}
	var seen int
	if err := tx.Get(&seen, `SELECT COUNT(*) FROM compliance_hits WHERE id = ?`, f.ID); err != nil || seen > 0 {
		return err
	}
	var a Alert
	err := tx.Get(&a, selectAlerts+` WHERE entity_kind = ? AND entity_key = ? AND family = ? AND sample = ? AND open = 1`,
		f.EntityKind, f.EntityKey, f.Family, flag(sample))
	isNew := errors.Is(err, sql.ErrNoRows)
	switch {
	case isNew:
		a = Alert{ID: psd2.NewID(PrefixAlert, tx.Now, d.Random), Subject: f.subject(), EntityKind: f.EntityKind, EntityKey: f.EntityKey,
			MerchantID: f.MerchantID, Family: f.Family, Sample: flag(sample), Open: 1, FirstAt: us(f.At), LastAt: us(f.At)}
	case err != nil:
		return fmt.Errorf("raise: %w", err)
	}
	c, err := d.caseFor(tx, &a, f, isNew)
	if err != nil {
		return err
	}
	a.CaseID = c.ID
	a.HitCount++
	a.Severity, a.Score = max(a.Severity, f.Severity), max(a.Score, f.Score)
	a.FirstAt, a.LastAt = min(a.FirstAt, us(f.At)), max(a.LastAt, us(f.At))
	if err := d.writeHit(tx, a, f, isNew); err != nil {
		return err
	}
	action := "alert.hit"
	if isNew {
		action = "alert.raised"
	}
	return d.append(tx, entry{actorKind: ActorRule, actor: f.Rule, action: action, object: c.ID, subject: a.Subject, detail: map[string]any{
		"alert": a.ID, "hit": f.ID, "rule_version": f.RuleVersion, "object": f.ObjectID, "severity": f.Severity, "score": f.Score, "sample": sample}})
}

func (d *Desk) writeHit(tx *store.Tx, a Alert, f Finding, isNew bool) error {
	var err error
	if isNew {
		_, err = tx.Exec(`INSERT INTO compliance_alerts (id, case_id, subject, entity_kind, entity_key, merchant_id, family, severity, score, hits, sample, open,
			outcome, first_at, last_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,1,'',?,?)`,
			a.ID, a.CaseID, a.Subject, a.EntityKind, a.EntityKey, a.MerchantID, a.Family, a.Severity, a.Score, a.HitCount, a.Sample, a.FirstAt, a.LastAt)
	} else {
		_, err = tx.Exec(`UPDATE compliance_alerts SET severity = ?, score = ?, hits = ?, first_at = ?, last_at = ? WHERE id = ?`,
			a.Severity, a.Score, a.HitCount, a.FirstAt, a.LastAt, a.ID)
	}
	if err != nil {
		return fmt.Errorf("raise: %w", err)
	}
	inputs := f.Inputs
	if len(inputs) == 0 {
		inputs = json.RawMessage(`{}`)
	}
	sealed, err := d.seal(tx, a.Subject, "compliance_hits", f.ID, "sealed", inputs)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO compliance_hits (id, alert_id, n, rule, rule_version, object_id, severity, score, at, sealed) VALUES (?,?,?,?,?,?,?,?,?,?)`,
		f.ID, a.ID, a.HitCount, f.Rule, f.RuleVersion, f.ObjectID, f.Severity, f.Score, us(f.At), sealed)
	return err
}

// caseFor finds or opens the case of an alert and counts the finding into it.
// A proposal that waits for the second person gets a new version by that: he
// has to look at the new hit before he decides.
func (d *Desk) caseFor(tx *store.Tx, a *Alert, f Finding, isNew bool) (*Case, error) {
	if !isNew {
		c, err := loadCase(tx.Get, a.CaseID)
		if err != nil {
			return nil, err
		}
		return c, d.weigh(tx, c, f, false)
	}
	c, err := workedCase(tx, f, a.Sample)
	if err != nil {
		return nil, err
	}
	if c != nil {
		return c, d.weigh(tx, c, f, true)
	}
	c = &Case{ID: psd2.NewID(PrefixCase, tx.Now, d.Random), State: New, Subject: f.subject(), EntityKind: f.EntityKind, EntityKey: f.EntityKey,
		PersonID: f.PersonID, MerchantID: f.MerchantID, Family: f.Family, Rule: f.Rule, Alerts: 1, Sample: a.Sample == 1,
		Severity: f.Severity, Score: f.Score, OpenedAt: tx.Now, DueAt: tx.Now.Add(serviceLevel[f.Severity]), ChangedAt: tx.Now}
	return c, insertCase(tx, c)
}

// workedCase is the case that a new alert joins: of the same person, else of
// the same entity, while nobody has proposed an end of it.
func workedCase(tx *store.Tx, f Finding, sample int64) (*Case, error) {
	where, args := `entity_kind = ? AND entity_key = ?`, []any{f.EntityKind, f.EntityKey}
	if f.PersonID != "" {
		where, args = `person_id = ?`, []any{f.PersonID}
	}
	c, err := oldestWorked(tx, where, sample, args...)
	if c != nil || err != nil {
		return c, err
	}
	return oldestWorked(tx, `id IN (SELECT case_id FROM compliance_alerts WHERE subject = ? AND open = 1)`, sample, f.subject()) // his alerts were joined to another's
}

func oldestWorked(tx *store.Tx, where string, sample int64, args ...any) (*Case, error) {
	var r caseRow
	err := tx.Get(&r, selectCases+` WHERE `+where+` AND sample = ? AND state IN ('new', 'triaged', 'investigating', 'awaiting_info') ORDER BY id LIMIT 1`,
		append(args, sample)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("raise: %w", err)
	}
	return r.decode()
}

// weigh counts a finding into a case; a graver one than what was put to rest
// wakes it.
func (d *Desk) weigh(tx *store.Tx, c *Case, f Finding, joins bool) error {
	if joins {
		c.Alerts++
	}
	if f.Score > c.Score {
		c.Family, c.Rule, c.Score = f.Family, f.Rule, f.Score
	}
	if f.Severity > c.Severity {
		c.Severity = f.Severity
		if due := tx.Now.Add(serviceLevel[f.Severity]); due.Before(c.DueAt) {
			c.DueAt = due
		}
	}
	if f.Severity > c.SnoozeSeverity {
		c.SnoozedUntil = time.Time{}
	}
	c.ChangedAt, c.ChangedBy, c.ChangedName = tx.Now, "", ""
	return saveCase(tx, c)
}

// AlertsOf lists a case's alerts, weightiest first.
func (d *Desk) AlertsOf(ctx context.Context, caseID string) ([]Alert, error) {
	var list []Alert
	err := d.Store.Select(ctx, &list, selectAlerts+` WHERE case_id = ? ORDER BY score DESC, id`, caseID)
	if err != nil {
		return nil, fmt.Errorf("alerts of a case: %w", err)
	}
	return list, nil
}

// Alert loads one alert.
func (d *Desk) Alert(ctx context.Context, id string) (Alert, error) {
	var a Alert
	err := d.Store.Get(ctx, &a, selectAlerts+` WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return a, psd2.NotFound("alert")
	}
	return a, err
}

// HitsOf lists an alert's hits, newest first, with their inputs opened.
func (d *Desk) HitsOf(ctx context.Context, a Alert, limit int) ([]Hit, error) {
	var list []Hit
	err := d.Store.Select(ctx, &list, `SELECT id, alert_id, n, rule, rule_version, object_id, severity, score, at, sealed
		FROM compliance_hits WHERE alert_id = ? ORDER BY n DESC LIMIT ?`, a.ID, limit)
	if err != nil {
		return nil, fmt.Errorf("hits of an alert: %w", err)
	}
	for i := range list {
		inputs, err := d.unseal(d.get(ctx), a.Subject, "compliance_hits", list[i].ID, "sealed", list[i].Sealed)
		if err != nil && !errors.Is(err, store.ErrErased) {
			return nil, err
		}
		list[i].Inputs = inputs
	}
	return list, nil
}
