package fleet

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// Received is one delivery.
type Received struct {
	EventID  string
	Type     string
	Sequence int64
	Status   psd2.State
	At       time.Time
}

// Sink is the merchant's webhook endpoint. It verifies every delivery.
type Sink struct {
	URL       string
	AccountID string

	secret, private string
	verifier        *verify.Verifier
	server          *http.Server

	mu       sync.Mutex
	payments map[string][]Received
	waiters  map[string]chan struct{}
	bad      []string
	total    int
}

func newSink(dir string) (*Sink, error) {
	s := &Sink{payments: map[string][]Received{}, waiters: map[string]chan struct{}{}}
	var err error
	if s.secret, s.private, err = newKeys(); err != nil {
		return nil, err
	}
	// One signature is checked here, as a merchant would; all three are checked
	// by the demo's casino.
	if s.verifier, err = verify.New(verify.Config{Secrets: []string{s.secret}}); err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "dev-cert.pem"), filepath.Join(dir, "dev-key.pem"))
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.URL = "https://" + l.Addr().String() + "/webhook"
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		_ = s.server.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13})) // ends with close
	}()
	return s, nil
}

func (s *Sink) close() { _ = s.server.Close() } // nothing of ours is in it

func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	e, err := s.verifier.Verify(r.Header, body, now)
	var data struct {
		Payment struct {
			ID     string     `json:"id"`
			Status psd2.State `json:"status"`
		} `json:"payment"`
	}
	if err == nil {
		err = json.Unmarshal(e.Data, &data)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	if err != nil {
		s.bad = append(s.bad, err.Error())
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	id := data.Payment.ID
	s.payments[id] = append(s.payments[id], Received{e.ID, e.Type, e.Sequence, data.Payment.Status, now})
	if c := s.waiters[id]; c != nil {
		close(c)
		delete(s.waiters, id)
	}
	w.WriteHeader(http.StatusNoContent)
}

// Of lists what was received about a payment.
func (s *Sink) Of(paymentID string) []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Received(nil), s.payments[paymentID]...)
}

// Bad lists deliveries that did not verify.
func (s *Sink) Bad() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.bad...)
}

// Total counts deliveries.
func (s *Sink) Total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Await waits until done says that a payment's deliveries are complete.
func (s *Sink) Await(ctx context.Context, paymentID string, done func([]Received) bool) ([]Received, error) {
	for {
		s.mu.Lock()
		got := s.payments[paymentID]
		if done(got) {
			s.mu.Unlock()
			return got, nil
		}
		c := s.waiters[paymentID]
		if c == nil {
			c = make(chan struct{})
			s.waiters[paymentID] = c
		}
		s.mu.Unlock()
		select {
		case <-c:
		case <-ctx.Done():
			return got, errors.New("sink: some deliveries never came")
		}
	}
}

// Forget drops what was received about a payment.
func (s *Sink) Forget(paymentID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.payments, paymentID)
}

// Has makes a condition for Await: each of the types has come.
func Has(types ...string) func([]Received) bool {
	return func(got []Received) bool {
		for _, t := range types {
			found := false
			for _, g := range got {
				found = found || g.Type == t
			}
			if !found {
				return false
			}
		}
		return true
	}
}
