package webhooks_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const (
	merchant = "mer_a"
	canary   = "Canary-Erika-4711"
)

// world is a hub's webhooks with everything beneath them real, its time in the
// test's hand.
type world struct {
	t        *testing.T
	clock    *testkit.Clock
	db       *store.DB
	bus      *bus.Bus
	keys     *jose.KeySet
	config   webhooks.Config
	seq      *store.Sequencer
	relay    *bus.Relay
	nodes    []*webhooks.Service
	resolver webhooks.Resolver
	roots    *x509.CertPool
	notifier webhooks.Notifier
}

func newWorld(t *testing.T, db *store.DB, clock *testkit.Clock, c bus.Config) *world {
	t.Helper()
	b, err := bus.Open(t.Context(), c, bus.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	keys, err := jose.NewKeySet(rand.Reader, clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, clock: clock, db: db, bus: b, keys: keys, config: webhooks.Config{Sandbox: true},
		seq: db.Sequencer("test"), relay: b.Relay(db, "test"),
	}
}

// simple is a world on SQLite with one node.
func simple(t *testing.T, change ...func(*world)) *world {
	t.Helper()
	clock := testkit.NewClock()
	w := newWorld(t, testkit.SQLite(t, clock.Now), clock, bus.Config{Dir: t.TempDir()})
	for _, c := range change {
		c(w)
	}
	w.node("one")
	return w
}

func (w *world) deps(holder string) webhooks.Deps {
	return webhooks.Deps{
		Store: w.db, Bus: w.bus, Follower: w.bus.Follow("webhooks"), Keys: w.keys, Holder: holder, Now: w.clock.Now, Random: rand.Reader, Resolver: w.resolver,
		Roots: w.roots, Notifier: w.notifier,
	}
}

// simpleDeps are what a service needs, for tests of its configuration.
func simpleDeps(t *testing.T) webhooks.Deps { t.Helper(); return simple(t).deps("other") }

// node starts a process's webhooks.
func (w *world) node(holder string) *webhooks.Service {
	w.t.Helper()
	s, err := webhooks.New(w.config, w.deps(holder))
	if err != nil {
		w.t.Fatal(err)
	}
	w.nodes = append(w.nodes, s)
	w.t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what hangs is cut off
		_ = s.Close(ctx)
	})
	return s
}

// step drives every piece of background work once.
func (w *world) step() {
	w.t.Helper()
	now := w.clock.Now()
	if _, err := w.seq.Step(w.t.Context(), now); err != nil {
		w.t.Fatal(err)
	}
	_, _ = w.relay.Step(w.t.Context(), now) // NATS may be away; the webhooks must not mind
	for _, s := range w.nodes {
		for _, worker := range s.Workers() {
			if _, err := worker.Step(w.t.Context(), now); err != nil && worker.Name != "webhooks.notices" { // mail may be away
				w.t.Fatal(worker.Name, err)
			}
		}
	}
}

// until steps until it has come to that.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	deadline := time.After(30 * time.Second)
	for w.step(); !done(); w.step() {
		select {
		case <-deadline:
			w.t.Fatal("it never came to that: " + what)
		case <-time.After(time.Millisecond): // senders and sinks run beside us
		}
	}
}

// quiet steps until nothing is left to do at this time.
func (w *world) quiet() {
	w.t.Helper()
	w.until("quiet", func() bool {
		var waiting int
		if err := w.db.Get(w.t.Context(), &waiting, `SELECT COUNT(*) FROM journal WHERE position IS NULL`); err != nil || waiting > 0 {
			return false
		}
		for _, s := range w.nodes {
			if !s.Quiet(w.t.Context(), w.clock.Now()) {
				return false
			}
		}
		return true
	})
}

// pass lets time go by, in steps small enough for leases to be kept.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for ; d > 0; d -= 10 * time.Second {
		w.clock.Add(min(d, 10*time.Second))
		w.step()
	}
}

// jump lets much time go by at once, as when a machine slept.
func (w *world) jump(d time.Duration) {
	w.t.Helper()
	w.clock.Add(d)
	w.step()
	w.step()
}

