package run

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/consent"
	"github.com/rialto-hub/rialto/psd2/edge"
)

func (h *Hub) listen(ctx context.Context, o Options) (err error) {
	if h.cfg.Runs("api") || h.cfg.Runs("pages") {
		handler, err := h.public()
		if err != nil {
			return err
		}
		l, err := listener(o.Public, h.cfg.HTTP.Listen)
		if err != nil {
			return err
		}
		if h.PublicURL, err = h.serve("public", l, handler, true); err != nil {
			return err
		}
	}
	if h.cfg.Runs("ops") {
		l, err := listener(o.Ops, h.cfg.HTTP.Ops)
		if err != nil {
			return err
		}
		rooms, err := h.consoles(l)
		if err != nil {
			l.Close()
			return err
		}
		if h.OpsURL, err = h.serve("ops", l, rooms, true); err != nil {
			return err
		}
		if h.desk != nil {
			if err := h.listenOfficers(o); err != nil {
				return err
			}
		}
	}
	l, err := listener(o.Admin, h.cfg.HTTP.Admin)
	if err != nil {
		return err
	}
	h.AdminURL, err = h.serve("admin", l, h.admin(), false)
	return err
}

func listener(given net.Listener, addr string) (net.Listener, error) {
	if given != nil {
		return given, nil
	}
	return net.Listen("tcp", addr)
}

// public is what merchants and payers reach: one origin, two rooms.
func (h *Hub) public() (http.Handler, error) {
	apiRoom, err := api.New(api.Deps{
		Store: h.Store, Hub: h.hub, Webhooks: h.Webhooks, Keys: h.Keys, Edge: h.edge, PublicURL: h.cfg.Hub.PublicURL, Limits: h.cfg.Limits,
		Sandbox: h.cfg.Sandbox, Statements: camt053{time.Now}, Receipts: h.payers, Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		return nil, err
	}
	pages, err := consent.New(consent.Deps{
		Config: h.cfg.Pages, PublicURL: h.cfg.Hub.PublicURL, Hub: h.hub, SCA: h.payers, Watch: h.bus.Watch,
		SealSecret: []byte(h.Store.Lookup("seal", "answers")),
		Edge:       h.edge, Now: time.Now, Random: rand.Reader, Log: h.log,
	})
	if err != nil {
		return nil, err
	}
	confirm, err := h.confirmations()
	if err != nil {
		return nil, err
	}
	h.beforeShutdown = append(h.beforeShutdown, pages.Close, confirm.Close) // open streams would hold a shutdown up
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if confirm.Handles(r.URL.Path) {
			confirm.ServeHTTP(w, r)
			return
		}
		for _, prefix := range []string{"/v1/", "/oauth/", "/.well-known/", "/openapi.yaml", "/docs"} {
			if strings.HasPrefix(r.URL.Path, prefix) {
				apiRoom.ServeHTTP(w, r)
				return
			}
		}
		pages.ServeHTTP(w, r)
	}), nil
}

// admin answers for whoever runs the process; it is not for the outside.
func (h *Hub) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", h.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.registry, promhttp.HandlerOpts{}))
	return edge.SecurityHeaders("default-src 'none'", mux)
}

// ready says whether each part answers. Without the database nothing works;
// without NATS payments go on and webhooks are late, so that is not a reason to
// take the process out of service.
func (h *Hub) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	parts := map[string]string{}
	status := http.StatusOK
	for name, ping := range map[string]func(context.Context) error{"database": h.Store.Ping, "nats": h.bus.Ping} {
		parts[name] = "ok"
		if err := ping(ctx); err != nil {
			parts[name] = "not answering"
			if name == "database" {
				status = http.StatusServiceUnavailable
			}
			h.log.Error("not ready", "part", name, "error", err.Error())
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(parts) // the client may be gone
}
