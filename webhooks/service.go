package webhooks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
	// Slots are how many deliveries one endpoint may have under way (default 16),
	// Bytes about how many bytes of them may be in memory (default 2 MiB).
	Slots int `yaml:"slots"`
	Bytes int `yaml:"bytes"`
	// Proxy is a forward proxy, http:// or https://[user:password@]host:port,
	// that every delivery goes through. Empty: none; the environment's is not used.
	Proxy string `yaml:"proxy"`
	// ClientCertFile and ClientKeyFile (PEM) are shown to endpoints that ask
	// for a certificate.
	ClientCertFile string `yaml:"client_cert_file"`
	ClientKeyFile  string `yaml:"client_key_file"`
	// Keep is how long what became of an event is kept (default 90 days); the
	// event itself stays in the journal.
	Keep time.Duration `yaml:"keep"`
	// Mail sends notices about endpoints to people.
	Mail Mail `yaml:"mail"`
}

// Deps are the parts webhooks are built on.
type Deps struct {
	Store    *store.DB
	Bus      Bus
	Follower Follower     // of the bus, by a name of its own
	Keys     *jose.KeySet // signs Rialto-Signature
	Holder   string       // names this process in leases; the same after its restart
	Now      func() time.Time
	Random   io.Reader
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: not measured
	Roots    *x509.CertPool        // whom endpoints' certificates must come from; nil: the system's
	Resolver Resolver              // nil: the system's
	Notifier Notifier              // nil: Config.Mail, or nobody
	// Transport carries the requests to endpoints; nil: our own, which checks
	// every address it dials. Go runs a sender beside its caller; nil: a
	// goroutine. A simulator gives both.
	Transport http.RoundTripper
	Go        func(func())
}

// Bus tells other processes that an endpoint has changed; *bus.Bus does.
type Bus interface {
	Nudge(endpointID string) error
	Nudged(do func(endpointID string)) (stop func(), err error)
}

// Follower says that there is news in the journal; *bus.Follower does. What it
// does not say is found a little later.
type Follower interface {
	// Attach makes sure that word comes in; it is called in every step.
	Attach(ctx context.Context, now time.Time) error
	// Wake receives when there may be something new.
	Wake() <-chan struct{}
	// Hint makes Wake receive; it neither blocks nor fails. The store calls it as
	// soon as events have their position.
	Hint()
	// Ack says that everything up to a position has been dealt with for good.
	Ack(position int64)
	Close()
}

// Service registers endpoints and delivers to them.
type Service struct {
	config    Config
	deps      Deps
	guard     *guard
	registry  registry
	metrics   *metrics
	fanout    *fanout
	dispatch  *dispatch
	record    *record
	replays   *replays
	gaps      gaps
	notices   notices
	retention retention
	unnudge   func()
	close     sync.Once

	certificate *clientCertificate // nil: none
}

// New builds the service. It does nothing until its workers are driven.
func New(c Config, d Deps) (*Service, error) {
	if d.Store == nil || d.Bus == nil || d.Follower == nil || d.Keys == nil || d.Now == nil || d.Random == nil || d.Holder == "" {
		return nil, errors.New("webhooks: store, bus, follower, keys, clock, randomness and holder are required")
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Go == nil {
		d.Go = func(f func()) { go f() }
	}
	if c.Timeout == 0 {
		c.Timeout = 15 * time.Second
	}
	if c.Slots == 0 {
		c.Slots = 16
	}
	if c.Bytes == 0 {
		c.Bytes = 2 << 20
	}
	if c.Keep == 0 {
		c.Keep = 90 * 24 * time.Hour
	}
	if err := c.Mail.check(); err != nil {
		return nil, err
	}
	if d.Notifier == nil && len(c.Mail.Command) > 0 {
		d.Notifier = c.Mail
	}
	g, err := newGuard(c.Sandbox, c.Ports, c.Allow, d.Resolver)
	if err != nil {
		return nil, err
	}
	s := &Service{config: c, deps: d, guard: g}
	if s.certificate, err = newClientCertificate(c.ClientCertFile, c.ClientKeyFile); err != nil {
		return nil, err
	}
	if c.Proxy != "" {
		if g.proxy, err = newProxy(c.Proxy, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: d.Roots}); err != nil {
			return nil, err
		}
	}
	s.gaps.s, s.notices.s, s.retention.s = s, s, s
	s.replays = &replays{s: s, wake: make(chan struct{}, 1)}
	s.fanout = &fanout{s: s, follower: d.Follower, led: true}
	s.record = &record{s: s, wake: make(chan struct{}, 1)}
	s.dispatch = newDispatch(s)
	s.metrics = newMetrics(d.Metrics, s.dispatch)
	if s.unnudge, err = d.Bus.Nudged(s.dispatch.nudge); err != nil {
		return nil, err
	}
	d.Store.OnPositioned(d.Follower.Hint)
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
	list := []Worker{
		{"webhooks.fanout", s.fanout.Step, s.fanout.follower.Wake()},
		{"webhooks.dispatch", s.dispatch.Step, s.dispatch.wake},
		{"webhooks.record", s.record.Step, s.record.wake},
		{"webhooks.replays", s.replays.Step, s.replays.wake},
		{"webhooks.gaps", s.gaps.Step, nil},
		{"webhooks.retention", s.retention.Step, nil},
	}
	if s.deps.Notifier != nil {
		list = append(list, Worker{"webhooks.notices", s.notices.Step, nil})
	}
	return list
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
