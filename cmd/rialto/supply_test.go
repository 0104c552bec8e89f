package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rialto-hub/rialto/psd2/testkit"
)

// TestVersionListsEveryModuleWithItsHash: C50. The bill of materials agrees
// with go.sum, and holds what the hub certainly uses.
func TestVersionListsEveryModuleWithItsHash(t *testing.T) {
	t.Parallel()
	code, out, _ := rialto(t, "version", "--json")
	var v versionInfo
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	sums, err := os.ReadFile(filepath.Join(testkit.Root(t), "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, m := range v.Modules {
		have[m.Path] = true
		if !bytes.Contains(sums, []byte(m.Path+" "+m.Version+" "+m.Sum+"\n")) {
			t.Errorf("%s %s has not the hash of go.sum: %q", m.Path, m.Version, m.Sum)
		}
	}
	for _, must := range []string{"github.com/go-jose/go-jose/v4", "github.com/nats-io/nats.go", "github.com/labstack/echo/v4", "modernc.org/sqlite", "github.com/jackc/pgx/v5"} {
		if !have[must] {
			t.Errorf("%s is missing", must)
		}
	}
	if !strings.HasPrefix(v.Go, "go1.") {
		t.Errorf("go: %q", v.Go)
	}
	if code, out, _ := rialto(t, "version"); code != 0 || !strings.Contains(out, "modernc.org/sqlite") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// leak is the shape of a secret, or of a developer's own machine. words are
// literals one of which every such text holds: looking for them is quick.
type leak struct {
	what  string
	words []string
	shape *regexp.Regexp
	// inTests allows it there: tests show hostile addresses.
	inTests bool
}

var leaks = []leak{
	{"a private key", []string{"PRIVATE KEY-----"}, regexp.MustCompile(`-----BEGIN ([A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/]`), false},
	{"a private JWK", []string{`"d"`}, regexp.MustCompile(`"d"\s*:\s*"[A-Za-z0-9_-]{40,}"`), false},
	{"an AWS key", []string{"AKIA", "ASIA"}, regexp.MustCompile(`\b(AKIA|ASIA)[0-9A-Z]{16}\b`), false},
	{"a GitHub token", []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"}, regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})`), false},
	{"a GitLab token", []string{"glpat-"}, regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{20,}`), false},
	{"a Slack token", []string{"xox"}, regexp.MustCompile(`\bxox[abprs]-[A-Za-z0-9-]{10,}`), false},
	{"a Google key", []string{"AIza"}, regexp.MustCompile(`\bAIza[0-9A-Za-z_-]{35}\b`), false},
	{"a Stripe key", []string{"k_live_"}, regexp.MustCompile(`\b[rs]k_live_[0-9A-Za-z]{20,}`), false},
	{"an npm token", []string{"npm_"}, regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}\b`), false},
	{"a JWT", []string{".eyJ"}, regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}`), false},
	{"a webhook secret", []string{"whsec_", "whsk_"}, regexp.MustCompile(`\bwhs(ec|k)_[A-Za-z0-9+/]{32,}`), false},
	{"a password in an address", []string{"://"}, regexp.MustCompile(`\b(postgres(ql)?|mysql|amqps?|nats|tls|redis|mongodb)://[^/\s:@"'<>{}$%]+:[^/\s:@"'<>{}$%]{3,}@[a-z0-9]`), true},
	{"a path of somebody's machine", []string{"/home/", "/Users/", "/root/", "/work/"}, regexp.MustCompile("(^|[\\s\"'`=(])/(home|Users|root|work)/[A-Za-z0-9._-]+"), false},
}

// in finds the leak in a file; at is its place, -1: nowhere.
func (l leak) in(name string, data []byte) (at int) {
	if l.inTests && strings.HasSuffix(name, "_test.go") || !slices.ContainsFunc(l.words, func(w string) bool { return bytes.Contains(data, []byte(w)) }) {
		return -1
	}
	if where := l.shape.FindIndex(data); where != nil {
		return where[0]
	}
	return -1
}

// innocent files may hold what looks like a secret; test vectors of standards
// live in testdata.
var innocent = map[string]string{
	"webhooks/verify/example_test.go": "an example's secret, shown in the documentation",
}

// TestNoSecretIsInTheRepository: C50. Every tracked file outside testdata is
// searched for the shapes of secrets.
func TestNoSecretIsInTheRepository(t *testing.T) {
	t.Parallel()
	root := testkit.Root(t)
	files := tracked(t, root)
	if len(files) < 100 {
		t.Fatalf("only %d files", len(files))
	}
	for _, name := range files {
		if strings.Contains("/"+name, "/testdata/") || innocent[name] != "" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0 {
			continue // deleted since, or a picture
		}
		for _, l := range leaks {
			if at := l.in(name, data); at >= 0 {
				t.Errorf("%s:%d holds %s", name, bytes.Count(data[:at], []byte("\n"))+1, l.what)
			}
		}
	}
}

// tracked lists the files git knows or would add; without git, all.
func tracked(t *testing.T, root string) (files []string) {
	t.Helper()
	out, err := exec.Command("git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err == nil {
		return strings.Fields(string(out))
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(root, path)
			files = append(files, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestSecretShapesAreSeen: C50, the test of the test above. The samples are
// put together here so that this file holds none.
func TestSecretShapesAreSeen(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("Ab1x", 12)
	samples := map[string]string{
		"a private key": "-----BEGIN EC PRIVATE" + " KEY-----\nMHcC", "a private JWK": `"d": "` + long + `"`, "an AWS key": "AKIA" + "ABCDEFGH12345678", "a GitHub token": "ghp_" + long,
		"a GitLab token": "glpat-" + long, "a Slack token": "xoxb-" + long, "a Google key": "AIza" + long[:35], "a Stripe key": "sk_live_" + long, "an npm token": "npm_" + long[:36],
		"a JWT": "eyJ" + long + ".eyJ" + long + "." + long, "a webhook secret": "whsec_" + long, "a password in an address": "postgres://rialto:" + "hunter22@db", "a path of somebody's machine": `"/ho` + `me/somebody/x"`,
	}
	for _, l := range leaks {
		if l.in("x.go", []byte(samples[l.what])) < 0 {
			t.Errorf("%s is not seen in %q", l.what, samples[l.what])
		}
	}
}
