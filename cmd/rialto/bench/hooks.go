package bench

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/webhooks"
)

// Neighbour is what one in ten endpoints is like when the others are measured
// beside them.
type Neighbour int32

// Neighbours that an endpoint may have.
const (
	Healthy Neighbour = iota
	Slow              // takes four seconds
	Dead              // breaks every connection
	Huge              // answers without end
)

const (
	slowAnswer = 4 * time.Second // of a poisoned endpoint
	drainTime  = time.Minute     // for what was committed to arrive
	committers = 8               // that commit at the same time
	atOnce     = 32              // events that share a transaction when the rate is what is measured
)

// sinks is one server that is every merchant's endpoint.
type sinks struct {
	url    string
	server *http.Server
	bad    []atomic.Int32 // by endpoint, a Neighbour

	mu      sync.Mutex
	begun   map[string]time.Time // by payment: when its commit began
	took    []time.Duration
	arrived atomic.Int64
	signal  chan struct{}
}

func openSinks(endpoints int) (*sinks, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sinks{url: "http://" + l.Addr().String(), bad: make([]atomic.Int32, endpoints), begun: map[string]time.Time{}, signal: make(chan struct{}, 1)}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(l) }() // ends with Close
	return s, nil
}

// ServeHTTP notes the time before it reads anything more than it must.
func (s *sinks) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	now := time.Now()
	endpoint, _ := strconv.Atoi(r.URL.Path[1:]) // our own URL
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	switch Neighbour(s.bad[endpoint].Load()) { // their own time is no delivery's
	case Healthy:
	case Slow:
		select {
		case <-time.After(slowAnswer):
		case <-r.Context().Done():
		}
		return
	case Dead:
		panic(http.ErrAbortHandler)
	case Huge:
		for part := bytes.Repeat([]byte("x"), 32<<10); err == nil; {
			_, err = rw.Write(part)
		}
		return
	}
	if i := bytes.Index(body, []byte(`"id":"pay_`)); i >= 0 {
		id := string(body[i+6 : i+36])
		s.mu.Lock()
		if at, ok := s.begun[id]; ok {
			s.took = append(s.took, now.Sub(at))
			delete(s.begun, id)
		}
		s.mu.Unlock()
	}
	s.arrived.Add(1)
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

func (s *sinks) begin(id string, at time.Time) {
	s.mu.Lock()
	s.begun[id] = at
	s.mu.Unlock()
}

func (s *sinks) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun, s.took = map[string]time.Time{}, nil
	s.arrived.Store(0)
}

// await waits until so many have arrived.
func (s *sinks) await(ctx context.Context, n int64) error {
	deadline := time.NewTimer(drainTime)
	defer deadline.Stop()
	for s.arrived.Load() < n {
		select {
		case <-s.signal:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("%d of %d deliveries arrived", s.arrived.Load(), n)
		}
	}
	return nil
}

// hooks is the hub's part that tells merchants, as cmd runs it.
type hooks struct {
	sinks *sinks
	db    *store.DB
	bus   *bus.Bus
	node  *webhooks.Service
	stop  context.CancelFunc
	loops sync.WaitGroup
}

// group is some of the endpoints, each of a merchant of its own.
type group struct{ first, count int }

func (h *hooks) group(first, count int) group { return group{first, count} }

const allEndpoints = 1010

func openHooks(ctx context.Context, dir string) (h *hooks, err error) {
	h = &hooks{}
	if h.sinks, err = openSinks(allEndpoints); err != nil {
		return nil, err
	}
	if h.db, err = openDB(ctx, dir); err != nil {
		return nil, err
	}
	if h.bus, err = bus.Open(ctx, bus.Config{Dir: filepath.Join(dir, "jetstream")}, bus.Options{Now: time.Now}); err != nil {
		return nil, err
	}
	keys, err := jose.NewKeySet(rand.Reader, time.Now(), jose.ES256)
	if err != nil {
		return nil, err
	}
	h.node, err = webhooks.New(webhooks.Config{Sandbox: true, Timeout: 15 * time.Second},
		webhooks.Deps{Store: h.db, Bus: h.bus, Follower: h.bus.Follow("webhooks"), Keys: keys, Holder: "bench", Now: time.Now, Random: rand.Reader})
	if err != nil {
		return nil, err
	}
	for i := range allEndpoints {
		n := strconv.Itoa(i)
		if _, err := h.node.Put(ctx, webhooks.Endpoint{ID: "whe_e" + n, MerchantID: "mer_e" + n, URL: h.sinks.url + "/" + n}); err != nil {
			return nil, err
		}
	}
	h.run()
	return h, nil
}

