package hub

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Connected reports whether a payee account can be paid from and is read.
func (h *Hub) Connected(accountID string) bool { return h.channels[accountID] != nil }

// missingBefore is when an order must have been executed to count as missing.
func (h *Hub) missingBefore() time.Time { return h.store.Now().Add(-h.cfg.MissingAfter) }

// Books says where a payee account stands.
func (h *Hub) Books(ctx context.Context, accountID string) (*psd2.Books, error) {
	return h.store.Books(ctx, accountID, h.missingBefore())
}

// Settlements compares days of a payee account with what was initiated,
// newest first. Days are written YYYY-MM-DD and both included.
func (h *Hub) Settlements(ctx context.Context, accountID, from, to string) ([]psd2.Settlement, error) {
	return h.store.Settlements(ctx, accountID, from, to, h.missingBefore())
}

// Missing lists orders that were executed and are on no statement, oldest
// first.
func (h *Hub) Missing(ctx context.Context, accountID string, limit int) ([]psd2.ExpectedEntry, error) {
	return h.store.Missing(ctx, accountID, h.missingBefore(), limit)
}
