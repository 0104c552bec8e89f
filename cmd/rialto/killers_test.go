package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/cmd/rialto/fleet"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/api/apiclient"
)

// impatient is a fleet's hub with short times, so that what was abandoned comes
// to its end within the test.
func impatient(t *testing.T, o fleet.Options) fleet.Options {
	o.Dir = t.TempDir()
	o.Program, o.Env = program(t)
	o.Bank = sandbox.Bank{RedirectLife: 6 * time.Second}
	if o.Hub == nil {
		o.Hub = map[string]any{}
	}
	o.Hub["hub"] = map[string]any{"expire_after": "6s", "bank_timeout": "1s", "patience": "1s"}
	return o
}

// startFleet starts a fleet. Call end, also after a failure: it shows the hub's
// last words.
func startFleet(ctx context.Context, t *testing.T, o fleet.Options) (f *fleet.Fleet, end func()) {
	f, err := fleet.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return f, func() {
		if t.Failed() {
			t.Logf("the hub's last words:\n%s", f.HubLog())
		}
		f.Close()
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
	verdict verdict
}

func newKillers(t *testing.T, f *fleet.Fleet) *killers {
	return &killers{t: t, f: f, stop: make(chan struct{})}
}

const peopleAtOnce = 200

// payers keeps n people depositing until told to stop. Every deposit has a
// person of its own: a bank takes each code of his phone only once.
func (k *killers) payers(ctx context.Context, n int) {
	queue := make(chan psu.Credentials, peopleAtOnce)
	k.wg.Go(func() {
		defer close(queue)
		for batch := 0; ; batch++ {
			list, err := k.f.Operator.Create(ctx, fleet.BankID, psu.NewCustomers{
				Count: peopleAtOnce, User: fmt.Sprintf("k%d-", batch), Holder: fleet.Holder, BalanceMinor: 1_000_000,
			})
			if err != nil {
				k.t.Error(err)
				return
			}
			for _, c := range list {
				select {
				case queue <- c:
				case <-k.stop:
					return
				case <-ctx.Done():
					return
				}
			}
		}
	})
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

// comesToItsEnd is how long a payment may take to its end, and its events to
// the merchant, when nobody disturbs any more.
const comesToItsEnd = 90 * time.Second

// conclude ends the load, judges every payment and fails the test when
// anything was lost or done twice.
func (k *killers) conclude(ctx context.Context, v verdict) {
	t := k.t
	close(k.stop)
	k.wg.Wait()
	k.verdict = v
	k.verdict.Payments = len(k.created)
	work := make(chan string)
	var judges sync.WaitGroup
	for range 8 {
		judges.Go(func() {
			for id := range work {
				k.judge(ctx, id)
			}
		})
	}
	for _, id := range k.created {
		work <- id
	}
	close(work)
	judges.Wait()
	if bad := k.f.Sink.Bad(); len(bad) > 0 {
		t.Errorf("%d webhooks did not verify: %s", len(bad), bad[0])
	}
	k.verdict.Deliveries = k.f.Sink.Total()
	if k.verdict.Settled == 0 || k.verdict.Payments < 10 {
		t.Error("hardly anything was paid: the test proved nothing")
	}
	k.verdict.note(t)
}

// count notes a finding, and fails the test with it.
func (k *killers) count(which *int, n int, format string, args ...any) {
	k.mu.Lock()
	*which += n
	k.mu.Unlock()
	k.t.Errorf(format, args...)
}

// judge waits until a payment has come to its end and compares hub, bank and
// merchant.
func (k *killers) judge(ctx context.Context, id string) {
	v, ended := k.end(ctx, id)
	if !ended {
		k.count(&k.verdict.Stuck, 1, "%s never came to an end: %s", id, v.Status)
		return
	}
	transfers := 0
	for _, a := range v.Attempts {
		list, err := k.f.Operator.Transfers(ctx, a.EndToEndID, 0)
		if err != nil {
			k.t.Error(err)
			return
		}
		transfers += len(list)
	}
	switch {
	case transfers > 1:
		k.count(&k.verdict.DoubleSubmissions, transfers-1, "%s: the bank executed %d transfers", id, transfers)
	case transfers == 1 && v.Status != psd2.StateSettled:
		k.count(&k.verdict.WrongFinal, 1, "%s: the bank executed it, the hub says %s", id, v.Status)
	case transfers == 0 && v.Status != psd2.StateFailed:
		k.count(&k.verdict.WrongFinal, 1, "%s: the bank executed nothing, the hub says %s", id, v.Status)
	}
	k.compareEvents(ctx, id)
	if transfers == 1 {
		k.mu.Lock()
		k.verdict.Settled++
		k.mu.Unlock()
	}
}

func (k *killers) end(ctx context.Context, id string) (v psd2.PaymentView, ended bool) {
	ctx, cancel := context.WithTimeout(ctx, comesToItsEnd)
	defer cancel()
	for ctx.Err() == nil {
		now, err := k.f.View(ctx, id)
		if err == nil {
			if v = now; v.Status.Final() {
				return v, true
			}
		}
		pausing(ctx)
	}
	return v, false
}

// compareEvents checks that what the journal says was told: each event at
// least once, always with the same id and sequence.
func (k *killers) compareEvents(ctx context.Context, id string) {
	list, err := k.f.Merchant.PaymentEvents(ctx, id)
	if err != nil {
		k.t.Error(err)
		return
	}
	var wanted []apiclient.Event
	for _, e := range list.Data {
		if slices.Contains(psd2.MerchantEvents, e.Type) {
			wanted = append(wanted, e)
		}
	}
	wait, cancel := context.WithTimeout(ctx, comesToItsEnd)
	defer cancel()
	got, err := k.f.Sink.Await(wait, id, func(got []fleet.Received) bool { return len(untold(wanted, got)) == 0 })
	if err != nil {
		k.count(&k.verdict.LostEvents, len(untold(wanted, got)), "%s: the merchant was not told everything\nwanted %s\ngot    %s", id, brief(wanted), brief(got))
	}
	sequences := map[int64]string{}
	for _, r := range got {
		if have, ok := sequences[r.Sequence]; ok && have != r.EventID {
			k.t.Errorf("%s: event %d came under two ids", id, r.Sequence)
		}
		sequences[r.Sequence] = r.EventID
		if !slices.ContainsFunc(wanted, func(e apiclient.Event) bool { return e.ID == r.EventID && e.Type == r.Type }) {
			k.t.Errorf("%s: the merchant was told %s, which the journal does not know", id, r.Type)
		}
	}
}

// untold are the events that did not come.
func untold(wanted []apiclient.Event, got []fleet.Received) (list []apiclient.Event) {
	for _, e := range wanted {
		if !slices.ContainsFunc(got, func(r fleet.Received) bool { return r.EventID == e.ID }) {
			list = append(list, e)
		}
	}
	return list
}

func brief(v any) string {
	b, _ := json.Marshal(v) // for a failure message
	if len(b) > 1500 {
		b = b[:1500]
	}
	return string(b)
}
