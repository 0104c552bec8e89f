package api_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2/api"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/webhooks"
	"github.com/rialto-hub/rialto/webhooks/verify"
)

// newWebhooks are a world's webhooks, with a NATS of their own.
func newWebhooks(t testing.TB, w *world) *webhooks.Service {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir()}, bus.Options{Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	s, err := webhooks.New(webhooks.Config{Sandbox: true}, webhooks.Deps{Store: w.db, Bus: b, Follower: b.Follow("webhooks"), Keys: w.keys, Holder: "test", Now: w.now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Close(ctx)
	})
	return s
}

// hooked is a merchant who may manage webhooks.
func (w *world) hooked(name string) *merchant {
	w.t.Helper()
	m := w.merchant(name)
	m.Scopes = append(m.Scopes, api.ScopeWebhooksWrite)
	m.save()
	return m
}

func (m *merchant) endpoint(url string, events []string) *apiclient.Endpoint {
	m.w.t.Helper()
	e, err := m.client().CreateEndpoint(context.Background(), apiclient.EndpointChange{URL: &url, Events: &events}, rand.Text())
	if err != nil {
		m.w.t.Fatal(err)
	}
	return e
}

// until drives the background work until it has come to that.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	deadline, sequencer := time.After(30*time.Second), w.db.Sequencer("test")
	for !done() {
		if _, err := sequencer.Step(context.Background(), w.now()); err != nil {
			w.t.Fatal(err)
		}
		for _, worker := range w.hook.Workers() {
			if _, err := worker.Step(context.Background(), w.now()); err != nil {
				w.t.Fatal(worker.Name, err)
			}
		}
		select {
		case <-deadline:
			w.t.Fatal("it never came to that: " + what)
		case <-time.After(time.Millisecond): // sender and sink run beside us
		}
	}
}

// sink is a merchant's server.
type sink struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []hit
}

type hit struct {
	header http.Header
	body   []byte
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{status: http.StatusNoContent}
	s.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got = append(s.got, hit{r.Header.Clone(), body})
		rw.WriteHeader(s.status)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) answer(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

func (s *sink) hits() []hit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]hit(nil), s.got...)
}

// believed says whether a receiver with that one key takes a delivery.
func (w *world) believed(key string, h hit) error {
	w.t.Helper()
	c := verify.Config{Now: w.now}
	if strings.HasPrefix(key, "whsec_") {
		c.Secrets = []string{key}
	} else {
		c.PublicKeys = []string{key}
	}
	v, err := verify.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = v.Verify(h.header, h.body, w.now())
	return err
}

// problemCode is the code of a client's error.
func problemCode(err error) string {
	var p *apiclient.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return fmt.Sprint(err)
}
