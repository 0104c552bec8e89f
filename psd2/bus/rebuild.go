package bus

import (
	"context"
	"fmt"

	"github.com/rialto-hub/rialto/psd2/store"
)

// Rebuild throws the stream away, whatever is left of it, and publishes word
// of every event behind a position anew, each acknowledged. A hub may run
// meanwhile: it publishes what is new, and its followers go by the journal. It
// returns how many were published.
func (b *Bus) Rebuild(ctx context.Context, db *store.DB, after int64, progress func(done, of int64)) (published int64, err error) {
	until, err := db.LastPosition(ctx)
	if err != nil {
		return 0, fmt.Errorf("rebuild: %w", err)
	}
	if err := b.renew(ctx); err != nil {
		return 0, fmt.Errorf("rebuild: %w", err)
	}
	for p := pace(relayBatch); after < until; {
		marks, err := db.MarksFrom(ctx, after, int(p))
		if err != nil || len(marks) == 0 {
			return published, err
		}
		done, err := jetStream{b}.Publish(ctx, marks)
		if err != nil && done <= after {
			return published, fmt.Errorf("rebuild: position %d: %w", after, err)
		}
		if err != nil { // they were too many for the disk
			p.missed()
		}
		for _, m := range marks {
			if m.Position <= done {
				published++
			}
		}
		after = done
		if progress != nil {
			progress(min(after, until), until)
		}
	}
	return published, nil
}
