package bankstest

import (
	"context"
	"fmt"
	"strings"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// The checks of what a channel tells about its account.

func bookings(ctx context.Context, e *ChannelEnv) error {
	if e.Target.Credit == nil {
		return Skip("the target has nobody who pays in")
	}
	_, start, err := e.Bookings(ctx, "", 100)
	if err != nil {
		return err
	}
	want := map[string]int64{} // by EndToEndId; negative for what the account pays
	for _, minor := range []int64{5000, 1, 777} {
		id, err := e.Target.Credit(ctx, psd2.Euro(minor))
		if err != nil {
			return fmt.Errorf("nobody could pay in: %w", err)
		}
		want[id] = minor
	}
	t, err := e.paid(ctx, 250)
	if err != nil {
		return err
	}
	want[t.EndToEndID] = -250
	for _, page := range []int{1, 3, 100} {
		list, _, err := e.Bookings(ctx, start, page)
		if err != nil {
			return err
		}
		ids := map[string]bool{}
		for _, b := range list {
			amount := b.Amount.AmountMinor
			if !b.In {
				amount = -amount
			}
			if ids[b.ID] || b.ID == "" || want[b.EndToEndID] != amount || (b.Kind == banks.BookingCredit) != b.In || b.BookedAt.IsZero() ||
				b.Counterparty.IBAN == "" {
				return broken(fmt.Sprintf("booking %s of %s is told twice or wrongly", b.ID, b.EndToEndID))
			}
			ids[b.ID] = true
		}
		if len(list) != len(want) {
			return broken(fmt.Sprintf("%d bookings in pages of %d, want %d", len(list), page, len(want)))
		}
	}
	e.Proxy.Set(Fault{Only: every, CutAfter: true, Partial: true})
	if _, next, err := e.Channel.Bookings(ctx, start, 2); wantKind(e.judge("Bookings", err), banks.Uncertain) != nil || next != start {
		return broken("a lost answer moves the cursor")
	}
	return nil
}

func balance(ctx context.Context, e *ChannelEnv) error {
	before, at, err := e.Channel.Balance(ctx)
	if err := e.judge("Balance", err); err != nil {
		return err
	}
	if at.IsZero() || before.Currency != psd2.EUR {
		return broken("the balance has no time or no currency")
	}
	if _, err := e.paid(ctx, 321); err != nil {
		return err
	}
	after, _, err := e.Channel.Balance(ctx)
	if err := e.judge("Balance", err); err != nil {
		return err
	}
	if before.AmountMinor-after.AmountMinor != 321 {
		return broken(fmt.Sprintf("after 3.21 the balance fell by %d cents", before.AmountMinor-after.AmountMinor))
	}
	return nil
}

func recall(ctx context.Context, e *ChannelEnv) error {
	_, start, err := e.Bookings(ctx, "", 1000)
	if err != nil {
		return err
	}
	t, err := e.paid(ctx, 4200)
	if err != nil {
		return err
	}
	r := banks.Recall{ID: "RC" + strings.ReplaceAll(newUUID(), "-", ""), RequestID: newUUID(), TraceID: t.TraceID, MessageID: t.MessageID,
		EndToEndID: t.EndToEndID, Amount: t.Amount, Reason: "CUST"}
	s, err := e.Channel.Recall(ctx, r)
	if err := e.judge("Recall", err); err != nil {
		return err
	}
	r.RequestID = newUUID()
	again, err := e.Channel.RecallStatus(ctx, r)
	if err := e.judge("RecallStatus", err); err != nil {
		return err
	}
	if s.State != "pending" && again != s {
		return broken(fmt.Sprintf("a decided recall went from %v to %v", s, again))
	}
	if again.State != "accepted" {
		return nil
	}
	list, _, err := e.Bookings(ctx, start, 1000)
	if err != nil {
		return err
	}
	for _, b := range list {
		if b.Kind == banks.BookingReturn && b.In && b.EndToEndID == t.EndToEndID && b.Amount == t.Amount && b.Reason != "" {
			return nil
		}
	}
	return broken("an accepted recall shows no return in the bookings")
}
