package hub_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/hub"
)

// slowBank takes an order long after the connection is gone, and says till then
// that it does not know it. It would recognise one sent twice.
type slowBank struct {
	sent  []string
	asked int
	takes bool
}

func (*slowBank) Info() banks.Info {
	return banks.Info{ID: "slow", Approaches: []banks.Approach{banks.Redirect}, RiskAtOnce: true, Dedup: 24 * time.Hour}
}

func (b *slowBank) Initiate(_ context.Context, o banks.Order) (banks.Initiation, error) {
	b.sent = append(b.sent, o.EndToEndID)
	return banks.Initiation{}, &banks.Error{Kind: banks.Uncertain}
}

func (b *slowBank) Status(context.Context, banks.Ref) (banks.Status, error) {
	return banks.Status{Transaction: "ACSC"}, nil
}

func (b *slowBank) Find(_ context.Context, r banks.Ref) ([]byte, banks.Status, error) {
	b.asked++
	if !b.takes {
		return nil, banks.Status{}, &banks.Error{Kind: banks.NotFound, HTTPStatus: 404}
	}
	return []byte(r.EndToEndID), banks.Status{Transaction: "ACSC"}, nil
}

// TestNotFoundProvesNothingOfADeposit: within the bank's memory, after patience
// and asked again and again, "not found" does not end the payment: the payer
// cannot pay anew, it is for the operators, and the late order is believed.
func TestNotFoundProvesNothingOfADeposit(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		b := &slowBank{}
		w.merchant.PayerPolicy = psd2.PayerOff
		w.entries = append(w.entries, banks.Entry{ID: "slow", Name: "slow", Adapter: "slow"})
		w.adapters["slow"] = b
		w.hub = w.newHub("hub-1", w.db)
		p := w.start()
		if _, _, err := w.hub.Authorise(ctx, p.ID, "slow", rand.Text(), browser, hub.Browser{}); err != nil {
			t.Fatal(err)
		}
		w.run(6 * time.Hour)
		w.wantState(p, psd2.StateOutcomeUnknown, "")
		if b.asked < 5 {
			t.Fatalf("asked %d times", b.asked)
		}
		if _, _, err := w.hub.Authorise(ctx, p.ID, plain, rand.Text(), browser, hub.Browser{}); psd2.CodeOf(err) != psd2.CodeConflict {
			t.Errorf("the payer may pay anew: %v", err)
		}
		if queue, err := w.hub.Undecided(ctx, 10); err != nil || len(queue) != 1 || queue[0].ObjectID != p.ID {
			t.Errorf("the operators' queue: %+v %v", queue, err)
		}
		b.takes = true
		w.run(13 * time.Hour)
		if p = w.load(p); p.State != psd2.StateExecuted || len(b.sent) != 1 {
			t.Errorf("%s, sent %d times", p.State, len(b.sent))
		}
	})
}
