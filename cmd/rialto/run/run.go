package run

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/berlingroup"
	"github.com/rialto-hub/rialto/banks/remote"
	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/limits"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rulebook"
	"github.com/rialto-hub/rialto/compliance/screening"
	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
	"github.com/rialto-hub/rialto/sca/app"
	"github.com/rialto-hub/rialto/webhooks"
)

// Adapters are the bank adapters this binary knows. "remote" has a hub's NATS to
// speak over once it runs; here it only checks profiles.
var Adapters = map[string]banks.Factory{"berlingroup": berlingroup.Open, "remote": remote.Factory(nil)}

// Options are what a process gives its hub beside the configuration.
type Options struct {
	Log *slog.Logger
	// Public, Ops and Admin are listeners opened by the caller; nil: opened
	// where the configuration says.
	Public, Ops, Officers, Admin net.Listener
	// PushClient reaches browsers' push services; nil: one that follows no
	// redirect.
	PushClient *http.Client
}

// Hub is a running hub.
type Hub struct {
	PublicURL, OpsURL, AdminURL string
	StaffOrigin                 string     // where operators sign in
	OfficersURL, OfficersOrigin string     // the compliance console
	Officers                    *sca.Staff // nil where it does not run
	Staff                       *sca.Staff // nil where no console runs
	Store                       *store.DB
	Webhooks                    *webhooks.Service
	Keys                        *jose.KeySet

	cfg       configs.Config
	log       *slog.Logger
	registry  *prometheus.Registry
	bus       *bus.Bus
	hub       *hub.Hub
	banks     *banks.Registry
	channels  map[string]banks.Channel // by payee account
	vop       hub.VoP
	payers    *sca.Service
	webPush   *app.WebPush     // nil when it is off
	pushes    messengers       // to push services
	desk      *compliance.Desk // nil when compliance is off
	monitor   *monitor.Monitor
	book      *rulebook.Book
	screening *screening.Service
	limits    *limits.Keeper
	gate      hub.Gate
	edge      *edge.Edge
	id        string         // of this process in leases
	closers   []func() error // run in reverse

	beforeShutdown []func() // ends what a server would wait for
	failed         chan error
}

// Start brings a hub up. It returns once the listeners answer; Close stops it.
func Start(ctx context.Context, cfg configs.Config, o Options) (h *Hub, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h = &Hub{cfg: cfg, log: o.Log, registry: prometheus.NewRegistry(), failed: make(chan error, 4)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
			h = nil
		}
	}()
	h.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	h.edge = &edge.Edge{Log: o.Log, Now: time.Now, Random: rand.Reader, TrustedProxies: cfg.HTTP.TrustedProxies, Metrics: edge.NewMetrics(h.registry)}
	for _, part := range []func(context.Context) error{h.openData, h.openStore, h.openKeys, h.openBus, h.openBanks, h.openChannels, h.watchCertificates, h.openSCA, func(context.Context) error { return h.openWebPush(o.PushClient) }, h.openCompliance, h.openHub, h.putMerchants} {
		if err = part(ctx); err != nil {
			return h, err
		}
	}
	h.startWork() // before the listeners, so that Close ends it after them
	return h, h.listen(ctx, o)
}

// Failed receives when a listener died.
func (h *Hub) Failed() <-chan error { return h.failed }

// Close stops in reverse order of starting: no new requests, then the work,
// then NATS and the database.
func (h *Hub) Close() error {
	var errs []error
	for _, f := range h.beforeShutdown {
		f()
	}
	for i := len(h.closers) - 1; i >= 0; i-- {
		errs = append(errs, h.closers[i]())
	}
	h.closers, h.beforeShutdown = nil, nil
	return errors.Join(errs...)
}

func (h *Hub) onClose(f func() error) { h.closers = append(h.closers, f) }

func (h *Hub) openData(context.Context) (err error) {
	if err := os.MkdirAll(h.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	var unlock func() error
	if h.id, unlock, err = instance(h.cfg.DataDir); err != nil {
		return err
	}
	h.onClose(unlock)
	return nil
}

func (h *Hub) openStore(ctx context.Context) (err error) {
	h.Store, err = store.Open(ctx, h.cfg.Database, store.Options{
		Now: time.Now, Random: rand.Reader, Log: h.log, SubmitTimeout: h.cfg.Hub.SubmitTimeout(),
	})
	if err != nil {
		return err
	}
	h.onClose(h.Store.Close)
	h.count("rialto_db_transactions_total", "Logical transactions committed.", func() uint64 { n, _ := h.Store.Stats(); return n })
	h.count("rialto_db_commits_total", "Physical commits, each durable.", func() uint64 { _, n := h.Store.Stats(); return n })
	h.count("rialto_signatures_total", "Asymmetric signatures made.", func() uint64 { n, _ := jose.Operations(); return n })
	h.count("rialto_verifications_total", "Asymmetric signatures verified.", func() uint64 { _, n := jose.Operations(); return n })
	return h.Store.Migrate(ctx)
}

func (h *Hub) count(name, help string, read func() uint64) {
	h.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(read()) }))
}

