package hub

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

const (
	healthLease  = "health"
	healthTTL    = 30 * time.Second
	healthPause  = time.Second
	probeTimeout = 10 * time.Second
)

// HealthStep keeps up what is known of the banks: this process shares what it
// saw, and one process asks sick banks for a sign of life and tells merchants
// when a bank's availability turns.
func (h *Hub) HealthStep(ctx context.Context, now time.Time) (time.Time, error) {
	next := now.Add(healthPause)
	if _, err := h.banks.Step(ctx, now); err != nil {
		return next, err
	}
	fence, held, err := h.own(ctx, healthLease, healthTTL)
	if err != nil || !held {
		return next, err
	}
	if fence != h.toldFence {
		clear(h.told) // another process may have told them otherwise meanwhile
		h.toldFence = fence
	}
	h.banks.Probe(ctx, probeTimeout)
	return next, h.announceBanks(ctx)
}

// announceBanks tells merchants which banks have become available or
// unavailable since they were told last. A bank counts as back once it has
// answered, not when its pause is over.
func (h *Hub) announceBanks(ctx context.Context) error {
	for _, l := range h.banks.List() {
		down := int64(0)
		if !l.Available || l.Unanswered >= banks.TripAfter {
			down = 1
		}
		if told, known := h.told[l.ID]; known && told == down {
			continue
		}
		if err := h.announceBank(ctx, l, down); err != nil {
			return err
		}
		h.told[l.ID] = down
	}
	return nil
}

func (h *Hub) announceBank(ctx context.Context, l banks.Listing, down int64) error {
	reason := l.Reason
	if down == 0 {
		reason = ""
	}
	data, err := json.Marshal(map[string]any{"bank": bankView{l.ID, l.Name, down == 0, reason}})
	if err != nil {
		return err
	}
	merchants, err := h.store.Merchants(ctx)
	if err != nil {
		return err
	}
	return h.store.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.CheckFence(healthLease, h.toldFence); err != nil { // what we know may be old
			return err
		}
		name := "availability/" + l.ID
		before, err := tx.Cursor(name)
		if err != nil || before == down { // 0: as nobody was told otherwise
			return err
		}
		for _, m := range merchants {
			sum := sha256.Sum256([]byte(m.ID + "/" + l.ID))
			about := psd2.DeriveID(psd2.PrefixBank, [16]byte(sum[:16]))
			if _, err := tx.Announce(m.ID, about, psd2.EventBankAvailability, data); err != nil {
				return err
			}
		}
		return tx.SetCursor(name, down)
	})
}

// bankView is a bank as an event tells it.
type bankView struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Available bool   `json:"available"`
	Reason    string `json:"reason,omitempty"` // one of the banks.Reason constants
}

// BankHistory is how a bank did, for the pages that draw it.
func (h *Hub) BankHistory(id string) banks.History { return h.banks.History(id) }
