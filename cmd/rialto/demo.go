package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/demo"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
	"github.com/rialto-hub/rialto/sca"
)

func demoCommand(e env, args []string) error {
	f := flags(e, "demo")
	once := f.Bool("once", false, "do one deposit without a browser, print its steps, and stop")
	asJSON := f.Bool("json", false, "with --once: print one JSON document")
	dir := f.String("dir", "", "where data is kept (default: data/demo; with --once a temporary folder)")
	verbose := f.Bool("v", false, "log every request")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *asJSON && !*once {
		return usagef("--json goes with --once")
	}
	log := newLog(e.stderr, slog.LevelWarn)
	if *verbose {
		log = newLog(e.stderr, slog.LevelInfo)
	}
	if *once {
		return demoOnce(e, *dir, *asJSON, log)
	}
	if *dir == "" {
		*dir = filepath.Join("data", "demo")
	}
	began := time.Now()
	w, err := demo.Start(e.ctx, demo.Options{Dir: *dir, Log: log, Ports: demo.Ports})
	if err != nil {
		return err
	}
	people, err := demoPeople(e, w)
	if err != nil {
		return errors.Join(err, w.Close())
	}
	fmt.Fprintf(e.stdout, `Rialto demo, everything on loopback, no real money (up in %d ms)

  casino        %s     deposit here, as a player would
  API docs      %s/docs   payers land on the same host, from the casino
  banks         %s       who banks there, with passwords and phones
  operators     %s     payments and banks; deciding takes two people.
  officers      %s   alerts and cases. Everybody enrols a passkey once, by a link:
%s  health        %s/readyz   and /metrics

Pay once, and the page that says so offers a passkey, your phone (any second
browser) or codes from an app. From then on the casino has you confirm each
deposit with one of them. Its page has the receipt; "rialto verify receipt
receipt.jws --jwks FILE" checks it, with %s/.well-known/receipt-jwks.json.

Browsers resolve *.localhost by themselves. A program that does not: call
http://127.0.0.1:PORT with the same port; tokens are still for %s.
Ctrl-C stops it.
`, time.Since(began).Milliseconds(), w.CasinoURL, w.HubURL, w.BankURL, w.OpsURL, w.Hub.OfficersOrigin, people, w.AdminURL, w.HubURL, w.HubURL)
	select {
	case <-e.ctx.Done():
	case err = <-w.Hub.Failed():
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}

func demoOnce(e env, dir string, asJSON bool, log *slog.Logger) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "rialto-demo"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }() // a leftover in the temporary folder harms nobody
	}
	ctx, cancel := context.WithTimeout(e.ctx, time.Minute)
	defer cancel()
	w, err := demo.Start(ctx, demo.Options{Dir: dir, Log: log})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := w.Close(); err == nil {
			err = cerr
		}
	}()
	var step func(demo.StepTime)
	if !asJSON {
		step = func(s demo.StepTime) { fmt.Fprintf(e.stdout, "%-16s %8.1f ms\n", s.Name, s.MS) }
	}
	r, err := w.Once(ctx, step)
	if err != nil {
		return err
	}
	if asJSON {
		if err := json.NewEncoder(e.stdout).Encode(r); err != nil {
			return err
		}
	} else {
		for _, h := range r.Webhooks {
			fmt.Fprintf(e.stdout, "webhook %-22s HMAC %v, ed25519 %v, JWS %v\n", h.Type, h.HMAC, h.Ed25519, h.JWS)
		}
		fmt.Fprintf(e.stdout, "%s %s in %.1f ms\n", r.PaymentID, r.Status, r.TotalMS)
	}
	if !r.OK() {
		return errFinding
	}
	return nil
}

// demoPeople adds two people, for decisions take two, and gives the lines with
// their one-time links; those who are there already sign in as they did.
func demoPeople(e env, w *demo.World) (string, error) {
	var lines strings.Builder
	ops, officers := w.Hub.Staff, w.Hub.Officers
	for _, p := range []struct {
		staff                     *sca.Staff
		origin, login, name, role string
	}{
		{ops, w.Hub.StaffOrigin, "olga", "Olga Operator", "operator"}, {ops, w.Hub.StaffOrigin, "piet", "Piet Supervisor", "supervisor"},
		{officers, w.Hub.OfficersOrigin, "anja", "Anja Analyst", "officer"}, {officers, w.Hub.OfficersOrigin, "mara", "Mara Reporting", "supervisor"},
	} {
		link, err := run.Enrol(e.ctx, p.staff, p.origin, p.login, p.name, p.role)
		if err != nil {
			return "", err
		}
		if link == "" {
			link = "signs in at " + p.origin + "/staff/login"
		}
		fmt.Fprintf(&lines, "    %-11s %s\n", p.login, link)
	}
	return lines.String(), nil
}
