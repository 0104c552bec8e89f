package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/bankstest"
	"github.com/rialto-hub/rialto/banks/remote"
	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/banks/sandbox/trial"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// TestMain lets the test binary be the example itself.
func TestMain(m *testing.M) {
	if os.Getenv("BE_THE_ADAPTER") == "yes" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestExampleAdaptersAreCertified runs the suite of all adapters against the
// two examples, each in processes of its own.
func TestExampleAdaptersAreCertified(t *testing.T) {
	t.Run("go", func(t *testing.T) {
		certify(t, []string{"cancel"}, func() *exec.Cmd {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "BE_THE_ADAPTER=yes")
			return c
		})
	})
	t.Run("node", func(t *testing.T) {
		node := testkit.Tool(t, "node")
		certify(t, []string{"cancel"}, func() *exec.Cmd { return exec.Command(node, "node/adapter.mjs") })
	})
}

// names of banks under which the processes of one test serve, one each.
const names = 120

func certify(t *testing.T, ops []string, command func() *exec.Cmd) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("a-long-enough-password"), 0o600); err != nil {
		t.Fatal(err)
	}
	var users []bus.AdapterUser
	for i := range names {
		users = append(users, bus.AdapterUser{Bank: fmt.Sprint("bank", i), PasswordFile: password})
	}
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Adapters: users}, bus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	s, err := sandbox.Open(sandbox.Config{}, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &processes{t: t, command: command, env: []string{"NATS_URL=" + b.AdapterURL(), "NATS_PASSWORD_FILE=" + password,
		"REDIRECT_ORIGIN=" + server.URL, "INSECURE_LOOPBACK=yes"}}
	t.Cleanup(p.stop)
	bank := trial.Bank{Operator: psu.Operator{Client: server.Client(), Origin: server.URL}, ID: "sandbank"}
	bankstest.Run(t, bank.Target(func(base string, log *slog.Logger) (banks.Bank, error) {
		id, err := p.start(base, log)
		if err != nil {
			return nil, err
		}
		return remote.New(id, remote.Config{RedirectOrigins: []string{server.URL}, Ops: ops}, b)
	}))
}

// processes are the adapters of one test. A check needs two at most, so the
// oldest are ended.
type processes struct {
	t       *testing.T
	command func() *exec.Cmd
	env     []string

	mu      sync.Mutex
	n       int
	running []*exec.Cmd
}

func (p *processes) start(base string, log *slog.Logger) (id string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id = fmt.Sprint("bank", p.n)
	p.n++
	c := p.command()
	if c.Env == nil {
		c.Env = os.Environ()
	}
	c.Env = append(append(c.Env, p.env...), "BANK_ID="+id, "BANK_URL="+base)
	c.Stderr = said{log}
	out, err := c.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := c.Start(); err != nil {
		return "", err
	}
	p.running = append(p.running, c)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		return "", fmt.Errorf("the adapter did not start: %q %w", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	for len(p.running) > 4 {
		end(p.running[0])
		p.running = p.running[1:]
	}
	return id, nil
}

func (p *processes) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.running {
		end(c)
	}
}

func end(c *exec.Cmd) {
	_ = c.Process.Kill()
	_ = c.Wait() // it was killed
}

// said gives what an adapter says to the suite, which looks for secrets in it.
type said struct{ log *slog.Logger }

func (s said) Write(p []byte) (int, error) {
	s.log.Info(string(p))
	return len(p), nil
}
