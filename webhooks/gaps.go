package webhooks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

const (
	gapsName  = "webhooks.gaps"       // of lease and cursor
	gapsFloor = "webhooks.gaps.floor" // positions up to here are older than what is kept
	gapsDue   = "webhooks.gaps.due"   // when everything is compared once more, in microseconds; 0: not yet said
	gapsTTL   = time.Minute
	gapsBatch = 500
	gapsIdle  = 15 * time.Second
	gapsPause = 20 * time.Millisecond // between batches, or gapsShare times what one took: it is in no hurry
	gapsShare = 20
	gapsAgain = 24 * time.Hour // after which everything is compared once more
	pairsOnce = 64
)

// gaps compares the journal with the deliveries and makes the ones that are
// missing. There are none as long as the fan-out's transaction does what it
// says; a table restored from somewhere, a row deleted by hand or a fault of
// ours would be found here. Every event that was fanned out is compared soon
// after, and all that are kept once a day.
type gaps struct {
	s    *Service
	next time.Time
}

// Step compares one batch.
func (g *gaps) Step(ctx context.Context, now time.Time) (time.Time, error) {
	if now.Before(g.next) {
		return g.next, nil
	}
	more, err := g.batch(ctx, now)
	took := g.s.deps.Now().Sub(now)
	switch {
	case err != nil:
		g.next = now.Add(gapsIdle)
		return g.next, fmt.Errorf("webhooks: gaps: %w", err)
	case more:
		g.next = now.Add(max(gapsPause, gapsShare*took))
	default:
		g.next = now.Add(gapsIdle)
	}
	return g.next, nil
}

// extent is how far the comparison has got, and how far it can go.
type extent struct {
	cursor, floor, fanned int64
	due                   int64 // when it begins anew
}

func (g *gaps) batch(ctx context.Context, now time.Time) (more bool, err error) {
	db := g.s.deps.Store
	var at extent
	err = db.Tx(ctx, func(tx *store.Tx) (err error) {
		for name, to := range map[string]*int64{gapsName: &at.cursor, gapsFloor: &at.floor, gapsDue: &at.due, fanoutName: &at.fanned} {
			if *to, err = tx.Cursor(name); err != nil {
				return err
			}
		}
		var off sql.NullInt64 // what was put off is no gap yet
		if err = tx.Get(&off, `SELECT MIN(cursor) FROM webhook_backlog`); err != nil {
			return err
		}
		if off.Valid {
			at.fanned = min(at.fanned, off.Int64)
		}
		return g.s.refresh(tx)
	})
	if err != nil {
		return false, err
	}
	from, due := at.cursor, at.due
	if now.UnixMicro() >= due { // in the database: a process that lives for less than a day does it too
		if due > 0 {
			from = at.floor
		}
		due = now.Add(gapsAgain).UnixMicro()
	}
	if from >= at.fanned {
		return false, nil
	}
	places, err := db.PlacesFrom(ctx, "", from, at.fanned, gapsBatch)
	if err != nil {
		return false, err
	}
	until, floor := at.fanned, at.floor
	if len(places) == gapsBatch {
		until = places[gapsBatch-1].Position
	}
	kept := now.Add(-g.s.config.Keep)
	for i := range places {
		if places[i].CreatedAt().Before(kept) {
			floor = max(floor, places[i].Position)
		}
	}
	missing, err := g.missing(ctx, g.expected(places, kept, now))
	if err != nil {
		return false, err
	}
	return len(places) == gapsBatch, g.repair(ctx, at.cursor, extent{cursor: until, floor: floor, due: due}, missing)
}

// expected are the deliveries that must exist: the endpoint wants the event,
// and has wanted it since before it happened.
func (g *gaps) expected(places []store.Place, kept, now time.Time) (jobs []*job) {
	for i := range places {
		p := &places[i]
		if p.CreatedAt().Before(kept) {
			continue
		}
		for _, e := range g.s.registry.of(p.MerchantID) {
			if e.hears(p.Type, p.ObjectID) && p.CreatedAt().After(e.wantsSince) {
				jobs = append(jobs, &job{row: newRow(e.ID, p, now)})
			}
		}
	}
	return jobs
}

const pairs = `SELECT endpoint_id, event_id FROM webhook_deliveries WHERE (endpoint_id, event_id) IN (VALUES `

var pairsQuery = pairs + strings.Repeat(`(?,?),`, pairsOnce-1) + `(?,?))`

// missing leaves what is not in the database.
func (g *gaps) missing(ctx context.Context, jobs []*job) (out []*job, err error) {
	type pair struct {
		EndpointID string `db:"endpoint_id"`
		EventID    string `db:"event_id"`
	}
	for len(jobs) > 0 {
		part := jobs[:min(len(jobs), pairsOnce)]
		jobs = jobs[len(part):]
		args := make([]any, 0, 2*pairsOnce)
		for i := range pairsOnce { // one statement for all; the last pair fills it up
			row := &part[min(i, len(part)-1)].row
			args = append(args, row.EndpointID, row.EventID)
		}
		var there []pair
		if err := g.s.deps.Store.Select(ctx, &there, pairsQuery, args...); err != nil {
			return nil, err
		}
		have := make(map[pair]bool, len(there))
		for _, p := range there {
			have[p] = true
		}
		for _, j := range part {
			if !have[pair{j.row.EndpointID, j.row.EventID}] {
				out = append(out, j)
			}
		}
	}
	return out, nil
}

// repair writes what is missing and how far the comparison has got; whoever
// has moved the cursor meanwhile has done the same.
func (g *gaps) repair(ctx context.Context, was int64, got extent, missing []*job) error {
	var repaired int64
	err := g.s.deps.Store.Tx(ctx, func(tx *store.Tx) error {
		_, held, err := tx.Lease(gapsName, g.s.deps.Holder, gapsTTL)
		if err != nil || !held {
			return err
		}
		now, err := tx.Cursor(gapsName)
		if err != nil || now != was {
			return err
		}
		if repaired, err = made.write(tx, missing); err != nil {
			return err
		}
		return errors.Join(tx.SetCursor(gapsFloor, got.floor), tx.SetCursor(gapsDue, got.due), tx.SetCursor(gapsName, got.cursor))
	})
	if err != nil || repaired == 0 {
		return err
	}
	g.s.metrics.gaps.Add(float64(repaired))
	g.s.deps.Log.Error("webhooks: deliveries were missing and are made now", "deliveries", repaired, "first_event", missing[0].row.EventID)
	told := map[string]bool{}
	for _, j := range missing {
		if !told[j.row.EndpointID] {
			told[j.row.EndpointID] = true
			g.s.Changed(j.row.EndpointID)
		}
	}
	return nil
}
