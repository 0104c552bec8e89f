// Package bench measures the hub as its users meet it. Lifecycle does complete
// deposits — created over the signed API, paid through the hosted page and the
// bank's pages, settled, every webhook acknowledged — between three processes
// over TLS, and compares the rate with what the same parts cost bare in the
// same run.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
	"github.com/rialto-hub/rialto/psd2"
)

// Options of a run.
type Options struct {
	Fleet    fleet.Options
	Deposits int // measured
	Warmup   int // before them, not measured
	Clients  int // payers at once
	Progress func(done, of int)
}

// Counts are what deposits cost, each.
type Counts struct {
	Transactions  float64 `json:"transactions"`   // logical database transactions of the hub
	Commits       float64 `json:"commits"`        // physical ones, each with an fsync
	HTTPExchanges float64 `json:"http_exchanges"` // all parties: API, pages, bank, webhooks
	Signatures    float64 `json:"signatures"`     // asymmetric, all parties
	Verifications float64 `json:"verifications"`
	Messages      float64 `json:"messages"` // durable NATS publishes
}

// Report is the benchmark's answer.
type Report struct {
	Deposits      int     `json:"deposits"`
	Clients       int     `json:"clients"`
	Database      string  `json:"database"`
	ThroughputPS  float64 `json:"throughput_per_s"`
	P50MS         float64 `json:"p50_ms"`
	P99MS         float64 `json:"p99_ms"`
	PerDeposit    Counts  `json:"per_deposit"`
	Budget        Counts  `json:"budget"`
	Bare          Rates   `json:"bare_per_s"`
	FloorPS       float64 `json:"floor_per_s"`
	Ratio         float64 `json:"ratio"`
	OverBudget    string  `json:"over_budget,omitempty"`
	CPUPerDeposit CPU     `json:"cpu_ms_per_deposit"`
}

// CPU is processor time by process, in milliseconds a deposit.
type CPU struct {
	Client float64 `json:"client_and_sink"`
	Hub    float64 `json:"hub"`
	Bank   float64 `json:"bank"`
}

// Budget is what one deposit may cost; the README explains the numbers. A run
// that costs more is a finding.
var Budget = Counts{Transactions: 8, Commits: 8, HTTPExchanges: 18, Signatures: 10, Verifications: 2, Messages: 8}

// Lifecycle runs the benchmark.
func Lifecycle(ctx context.Context, o Options) (r Report, err error) {
	f, err := fleet.Start(ctx, o.Fleet)
	if err != nil {
		return r, err
	}
	defer f.Close()
	people, err := f.Customers(ctx, o.Warmup+o.Deposits)
	if err != nil {
		return r, err
	}
	if _, err := deposits(ctx, f, people[:o.Warmup], o.Clients, nil); err != nil {
		return r, fmt.Errorf("warm-up: %w", err)
	}
	before, err := measure(ctx, f)
	if err != nil {
		return r, err
	}
	began := time.Now()
	took, err := deposits(ctx, f, people[o.Warmup:], o.Clients, o.Progress)
	elapsed := time.Since(began)
	if err != nil {
		return r, err
	}
	after, err := measure(ctx, f)
	if err != nil {
		return r, err
	}
	if bad := f.Sink.Bad(); len(bad) > 0 {
		return r, fmt.Errorf("%d webhooks did not verify: %s", len(bad), bad[0])
	}
	n := float64(o.Deposits)
	r = Report{Deposits: o.Deposits, Clients: o.Clients, Database: "sqlite", Budget: Budget, ThroughputPS: round(n / elapsed.Seconds())}
	if o.Fleet.DatabaseURL != "" {
		r.Database = "postgres"
	}
	slices.Sort(took)
	r.P50MS, r.P99MS = millis(quantile(took, .50)), millis(quantile(took, .99))
	r.PerDeposit, r.CPUPerDeposit = after.since(before, n)
	r.OverBudget = r.PerDeposit.over(Budget)
	f.Close() // the parts are measured bare, without the whole beside them
	if r.Bare, err = bare(ctx, o.Fleet); err != nil {
		return r, err
	}
	r.FloorPS = round(r.Bare.floor(Budget))
	r.Ratio = math.Round(r.ThroughputPS/r.FloorPS*1000) / 1000
	return r, nil
}

// deposits does one for each of the people, so many at once, and returns how
// long each took from the create request to the last webhook's answer.
func deposits(ctx context.Context, f *fleet.Fleet, people []psu.Credentials, clients int, progress func(done, of int)) ([]time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]time.Duration, len(people))
	var next, done atomic.Int64
	var wg sync.WaitGroup
	for range min(clients, len(people)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(people) {
					return
				}
				began := time.Now()
				if err := deposit(ctx, f, people[i]); err != nil {
					cancel(fmt.Errorf("deposit %d: %w", i, err))
					return
				}
				took[i] = time.Since(began)
				if n := int(done.Add(1)); progress != nil {
					progress(n, len(people))
				}
			}
		})
	}
	wg.Wait()
	return took, context.Cause(ctx)
}

func deposit(ctx context.Context, f *fleet.Fleet, c psu.Credentials) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	p, err := f.Deposit(ctx, "player-"+c.User, "key-"+c.User)
	if err != nil {
		return err
	}
	if _, err := f.NewPayer(c).Pay(ctx, p.HostedPage.URL); err != nil {
		return err
	}
	if _, err := f.Sink.Await(ctx, p.ID, fleet.Has(psd2.EventAuthorized, psd2.EventExecuted, psd2.EventSettled, psd2.EventCreditable)); err != nil {
		return errors.Join(err, fmt.Errorf("payment %s", p.ID))
	}
	f.Sink.Forget(p.ID)
	return nil
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func millis(d time.Duration) float64 { return math.Round(float64(d.Microseconds())/10) / 100 }
func round(v float64) float64        { return math.Round(v*10) / 10 }
