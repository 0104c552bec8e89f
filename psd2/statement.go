package psd2

import "time"

// EntryKind says what a booked entry of an account's statement is.
type EntryKind string

// Kinds of entries.
const (
	EntryCredit EntryKind = "credit" // somebody paid in
	EntryDebit  EntryKind = "debit"  // the account paid
	EntryReturn EntryKind = "return" // a transfer came back, or a deposit was sent back (pacs.004)
)

// EntryClass says how an entry agrees with what the hub initiated.
type EntryClass string

// Classes of entries. What the hub initiated and no entry shows is missing.
const (
	EntryMatched     EntryClass = "matched"
	EntryLate        EntryClass = "late"         // ours, but long after, or after we had given it up
	EntryDuplicate   EntryClass = "duplicate"    // ours, but seen before
	EntryForeign     EntryClass = "foreign"      // not ours
	EntryWrongAmount EntryClass = "wrong_amount" // ours, but another amount: settles nothing
)

// EntryClasses lists them all.
var EntryClasses = []EntryClass{EntryMatched, EntryLate, EntryDuplicate, EntryForeign, EntryWrongAmount}

// Expected reports whether the hub had initiated what the entry shows.
func (c EntryClass) Expected() bool { return c == EntryMatched || c == EntryLate }

// StatementEntry is a booked entry of a payee account, as its bank told it and
// as the hub understands it.
type StatementEntry struct {
	AccountID    string
	Number       int64  // in the order they were read, from 1
	BankID       string // the bank's reference
	Kind         EntryKind
	Incoming     bool
	Amount       Money
	BookedAt     time.Time
	EndToEndID   string
	Reason       string // of a return
	Class        EntryClass
	ObjectID     string // the payment or transfer; "" when foreign
	PersonID     string // whose it is; "" when foreign
	Counterparty Party  // kept where the object does not say so already
	Remittance   string
}

// EntryLeg tells an order from its return: both carry its EndToEndId.
type EntryLeg string

// Legs of an order.
const (
	LegOrder  EntryLeg = "order"
	LegReturn EntryLeg = "return"
)

// ExpectedEntry is what must come up on a statement.
type ExpectedEntry struct {
	AccountID  string
	EndToEndID string
	Leg        EntryLeg
	ObjectID   string
	Incoming   bool
	Amount     Money
	ExpectedAt time.Time
}

// Tally counts entries and adds them up by direction, in cents.
type Tally struct {
	Count    int64 `json:"count"`
	InMinor  int64 `json:"in_minor"`
	OutMinor int64 `json:"out_minor"`
}

// Net is what came in less what went out.
func (t Tally) Net() int64 { return t.InMinor - t.OutMinor }

// Settlement is one day (UTC, by booking date) of one payee account: what the
// hub initiated on it against what the statement shows.
type Settlement struct {
	AccountID string
	Day       string // YYYY-MM-DD
	Opening   *int64 // cents; nil until the bank has said a balance
	Closing   *int64

	Deposits, Refunds, Payouts, Returns int64 // initiated, in cents; returns as they change the balance
	Classes                             map[EntryClass]Tally
	Missing                             Tally // initiated on this day, long ago, and not seen to this hour
	InTransit                           Tally // the same, but young
	Difference                          int64 // of the statement, after everything above explains it
}

// Books is where a payee account stands.
type Books struct {
	AccountID   string
	ReadAt      *time.Time // when its statement was last read
	Balance     *Money     // as the bank says
	BalanceAt   *time.Time
	Classes     map[EntryClass]Tally
	Missing     Tally
	InTransit   Tally
	Unexplained *int64 // of the balance, in cents; nil until the bank has said one
}
