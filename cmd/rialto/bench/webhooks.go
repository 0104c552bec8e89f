package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// WebhookOptions of a run of Webhooks.
type WebhookOptions struct {
	Dir      string
	Runs     int           // interleaved; medians are reported
	Paced    time.Duration // of each measurement at Rate
	Rate     int           // events a second
	Flat     int           // events of each measurement flat out
	Poison   Neighbour     // that one in ten endpoints is
	Progress func(done, of int)
}

// WebhookReport is the benchmark's answer; every number is a median of runs.
// Latencies are from the begin of an event's commit to its first byte at the
// sink.
type WebhookReport struct {
	Runs           int     `json:"runs"`
	DeliveriesPS   float64 `json:"deliveries_per_s"` // flat out, 10 endpoints, signed thrice
	P50MS          float64 `json:"p50_ms"`           // at Rate, 10 endpoints
	P99MS          float64 `json:"p99_ms"`
	Poison         Poison  `json:"poison"`
	FloorPS        float64 `json:"floor_per_s"` // bare commit, publish and POST, unsigned
	Ratio          float64 `json:"ratio"`       // deliveries_per_s to it
	FloorP50MS     float64 `json:"floor_p50_ms"`
	FloorP99MS     float64 `json:"floor_p99_ms"`
	P50Ratio       float64 `json:"p50_ratio"` // p50_ms to the floor's
	Thousand       Many    `json:"endpoints_1000"`
	RatePS         int     `json:"rate_per_s"`
	DeliveredPaced int     `json:"delivered_at_rate"` // a sanity check: all of them
	// CPU is processor time in milliseconds a delivery, flat out to 10 endpoints;
	// making the event and receiving it at the sink are in it. CPUPaced is the
	// same at Rate. Unlike the rates they mean the same on a busy machine.
	CPU      float64 `json:"cpu_ms"`
	CPUPaced float64 `json:"cpu_ms_at_rate"`
}

// Poison compares the healthy endpoints with and without one in ten that is
// poisoned.
type Poison struct {
	BaselineP50MS float64 `json:"baseline_p50_ms"`
	HealthyP50MS  float64 `json:"healthy_p50_ms"`
	BaselineP99MS float64 `json:"baseline_p99_ms"`
	HealthyP99MS  float64 `json:"healthy_p99_ms"`
}

// Suffers reports whether healthy endpoints wait more than twice as long, or in
// the worst case more than ten times, beside poisoned ones. What is rare is
// measured less exactly, and by a busy machine hardly at all; a queue that is
// shared is thousands of times slower.
func (p Poison) Suffers() bool {
	return p.HealthyP50MS > 2*p.BaselineP50MS || p.HealthyP99MS > 10*p.BaselineP99MS
}

// Many is the same with a thousand endpoints.
type Many struct {
	DeliveriesPS float64 `json:"deliveries_per_s"`
	P50MS        float64 `json:"p50_ms"`
	P99MS        float64 `json:"p99_ms"`
	Poison       Poison  `json:"poison"`
}

// webhookRun is one of the runs.
type webhookRun struct {
	floorPS, flat, flatMany        float64
	floor, paced, many             spread
	poisoned, poisonedMany, before spread
	delivered                      int
	cpuFlat, cpuPaced              float64
}

type spread struct{ p50, p99 float64 }

func spreadOf(took []time.Duration) spread {
	slices.Sort(took)
	return spread{millis(quantile(took, .50)), millis(quantile(took, .99))}
}

