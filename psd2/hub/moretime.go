package hub

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// extensions is how often a payer can have his whole time again: ten times, as
// WCAG 2.2.1 asks for. There has to be an end: the merchant holds his player's
// place meanwhile.
const extensions = 10

// latest is the end of a payment's time that no extension passes. What must not
// happen twice in a payment's life is remembered until then.
func (h *Hub) latest(p *psd2.Payment) time.Time {
	if end := p.CreatedAt.Add((1 + extensions) * h.cfg.ExpireAfter); end.After(p.ExpiresAt) {
		return end
	}
	return p.ExpiresAt
}

// MayHaveMoreTime reports whether MoreTime would give the payer more.
func (h *Hub) MayHaveMoreTime(p *psd2.Payment, now time.Time) bool {
	return p.MayHaveMoreTime(now) && p.ExpiresAt.Before(h.latest(p))
}

// MoreTime gives the payer his whole time again, from now, because he asked. He
// may ask while his time is running, as often as he likes, up to eleven times
// the time in all; what he asks for beyond that changes nothing. It is a
// conflict when his time is over, or is his bank's.
func (h *Hub) MoreTime(ctx context.Context, paymentID string) (*psd2.Payment, error) {
	p, err := h.store.UpdatePayment(ctx, paymentID, func(p *psd2.Payment) error {
		now := h.store.Now()
		until := now.Add(h.cfg.ExpireAfter)
		if end := h.latest(p); until.After(end) {
			until = end
		}
		return p.MoreTime(until, now)
	})
	return p, err
}
