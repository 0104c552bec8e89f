package bus

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rialto-hub/rialto/psd2/store"
)

// jetStream is the Transport that NATS is.
type jetStream struct{ bus *Bus }

// Ready implements Transport.
func (j jetStream) Ready(ctx context.Context, now time.Time) error { return j.bus.ready(ctx, now) }

// Hint implements Transport.
func (j jetStream) Hint() { j.bus.hint() }

// Forget implements Transport.
func (j jetStream) Forget() { j.bus.forget() }

// Publish implements Transport.
func (j jetStream) Publish(ctx context.Context, marks []store.Mark) (done int64, err error) {
	futures := make([]jetstream.PubAckFuture, len(marks))
	for i, m := range marks {
		subject, err := eventSubject(m)
		if err != nil {
			// Cannot be sent without letting an id choose the subject; who goes
			// by the journal still gets it.
			j.bus.opt.Log.Error("bus: event not published: its ids cannot be subject tokens", "position", m.Position)
			j.bus.metrics.refused.Inc()
			continue
		}
		msg := &nats.Msg{Subject: subject, Data: encode(m), Header: nats.Header{jetstream.MsgIDHeader: {m.ID}}}
		if futures[i], err = j.bus.js.PublishMsgAsync(msg); err != nil {
			done, _ = j.await(ctx, marks[:i], futures[:i]) // the first error is the one that counts
			return done, fmt.Errorf("publish: %w", err)
		}
	}
	return j.await(ctx, marks, futures)
}

func (j jetStream) await(ctx context.Context, marks []store.Mark, futures []jetstream.PubAckFuture) (done int64, err error) {
	for i, f := range futures {
		if f != nil {
			select {
			case <-f.Ok():
				j.bus.metrics.published.Inc()
			case err := <-f.Err():
				return done, fmt.Errorf("not acknowledged: %w", err)
			case <-ctx.Done():
				return done, ctx.Err()
			}
		}
		done = marks[i].Position
	}
	return done, nil
}

// encode writes {"id","type","merchant","object","position"}: ids only. They
// are tokens, so nothing in them needs escaping.
func encode(m store.Mark) []byte {
	b := make([]byte, 0, 224)
	b = append(b, `{"id":"`...)
	b = append(b, m.ID...)
	b = append(b, `","type":"`...)
	b = append(b, m.Type...)
	b = append(b, `","merchant":"`...)
	b = append(b, m.MerchantID...)
	b = append(b, `","object":"`...)
	b = append(b, m.ObjectID...)
	b = append(b, `","position":`...)
	b = strconv.AppendInt(b, m.Position, 10)
	return append(b, '}')
}
