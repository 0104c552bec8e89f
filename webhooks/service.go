package webhooks

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Config is what an operator may set. The zero value is the safe one.
type Config struct {
	// Sandbox allows endpoints on loopback, there with http and any port.
	Sandbox bool `yaml:"sandbox"`
	// Ports that endpoints may have (default 443).
	Ports []int `yaml:"ports"`
	// Allow are networks (CIDR) that endpoints may be in although they are
	// not public.
	Allow []string `yaml:"allow"`
	// Timeout of one delivery (default 15 s).
	Timeout time.Duration `yaml:"timeout"`
	// Slots are how many deliveries one endpoint may have under way (default 16).
	Slots int `yaml:"slots"`
}

// Deps are the parts webhooks are built on.
type Deps struct {
	Store    *store.DB
	Bus      *bus.Bus
	Keys     *jose.KeySet // signs Rialto-Signature
	Holder   string       // names this process in leases; the same after its restart
	Now      func() time.Time
	Random   io.Reader
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: not measured
	Roots    *x509.CertPool        // whom endpoints' certificates must come from; nil: the system's
	Resolver Resolver              // nil: the system's
}

// Service registers endpoints and delivers to them.
type Service struct {
	config   Config
	deps     Deps
	guard    *guard
	registry registry
	metrics  *metrics
	fanout   *fanout
	dispatch *dispatch
	record   *record
	unnudge  func()
	close    sync.Once
}

// New builds the service. It does nothing until its workers are driven.
func New(c Config, d Deps) (*Service, error) {
	if d.Store == nil || d.Bus == nil || d.Keys == nil || d.Now == nil || d.Random == nil || d.Holder == "" {
		return nil, errors.New("webhooks: store, bus, keys, clock, randomness and holder are required")
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if c.Timeout == 0 {
		c.Timeout = 15 * time.Second
	}
	if c.Slots == 0 {
		c.Slots = 16
	}
	g, err := newGuard(c.Sandbox, c.Ports, c.Allow, d.Resolver)
	if err != nil {
		return nil, err
	}
	s := &Service{config: c, deps: d, guard: g}
	s.fanout = &fanout{s: s, follower: d.Bus.Follow("webhooks"), led: true}
	s.record = &record{s: s, wake: make(chan struct{}, 1)}
	s.dispatch = newDispatch(s)
	s.metrics = newMetrics(d.Metrics, s.dispatch)
	if s.unnudge, err = d.Bus.Nudged(s.dispatch.nudge); err != nil {
		return nil, err
	}
	return s, nil
}

// Worker is a piece of background work: a loop calls Step with the time, and
// again at the time it returns or when Wake receives, whichever is first. A
// Step does a bounded piece of work and is called by one goroutine at a time.
type Worker struct {
	Name string
	Step func(ctx context.Context, now time.Time) (next time.Time, err error)
	Wake <-chan struct{}
}

// Workers are the service's background work.
func (s *Service) Workers() []Worker {
	return []Worker{
		{"webhooks.fanout", s.fanout.Step, s.fanout.follower.Wake()},
		{"webhooks.dispatch", s.dispatch.Step, s.dispatch.wake},
		{"webhooks.record", s.record.Step, s.record.wake},
	}
}

// Close stops sending, waits for the deliveries under way (until ctx ends),
// records their outcomes and gives this process's endpoints up, so that
// another goes on at once. Stop driving the workers first.
func (s *Service) Close(ctx context.Context) error {
	var err error
	s.close.Do(func() {
		s.unnudge()
		s.fanout.follower.Close()
		s.dispatch.stop(ctx)
		err = errors.Join(s.record.flush(ctx), s.dispatch.shards.release(ctx))
	})
	return err
}

// Changed tells every process that an endpoint is not what it was, or has
// something new to be delivered. Without it they find out some seconds later.
func (s *Service) Changed(endpointID string) {
	s.dispatch.nudge(endpointID)
	if err := s.deps.Bus.Nudge(endpointID); err != nil {
		s.deps.Log.Debug("webhooks: other processes are not told, they will see", "endpoint", endpointID)
	}
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
