package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"gopkg.in/yaml.v3"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/cmd/rialto/certify"
	"github.com/rialto-hub/rialto/cmd/rialto/run"
)

// certifyCommand says whether bank adapters behave as every adapter must.
func certifyCommand(e env, args []string) error { return certifyAdapters(e, args, run.Adapters) }

func certifyAdapters(e env, args []string, adapters map[string]banks.Factory) error {
	f := flags(e, "certify")
	bank := f.String("bank", "", "id of a sandbox bank, or all that are not closed")
	asJSON := f.Bool("json", false, "print one JSON document")
	path := f.String("config", "", "YAML file of the sandbox, as for rialto bank (default: the same banks)")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *bank == "" {
		return usagef("which bank? --bank ID or --bank all")
	}
	cfg, err := sandboxConfig(*path)
	if err != nil {
		return err
	}
	ids, err := certify.Select(cfg, *bank)
	if err != nil {
		return usageError{err.Error()}
	}
	o := certify.Options{Sandbox: cfg, Banks: ids, Adapters: adapters}
	progress := terminal(os.Stderr) && (*asJSON || !terminal(os.Stdout)) // the lines on a terminal are progress enough
	o.Done = func(bank string, r bankstest.Result, n, of int) {
		if !*asJSON {
			fmt.Fprintf(e.stdout, "%-10s %-7s %-18s %s\n", bank, r.Outcome, r.ID, sentence(r))
		}
		if progress {
			fmt.Fprintf(e.stderr, "\r%d of %d checks", n, of)
		}
	}
	r, err := certify.Run(e.ctx, o)
	if progress {
		fmt.Fprintln(e.stderr)
	}
	if err != nil {
		return err
	}
	if *asJSON {
		if err := json.NewEncoder(e.stdout).Encode(r); err != nil {
			return err
		}
	} else {
		for _, b := range r.Banks {
			fmt.Fprintf(e.stdout, "%s: %d passed, %d failed, %d skipped\n", b.ID, b.Passed, b.Failed, b.Skipped)
		}
	}
	if r.Failed() > 0 {
		return errFinding
	}
	return nil
}

// sentence is the rule a check is about, and what came of it.
func sentence(r bankstest.Result) string {
	if r.Detail == "" {
		return r.Title
	}
	return r.Title + ": " + r.Detail
}

// sandboxConfig reads a sandbox's configuration, which may be empty. A file of
// another kind, such as a hub's, is wrong use: it names banks that cannot be
// certified from here.
func sandboxConfig(path string) (sandbox.Config, error) {
	cfg, err := readSandbox(path)
	var fields *yaml.TypeError
	if errors.As(err, &fields) {
		return cfg, usagef("%s is not the configuration of a sandbox (%s). %s", path, fields.Errors[0], certify.Needs)
	}
	if errors.Is(err, io.EOF) {
		return cfg, nil
	}
	return cfg, err
}
