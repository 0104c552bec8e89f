package compliance

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Filter chooses cases of the queue. Empty fields choose all.
type Filter struct {
	Bucket   string // one of Buckets; "" is open
	State    State
	Family   string
	Severity int64
	Assignee string // officer's id; "-" is nobody
	Overdue  bool   // the service level's time is over
	Samples  bool   // only what was drawn from below the line
	Listed   bool   // only with an open hit on a list of people
	After    string // cursor of the page before
	Limit    int    // 1 to 200; 0 is 50
}

// Buckets lists the parts of the queue.
var Buckets = []string{BucketOpen, BucketSnoozed, BucketProposed, BucketFiled, BucketClosed}

// Queue lists cases in their order: risk and age, the first to be worked first.
// next is the cursor of the next page, "" on the last.
func (d *Desk) Queue(ctx context.Context, o Officer, f Filter) (list []*Case, next string, err error) {
	if err := o.must(Viewer, Analyst, MLRO, Admin); err != nil {
		return nil, "", err
	}
	if err := f.check(); err != nil {
		return nil, "", err
	}
	query, args := selectCases+` WHERE bucket = ?`, []any{f.Bucket}
	and := func(condition string, arg ...any) {
		query += " AND " + condition
		args = append(args, arg...)
	}
	if !o.Has(MLRO) {
		and("restricted = 0")
	}
	if f.State != "" {
		and("state = ?", string(f.State))
	}
	if f.Family != "" {
		and("family = ?", f.Family)
	}
	if f.Severity != 0 {
		and("severity = ?", f.Severity)
	}
	switch f.Assignee {
	case "":
	case "-":
		and("assignee = ''")
	default:
		and("assignee = ?", f.Assignee)
	}
	if f.Overdue {
		and("due_at < ?", d.Store.Now().UnixMicro())
	}
	if f.Samples {
		and("sample = 1")
	}
	if f.Listed {
		and("id IN (SELECT case_id FROM compliance_alerts WHERE open = 1 AND family IN (?, ?))", ListFamilies[0], ListFamilies[1])
	}
	if f.After != "" {
		rank, id, err := f.cursor()
		if err != nil {
			return nil, "", err
		}
		and("(rank > ? OR rank = ? AND id > ?)", rank, rank, id)
	}
	if f.Limit == 0 {
		f.Limit = 50
	}
	limit := min(max(f.Limit, 1), 200)
	var rows []caseRow
	if err := d.Store.Select(ctx, &rows, query+` ORDER BY rank, id LIMIT ?`, append(args, limit+1)...); err != nil {
		return nil, "", fmt.Errorf("queue: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		last := rows[limit-1]
		next = strconv.FormatInt(last.Rank, 36) + "." + last.ID
	}
	for i := range rows {
		c, err := rows[i].decode()
		if err != nil {
			return nil, "", err
		}
		list = append(list, c)
	}
	return list, next, nil
}

func (f *Filter) check() error {
	if f.Bucket == "" {
		f.Bucket = BucketOpen
	}
	if !slices.Contains(Buckets, f.Bucket) || f.State != "" && !slices.Contains(States, f.State) {
		return psd2.NotFound("queue")
	}
	return nil
}

// cursor reads After: the last case's rank and id.
func (f *Filter) cursor() (rank int64, id string, err error) {
	text, id, ok := strings.Cut(f.After, ".")
	rank, err = strconv.ParseInt(text, 36, 64)
	if !ok || err != nil || !psd2.IsID(PrefixCase, id) {
		return 0, "", psd2.NotFound("queue")
	}
	return rank, id, nil
}

// CountLimit is up to which number the queue counts.
const CountLimit = 1000

// Counts says how many cases each bucket holds, up to CountLimit.
func (d *Desk) Counts(ctx context.Context, o Officer) (map[string]int, error) {
	counts := map[string]int{}
	hidden := ` AND restricted = 0`
	if o.Has(MLRO) {
		hidden = ``
	}
	for _, b := range Buckets[:4] { // what is closed only grows
		var n int
		err := d.Store.Get(ctx, &n, `SELECT COUNT(*) FROM (SELECT 1 FROM compliance_cases WHERE bucket = ?`+hidden+` LIMIT ?) AS c`, b, CountLimit)
		if err != nil {
			return nil, fmt.Errorf("queue: %w", err)
		}
		counts[b] = n
	}
	return counts, nil
}

// View is a filter that an officer has given a name.
type View struct {
	Name  string `db:"name"`
	Query string `db:"query"` // of the queue's URL
}

// maxViews bounds what one officer keeps.
const maxViews = 20

// Views lists an officer's own.
func (d *Desk) Views(ctx context.Context, o Officer) ([]View, error) {
	var list []View
	err := d.Store.Select(ctx, &list, `SELECT name, query FROM compliance_views WHERE officer = ? ORDER BY name`, o.ID)
	if err != nil {
		return nil, fmt.Errorf("views: %w", err)
	}
	return list, nil
}

// SaveView keeps a filter under a name; an empty query removes it.
func (d *Desk) SaveView(ctx context.Context, o Officer, v View) error {
	if err := o.must(Viewer, Analyst, MLRO, Admin); err != nil {
		return err
	}
	if v.Name == "" || len(v.Name) > 60 || len(v.Query) > 400 {
		return psd2.Invalid("name", "view_invalid", "a view needs a name of at most 60 characters")
	}
	return d.tx(ctx, func(tx *store.Tx) error {
		if v.Query == "" {
			_, err := tx.Exec(`DELETE FROM compliance_views WHERE officer = ? AND name = ?`, o.ID, v.Name)
			return err
		}
		var n int
		if err := tx.Get(&n, `SELECT COUNT(*) FROM compliance_views WHERE officer = ? AND name <> ?`, o.ID, v.Name); err != nil {
			return err
		}
		if n >= maxViews {
			return psd2.Invalid("name", "too_many_views", "you have 20 views; remove one first")
		}
		_, err := tx.Exec(`INSERT INTO compliance_views (officer, name, query) VALUES (?, ?, ?) ON CONFLICT (officer, name) DO UPDATE SET query = excluded.query`,
			o.ID, v.Name, v.Query)
		return err
	})
}

// Similar is an ended case that had to do with the same families of rules.
type Similar struct {
	ID       string `db:"id"`
	Family   string `db:"family"`
	Rule     string `db:"rule"`
	Score    int64  `db:"score"`
	Outcome  string `db:"outcome"`
	Reason   string `db:"reason"`
	ClosedAt int64  `db:"closed_at"`
	Same     int64  `db:"same"` // 1: the same person or entity
}

// Closed is when it ended.
func (s Similar) Closed() time.Time { return at(s.ClosedAt) }

// Similar lists ended cases like this one: the same person or entity first,
// then the same family with the nearest score.
func (d *Desk) Similar(ctx context.Context, o Officer, c *Case, limit int) ([]Similar, error) {
	hidden := ` AND restricted = 0`
	if o.Has(MLRO) {
		hidden = ``
	}
	var list []Similar
	err := d.Store.Select(ctx, &list, `SELECT id, family, rule, score, outcome, reason, closed_at,
		CASE WHEN subject = ? THEN 1 ELSE 0 END AS same FROM compliance_cases
		WHERE bucket = 'closed' AND joined_to = '' AND id <> ? AND (family = ? OR subject = ?)`+hidden+` ORDER BY same DESC, ABS(score - ?), closed_at DESC LIMIT ?`,
		c.Subject, c.ID, c.Family, c.Subject, c.Score, limit)
	if err != nil {
		return nil, fmt.Errorf("similar cases: %w", err)
	}
	return list, nil
}

// RuleStat is how a rule does, from the outcomes of the alerts it made.
type RuleStat struct {
	Rule          string `db:"rule"`
	Version       string `db:"version"` // the newest that fired
	Alerts        int64  `db:"alerts"`
	Open          int64  `db:"open"`
	FalsePositive int64  `db:"false_positive"`
	NoSuspicion   int64  `db:"no_suspicion"`
	SAR           int64  `db:"sar"`
	Samples       int64  `db:"samples"`     // drawn from below the line and decided
	SamplesHit    int64  `db:"samples_hit"` // of these, those that were no false positive
	LastAt        int64  `db:"last_at"`
}

// Last is when it fired last.
func (s RuleStat) Last() time.Time { return at(s.LastAt) }

// Decided is how many of its alerts have an outcome.
func (s RuleStat) Decided() int64 { return s.FalsePositive + s.NoSuspicion + s.SAR }

// Precision is the share of decided alerts that were worth an officer's time:
// all but the false positives. ok is false while nothing was decided.
func (s RuleStat) Precision() (share float64, ok bool) {
	if s.Decided() == 0 {
		return 0, false
	}
	return float64(s.NoSuspicion+s.SAR) / float64(s.Decided()), true
}

// RuleStats says how each rule did since a time. Outcomes of reports are
// counted for reporting officers only; for others they are open.
func (d *Desk) RuleStats(ctx context.Context, o Officer, since time.Time) ([]RuleStat, error) {
	if err := o.must(Viewer, Analyst, MLRO, Admin); err != nil {
		return nil, err
	}
	var list []RuleStat
	err := d.Store.Select(ctx, &list, `SELECT rule, MAX(rule_version) AS version, SUM(1 - sample) AS alerts,
		SUM(CASE WHEN sample = 0 AND outcome = '' THEN 1 ELSE 0 END) AS open,
		SUM(CASE WHEN sample = 0 AND outcome = 'false_positive' THEN 1 ELSE 0 END) AS false_positive,
		SUM(CASE WHEN sample = 0 AND outcome = 'no_suspicion' THEN 1 ELSE 0 END) AS no_suspicion,
		SUM(CASE WHEN sample = 0 AND outcome = 'sar' THEN 1 ELSE 0 END) AS sar,
		SUM(CASE WHEN sample = 1 AND outcome <> '' THEN 1 ELSE 0 END) AS samples,
		SUM(CASE WHEN sample = 1 AND outcome IN ('no_suspicion', 'sar') THEN 1 ELSE 0 END) AS samples_hit,
		MAX(last_at) AS last_at
		FROM (SELECT rule, MAX(rule_version) AS rule_version, alert_id, sample, outcome, MAX(at) AS last_at
			FROM compliance_hits JOIN compliance_alerts ON compliance_alerts.id = compliance_hits.alert_id
			WHERE last_at >= ? GROUP BY rule, alert_id, sample, outcome) AS by_alert
		GROUP BY rule ORDER BY rule`, since.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("rule statistics: %w", err)
	}
	if !o.Has(MLRO) {
		for i := range list {
			list[i].Open, list[i].SAR = list[i].Open+list[i].SAR, 0
		}
	}
	return list, nil
}
