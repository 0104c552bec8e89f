// Package account is a merchant's account at a bank that lives in memory: a
// banks.Channel for tests, faithful where it matters. It executes an order
// once, refuses the same references as long as its memory lasts, forgets them
// after, and books every movement. Faults are asked for per call.
package account

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// Fault is what befalls one call of Pay.
type Fault string

// Faults.
const (
	None        Fault = ""
	LostBefore  Fault = "lost before" // the order never arrives; nobody knows
	LostAfter   Fault = "lost after"  // it is executed; the answer is lost
	Arriving    Fault = "arriving"    // it is on its way; Arrive lets it come
	Late        Fault = "late"        // accepted; Finish executes it
	Refused     Fault = "refused"
	Unreachable Fault = "unreachable" // certainly not sent
	Silent      Fault = "silent"      // questions get no answer either
)

type order struct {
	banks.Transfer
	status, reason string
	takenAt        time.Time
}

// Account is safe for concurrent use.
type Account struct {
	ID     string
	Holder psd2.Party
	Dedup  time.Duration
	Now    func() time.Time

	mu       sync.Mutex
	fault    Fault
	code     string // of Refused
	orders   map[string]*order
	way      []banks.Transfer // arriving
	bookings []banks.Booking
	balance  int64
	recalls  map[string]banks.RecallStatus
	deaf     bool
	calls    map[string]int
}

// New opens an account.
func New(id string, holder psd2.Party, openingMinor int64, now func() time.Time) *Account {
	return &Account{ID: id, Holder: holder, Dedup: 24 * time.Hour, Now: now, balance: openingMinor,
		orders: map[string]*order{}, recalls: map[string]banks.RecallStatus{}, calls: map[string]int{}}
}

// Next has the coming calls of Pay meet a fault; code is for Refused.
func (a *Account) Next(f Fault, code string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault, a.code = f, code
}

// Deaf lets every question go unanswered.
func (a *Account) Deaf(deaf bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deaf = deaf
}

// Calls counts calls of a method.
func (a *Account) Calls(method string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[method]
}

// Paid counts executed transfers with that EndToEndId; "" counts all.
func (a *Account) Paid(endToEndID string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range a.bookings {
		if b.Kind == banks.BookingDebit && (endToEndID == "" || b.EndToEndID == endToEndID) {
			n++
		}
	}
	return n
}

// Arrive lets orders on their way reach the bank, and be executed.
func (a *Account) Arrive() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.way {
		a.execute(a.take(t))
	}
	a.way = nil
}

// Finish executes what was accepted.
func (a *Account) Finish() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.orders {
		if o.status == "ACSP" {
			a.execute(o)
		}
	}
}

// Book adds a booking of the test's own; an empty id and time are filled in.
func (a *Account) Book(b banks.Booking) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.book(b)
}

// Lose takes a booking off the statement while its money stays moved.
func (a *Account) Lose(i int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bookings = append(a.bookings[:i:i], a.bookings[i+1:]...)
}

// GiveBack has the payee's bank return an executed transfer.
func (a *Account) GiveBack(endToEndID, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.orders[endToEndID]
	o.reason = reason
	a.book(banks.Booking{Kind: banks.BookingReturn, In: true, Amount: o.Amount, EndToEndID: endToEndID, Counterparty: o.Creditor, Reason: reason})
}

// AnswerRecall decides a recall.
func (a *Account) AnswerRecall(endToEndID, state, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.recalls[endToEndID] = banks.RecallStatus{State: state, Reason: reason}
}

func (a *Account) book(b banks.Booking) {
	if b.ID == "" {
		b.ID = fmt.Sprintf("%s-%06d", a.ID, len(a.bookings)+1)
	}
	if b.BookedAt.IsZero() {
		b.BookedAt = a.Now()
	}
	a.bookings = append(a.bookings, b)
	if b.In {
		a.balance += b.Amount.AmountMinor
	} else {
		a.balance -= b.Amount.AmountMinor
	}
}

func (a *Account) take(t banks.Transfer) *order {
	o := &order{Transfer: t, status: "ACSP", takenAt: a.Now()}
	a.orders[t.EndToEndID] = o
	return o
}

