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
)

// Main runs a package's tests and stops what they shared. Packages that use
// Databases call it from TestMain.
func Main(m *testing.M) int {
	defer stopPostgres()
	return m.Run()
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

// Standard finds a file of the standards' folder ($RIALTO_STANDARDS_DIR, or
// ../shared/standards beside the repository).
func Standard(t testing.TB, name ...string) string {
	t.Helper()
	dir := os.Getenv("RIALTO_STANDARDS_DIR")
	if dir == "" {
		dir = filepath.Join(Root(t), "..", "shared", "standards")
	}
	path := filepath.Join(append([]string{dir}, name...)...)
	if _, err := os.Stat(path); err != nil {
		missing(t, "RIALTO_REQUIRE_ORACLES", "the standard "+filepath.Join(name...)+" is not at hand")
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
	missing(t, "RIALTO_REQUIRE_TOOLS", "the program "+names[0]+" is not installed")
	return ""
}

func missing(t testing.TB, require, what string) {
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
