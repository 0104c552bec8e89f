package hub_test

import (
	"fmt"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
	"github.com/rialto-hub/rialto/psd2/testkit/account"
)

// wantBooks checks what is missing, a day after everything should be there.
func (w *till) wantBooks(missing int64, deposits, refunds int64) *psd2.Books {
	w.t.Helper()
	before := w.clock.Now().Add(-24 * time.Hour)
	b, err := w.db.Books(ctx, accountID, before)
	if err != nil {
		w.t.Fatal(err)
	}
	list, err := w.db.Missing(ctx, accountID, before, 10)
	if err != nil || b.Missing.Count != missing || int64(len(list)) != missing {
		w.t.Errorf("%d missing, %d listed, want %d (%v)", b.Missing.Count, len(list), missing, err)
	}
	days, err := w.db.Settlements(ctx, accountID, "0000-01-01", "9999-12-31", before)
	if err != nil {
		w.t.Fatal(err)
	}
	var in, out, difference int64
	for _, d := range days {
		in, out, difference = in+d.Deposits, out+d.Refunds, difference+d.Difference
	}
	if in != deposits || out != refunds || difference != 0 {
		w.t.Errorf("deposits %d, refunds %d, difference %d; want %d, %d, 0", in, out, difference, deposits, refunds)
	}
	return b
}

// TestRefundThatOnlyOperatorsThoughtExecutedIsNotMissing: the bank says that it
// refused what two people had decided to be executed. Nothing waits for it on
// the statement; and when the statement shows it after all, the books say so.
func TestRefundThatOnlyOperatorsThoughtExecutedIsNotMissing(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		p := w.deposit("p1", 5000, anna)
		w.account.Book(banks.Booking{Kind: banks.BookingCredit, In: true, Amount: p.Amount, EndToEndID: p.Last().EndToEndID, Counterparty: anna})
		w.read()
		x := w.refund(p, 2000)
		w.account.Next(account.Arriving, "")
		w.account.Deaf(true)
		for range 5 {
			if _, err := w.hub.StepTransfers(ctx, w.clock.Now()); err != nil {
				t.Fatal(err)
			}
			w.clock.Add(10 * time.Minute)
		}
		w.clock.Add(time.Hour)
		d, err := w.hub.Propose(ctx, olga, draft(x.ID, psd2.VerdictExecuted))
		if err == nil {
			err = w.hub.Approve(ctx, piet, d.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.read()
		w.clock.Add(25 * time.Hour)
		w.wantBooks(1, 5000, 2000)
		if _, err := w.db.UpdateTransfer(ctx, x.ID, func(x *psd2.Transfer) error {
			x.Report("RJCT", "AC04", time.Minute, w.clock.Now())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		w.read()
		w.clock.Add(25 * time.Hour)
		w.wantBooks(0, 5000, 0)

		w.account.Deaf(false)
		w.account.Arrive() // it had executed it, and contradicts itself
		w.read()
		w.clock.Add(25 * time.Hour)
		if b := w.wantBooks(0, 5000, 2000); b.Classes[psd2.EntryLate].Count != 1 {
			t.Errorf("%+v", b.Classes)
		}
	})
}

// TestDepositThatOnlyOperatorsThoughtExecutedIsNotMissing is the same of money
// that should have come in.
func TestDepositThatOnlyOperatorsThoughtExecutedIsNotMissing(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		d := &days{till: w, r: mathrand.New(mathrand.NewPCG(1, 1))}
		var p *psd2.Payment
		if err := w.db.Tx(ctx, func(tx *store.Tx) error {
			p = d.order(tx, func(p *psd2.Payment, id string) {
				underWay(p, id)
				p.Returned(id, tx.Now)
				p.Silent(id, 0, tx.Now)
				if err := p.Decide(id, "dec_1", psd2.VerdictExecuted, tx.Now); err != nil {
					t.Fatal(err)
				}
			})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		w.read()
		w.clock.Add(25 * time.Hour)
		w.wantBooks(1, p.Amount.AmountMinor, 0)
		if _, err := w.db.UpdatePayment(ctx, p.ID, func(p *psd2.Payment) error {
			p.Report(p.Last().ID, psd2.Report{Status: "RJCT"}, w.clock.Now())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		w.read()
		w.wantBooks(0, 0, 0)
	})
}

// A deposit that does not open stops nobody else's from being expected.
func TestDamagedDepositIsExpectedLikeAnyOther(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		bad := w.deposit("p1", 5000, anna)
		w.deposit("p2", 2500, anna)
		if err := w.db.Tx(ctx, func(tx *store.Tx) error {
			n, err := tx.Exec(`UPDATE payments SET sealed = ? WHERE id = ?`, []byte{1, 2, 3}, bad.ID)
			if n != 1 {
				t.Error("nothing was damaged")
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		w.read()
		w.clock.Add(25 * time.Hour)
		w.wantBooks(2, 7500, 0)
	})
}

// Money of an order that does not open is shown as nobody's, and the statement
// is read on: what comes after it settles.
func TestEntryOfADamagedOrderKeepsNoOtherFromBeingRead(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		bad, good := w.deposit("p1", 5000, anna), w.deposit("p2", 2500, anna)
		for i, p := range []*psd2.Payment{bad, good} {
			w.account.Book(banks.Booking{ID: fmt.Sprint("B", i), Kind: banks.BookingCredit, In: true, Amount: p.Amount, EndToEndID: p.Last().EndToEndID, BookedAt: w.clock.Now(), Counterparty: anna})
		}
		if err := w.db.Tx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE payments SET sealed = ? WHERE id = ?`, []byte{1, 2, 3}, bad.ID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		w.read()
		if got := w.load(good.ID).State; got != psd2.StateSettled {
			t.Errorf("the deposit after it is %s", got)
		}
		var classes []string
		if err := w.db.Select(ctx, &classes, `SELECT class FROM statement_entries ORDER BY number`); err != nil {
			t.Fatal(err)
		}
		if len(classes) != 2 || classes[0] != string(psd2.EntryForeign) || classes[1] != string(psd2.EntryMatched) {
			t.Errorf("the entries are %v", classes)
		}
	})
}
