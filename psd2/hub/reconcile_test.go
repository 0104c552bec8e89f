package hub_test

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// days makes a till's past: orders and what the bank booked of them, with the
// truth about each entry.
type days struct {
	*till
	r       *mathrand.Rand
	truth   map[string]psd2.EntryClass // by the bank's reference
	missing map[string]bool            // EndToEndIds
	settled []string                   // payments that an entry settles
	not     []string                   // payments that none settles
	n       int
}

func (d *days) add(class psd2.EntryClass, b banks.Booking) {
	d.n++
	b.ID = fmt.Sprintf("B%06d", d.n)
	d.truth[b.ID] = class
	d.account.Book(b)
}

// soon is a moment at which the bank books what is executed now.
func (d *days) soon() time.Time {
	return d.clock.Now().Add(time.Duration(d.r.IntN(12*3600)) * time.Second)
}

func (d *days) amount() psd2.Money { return psd2.Euro(1 + d.r.Int64N(50_000)) }

// order makes a deposit in one transaction and brings it where do says.
func (d *days) order(tx *store.Tx, do func(*psd2.Payment, string)) *psd2.Payment {
	d.t.Helper()
	now := tx.Now
	player := fmt.Sprintf("player-%d", d.r.IntN(400))
	p := &psd2.Payment{
		ID: psd2.NewID(psd2.PrefixPayment, now, rand.Reader), MerchantID: merchantID, PersonID: d.db.PersonID(merchantID, player),
		Amount: d.amount(), PayeeAccountID: accountID, ReturnURI: returnURI, ExpiresAt: now.Add(15 * time.Minute), LinkHash: rand.Text(),
		PayerPolicy: psd2.PayerRequired, Personal: psd2.Personal{Reference: "Deposit", Player: psd2.Player{Reference: player, Name: "Anna Beispiel"}},
	}
	p.Create(now)
	if err := tx.CreatePayment(p); err != nil {
		d.t.Fatal(err)
	}
	p, err := tx.UpdatePayment(p.ID, func(p *psd2.Payment) error {
		id := psd2.NewID(psd2.PrefixAttempt, now, rand.Reader)
		if err := p.BeginAttempt(psd2.Attempt{ID: id, BankID: "b", EndToEndID: psd2.NewEndToEndID(id)}, psd2.PSU{}, now); err != nil {
			return err
		}
		do(p, id)
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return p
}

func executed(p *psd2.Payment, id string) {
	now := p.UpdatedAt
	_ = p.Initiated(id, "redirect", psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: "https://bank.example"}, []byte("s"), now)
	p.Report(id, psd2.Report{Status: "ACSC"}, now)
}

func underWay(p *psd2.Payment, id string) {
	_ = p.Initiated(id, "redirect", psd2.Prompt{Kind: psd2.PromptRedirect, RedirectURL: "https://bank.example"}, []byte("s"), p.UpdatedAt)
}

func abandoned(p *psd2.Payment, id string) { _ = p.InitiationLost(id, p.UpdatedAt) }

// transfer makes a refund of a deposit that has been executed.
func (d *days) transfer(tx *store.Tx) *psd2.Transfer {
	d.t.Helper()
	p := d.order(tx, executed)
	t := &psd2.Transfer{ID: psd2.NewID(psd2.PrefixRefund, tx.Now, rand.Reader), Kind: psd2.KindRefund, MerchantID: merchantID, PersonID: p.PersonID,
		Amount: p.Amount, AccountID: accountID, PaymentID: p.ID, Personal: psd2.TransferPersonal{Reference: "Refund", Player: p.Personal.Player, Payee: anna}}
	t.Create(tx.Now)
	if err := tx.CreateTransfer(t); err != nil {
		d.t.Fatal(err)
	}
	d.credit(psd2.EntryMatched, p, d.soon())
	t, err := tx.UpdateTransfer(t.ID, func(t *psd2.Transfer) error {
		if err := t.Submit(24*time.Hour, tx.Now); err != nil {
			return err
		}
		t.Report("ACSC", "", time.Minute, tx.Now)
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return t
}

func (d *days) credit(class psd2.EntryClass, p *psd2.Payment, at time.Time) {
	d.add(class, banks.Booking{Kind: banks.BookingCredit, In: true, Amount: p.Amount, EndToEndID: p.Last().EndToEndID, Counterparty: anna, BookedAt: at})
	if class.Expected() {
		d.settled = append(d.settled, p.ID)
	}
}

func (d *days) debit(class psd2.EntryClass, t *psd2.Transfer, at time.Time) {
	d.add(class, banks.Booking{Kind: banks.BookingDebit, Amount: t.Amount, EndToEndID: t.EndToEndID, BookedAt: at})
}

// happen makes one or several entries of a kind chosen by chance.
func (d *days) happen(tx *store.Tx) {
	late := d.clock.Now().Add(25 * time.Hour)
	switch k := d.r.IntN(100); {
	case k < 45:
		d.credit(psd2.EntryMatched, d.order(tx, executed), d.soon())
	case k < 50: // known by the statement alone
		d.credit(psd2.EntryMatched, d.order(tx, underWay), d.soon())
	case k < 60:
		d.debit(psd2.EntryMatched, d.transfer(tx), d.soon())
	case k < 64: // sent and come back
		t := d.transfer(tx)
		d.debit(psd2.EntryMatched, t, d.soon())
		d.add(psd2.EntryMatched, banks.Booking{Kind: banks.BookingReturn, In: true, Amount: t.Amount, EndToEndID: t.EndToEndID, Reason: "AC04", BookedAt: d.soon()})
	case k < 67: // received and sent back
		p := d.order(tx, executed)
		d.credit(psd2.EntryMatched, p, d.soon())
		d.add(psd2.EntryMatched, banks.Booking{Kind: banks.BookingReturn, Amount: p.Amount, EndToEndID: p.Last().EndToEndID, Reason: "FOCR", BookedAt: d.soon()})
	case k < 71:
		d.credit(psd2.EntryLate, d.order(tx, executed), late)
	case k < 74:
		d.credit(psd2.EntryLate, d.order(tx, abandoned), d.soon())
	case k < 76:
		d.debit(psd2.EntryLate, d.transfer(tx), late)
	case k < 80:
		p := d.order(tx, executed)
		d.credit(psd2.EntryMatched, p, d.soon())
		d.credit(psd2.EntryDuplicate, p, d.soon())
	case k < 82:
		t := d.transfer(tx)
		d.debit(psd2.EntryMatched, t, d.soon())
		d.debit(psd2.EntryDuplicate, t, d.soon())
	case k < 90:
		d.foreign(tx)
	case k < 94: // another amount: the order stays missing
		p := d.order(tx, executed)
		d.missing[p.Last().EndToEndID] = true
		d.not = append(d.not, p.ID)
		wrong := *p
		wrong.Amount.AmountMinor++
		d.credit(psd2.EntryWrongAmount, &wrong, d.soon())
	case k < 97:
		p := d.order(tx, executed)
		d.missing[p.Last().EndToEndID] = true
		d.not = append(d.not, p.ID)
	default:
		d.missing[d.transfer(tx).EndToEndID] = true
	}
}

// foreign is money that the hub has nothing to do with, some of it with
// references that look as if it had.
func (d *days) foreign(tx *store.Tx) {
	b := banks.Booking{Kind: banks.BookingCredit, In: true, Amount: d.amount(), BookedAt: d.soon(),
		Counterparty: psd2.Party{Name: "Stadtwerke", IBAN: "DE75512108001245126199"}, Remittance: "=HYPERLINK(1)"}
	switch d.r.IntN(6) {
	case 0:
		b.EndToEndID = "NOTPROVIDED"
	case 1:
		b.EndToEndID = "RLT" + rand.Text()
	case 2:
		b.Kind, b.In = banks.BookingDebit, false
	case 3: // a credit under the name of a transfer of ours
		t := d.transfer(tx)
		b.EndToEndID, b.Amount = t.EndToEndID, t.Amount
		d.debit(psd2.EntryMatched, t, d.soon())
	case 4: // a debit under the name of a deposit
		p := d.order(tx, underWay)
		b.EndToEndID, b.Amount, b.Kind, b.In = p.Last().EndToEndID, p.Amount, banks.BookingDebit, false
		d.not = append(d.not, p.ID)
	}
	d.add(psd2.EntryForeign, b)
}

// past makes so many entries over ten days.
func past(w *till, entries int, seed uint64) *days {
	w.t.Helper()
	w.t.Logf("seed %d", seed)
	d := &days{till: w, r: mathrand.New(mathrand.NewPCG(seed, 1)), truth: map[string]psd2.EntryClass{}, missing: map[string]bool{}}
	for d.n < entries {
		if err := w.db.Tx(ctx, func(tx *store.Tx) error {
			for until := min(d.n+entries/40, entries); d.n < until; {
				d.happen(tx)
			}
			return nil
		}); err != nil {
			w.t.Fatal(err)
		}
		w.clock.Add(6 * time.Hour)
	}
	w.clock.Add(48 * time.Hour)
	return d
}

// TestBooksExplainEveryCent: ten thousand entries of every kind are each put
// into their class, and the balance is explained to the cent.
func TestBooksExplainEveryCent(t *testing.T) {
	bothTills(t, func(t *testing.T, w *till) {
		size := 10_000
		if strings.HasSuffix(t.Name(), "/postgres") { // one journey per statement: the same rules in less time
			size = 3000
		}
		d := past(w, size, 2026)
		d.read()
		classes := map[psd2.EntryClass]int{}
		read := 0
		for after := int64(0); ; {
			list, err := w.db.StatementEntries(ctx, store.EntryFilter{AccountID: accountID, After: after, Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				break
			}
			for _, e := range list {
				if e.Class != d.truth[e.BankID] {
					t.Errorf("%s %s %s: %s, is %s", e.BankID, e.Kind, e.Amount.Decimal(), e.Class, d.truth[e.BankID])
				}
				classes[e.Class]++
				read++
			}
			after = list[len(list)-1].Number
		}
		if read != d.n {
			t.Fatalf("%d entries, want %d", read, d.n)
		}
		for _, c := range psd2.EntryClasses {
			if classes[c] < 50 {
				t.Errorf("only %d are %s", classes[c], c)
			}
		}
		d.checkMissing()
		d.checkPayments()
		d.checkBooks()
	})
}

func (d *days) checkMissing() {
	d.t.Helper()
	list, err := d.db.Missing(ctx, accountID, d.clock.Now().Add(-24*time.Hour), 10_000)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range list {
		if !d.missing[e.EndToEndID] {
			d.t.Errorf("%s is not missing", e.EndToEndID)
		}
	}
	if len(list) != len(d.missing) {
		d.t.Errorf("%d missing, want %d", len(list), len(d.missing))
	}
}

func (d *days) checkPayments() {
	d.t.Helper()
	for _, id := range d.settled {
		if p := d.load(id); p.State != psd2.StateSettled || p.SourceID == "" {
			d.t.Errorf("%s is %s", id, p.State)
		}
	}
	for _, id := range d.not {
		if p := d.load(id); p.State == psd2.StateSettled {
			d.t.Errorf("%s is settled by an entry that is not its own", id)
		}
	}
}

func (d *days) checkBooks() {
	d.t.Helper()
	limit := d.clock.Now().Add(-24 * time.Hour)
	books, err := d.db.Books(ctx, accountID, limit)
	if err != nil {
		d.t.Fatal(err)
	}
	balance, _, _ := d.account.Balance(ctx)
	if books.Unexplained == nil || *books.Unexplained != 0 || *books.Balance != balance || books.Missing.Count != int64(len(d.missing)) || books.InTransit.Count != 0 {
		d.t.Errorf("books %+v, unexplained %v, balance %v", books, books.Unexplained, balance)
	}
	list, err := d.db.Settlements(ctx, accountID, "2026-01-01", "2027-12-31", limit)
	if err != nil || len(list) < 10 {
		d.t.Fatal(len(list), err)
	}
	cleared := int64(0)
	for i, s := range list {
		if s.Difference != 0 {
			d.t.Errorf("%s: difference %d", s.Day, s.Difference)
		}
		if i > 0 && *s.Closing != *list[i-1].Opening {
			d.t.Errorf("%s closes with %d, the next day opens with %d", s.Day, *s.Closing, *list[i-1].Opening)
		}
		cleared += s.Deposits - s.Refunds - s.Payouts + s.Returns - s.Missing.Net()
		for class, tally := range s.Classes {
			if class.Expected() {
				cleared -= tally.Net()
			}
		}
	}
	if cleared != 0 { // the two sides come from different tables
		d.t.Errorf("initiated less missing and expected entries differ by %d", cleared)
	}
	if opening := *list[len(list)-1].Opening; opening != 1_000_000 || *list[0].Closing != balance.AmountMinor {
		d.t.Errorf("from %d to %d", opening, *list[0].Closing)
	}
}

// TestReadingAgainChangesNothing: the cursor is lost, and the bank repeats the
// whole statement.
func TestReadingAgainChangesNothing(t *testing.T) {
	w := oneTill(t)
	d := past(w, 300, 7)
	d.read()
	if err := w.db.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.SetCursor("ledger", 0); err != nil {
			return err
		}
		p, err := tx.ReadStatement(accountID)
		if err != nil {
			return err
		}
		p.Place = ""
		return tx.MoveStatement(accountID, p)
	}); err != nil {
		t.Fatal(err)
	}
	d.read()
	d.checkMissing()
	d.checkBooks()
}

// TestUnreadBookingIsUnexplained: money that moved and is on no statement
// shows in the difference, and in its size.
func TestUnreadBookingIsUnexplained(t *testing.T) {
	w := oneTill(t)
	p := w.deposit("p1", 700, anna)
	w.account.Book(banks.Booking{Kind: banks.BookingCredit, In: true, Amount: p.Amount, EndToEndID: p.Last().EndToEndID})
	w.read()
	w.account.Book(banks.Booking{Kind: banks.BookingDebit, Amount: psd2.Euro(123)})
	w.account.Lose(1)
	w.clock.Add(time.Hour)
	w.read()
	books, err := w.db.Books(ctx, accountID, w.clock.Now())
	if err != nil || books.Unexplained == nil || *books.Unexplained != -123 {
		t.Fatal(books.Unexplained, err)
	}
}

// TestErasedPersonsEntriesAreStillCounted: his orders can no longer change,
// but the books must close.
func TestErasedPersonsEntriesAreStillCounted(t *testing.T) {
	w := oneTill(t)
	p := w.deposit("p1", 700, anna)
	r := w.refund(p, 100)
	w.step()
	if err := w.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM person_keys WHERE person_id = ?`, p.PersonID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	w.account.Book(banks.Booking{Kind: banks.BookingCredit, In: true, Amount: p.Amount, EndToEndID: p.Last().EndToEndID, Counterparty: anna})
	w.account.Book(banks.Booking{Kind: banks.BookingCredit, In: true, Amount: psd2.Euro(5), EndToEndID: p.Last().EndToEndID, Counterparty: anna})
	w.account.GiveBack(r.EndToEndID, "AC04")
	w.read()
	books, err := w.db.Books(ctx, accountID, w.clock.Now())
	if err != nil || *books.Unexplained != 0 || books.Classes[psd2.EntryMatched].Count != 3 || books.Classes[psd2.EntryWrongAmount].Count != 1 {
		t.Fatal(books, err)
	}
}

// TestEntryWaitsForAnOrderBeingSent: the statement is faster than the bank's
// answer to the initiation.
func TestEntryWaitsForAnOrderBeingSent(t *testing.T) {
	w := oneTill(t)
	var p *psd2.Payment
	d := &days{till: w, r: mathrand.New(mathrand.NewPCG(1, 1)), truth: map[string]psd2.EntryClass{}}
	if err := w.db.Tx(ctx, func(tx *store.Tx) error { p = d.order(tx, func(*psd2.Payment, string) {}); return nil }); err != nil {
		t.Fatal(err)
	}
	d.credit(psd2.EntryMatched, p, w.clock.Now())
	d.add(psd2.EntryForeign, banks.Booking{Kind: banks.BookingCredit, In: true, Amount: psd2.Euro(1)})
	if _, err := w.hub.StepStatements(ctx, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.UpdatePayment(ctx, p.ID, func(p *psd2.Payment) error { underWay(p, p.Last().ID); return nil }); err != nil {
		t.Fatal(err)
	}
	w.read()
	if p = w.load(p.ID); p.State != psd2.StateSettled {
		t.Fatal(p.State)
	}
	books, err := w.db.Books(ctx, accountID, w.clock.Now())
	if err != nil || books.Classes[psd2.EntryMatched].Count != 1 || books.Classes[psd2.EntryForeign].Count != 1 {
		t.Fatal(books, err)
	}
}

func TestReturnedAndRecalledDepositsAreTold(t *testing.T) {
	w := oneTill(t)
	p := w.deposit("p1", 700, anna)
	e2e := p.Last().EndToEndID
	for range 2 {
		if err := w.hub.RecallRequested(ctx, accountID, psd2.RecallNotice{EndToEndID: e2e, Reason: "FRAD"}); err != nil {
			t.Fatal(err)
		}
	}
	w.account.Book(banks.Booking{Kind: banks.BookingCredit, In: true, Amount: p.Amount, EndToEndID: e2e, Counterparty: anna})
	w.account.Book(banks.Booking{Kind: banks.BookingReturn, Amount: p.Amount, EndToEndID: e2e, Reason: "FOCR"})
	w.read()
	w.wantEvents(p.ID, "created attempt_started authorized executed payer_checked creditable recall_requested settled returned")
	if p = w.load(p.ID); p.ReturnCode != "FOCR" || p.RecallCode != "FRAD" {
		t.Fatal(p.ReturnCode, p.RecallCode)
	}
	_, err := w.tryRefund(p, 1)
	wantReason(t, err, "payment_returned")
}