func openDB(ctx context.Context, dir string) (*store.DB, error) {
	if err := mkdir(dir); err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, store.Config{URL: "sqlite:" + filepath.Join(dir, "bench.db")}, store.Options{Now: time.Now, Random: rand.Reader})
	if err != nil {
		return nil, err
	}
	return db, db.Migrate(ctx)
}

// run drives the background work: a loop per step, woken by its channel.
func (h *hooks) run() {
	sequencer, relay := h.db.Sequencer("bench"), h.bus.Relay(h.db, "bench")
	workers := append([]webhooks.Worker{
		{Name: "sequencer", Step: sequencer.Step, Wake: h.db.Committed()}, {Name: "relay", Step: relay.Step, Wake: sequencer.Positioned()},
	}, h.node.Workers()...)
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	for _, w := range workers {
		h.loops.Go(func() {
			timer := time.NewTimer(0)
			defer timer.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-timer.C:
				case <-w.Wake:
				}
				next, _ := w.Step(ctx, time.Now()) // a failure shows in what does not arrive
				timer.Reset(max(time.Until(next), 0))
			}
		})
	}
}

// close does not wait for poisoned endpoints.
func (h *hooks) close() error {
	h.stop()
	h.loops.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.node.Close(ctx) // cut off: what was under way is lost with the directory
	h.bus.Close()
	return errors.Join(h.sinks.server.Close(), h.db.Close())
}

// What is not done with, so that one measurement's work would be in the way of
// the next.
const (
	unheard = `SELECT COUNT(*) FROM journal WHERE position IS NULL OR position > (SELECT COALESCE(MIN(value), 0) FROM cursors WHERE name IN ('relay', 'webhooks.fanout'))`
	untold  = `SELECT COUNT(*) FROM webhook_deliveries WHERE state = 'pending'`
)

