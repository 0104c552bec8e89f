package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

const (
	sweepLease   = "sweep"
	sweepTTL     = time.Minute
	sweepPause   = 10 * time.Second
	overdueAfter = 5 * time.Minute // longer than any call of ours, and than any lease of a dead process

	stepInBatch   = 8 // overdue orders that are looked at in one turn
	handOverAfter = 3 // failures in a row that are no hiccup
)

// own makes this process the one that does a job, if no other is. The lease of
// a process that died ends by itself. What an owner writes who was slow and has
// been replaced meanwhile does no harm: payments and transfers are changed by
// compare-and-swap, statements and inboxes by their place, and what neither
// guards checks the fence in the transaction that writes.
func (h *Hub) own(ctx context.Context, job string, ttl time.Duration) (fence int64, held bool, err error) {
	err = h.store.Tx(ctx, func(tx *store.Tx) (err error) {
		fence, held, err = tx.Lease(job, h.holder, ttl)
		return err
	})
	mine := 0.0
	if held && err == nil {
		mine = 1
	}
	h.metrics.owned.WithLabelValues(job).Set(mine)
	return fence, held, err
}

// SweepStep mends what was left lying. One process does it:
//   - orders that were due five minutes ago and that nobody has looked at (their
//     owner hangs, or has lost its loop) are looked at here;
//   - Idempotency-Keys whose request died are released;
//   - what is too old to matter is deleted;
//   - what failed when it was looked at, here or by its owner, is handed to the
//     operators (Stuck), and taken back once it goes through again.
func (h *Hub) SweepStep(ctx context.Context, now time.Time) (time.Time, error) {
	idle := now.Add(sweepPause)
	_, held, err := h.own(ctx, sweepLease, sweepTTL)
	if err != nil || !held {
		h.overdue(store.Stuck{}, 0, 0, 0) // the owner says
		h.keysUntil = time.Time{}
		return idle, err
	}
	stuck, err := h.store.Stuck(ctx, now.Add(-overdueAfter))
	if err != nil {
		return idle, err
	}
	handed, err := h.recovered(ctx, now)
	keys, kerr := h.releaseKeys(ctx, now.Add(-overdueAfter))
	err = errors.Join(err, kerr)
	aside, aerr := h.store.CountAside(ctx)
	err = errors.Join(err, aerr)
	h.overdue(stuck, keys, handed, aside)
	if err == nil && stuck.Payments > 0 {
		err = h.stepIn(ctx, now, h.store.Due, h.lookIn, h.store.Postpone)
	}
	if err == nil && stuck.Transfers > 0 {
		err = h.stepIn(ctx, now, h.store.DueTransfers, h.carryIn, h.store.PostponeTransfer)
	}
	next, serr := h.store.Sweep(ctx, now)
	if err = errors.Join(err, serr); err != nil || next.After(idle) {
		next = idle // overdue work is looked for more often than there is something to delete
	}
	return next, err
}

// releaseKeys looks at each key once while this process sweeps.
func (h *Hub) releaseKeys(ctx context.Context, until time.Time) (n int64, err error) {
	if n, err = h.store.ReleaseOrphans(ctx, h.keysUntil, until); err == nil {
		h.keysUntil = until
	}
	return n, err
}

func (h *Hub) overdue(s store.Stuck, keys, handed, aside int64) {
	for kind, n := range map[string]int64{"payments": s.Payments, "transfers": s.Transfers, "idempotency_keys": keys, "handed_over": handed, "set_aside": aside} {
		h.metrics.overdue.WithLabelValues(kind).Set(float64(n))
	}
}

// stepIn does the longest overdue work in its owner's place. Both may be at it:
// an order changes by compare-and-swap, and is sent by whoever commits its intent.
func (h *Hub) stepIn(ctx context.Context, now time.Time, due func(context.Context, time.Time, int) ([]string, time.Time, error),
	work func(context.Context, string) error, postpone func(context.Context, string, time.Time) error) error {
	ids, _, err := due(ctx, now.Add(-overdueAfter), stepInBatch)
	if err != nil {
		return err
	}
	h.log.Warn("work is overdue; it is done by who sweeps", "orders", len(ids), "first", ids[:min(1, len(ids))])
	return h.oneByOne(ctx, ids, work, postpone)
}

// Stuck is an order that cannot be looked at: its row cannot be read, or there is
// nobody to ask; or one that somebody who goes through the journal has set aside.
// It is tried again every minute, and a person should see why.
type Stuck struct {
	ObjectID string // pay_…, ref_… or pot_…
	Since    time.Time
	LastAt   time.Time
	Tries    int64
	Cause    string // what the last try failed with; nothing personal
}

type stuckRow struct {
	ObjectID string `db:"object_id"`
	Since    int64  `db:"since"`
	LastAt   int64  `db:"last_at"`
	Tries    int64  `db:"tries"`
	Cause    string `db:"cause"`
}

// Stuck lists what was handed to the operators, the longest stuck first, and then
// what was set aside.
func (h *Hub) Stuck(ctx context.Context, limit int) ([]Stuck, error) {
	var rows []stuckRow
	err := h.store.Select(ctx, &rows, `SELECT object_id, since, last_at, tries, cause FROM stuck_work WHERE tries >= ? ORDER BY since LIMIT ?`, handOverAfter, limit)
	if err != nil {
		return nil, fmt.Errorf("list stuck work: %w", err)
	}
	out := make([]Stuck, len(rows))
	for i, r := range rows {
		out[i] = Stuck{ObjectID: r.ObjectID, Since: time.UnixMicro(r.Since).UTC(), LastAt: time.UnixMicro(r.LastAt).UTC(), Tries: r.Tries, Cause: r.Cause}
	}
	asides, err := h.store.Asides(ctx, limit-len(out))
	for _, a := range asides {
		out = append(out, Stuck{ObjectID: a.ObjectID, Since: a.Since, LastAt: a.LastAt, Tries: a.Tries, Cause: a.Walk + ": its row is damaged"})
	}
	return out, err
}

// handOver notes that an order could not be looked at.
func (h *Hub) handOver(ctx context.Context, id string, cause error) error {
	return h.store.Tx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		at, words := tx.Now.UnixMicro(), cause.Error()
		words = strings.ToValidUTF8(strings.ReplaceAll(words[:min(len(words), 300)], "\x00", "?"), "?") // PostgreSQL takes no other text
		_, err := tx.Exec(`INSERT INTO stuck_work (object_id, since, last_at, tries, cause) VALUES (?, ?, ?, 1, ?)
			ON CONFLICT (object_id) DO UPDATE SET last_at = excluded.last_at, tries = stuck_work.tries + 1, cause = excluded.cause`, id, at, at, words)
		return err
	})
}

// recovered forgets what has not failed for longer than any two tries lie apart,
// and counts what is left.
func (h *Hub) recovered(ctx context.Context, now time.Time) (left int64, err error) {
	if err := h.store.Get(ctx, &left, `SELECT COUNT(*) FROM stuck_work`); err != nil || left == 0 { // an idle system must not write
		return 0, err
	}
	err = h.store.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM stuck_work WHERE last_at < ?`, now.Add(-overdueAfter).UnixMicro()); err != nil {
			return err
		}
		return tx.Get(&left, `SELECT COUNT(*) FROM stuck_work WHERE tries >= ?`, handOverAfter)
	})
	return left, err
}