func (w *world) put(e webhooks.Endpoint) *webhooks.Endpoint {
	w.t.Helper()
	if e.MerchantID == "" {
		e.MerchantID = merchant
	}
	out, err := w.nodes[0].Put(w.t.Context(), e)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// payment commits a payment; it has no event that merchants are told of yet.
func (w *world) payment() string { w.t.Helper(); return w.paymentOf(merchant) }

// eventOf makes a payment of some merchant with one event to be told.
func (w *world) eventOf(merchantID string) { w.t.Helper(); w.event(w.paymentOf(merchantID)) }

func (w *world) paymentOf(merchantID string) string {
	w.t.Helper()
	now := w.db.Now()
	p := &psd2.Payment{
		ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: merchantID,
		PersonID: w.db.PersonID(merchantID, "player-1"), Amount: psd2.Euro(2500),
		ExpiresAt: now.Add(1000 * time.Hour), LinkHash: rand.Text(), PayerPolicy: psd2.PayerRequired,
		Personal: psd2.Personal{
			Reference: "Deposit 1", Player: psd2.Player{Reference: "player-1", Name: "Erika Mustermann"},
			Payee: psd2.Party{Name: "Casino", IBAN: "DE89370400440532013000"}, Metadata: map[string]string{"note": canary},
		},
	}
	p.Create(now)
	if err := w.db.Tx(w.t.Context(), func(tx *store.Tx) error { return tx.CreatePayment(p) }); err != nil {
		w.t.Fatal(err)
	}
	return p.ID
}

// event makes one more event of the payment that merchants are told of: the
// n-th has the sequence 1+2n.
func (w *world) event(paymentID string) { w.t.Helper(); w.events(paymentID, 1) }

// events makes several events at once.
func (w *world) events(paymentID string, n int) {
	w.t.Helper()
	_, err := w.db.UpdatePayment(w.t.Context(), paymentID, func(p *psd2.Payment) error {
		now := w.db.Now()
		for range n {
			id := psd2.NewID(psd2.PrefixAttempt, now, rand.Reader)
			if err := p.BeginAttempt(psd2.Attempt{ID: id, BankID: "bank", EndToEndID: psd2.NewEndToEndID(id)}, psd2.PSU{}, now); err != nil {
				return err
			}
			if err := p.InitiationFailed(id, psd2.ReasonBankUnavailable, "", now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) deliveries(endpointID string) []webhooks.Delivery {
	w.t.Helper()
	list, _, err := w.nodes[0].Deliveries(w.t.Context(), merchant, endpointID, "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func (w *world) only(endpointID string) webhooks.Delivery {
	w.t.Helper()
	list := w.deliveries(endpointID)
	if len(list) != 1 {
		w.t.Fatalf("%d deliveries, want 1", len(list))
	}
	return list[0]
}

// got is a request as a sink received it.
type got struct {
	header   http.Header
	body     []byte
	id       string
	sequence int64
	object   string
}

// sink is a merchant's server.
type sink struct {
	*httptest.Server
	mu       sync.Mutex
	received []got
}

// newSink starts a server that keeps what it receives and answers as told;
// nil: 204.
func newSink(t *testing.T, answer func(http.ResponseWriter, *http.Request, got)) *sink {
	t.Helper()
	s := &sink{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var event struct {
			ID       string `json:"id"`
			Sequence int64  `json:"sequence"`
			Data     struct {
				Payment struct {
					ID string `json:"id"`
				} `json:"payment"`
			} `json:"data"`
		}
		if err != nil || json.Unmarshal(body, &event) != nil {
			t.Errorf("unreadable delivery: %v %q", err, body)
		}
		g := got{r.Header.Clone(), body, event.ID, event.Sequence, event.Data.Payment.ID}
		s.mu.Lock()
		s.received = append(s.received, g)
		s.mu.Unlock()
		if answer != nil {
			answer(rw, r, g)
			return
		}
		rw.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *sink) all() []got {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]got(nil), s.received...)
}

func (s *sink) count() int { return len(s.all()) }

// inOrderOnce checks that every payment's events came once and in order.
func inOrderOnce(t *testing.T, list []got, events int) {
	t.Helper()
	last, seen := map[string]int64{}, map[string]bool{}
	for _, g := range list {
		if seen[g.id] {
			t.Errorf("%s came twice", g.id)
		}
		seen[g.id] = true
		if g.sequence <= last[g.object] {
			t.Errorf("%s: sequence %d after %d", g.object, g.sequence, last[g.object])
		}
		last[g.object] = g.sequence
	}
	if len(seen) != events {
		t.Errorf("%d events came, want %d", len(seen), events)
	}
}

func status(code int) func(http.ResponseWriter, *http.Request, got) {
	return func(rw http.ResponseWriter, _ *http.Request, _ got) { rw.WriteHeader(code) }
}

func asError(err error, to **psd2.Error) bool { return errors.As(err, to) }
