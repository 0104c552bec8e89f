package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
)

// startTimeout bounds the start of an embedded server that has nothing to read.
const startTimeout = 30 * time.Second

// ServerConfig describes a NATS server inside this process.
type ServerConfig struct {
	Dir    string // JetStream's files, mode 0700
	Listen string // host:port for other processes; empty: reached in process only

	// Cluster makes the server one of several, which keep each stream on three
	// of them. Name must then be its own.
	Name    string
	Cluster Cluster

	// Adapters are processes that may connect as user Bank with Password and do
	// nothing but answer requests for that bank. With any of them, HubPassword is
	// what user "hub" needs, who may do everything.
	Adapters    []Adapter
	HubPassword string

	damaged prometheus.Counter // streams moved aside; nil: not counted
}

// Adapter is who serves a bank from outside.
type Adapter struct {
	Bank     string
	Password string
}

const hubUser = "hub"

// users are the accounts of a server that others connect to: an adapter hears
// its own bank's requests and may only reply.
func (c ServerConfig) users() []*natsserver.User {
	if len(c.Adapters) == 0 {
		return nil
	}
	list := []*natsserver.User{{Username: hubUser, Password: c.HubPassword}}
	for _, a := range c.Adapters {
		list = append(list, &natsserver.User{Username: a.Bank, Password: a.Password, Permissions: &natsserver.Permissions{
			Subscribe: &natsserver.SubjectPermission{Allow: []string{"rialto.bank." + a.Bank + ".>", "$SRV.>"}},
			Publish:   &natsserver.SubjectPermission{Deny: []string{">"}},
			Response:  &natsserver.ResponsePermission{MaxMsgs: 1, Expires: 2 * time.Minute},
		}})
	}
	return list
}

// Cluster is how servers find each other.
type Cluster struct {
	Name   string // empty: no cluster
	Listen string // host:port for the other servers
	// Routes are the other servers' Listen, as this one reaches them. Nobody
	// tells anybody of others, so that a test can stand in between.
	Routes []string
}

// Server is a NATS server with JetStream inside this process. Every write to
// a stream is synced before it is acknowledged: the server's default of two
// minutes would lose acknowledged messages with the power.
type Server struct {
	config ServerConfig
	log    *slog.Logger

	mu   sync.Mutex
	nats *natsserver.Server
}

// StartServer starts a server and waits until it answers.
func StartServer(c ServerConfig, log *slog.Logger) (*Server, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: c, log: log}
	if err := s.start(); err != nil {
		return nil, err
	}
	return s, nil
}

// start starts a server, without its streams if it cannot use them.
func (s *Server) start() error {
	err := s.launch()
	if errors.Is(err, errNoJetStream) {
		if err = s.setAside(err); err == nil {
			err = s.launch()
		}
	}
	return err
}

// errNoJetStream says that a server cannot use its directory.
var errNoJetStream = errors.New("bus: the embedded server has no JetStream that syncs always")

func (s *Server) launch() error {
	if s.config.Dir == "" {
		return errors.New("bus: the embedded server needs a directory")
	}
	if err := os.MkdirAll(s.config.Dir, 0o700); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	if s.config.Cluster.Name == "" { // a cluster mends a node from the others
		if err := checkBlocks(s.config.Dir); err != nil {
			return fmt.Errorf("%w: %w", errNoJetStream, err)
		}
	}
	options := &natsserver.Options{
		ServerName: "rialto", DontListen: true, NoSigs: true, NoSystemAccount: true,
		JetStream: true, StoreDir: s.config.Dir, SyncAlways: true, JetStreamMaxMemory: 64 << 20,
		MaxPayload: 512 << 10, // a bank's picture for a code, in a remote adapter's answer
		Users:      s.config.users(),
	}
	if s.config.Listen != "" {
		var err error
		if options.Host, options.Port, err = listenAt(s.config.Listen); err != nil {
			return err
		}
		options.DontListen = false
	}
	if err := s.config.cluster(options); err != nil {
		return err
	}
	server, err := natsserver.NewServer(options)
	if err != nil {
		return fmt.Errorf("bus: embedded server: %w", err)
	}
	said := &serverLog{log: s.log}
	server.SetLoggerV2(said, false, false, false)
	// Start recovers the streams, and of a damaged file may never come to an end.
	started := make(chan struct{})
	go func() { server.Start(); close(started) }()
	select {
	case <-started:
	case <-time.After(startWithin(s.config.Dir)):
		// It goes on reading what it will not finish, and cannot be stopped: the
		// next process starts without.
		return errors.Join(errors.New("bus: the embedded server did not start in time; start again"), s.setAside(errors.New("it reads its streams without end")))
	}
	// A server that cannot use its directory goes on without JetStream; ours must not.
	last := said.last.Load()
	if js := server.JetStreamConfig(); last != nil && strings.Contains(*last, "JetStream") || js == nil || !js.SyncAlways {
		server.Shutdown()
		server.WaitForShutdown()
		return errNoJetStream
	}
	if last != nil || !server.ReadyForConnections(startTimeout) {
		server.Shutdown()
		return errors.New("bus: the embedded server did not start")
	}
	s.nats = server
	return nil
}

func listenAt(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil {
		return "", 0, fmt.Errorf("bus: listen address: %w", err)
	}
	if port == 0 {
		port = natsserver.RANDOM_PORT
	}
	return host, port, nil
}

func (c *ServerConfig) cluster(options *natsserver.Options) (err error) {
	if c.Cluster.Name == "" {
		return nil
	}
	options.ServerName, options.Cluster.Name, options.Cluster.NoAdvertise = c.Name, c.Cluster.Name, true
	options.NoSystemAccount = false // the cluster's own traffic runs over it
	if options.Cluster.Host, options.Cluster.Port, err = listenAt(c.Cluster.Listen); err != nil {
		return err
	}
	for _, address := range c.Cluster.Routes {
		options.Routes = append(options.Routes, &url.URL{Scheme: "nats", Host: address})
	}
	return nil
}

// URL is where other processes reach the server; empty when it doesn't listen.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config.Listen == "" {
		return ""
	}
	return s.nats.ClientURL()
}

// InProcessConn makes a connection without a socket. It leads to the server
// that runs now, so that a client reconnects after a restart.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nats.InProcessConn()
}

// heal starts the server again when it has stopped, or has given up JetStream
// after a fault of its disk.
func (s *Server) heal() (started bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nats.Running() && s.nats.JetStreamEnabled() {
		return false, nil
	}
	s.log.Warn("bus: the embedded server is down; starting it again")
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	return true, s.start()
}

// Close stops the server and waits until its files are closed.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
}

// serverLog hands the server's words to slog. Its notices say nothing an
// operator needs.
type serverLog struct {
	log  *slog.Logger
	last atomic.Pointer[string] // what it gave up with
}

func (l *serverLog) say(level slog.Level, format string, args []any) {
	l.log.Log(context.Background(), level, "nats: "+fmt.Sprintf(format, args...))
}

func (l *serverLog) Noticef(string, ...any)            {}
func (l *serverLog) Debugf(string, ...any)             {}
func (l *serverLog) Tracef(string, ...any)             {}
func (l *serverLog) Warnf(format string, args ...any)  { l.say(slog.LevelWarn, format, args) }
func (l *serverLog) Errorf(format string, args ...any) { l.say(slog.LevelError, format, args) }
func (l *serverLog) Fatalf(format string, args ...any) {
	l.say(slog.LevelError, format, args)
	l.last.CompareAndSwap(nil, &format)
}
