package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/psd2/store"
)

// Config says where NATS is. The zero value with a Dir is the embedded server.
type Config struct {
	// URL of a NATS server or cluster, comma separated. Empty: embedded.
	URL string `yaml:"url"`
	// Dir holds the embedded server's files.
	Dir string `yaml:"dir"`
	// Listen is host:port on which the embedded server takes the adapters of
	// banks/remote; empty: none. Each has a name and a password of its own.
	Listen   string        `yaml:"listen"`
	Adapters []AdapterUser `yaml:"adapters"`
	// CredentialsFile and CAFile are for an external server.
	CredentialsFile string `yaml:"credentials_file"`
	CAFile          string `yaml:"ca_file"`
	// KeepFor is how long word of an event stays in the stream (default 72 h),
	// KeepBytes how much of it (default 256 MiB). The journal keeps it anyway.
	KeepFor   time.Duration `yaml:"keep_for"`
	KeepBytes int64         `yaml:"keep_bytes"`
	// Replicas of the stream; 0: three in a cluster, else one.
	Replicas int `yaml:"replicas"`
}

// AdapterUser lets an adapter in that serves a bank from another process.
type AdapterUser struct {
	Bank         string `yaml:"bank"`          // its id in the registry; also the user name
	PasswordFile string `yaml:"password_file"` // at least 16 characters
}

// Options are what a Bus is given rather than configured with.
type Options struct {
	Now     func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: not measured
}

const (
	publishTimeout = 5 * time.Second // of one message's acknowledgement
	setupTimeout   = 5 * time.Second
	pingTimeout    = 2 * time.Second
	duplicates     = 2 * time.Minute // window of JetStream's own deduplication
)

// Bus is a connection to NATS. It reconnects by itself for ever; while NATS is
// away the hub works on, and what happened meanwhile is relayed later.
type Bus struct {
	config  Config
	opt     Options
	server  *Server // nil: external
	conn    *nats.Conn
	js      jetstream.JetStream
	metrics *metrics

	setupMu sync.Mutex
	streams bool        // they exist, as far as we know
	seen    bool        // they did when we last looked
	suspect atomic.Bool // the embedded server may have lost what it acknowledged; see mend
	again   time.Time
	backoff time.Duration

	watchMu   sync.Mutex
	watches   map[string]*watch
	followers []*Follower
}

// Open starts the embedded server, or begins to connect to the external one;
// it does not wait for the latter.
func Open(ctx context.Context, c Config, o Options) (*Bus, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if c.KeepFor == 0 {
		c.KeepFor = 72 * time.Hour
	}
	if c.KeepBytes == 0 {
		c.KeepBytes = 256 << 20
	}
	b := &Bus{config: c, opt: o, metrics: newMetrics(o.Metrics), watches: map[string]*watch{}}
	options := []nats.Option{
		nats.Name("rialto"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.DisconnectErrHandler(b.lost),
		nats.ReconnectHandler(func(*nats.Conn) { b.opt.Log.Info("bus: connected again") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.opt.Log.Warn("bus: " + err.Error()) }),
	}
	if c.URL == "" {
		embedded, err := c.embedded()
		if err != nil {
			return nil, err
		}
		embedded.damaged = b.metrics.damaged
		if b.server, err = StartServer(embedded, o.Log); err != nil {
			return nil, err
		}
		b.suspect.Store(true)
		options = append(options, nats.InProcessServer(b.server), nats.UserInfo(hubUser, embedded.HubPassword))
	}
	if c.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(c.CredentialsFile))
	}
	if c.CAFile != "" {
		options = append(options, nats.RootCAs(c.CAFile))
	}
	err := b.connect(ctx, options)
	if err != nil && b.conn != nil && b.server != nil && ctx.Err() == nil && !errors.Is(err, errUnsafe) {
		b.conn.Close()
		if err = b.server.anew(err); err == nil {
			b.backoff, b.again = 0, time.Time{}
			err = b.connect(ctx, options)
		}
	}
	if err != nil {
		b.Close()
		if _, parsed := errors.AsType[*url.Error](err); parsed {
			return nil, errors.New("bus: nats.url is not a list of NATS URLs") // the cause quotes it, with its password
		}
		return nil, fmt.Errorf("bus: connect: %w", err)
	}
	return b, nil
}

// connect makes the connection, and the stream where a server answers.
func (b *Bus) connect(ctx context.Context, options []nats.Option) (err error) {
	if b.conn, err = nats.Connect(b.config.URL, options...); err != nil {
		return err
	}
	b.js, err = jetstream.New(b.conn, jetstream.WithPublishAsyncMaxPending(2*relayBatch), jetstream.WithPublishAsyncTimeout(publishTimeout))
	if err != nil || b.server == nil && !b.conn.IsConnected() {
		return err
	}
	// What an external server does not have yet is made later; what it must not
	// have stops the start.
	if err = b.ready(ctx, b.opt.Now()); b.server == nil && !errors.Is(err, errUnsafe) {
		return nil
	}
	return err
}

// embedded is the server this process runs.
func (c Config) embedded() (ServerConfig, error) {
	s := ServerConfig{Dir: c.Dir, Listen: c.Listen}
	if len(c.Adapters) == 0 {
		s.Listen = "" // nobody may connect, so nobody can
		return s, nil
	}
	for _, a := range c.Adapters {
		raw, err := os.ReadFile(a.PasswordFile)
		if err != nil {
			return s, fmt.Errorf("bus: adapter %s: %w", a.Bank, err)
		}
		password := strings.TrimSpace(string(raw))
		if len(password) < 16 || !isToken(a.Bank) || a.Bank == hubUser {
			return s, fmt.Errorf("bus: adapter %s: the password needs 16 characters, the name must be a bank's id", a.Bank)
		}
		s.Adapters = append(s.Adapters, Adapter{Bank: a.Bank, Password: password})
	}
	s.HubPassword = rand.Text()
	return s, nil
}

