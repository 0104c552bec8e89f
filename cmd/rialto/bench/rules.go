package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/compliance"
	"github.com/rialto-hub/rialto/compliance/monitor"
	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2/store"
)

// RulesOptions say how much is judged.
type RulesOptions struct {
	Database     store.Config
	Transactions int // in memory; the database gets a tenth, at least 500
	Players      int
	Seed         uint64
}

// RulesReport is what one judgement by all rules costs.
type RulesReport struct {
	Rules         int     `json:"rules"`
	Transactions  int     `json:"transactions"`
	Players       int     `json:"players"`
	Seed          uint64  `json:"seed"`
	MemoryMeanUS  float64 `json:"memory_mean_us"` // remembered and judged
	MemoryP99US   float64 `json:"memory_p99_us"`
	Stored        int     `json:"stored_transactions"`
	GateP50MS     float64 `json:"gate_p50_ms"` // with the state in the database
	GateP99MS     float64 `json:"gate_p99_ms"`
	ConsumerPerS  float64 `json:"consumer_per_s"` // judged and recorded, eight a commit
	Over          string  `json:"over,omitempty"`
	MemoryBoundUS float64 `json:"memory_bound_us"`
	GateBoundMS   float64 `json:"gate_bound_ms"`
}

// noOfficers takes alerts and forgets them: their cost is the desk's.
type noOfficers struct{}

func (noOfficers) Raise(*store.Tx, compliance.Finding) error { return nil }

// Rules measures all rules over invented players, in memory and with the state
// in a database.
func Rules(ctx context.Context, o RulesOptions) (r RulesReport, err error) {
	engine, err := rules.Shipped().Compile(rules.ProfileOnlineDE, nil)
	if err != nil {
		return r, err
	}
	facts := invented(o)
	r = RulesReport{Rules: len(engine.Rules()), Transactions: o.Transactions, Players: o.Players, Seed: o.Seed, MemoryBoundUS: 50, GateBoundMS: 2}
	took := make([]time.Duration, len(facts))
	memory, total := rules.NewMemory(), time.Duration(0)
	for i, f := range facts {
		began := time.Now()
		memory.Add(f)
		if _, err := engine.Judge(f, memory.History(f)); err != nil {
			return r, err
		}
		took[i] = time.Since(began)
		total += took[i]
	}
	r.MemoryMeanUS = float64(total.Nanoseconds()) / 1e3 / float64(len(facts))
	r.MemoryP99US = float64(rank(took, 0.99).Nanoseconds()) / 1e3
	if err := r.stored(ctx, o, facts); err != nil {
		return r, err
	}
	if r.MemoryMeanUS > r.MemoryBoundUS || r.GateP99MS > r.GateBoundMS {
		r.Over = fmt.Sprintf("%.1f µs in memory, %.2f ms at the gate", r.MemoryMeanUS, r.GateP99MS)
	}
	return r, nil
}

// stored puts part of the transactions through the consumer, then asks the
// gate about all of these players.
func (r *RulesReport) stored(ctx context.Context, o RulesOptions, facts []*rules.Fact) error {
	db, err := store.Open(ctx, o.Database, store.Options{Now: time.Now, Random: rand.Reader})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // nothing is kept
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	m, err := monitor.New(monitor.Config{}, monitor.Deps{Store: db, Alerts: noOfficers{}, Holder: "bench"})
	if err != nil {
		return err
	}
	r.Stored = min(len(facts), max(500, len(facts)/10))
	before, asked := facts[:r.Stored], facts[:r.Stored]
	began := time.Now()
	for some := range slices.Chunk(before, 8) {
		if err := m.Observe(ctx, some...); err != nil {
			return err
		}
	}
	r.ConsumerPerS = float64(r.Stored) / time.Since(began).Seconds()
	took := make([]time.Duration, len(asked))
	end := before[len(before)-1].At
	for i, f := range asked {
		next := *f
		next.ID, next.At, next.Status = fmt.Sprintf("next%06d", i), end.Add(time.Minute), rules.Pending
		began := time.Now()
		if _, err := m.Gate().Decide(ctx, &next); err != nil {
			return err
		}
		took[i] = time.Since(began)
	}
	r.GateP50MS, r.GateP99MS = rank(took, 0.5).Seconds()*1e3, rank(took, 0.99).Seconds()*1e3
	return nil
}

func rank(took []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*q))]
}

// invented makes players who pay in and out for weeks, some of them sharing a
// device or a network.
func invented(o RulesOptions) []*rules.Fact {
	random := mathrand.New(mathrand.NewPCG(o.Seed, 36)) //nolint:gosec // invented data, the same for a seed
	at := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	step := 60 * 24 * time.Hour / time.Duration(o.Transactions)
	out := make([]*rules.Fact, o.Transactions)
	match, hosting, stake := 1.0, false, int64(50_000)
	for i := range out {
		at = at.Add(step)
		n := random.IntN(o.Players)
		player := fmt.Sprintf("p%06d", n)
		f := &rules.Fact{
			ID: fmt.Sprintf("t%08d", i), Revision: 1, At: at, Kind: rules.Deposit, Status: rules.Settled, Amount: 500 * (1 + random.Int64N(40)), Currency: "EUR",
			Merchant: fmt.Sprintf("m%d", n%5), Player: player, Person: player, PersonLinked: true, Gambling: true, KYC: "verified",
			IBAN: "i" + player, IBANCountry: "DE", IPCountry: "DE", Residence: "DE", Device: fmt.Sprintf("d%06d", n/2), IP: "a" + player,
			Network: fmt.Sprintf("n%05d", n/20), Holder: rules.HolderSelf, HolderMatch: &match, Hosting: &hosting,
		}
		if i%4 == 3 {
			f.Kind, f.Stake = rules.Payout, &stake
		}
		out[i] = f
	}
	return out
}
