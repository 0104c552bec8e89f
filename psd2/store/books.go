package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Books of the ledger that are no class of entries.
const (
	bookBank     = "bank"
	bookClearing = "clearing"
	bookDeposits = "deposits"
	bookRefunds  = "refunds"
	bookPayouts  = "payouts"
	bookReturns  = "returns"
)

// StatementPlace is how far an account's statement has been read.
type StatementPlace struct {
	Place   string `db:"place"` // the channel's cursor
	Entries int64  `db:"entries"`
}

// StatementRead is how far an account's statement has been read, and when its
// balance was last asked for; zero when never.
func (db *DB) StatementRead(ctx context.Context, accountID string) (p StatementPlace, balanceAt time.Time, err error) {
	var row struct {
		StatementPlace
		BalanceAt sql.NullInt64 `db:"balance_at"`
	}
	err = db.Get(ctx, &row, `SELECT place, entries, balance_at FROM statements WHERE account_id = ?`, accountID)
	if errors.Is(err, sql.ErrNoRows) {
		return p, balanceAt, nil
	}
	if row.BalanceAt.Valid {
		balanceAt = fromMicro(row.BalanceAt.Int64)
	}
	return row.StatementPlace, balanceAt, err
}

// ReadStatement begins a piece of reading: it keeps other readers of that
// account away until the transaction ends.
func (tx *Tx) ReadStatement(accountID string) (p StatementPlace, err error) {
	err = tx.Get(&p, `INSERT INTO statements (account_id, place, entries, read_at) VALUES (?, '', 0, ?)
		ON CONFLICT (account_id) DO UPDATE SET read_at = excluded.read_at RETURNING place, entries`, accountID, tx.Now.UnixMicro())
	return p, err
}

// MoveStatement ends it.
func (tx *Tx) MoveStatement(accountID string, p StatementPlace) error {
	_, err := tx.Exec(`UPDATE statements SET place = ?, entries = ? WHERE account_id = ?`, p.Place, p.Entries, accountID)
	return err
}

// SetBalance notes the balance that the bank said when everything up to place
// had been read; it changes nothing when somebody has read on since. The first
// one tells the balance before the first entry.
func (tx *Tx) SetBalance(accountID, place string, minor int64, at time.Time) error {
	booked, err := tx.bookedMinor(accountID)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE statements SET balance_minor = ?, balance_at = ?, base_minor = COALESCE(base_minor, ?) WHERE account_id = ? AND place = ?`,
		minor, at.UnixMicro(), minor-booked, accountID, place)
	return err
}

func (tx *Tx) bookedMinor(accountID string) (minor int64, err error) {
	err = tx.Get(&minor, `SELECT CAST(COALESCE(SUM(CASE incoming WHEN 1 THEN amount_minor ELSE -amount_minor END), 0) AS BIGINT)
		FROM statement_entries WHERE account_id = ?`, accountID)
	return minor, err
}

// HasEntry reports whether an entry was read before: banks repeat themselves.
func (tx *Tx) HasEntry(accountID, bankID string) (bool, error) {
	var n int
	err := tx.Get(&n, `SELECT COUNT(*) FROM statement_entries WHERE account_id = ? AND bank_id = ?`, accountID, bankID)
	return n > 0, err
}

type entryPersonal struct {
	Counterparty psd2.Party `json:"counterparty"`
	Remittance   string     `json:"remittance,omitempty"`
}

func entryPlace(accountID, bankID string) string {
	return place("statement_entries", accountID+"/"+bankID, "sealed")
}

// AddEntry writes an entry and its posting: what was expected is taken out of
// clearing, the rest goes to the book of its class. erased says that the
// person's data key is gone.
func (tx *Tx) AddEntry(e *psd2.StatementEntry, erased bool) error {
	sealed, err := tx.sealEntry(e, erased)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`INSERT INTO statement_entries (account_id, number, bank_id, kind, incoming, amount_minor, currency, booked_at, day,
		end_to_end_id, reason, class, object_id, person_id, sealed) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
		e.AccountID, e.Number, e.BankID, string(e.Kind), flag(e.Incoming), e.Amount.AmountMinor, e.Amount.Currency, e.BookedAt.UnixMicro(), day(e.BookedAt),
		e.EndToEndID, e.Reason, string(e.Class), e.ObjectID, e.PersonID, sealed)
	if err != nil {
		return fmt.Errorf("write statement entry: %w", err)
	}
	if n == 0 { // somebody else reads the same statement
		return tx.fail(errChanged)
	}
	against := string(e.Class)
	if e.Class.Expected() {
		against = bookClearing
	}
	return tx.post(e.AccountID, "entry/"+e.BankID, day(e.BookedAt), against, e.Incoming, bookBank, e.Amount.AmountMinor)
}

