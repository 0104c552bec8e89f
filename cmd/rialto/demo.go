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

  casino      %-34s deposit, withdraw, play typologies
  banks       %-34s who banks there, with passwords and phones
  API docs    %-34s for whoever integrates
  health      %-34s and /metrics
  operators   %-34s payments, banks, webhooks
  officers    %-34s alerts and cases
%s
1  Open the casino, press "Deposit from my bank", choose Sandbank. Sign in as
   anna, password sandbox; the code is on her phone, one link away.
2  The page that says you have paid offers a passkey, your phone (any second
   browser) or codes from an app. From then on you confirm each deposit with
   it. The casino has the receipt: "rialto verify receipt receipt.jws --jwks
   FILE" checks it with %s/.well-known/receipt-jwks.json.
3  Enrol an officer by the link above, press "Play typologies" at the casino,
   and see the alerts come in. Closing a case takes both officers.

Browsers resolve *.localhost by themselves. A program that does not: call
http://127.0.0.1:PORT with the same port; tokens are still for %s.
Ctrl-C stops it.
`, time.Since(began).Milliseconds(), w.CasinoURL, w.BankURL, w.HubURL+"/docs", w.AdminURL+"/readyz", w.OpsURL, w.Hub.OfficersOrigin, people, w.HubURL, w.HubURL)
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
	lines.WriteString("\nPeople who work here. A link enrols once; whoever has a passkey signs in.\n\n")
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
			link = p.origin + "/staff/login"
		}
		fmt.Fprintf(&lines, "    %-5s %-10s %s\n", p.login, p.role, link)
	}
	return lines.String(), nil
}
