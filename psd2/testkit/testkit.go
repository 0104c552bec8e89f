// Package testkit is what tests of several rooms share: both databases, a
// clock, the tools and oracles a test may need. Only tests import it.
//
// A test whose tool or oracle is missing says so and is skipped; with
// RIALTO_REQUIRE_TOOLS=1 or RIALTO_REQUIRE_ORACLES=1 it fails instead, so that
// nothing is skipped in silence where everything should be there.
package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/testkit/loopback"
)

// Main runs a package's tests and stops what they shared. Packages that use
// Databases call it from TestMain.
func Main(m *testing.M) int {
	defer stopPostgres()
	return m.Run()
}

// FreeAddress is a loopback.FreeAddress, or the end of the test.
func FreeAddress(t testing.TB) string {
	t.Helper()
	address, err := loopback.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// Root is the repository's folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}

// StandardPath is where a file of the standards' folder should be:
// $RIALTO_STANDARDS_DIR, or ../shared/standards beside the repository. It may
// not be there; most tests want Standard.
func StandardPath(t testing.TB, name ...string) string {
	t.Helper()
	return beside(t, "RIALTO_STANDARDS_DIR", "standards", name)
}

// Standard finds a file or folder of the standards' folder, or skips the test.
func Standard(t testing.TB, name ...string) string {
	t.Helper()
	return oracle(t, "RIALTO_STANDARDS_DIR", StandardPath(t, name...))
}

// ReadStandard reads a file of the standards' folder whole, or skips the test.
func ReadStandard(t testing.TB, name ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(Standard(t, name...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Compliance finds a file or folder of the compliance data, which are real
// sanctions lists and labelled names ($RIALTO_COMPLIANCE_DIR, or
// ../shared/compliance beside the repository), or skips the test.
func Compliance(t testing.TB, name ...string) string {
	t.Helper()
	return oracle(t, "RIALTO_COMPLIANCE_DIR", beside(t, "RIALTO_COMPLIANCE_DIR", "compliance", name))
}

// beside is a path in the folder that the environment names, or else in one
// that lies beside the repository.
func beside(t testing.TB, variable, folder string, name []string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		dir = filepath.Join(Root(t), "..", "shared", folder)
	}
	return filepath.Join(append([]string{dir}, name...)...)
}

func oracle(t testing.TB, variable, path string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		Missing(t, "RIALTO_REQUIRE_ORACLES", "the oracle "+filepath.Base(path)+" is not at hand: set "+variable)
	}
	return path
}

// Tool finds a program.
func Tool(t testing.TB, names ...string) string {
	t.Helper()
	for _, n := range names {
		if p, err := exec.LookPath(n); err == nil {
			return p
		}
	}
	Missing(t, "RIALTO_REQUIRE_TOOLS", "the program "+names[0]+" is not installed")
	return ""
}

// Missing skips the test for want of something, or fails it where the variable
// require says that all of it is at hand.
func Missing(t testing.TB, require, what string) {
	t.Helper()
	if os.Getenv(require) == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// Clock is a time that moves only when told to.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// NewClock starts at a fixed moment.
func NewClock() *Clock {
	return &Clock{t: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)}
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Add moves the clock and returns its new time.
func (c *Clock) Add(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return c.t
}