func (a *Account) execute(o *order) {
	o.status = "ACSC"
	a.book(banks.Booking{Kind: banks.BookingDebit, Amount: o.Amount, EndToEndID: o.EndToEndID, Counterparty: o.Creditor, Remittance: o.Remittance})
}

func uncertain() error { return &banks.Error{Kind: banks.Uncertain} }

// ChannelInfo implements banks.Channel.
func (a *Account) ChannelInfo() banks.ChannelInfo {
	return banks.ChannelInfo{ID: a.ID, Account: a.Holder, Dedup: a.Dedup}
}

// Pay implements banks.Channel.
func (a *Account) Pay(_ context.Context, t banks.Transfer) (banks.TransferStatus, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls["pay"]++
	if o := a.orders[t.EndToEndID]; o != nil && a.Now().Sub(o.takenAt) < a.Dedup {
		return banks.TransferStatus{}, &banks.Error{Kind: banks.Refused, Code: "AM05", HTTPStatus: 400}
	}
	switch a.fault {
	case Unreachable:
		return banks.TransferStatus{}, &banks.Error{Kind: banks.Unavailable}
	case LostBefore, Silent:
		return banks.TransferStatus{}, uncertain()
	case Arriving:
		a.way = append(a.way, t)
		return banks.TransferStatus{}, uncertain()
	case Refused:
		o := a.take(t)
		o.status, o.reason = "RJCT", a.code
		return banks.TransferStatus{Status: "RJCT", Reason: a.code}, nil
	case Late:
		a.take(t)
		return banks.TransferStatus{Status: "ACSP"}, nil
	}
	o := a.take(t)
	a.execute(o)
	if a.fault == LostAfter {
		return banks.TransferStatus{}, uncertain()
	}
	return banks.TransferStatus{Status: o.status}, nil
}

// Find implements banks.Channel.
func (a *Account) Find(_ context.Context, r banks.TransferRef) (banks.TransferStatus, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls["find"]++
	o := a.orders[r.EndToEndID]
	switch {
	case a.deaf || a.fault == Silent:
		return banks.TransferStatus{}, uncertain()
	case o == nil || a.Now().Sub(o.takenAt) >= a.Dedup:
		return banks.TransferStatus{}, &banks.Error{Kind: banks.NotFound, HTTPStatus: 404}
	}
	return banks.TransferStatus{Status: o.status, Reason: o.reason}, nil
}

// Recall implements banks.Channel.
func (a *Account) Recall(_ context.Context, r banks.Recall) (banks.RecallStatus, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls["recall"]++
	if a.fault == Unreachable {
		return banks.RecallStatus{}, &banks.Error{Kind: banks.Unavailable}
	}
	if _, asked := a.recalls[r.EndToEndID]; !asked {
		a.recalls[r.EndToEndID] = banks.RecallStatus{State: "pending"}
	}
	return a.recalls[r.EndToEndID], nil
}

// RecallStatus implements banks.Channel.
func (a *Account) RecallStatus(_ context.Context, r banks.Recall) (banks.RecallStatus, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, asked := a.recalls[r.EndToEndID]
	if !asked {
		return s, &banks.Error{Kind: banks.NotFound, HTTPStatus: 404}
	}
	return s, nil
}

// Bookings implements banks.Channel; the cursor is a count.
func (a *Account) Bookings(_ context.Context, after string, limit int) ([]banks.Booking, string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	from := 0
	if after != "" {
		var err error
		if from, err = strconv.Atoi(after); err != nil {
			return nil, "", &banks.Error{Kind: banks.BadRequest, Err: err}
		}
	}
	to := min(from+limit, len(a.bookings))
	if to <= from {
		return nil, after, nil
	}
	return append([]banks.Booking(nil), a.bookings[from:to]...), strconv.Itoa(to), nil
}

// Balance implements banks.Channel.
func (a *Account) Balance(context.Context) (psd2.Money, time.Time, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return psd2.Euro(a.balance), a.Now(), nil
}
