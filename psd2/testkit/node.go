package testkit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Node puts the packages that source/package.json pins into the user's cache,
// once per version, and returns a folder with source's scripts from which they
// find them. Without node, npm or the registry the test is skipped.
func Node(t testing.TB, source string) (dir string) {
	t.Helper()
	Tool(t, "node")
	Tool(t, "npm")
	manifest, err := os.ReadFile(filepath.Join(source, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		Missing(t, "RIALTO_REQUIRE_TOOLS", "there is no cache folder: "+err.Error())
	}
	sum := sha256.Sum256(manifest)
	installed := filepath.Join(cache, "rialto", "node-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(installed); err != nil {
		installNode(t, manifest, installed)
	}
	// Modules are found from where a script lies, so the scripts go beside a
	// link to the installed packages.
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(installed, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// installNode installs beside the folder and renames, so that the folder is
// whole or not there.
func installNode(t testing.TB, manifest []byte, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(fresh) }()                                                  // a leftover in the cache harms nobody
	if err := os.WriteFile(filepath.Join(fresh, "package.json"), manifest, 0o644); err != nil { //nolint:gosec // no secret
		t.Fatal(err)
	}
	install := exec.Command("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
	install.Dir = fresh
	if out, err := install.CombinedOutput(); err != nil {
		Missing(t, "RIALTO_REQUIRE_TOOLS", "npm install failed: "+err.Error()+"\n"+string(out))
	}
	// Another test process may have been faster; then its folder serves.
	if err := os.Rename(fresh, dir); err != nil {
		if _, other := os.Stat(dir); other != nil {
			t.Fatal(err)
		}
	}
}

// RunNode runs a script of a folder made by Node with input on its standard
// input, and reads its standard output as JSON into output.
func RunNode(t testing.TB, dir, script string, input []byte, output any) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	node := exec.Command("node", script)
	node.Dir, node.Stdin, node.Stdout, node.Stderr = dir, bytes.NewReader(input), &stdout, &stderr
	if err := node.Run(); err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), output); err != nil {
		t.Fatalf("node wrote %s: %v", stdout.String(), err)
	}
}
