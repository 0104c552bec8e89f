package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/devtls"
	"github.com/rialto-hub/rialto/cmd/rialto/payer"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// TestTLS13Only: R-38, C48. The public and the operators' listener speak
// TLS 1.3 with the given certificate, and refuse TLS 1.2.
func TestTLS13Only(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := devtls.Write(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	cfg := hubConfig(t, nil, withTLS(filepath.Join(dir, "dev-cert.pem"), filepath.Join(dir, "dev-key.pem"), "https://pay.localhost"))
	h := startHub(t, cfg, nil)
	ca, err := os.ReadFile(filepath.Join(dir, "dev-ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	dial := func(address string, c *tls.Config) (*tls.ConnectionState, error) {
		c.RootCAs, c.ServerName, c.NextProtos = roots, "pay.localhost", []string{"h2", "http/1.1"}
		conn, err := tls.Dial("tcp", address, c)
		if err != nil {
			return nil, err
		}
		defer func() { _ = conn.Close() }()
		state := conn.ConnectionState()
		return &state, nil
	}
	for name, address := range map[string]string{"public": h.PublicURL, "ops": h.OpsURL} {
		host := strings.TrimPrefix(address, "https://")
		if host == address {
			t.Fatalf("%s is at %s", name, address)
		}
		state, err := dial(host, &tls.Config{MinVersion: tls.VersionTLS12})
		if err != nil || state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "h2" {
			t.Errorf("%s: %+v, %v", name, state, err)
		}
		if _, err := dial(host, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12}); err == nil {
			t.Errorf("%s speaks TLS 1.2", name)
		}
		res, err := http.Get("http://" + host + "/")
		if err == nil {
			if _ = res.Body.Close(); res.StatusCode != http.StatusBadRequest {
				t.Errorf("%s answers plain HTTP: %d", name, res.StatusCode)
			}
		}
	}
}

// TestReadyzSaysWhenTheDatabaseIsGone puts PostgreSQL behind a door of ours
// and closes it: the process takes itself out of service, stays alive, and
// comes back when the database does.
func TestReadyzSaysWhenTheDatabaseIsGone(t *testing.T) {
	t.Parallel()
	db := testkit.PostgresConfig(t)
	door := openDoor(t, &db.URL)
	h := startHub(t, hubConfig(t, nil, "database: {url: \""+db.URL+"\", key_file: "+db.KeyFile+"}\n"), nil)
	ask := func(path string) (int, string) {
		res, err := http.Get(h.AdminURL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	if status, body := ask("/readyz"); status != http.StatusOK || !strings.Contains(body, `"database":"ok"`) {
		t.Fatalf("%d %s", status, body)
	}
	door.close()
	waitFor(t, func() bool { status, _ := ask("/readyz"); return status == http.StatusServiceUnavailable })
	if _, body := ask("/readyz"); !strings.Contains(body, `"database":"not answering"`) || !strings.Contains(body, `"nats":"ok"`) || strings.Contains(body, "socket") {
		t.Errorf("%s", body)
	}
	if status, _ := ask("/healthz"); status != http.StatusOK {
		t.Errorf("a process without its database is still alive: %d", status)
	}
	door.open(t)
	waitFor(t, func() bool { status, _ := ask("/readyz"); return status == http.StatusOK })
}

// door is a Unix socket before PostgreSQL's own.
type door struct {
	dir, to string

	mu    sync.Mutex
	l     net.Listener
	conns []net.Conn
}

var socketDir = regexp.MustCompile(`host=([^&]+)`)

// openDoor leads a database's address through a door.
func openDoor(t *testing.T, address *string) *door {
	t.Helper()
	m := socketDir.FindStringSubmatch(*address)
	if m == nil {
		t.Fatal("the database's address names no socket")
	}
	dir, err := os.MkdirTemp("", "door") // short: a socket's path has a limit
	if err != nil {
		t.Fatal(err)
	}
	d := &door{dir: dir, to: filepath.Join(m[1], ".s.PGSQL.5432")}
	*address = strings.Replace(*address, m[1], dir, 1)
	d.open(t)
	t.Cleanup(func() { d.close(); _ = os.RemoveAll(dir) })
	return d
}

func (d *door) open(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(d.dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	d.l = l
	d.mu.Unlock()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", d.to)
			if err != nil {
				_ = in.Close()
				continue
			}
			d.mu.Lock()
			if d.conns = append(d.conns, in, out); d.l != l { // closed meanwhile
				_, _ = in.Close(), out.Close()
			}
			d.mu.Unlock()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }() // ends with the connection
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
		}
	}()
}

func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.l.Close() // also removes the socket
	d.l = nil
	for _, c := range d.conns {
		_ = c.Close()
	}
	d.conns = nil
}

// serving is a hub in a process of its own.
type serving struct {
	cmd    *exec.Cmd
	stdout *bufio.Scanner
	stderr *buffer
	urls   map[string]string
	ended  chan error
}

