package sim

import (
	"context"
	"errors"
	"time"

	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/store"
)

var errStream = errors.New("sim: not acknowledged")

// stream is NATS as the hub sees it: it takes word of events, tells the
// followers, and may lose all it has. TestStreamBehavesLikeNATS holds it against
// the real one.
type stream struct {
	world  *world
	chance chance
	faulty bool
	away   time.Time // it does not answer until then

	kept  map[int64]bool // positions on its disk
	acked map[int64]bool // positions it ever acknowledged, whatever became of its disk
	lines []*line        // of live processes
	lost  int            // how often its disk was lost

	plantLie func() bool // acknowledge what is not stored; for a planted fault
}

// line is one process's connection. It is a bus.Transport, a webhooks.Bus and a
// webhooks.Follower.
type line struct {
	stream *stream
	of     *process
	wake   chan struct{}
	seen   int64
	told   func(endpointID string)
}

func (s *stream) connect(p *process) *line {
	l := &line{stream: s, of: p, wake: make(chan struct{}, 1)}
	s.lines = append(s.lines, l)
	return l
}

func (s *stream) disconnect(p *process) {
	for i, l := range s.lines {
		if l.of == p {
			s.lines = append(s.lines[:i:i], s.lines[i+1:]...)
			return
		}
	}
}

func (s *stream) up() bool { return !s.world.now.Before(s.away) }

// loseDisk forgets everything.
func (s *stream) loseDisk() {
	s.kept, s.lost = map[int64]bool{}, s.lost+1
}

// Ready implements bus.Transport.
func (l *line) Ready(context.Context, time.Time) error {
	if !l.stream.up() {
		return bus.ErrNotReady
	}
	return nil
}

// Hint implements bus.Transport and webhooks.Follower.
func (l *line) Hint() { signal(l.wake) }

// Forget implements bus.Transport.
func (l *line) Forget() {}

// Publish implements bus.Transport.
func (l *line) Publish(_ context.Context, marks []store.Mark) (done int64, err error) {
	s, w := l.stream, l.stream.world
	w.port(l.of, "publishing")
	for _, m := range marks {
		if s.chance.in(8) {
			w.await(s.chance.between(0, 20*time.Millisecond))
		}
		if s.plantLie != nil && s.plantLie() {
			done = m.Position
			continue
		}
		switch {
		case !s.up():
			return done, errStream
		case s.faulty && w.chaos && s.chance.in(60): // it never arrived
			w.say("stream: position %d is lost on the way", m.Position)
			return done, errStream
		}
		s.store(m.Position)
		if s.faulty && w.chaos && s.chance.in(60) { // its acknowledgement did not arrive
			w.say("stream: the acknowledgement of %d is lost", m.Position)
			return done, errStream
		}
		done = m.Position
	}
	return done, nil
}

func (s *stream) store(position int64) {
	s.kept[position], s.acked[position] = true, true
	s.world.activity++
	for _, l := range s.lines {
		times := 1
		if s.faulty && s.world.chaos {
			times = oneOf(s.chance, 0, 1, 1, 2)
		}
		for range times {
			s.world.after(s.chance.between(time.Millisecond, 50*time.Millisecond), func() {
				if !l.of.dead {
					l.seen = max(l.seen, position)
					signal(l.wake)
				}
			})
		}
	}
}

// Attach implements webhooks.Follower.
func (l *line) Attach(context.Context, time.Time) error {
	if !l.stream.up() {
		return errStream
	}
	return nil
}

// Wake implements webhooks.Follower.
func (l *line) Wake() <-chan struct{} { return l.wake }

// Seen is the highest position that was told of.
func (l *line) Seen() int64 { return l.seen }

// Ack implements webhooks.Follower.
func (l *line) Ack(int64) {}

// Close implements webhooks.Follower.
func (l *line) Close() {}

// Nudge implements webhooks.Bus.
func (l *line) Nudge(endpointID string) error {
	s := l.stream
	if !s.up() {
		return errStream
	}
	for _, other := range s.lines {
		if s.faulty && s.world.chaos && s.chance.in(5) {
			continue
		}
		s.world.after(s.chance.between(time.Millisecond, 10*time.Millisecond), func() {
			if !other.of.dead && other.told != nil {
				other.told(endpointID)
			}
		})
	}
	return nil
}

// Nudged implements webhooks.Bus.
func (l *line) Nudged(do func(endpointID string)) (stop func(), err error) {
	l.told = do
	return func() { l.told = nil }, nil
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
