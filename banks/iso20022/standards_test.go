package iso20022

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// For the tests outside the package.
var (
	Standards = standards
	Lint      = lint
)

// standards finds the official schemas and samples, which are not part of the
// repository: in $RIALTO_STANDARDS_DIR or beside the checkout.
func standards(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("RIALTO_STANDARDS_DIR")
	if dir == "" {
		root, err := filepath.Abs(".")
		if err != nil {
			t.Fatal(err)
		}
		for root != filepath.Dir(root) {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "standards")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("RIALTO_REQUIRE_ORACLES") == "1" {
			t.Fatalf("the oracle %s is missing and RIALTO_REQUIRE_ORACLES=1", name)
		}
		t.Skipf("the oracle %s is missing: set RIALTO_STANDARDS_DIR", name)
	}
	return path
}

// lint is xmllint's verdict on each of several documents of one message kind,
// by the official schema.
func lint(t testing.TB, message string, docs [][]byte) []bool {
	t.Helper()
	xsd := standards(t, "iso20022-xsd/"+message+".xsd")
	tool, err := exec.LookPath("xmllint")
	if err != nil {
		if os.Getenv("RIALTO_REQUIRE_TOOLS") == "1" {
			t.Fatal("xmllint is missing and RIALTO_REQUIRE_TOOLS=1")
		}
		t.Skip("xmllint is missing (Debian: libxml2-utils)")
	}
	scratch := t.TempDir()
	args := []string{"--noout", "--nonet", "--schema", xsd}
	for i, d := range docs {
		name := filepath.Join(scratch, fmt.Sprintf("%04d.xml", i))
		if err := os.WriteFile(name, d, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	out, _ := exec.Command(tool, args...).CombinedOutput() // the exit code only says that one of them is invalid
	valid := make([]bool, len(docs))
	for i, name := range args[4:] {
		valid[i] = bytes.Contains(out, []byte(name+" validates"))
		if !valid[i] && !bytes.Contains(out, []byte(name+" fails to validate")) && !bytes.Contains(out, []byte(name+":")) {
			t.Fatalf("xmllint says nothing about document %d: %.300s", i, out)
		}
	}
	return valid
}
