package webhooks

import (
	"context"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

const (
	shardCount = 32
	shardTTL   = 30 * time.Second
	shardRenew = 10 * time.Second
)

// shardOf is which share of the endpoints one belongs to.
func shardOf(endpointID string) int {
	h := fnv.New32a()
	h.Write([]byte(endpointID))
	return int(h.Sum32() % shardCount)
}

// shards shares the endpoints out among processes. Each process keeps its even
// part under lease and sends only while a lease of its own clock runs. The epoch
// is this process's life: one that was replaced under the same name keeps
// nothing.
type shards struct {
	s       *Service
	epoch   string
	renewAt time.Time
	begun   bool

	mu    sync.Mutex
	until [shardCount]time.Time // zero: not ours
}

func (h *shards) init(s *Service) {
	h.s = s
	h.epoch = psd2.NewUUID(s.deps.Now(), s.deps.Random)
}

func (h *shards) owns(shard int, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return now.Before(h.until[shard])
}

// lapse gives up what was not renewed in time. It reports whether there was
// any.
func (h *shards) lapse(now time.Time) (any bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for shard, until := range h.until {
		if !until.IsZero() && !now.Before(until) {
			h.until[shard], any = time.Time{}, true
		}
	}
	return any
}

// keep renews what we own, takes what is free and our part, and gives back
// what is too much. It reports whether anything may have changed.
func (h *shards) keep(ctx context.Context, now time.Time) (changed bool, err error) {
	if now.Before(h.renewAt) {
		return false, nil
	}
	var mine []int
	err = h.s.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		mine = nil
		return h.lease(tx, &mine)
	})
	if err != nil {
		return false, err
	}
	h.begun, h.renewAt = true, now.Add(shardRenew)
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.until
	h.until = [shardCount]time.Time{}
	for _, shard := range mine {
		h.until[shard] = now.Add(shardTTL)
	}
	for shard, until := range h.until {
		changed = changed || until.IsZero() != before[shard].IsZero()
	}
	return changed, nil
}

func (h *shards) lease(tx *store.Tx, mine *[]int) error {
	now, until := tx.Now.UnixMicro(), tx.Now.Add(shardTTL).UnixMicro()
	holder := h.s.deps.Holder
	steps := []struct {
		query string
		args  []any
	}{
		{`INSERT INTO webhook_workers (epoch, holder, seen_at) VALUES (?, ?, ?) ON CONFLICT (epoch) DO UPDATE SET seen_at = excluded.seen_at`,
			[]any{h.epoch, holder, now}},
		{`DELETE FROM webhook_workers WHERE seen_at < ? OR (holder = ? AND epoch <> ?)`, []any{tx.Now.Add(-shardTTL).UnixMicro(), holder, h.epoch}},
		{`UPDATE webhook_shards SET until = ? WHERE epoch = ?`, []any{until, h.epoch}},
	}
	if !h.begun {
		// What a former life of this process held is ours at once.
		steps = append(steps, struct {
			query string
			args  []any
		}{`UPDATE webhook_shards SET epoch = ?, until = ? WHERE holder = ?`, []any{h.epoch, until, holder}})
		if err := createShards(tx); err != nil {
			return err
		}
	}
	for _, step := range steps {
		if _, err := tx.Exec(step.query, step.args...); err != nil {
			return err
		}
	}
	var count struct {
		Workers int `db:"workers"`
		Mine    int `db:"mine"`
	}
	err := tx.Get(&count, `SELECT (SELECT COUNT(DISTINCT holder) FROM webhook_workers) AS workers,
		(SELECT COUNT(*) FROM webhook_shards WHERE epoch = ?) AS mine`, h.epoch)
	if err != nil {
		return err
	}
	part := (shardCount + count.Workers - 1) / count.Workers
	switch {
	case count.Mine < part:
		_, err = tx.Exec(`UPDATE webhook_shards SET holder = ?, epoch = ?, until = ? WHERE until <= ? AND shard IN (
			SELECT shard FROM webhook_shards WHERE until <= ? ORDER BY shard LIMIT ?)`, holder, h.epoch, until, now, now, part-count.Mine)
	case count.Mine > part:
		// Given back when it lapses, not at once: deliveries are under way. Our
		// own clock stops us before the next owner begins.
		_, err = tx.Exec(`UPDATE webhook_shards SET holder = '', epoch = '', until = ? WHERE epoch = ? AND shard IN (
			SELECT shard FROM webhook_shards WHERE epoch = ? ORDER BY shard DESC LIMIT ?)`,
			tx.Now.Add(h.s.config.Timeout+time.Second).UnixMicro(), h.epoch, h.epoch, count.Mine-part)
	}
	if err != nil {
		return err
	}
	return tx.Select(mine, `SELECT shard FROM webhook_shards WHERE epoch = ?`, h.epoch)
}

func createShards(tx *store.Tx) error {
	args := make([]any, 0, shardCount)
	for i := range shardCount {
		args = append(args, i)
	}
	_, err := tx.Exec(`INSERT INTO webhook_shards (shard, holder, epoch, until) VALUES `+
		strings.TrimSuffix(strings.Repeat(`(?, '', '', 0),`, shardCount), ",")+` ON CONFLICT (shard) DO NOTHING`, args...)
	return err
}

// release gives everything up, at the end of this process.
func (h *shards) release(ctx context.Context) error {
	h.mu.Lock()
	h.until = [shardCount]time.Time{}
	h.mu.Unlock()
	return h.s.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE webhook_shards SET holder = '', epoch = '', until = 0 WHERE epoch = ?`, h.epoch); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM webhook_workers WHERE epoch = ?`, h.epoch)
		return err
	})
}
