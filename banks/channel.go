package banks

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Channel is a merchant's own account, reached directly at his bank: what
// refunds and payouts are sent through, and what deposits are reconciled
// against. Its errors are *Error with the same kinds.
type Channel interface {
	// ChannelInfo is constant.
	ChannelInfo() ChannelInfo
	// Pay sends one order with exactly one request and no retry of any kind
	// below it. The hub calls it once per order, after it has committed the
	// order.
	Pay(ctx context.Context, t Transfer) (TransferStatus, error)
	// Find asks for an order by our own MessageID and EndToEndID. NotFound only
	// when the bank certainly never took it.
	Find(ctx context.Context, r TransferRef) (TransferStatus, error)
	// Recall asks the payee's bank to give the money back (camt.056). The answer
	// comes later: as a Booking of kind BookingReturn, or as RecallStatus.
	Recall(ctx context.Context, r Recall) (RecallStatus, error)
	// RecallStatus asks what became of a recall.
	RecallStatus(ctx context.Context, r Recall) (RecallStatus, error)
	// Bookings lists booked entries in the bank's order (camt.054, camt.053),
	// after an opaque cursor ("" is the beginning). next is the cursor to go on
	// with, the same as before when there is nothing new.
	Bookings(ctx context.Context, after string, limit int) (bookings []Booking, next string, err error)
	// Balance is the booked balance and when it held.
	Balance(ctx context.Context) (psd2.Money, time.Time, error)
}

// RecallInbox is the optional role of a Channel whose bank tells of recalls:
// other banks' wishes to have deposits back (camt.056).
type RecallInbox interface {
	// Recalls lists some of them in the order in which they came, after an
	// opaque cursor ("" is the beginning). next is the cursor to go on with, the
	// same as before when there is nothing new.
	Recalls(ctx context.Context, after string) (notices []psd2.RecallNotice, next string, err error)
}

// ChannelInfo describes a channel; it never changes while the process runs.
type ChannelInfo struct {
	ID      string
	Account psd2.Party // whose account it is
	// Dedup is how long the bank refuses the same MessageID or EndToEndID as a
	// duplicate. It only ever forbids: after it, nothing is sent again at all.
	Dedup time.Duration
}

// Transfer is one SEPA Instant credit transfer from the channel's account.
type Transfer struct {
	MessageID  string // ≤ 35 EPC characters, unique
	EndToEndID string // ≤ 35 EPC characters, unique
	RequestID  string // a UUID for this call
	TraceID    string
	CreatedAt  time.Time
	Amount     psd2.Money
	Creditor   psd2.Party
	Remittance string // ≤ 140 EPC characters
}

// TransferRef names a transfer by our own references.
type TransferRef struct {
	MessageID  string
	EndToEndID string
	RequestID  string // fresh for this call
	TraceID    string
}

// TransferStatus is what the bank says of a transfer: raw ISO 20022 codes.
type TransferStatus struct {
	Status string // transaction status, e.g. ACSC, RJCT
	Reason string // status reason, e.g. AC04
}

// Recall asks for the return of an executed transfer.
type Recall struct {
	ID         string // ours, ≤ 35 EPC characters
	RequestID  string
	TraceID    string
	MessageID  string // of the transfer
	EndToEndID string
	Amount     psd2.Money
	Reason     string // DUPL, TECH, FRAD, or CUST, AC03, AM09 by the originator
}

// RecallStatus is where a recall stands. State is "pending", "accepted" (the
// money comes back as an entry) or "refused".
type RecallStatus struct {
	State  string
	Reason string // of a refusal: e.g. CUST, LEGL, NOAS
}

// BookingKind says what a booking of a statement is.
type BookingKind string

// Kinds of entries.
const (
	BookingCredit BookingKind = "credit" // somebody paid into the account
	BookingDebit  BookingKind = "debit"  // the account paid
	BookingReturn BookingKind = "return" // a transfer came back (pacs.004): in for our own, out for one we received
)

// Booking is one booked entry of the account.
type Booking struct {
	ID           string // the bank's reference, unique within the account (AcctSvcrRef)
	Kind         BookingKind
	In           bool // money came to the account
	Amount       psd2.Money
	BookedAt     time.Time
	EndToEndID   string // of the order, or of the one that came back; "" or NOTPROVIDED when there is none
	Counterparty psd2.Party
	Remittance   string
	Reason       string // of a return, e.g. FOCR, AC04
}
