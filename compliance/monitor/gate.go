package monitor

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/compliance/rules"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Verdict is the gate's answer. Only Reason may leave the house.
type Verdict struct {
	Action rules.Action // ALLOW, STEP_UP, HOLD (money out only) or BLOCK
	// Reason is the failure a refused payment shows; empty unless Action is
	// BLOCK. A held transfer looks pending and shows nothing.
	Reason psd2.FailureReason
	// Judgement is why, for Record; nil when the state could not be read.
	Judgement *rules.Judgement

	subject  subject
	shadowID string // the set in shadow, and what it says
	shadow   *rules.Judgement
}

// PersonKey names the person across merchants; "" when he cannot be told from
// others.
func (v Verdict) PersonKey() string {
	if v.subject.fact == nil || !v.subject.fact.PersonLinked {
		return ""
	}
	return v.subject.fact.Person
}

// LeftMinor is what the rule about the monthly limit would let the person pay,
// by its own recorded numbers; 0 when another rule stopped the deposit.
func (v Verdict) LeftMinor() int64 {
	if v.Judgement == nil || v.subject.fact == nil {
		return 0
	}
	left := int64(0)
	for _, hit := range v.Judgement.Hits {
		if hit.Action != rules.Block {
			continue
		}
		limit, known := hit.Inputs["month_limit"].(float64)
		if !known {
			return 0
		}
		left = v.subject.fact.Amount
		for _, used := range []string{"person_month", "person_24h"} { // this deposit included
			if sum, ok := hit.Inputs[used].(float64); ok {
				left = min(left, v.subject.fact.Amount+int64(limit-sum))
			}
		}
	}
	return max(left, 0)
}

// Risk is what the payer's authentication may go by (RTS Art. 2(2)): the weight
// and the families of the rules that ask for more of it. What would only alert
// is quiet: neither the payer nor his bank may notice which (GwG §47).
func (v Verdict) Risk() (score int, families []string, quiet bool) {
	if v.Judgement == nil {
		return 0, nil, false
	}
	for _, hit := range v.Judgement.Hits {
		if hit.Action != rules.StepUp {
			quiet = true
			continue
		}
		score = min(score+hit.Weight, 100)
		if !slices.Contains(families, hit.Family) {
			families = append(families, hit.Family)
		}
	}
	return score, families, quiet
}

// FirstRule names the rule that decided, "" when none did.
func (v Verdict) FirstRule() string {
	if v.Judgement == nil {
		return ""
	}
	for _, hit := range v.Judgement.Hits {
		if hit.Action == v.Action {
			return hit.Rule
		}
	}
	return ""
}

// Gate judges before money moves. Its methods are safe for concurrent use.
type Gate struct{ m *Monitor }

// Gate is the monitor's gate.
func (m *Monitor) Gate() *Gate { return &Gate{m} }

// Deposit judges a payment before it is initiated. The merchant is the
// payment's. With an error the verdict is the one to act on all the same.
func (g *Gate) Deposit(ctx context.Context, p *psd2.Payment, merchant *psd2.Merchant) (Verdict, error) {
	f := g.m.derive.payment(p, merchant)
	if err := g.m.derive.stored(ctx, f, p.PersonID); err != nil {
		return g.blind(f.Kind), err
	}
	return g.decide(ctx, subject{fact: f, personID: p.PersonID})
}

// ErrBehind says that what happened before a transfer has not been taken in yet,
// so that it cannot be judged: the deposit it pays out would not be known.
var ErrBehind = errors.New("monitor: not as far as the transfer")

// Transfer judges a payout or refund before it is sent, by everything that was
// committed before it was made. It fails with ErrBehind until the journal has
// been read so far, here or in the process that leads.
func (g *Gate) Transfer(ctx context.Context, t *psd2.Transfer) (Verdict, error) {
	behind, err := g.m.behind(ctx, t)
	if err == nil && behind {
		err = ErrBehind
	}
	if err != nil {
		return g.blind(rules.Payout), err
	}
	s, err := g.m.transfer(ctx, t)
	if err == nil && s.fact == nil {
		err = store.ErrErased
	}
	if err != nil {
		return g.blind(rules.Payout), err
	}
	return g.decide(ctx, s)
}

