package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/ops"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/sca"
)

// diagnosis is one thing the doctor looked at.
type diagnosis struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Warning bool   `json:"warning,omitempty"` // it will not stay so
	Detail  string `json:"detail"`
}

// warning is a check's error that leaves the deployment healthy for now.
type warning string

func (w warning) Error() string { return string(w) }

// doctorCommand looks at everything a deployment needs, and goes on after a
// finding: one run shows all of them.
func doctorCommand(e env, args []string) error {
	f := flags(e, "doctor")
	path := f.String("config", "", "YAML file of the hub")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	var found []diagnosis
	look := func(name string, check func() (string, error)) {
		d := diagnosis{Name: name, OK: true}
		detail, err := check()
		if d.Detail = detail; err != nil {
			d.Warning = errors.As(err, new(warning))
			d.OK, d.Detail = d.Warning, err.Error()
		}
		found = append(found, d)
	}
	var cfg configs.Config
	look("configuration", func() (detail string, err error) {
		cfg, err = configs.Load(*path)
		return "every field is known and usable", err
	})
	if found[0].OK {
		ctx, cancel := context.WithTimeout(e.ctx, 20*time.Second)
		defer cancel()
		look("data directory", func() (string, error) { return checkDir(cfg.DataDir) })
		look("database", func() (string, error) { return checkDatabase(ctx, cfg) })
		if found[len(found)-1].OK {
			look("operators", func() (string, error) { return checkOperators(e, *path, cfg) })
		}
		look("secret files", func() (string, error) { return checkSecretFiles(cfg) })
		look("nats", func() (string, error) { return checkNATS(ctx, cfg) })
		look("signing keys", func() (string, error) { return checkKeys(cfg) })
		look("certificate", func() (string, error) { return checkCertificate(cfg, time.Now()) })
		look("clock", func() (string, error) { return checkClock(cfg, time.Now()) })
		look("banks", func() (string, error) { return checkBanks(cfg) })
		look("bank certificates", func() (string, error) { return checkBankCertificates(cfg, time.Now()) })
		look("channels", func() (string, error) { return checkChannels(cfg) })
	}
	return report(e, found, *asJSON)
}

func report(e env, found []diagnosis, asJSON bool) error {
	bad := false
	for _, d := range found {
		bad = bad || !d.OK
	}
	if asJSON {
		if err := json.NewEncoder(e.stdout).Encode(map[string]any{"ok": !bad, "checks": found}); err != nil {
			return err
		}
	} else {
		for _, d := range found {
			mark := "ok  "
			switch {
			case !d.OK:
				mark = "BAD "
			case d.Warning:
				mark = "WARN"
			}
			fmt.Fprintf(e.stdout, "%s %-17s %s\n", mark, d.Name, d.Detail)
		}
	}
	if bad {
		return errFinding
	}
	return nil
}

func checkDir(dir string) (string, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return "not there yet; it will be made", nil
	}
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("others may look into it (mode %o); chmod 700", info.Mode().Perm())
	}
	return "private", nil
}

// notThereYet reports that the database is a file that nobody has made.
func notThereYet(cfg configs.Config) bool {
	path, ok := strings.CutPrefix(cfg.Database.URL, "sqlite:")
	if !ok {
		return false
	}
	_, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist)
}

func checkDatabase(ctx context.Context, cfg configs.Config) (string, error) {
	if notThereYet(cfg) {
		return "SQLite, not there yet; it will be made", nil
	}
	db, err := store.Open(ctx, cfg.Database, storeOptions(cfg))
	if err != nil {
		return "", err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return "", err
	}
	last, err := db.LastPosition(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("answers, schema up to date, key fits, %d events in the journal", last), nil
}

// checkSecretFiles looks at the files that open everything else: the
// deployment's key, which unseals the database, and the key of the certificate.
func checkSecretFiles(cfg configs.Config) (string, error) {
	deployment := cfg.Database.KeyFile
	if path, ok := strings.CutPrefix(cfg.Database.URL, "sqlite:"); ok && deployment == "" {
		deployment = filepath.Join(filepath.Dir(path), "deployment.key")
	}
	for _, f := range []struct{ what, path string }{{"the deployment's key", deployment}, {"the certificate's key", cfg.HTTP.KeyFile}} {
		info, err := os.Stat(f.path)
		if f.path == "" || errors.Is(err, os.ErrNotExist) {
			continue // who needs it says so
		}
		if err != nil {
			return "", err
		}
		if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			return "", fmt.Errorf("others may read %s (mode %o); chmod 600", f.what, info.Mode().Perm())
		}
	}
	return "private", nil
}

