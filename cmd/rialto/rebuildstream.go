package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/rialto-hub/rialto/configs"
	"github.com/rialto-hub/rialto/psd2/bus"
)

// rebuildStreamCommand makes the stream anew from the journal. With the
// embedded server the hub must be stopped: its directory is the hub's.
func rebuildStreamCommand(e env, args []string) error {
	f := flags(e, "rebuild-stream")
	path := f.String("config", "", "YAML file")
	after := f.Int64("after", 0, "publish events behind this position of the journal only")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	if *after < 0 {
		return usagef("--after must not be negative")
	}
	cfg, err := configs.Load(*path)
	if err != nil {
		return err
	}
	db, err := openStore(e, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it was only read
	b, err := bus.Open(e.ctx, cfg.NATS, bus.Options{})
	if err != nil {
		return err
	}
	defer b.Close()
	var progress func(done, of int64)
	if terminal(os.Stderr) {
		progress = func(done, of int64) { fmt.Fprintf(e.stderr, "\rposition %d of %d", done, of) }
		defer fmt.Fprintln(e.stderr)
	}
	n, err := b.Rebuild(e.ctx, db, *after, progress)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(e.stdout).Encode(map[string]any{"published": n})
	}
	fmt.Fprintf(e.stdout, "%d events published\n", n)
	return nil
}
