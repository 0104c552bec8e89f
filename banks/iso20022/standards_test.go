package iso20022

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rialto-hub/rialto/psd2/testkit"
)

// Lint is for the tests outside the package.
var Lint = lint

// lint is xmllint's verdict on each of several documents of one message kind,
// by the official schema.
func lint(t testing.TB, message string, docs [][]byte) []bool {
	t.Helper()
	xsd := testkit.Standard(t, "iso20022-xsd", message+".xsd")
	tool := testkit.Tool(t, "xmllint")
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
