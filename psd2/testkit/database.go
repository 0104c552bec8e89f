package testkit

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/rialto-hub/rialto/psd2/store"
)

// Databases runs a test on SQLite and on PostgreSQL, each with a fresh,
// migrated database.
func Databases(t *testing.T, now func() time.Time, test func(*testing.T, *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t, now)) })
	t.Run("postgres", func(t *testing.T) { test(t, Open(t, PostgresConfig(t), now)) })
}

// SQLite opens a fresh, migrated SQLite database.
func SQLite(t testing.TB, now func() time.Time) *store.DB {
	t.Helper()
	return Open(t, store.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "rialto.db")}, now)
}

// Open opens and migrates a database and closes it with the test.
func Open(t testing.TB, c store.Config, now func() time.Time) *store.DB {
	t.Helper()
	if now == nil {
		now = time.Now
	}
	db, err := store.Open(context.Background(), c, store.Options{Now: now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return db
}

var postgres struct {
	sync.Mutex
	dir   string
	stdin io.Closer
	cmd   *exec.Cmd
	n     atomic.Int64
}

// PostgresConfig gives a fresh, empty PostgreSQL schema on a server of the
// test's own.
func PostgresConfig(t testing.TB) store.Config {
	t.Helper()
	dir := startPostgres(t)
	schema := fmt.Sprintf("t%d", postgres.n.Add(1))
	base := "postgres:///postgres?host=" + dir + "&user=rialto"
	db, err := sql.Open("pgx", base)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE SCHEMA " + schema); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "deployment.key")
	raw := make([]byte, 32)
	rand.Read(raw)
	if err := os.WriteFile(key, []byte(base64.StdEncoding.EncodeToString(raw)), 0o600); err != nil {
		t.Fatal(err)
	}
	return store.Config{URL: base + "&search_path=" + schema, KeyFile: key}
}

// startPostgres starts one server per test process, on a Unix socket, as a
// user who is not root. However this process ends, its shell, which waits on our
// pipe, ends the server and removes its files; Ctrl-C does not reach either.
func startPostgres(t testing.TB) string {
	t.Helper()
	postgres.Lock()
	defer postgres.Unlock()
	if postgres.dir != "" {
		return postgres.dir
	}
	bin := postgresBin(t)
	dir, err := os.MkdirTemp("", "rialto-pg")
	if err != nil {
		t.Fatal(err)
	}
	attr := unprivileged(t, dir)
	run := func(name string, args ...string) {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.SysProcAttr, cmd.Dir = attr, dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("initdb", "-D", dir+"/data", "-U", "rialto", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	cmd := exec.Command("sh", "-c", `"$0" "$@" & pid=$!; read -r _; kill -QUIT $pid; wait $pid; rm -rf "$PWD"`,
		filepath.Join(bin, "postgres"), "-D", dir+"/data", "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200")
	attr.Setpgid = true
	cmd.SysProcAttr, cmd.Dir = attr, dir
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	postgres.dir, postgres.stdin, postgres.cmd = dir, in, cmd
	db, err := sql.Open("pgx", "postgres:///postgres?host="+dir+"&user=rialto")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for deadline := time.Now().Add(30 * time.Second); db.Ping() != nil; {
		if time.Now().After(deadline) {
			t.Fatalf("PostgreSQL did not start:\n%s", log.String())
		}
		<-time.After(20 * time.Millisecond) // waiting for another process: no event to wait on
	}
	return dir
}

func stopPostgres() {
	postgres.Lock()
	defer postgres.Unlock()
	if postgres.dir == "" {
		return
	}
	postgres.stdin.Close()
	_ = postgres.cmd.Wait() // it was told to die; its exit code says just that
	os.RemoveAll(postgres.dir)
	postgres.dir = ""
}

func postgresBin(t testing.TB) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian's place, outside PATH
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	return filepath.Dir(Tool(t, "initdb"))
}

func unprivileged(t testing.TB, dir string) *syscall.SysProcAttr {
	t.Helper()
	if os.Getuid() != 0 {
		return &syscall.SysProcAttr{}
	}
	for _, name := range strings.Fields("postgres nobody") {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	Missing(t, "RIALTO_REQUIRE_TOOLS", "PostgreSQL does not run as root, and there is no other user")
	return nil
}