// sealEntry keeps what the object of an expected entry says already only
// there.
func (tx *Tx) sealEntry(e *psd2.StatementEntry, erased bool) ([]byte, error) {
	if e.Class.Expected() || erased {
		return nil, nil
	}
	personal, err := json.Marshal(entryPersonal{e.Counterparty, e.Remittance})
	if err != nil {
		return nil, fmt.Errorf("encode statement entry: %w", err)
	}
	key := tx.db.keys.shared
	if e.PersonID != "" {
		if key, err = tx.personKey(e.PersonID); err != nil {
			return nil, err
		}
	}
	return tx.db.keys.seal(key, personal, entryPlace(e.AccountID, e.BankID)), nil
}

// Expect notes what must come up on a statement and posts it; what is expected
// already is not expected twice.
func (tx *Tx) Expect(e psd2.ExpectedEntry) error {
	var times int64
	err := tx.Get(&times, `INSERT INTO expected_entries (account_id, end_to_end_id, leg, object_id, incoming, amount_minor, expected_at, day)
		VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (account_id, end_to_end_id, leg) DO UPDATE SET withdrawn = 0, times = expected_entries.times + 1,
			expected_at = excluded.expected_at, day = excluded.day WHERE expected_entries.withdrawn = 1 RETURNING times`,
		e.AccountID, e.EndToEndID, string(e.Leg), e.ObjectID, flag(e.Incoming), e.Amount.AmountMinor, e.ExpectedAt.UnixMicro(), day(e.ExpectedAt))
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write expected entry: %w", err)
	}
	return tx.post(e.AccountID, posting(string(e.Leg), e.EndToEndID, times), day(e.ExpectedAt), bookOf(e.Leg, e.ObjectID), e.Incoming, bookClearing, e.Amount.AmountMinor)
}

// Withdraw takes an order's expectation back that nothing on the statement has
// met, and posts the opposite: what said that the money moved was wrong. Without
// such an expectation it does nothing. Should the money move after all, Expect
// posts it again.
func (tx *Tx) Withdraw(accountID, endToEndID string) error {
	var row struct {
		ObjectID string `db:"object_id"`
		Incoming int64  `db:"incoming"`
		Minor    int64  `db:"amount_minor"`
		Times    int64  `db:"times"`
	}
	err := tx.Get(&row, `UPDATE expected_entries SET withdrawn = 1 WHERE account_id = ? AND end_to_end_id = ? AND leg = ? AND entry IS NULL AND withdrawn = 0
		RETURNING object_id, incoming, amount_minor, times`, accountID, endToEndID, string(psd2.LegOrder))
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("withdraw expected entry: %w", err)
	}
	return tx.post(accountID, posting("withdrawn", endToEndID, row.Times), day(tx.Now), bookOf(psd2.LegOrder, row.ObjectID), row.Incoming == 0, bookClearing, row.Minor)
}

// posting names a posting of an order; the first one needs no number.
func posting(what, endToEndID string, times int64) string {
	if times > 1 {
		return fmt.Sprintf("%s/%s/%d", what, endToEndID, times)
	}
	return what + "/" + endToEndID
}

// bookOf is the book that an order is posted to.
func bookOf(leg psd2.EntryLeg, objectID string) string {
	switch {
	case leg == psd2.LegReturn:
		return bookReturns
	case psd2.IsID(psd2.PrefixRefund, objectID):
		return bookRefunds
	case psd2.IsID(psd2.PrefixPayout, objectID):
		return bookPayouts
	}
	return bookDeposits
}

// IsMet reports whether an entry has met the expectation already.
func (tx *Tx) IsMet(accountID, endToEndID string, leg psd2.EntryLeg) (bool, error) {
	var entry sql.NullInt64
	err := tx.Get(&entry, `SELECT entry FROM expected_entries WHERE account_id = ? AND end_to_end_id = ? AND leg = ?`, accountID, endToEndID, string(leg))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return entry.Valid, err
}

// Meet notes which entry met an expectation. It fails, to be tried again, when
// the expectation was met or withdrawn meanwhile.
func (tx *Tx) Meet(accountID, endToEndID string, leg psd2.EntryLeg, entry int64) error {
	n, err := tx.Exec(`UPDATE expected_entries SET entry = ? WHERE account_id = ? AND end_to_end_id = ? AND leg = ? AND entry IS NULL AND withdrawn = 0`,
		entry, accountID, endToEndID, string(leg))
	if err == nil && n == 0 {
		err = tx.fail(errChanged)
	}
	return err
}

// post writes one posting. With into, the second book gets what the first one
// gives; else the other way round.
func (tx *Tx) post(accountID, posting, day, from string, into bool, to string, minor int64) error {
	if !into {
		from, to = to, from
	}
	if _, err := tx.Exec(`INSERT INTO ledger (account_id, posting, day, debit, credit, amount_minor) VALUES (?,?,?,?,?,?)`,
		accountID, posting, day, to, from, minor); err != nil {
		return fmt.Errorf("write posting: %w", err)
	}
	return nil
}

// day is the day, by UTC, that a time belongs to.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