// Decide judges a fact: BLOCK, STEP_UP and HOLD stop or delay it, what would
// only alert is left to the journal's consumer.
func (g *Gate) Decide(ctx context.Context, f *rules.Fact) (Verdict, error) {
	return g.decide(ctx, subject{fact: f})
}

func (g *Gate) decide(ctx context.Context, s subject) (Verdict, error) {
	began := time.Now() // for the histogram alone
	v, err := g.judge(ctx, s)
	action := string(v.Action)
	if err != nil {
		action = "error"
		g.m.deps.Log.Error("monitor: the gate cannot read its state", "object", s.fact.ID, "cause", err.Error())
	}
	g.m.metrics.gate.WithLabelValues(string(s.fact.Kind), action).Inc()
	g.m.metrics.took.Observe(time.Since(began).Seconds())
	return v, err
}

func (g *Gate) judge(ctx context.Context, s subject) (Verdict, error) {
	set, err := g.m.sets.current(ctx)
	if err != nil {
		return g.blind(s.fact.Kind), err
	}
	h, err := g.m.view(ctx).history(set.reach(s.fact.Merchant), s.fact)
	if err != nil {
		return g.blind(s.fact.Kind), err
	}
	j, err := set.live.of(s.fact.Merchant).Judge(s.fact, h)
	if err != nil {
		return g.blind(s.fact.Kind), err
	}
	if j.Action != rules.Allow && j.Action != rules.Alert { // what is recorded carries what the model says of it
		list, err := set.see(s.fact, h)
		if err != nil {
			return g.blind(s.fact.Kind), err
		}
		if len(list) > 0 {
			s.scored = &list[0].said
		}
	}
	v := Verdict{Action: j.Action, Judgement: j, subject: s}
	if set.shadowID != "" {
		v.shadowID = set.shadowID
		if v.shadow, err = set.shadow.of(s.fact.Merchant).Judge(s.fact, h); err != nil {
			return g.blind(s.fact.Kind), err
		}
	}
	switch j.Action {
	case rules.Alert:
		v.Action = rules.Allow
	case rules.Block:
		v.Reason = psd2.FailureReason(j.Public)
	case rules.Allow, rules.StepUp, rules.Hold:
	}
	return v, nil
}

// blind is the verdict without a state: fail closed for money out, and for
// money in unless the operator says otherwise.
func (g *Gate) blind(kind rules.Kind) Verdict {
	switch {
	case kind != rules.Deposit:
		return Verdict{Action: rules.Hold}
	case g.m.cfg.DepositsFailOpen:
		return Verdict{Action: rules.Allow}
	}
	return Verdict{Action: rules.Block, Reason: psd2.ReasonPaymentNotPossible}
}

// Record keeps what the rules say of a transaction that they stop or delay, and
// alerts the officers: of all hits, since who is refused may never come to the
// consumer's rules, and an attempt is to be reported too (GwG §43). The hub
// calls it in the transaction that acts on the verdict; what was allowed leaves
// nothing to record.
func (g *Gate) Record(tx *store.Tx, v Verdict) error {
	if v.Judgement == nil || v.Action == rules.Allow {
		return nil
	}
	if v.shadow != nil { // what is stopped here never reaches the consumer's rules
		if err := g.m.deps.Book.Note(tx, v.shadowID, v.subject.fact.At, v.Judgement, v.shadow); err != nil {
			return err
		}
	}
	var counts tally
	for _, hit := range v.Judgement.Hits {
		if err := g.m.record(tx, v.subject, hit, v.Judgement, &counts); err != nil {
			return err
		}
	}
	return nil
}
