package sctinst

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

// maxPage is how many entries one notification may be asked to hold.
const maxPage = 1000

// Bookings implements banks.Channel. The cursor is the notification's
// electronic sequence number, by which the bank counts what it has told.
func (c *Channel) Bookings(ctx context.Context, after string, limit int) (bookings []banks.Booking, next string, err error) {
	if _, err := strconv.ParseUint(after, 10, 63); after != "" && err != nil {
		return nil, after, unsendable("CURSOR_INVALID", nil)
	}
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if after != "" {
		q.Set("after", after)
	}
	rep, err := c.do(ctx, call{what: "notifications", method: http.MethodGet, path: "notifications", query: q,
		requestID: uuid.NewString(), traceID: psd2.TraceOf(ctx)})
	if err != nil {
		return nil, after, err
	}
	m, err := read[*iso20022.Notification](rep)
	if err != nil {
		return nil, after, err
	}
	c.tell(ctx, m.Name(), m.Ignored, psd2.TraceOf(ctx))
	return c.page(m.Reports, after)
}

// page turns reports into bookings. It fails as a whole: a booking that cannot
// be read must not be skipped, for the cursor would leave it behind.
func (c *Channel) page(reports []iso20022.Report, after string) ([]banks.Booking, string, error) {
	var list []banks.Booking
	next := after
	for _, p := range reports {
		if p.Account.IBAN != c.info.Account.IBAN {
			return nil, after, unreadable("ACCOUNT_MISMATCHED", nil)
		}
		for i, e := range p.Entries {
			if e.Status != "BOOK" { // pending ones come again when they are booked
				continue
			}
			more, err := bookingsOf(p, i, e)
			if err != nil {
				return nil, after, err
			}
			list = append(list, more...)
		}
		told, _ := strconv.ParseInt(next, 10, 64) // "" is 0; Bookings has checked the rest
		switch {
		case p.Sequence > 0 && p.Sequence >= told:
			next = strconv.FormatInt(p.Sequence, 10)
		case len(p.Entries) > 0:
			return nil, after, unreadable("SEQUENCE_MISSING", nil)
		}
	}
	return list, next, nil
}

var errEntry = errors.New("an entry has no amount, direction or time, or its transactions do not add up to it")

// bookingsOf reads one entry: a booking for each of its transactions, since
// banks put several payments of a customer into one entry. Their amounts must
// add up to the entry's.
func bookingsOf(p iso20022.Report, index int, e iso20022.Entry) ([]banks.Booking, error) {
	if e.Amount.AmountMinor <= 0 || e.Direction != iso20022.Credit && e.Direction != iso20022.Debit || e.BookedAt.Time.IsZero() {
		return nil, unreadable("ENTRY_UNREADABLE", errEntry)
	}
	ref := e.ServicerReference
	if ref == "" {
		ref = e.Reference
	}
	if ref == "" { // the bank gives none: its place in what it told is as stable
		ref = "seq-" + strconv.FormatInt(p.Sequence, 10) + "-" + strconv.Itoa(index)
	}
	txs := e.Transactions
	if len(txs) == 0 {
		txs = []iso20022.Transaction{{}}
	}
	sum, list := psd2.Money{Currency: e.Amount.Currency}, make([]banks.Booking, 0, len(txs))
	for i, t := range txs {
		b := booking(e, t)
		if b.ID = ref; len(txs) > 1 {
			if b.ID = t.ServicerReference; b.ID == "" {
				b.ID = ref + "-" + strconv.Itoa(i+1)
			}
			if t.Amount.AmountMinor > 0 {
				b.Amount = t.Amount
			}
		}
		var err error
		if sum, err = sum.Add(b.Amount); err != nil {
			return nil, unreadable("ENTRY_UNREADABLE", errEntry)
		}
		list = append(list, b)
	}
	if sum != e.Amount {
		return nil, unreadable("ENTRY_UNREADABLE", errEntry)
	}
	return list, nil
}

func booking(e iso20022.Entry, t iso20022.Transaction) banks.Booking {
	in := e.Direction == iso20022.Credit
	b := banks.Booking{In: in, Amount: e.Amount, BookedAt: e.BookedAt.Time, EndToEndID: t.EndToEndID, Reason: code(t.ReturnReason)}
	b.Remittance = t.Remittance.Text
	if b.Remittance == "" {
		b.Remittance = t.Remittance.Reference
	}
	returned := t.ReturnReason != "" || e.Reversal || e.Kind.SubFamily == "RRTN"
	switch {
	case returned:
		b.Kind = banks.BookingReturn
	case in:
		b.Kind = banks.BookingCredit
	default:
		b.Kind = banks.BookingDebit
	}
	// Of a payment that came back, debtor and creditor are those of the payment:
	// then the counterparty of incoming money is its creditor.
	if in != returned {
		b.Counterparty = party(t.Debtor, t.DebtorAccount, t.DebtorAgent)
	} else {
		b.Counterparty = party(t.Creditor, t.CreditorAccount, t.CreditorAgent)
	}
	return b
}

func party(p iso20022.Party, a iso20022.Account, bic string) psd2.Party {
	out := psd2.Party{Name: p.Name, IBAN: a.IBAN}
	if psd2.CheckText("name", out.Name, 140) != nil {
		out.Name = ""
	}
	if psd2.IsBIC(bic) {
		out.BIC = bic
	}
	return out
}

// Balance implements banks.Channel: the closing balance of the latest
// statement, or the interim one of the day that still goes on.
func (c *Channel) Balance(ctx context.Context) (psd2.Money, time.Time, error) {
	m, err := c.statement(ctx, "latest")
	if err != nil {
		return psd2.Money{}, time.Time{}, err
	}
	for _, p := range m.Reports {
		for _, b := range p.Balances {
			if b.Code == "ITBD" || b.Code == "CLBD" {
				amount := b.Amount
				if b.Direction == iso20022.Debit {
					amount.AmountMinor = -amount.AmountMinor
				}
				return amount, b.At.Time, nil
			}
		}
	}
	return psd2.Money{}, time.Time{}, unreadable("BALANCE_MISSING", nil)
}

// Statement gives the account's statement of one day by the bank's calendar,
// with opening and closing balance.
func (c *Channel) Statement(ctx context.Context, day time.Time) (*iso20022.Statement, error) {
	return c.statement(ctx, day.Format(time.DateOnly))
}

func (c *Channel) statement(ctx context.Context, which string) (*iso20022.Statement, error) {
	rep, err := c.do(ctx, call{what: "statement", method: http.MethodGet, path: "statements/" + which,
		requestID: uuid.NewString(), traceID: psd2.TraceOf(ctx)})
	if err != nil {
		return nil, err
	}
	m, err := read[*iso20022.Statement](rep)
	if err != nil {
		return nil, err
	}
	c.tell(ctx, m.Name(), m.Ignored, psd2.TraceOf(ctx))
	for _, p := range m.Reports {
		if p.Account.IBAN != c.info.Account.IBAN {
			return nil, unreadable("ACCOUNT_MISMATCHED", nil)
		}
	}
	return m, nil
}