func (h *Hub) openKeys(context.Context) (err error) {
	h.Keys, err = jose.LoadOrCreateKeySet(h.cfg.SigningKeysFile, rand.Reader, time.Now(), jose.ES256)
	return err
}

func (h *Hub) openBanks(context.Context) error {
	entries, err := h.cfg.Banks.Load()
	if err != nil {
		return err
	}
	adapters := maps.Clone(Adapters)
	adapters["remote"] = remote.Factory(h.bus)
	built, err := banks.Build(entries, adapters, banks.Deps{Now: time.Now, Log: h.log})
	if err != nil {
		return err
	}
	h.banks = banks.NewRegistry(entries, built, time.Now)
	board := h.bus.Board("BANK_HEALTH", 8*24*time.Hour)
	h.onClose(func() error { board.Close(); return nil })
	h.banks.Share(board, h.id)
	return nil
}

func (h *Hub) openBus(ctx context.Context) (err error) {
	h.bus, err = bus.Open(ctx, h.cfg.NATS, bus.Options{Now: time.Now, Log: h.log, Metrics: h.registry})
	if err == nil {
		h.onClose(func() error { h.bus.Close(); return nil })
	}
	return err
}

func (h *Hub) openHub(context.Context) (err error) {
	h.hub = hub.New(h.cfg.Hub, hub.Deps{
		Store: h.Store, Banks: h.banks, Holder: h.id, Now: time.Now, Wait: waitUntil, Random: rand.Reader, Log: h.log, Metrics: h.registry,
		Channels: h.channels, VoP: h.vop, Gate: h.gate, Confirmation: confirmation{h.payers, h.Store},
	})
	h.cfg.Webhooks.Sandbox = h.cfg.Webhooks.Sandbox || h.cfg.Sandbox
	h.Webhooks, err = webhooks.New(h.cfg.Webhooks, webhooks.Deps{
		Store: h.Store, Bus: h.bus, Follower: h.bus.Follow("webhooks"), Keys: h.Keys, Holder: h.id, Now: time.Now, Random: rand.Reader, Log: h.log, Metrics: h.registry,
	})
	if err == nil {
		h.onClose(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			return h.Webhooks.Close(ctx)
		})
	}
	return err
}

// waitUntil is hub.Deps.Wait.
func waitUntil(ctx context.Context, until time.Time) {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (h *Hub) startWork() {
	ctx, cancel := context.WithCancel(context.Background())
	workers := []worker{{name: "sweep", step: h.hub.SweepStep}}
	add := func(role string, w ...worker) {
		if h.cfg.Runs(role) {
			workers = append(workers, w...)
		}
	}
	sequencer := h.Store.Sequencer(h.id)
	add("sequencer", worker{"sequencer", sequencer.Step, h.Store.Committed()})
	add("relay", worker{"relay", h.bus.Relay(h.Store, h.id).Step, sequencer.Positioned()})
	add("follow", worker{"follow", h.hub.Step, h.hub.Wake()})
	add("follow", worker{"transfers", h.hub.StepTransfers, h.hub.TransfersWake()}, worker{"statements", h.hub.StepStatements, nil})
	if h.cfg.Runs("webhooks") {
		for _, w := range h.Webhooks.Workers() {
			workers = append(workers, worker{w.Name, w.Step, w.Wake})
		}
	}
	workers = append(workers, worker{name: "health", step: h.hub.HealthStep})
	add("follow", h.complianceWork()...)
	add("follow", worker{name: "payee accounts", step: h.verifyAccounts})
	add("follow", worker{name: "confirmations", step: h.payers.Step}, worker{name: "payer history", step: h.payers.Follower(h.id).Step})
	wait := work(ctx, time.Now, h.log, workers)
	h.onClose(func() error { cancel(); wait(); h.hub.Close(); return nil })
}

// serve runs an HTTP server on a listener until Close.
func (h *Hub) serve(name string, l net.Listener, handler http.Handler, useTLS bool) (url string, err error) {
	server := edge.NewServer(handler, h.log)
	scheme := "http://"
	if useTLS && h.cfg.HTTP.CertFile != "" {
		scheme = "https://"
		if server.TLSConfig, err = h.tls(); err != nil {
			l.Close()
			return "", err
		}
		l = tls.NewListener(l, server.TLSConfig)
	}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			h.failed <- fmt.Errorf("%s listener: %w", name, err)
		}
	}()
	h.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		return server.Shutdown(ctx)
	})
	return scheme + l.Addr().String(), nil
}

// tls is TLS 1.3 only; the certificate is read anew when its file changes, so
// that renewing it needs no restart.
func (h *Hub) tls() (*tls.Config, error) {
	pair := &certificate{cert: h.cfg.HTTP.CertFile, key: h.cfg.HTTP.KeyFile}
	if _, err := pair.get(nil); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: pair.get, NextProtos: []string{"h2", "http/1.1"}}, nil
}
