package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// wire is a TCP connection's way from one part to another, which can be cut.
type wire struct {
	net.Listener
	network, target string

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]bool
}

func newWire(t *testing.T, network, target string) *wire {
	t.Helper()
	w := &wire{Listener: listenLoopback(t), network: network, target: target, conns: map[net.Conn]bool{}}
	go func() {
		for {
			c, err := w.Accept()
			if err != nil {
				return
			}
			go w.lead(c)
		}
	}()
	t.Cleanup(func() { _ = w.Close(); w.cut(true) })
	return w
}

func (w *wire) address() string { return w.Addr().String() }

// lead carries bytes both ways until either end, or the wire, is cut.
func (w *wire) lead(from net.Conn) {
	defer from.Close()
	w.mu.Lock()
	down := w.down
	w.mu.Unlock()
	if down {
		return
	}
	to, err := net.Dial(w.network, w.target)
	if err != nil {
		return
	}
	defer to.Close()
	w.mu.Lock()
	w.conns[from] = true
	down = w.down
	w.mu.Unlock()
	defer func() { w.mu.Lock(); delete(w.conns, from); w.mu.Unlock() }()
	if down {
		return
	}
	go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
	_, _ = io.Copy(from, to)
}

func (w *wire) cut(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
	if down {
		for c := range w.conns {
			_ = c.Close()
		}
	}
}

const nodes = 3

// cluster is three NATS servers, PostgreSQL, and three hubs in processes of
// their own, with a wire between any two of them.
type cluster struct {
	t       *testing.T
	random  *rand.Rand
	f       *fleet.Fleet
	dir     string
	clients [nodes]string // addresses, the same after each restart
	routes  [nodes]string
	between [nodes][nodes]*wire // from server to server
	toNATS  [nodes][nodes]*wire // from hub to server
	toDB    [nodes]*wire
	servers [nodes]*bus.Server
	hubs    [nodes]*exec.Cmd // 0 is the fleet's own
}

// TestClusterSurvivesKillsAndPartitions: three hubs on PostgreSQL and a NATS
// cluster of three, of which parts are killed, wiped and cut off from each other
// while payers are at every stage. Afterwards bank, hub and merchant agree:
// nothing is paid twice, and every event was told.
func TestClusterSurvivesKillsAndPartitions(t *testing.T) {
	testkit.PostgresConfig(t) // or skip
	inParts(t, verdict{Killed: "cluster", Database: "postgres"}, 5, 120, func(*testing.T) fleet.Options { return fleet.Options{} }, killCluster)
}

func killCluster(ctx context.Context, t *testing.T, _ fleet.Options, v verdict, random *rand.Rand) {
	c := startCluster(ctx, t, random)
	defer func() {
		if t.Failed() {
			t.Logf("the first hub's last words:\n%s", c.f.HubLog())
		}
	}()
	k := newKillers(t, c.f)
	k.payers(ctx, 6)
	began := time.Now()
	for range v.Kills {
		c.fault(ctx)
	}
	v.Seconds = time.Since(began).Seconds()
	k.conclude(ctx, v)
}

