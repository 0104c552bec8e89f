package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	walkTTL   = 15 * time.Second
	walkBatch = 64
	walkIdle  = time.Second
)

// Walk goes through the journal in the order of its positions, for one who takes
// in what became of orders. Of all processes one walks: it holds the lease, and
// the transaction that takes a batch in swaps the cursor from where the batch
// began, so that a former owner takes nothing in twice and moves nothing back.
//
// What is damaged is set aside (see Aside): nobody else's events wait for it. It
// is tried again every minute, out of its turn, so Take must go by how things
// stand, or not care about the order.
type Walk[T any] struct {
	DB     *DB
	Name   string // of the lease and the cursor
	Holder string // names one life of one process in the lease
	Batch  int    // events of one transaction; 0: 64
	// Wants chooses events by their type; nil: all.
	Wants func(eventType string) bool
	// PerObject makes one look of all the events of an object in a batch.
	PerObject bool
	// Read loads what an event tells of, outside the transaction. ErrDamaged sets
	// it aside; ErrErased and not found mean that there is nothing to take in.
	Read func(ctx context.Context, m Mark) (T, error)
	// Take writes what was read. It may run more than once for one that counts.
	Take func(tx *Tx, v T) error

	again time.Time // when what was set aside is looked for
}

// found is what a walk has read of an event.
type found[T any] struct {
	mark    Mark
	value   T
	damaged bool
	nobody  bool // is concerned: there is nothing to take in
}

// Step takes in at most one batch. It wants to run again at once when there may
// be more.
func (w *Walk[T]) Step(ctx context.Context, now time.Time) (time.Time, error) {
	more, err := w.batch(ctx)
	if err == nil && !more && !now.Before(w.again) {
		w.again = now.Add(asideAgain)
		err = w.retry(ctx, now)
	}
	if err != nil {
		return now.Add(walkIdle), fmt.Errorf("%s: %w", w.Name, err)
	}
	if more {
		return now, nil
	}
	return now.Add(walkIdle), nil
}

func (w *Walk[T]) batch(ctx context.Context) (more bool, err error) {
	size := w.Batch
	if size == 0 {
		size = walkBatch
	}
	var from int64 // read outside a transaction: an idle system must not commit
	if err := w.DB.Get(ctx, &from, `SELECT COALESCE((SELECT value FROM cursors WHERE name = ?), 0)`, w.Name); err != nil {
		return false, err
	}
	marks, err := w.DB.MarksFrom(ctx, from, size)
	if err != nil || len(marks) == 0 {
		return false, err
	}
	list, held, err := w.read(ctx, w.chosen(marks))
	if err != nil || !held {
		return false, err
	}
	to := marks[len(marks)-1].Position
	err = w.write(ctx, list, func(tx *Tx) (bool, error) { return tx.SwapCursor(w.Name, from, to) })
	return len(marks) == size, err
}

// retry takes in what was set aside and opens now.
func (w *Walk[T]) retry(ctx context.Context, now time.Time) error {
	marks, err := w.DB.AsideOf(ctx, w.Name, now)
	if err != nil || len(marks) == 0 {
		return err
	}
	list, held, err := w.read(ctx, marks)
	if err != nil || !held {
		return err
	}
	for i := range list {
		one := list[i : i+1]
		err := w.write(ctx, one, func(tx *Tx) (bool, error) {
			if one[0].damaged {
				return true, nil
			}
			return tx.TakeBack(w.Name, one[0].mark)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// chosen are the marks to be looked at.
func (w *Walk[T]) chosen(marks []Mark) (list []Mark) {
	seen := map[string]bool{}
	for _, m := range marks {
		if w.Wants != nil && !w.Wants(m.Type) || w.PerObject && seen[m.ObjectID] {
			continue
		}
		seen[m.ObjectID] = true
		list = append(list, m)
	}
	return list
}

// read loads what the marks tell of, if this process walks.
func (w *Walk[T]) read(ctx context.Context, marks []Mark) (list []found[T], held bool, err error) {
	err = w.DB.Tx(ctx, func(tx *Tx) (err error) {
		_, held, err = tx.Lease(w.Name, w.Holder, walkTTL)
		return err
	})
	if err != nil || !held {
		return nil, false, err
	}
	for _, m := range marks {
		v, err := w.Read(ctx, m)
		nobody, damaged, err := Concerns(err)
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", m.ObjectID, err)
		}
		list = append(list, found[T]{m, v, damaged, nobody})
	}
	return list, true, nil
}

// write takes the list in, all or nothing, if this process still walks and claim
// says that nobody was faster. What turns out to be damaged only there is set
// aside as well.
func (w *Walk[T]) write(ctx context.Context, list []found[T], claim func(*Tx) (bool, error)) error {
	for {
		var bad *found[T]
		err := w.DB.Tx(ctx, func(tx *Tx) error {
			bad = nil
			// The lease locks its row until the commit: owners cannot overlap.
			if _, held, err := tx.Lease(w.Name, w.Holder, walkTTL); err != nil || !held {
				return err
			}
			if mine, err := claim(tx); err != nil || !mine {
				return err
			}
			for i := range list {
				f := &list[i]
				switch {
				case f.nobody:
				case f.damaged:
					if err := tx.SetAside(w.Name, f.mark); err != nil {
						return err
					}
				default:
					if err := w.Take(tx, f.value); err != nil {
						bad = f
						return fmt.Errorf("%s: %w", f.mark.ObjectID, err)
					}
				}
			}
			return nil
		})
		if bad == nil || !errors.Is(err, ErrDamaged) {
			return err
		}
		bad.damaged = true
	}
}
