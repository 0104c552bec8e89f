package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
)

func mkdir(dir string) error { return os.MkdirAll(dir, 0o700) }

// CreateOptions of a run of Create.
type CreateOptions struct {
	Fleet   fleet.Options
	Runs    int
	For     time.Duration // of each run
	Clients int
	// Compliance says that the fleet's hub monitors, which takes its share.
	Compliance bool
}

// CreateReport is the benchmark's answer; numbers are medians of runs.
type CreateReport struct {
	Runs      int     `json:"runs"`
	Clients   int     `json:"clients"`
	Database  string  `json:"database"`
	Monitored bool    `json:"compliance"`
	CreatesPS float64 `json:"creates_per_s"` // each signed, idempotent and durable, over TLS
	P50MS     float64 `json:"p50_ms"`
	P99MS     float64 `json:"p99_ms"`
	FloorPS   float64 `json:"floor_per_s"` // what its parts cost bare: exchange, transaction, signature, verification
	Ratio     float64 `json:"ratio"`
	// HubCPU and ClientCPU are processor time in milliseconds a create: unlike
	// the rate they mean the same on a busy machine.
	HubCPU    float64 `json:"hub_cpu_ms"`
	ClientCPU float64 `json:"client_cpu_ms"`
}

// createRun is one of the runs.
type createRun struct{ perSecond, p50, p99, floor, hubCPU, clientCPU float64 }

// Create measures how many deposits a second a hub in a process of its own
// creates for one merchant in this one, who signs each request.
func Create(ctx context.Context, o CreateOptions) (r CreateReport, err error) {
	f, err := fleet.Start(ctx, o.Fleet)
	if err != nil {
		return r, err
	}
	defer f.Close()
	if _, err := creates(ctx, f, o, "warm"); err != nil {
		return r, fmt.Errorf("warm-up: %w", err)
	}
	var runs []createRun
	for i := range o.Runs {
		one, err := creates(ctx, f, o, fmt.Sprint("run", i))
		if err != nil {
			return r, err
		}
		bareOptions := o.Fleet
		bareOptions.Dir = filepath.Join(o.Fleet.Dir, fmt.Sprint("floor", i))
		rates, err := bare(ctx, bareOptions) // the hub is idle meanwhile
		if err != nil {
			return r, err
		}
		one.floor = 1 / (1/rates.HTTPExchanges + 1/rates.Transactions + 1/rates.Signatures + 1/rates.Verifications)
		runs = append(runs, one)
	}
	m := func(of func(createRun) float64) float64 {
		var list []float64
		for _, x := range runs {
			list = append(list, of(x))
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	r = CreateReport{
		Runs: o.Runs, Clients: o.Clients, Database: "sqlite", Monitored: o.Compliance, CreatesPS: round(m(func(x createRun) float64 { return x.perSecond })),
		P50MS: m(func(x createRun) float64 { return x.p50 }), P99MS: m(func(x createRun) float64 { return x.p99 }),
		FloorPS: round(m(func(x createRun) float64 { return x.floor })),
	}
	if o.Fleet.DatabaseURL != "" {
		r.Database = "postgres"
	}
	r.Ratio = share(r.CreatesPS, r.FloorPS)
	r.HubCPU, r.ClientCPU = m(func(x createRun) float64 { return x.hubCPU }), m(func(x createRun) float64 { return x.clientCPU })
	return r, nil
}

// creates asks for deposits for a while, each with a key of its own.
func creates(ctx context.Context, f *fleet.Fleet, o CreateOptions, name string) (x createRun, err error) {
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var n atomic.Int64
	var wg sync.WaitGroup
	before, err := cpuOfBoth(f)
	if err != nil {
		return x, err
	}
	began := time.Now()
	for range o.Clients {
		wg.Go(func() {
			var own []time.Duration
			var err error
			for time.Since(began) < o.For && ctx.Err() == nil && err == nil {
				at, id := time.Now(), fmt.Sprint(name, "-", n.Add(1))
				if _, err = f.Deposit(ctx, "player-"+id, "key-"+id); err == nil {
					own = append(own, time.Since(at))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took, failed = append(took, own...), errors.Join(failed, err)
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	after, err := cpuOfBoth(f)
	s, each := spreadOf(took), func(before, after float64) float64 { return share((after-before)*1000, float64(len(took))) }
	return createRun{
		perSecond: float64(len(took)) / elapsed.Seconds(), p50: s.p50, p99: s.p99,
		hubCPU: each(before[0], after[0]), clientCPU: each(before[1], after[1]),
	}, errors.Join(failed, err, ctx.Err())
}

// cpuOfBoth is what the hub and this process have used, in seconds.
func cpuOfBoth(f *fleet.Fleet) (used [2]float64, err error) {
	if used[0], err = cpuOf(f.HubPID()); err != nil {
		return used, err
	}
	used[1], err = ownCPU()
	return used, err
}
