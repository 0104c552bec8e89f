package webhooks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

const (
	fanoutName  = "webhooks.fanout" // of lease and cursor
	fanoutTTL   = 15 * time.Second
	fanoutBatch = 256
	fanoutIdle  = time.Second            // fallback when nobody wakes us
	fanoutLazy  = 200 * time.Millisecond // how long the cursor may lag over events nobody wants
)

// fanout turns events into deliveries, in order of position. Rows and cursor
// are written in one transaction by whoever holds the lease, so each event is
// fanned out exactly once, whatever NATS says.
type fanout struct {
	s        *Service
	follower Follower

	until   time.Time // we led at least until then; zero: never
	led     bool
	cursor  int64 // dealt with up to here
	stored  int64 // what the database knows of it
	dirtyAt time.Time
	blind   bool // deliveries may have been made that nobody has told this process of
	backlog backlog
}

// Step fans one batch out.
func (f *fanout) Step(ctx context.Context, now time.Time) (time.Time, error) {
	f.attach(ctx, now)
	if !now.Before(f.until) { // somebody else may have led meanwhile
		if err := f.look(ctx); err != nil {
			return now.Add(fanoutIdle), fmt.Errorf("webhooks: fan-out: %w", err)
		}
	}
	events, err := f.s.deps.Store.WantedFrom(ctx, f.cursor, fanoutBatch, func(eventType string) bool { return merchantEvents[eventType] })
	if err == nil {
		err = f.batch(ctx, now, events)
	}
	more := len(events) == fanoutBatch
	if err == nil && !more {
		more, err = f.catchUp(ctx, now)
	}
	if err != nil {
		f.until, f.stored = time.Time{}, -1 // begin afresh from what is stored
		f.s.dispatch.reread()               // it may have been committed all the same
		return now.Add(fanoutIdle), fmt.Errorf("webhooks: fan-out: %w", err)
	}
	f.follower.Ack(f.cursor)
	switch {
	case more && f.led:
		return now, nil
	case f.cursor > f.stored:
		return f.dirtyAt.Add(fanoutLazy), nil
	}
	return now.Add(fanoutIdle), nil
}

// look reads how far whoever leads has got.
func (f *fanout) look(ctx context.Context) error {
	var stored int64
	err := f.s.deps.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if stored, err = tx.Cursor(fanoutName); err != nil {
			return err
		}
		return f.backlog.load(tx)
	})
	if err == nil && stored != f.stored {
		f.stored, f.cursor, f.blind = stored, stored, true
	}
	return err
}

// attach lets NATS wake whoever leads; a process that does not lead would only
// take the messages from him.
func (f *fanout) attach(ctx context.Context, now time.Time) {
	if !f.led {
		f.follower.Close()
	} else if err := f.follower.Attach(ctx, now); err != nil {
		f.s.deps.Log.Warn("webhooks: working without NATS", "cause", err.Error())
	}
}

// batch writes the deliveries of some events and hands them on. A batch that
// nobody wants moves the cursor in memory first: it costs no commit.
func (f *fanout) batch(ctx context.Context, now time.Time, events []psd2.Event) error {
	cursor := f.cursor
	if len(events) > 0 {
		cursor = events[len(events)-1].Position
	}
	if cursor == f.stored {
		return nil
	}
	if lazy := f.cursor == f.stored || now.Sub(f.dirtyAt) < fanoutLazy; lazy && !slices.ContainsFunc(events, func(e psd2.Event) bool { return merchantEvents[e.Type] }) {
		f.moved(cursor, now)
		return nil
	}
	var jobs []*job
	var off map[string]span
	var complete, wrote, asked, held bool
	err := f.s.deps.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		complete, wrote, asked, held = true, false, false, true
		if err = f.s.refresh(tx); err != nil {
			return err
		}
		jobs, off = f.match(events, tx.Now)
		if len(jobs)+len(off) == 0 && (f.cursor == f.stored || now.Sub(f.dirtyAt) < fanoutLazy) {
			return nil
		}
		// The lease locks its row until the commit, and whoever led meanwhile
		// has moved the cursor: two cannot fan out the same batch.
		asked = true
		if _, held, err = tx.Lease(fanoutName, f.s.deps.Holder, fanoutTTL); err != nil || !held {
			return err
		}
		stored, err := tx.Cursor(fanoutName)
		if err == nil && stored != f.stored {
			err = psd2.Fail(psd2.CodeConflict, "lease_lost", "another process fans webhooks out")
		}
		if err != nil {
			return err
		}
		if err := f.backlog.put(tx, off); err != nil {
			return err
		}
		n, err := made.write(tx, jobs)
		complete, wrote = n == int64(len(jobs)), true
		return errors.Join(err, tx.SetCursor(fanoutName, cursor))
	})
	if asked {
		f.led = err == nil && held
	}
	switch {
	case err != nil:
		return err
	case !held:
		f.until = time.Time{}
		return nil
	case wrote:
		maps.Copy(f.backlog.spans, off)
		f.stored, f.until = cursor, now.Add(fanoutTTL)
	}
	f.moved(cursor, now)
	if wrote && f.blind { // what comes now must not overtake what was made meanwhile
		f.s.dispatch.reread()
		f.blind = false
	}
	f.s.dispatch.offer(jobs, complete)
	return nil
}

// moved moves the cursor in memory.
func (f *fanout) moved(cursor int64, now time.Time) {
	if f.cursor == f.stored {
		f.dirtyAt = now
	}
	f.cursor = cursor
}

// match finds who wants to be told of what, and what is put off.
func (f *fanout) match(events []psd2.Event, now time.Time) (jobs []*job, off map[string]span) {
	rows, off := map[string]int{}, map[string]span{}
	for _, e := range events {
		if !merchantEvents[e.Type] {
			continue
		}
		var content []byte
		for _, endpoint := range f.s.registry.of(e.MerchantID) {
			if !endpoint.hears(e.Type, e.ObjectID) {
				continue
			}
			if content == nil {
				if f.putOff(e, rows[e.MerchantID], off) {
					break
				}
				content = body(e)
			}
			rows[e.MerchantID]++
			at := now.UnixMicro()
			jobs = append(jobs, &job{body: content, happened: e.CreatedAt, row: deliveryRow{
				EndpointID: endpoint.ID, EventID: e.ID, ObjectID: e.ObjectID, Sequence: e.Sequence, Position: e.Position, Type: e.Type,
				State: string(DeliveryPending), NextAt: at, CreatedAt: at, UpdatedAt: at, Log: "[]",
			}})
		}
	}
	return jobs, off
}

// putOff notes an event whose deliveries are not made now: those of earlier ones
// of its merchant are not made either, or are his share of the batch.
func (f *fanout) putOff(e psd2.Event, rows int, off map[string]span) bool {
	rest, behind := off[e.MerchantID]
	if !behind {
		rest, behind = f.backlog.spans[e.MerchantID]
	}
	if !behind && rows < shareRows {
		return false
	}
	if !behind {
		rest.cursor = e.Position - 1
	}
	rest.until = e.Position
	off[e.MerchantID] = rest
	return true
}
