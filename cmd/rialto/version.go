package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"text/tabwriter"
)

// versionInfo is what the binary is made of, as the linker recorded it: a bill
// of materials that cannot drift from the binary.
type versionInfo struct {
	Version  string       `json:"version"` // "(devel)" when built from a working copy
	Go       string       `json:"go"`
	Revision string       `json:"revision,omitempty"` // of the sources
	Modified bool         `json:"modified"`           // the working copy had changes
	Modules  []moduleInfo `json:"modules"`
}

// moduleInfo is one module; Sum is its hash as in go.sum.
type moduleInfo struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Sum     string `json:"sum"`
}

func versionCommand(e env, args []string) error {
	f := flags(e, "version")
	asJSON := f.Bool("json", false, "print one JSON document")
	if err := parse(f, args, 0); err != nil {
		return err
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this binary does not say what it is made of")
	}
	v := readVersion(build)
	if *asJSON {
		return json.NewEncoder(e.stdout).Encode(v)
	}
	fmt.Fprintf(e.stdout, "rialto %s, %s %s\n", v.Version, v.Go, v.Revision)
	w := tabwriter.NewWriter(e.stdout, 0, 4, 2, ' ', 0)
	for _, m := range v.Modules {
		fmt.Fprintf(w, "%s\t%s\t%s\n", m.Path, m.Version, m.Sum)
	}
	return w.Flush()
}

func readVersion(build *debug.BuildInfo) versionInfo {
	v := versionInfo{Version: build.Main.Version, Go: build.GoVersion, Modules: []moduleInfo{}}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	for _, m := range build.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		v.Modules = append(v.Modules, moduleInfo{m.Path, m.Version, m.Sum})
	}
	return v
}
