package webhooks_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/bus"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
	"github.com/rialto-hub/rialto/webhooks"
)

// live runs the background work as a hub does: a loop per step, woken by its
// channels.
func live(b *testing.B, db *store.DB) (node *webhooks.Service) {
	b.Helper()
	bu, err := bus.Open(b.Context(), bus.Config{Dir: b.TempDir()}, bus.Options{Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	keys, err := jose.NewKeySet(rand.Reader, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	node, err = webhooks.New(webhooks.Config{Sandbox: true}, webhooks.Deps{Store: db, Bus: bu, Follower: bu.Follow("webhooks"), Keys: keys, Holder: "bench", Now: time.Now, Random: rand.Reader})
	if err != nil {
		b.Fatal(err)
	}
	seq, relay := db.Sequencer("bench"), bu.Relay(db, "bench")
	workers := append([]webhooks.Worker{
		{Name: "sequencer", Step: seq.Step, Wake: db.Committed()}, {Name: "relay", Step: relay.Step, Wake: seq.Positioned()},
	}, node.Workers()...)
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	for _, worker := range workers {
		loops.Go(func() {
			for ctx.Err() == nil {
				next, err := worker.Step(ctx, time.Now())
				if err != nil && ctx.Err() == nil {
					b.Error(worker.Name, err)
				}
				timer := time.NewTimer(time.Until(next))
				select {
				case <-timer.C:
				case <-worker.Wake:
				case <-ctx.Done():
				}
				timer.Stop()
			}
		})
	}
	b.Cleanup(func() {
		cancel()
		loops.Wait()
		_ = node.Close(context.Background())
		bu.Close()
	})
	return node
}

// BenchmarkDeliveries measures signed deliveries from commit to the sink's
// first byte, on SQLite: flat out, and one at a time on an idle hub.
func BenchmarkDeliveries(b *testing.B) {
	for _, endpoints := range []int{1, 10, 1000} {
		b.Run("flat-out/"+strconv.Itoa(endpoints), func(b *testing.B) { deliver(b, endpoints, 64) })
	}
	b.Run("idle", func(b *testing.B) { deliver(b, 1, 1) })
}

func deliver(b *testing.B, endpoints, perCommit int) {
	db := testkit.SQLite(b, time.Now)
	node := live(b, db)
	var arrived atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var committed atomic.Int64
	signal := make(chan struct{}, 1)
	sink := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived.Add(1)
		if at := committed.Load(); perCommit == 1 && at != 0 {
			mu.Lock()
			took = append(took, time.Duration(time.Now().UnixNano()-at))
			mu.Unlock()
		}
		select {
		case signal <- struct{}{}:
		default:
		}
	}))
	defer sink.Close()
	for i := range endpoints {
		_, err := node.Put(b.Context(), webhooks.Endpoint{ID: "whe_e" + strconv.Itoa(i), MerchantID: "mer_e" + strconv.Itoa(i), URL: sink.URL})
		if err != nil {
			b.Fatal(err)
		}
	}
	sent := 0
	event := func() {
		err := db.Tx(b.Context(), func(tx *store.Tx) error {
			for i := range perCommit {
				now := tx.Now
				p := &psd2.Payment{
					ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: "mer_e" + strconv.Itoa((sent+i)%endpoints),
					PersonID: "psn_x", Amount: psd2.Euro(2500), ExpiresAt: now.Add(time.Hour), LinkHash: rand.Text(), PayerPolicy: psd2.PayerOff,
				}
				p.Create(now)
				p.Cancel(psd2.ReasonMerchantCanceled, now)
				if err := tx.CreatePayment(p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		committed.Store(time.Now().UnixNano())
		sent += perCommit
	}
	wait := func(n int) {
		deadline := time.After(time.Minute)
		for arrived.Load() < int64(n) {
			select {
			case <-signal:
			case <-deadline:
				b.Fatalf("%d of %d arrived", arrived.Load(), n)
			}
		}
	}
	event()
	wait(sent)
	b.ResetTimer()
	began, first := time.Now(), sent
	for range b.N {
		event()
		if perCommit == 1 {
			wait(sent)
		}
	}
	wait(sent)
	b.ReportMetric(float64(sent-first)/time.Since(began).Seconds(), "deliveries/s")
	if perCommit == 1 {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	}
}
