package hub_test

import (
	crand "crypto/rand"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks/sandbox"
	"github.com/rialto-hub/rialto/banks/sandbox/psu"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
)

var seed = flag.Uint64("seed", 7, "of the long timeline")

// TestEveryPaymentOfALongDayEndsInTheBanksTruth mixes payers of every kind
// with everything that happens to banks and hubs, and lets two virtual days
// pass. world.run fails it when work is due twice at one moment.
func TestEveryPaymentOfALongDayEndsInTheBanksTruth(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		t.Logf("seed %d", *seed)
		d := day{w: w, r: rand.New(rand.NewPCG(*seed, 1)), links: map[string]string{}}
		for range 150 {
			w.run(time.Duration(d.r.IntN(150)) * time.Second)
			d.happens()
		}
		for _, b := range []string{plain, lapsing, slack, acsc} {
			w.switches(b, map[string]any{"down": false, "lose_before": 0, "lose_after": 0, "lose_status": 0})
		}
		w.run(48 * hour)
		d.check()
	})
}

// day is a day's payments and what the payers hold.
type day struct {
	w        *world
	r        *rand.Rand
	payments []*psd2.Payment
	links    map[string]string // by payment: the bank's page he has open
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// happens lets one thing happen.
func (d *day) happens() {
	w := d.w
	w.t.Helper()
	bank := pick(d.r, plain, lapsing, slack, acsc)
	switch d.r.IntN(15) {
	case 0, 1, 2:
		d.payments = append(d.payments, w.start())
		fallthrough
	case 3:
		d.consents(bank)
	case 4, 5, 12, 13, 14:
		d.pays()
	case 6:
		w.switches(bank, map[string]any{"lose_status": d.r.IntN(8)})
	case 7:
		w.switches(bank, map[string]any{pick(d.r, "lose_before", "lose_after"): 1})
	case 8:
		w.switches(bank, map[string]any{"down": d.r.IntN(3) == 0, "retry_after_sec": 60})
	case 9:
		if p := d.any(); p != nil {
			_, _ = w.hub.CancelByPayer(ctx, p.ID) // refused when it is too late
		}
	case 10:
		if p := d.any(); p != nil && w.load(p).Last() != nil {
			w.returned(p)
		}
	case 11:
		w.restart()
		w.clock.Add(time.Minute) // its predecessor's lease ends
	}
}

func (d *day) any() *psd2.Payment {
	if len(d.payments) == 0 {
		return nil
	}
	return d.payments[len(d.payments)-1-d.r.IntN(min(len(d.payments), 4))]
}

func (d *day) consents(bank string) {
	p := d.any()
	if p == nil {
		return
	}
	_, link, err := d.w.hub.Authorise(ctx, p.ID, bank, crand.Text(), browser, hub.Browser{})
	if err == nil && link != "" {
		d.links[p.ID] = link
	}
}

// pays lets a payer go on at the bank, and perhaps come back.
func (d *day) pays() {
	i := slices.IndexFunc(d.payments, func(p *psd2.Payment) bool { return d.links[p.ID] != "" })
	if i < 0 {
		return
	}
	p, w := d.payments[i], d.w
	behaviour := pick(d.r, sandbox.Settles, sandbox.Settles, sandbox.Settles, sandbox.Late, sandbox.Silent, sandbox.Declines, sandbox.Blocked)
	bank := w.load(p).Last().BankID
	c := w.customer(bank, func(n *psu.NewCustomers) { n.Behaviour = string(behaviour) })
	payer := psuBrowser(w)
	_, _ = psu.Walk(ctx, payer, d.links[p.ID], c, psu.Wish{}, w.clock.Now) // the link may be dead by now
	delete(d.links, p.ID)
	if d.r.IntN(2) == 0 {
		w.returned(p)
	}
}

func (d *day) check() {
	w := d.w
	ends := map[psd2.State]int{}
	for _, p := range d.payments {
		p = w.load(p)
		ends[p.State]++
		moved := w.transfers(p)
		switch {
		case moved > 1:
			w.t.Errorf("%s: %d transfers", p.ID, moved)
		case moved == 1 && !p.State.MoneyMoved():
			w.t.Errorf("%s: the bank executed, the payment is %s: %+v", p.ID, p.State, p.Attempts)
		case moved == 0 && p.State != psd2.StateFailed && p.State != psd2.StateOutcomeUnknown:
			w.t.Errorf("%s: nothing moved, the payment is %s: %+v", p.ID, p.State, p.Attempts)
		}
		seen := map[string]int{}
		for _, e := range w.types(p) {
			seen[e]++
		}
		for _, once := range []string{"created", "executed", "settled", "creditable", "failed"} {
			if seen[once] > 1 {
				w.t.Errorf("%s: %s was told %d times", p.ID, once, seen[once])
			}
		}
	}
	w.t.Logf("%d payments: %v, %d questions", len(d.payments), ends, w.tap.count("status"))
	if ends[psd2.StateSettled] == 0 || ends[psd2.StateFailed] == 0 {
		w.t.Errorf("a dull day: %v", ends)
	}
	if n, most := w.tap.count("status"), 80*len(d.payments); n > most {
		w.t.Errorf("%d questions about %d payments in two days", n, len(d.payments))
	}
}
