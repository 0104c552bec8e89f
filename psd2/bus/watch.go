package bus

import (
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// watch is this process's one subscription to an object's events.
type watch struct {
	sub       *nats.Subscription
	listeners map[chan struct{}]struct{}
}

// Watch pings ch whenever something happened to the payment, until stop is
// called. ch holds one signal; read the payment again after each. A page that
// needs certainty also looks now and then by itself: word may be lost while
// NATS is away.
func (b *Bus) Watch(paymentID string) (ch <-chan struct{}, stop func()) {
	listener := make(chan struct{}, 1)
	if !isToken(paymentID) { // no id of ours: nothing ever happens to it
		return listener, func() {}
	}
	b.watchMu.Lock()
	defer b.watchMu.Unlock()
	w := b.watches[paymentID]
	if w == nil {
		w = &watch{listeners: map[chan struct{}]struct{}{}}
		sub, err := b.conn.Subscribe(eventsPrefix+"*.*."+paymentID, func(*nats.Msg) { b.ping(paymentID) })
		if err != nil {
			b.opt.Log.Warn("bus: cannot watch", "payment", paymentID, "cause", err.Error())
		}
		w.sub = sub
		b.watches[paymentID] = w
	}
	w.listeners[listener] = struct{}{}
	return listener, sync.OnceFunc(func() { b.unwatch(paymentID, listener) })
}

func (b *Bus) ping(paymentID string) {
	b.watchMu.Lock()
	defer b.watchMu.Unlock()
	w := b.watches[paymentID]
	if w == nil {
		return
	}
	for listener := range w.listeners {
		select {
		case listener <- struct{}{}:
		default:
		}
	}
}

func (b *Bus) unwatch(paymentID string, listener chan struct{}) {
	b.watchMu.Lock()
	defer b.watchMu.Unlock()
	w := b.watches[paymentID]
	delete(w.listeners, listener)
	if len(w.listeners) > 0 {
		return
	}
	delete(b.watches, paymentID)
	if w.sub != nil {
		_ = w.sub.Unsubscribe() // fails only when the connection is closed
	}
}

// Nudge tells the process that delivers to a webhook endpoint that there is
// something to deliver. It may be lost: that process also looks by itself.
func (b *Bus) Nudge(endpointID string) error {
	if !isToken(endpointID) {
		return errToken
	}
	return b.conn.Publish(deliveriesPrefix+endpointID, nil)
}

// Nudged calls fn with the endpoint of every Nudge of any process, until stop.
func (b *Bus) Nudged(fn func(endpointID string)) (stop func(), err error) {
	sub, err := b.conn.Subscribe(deliveriesPrefix+"*", func(m *nats.Msg) {
		fn(strings.TrimPrefix(m.Subject, deliveriesPrefix))
	})
	if err != nil {
		return nil, err
	}
	return func() { _ = sub.Unsubscribe() }, nil
}
