package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/psd2/testkit"
)

const module = "github.com/rialto-hub/rialto/"

// mayImport is the house's plan: which of our packages each package may use.
// "any" is for those who wire. A new package needs a row.
var mayImport = map[string]string{
	"psd2":                           "",
	"psd2/edge":                      "psd2",
	"psd2/page":                      "psd2",
	"psd2/room":                      "psd2/edge psd2/page",
	"psd2/jose":                      "psd2",
	"psd2/store":                     "psd2",
	"psd2/bus":                       "psd2 psd2/store",
	"psd2/hub":                       "psd2 psd2/store psd2/jose banks sca",
	"psd2/api":                       "psd2 psd2/hub psd2/jose psd2/store psd2/edge psd2/page webhooks webhooks/verify banks",
	"psd2/api/apiclient":             "psd2 psd2/jose",
	"psd2/consent":                   "psd2 psd2/hub psd2/jose psd2/bus psd2/edge psd2/page psd2/room sca banks",
	"psd2/ops":                       "psd2 psd2/hub psd2/store psd2/jose psd2/bus psd2/edge psd2/page psd2/room banks",
	"psd2/sim":                       "psd2 psd2/store psd2/bus psd2/hub psd2/jose banks webhooks webhooks/verify psd2/testkit",
	"psd2/testkit":                   "psd2 psd2/store psd2/testkit/loopback",
	"psd2/testkit/account":           "psd2 banks",
	"psd2/testkit/browser":           "psd2/testkit",
	"psd2/testkit/loopback":          "",
	"psd2/testkit/passkey":           "",
	"banks":                          "psd2",
	"banks/bankstest":                "psd2 banks",
	"banks/bankstest/skeleton":       "psd2 banks banks/courier",
	"banks/berlingroup":              "psd2 banks psd2/jose banks/iso20022 banks/courier",
	"banks/courier":                  "psd2 banks psd2/jose",
	"banks/iso20022":                 "psd2",
	"banks/remote":                   "psd2 banks banks/remote/adapter",
	"banks/remote/adapter":           "psd2 banks",
	"banks/remote/adapter/example":   "banks banks/berlingroup banks/remote/adapter",
	"banks/sctinst":                  "psd2 banks psd2/jose banks/iso20022 banks/courier",
	"banks/vop":                      "psd2 banks psd2/jose banks/courier",
	"banks/sandbox":                  "psd2 banks psd2/jose banks/iso20022",
	"banks/sandbox/psu":              "",
	"banks/sandbox/trial":            "psd2 banks banks/bankstest banks/sandbox/psu",
	"webhooks":                       "psd2 psd2/store psd2/jose psd2/bus webhooks/verify psd2/edge",
	"webhooks/verify":                "",
	"compliance":                     "psd2 psd2/store psd2/jose compliance/goaml",
	"compliance/console":             "psd2 psd2/edge psd2/page psd2/room compliance compliance/goaml compliance/names compliance/rulebook compliance/rules compliance/rules/explain compliance/score",
	"compliance/goaml":               "psd2",
	"compliance/names":               "",
	"compliance/rules":               "psd2 compliance/names",
	"compliance/rules/explain":       "psd2 psd2/page compliance/rules",
	"compliance/rules/rulestest":     "compliance/rules",
	"compliance/score":               "",
	"compliance/limits":              "psd2 psd2/store",
	"compliance/limits/limitsandbox": "compliance/limits",
	"compliance/rulebook":            "psd2 psd2/store psd2/jose compliance compliance/rules compliance/score",
	"compliance/screening":           "psd2 psd2/store compliance compliance/names compliance/rules",
	"compliance/monitor":             "psd2 psd2/store psd2/bus compliance compliance/rules compliance/names compliance/rulebook compliance/score",
	"sca":                            "psd2 psd2/store psd2/jose",
	"sca/app":                        "psd2 psd2/edge psd2/page psd2/room sca",
	"configs":                        "any",
	"cmd/rialto":                     "any",
	"cmd/rialto/run":                 "any",
	"cmd/rialto/demo":                "any",
	"cmd/rialto/demo/casino":         "psd2 psd2/api/apiclient webhooks/verify",
	"cmd/rialto/payer":               "banks/sandbox/psu",
	"cmd/rialto/fleet":               "any",
	"cmd/rialto/bench":               "any",
	"cmd/rialto/certify":             "any",
	"cmd/rialto/devtls":              "",
}

// onlyIn says where a library may be used.
var onlyIn = map[string]string{
	"github.com/go-jose/go-jose": "psd2/jose webhooks/verify",
	"github.com/nats-io/":        "psd2/bus banks/remote/adapter banks/remote/adapter/",
	"github.com/labstack/echo":   "psd2/api psd2/consent psd2/ops psd2/room sca/app compliance/console banks/sandbox cmd/",
	"github.com/jmoiron/sqlx":    "psd2/store banks/sandbox",
	module + "configs":           "cmd/",
}

// TestImportsFollowThePlan parses every file, so that a change anywhere counts.
func TestImportsFollowThePlan(t *testing.T) {
	root := testkit.Root(t)
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			if d != nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir
			}
			return err
		}
		rel, _ := filepath.Rel(root, filepath.Dir(path))
		room := filepath.ToSlash(rel)
		seen[room] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imp := range file.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			checkImport(t, room, filepath.Base(path), name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for room := range seen {
		if _, ok := mayImport[room]; !ok {
			t.Errorf("package %s is not in the plan", room)
		}
	}
}

func checkImport(t *testing.T, room, file, name string) {
	t.Helper()
	for lib, rooms := range onlyIn {
		if !strings.HasPrefix(name, lib) {
			continue
		}
		ok := slices.ContainsFunc(strings.Fields(rooms), func(r string) bool { return room == r || strings.HasSuffix(r, "/") && strings.HasPrefix(room, r) })
		if !ok && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s/%s imports %s, which only %s may", room, file, name, rooms)
		}
	}
	ours, isOurs := strings.CutPrefix(name, module)
	if !isOurs || strings.HasSuffix(file, "_test.go") { // tests use real parts of every room
		if room == "psd2" && !isOurs && strings.Contains(name, ".") && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("psd2 imports %s: standard library only", name)
		}
		return
	}
	allowed := mayImport[room]
	if allowed == "any" || ours == room || slices.Contains(strings.Fields(allowed), ours) {
		return
	}
	t.Errorf("%s/%s imports %s, which is not in the plan (%q)", room, file, ours, allowed)
}
