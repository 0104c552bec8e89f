package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
	"github.com/rialto-hub/rialto/psd2/testkit"
)

// TestKillLosesNothingAndPaysOnce kills the hub's real process while payers
// are at every stage of a deposit, again and again. Afterwards each payment
// is what the bank says, the bank has executed at most one transfer for it,
// and the merchant was told every event, with one id.
func TestKillLosesNothingAndPaysOnce(t *testing.T) {
	kills := 6
	if os.Getenv("RIALTO_CHAOS") == "1" {
		kills = 250
	}
	if n, err := strconv.Atoi(os.Getenv("RIALTO_KILLS")); err == nil {
		kills = n
	}
	t.Run("sqlite", func(t *testing.T) { killTest(t, kills, fleet.Options{}) })
	t.Run("postgres", func(t *testing.T) {
		db := testkit.PostgresConfig(t)
		killTest(t, kills, fleet.Options{DatabaseURL: db.URL, KeyFile: db.KeyFile})
	})
}

func killTest(t *testing.T, kills int, o fleet.Options) {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("RIALTO_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("RIALTO_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	o.Dir = t.TempDir()
	o.Program, o.Env = program(t)
	o.Bank = sandbox.Bank{RedirectLife: 6 * time.Second}
	// Short times, so that what was abandoned comes to its end within the test.
	o.Hub = map[string]any{
		"hub": map[string]any{"expire_after": "6s", "bank_timeout": "1s", "patience": "1s"},
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(kills)*5*time.Second+3*time.Minute)
	defer cancel()
	f, err := fleet.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer func() {
		if t.Failed() {
			t.Logf("the hub's last words:\n%s", f.HubLog())
		}
	}()
	k := &killers{t: t, f: f, stop: make(chan struct{})}
	k.payers(ctx, 10, 300+kills*100)
	for range kills {
		wait := time.NewTimer(time.Duration(20+random.IntN(400)) * time.Millisecond)
		<-wait.C // the moment of the kill is the test's input
		f.KillHub()
		if err := f.StartHub(ctx); err != nil {
			t.Fatal(err)
		}
	}
	close(k.stop)
	k.wg.Wait()
	if len(k.created) < 10 {
		t.Fatalf("only %d payments were made", len(k.created))
	}
	settled := 0
	for _, id := range k.created {
		if k.judge(ctx, id) {
			settled++
		}
	}
	if bad := f.Sink.Bad(); len(bad) > 0 {
		t.Errorf("%d webhooks did not verify: %s", len(bad), bad[0])
	}
	t.Logf("%d kills, %d payments, %d settled, %d deliveries", kills, len(k.created), settled, f.Sink.Total())
	if settled == 0 {
		t.Error("nothing was ever paid: the test proved nothing")
	}
}

// killers are the payers of a kill test and what they did.
type killers struct {
	t    *testing.T
	f    *fleet.Fleet
	stop chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	created []string
}

// payers keeps n people depositing until told to stop. Every deposit has a
// person of its own: a bank takes each code of his phone only once.
func (k *killers) payers(ctx context.Context, n, people int) {
	list, err := k.f.Customers(ctx, people)
	if err != nil {
		k.t.Fatal(err)
	}
	queue := make(chan psu.Credentials, people)
	for _, c := range list {
		queue <- c
	}
	close(queue)
	for range n {
		k.wg.Go(func() {
			for c := range queue {
				select {
				case <-k.stop:
					return
				case <-ctx.Done():
					return
				default:
				}
				k.depositOnce(ctx, c, "key-"+c.User)
			}
		})
	}
}

// depositOnce is a patient merchant and a patient payer: after any error each
// does the same again.
func (k *killers) depositOnce(ctx context.Context, c psu.Credentials, key string) {
	var p *apiclient.Payment
	var err error
	for p == nil && ctx.Err() == nil {
		if p, err = k.f.Deposit(ctx, "player-"+c.User, key); err != nil {
			p = nil
			pausing(ctx)
		}
	}
	if p == nil {
		return
	}
	k.mu.Lock()
	k.created = append(k.created, p.ID)
	k.mu.Unlock()
	person := k.f.NewPayer(c)
	for range 6 {
		r, err := person.Pay(ctx, p.HostedPage.URL)
		if err == nil && (r.Situation == "arrived" || r.Situation == "paid") {
			return
		}
		pausing(ctx)
	}
}

// pausing waits a moment before somebody tries again.
func pausing(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(50 * time.Millisecond):
	}
}

// judge waits until a payment has come to its end and compares hub, bank and
// merchant. It reports whether it was paid.
func (k *killers) judge(ctx context.Context, id string) bool {
	t := k.t
	v := k.end(ctx, id)
	transfers := 0
	for _, a := range v.Attempts {
		list, err := k.f.Operator.Transfers(ctx, a.EndToEndID, 0)
		if err != nil {
			t.Fatal(err)
		}
		transfers += len(list)
	}
	switch {
	case transfers > 1:
		t.Errorf("%s: the bank executed %d transfers", id, transfers)
	case transfers == 1 && v.Status != psd2.StateSettled:
		t.Errorf("%s: the bank executed it, the hub says %s", id, v.Status)
	case transfers == 0 && v.Status != psd2.StateFailed:
		t.Errorf("%s: the bank executed nothing, the hub says %s", id, v.Status)
	}
	k.compareEvents(ctx, id)
	return transfers == 1
}

func (k *killers) end(ctx context.Context, id string) psd2.PaymentView {
	for {
		v, err := k.f.View(ctx, id)
		if err == nil && v.Status.Final() {
			return v
		}
		if ctx.Err() != nil {
			k.t.Fatalf("%s never came to an end: %s, %v", id, v.Status, err)
		}
		pausing(ctx)
	}
}

// compareEvents checks that what the journal says was told: each event at
// least once, always with the same id and sequence.
func (k *killers) compareEvents(ctx context.Context, id string) {
	t := k.t
	list, err := k.f.Merchant.PaymentEvents(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	var wanted []apiclient.Event
	for _, e := range list.Data {
		if slices.Contains(psd2.MerchantEvents, e.Type) {
			wanted = append(wanted, e)
		}
	}
	wait, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	got, err := k.f.Sink.Await(wait, id, func(got []fleet.Received) bool {
		for _, e := range wanted {
			if !slices.ContainsFunc(got, func(r fleet.Received) bool { return r.EventID == e.ID }) {
				return false
			}
		}
		return true
	})
	if err != nil {
		t.Errorf("%s: the merchant was not told everything\nwanted %s\ngot    %s", id, brief(wanted), brief(got))
	}
	sequences := map[int64]string{}
	for _, r := range got {
		if have, ok := sequences[r.Sequence]; ok && have != r.EventID {
			t.Errorf("%s: event %d came under two ids", id, r.Sequence)
		}
		sequences[r.Sequence] = r.EventID
		if !slices.ContainsFunc(wanted, func(e apiclient.Event) bool { return e.ID == r.EventID && e.Type == r.Type }) {
			t.Errorf("%s: the merchant was told %s, which the journal does not know", id, r.Type)
		}
	}
}

func brief(v any) string {
	b, _ := json.Marshal(v) // for a failure message
	if len(b) > 1500 {
		b = b[:1500]
	}
	return string(b)
}