// drain waits until nothing is left of it.
func (h *hooks) drain(ctx context.Context, what string) error {
	for {
		var left int
		if err := h.db.Get(ctx, &left, what); err != nil || left == 0 {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond): // cursors and outcomes are written beside us
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// poison makes one in ten of a group bad.
func (h *hooks) poison(g group, as Neighbour) {
	for i := g.first; i < g.first+g.count; i += 10 {
		h.sinks.bad[i].Store(int32(as))
	}
}

// healthy counts those of the group's first n events, dealt out in turn, whose
// endpoints are not bad.
func (h *hooks) healthy(g group, n int) (out int64) {
	for i := range n {
		if Neighbour(h.sinks.bad[g.first+i%g.count].Load()) == Healthy {
			out++
		}
	}
	return out
}

// prepare makes payments for a group's merchants, dealt out in turn. The end of
// each is what is measured: one commit, one message and one delivery. It waits
// until the hub has nothing more to do for their beginning.
func (h *hooks) prepare(ctx context.Context, g group, n int) (ids []string, err error) {
	for len(ids) < n && err == nil {
		some := ids
		err = h.db.Tx(ctx, func(tx *store.Tx) error {
			some = ids // it may run again
			for i := len(ids); i < min(len(ids)+atOnce, n); i++ {
				p := &psd2.Payment{
					ID: psd2.NewID(psd2.PrefixPayment, tx.Now, rand.Reader), MerchantID: "mer_e" + strconv.Itoa(g.first+i%g.count), PersonID: "psn_bench",
					Amount: psd2.Euro(2500), ExpiresAt: tx.Now.Add(time.Hour), LinkHash: rand.Text(), PayerPolicy: psd2.PayerOff,
				}
				p.Create(tx.Now)
				if err := tx.CreatePayment(p); err != nil {
					return err
				}
				some = append(some, p.ID)
			}
			return nil
		})
		ids = some
	}
	return ids, cmp.Or(err, h.drain(ctx, unheard))
}

// end ends a payment, which is the event.
func end(tx *store.Tx, id string) error {
	_, err := tx.UpdatePayment(id, func(p *psd2.Payment) error {
		_, err := p.Cancel(psd2.ReasonMerchantCanceled, tx.Now)
		return err
	})
	return err
}

// paced commits events one by one at the rate, and measures each, and the
// processor time in milliseconds of each.
func (h *hooks) paced(ctx context.Context, g group, o WebhookOptions) (took spread, n int, cpu float64, err error) {
	ids, err := h.prepare(ctx, g, int(o.Paced.Seconds()*float64(o.Rate)))
	if err != nil {
		return spread{}, 0, 0, err
	}
	h.sinks.reset()
	spent := spending(&err)
	err = pace(ctx, len(ids), o.Rate, func(i int) error {
		return h.db.Tx(ctx, func(tx *store.Tx) error {
			if err := end(tx, ids[i]); err != nil {
				return err
			}
			h.sinks.begin(ids[i], time.Now())
			return nil
		})
	})
	if err == nil {
		err = h.sinks.await(ctx, h.healthy(g, len(ids)))
	}
	cpu = spent(len(ids))
	h.sinks.mu.Lock()
	defer h.sinks.mu.Unlock()
	return spreadOf(h.sinks.took), len(h.sinks.took), cpu, err
}

// pace calls do n times at a rate, or as fast as it goes (0), from a few
// goroutines.
func pace(ctx context.Context, n, rate int, do func(i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	due := make(chan int)
	var wg sync.WaitGroup
	for range committers {
		wg.Go(func() {
			for i := range due {
				if err := do(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	began := time.Now()
	for i := range n {
		if rate > 0 {
			wait := time.NewTimer(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))))
			select {
			case <-wait.C:
			case <-ctx.Done():
			}
		}
		select {
		case due <- i:
		case <-ctx.Done():
		}
	}
	close(due)
	wg.Wait()
	return context.Cause(ctx)
}

// flat commits events as fast as they go, many to a transaction, and measures
// from the first commit to the last arrival; the processor time in milliseconds
// of each until its outcome is recorded, too.
func (h *hooks) flat(ctx context.Context, g group, n int) (perSecond, cpu float64, err error) {
	ids, err := h.prepare(ctx, g, n)
	if err != nil {
		return 0, 0, err
	}
	h.sinks.reset()
	spent := spending(&err)
	began, some := time.Now(), slices.Collect(slices.Chunk(ids, atOnce))
	err = pace(ctx, len(some), 0, func(i int) error {
		return h.db.Tx(ctx, func(tx *store.Tx) error {
			for _, id := range some[i] {
				if err := end(tx, id); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err == nil {
		err = h.sinks.await(ctx, int64(n))
	}
	perSecond = float64(n) / time.Since(began).Seconds()
	if err == nil {
		err = h.drain(ctx, untold)
	}
	cpu = spent(n) // which may set err
	return perSecond, cpu, err
}

// floor is what nobody can go below: a durable row, a durable message and a
// POST, one after the other, by plain means.
type floor struct {
	sinks   *sinks
	db      *store.DB
	publish func() error
	end     func()
	client  *http.Client
}

func openFloor(ctx context.Context, dir string) (f *floor, err error) {
	f = &floor{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: bareClients}}}
	if f.sinks, err = openSinks(1); err != nil {
		return nil, err
	}
	if f.db, err = openDB(ctx, dir); err != nil {
		return nil, err
	}
	f.publish, f.end, err = bus.Bare(ctx, filepath.Join(dir, "jetstream"))
	return f, err
}

func (f *floor) close() error {
	f.client.CloseIdleConnections()
	f.end()
	return errors.Join(f.sinks.server.Close(), f.db.Close())
}

// one does the three things. The body is as long as an event's.
func (f *floor) one(ctx context.Context) error {
	id := psd2.NewID(psd2.PrefixPayment, time.Now(), rand.Reader)
	err := f.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Consume("bench", id, time.Now())
		f.sinks.begin(id, time.Now())
		return err
	})
	if err == nil {
		err = f.publish()
	}
	if err != nil {
		return err
	}
	body := append([]byte(`{"id":"`+id+`","filler":"`), bytes.Repeat([]byte("x"), 700)...)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.sinks.url+"/0", bytes.NewReader(append(body, `"}`...)))
	if err != nil {
		return err
	}
	answer, err := f.client.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return errors.Join(err, answer.Body.Close())
}

func (f *floor) paced(ctx context.Context, o WebhookOptions) (spread, error) {
	f.sinks.reset()
	err := pace(ctx, int(o.Paced.Seconds()*float64(o.Rate)), o.Rate, func(int) error { return f.one(ctx) })
	f.sinks.mu.Lock()
	defer f.sinks.mu.Unlock()
	return spreadOf(f.sinks.took), err
}

func (f *floor) flat(ctx context.Context) (float64, error) {
	return rate(func() error { return f.one(ctx) })
}
