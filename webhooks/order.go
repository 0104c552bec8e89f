package webhooks

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The order of a payment's events. In memory a lane holds it. In the database
// most deliveries are due when they were created, one after the other by one
// process under a lease, and so come in order by themselves. The few that are
// not have an index of their own (migration 0013): those that have failed, that
// were put off, resent, replayed or repaired. Whoever reads what is due looks
// there for what belongs before it.

// outOfTurn is that index's condition, of a row e.
const outOfTurn = `(e.attempts > 0 OR e.next_at > e.created_at)`

// retrySlack is how far the second try may lie behind the first; see heldUntil.
var retrySlack = schedule[1] * 6 / 5

// pendingQuery reads an endpoint's deliveries with what holds them back: until
// when an earlier one of the payment waits, and when such a one failed that has
// not been tried more than twice. dueQuery reads those that are due.
const pendingQuery = `SELECT ` + deliveryColumns + `,
	(SELECT MAX(e.next_at + 0) ` + earlier + `) AS behind,
	(SELECT MAX(e.updated_at) ` + earlier + ` AND e.step BETWEEN 1 AND 2) AS failed_at, asked
	FROM webhook_deliveries d WHERE d.endpoint_id = ? AND d.state = 'pending'`

const dueQuery = pendingQuery + ` AND d.next_at <= ?`

const earlier = `FROM webhook_deliveries e WHERE e.endpoint_id = d.endpoint_id AND e.object_id = d.object_id
	AND e.sequence < d.sequence AND e.state = 'pending' AND ` + outOfTurn + ` AND e.next_at + 0 > ?` // + 0: not by the index of next_at, which goes through all that waits

type dueRow struct {
	deliveryRow
	Behind   sql.NullInt64 `db:"behind"`
	FailedAt sql.NullInt64 `db:"failed_at"`
}

// clockSkew is how far a delivery may seem to lie in the future that is due all
// the same, since nobody has tried it or put it off: it was made after this look
// at the database was planned, or by a process whose clock is ahead. Left to its
// time, it would be overtaken by what is handed on within this process.
const clockSkew = time.Minute

// fresh reports whether a delivery has neither been tried nor put off.
func (r *dueRow) fresh() bool { return r.Attempts == 0 && r.NextAt == r.CreatedAt }

// heldUntil is when a due delivery may go that stands behind another: with the
// other's next try, at the latest maxWait after it was made or, when the other
// failed later than that (as after a pause), maxWait after that failure. Zero:
// nothing holds it.
func (r *dueRow) heldUntil() int64 {
	if !r.Behind.Valid {
		return 0
	}
	latest := r.CreatedAt + maxWait.Microseconds()
	if r.FailedAt.Valid { // perhaps the second time, and the wait began with the first
		latest = max(latest, r.FailedAt.Int64+(maxWait-retrySlack).Microseconds())
	}
	return min(r.Behind.Int64, latest)
}

// earlierOnce is how many payments one statement asks about.
const earlierOnce = 64

// earlierQuery reads the due ones of some payments that came out of their turn.
var earlierQuery = pendingQuery + ` AND d.next_at + 0 <= ? AND (d.attempts > 0 OR d.next_at > d.created_at)
	AND d.object_id IN (?` + strings.Repeat(`,?`, earlierOnce-1) + `)`

// withEarlier adds to a part of what is due those that belong before it and
// are due as well, although later.
func (d *dispatch) withEarlier(ctx context.Context, endpointID string, rows []dueRow, us int64) ([]dueRow, error) {
	have, last := make(map[string]bool, len(rows)), map[string]int64{}
	var objects []string
	for _, r := range rows {
		have[r.EventID] = true
		if _, seen := last[r.ObjectID]; !seen {
			objects = append(objects, r.ObjectID)
		}
		last[r.ObjectID] = max(last[r.ObjectID], r.Sequence)
	}
	for part := range slices.Chunk(objects, earlierOnce) {
		args := make([]any, 0, 4+earlierOnce)
		args = append(args, us, us, endpointID, us)
		for i := range earlierOnce { // one statement for all; the last payment fills it up
			args = append(args, part[min(i, len(part)-1)])
		}
		var more []dueRow
		if err := d.s.deps.Store.Select(ctx, &more, earlierQuery, args...); err != nil {
			return nil, fmt.Errorf("read due deliveries: %w", err)
		}
		for _, r := range more {
			if !have[r.EventID] && r.Sequence < last[r.ObjectID] {
				rows = append(rows, r)
			}
		}
	}
	return rows, nil
}
