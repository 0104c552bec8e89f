package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	followPending = 4096 // messages a follower may have without acknowledging
	followRetry   = time.Second
)

// Follower is a durable consumer of EVENTS that knows one thing: how far the
// journal has got. Its owner reads the journal by position, commits, and says
// so with Ack. A message that is lost, doubled or out of order therefore does
// no harm, nor does a server that forgot everything.
type Follower struct {
	bus  *Bus
	name string
	wake chan struct{}

	mu      sync.Mutex
	consume jetstream.ConsumeContext
	again   time.Time
	seen    int64 // highest position told of
	dealt   int64 // highest position acknowledged by the owner
	hinted  bool  // the owner hears of news before we do
	last    []pending
}

// pending is the newest message of those that told of positions up to one.
type pending struct {
	position int64
	message  jetstream.Msg
}

// Wake receives when there may be something new. It holds one signal.
func (f *Follower) Wake() <-chan struct{} { return f.wake }

// Seen is the highest position the stream has told of.
func (f *Follower) Seen() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// Attach makes sure that messages come in, and is cheap when they do. Call it
// in every step; without it (or when it fails) the owner still has the journal.
func (f *Follower) Attach(ctx context.Context, now time.Time) error {
	f.mu.Lock()
	attached := f.consume != nil || now.Before(f.again)
	f.mu.Unlock()
	if attached {
		return nil
	}
	err := f.attach(ctx, now)
	if err == nil {
		return nil
	}
	f.mu.Lock()
	f.again = now.Add(followRetry)
	f.mu.Unlock()
	if err == ErrNotReady {
		return nil // was reported when it began
	}
	return fmt.Errorf("bus: follow %s: %w", f.name, err)
}

func (f *Follower) attach(ctx context.Context, now time.Time) error {
	if err := f.bus.ready(ctx, now); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	consumer, err := f.bus.js.CreateOrUpdateConsumer(ctx, eventsStream, jetstream.ConsumerConfig{
		Durable: f.name, AckPolicy: jetstream.AckAllPolicy, AckWait: 30 * time.Second, MaxAckPending: followPending,
		DeliverPolicy: jetstream.DeliverNewPolicy, // what was before is in the journal
	})
	if err != nil {
		f.bus.forget()
		return err
	}
	consume, err := consumer.Consume(f.receive, jetstream.PullMaxMessages(1024), jetstream.PullHeartbeat(5*time.Second), jetstream.PullExpiry(15*time.Second),
		jetstream.ConsumeErrHandler(func(c jetstream.ConsumeContext, err error) { f.detach(c, err) }))
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.consume, f.last = consume, nil
	f.mu.Unlock()
	f.ping()
	return nil
}

// detach gives a consumer up whose server or stream is gone; the next Attach
// makes it anew.
func (f *Follower) detach(c jetstream.ConsumeContext, err error) {
	c.Stop()
	f.bus.forget()
	f.bus.opt.Log.Warn("bus: consumer interrupted", "consumer", f.name, "cause", err.Error())
	f.mu.Lock()
	if f.consume == c {
		f.consume, f.last = nil, nil
	}
	f.mu.Unlock()
	f.ping()
}

func (f *Follower) receive(m jetstream.Msg) {
	var word struct {
		Position int64 `json:"position"`
	}
	if json.Unmarshal(m.Data(), &word) != nil || word.Position <= 0 {
		f.bus.metrics.poison.Inc() // not ours; acknowledged with the next that is
		return
	}
	f.mu.Lock()
	f.seen = max(f.seen, word.Position)
	news := word.Position > f.dealt
	// One entry per run of messages is enough: acknowledging the newest
	// acknowledges all before it.
	if n := len(f.last); n > 0 && (f.last[n-1].position >= word.Position || n == 64) {
		f.last[n-1] = pending{max(f.last[n-1].position, word.Position), m}
	} else {
		f.last = append(f.last, pending{word.Position, m})
	}
	f.mu.Unlock()
	if news { // else it is acknowledged with the next
		f.ping()
	}
}

// Hint wakes the owner at once. Whoever positions events calls it
// (store.DB.OnPositioned), so that the owner need not wait for NATS, nor for a
// relay that is waiting for NATS.
func (f *Follower) Hint() {
	f.mu.Lock()
	f.hinted = true
	f.mu.Unlock()
	f.ping()
}

// relayed is word from this process's relay, for an owner who has none earlier.
func (f *Follower) relayed() {
	f.mu.Lock()
	late := f.hinted
	f.mu.Unlock()
	if !late {
		f.ping()
	}
}

func (f *Follower) ping() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Ack says that everything up to position has been dealt with for good.
func (f *Follower) Ack(position int64) {
	f.mu.Lock()
	f.dealt = max(f.dealt, position)
	var newest jetstream.Msg
	for len(f.last) > 0 && f.last[0].position <= position {
		newest, f.last = f.last[0].message, f.last[1:]
	}
	f.mu.Unlock()
	if newest == nil {
		return
	}
	if err := newest.Ack(); err != nil {
		f.bus.opt.Log.Debug("bus: not acknowledged, will be told again", "consumer", f.name)
	}
}

// Close stops receiving. The durable consumer stays.
func (f *Follower) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.consume != nil {
		f.consume.Stop()
		f.consume, f.last = nil, nil
	}
}
