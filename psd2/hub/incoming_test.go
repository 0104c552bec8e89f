package hub_test

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit/account"
)

// inbox is an account whose bank tells of recalls, one at a time.
type inbox struct {
	*account.Account
	mu    sync.Mutex
	list  []psd2.RecallNotice
	asked int
	down  bool
}

func (i *inbox) Recalls(_ context.Context, after string) ([]psd2.RecallNotice, string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked++
	from, _ := strconv.Atoi(after)
	switch {
	case i.down:
		return nil, after, &banks.Error{Kind: banks.Uncertain}
	case from >= len(i.list):
		return nil, after, nil
	}
	return i.list[from : from+1], strconv.Itoa(from + 1), nil
}

func (w *till) withInbox(i *inbox, name string, db *store.DB) *hub.Hub {
	h := hub.New(hub.Config{PublicURL: "https://pay.example"}, hub.Deps{Store: db, Banks: banks.NewRegistry(nil, nil, w.clock.Now),
		Holder: name, Now: w.clock.Now, Random: rand.Reader, Channels: map[string]banks.Channel{accountID: i}})
	w.t.Cleanup(h.Close)
	return patient(h)
}

// TestRecallsOfDepositsAreTold: the merchant is told once, whatever the bank
// repeats and whichever process reads; what is none of ours is kept; a failing
// inbox holds nothing else up and is not asked all the time.
func TestRecallsOfDepositsAreTold(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		p := w.deposit("p1", 700, anna)
		e2e := p.Last().EndToEndID
		i := &inbox{Account: w.account, list: []psd2.RecallNotice{
			{ID: "R1", EndToEndID: e2e, Reason: "FRAD", ReceivedAt: w.clock.Now()},
			{ID: "R1", EndToEndID: e2e, Reason: "FRAD", ReceivedAt: w.clock.Now()},
			{ID: "R2", EndToEndID: "NOTPROVIDED", Reason: "CUST", ReceivedAt: w.clock.Now()},
		}}
		hubs := []*hub.Hub{w.withInbox(i, "a", w.db), w.withInbox(i, "b", w.db)}
		step := func() (failed bool) {
			for _, h := range hubs {
				_, err := h.StepStatements(ctx, w.clock.Now())
				failed = failed || err != nil
			}
			return failed
		}
		step()
		w.wantEvents(p.ID, "created attempt_started authorized executed payer_checked creditable recall_requested")
		for object, want := range map[string]string{p.ID: "R1", "": "R2"} {
			if list, err := hubs[0].RecallsOf(ctx, object); err != nil || len(list) != 1 || list[0].ID != want || list[0].AccountID != accountID {
				t.Errorf("recalls of %q: %+v %v", object, list, err)
			}
		}
		i.down = true
		w.account.Book(banks.Booking{Kind: banks.BookingCredit, In: true, Amount: p.Amount, EndToEndID: e2e, Counterparty: anna})
		w.clock.Add(time.Minute)
		before := i.asked
		if !step() {
			t.Error("nobody says that the inbox fails")
		}
		step()
		if n := i.asked - before; n != 1 {
			t.Errorf("asked %d times within a minute", n)
		}
		w.wantEvents(p.ID, "created attempt_started authorized executed payer_checked creditable recall_requested settled")
	})
}