func startCluster(ctx context.Context, t *testing.T, random *rand.Rand) *cluster {
	t.Helper()
	c := &cluster{t: t, random: random, dir: t.TempDir()}
	db := testkit.PostgresConfig(t)
	for i := range nodes {
		c.clients[i], c.routes[i] = testkit.FreeAddress(t), testkit.FreeAddress(t)
	}
	for i := range nodes {
		for j := range nodes {
			c.toNATS[i][j] = newWire(t, "tcp", c.clients[j])
			if i != j {
				c.between[i][j] = newWire(t, "tcp", c.routes[j])
			}
		}
	}
	for i := range nodes {
		c.startServer(i)
	}
	t.Cleanup(func() {
		for _, s := range c.servers {
			s.Close()
		}
	})
	program, env := program(t)
	var urls [nodes]string
	for i := range nodes {
		c.toDB[i], urls[i] = databaseWire(t, db.URL)
	}
	f, err := fleet.Start(ctx, fleet.Options{
		Dir: c.dir, Program: program, Env: env, DatabaseURL: urls[0], KeyFile: db.KeyFile, Bank: sandbox.Bank{RedirectLife: 6 * time.Second},
		Hub: map[string]any{
			"hub": map[string]any{"expire_after": "6s", "bank_timeout": "1s", "patience": "1s"}, "nats": map[string]any{"url": c.natsURL(0)},
			"signing_keys_file": filepath.Join(c.dir, "signing-keys.json"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	c.f = f
	for i := 1; i < nodes; i++ {
		c.configure(i, urls[i])
		c.startHub(ctx, i)
		t.Cleanup(func() { c.killHub(i) })
	}
	return c
}

func (c *cluster) natsURL(hub int) string {
	var list []string
	for j := range nodes {
		list = append(list, "nats://"+c.toNATS[hub][j].address())
	}
	return strings.Join(list, ",")
}

func (c *cluster) startServer(i int) {
	c.t.Helper()
	config := bus.ServerConfig{
		Dir: filepath.Join(c.dir, "nats"+strconv.Itoa(i)), Listen: c.clients[i], Name: "node" + strconv.Itoa(i),
		Cluster: bus.Cluster{Name: "rialto", Listen: c.routes[i]},
	}
	for j := range nodes {
		if j != i {
			config.Cluster.Routes = append(config.Cluster.Routes, c.between[i][j].address())
		}
	}
	s, err := bus.StartServer(config, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.servers[i] = s
}

// databaseWire puts a wire before a PostgreSQL URL, with a TCP or a Unix socket.
func databaseWire(t *testing.T, text string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	network, target := "tcp", u.Host
	if dir := q.Get("host"); strings.HasPrefix(dir, "/") {
		port := q.Get("port")
		if port == "" {
			port = "5432"
		}
		network, target = "unix", filepath.Join(dir, ".s.PGSQL."+port)
		q.Del("host")
		q.Del("port")
	} else if u.Port() == "" {
		target = net.JoinHostPort(u.Hostname(), "5432")
	}
	w := newWire(t, network, target)
	u.Host, u.RawQuery = w.address(), q.Encode()
	return w, u.String()
}

// configure writes another hub's configuration: the first one's, with places
// of its own.
func (c *cluster) configure(i int, databaseURL string) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, "hub.yaml"))
	var cfg map[string]any
	if err = errors.Join(err, yaml.Unmarshal(text, &cfg)); err != nil {
		c.t.Fatal(err)
	}
	cfg["data_dir"] = filepath.Join(c.dir, "hub"+strconv.Itoa(i))
	web := cfg["http"].(map[string]any)
	web["listen"], web["admin"], web["ops"] = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg["nats"] = map[string]any{"url": c.natsURL(i)}
	cfg["database"].(map[string]any)["url"] = databaseURL
	if text, err = yaml.Marshal(cfg); err == nil {
		err = os.WriteFile(c.config(i), text, 0o600)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) config(i int) string { return filepath.Join(c.dir, "hub"+strconv.Itoa(i)+".yaml") }

// startHub starts a hub and waits until it listens; while its database is cut
// off it may end instead, and is started again.
func (c *cluster) startHub(ctx context.Context, i int) {
	c.t.Helper()
	if i == 0 {
		if err := c.f.StartHub(ctx); err != nil {
			c.t.Fatal(err)
		}
		return
	}
	path, env := program(c.t)
	cmd := exec.Command(path, "serve", "--config", c.config(i))
	cmd.Env = append(append(os.Environ(), env...), "SSL_CERT_FILE="+filepath.Join(c.dir, "dev-ca.pem"), "SSL_CERT_DIR="+c.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var words strings.Builder
	cmd.Stderr = &words
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "admin ") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			c.hubs[i] = cmd
			return
		}
	}
	_ = cmd.Wait()
	c.t.Fatalf("hub %d did not start: %s", i, words.String())
}

func (c *cluster) killHub(i int) {
	if i == 0 {
		c.f.KillHub()
		return
	}
	if cmd := c.hubs[i]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		c.hubs[i] = nil
	}
}

// fault makes one thing go wrong for a while.
func (c *cluster) fault(ctx context.Context) {
	c.t.Helper()
	i := c.random.IntN(nodes)
	last := time.Duration(200+c.random.IntN(1500)) * time.Millisecond
	heal := func() {}
	what := ""
	switch c.random.IntN(6) {
	case 0:
		what = "hub killed"
		c.killHub(i)
		heal = func() { c.startHub(ctx, i) }
	case 1:
		what = "NATS server stopped"
		c.servers[i].Close()
		heal = func() { c.startServer(i) }
	case 2:
		what = "NATS server stopped and wiped"
		c.servers[i].Close()
		if err := os.RemoveAll(filepath.Join(c.dir, "nats"+strconv.Itoa(i))); err != nil {
			c.t.Fatal(err)
		}
		heal = func() { c.startServer(i) }
	case 3:
		what = "NATS server cut off from the others"
		heal = cutAll(append(c.between[i][:], column(c.between, i)...))
	case 4:
		what = "hub cut off from NATS"
		heal = cutAll(c.toNATS[i][:])
	case 5:
		what = "hub cut off from its database"
		heal = cutAll([]*wire{c.toDB[i]})
	}
	c.t.Log(fmt.Sprint(what, ": ", i, " for ", last))
	wait := time.NewTimer(last)
	defer wait.Stop()
	select {
	case <-wait.C: // how long the fault lasts is the test's input
	case <-ctx.Done():
		c.t.Fatal(ctx.Err())
	}
	heal()
}

func column(all [nodes][nodes]*wire, i int) (list []*wire) {
	for j := range nodes {
		list = append(list, all[j][i])
	}
	return list
}

func cutAll(list []*wire) (heal func()) {
	set := func(down bool) {
		for _, w := range list {
			if w != nil {
				w.cut(down)
			}
		}
	}
	set(true)
	return func() { set(false) }
}
