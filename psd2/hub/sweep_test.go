package hub_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// gauge is the value of a gauge with that label, in one process.
func gauge(t *testing.T, of *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := of.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("there is no %s{%s}", name, label)
	return 0
}

// TestOneProcessSweepsUntilItDies: the other one takes over when its lease is
// over; what nobody has done in time is counted by the owner alone.
func TestOneProcessSweepsUntilItDies(t *testing.T) {
	clock := testkit.NewClock()
	config := testkit.PostgresConfig(t)
	w := newWorld(t, clock, testkit.Open(t, config, clock.Now))
	first, firstMetrics := w.hub, w.metrics
	second := w.newHub("hub-2", testkit.Open(t, config, clock.Now))
	secondMetrics := w.metrics
	p := w.start()
	leave := func() {
		err := w.db.Tx(ctx, func(tx *store.Tx) error {
			if _, err := tx.Consume("test", rand.Text(), clock.Now().Add(-time.Second)); err != nil {
				return err
			}
			_, err := tx.ReserveKey(merchantID, rand.Text(), "hash")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	left := func() (n int) {
		if err := w.db.Get(ctx, &n, `SELECT COUNT(*) FROM consumed WHERE kind = 'test'`); err != nil {
			t.Fatal(err)
		}
		return n
	}
	sweep := func(h *hub.Hub) {
		t.Helper()
		if _, err := h.SweepStep(ctx, clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	leave()
	sweep(first)
	sweep(second)
	if left() != 0 || gauge(t, firstMetrics, "rialto_job_owner", "sweep") != 1 || gauge(t, secondMetrics, "rialto_job_owner", "sweep") != 0 {
		t.Fatal("not one owner")
	}
	leave()
	sweep(second)
	if left() != 1 {
		t.Fatal("somebody sweeps who does not own the work")
	}
	clock.Add(p.ExpiresAt.Sub(clock.Now()) + 6*time.Minute) // the first one has died, and nobody has followed the payment
	sweep(second)
	if left() != 0 || gauge(t, secondMetrics, "rialto_job_owner", "sweep") != 1 {
		t.Fatal("the dead process keeps the work")
	}
	for kind, want := range map[string]float64{"payments": 1, "transfers": 0, "idempotency_keys": 2} {
		if n := gauge(t, secondMetrics, "rialto_overdue_work", kind); n != want {
			t.Errorf("%v %s are overdue, want %v", n, kind, want)
		}
	}
	sweep(first)
	if gauge(t, firstMetrics, "rialto_overdue_work", "payments") != 0 {
		t.Error("counted twice")
	}
}

// sleeper is a bank whose probe lasts until another process owns the work.
type sleeper struct {
	banks.Bank
	during func()
}

func (s *sleeper) Probe(context.Context) error {
	s.during()
	return &banks.Error{Kind: banks.Unavailable}
}

// TestFormerOwnerTellsNothing: a process that was asleep for longer than its
// lease may know old things; the fence keeps them from the merchants.
func TestFormerOwnerTellsNothing(t *testing.T) {
	clock := testkit.NewClock()
	config := testkit.PostgresConfig(t)
	w := newWorld(t, clock, testkit.Open(t, config, clock.Now))
	w.start()
	second := w.newHub("hub-2", testkit.Open(t, config, clock.Now))
	s := &sleeper{Bank: w.adapters[plain]}
	s.during = func() {
		s.during = func() {}
		clock.Add(time.Minute)
		if _, err := second.HealthStep(ctx, clock.Now()); err != nil {
			t.Error(err)
		}
	}
	registry := banks.NewRegistry([]banks.Entry{{ID: plain, Name: plain, Adapter: "berlingroup"}}, map[string]banks.Bank{plain: s}, clock.Now)
	first := hub.New(hub.Config{PublicURL: "https://pay.example"}, hub.Deps{Store: w.db, Banks: registry, Holder: "hub-1", Now: clock.Now, Random: rand.Reader})
	for range banks.TripAfter {
		registry.Observe(plain, banks.Redirect, &banks.Error{Kind: banks.Unavailable}, time.Second)
	}
	clock.Add(40 * time.Second)
	_, err := first.HealthStep(ctx, clock.Now())
	if got := w.availability(); len(got) != 0 {
		t.Errorf("told %v", got)
	}
	if psd2.CodeOf(err) != psd2.CodeConflict {
		t.Errorf("not refused by the fence: %v", err)
	}
}
