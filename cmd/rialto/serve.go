package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2/store"
)

// newLog writes JSON lines that jq can read.
func newLog(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

func serveCommand(e env, args []string) error {
	f := flags(e, "serve")
	path := f.String("config", "", "YAML file; without it everything has its default")
	roles := f.String("roles", "", "comma-separated roles this process runs (default: all)")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	cfg, err := loadConfig(*path, *roles)
	if err != nil {
		return err
	}
	log := newLog(e.stderr, cfg.Log.Level)
	h, err := run.Start(e.ctx, cfg, run.Options{Log: log})
	if err != nil {
		return err
	}
	log.Info("listening", "public", h.PublicURL, "ops", h.OpsURL, "officers", h.OfficersURL, "admin", h.AdminURL)
	fmt.Fprintf(e.stdout, "public    %s\nops       %s\nofficers  %s\nadmin     %s\n", h.PublicURL, h.OpsURL, h.OfficersURL, h.AdminURL)
	select {
	case <-e.ctx.Done():
	case err = <-h.Failed():
	}
	log.Info("stopping")
	if cerr := h.Close(); err == nil {
		err = cerr
	}
	return err
}

func loadConfig(path, roles string) (configs.Config, error) {
	cfg, err := configs.Load(path)
	if err != nil {
		return cfg, err
	}
	if roles != "" {
		return cfg, cfg.SetRoles(roles)
	}
	return cfg, nil
}

func migrateCommand(e env, args []string) error {
	f := flags(e, "migrate")
	path := f.String("config", "", "YAML file")
	role := f.String("serving-role", "", "PostgreSQL: the role that serves; it is granted the tables, new ones too, and may only add to the audit chain")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	cfg, err := configs.Load(*path)
	if err != nil {
		return err
	}
	db, err := openStore(e, cfg)
	if err != nil {
		return err
	}
	if *role != "" || strings.HasPrefix(cfg.Database.URL, "sqlite:") {
		err = compliance.Protect(e.ctx, db, *role)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	fmt.Fprintln(e.stdout, "the schema is up to date")
	return nil
}

// openStore opens and migrates the configured database.
func openStore(e env, cfg configs.Config) (*store.DB, error) {
	db, err := store.Open(e.ctx, cfg.Database, storeOptions(cfg))
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(e.ctx); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}
