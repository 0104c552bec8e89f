package webhooks

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Deliveries of one merchant that the fan-out makes at once: in a batch of
// everybody's events, and of what it has put off.
const shareRows = 1024

// backlog is what the fan-out has put off. One merchant's events at fifty
// endpoints are the work of fifty merchants, and the journal is one line: beyond
// his share of a batch only the range of his events is noted, in the same
// transaction, and their deliveries are made when there is nothing else to fan
// out. Until that is done his later events join the range, so that he is told in
// order.
type backlog struct {
	spans map[string]span // by merchant
	turn  string          // who came last
}

// span is a range of the journal: behind cursor, up to until.
type span struct{ cursor, until int64 }

func (b *backlog) load(tx *store.Tx) error {
	var rows []struct {
		MerchantID string `db:"merchant_id"`
		Cursor     int64  `db:"cursor"`
		Until      int64  `db:"until_position"`
	}
	if err := tx.Select(&rows, `SELECT merchant_id, cursor, until_position FROM webhook_backlog`); err != nil {
		return err
	}
	b.spans = make(map[string]span, len(rows))
	for _, r := range rows {
		b.spans[r.MerchantID] = span{r.Cursor, r.Until}
	}
	return nil
}

// put writes ranges that are new or longer than before.
func (b *backlog) put(tx *store.Tx, spans map[string]span) error {
	for _, merchant := range slices.Sorted(maps.Keys(spans)) {
		_, err := tx.Exec(`INSERT INTO webhook_backlog (merchant_id, cursor, until_position) VALUES (?, ?, ?)
			ON CONFLICT (merchant_id) DO UPDATE SET until_position = excluded.until_position`, merchant, spans[merchant].cursor, spans[merchant].until)
		if err != nil {
			return err
		}
	}
	return nil
}

// moved writes how far a merchant's range has been dealt with. Its end is one
// only while nobody has lengthened it.
func (b *backlog) moved(tx *store.Tx, merchant string, was, is span) error {
	query, args := `UPDATE webhook_backlog SET cursor = ? WHERE merchant_id = ? AND cursor = ?`, []any{is.cursor, merchant, was.cursor}
	if is.cursor >= is.until {
		query, args = `DELETE FROM webhook_backlog WHERE merchant_id = ? AND cursor = ? AND until_position = ?`, []any{merchant, was.cursor, was.until}
	}
	n, err := tx.Exec(query, args...)
	if err == nil && n == 0 {
		err = psd2.Fail(psd2.CodeConflict, "lease_lost", "another process fans webhooks out")
	}
	return err
}

// next is whose turn it is; "" when nothing was put off.
func (b *backlog) next() string {
	merchants := slices.Sorted(maps.Keys(b.spans))
	if len(merchants) == 0 {
		return ""
	}
	i, found := slices.BinarySearch(merchants, b.turn)
	if found {
		i++
	}
	return merchants[i%len(merchants)]
}

// catchUp makes some of the deliveries that were put off, and says whether
// there are more.
func (f *fanout) catchUp(ctx context.Context, now time.Time) (more bool, err error) {
	b := &f.backlog
	merchant := b.next()
	if merchant == "" {
		return false, nil
	}
	was := b.spans[merchant]
	limit := max(shareRows/max(len(f.s.registry.of(merchant)), 1), 1)
	places, err := f.s.deps.Store.PlacesFrom(ctx, merchant, was.cursor, was.until, limit)
	if err != nil {
		return false, err
	}
	is := span{was.until, was.until}
	if len(places) == limit {
		is.cursor = places[limit-1].Position
	}
	var held bool
	var told map[string]bool
	err = f.s.deps.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if err = f.s.refresh(tx); err != nil {
			return err
		}
		if _, held, err = tx.Lease(fanoutName, f.s.deps.Holder, fanoutTTL); err != nil || !held {
			return err
		}
		var jobs []*job
		jobs, told = f.late(merchant, places, tx.Now)
		if _, err = made.write(tx, jobs); err != nil {
			return err
		}
		return b.moved(tx, merchant, was, is)
	})
	f.led = err == nil && held
	if !f.led {
		f.until = time.Time{}
		return false, err
	}
	f.until, b.turn = now.Add(fanoutTTL), merchant
	if b.spans[merchant] = is; is.cursor >= is.until {
		delete(b.spans, merchant)
	}
	for _, id := range slices.Sorted(maps.Keys(told)) {
		f.s.Changed(id) // its rows are read from the database
	}
	return len(b.spans) > 0, nil
}

// late are the deliveries of events that were put off. What an endpoint wants
// may have changed since: it gets rather more than it wanted then than less, but
// nothing from before it was registered.
func (f *fanout) late(merchant string, places []store.Place, now time.Time) (jobs []*job, told map[string]bool) {
	told = map[string]bool{}
	for i := range places {
		p := &places[i]
		for _, e := range f.s.registry.of(merchant) {
			if e.hears(p.Type, p.ObjectID) && !p.CreatedAt().Before(e.CreatedAt) {
				jobs, told[e.ID] = append(jobs, &job{row: newRow(e.ID, p, now)}), true
			}
		}
	}
	return jobs, told
}
