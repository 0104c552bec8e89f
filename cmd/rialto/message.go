package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/rialto-hub/rialto/banks/iso20022"
)

// maxMessage is the largest file that is read; the codec's own limit is lower.
const maxMessage = 64 << 20

// messageCommand tells a bank's integrator which rule a message breaks.
func messageCommand(e env, args []string) error {
	if len(args) == 0 || args[0] != "check" {
		return usagef("check")
	}
	f := flags(e, "message check")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := f.Parse(args[1:]); err != nil {
		return usageError{err.Error()}
	}
	if f.NArg() == 0 {
		return usagef("which files?")
	}
	type verdict struct {
		File string `json:"file"`
		iso20022.Verdict
	}
	var all []verdict
	refused := false
	for _, name := range f.Args() {
		data, err := readLimited(name, maxMessage)
		if err != nil {
			return err
		}
		v := verdict{name, iso20022.Check(data)}
		refused = refused || !v.OK
		all = append(all, v)
		if !*asJSON {
			fmt.Fprintf(e.stdout, "%s: %s\n", name, v.Verdict)
		}
	}
	if *asJSON {
		if err := json.NewEncoder(e.stdout).Encode(map[string]any{"ok": !refused, "files": all}); err != nil {
			return err
		}
	}
	if refused {
		return errFinding
	}
	return nil
}

func readLimited(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	return io.ReadAll(io.LimitReader(file, limit))
}
