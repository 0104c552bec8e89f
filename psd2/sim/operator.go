package sim

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
)

// operators are the people who settle what no bank says: one proposes, another
// approves, sometimes two at once.
var operators = []hub.Operator{{ID: "usr_ada", Name: "Ada"}, {ID: "usr_ben", Name: "Ben"}, {ID: "usr_cem", Name: "Cem"}}

// decide has them look through the queue, and come back until it is empty.
func (w *world) decide() {
	again := func() { w.after(time.Hour, w.decide) }
	p := w.somebody()
	if p == nil {
		again()
		return
	}
	w.spawn(p, "operators", func() {
		ctx := context.Background()
		list, err := p.hub.Undecided(ctx, 100)
		if err != nil {
			w.say("operators: %v", err)
		}
		if len(list) == 0 && err == nil {
			return
		}
		defer again()
		for _, q := range list {
			verdict, sure := w.askedByPhone(q.EndToEndID)
			if !sure || p.now().Before(q.DecidableAt) {
				continue
			}
			d, err := p.hub.Propose(ctx, operators[0], hub.Draft{
				ObjectID: q.ObjectID, Verdict: verdict, Reason: "the bank said so on the phone", Evidence: "call of today",
			})
			if err != nil {
				w.say("operators about %s: %v", q.ObjectID, err)
				continue
			}
			for _, by := range operators[w.chance.IntN(2):] { // who proposed may not, and the second comes too late
				w.after(w.chance.between(0, time.Second), func() {
					w.ask(by.Name+" approves "+string(verdict)+" of "+q.ObjectID, func(p *process) error { return p.hub.Approve(ctx, by, d.ID) })
				})
			}
		}
	}, nil)
}

// askedByPhone is what a bank's books say of an order, if that is certain.
func (w *world) askedByPhone(ref string) (v psd2.Verdict, sure bool) {
	for _, m := range manners {
		for _, o := range w.banks[m.id].byRef[ref] {
			if o.executed > 0 {
				return psd2.VerdictExecuted, true
			}
			if !o.final() {
				return "", false
			}
		}
	}
	for _, p := range w.till.payments[ref] {
		if p.executed {
			return psd2.VerdictExecuted, true
		}
		if p.status != "RJCT" {
			return "", false
		}
	}
	return psd2.VerdictNotExecuted, true
}
