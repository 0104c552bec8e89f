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
