package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// startTimeout bounds the start of an embedded server; recovery of a large
// directory takes most of it.
const startTimeout = 30 * time.Second

// ServerConfig describes a NATS server inside this process.
type ServerConfig struct {
	Dir    string // JetStream's files, mode 0700
	Listen string // host:port for other processes; empty: reached in process only
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

func (s *Server) start() error {
	if s.config.Dir == "" {
		return errors.New("bus: the embedded server needs a directory")
	}
	if err := os.MkdirAll(s.config.Dir, 0o700); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	options := &natsserver.Options{
		ServerName: "rialto", DontListen: true, NoSigs: true, NoSystemAccount: true,
		JetStream: true, StoreDir: s.config.Dir, SyncAlways: true, JetStreamMaxMemory: 64 << 20,
		MaxPayload: 64 << 10,
	}
	if s.config.Listen != "" {
		host, port, err := net.SplitHostPort(s.config.Listen)
		if err != nil {
			return fmt.Errorf("bus: listen address: %w", err)
		}
		if options.Port, err = strconv.Atoi(port); err != nil {
			return fmt.Errorf("bus: listen address: %w", err)
		}
		if options.Port == 0 {
			options.Port = natsserver.RANDOM_PORT
		}
		options.Host, options.DontListen = host, false
	}
	server, err := natsserver.NewServer(options)
	if err != nil {
		return fmt.Errorf("bus: embedded server: %w", err)
	}
	server.SetLoggerV2(&serverLog{s.log}, false, false, false)
	server.Start()
	if !server.ReadyForConnections(startTimeout) {
		server.Shutdown()
		return errors.New("bus: the embedded server did not start in time")
	}
	// A server that cannot use its directory goes on without JetStream; ours must not.
	js := server.JetStreamConfig()
	if js == nil || !js.SyncAlways {
		server.Shutdown()
		return errors.New("bus: the embedded server has no JetStream that syncs always")
	}
	s.nats = server
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
func (s *Server) heal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nats.Running() && s.nats.JetStreamEnabled() {
		return nil
	}
	s.log.Warn("bus: the embedded server is down; starting it again")
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	return s.start()
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
type serverLog struct{ log *slog.Logger }

func (l *serverLog) say(level slog.Level, format string, args []any) {
	l.log.Log(context.Background(), level, "nats: "+fmt.Sprintf(format, args...))
}

func (l *serverLog) Noticef(string, ...any)            {}
func (l *serverLog) Debugf(string, ...any)             {}
func (l *serverLog) Tracef(string, ...any)             {}
func (l *serverLog) Warnf(format string, args ...any)  { l.say(slog.LevelWarn, format, args) }
func (l *serverLog) Errorf(format string, args ...any) { l.say(slog.LevelError, format, args) }
func (l *serverLog) Fatalf(format string, args ...any) { l.say(slog.LevelError, format, args) }
