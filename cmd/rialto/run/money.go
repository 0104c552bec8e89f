package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/sctinst"
	"github.com/rialto-hub/rialto/banks/vop"
)

// openChannels connects merchants' own accounts and the verification of
// payees, as far as they are configured.
func (h *Hub) openChannels(context.Context) error {
	deps := banks.Deps{Now: time.Now, Log: h.log}
	var wrong []error
	h.channels = map[string]banks.Channel{}
	for _, c := range h.cfg.Channels {
		channel, err := sctinst.New(c.AccountID, c.Config, deps)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("channel %s: %w", c.AccountID, err))
			continue
		}
		h.channels[c.AccountID] = channel
	}
	if c := h.cfg.PayeeVerification; c != nil {
		client, err := vop.New(*c, deps)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("payee verification: %w", err))
		} else {
			h.vop = client
		}
	}
	return errors.Join(wrong...)
}

// verifyEvery is how often merchants' accounts without evidence are looked for.
const verifyEvery = time.Minute

// verifyAccounts has the bank of each payee account asked whose it is, once:
// what payers are shown of the payee is ours to answer for (Reg. 260/2012 Art.
// 5c(2)).
func (h *Hub) verifyAccounts(ctx context.Context, now time.Time) (time.Time, error) {
	next := now.Add(verifyEvery)
	if h.vop == nil {
		return next, nil
	}
	merchants, err := h.Store.Merchants(ctx)
	if err != nil {
		return next, err
	}
	for _, m := range merchants {
		if _, err := h.hub.VerifyAccounts(ctx, m); err != nil {
			return next, fmt.Errorf("merchant %s: %w", m.ID, err)
		}
	}
	return next, nil
}