// Webhooks measures deliveries within one process: store, sequencer, relay,
// NATS, fan-out, dispatch and record as the hub runs them, and the sinks.
func Webhooks(ctx context.Context, o WebhookOptions) (r WebhookReport, err error) {
	var runs []webhookRun
	for i := range o.Runs {
		one, err := webhooksOnce(ctx, o, filepath.Join(o.Dir, "run"+strconv.Itoa(i)))
		if err != nil {
			return r, fmt.Errorf("run %d: %w", i+1, err)
		}
		runs = append(runs, one)
		if o.Progress != nil {
			o.Progress(i+1, o.Runs)
		}
	}
	m := func(of func(webhookRun) float64) float64 { return median(runs, of) }
	r = WebhookReport{
		Runs: o.Runs, RatePS: o.Rate, DeliveriesPS: round(m(func(x webhookRun) float64 { return x.flat })),
		P50MS: m(func(x webhookRun) float64 { return x.paced.p50 }), P99MS: m(func(x webhookRun) float64 { return x.paced.p99 }),
		FloorPS:    round(m(func(x webhookRun) float64 { return x.floorPS })),
		FloorP50MS: m(func(x webhookRun) float64 { return x.floor.p50 }), FloorP99MS: m(func(x webhookRun) float64 { return x.floor.p99 }),
		Poison: Poison{
			m(func(x webhookRun) float64 { return x.before.p50 }), m(func(x webhookRun) float64 { return x.poisoned.p50 }),
			m(func(x webhookRun) float64 { return x.before.p99 }), m(func(x webhookRun) float64 { return x.poisoned.p99 }),
		},
		Thousand: Many{
			DeliveriesPS: round(m(func(x webhookRun) float64 { return x.flatMany })),
			P50MS:        m(func(x webhookRun) float64 { return x.many.p50 }), P99MS: m(func(x webhookRun) float64 { return x.many.p99 }),
			Poison: Poison{
				m(func(x webhookRun) float64 { return x.many.p50 }), m(func(x webhookRun) float64 { return x.poisonedMany.p50 }),
				m(func(x webhookRun) float64 { return x.many.p99 }), m(func(x webhookRun) float64 { return x.poisonedMany.p99 }),
			},
		},
		DeliveredPaced: int(m(func(x webhookRun) float64 { return float64(x.delivered) })),
	}
	r.CPU, r.CPUPaced = m(func(x webhookRun) float64 { return x.cpuFlat }), m(func(x webhookRun) float64 { return x.cpuPaced })
	r.Ratio, r.P50Ratio = share(r.DeliveriesPS, r.FloorPS), share(r.P50MS, r.FloorP50MS)
	return r, nil
}

func share(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return math.Round(a/b*1000) / 1000
}

func median(runs []webhookRun, of func(webhookRun) float64) float64 {
	var list []float64
	for _, r := range runs {
		list = append(list, of(r))
	}
	slices.Sort(list)
	return list[len(list)/2]
}

// spending begins to measure this process's processor time; what it returns
// ends it, and says how much it was for each of n, in milliseconds. A failure
// goes to err, unless there is one.
func spending(err *error) func(n int) float64 {
	before, failed := ownCPU()
	return func(n int) float64 {
		after, again := ownCPU()
		*err = cmp.Or(*err, failed, again)
		return share((after-before)*1000, float64(n))
	}
}

// webhooksOnce measures everything once, the poison last: what waits for a
// slow endpoint would be in the way of what follows.
func webhooksOnce(ctx context.Context, o WebhookOptions, dir string) (x webhookRun, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return x, err
	}
	f, err := openFloor(ctx, filepath.Join(dir, "floor"))
	if err != nil {
		return x, err
	}
	x.floor, err = f.paced(ctx, o)
	if err == nil {
		x.floorPS, err = f.flat(ctx)
	}
	if err = errors.Join(err, f.close()); err != nil {
		return x, err
	}
	w, err := openHooks(ctx, filepath.Join(dir, "hub"))
	if err != nil {
		return x, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	few, many := w.group(0, 10), w.group(10, 1000)
	for _, step := range []func() error{
		func() (err error) { _, _, err = w.flat(ctx, few, o.Flat/4); return err }, // warm
		func() (err error) { _, _, err = w.flat(ctx, many, o.Flat/4); return err },
		func() (err error) { x.paced, x.delivered, x.cpuPaced, err = w.paced(ctx, few, o); return err },
		func() (err error) { x.flat, x.cpuFlat, err = w.flat(ctx, few, o.Flat); return err },
		func() (err error) { x.many, _, _, err = w.paced(ctx, many, o); return err },
		func() (err error) { x.flatMany, _, err = w.flat(ctx, many, o.Flat); return err },
		func() (err error) { x.before, _, _, err = w.paced(ctx, few, o); return err },
		func() (err error) {
			w.poison(many, o.Poison)
			x.poisonedMany, _, _, err = w.paced(ctx, many, o)
			return err
		},
		func() (err error) { w.poison(few, o.Poison); x.poisoned, _, _, err = w.paced(ctx, few, o); return err },
	} {
		if err := step(); err != nil {
			return x, err
		}
	}
	return x, nil
}
