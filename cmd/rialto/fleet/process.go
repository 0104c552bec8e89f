// Package fleet runs a hub and its bank as processes of their own, with a
// merchant's sink and client in this one: three parties over TLS on loopback,
// nothing switched off. The benchmark measures it, the kill tests kill it.
package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a child of ours. On Linux it dies with us.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	log  *tail

	mu  sync.Mutex
	err error
}

// start runs the program until it has printed a line for each of the wanted
// words ("public", "banks"), and returns what followed each word.
func start(ctx context.Context, program string, env, args []string, logTo io.Writer, words ...string) (*process, map[string]string, error) {
	p := &process{name: args[0], cmd: exec.Command(program, args...), done: make(chan struct{}), log: &tail{out: logTo}}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, nil, err
	}
	lines := make(chan string)
	go func() {
		s := bufio.NewScanner(stdout)
		for s.Scan() {
			lines <- s.Text()
		}
		close(lines)
	}()
	said, err := listen(ctx, lines, words)
	go func() {
		for range lines { // whatever else it says
		}
		werr := p.cmd.Wait()
		p.mu.Lock()
		p.err = werr
		p.mu.Unlock()
		close(p.done)
	}()
	if err != nil {
		p.kill()
		return nil, nil, fmt.Errorf("%s did not start: %w\n%s", p.name, err, p.log)
	}
	return p, said, nil
}

func listen(ctx context.Context, lines <-chan string, words []string) (map[string]string, error) {
	said := map[string]string{}
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for len(said) < len(words) {
		select {
		case line, ok := <-lines:
			if !ok {
				return nil, errors.New("it ended")
			}
			for _, w := range words {
				if rest, ok := strings.CutPrefix(line, w+" "); ok {
					said[w] = strings.TrimSpace(rest)
				}
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-deadline.C:
			return nil, errors.New("it said nothing")
		}
	}
	return said, nil
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be dead already
	<-p.done
}

// stop asks it to end and waits; after 20 seconds it is killed.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be dead already
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.kill()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// tail keeps the end of what a process logs.
type tail struct {
	out io.Writer
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if len(t.buf) > 32<<10 {
		t.buf = t.buf[len(t.buf)-16<<10:]
	}
	if t.out != nil {
		_, _ = t.out.Write(b) // a copy for whoever looks
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
