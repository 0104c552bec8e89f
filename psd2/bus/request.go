package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// Request sends one message and waits for its one answer, until the context
// ends. Nothing of it is stored on the way. sent is false when the message
// certainly reached nobody: NATS is away, or nobody listens.
func (b *Bus) Request(ctx context.Context, subject string, payload []byte) (reply []byte, sent bool, err error) {
	if !b.conn.IsConnected() { // or it would wait in the client's buffer and arrive when nobody waits any more
		return nil, false, ErrNotReady
	}
	m, err := b.conn.RequestWithContext(ctx, subject, payload)
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrMaxPayload):
		return nil, false, fmt.Errorf("bus: %w", err)
	case err != nil:
		return nil, true, fmt.Errorf("bus: %w", err)
	}
	return m.Data, true, nil
}

// AdapterURL is where the embedded server takes adapters; empty when it takes
// none.
func (b *Bus) AdapterURL() string {
	if b.server == nil {
		return ""
	}
	return b.server.URL()
}
