package sim

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// till is the merchant's own account at his bank: refunds and payouts leave it,
// deposits arrive on it, and its statement says both. It executes whatever
// arrives: that nothing arrives twice is the hub's promise, not its.
type till struct {
	world    *world
	chance   chance
	faulty   bool
	payments map[string][]*payment // by EndToEndId, as they arrived
	entries  []banks.Booking
	balance  int64
}

// payment is an order of ours as the till has it.
type payment struct {
	banks.Transfer
	taken          time.Time
	status, reason string
	executed       bool
}

const memory = 10 * 24 * time.Hour // how long it knows an order again

func (t *till) book(b banks.Booking) {
	b.ID, b.BookedAt = fmt.Sprintf("S%06d", len(t.entries)+1), t.world.now
	t.entries = append(t.entries, b)
	if b.In {
		t.balance += b.Amount.AmountMinor
	} else {
		t.balance -= b.Amount.AmountMinor
	}
	t.world.activity++
}

// credit is a deposit's arrival.
func (t *till) credit(o *order) {
	t.book(banks.Booking{Kind: banks.BookingCredit, In: true, Amount: o.amount, EndToEndID: o.ref, Counterparty: o.payer})
}

func (t *till) take(in banks.Transfer, refuse bool) *payment {
	p := &payment{Transfer: in, taken: t.world.now, status: "ACSP"}
	t.payments[in.EndToEndID] = append(t.payments[in.EndToEndID], p)
	t.world.say("till: takes %s", in.EndToEndID)
	t.world.activity++
	if refuse {
		p.status, p.reason = "RJCT", oneOf(t.chance, "AC04", "AC06", "AM04")
		return p
	}
	wait := time.Duration(0)
	if t.faulty && t.chance.in(4) {
		wait = t.chance.between(time.Second, 10*time.Minute)
	}
	t.world.after(wait, func() { t.execute(p) })
	return p
}

func (t *till) execute(p *payment) {
	p.status, p.executed = "ACSC", true
	t.book(banks.Booking{Kind: banks.BookingDebit, Amount: p.Amount, EndToEndID: p.EndToEndID, Counterparty: p.Creditor})
	if t.faulty && t.chance.in(12) { // the payee's bank sends it back
		t.world.after(t.chance.between(time.Minute, time.Hour), func() {
			t.book(banks.Booking{Kind: banks.BookingReturn, In: true, Amount: p.Amount, EndToEndID: p.EndToEndID, Counterparty: p.Creditor, Reason: "AC04"})
		})
	}
}

// tillLink is one process's channel to it.
type tillLink struct {
	*till
	of *process
}

// ChannelInfo implements banks.Channel.
func (l tillLink) ChannelInfo() banks.ChannelInfo {
	return banks.ChannelInfo{ID: "till", Account: payee, Dedup: memory}
}

func (l tillLink) travel(what string, arrive func()) error {
	return link{&bank{manner: manner{id: "till"}, world: l.world, chance: l.chance, faulty: l.faulty}, l.of}.travel(what, arrive)
}

// Pay implements banks.Channel.
func (l tillLink) Pay(_ context.Context, in banks.Transfer) (s banks.TransferStatus, err error) {
	refuse := l.faulty && l.chance.in(12)
	if l.world.plant.unfenced && l.world.chaos && l.chance.in(2) {
		l.of.suspend(l.chance.between(150*time.Second, 4*time.Minute))
	}
	send := func() error {
		return l.travel("paying", func() {
			p := l.take(in, refuse)
			s = banks.TransferStatus{Status: p.status, Reason: p.reason}
		})
	}
	if err = send(); l.world.plant.resend && asError(err).Kind == banks.Uncertain {
		err = send()
	}
	if err != nil {
		return banks.TransferStatus{}, err
	}
	return s, nil
}

// Find implements banks.Channel.
func (l tillLink) Find(_ context.Context, r banks.TransferRef) (s banks.TransferStatus, err error) {
	found := false
	err = l.travel("finding", func() {
		if list := l.payments[r.EndToEndID]; len(list) > 0 {
			found, s = true, banks.TransferStatus{Status: list[0].status, Reason: list[0].reason}
		}
	})
	switch {
	case err != nil:
		return banks.TransferStatus{}, err
	case !found:
		return s, &banks.Error{Kind: banks.NotFound, HTTPStatus: 404}
	}
	return s, nil
}

// Recall implements banks.Channel: nobody gives anything back here.
func (l tillLink) Recall(context.Context, banks.Recall) (banks.RecallStatus, error) {
	return banks.RecallStatus{State: "refused", Reason: "CUST"}, nil
}

// RecallStatus implements banks.Channel.
func (l tillLink) RecallStatus(ctx context.Context, r banks.Recall) (banks.RecallStatus, error) {
	return l.Recall(ctx, r)
}

// Bookings implements banks.Channel.
func (l tillLink) Bookings(_ context.Context, after string, limit int) (list []banks.Booking, next string, err error) {
	from := 0
	if after != "" {
		if from, err = strconv.Atoi(after); err != nil {
			return nil, "", &banks.Error{Kind: banks.BadRequest, Err: errors.New("no such place")}
		}
	}
	err = l.travel("reading the statement", func() {
		to := min(from+limit, len(l.entries))
		list, next = append(list, l.entries[from:to]...), after
		if to > from {
			next = strconv.Itoa(to)
		}
	})
	if err != nil {
		return nil, "", err
	}
	return list, next, nil
}

// Balance implements banks.Channel.
func (l tillLink) Balance(context.Context) (m psd2.Money, at time.Time, err error) {
	err = l.travel("reading the balance", func() { m, at = psd2.Euro(l.balance), l.world.now })
	return m, at, err
}
