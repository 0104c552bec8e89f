package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
)

func bankCommand(e env, args []string) error {
	f := flags(e, "bank")
	path := f.String("config", "", "YAML file of the sandbox (default: twelve banks, one for each way of authenticating)")
	listen := f.String("listen", "127.0.0.1:8401", "address")
	file := f.String("file", "", "SQLite file (default: in memory)")
	url := f.String("url", "", "origin payers reach it at (default: as they call it)")
	cert := f.String("cert", "", "TLS certificate file")
	key := f.String("key", "", "TLS key file")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	cfg, err := readSandbox(*path)
	if err != nil {
		return err
	}
	if *file != "" {
		cfg.File = *file
	}
	if *url != "" {
		cfg.URL = *url
	}
	log := newLog(e.stderr, 0)
	s, err := sandbox.Open(cfg, sandbox.Options{Log: log})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // what it was told is on disk already
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	stop := run.Loop(e.ctx, log, "bank", s.Step, s.Wake())
	defer stop()
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	scheme := "http"
	if *cert != "" {
		own, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			return err
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.Certificate(&own)}
	}
	failed := make(chan error, 1)
	go func() {
		if *cert != "" {
			failed <- server.ServeTLS(l, "", "")
			return
		}
		failed <- server.Serve(l)
	}()
	if *cert != "" {
		scheme = "https"
	}
	fmt.Fprintf(e.stdout, "banks %s://%s\n", scheme, l.Addr()) // its start page says which bank does what
	select {
	case <-e.ctx.Done():
		return server.Close()
	case err := <-failed:
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	}
}

// readSandbox reads a sandbox's own configuration; "" is the default.
func readSandbox(path string) (cfg sandbox.Config, err error) {
	if path == "" {
		return cfg, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return cfg, err
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&cfg); err != nil {
		return cfg, fmt.Errorf("config: %w", err)
	}
	return cfg, nil
}