// natsPatience is how long the doctor waits for NATS.
const natsPatience = 3 * time.Second

func checkNATS(ctx context.Context, cfg configs.Config) (string, error) {
	if cfg.NATS.URL == "" {
		return "embedded", nil
	}
	ctx, cancel := context.WithTimeout(ctx, natsPatience)
	defer cancel()
	b, err := bus.Open(ctx, cfg.NATS, bus.Options{Now: time.Now})
	if err != nil {
		return "", err
	}
	defer b.Close()
	for {
		if err = b.Ping(ctx); err == nil {
			return "answers, JetStream is on", nil
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func checkKeys(cfg configs.Config) (string, error) {
	info, err := os.Stat(cfg.SigningKeysFile)
	if errors.Is(err, os.ErrNotExist) {
		return "not there yet; they will be made", nil
	}
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", errors.New("others may read the private keys; chmod 600")
	}
	set, err := jose.LoadKeySet(cfg.SigningKeysFile)
	if err != nil {
		return "", err
	}
	key, err := set.Signer(jose.ES256, time.Now())
	if err != nil {
		return "", err
	}
	return "signing with " + key.ID(), nil
}

func checkCertificate(cfg configs.Config, now time.Time) (string, error) {
	if cfg.HTTP.CertFile == "" {
		if strings.HasPrefix(cfg.Hub.PublicURL, "https://") {
			return "none; TLS ends before the hub", nil
		}
		return "none; plain HTTP, for loopback only", nil
	}
	pair, err := tls.LoadX509KeyPair(cfg.HTTP.CertFile, cfg.HTTP.KeyFile)
	if err != nil {
		return "", err
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return "", err
	}
	if u, err := url.Parse(cfg.Hub.PublicURL); err == nil {
		if err := leaf.VerifyHostname(u.Hostname()); err != nil {
			return "", fmt.Errorf("it is not for the public URL: %w", err)
		}
	}
	left := leaf.NotAfter.Sub(now)
	if left < 14*24*time.Hour {
		return "", fmt.Errorf("it ends on %s", leaf.NotAfter.Format(time.DateOnly))
	}
	return "good until " + leaf.NotAfter.Format(time.DateOnly), nil
}

// checkClock finds a clock that is plainly wrong: signatures and payments
// depend on it. It asks nobody outside.
func checkClock(cfg configs.Config, now time.Time) (string, error) {
	for _, path := range []string{cfg.SigningKeysFile, cfg.HTTP.CertFile, strings.TrimPrefix(cfg.Database.URL, "sqlite:")} {
		if info, err := os.Stat(path); path != "" && err == nil && info.ModTime().After(now.Add(time.Minute)) {
			return "", fmt.Errorf("it is behind: a file of ours was written at %s", info.ModTime().UTC().Format(time.RFC3339))
		}
	}
	if now.Year() < 2026 {
		return "", fmt.Errorf("it says %s", now.UTC().Format(time.RFC3339))
	}
	return now.UTC().Format(time.RFC3339), nil
}

func checkBanks(cfg configs.Config) (string, error) {
	entries, err := cfg.Banks.Load()
	if err != nil {
		return "", err
	}
	if _, err := banks.Build(entries, run.Adapters, banks.Deps{Now: time.Now}); err != nil {
		return "", err
	}
	open := 0
	for _, b := range entries {
		if b.Disabled == "" {
			open++
		}
	}
	if open == 0 {
		return "", errors.New("no bank is enabled: payers can't pay")
	}
	return fmt.Sprintf("%d enabled, %d disabled", open, len(entries)-open), nil
}

// checkOperators counts those who may decide what became of an order: it takes
// two.
func checkOperators(e env, config string, cfg configs.Config) (detail string, err error) {
	n := 0
	if !notThereYet(cfg) {
		err = withStaff(e, config, staffOrigin, func(s *sca.Staff) error {
			all, err := s.Users(e.ctx)
			for _, u := range all {
				if u.Active && u.May(ops.RightDecide) {
					n++
				}
			}
			return err
		})
	}
	if err == nil && n < 2 {
		err = warning(fmt.Sprintf("deciding takes two people, and there are %d; \"rialto users add\" adds one", n))
	}
	return fmt.Sprintf("%d people may decide", n), err
}