// Close ends the connection and the embedded server.
func (b *Bus) Close() {
	if b.conn != nil {
		b.conn.Close()
	}
	if b.server != nil {
		b.server.Close()
	}
}

// Ping reports whether NATS answers.
func (b *Bus) Ping(ctx context.Context) error {
	if !b.conn.IsConnected() {
		return errors.New("bus: not connected")
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return b.conn.FlushWithContext(ctx)
}

// lost hears of it in a goroutine of the connection's: b has another one, or
// none, when the server was mended at the start.
func (b *Bus) lost(conn *nats.Conn, err error) {
	if conn.IsClosed() { // by us
		return
	}
	b.forget()
	b.opt.Log.Warn("bus: connection lost", "cause", fmt.Sprint(err))
}

// forget makes the next step look whether the streams still exist: a server
// may come back with an empty disk.
func (b *Bus) forget() {
	b.setupMu.Lock()
	defer b.setupMu.Unlock()
	b.streams = false
}

// ready makes sure that the stream exists as it must be. After a failure it
// answers at once until a growing pause is over.
func (b *Bus) ready(ctx context.Context, now time.Time) error {
	b.setupMu.Lock()
	defer b.setupMu.Unlock()
	if b.streams {
		return nil
	}
	if now.Before(b.again) {
		return ErrNotReady
	}
	err := b.setup(ctx)
	if err == errGone {
		b.again = now.Add(goneFor)
		return ErrNotReady
	}
	if err != nil {
		b.backoff = min(max(2*b.backoff, 100*time.Millisecond), 5*time.Second)
		b.again = now.Add(b.backoff)
		return fmt.Errorf("bus: %w", err)
	}
	b.streams, b.seen, b.backoff = true, true, 0
	return nil
}

// errGone says that the stream was there and is not: perhaps another process
// makes it anew. While a server is still taking a stream away it must not be asked
// for a new one of that name, whose files it would take away as well; so for
// goneFor that process alone makes it.
var errGone = errors.New("the stream is gone")

const goneFor = time.Second

// errUnsafe says that somebody has made the stream so that it may forget.
var errUnsafe = errors.New("it acknowledges before it has stored")

// ErrNotReady says that NATS is away, which was reported when it began.
var ErrNotReady = errors.New("bus: NATS is not ready")

func (b *Bus) setup(ctx context.Context) error {
	if b.server != nil {
		started, err := b.server.heal()
		if started {
			b.suspect.Store(true)
		}
		if err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if b.server == nil && !b.conn.IsConnected() {
		return ErrNotReady
	}
	want := jetstream.StreamConfig{
		Name: eventsStream, Description: "word of events; rebuilt from the journal", Subjects: []string{eventsPrefix + ">"},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.FileStorage,
		MaxAge: b.config.KeepFor, MaxBytes: b.config.KeepBytes, MaxMsgSize: 4096,
		Duplicates: duplicates, Replicas: b.replicas(),
	}
	old, err := b.js.Stream(ctx, want.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		b.suspect.Store(true)
		if b.seen && b.server == nil {
			b.seen = false
			return errGone
		}
		b.opt.Log.Info("bus: making stream", "stream", want.Name, "replicas", want.Replicas)
	case err != nil:
		return fmt.Errorf("stream %s: %w", want.Name, err)
	default:
		// With asynchronous persistence the server turns syncing off for the
		// stream, whatever its own configuration says.
		if c := old.CachedInfo().Config; c.PersistMode == jetstream.AsyncPersistMode || c.Storage != jetstream.FileStorage || c.NoAck {
			return fmt.Errorf("stream %s: %w; delete it and it is made anew", want.Name, errUnsafe)
		}
	}
	if err := b.makeStream(ctx, want); err != nil {
		return fmt.Errorf("stream %s: %w", want.Name, err)
	}
	return nil
}

// makeStream asks an external server that refuses a few times more: it may still
// be taking away the files of a stream of that name. What the embedded one cannot
// use is set aside.
func (b *Bus) makeStream(ctx context.Context, want jetstream.StreamConfig) error {
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		_, err := b.js.CreateOrUpdateStream(ctx, want)
		if _, refused := errors.AsType[*jetstream.APIError](err); !refused || b.server != nil || pause > 200*time.Millisecond {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (b *Bus) replicas() int {
	switch {
	case b.config.Replicas > 0:
		return b.config.Replicas
	case b.conn.ConnectedClusterName() != "":
		return 3
	}
	if b.server == nil {
		b.opt.Log.Warn("bus: one external NATS server: set jetstream sync_interval: always there; its default may lose two minutes (nothing of ours is lost with it)")
	}
	return 1
}

// Follow reads the stream with the durable consumer of that name.
func (b *Bus) Follow(name string) *Follower {
	f := &Follower{bus: b, name: name, wake: make(chan struct{}, 1)}
	b.watchMu.Lock()
	defer b.watchMu.Unlock()
	b.followers = append(b.followers, f)
	return f
}

// hint wakes the followers in this process before NATS does, but for those who
// are hinted anyway: they go by the journal, so they need not wait for a message
// to be stored.
func (b *Bus) hint() {
	b.watchMu.Lock()
	defer b.watchMu.Unlock()
	for _, f := range b.followers {
		f.relayed()
	}
}

// Relay makes this process's relay; holder names the process in the lease.
func (b *Bus) Relay(db *store.DB, holder string) *Relay {
	return NewRelay(jetStream{b}, db, holder)
}
