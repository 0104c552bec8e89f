package store_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// benchmark runs op by one and by 32 goroutines on both databases, and says
// how many it did in a second. prepare gets the number of calls to come.
func benchmark(b *testing.B, prepare func(b *testing.B, db *store.DB) (op func(i int) error)) {
	for _, kind := range kinds {
		for _, workers := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/%d", kind, workers), func(b *testing.B) {
				op := prepare(b, newWorld(b, kind, nil).open(b))
				var n atomic.Int64
				run := func() {
					if err := op(int(n.Add(1) - 1)); err != nil {
						b.Error(err)
					}
				}
				b.ReportAllocs()
				b.ResetTimer()
				if workers == 1 {
					for range b.N {
						run()
					}
				} else {
					b.SetParallelism(max(1, workers/runtime.GOMAXPROCS(0)))
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							run()
						}
					})
				}
				b.ReportMetric(float64(n.Load())/b.Elapsed().Seconds(), "ops/s")
			})
		}
	}
}

func BenchmarkCreatePayment(b *testing.B) {
	benchmark(b, func(b *testing.B, db *store.DB) func(int) error {
		return func(i int) error {
			p := newPayment(db, "mer_a", fmt.Sprint("player ", i)) // one player per deposit: a new data key each
			return db.Tx(ctx, func(tx *store.Tx) error { return tx.CreatePayment(p) })
		}
	})
}

// BenchmarkUpdatePayment takes payments through their lives, one step a call.
func BenchmarkUpdatePayment(b *testing.B) {
	benchmark(b, func(b *testing.B, db *store.DB) func(int) error {
		ids := make([]string, b.N/6+33)
		for from := 0; from < len(ids); from += 500 {
			err := db.Tx(ctx, func(tx *store.Tx) error {
				for i := from; i < min(from+500, len(ids)); i++ {
					p := newPayment(db, "mer_a", fmt.Sprint("player ", i))
					ids[i] = p.ID
					if err := tx.CreatePayment(p); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		return func(i int) error {
			// Callers are spread over payments, so that steps of one payment
			// seldom meet.
			_, err := db.UpdatePayment(ctx, ids[i%len(ids)], func(p *psd2.Payment) error { return advance(p, db.Now()) })
			return err
		}
	})
}

func BenchmarkReadPayment(b *testing.B) {
	benchmark(b, func(b *testing.B, db *store.DB) func(int) error {
		p := newPayment(db, "mer_a", "player")
		if err := db.Tx(ctx, func(tx *store.Tx) error { return tx.CreatePayment(p) }); err != nil {
			b.Fatal(err)
		}
		return func(int) error {
			_, err := db.MerchantPayment(b.Context(), "mer_a", p.ID)
			return err
		}
	})
}

// BenchmarkReadJournal reads on from the journal's end, as the relay and those
// who follow do at every sign.
func BenchmarkReadJournal(b *testing.B) {
	benchmark(b, func(b *testing.B, db *store.DB) func(int) error {
		return func(int) error {
			_, err := db.MarksFrom(b.Context(), 0, 512)
			return err
		}
	})
}