// serve starts the program with a configuration written as YAML.
func serve(t *testing.T, cfg map[string]any) *serving {
	t.Helper()
	text, err := yaml.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	config := write(t, t.TempDir(), "hub.yaml", string(text))
	path, environment := program(t)
	p := &serving{cmd: exec.Command(path, "serve", "--config", config), stderr: &buffer{}, urls: map[string]string{}, ended: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), environment...)
	p.cmd.Stderr = p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // usually it has ended
	p.stdout = bufio.NewScanner(out)
	for len(p.urls) < 3 && p.stdout.Scan() {
		if name, u, ok := strings.Cut(p.stdout.Text(), " "); ok {
			p.urls[name] = strings.TrimSpace(u)
		}
	}
	if len(p.urls) < 3 {
		t.Fatalf("it did not start: %s", p.stderr)
	}
	go func() {
		for p.stdout.Scan() { // it says no more
		}
		p.ended <- p.cmd.Wait()
	}()
	return p
}

// processConfig is a hub's configuration with a merchant, for a process.
func processConfig(t *testing.T, b *bankServer, s *shop) map[string]any {
	t.Helper()
	dir := t.TempDir()
	address := testkit.FreeAddress(t)
	return map[string]any{
		"sandbox": true, "data_dir": filepath.Join(dir, "hub"), "log": map[string]any{"level": "debug"},
		"http": map[string]any{"listen": address, "ops": "127.0.0.1:0", "admin": "127.0.0.1:0", "officers": "127.0.0.1:0"},
		"banks": map[string]any{"entries": []map[string]any{{"id": "sandbank", "name": "Sandbank", "adapter": "berlingroup", "countries": []string{"DE"},
			"profile": b.entries()[0].Profile}}},
		"merchants": []map[string]any{{
			"id": s.ID, "name": s.Name, "keys_file": write(t, dir, "jwks.json", string(s.Keys)),
			"accounts":    []map[string]any{{"id": s.AccountID, "name": "Shop Ltd", "iban": string(shopIBAN)}},
			"return_uris": s.ReturnURIs,
			"webhooks":    []map[string]any{{"id": psd2.NewID(psd2.PrefixEndpoint, time.Now(), randomness), "url": s.sink}},
		}},
	}
}

// gate keeps one order at the bank waiting.
type gate struct {
	reached, opened chan struct{}
	once            sync.Once
}

func newGate() *gate { return &gate{reached: make(chan struct{}), opened: make(chan struct{})} }

func (g *gate) hold(r *http.Request) {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/instant-sepa-credit-transfers") {
		g.once.Do(func() {
			close(g.reached)
			<-g.opened
		})
	}
}

// TestShutdownFinishesWhatIsUnderWay: SIGTERM reaches a hub with an open event
// stream and an order at the bank. The stream ends at once, nobody new is let
// in, the payer still gets his answer, and the process exits with 0.
func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	s := newShop(t, nil)
	p := serve(t, processConfig(t, b, s))
	public := p.urls["public"]
	s.Client = s.client(t, public)
	payment := s.create(t, s.deposit("Anna Beispiel"))
	stream := openStream(t, payment.HostedPage.URL)

	other := s.create(t, s.deposit("Anna Beispiel"))
	g := newGate()
	b.holding(g.hold)
	consented := make(chan payer.Result, 1)
	go func() {
		person := payer.Payer{Client: payer.NewClient(nil), Bank: "sandbank", Now: time.Now, NeverReturns: true}
		r, _ := person.Pay(t.Context(), other.HostedPage.URL) // he has no login there; that he got there is what counts
		consented <- r
	}()
	<-g.reached
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(stream); err != nil || strings.Contains(string(rest), "event: end") {
		t.Errorf("the stream broke: %v %q", err, rest)
	}
	waitFor(t, func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(public, "http://"))
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	select {
	case err := <-p.ended:
		t.Fatalf("it ended with an order under way: %v\n%s", err, p.stderr)
	default:
	}
	close(g.opened)
	if r := <-consented; !r.AtBank {
		t.Errorf("the payer under way was not sent to his bank: %+v", r)
	}
	select {
	case err := <-p.ended:
		if err != nil {
			t.Errorf("it did not end well: %v\n%s", err, p.stderr)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("it never ended\n%s", p.stderr)
	}
}

// openStream binds a browser to a payment and opens its event stream; it
// returns once the first event is there.
func openStream(t *testing.T, address string) io.Reader {
	t.Helper()
	client := payer.NewClient(nil)
	client.Timeout = 0
	person := payer.Payer{Client: client, Bank: "sandbank", Wish: psu.Wish{}, Now: time.Now, NeverReturns: true}
	r, _ := person.Pay(t.Context(), address) // he stops at the bank's login: the payment waits for him
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if !r.AtBank {
		t.Fatalf("he never came to the bank: %+v", r)
	}
	id := paymentOf(t, client, u)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.Scheme+"://"+u.Host+"/pay/"+id+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	stream := bufio.NewReader(res.Body)
	if first, err := stream.ReadString('\n'); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("the stream does not begin: %d %q %v", res.StatusCode, first, err)
	}
	return stream
}

