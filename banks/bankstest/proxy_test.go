package bankstest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// TestResetTakesRequestsWhole: however TCP cuts a request to pieces, the fault
// acts on the request it is meant for and on no other, and counts it once.
func TestResetTakesRequestsWhole(t *testing.T) {
	bank := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer bank.Close()
	u, err := url.Parse(bank.URL)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProxy(u, nil, func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Path == "/pay" })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const (
		other = "POST /ask HTTP/1.1\r\nHost: b\r\nContent-Length: 22\r\n\r\nPOST /pay HTTP/1.1\r\n\r\n" // its body looks like an order
		order = "POST /pay HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}"
	)
	for name, size := range map[string]int{"byte by byte": 1, "in threes": 3, "head and body apart": len(other) - 22, "at once": 1 << 10} {
		t.Run(name, func(t *testing.T) {
			p.Clear()
			p.Set(Fault{Reset: true})
			ours, theirs := net.Pipe() // each write is a read of its own
			defer ours.Close()
			served := make(chan error, 1)
			l := &onePipe{conns: make(chan net.Conn, 1)}
			l.conns <- theirs
			server := &http.Server{Handler: p, ConnContext: p.server.ConnContext}
			go func() { served <- server.Serve(listener{l, p}) }()
			defer func() { _ = server.Close(); <-served }()
			answers := bufio.NewReader(ours)
			for range 2 { // a used connection too
				if err := inPieces(ours, other, size); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatalf("another request was hit: %v", err)
				}
				if body, err := io.ReadAll(resp.Body); err != nil || len(body) != 22 {
					t.Fatalf("%q %v", body, err)
				}
			}
			_ = inPieces(ours, order, size) // may fail: it is cut off
			if _, err := http.ReadResponse(answers, nil); err == nil {
				t.Fatal("the order was answered")
			}
			if p.Creations() != 1 || p.Requests() != 3 || !p.Reused() {
				t.Errorf("%d orders, %d requests, reused %v", p.Creations(), p.Requests(), p.Reused())
			}
		})
	}
}

func inPieces(w io.Writer, s string, size int) error {
	for len(s) > 0 {
		n := min(size, len(s))
		if _, err := io.WriteString(w, s[:n]); err != nil {
			return err
		}
		s = s[n:]
	}
	return nil
}

// onePipe accepts what is put into it.
type onePipe struct{ conns chan net.Conn }

func (l *onePipe) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *onePipe) Close() error {
	close(l.conns)
	return nil
}

func (l *onePipe) Addr() net.Addr { return &net.TCPAddr{} }