// paymentOf reads the payment's id from the cookie that binds the browser.
func paymentOf(t *testing.T, client *http.Client, u *url.URL) string {
	t.Helper()
	for _, c := range client.Jar.Cookies(u) {
		if id := "pay_" + strings.TrimPrefix(c.Name, "__Host-rp_"); psd2.IsID(psd2.PrefixPayment, id) {
			return id
		}
	}
	t.Fatal("the browser is not bound")
	return ""
}

// line is one line of the hub's log.
type line struct {
	Msg, Room, Route, Method, Call string
	Trace                          string `json:"trace_id"`
	Status                         int
}

// TestOneTraceFromTheRequestToTheBank: every line of the log is JSON; each
// request has one wide event, whose trace id is that of the problem answer and
// of the order at the bank.
func TestOneTraceFromTheRequestToTheBank(t *testing.T) {
	t.Parallel()
	log := &buffer{}
	b := startBank(t)
	h := startHub(t, hubConfig(t, b, ""), log)
	s := openShop(t, h, h.PublicURL, "hook", nil)
	p := s.create(t, s.deposit("Anna Beispiel"))
	anna, err := b.Operator.Persona(t.Context(), "sandbank", "anna")
	if err != nil {
		t.Fatal(err)
	}
	counted := &counter{RoundTripper: &http.Transport{DialContext: payer.DialLoopback}, host: strings.TrimPrefix(h.PublicURL, "http://")}
	payAt(t, p.HostedPage.URL, anna, psu.Wish{}, counted)
	s.await(t, p.ID, psd2.EventCreditable)
	var problem apiclient.Problem
	res, err := http.Get(h.PublicURL + "/v1/payments/pay%0Anothing%1b%5B31m") // C38
	if err != nil {
		t.Fatal(err)
	}
	err = json.NewDecoder(res.Body).Decode(&problem)
	_ = res.Body.Close()
	if err != nil || problem.TraceID == "" {
		t.Fatalf("%+v, %v", problem, err)
	}
	orders := b.initiations()
	if len(orders) != 1 {
		t.Fatalf("%d orders", len(orders))
	}
	parts := strings.Split(orders[0].Header.Get("Traceparent"), "-")
	if len(parts) != 4 {
		t.Fatalf("traceparent: %q", orders[0].Header.Get("Traceparent"))
	}
	traces := map[string][]line{}
	requests := 0
	for text := range strings.Lines(log.String()) {
		var l line
		var all map[string]any
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("no JSON: %q", text)
		}
		if err := json.Unmarshal([]byte(text), &all); err != nil || all["time"] == nil || all["level"] == nil {
			t.Errorf("no time or level: %q", text)
		}
		if l.Msg == "request" {
			if l.Trace == "" || l.Room == "" || l.Method == "" || l.Status == 0 {
				t.Errorf("a request's event is not whole: %s", text)
			}
			traces[l.Trace] = append(traces[l.Trace], l)
			if l.Route == "/notify/:attempt" { // the bank's, not the payer's
				continue
			}
			if l.Room == "consent" || l.Room == "pages" || strings.HasPrefix(l.Route, "/p") || strings.HasPrefix(l.Route, "/return") {
				requests++
			}
		}
	}
	for trace, events := range traces {
		if len(events) != 1 {
			t.Errorf("%d events with trace %s: %+v", len(events), trace, events)
		}
	}
	if e := traces[problem.TraceID]; len(e) != 1 || e[0].Status != http.StatusUnauthorized {
		t.Errorf("the problem's trace leads to %+v", e)
	}
	if e := traces[parts[1]]; len(e) != 1 || e[0].Method != http.MethodPost || e[0].Route != "/pay/:id/confirm" {
		t.Errorf("the bank's trace leads to %+v", e)
	}
	if got := counted.count(); requests != got || got < 5 {
		t.Errorf("%d events for the payer's %d requests", requests, got)
	}
}

// counter counts requests to one host.
type counter struct {
	http.RoundTripper
	host string
	mu   sync.Mutex
	n    int
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == c.host {
		c.mu.Lock()
		c.n++
		c.mu.Unlock()
	}
	return c.RoundTripper.RoundTrip(r)
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// TestServeEndsWhenItCannotListen: a port that is taken is an error at once,
// not a hub without ears.
func TestServeEndsWhenItCannotListen(t *testing.T) {
	t.Parallel()
	l := listenLoopback(t)
	defer func() { _ = l.Close() }()
	config := write(t, t.TempDir(), "hub.yaml", fmt.Sprintf("sandbox: true\ndata_dir: %s\nhttp: {listen: %q, ops: \"127.0.0.1:0\", admin: \"127.0.0.1:0\", officers: \"127.0.0.1:0\"}\n", filepath.Join(t.TempDir(), "d"), l.Addr()))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, errs buffer
	if code := dispatch(env{ctx, &out, &errs}, []string{"serve", "--config", config}); code != 1 || ctx.Err() != nil || !strings.Contains(errs.String(), "address already in use") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}
