package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// sums are entries of a day added up.
type sums struct {
	Day      string `db:"day"`
	Class    string `db:"class"`
	Incoming int64  `db:"incoming"`
	Count    int64  `db:"count"`
	Minor    int64  `db:"minor"`
}

func (s sums) into(t *psd2.Tally) {
	t.Count += s.Count
	if s.Incoming == 1 {
		t.InMinor += s.Minor
		return
	}
	t.OutMinor += s.Minor
}

const (
	entrySums = `SELECT day, class, incoming, COUNT(*) AS count, CAST(SUM(amount_minor) AS BIGINT) AS minor FROM statement_entries
		WHERE account_id = ? AND day >= ? AND day <= ? GROUP BY day, class, incoming`
	unmetSums = `SELECT day, CASE WHEN expected_at < ? THEN 'missing' ELSE 'in_transit' END AS class, incoming, COUNT(*) AS count,
		CAST(SUM(amount_minor) AS BIGINT) AS minor FROM expected_entries
		WHERE account_id = ? AND entry IS NULL AND withdrawn = 0 AND day >= ? AND day <= ? GROUP BY 1, 2, 3`
	postingSums = `SELECT day, debit, credit, CAST(SUM(amount_minor) AS BIGINT) AS minor FROM ledger
		WHERE account_id = ? AND day >= ? AND day <= ? GROUP BY day, debit, credit`
	firstDay, lastDay = "0000-01-01", "9999-12-31"
)

// Settlements compares, for each day from one to another (inclusive), what the
// hub initiated on an account with what its statement shows; days on which
// nothing happened are left out. What was initiated before missingBefore and
// is not on the statement yet is missing.
func (db *DB) Settlements(ctx context.Context, accountID, from, to string, missingBefore time.Time) ([]psd2.Settlement, error) {
	days := map[string]*psd2.Settlement{}
	of := func(day string) *psd2.Settlement {
		if days[day] == nil {
			days[day] = &psd2.Settlement{AccountID: accountID, Day: day, Classes: map[psd2.EntryClass]psd2.Tally{}}
		}
		return days[day]
	}
	var booked, unmet []sums
	if err := db.Select(ctx, &booked, entrySums, accountID, from, to); err != nil {
		return nil, fmt.Errorf("settlements: %w", err)
	}
	for _, s := range booked {
		d := of(s.Day)
		t := d.Classes[psd2.EntryClass(s.Class)]
		s.into(&t)
		d.Classes[psd2.EntryClass(s.Class)] = t
	}
	if err := db.Select(ctx, &unmet, unmetSums, missingBefore.UnixMicro(), accountID, from, to); err != nil {
		return nil, fmt.Errorf("settlements: %w", err)
	}
	for _, s := range unmet {
		if d := of(s.Day); s.Class == "missing" {
			s.into(&d.Missing)
		} else {
			s.into(&d.InTransit)
		}
	}
	if err := db.explain(ctx, accountID, from, to, of); err != nil {
		return nil, err
	}
	out := make([]psd2.Settlement, 0, len(days))
	for _, d := range days {
		out = append(out, *d)
	}
	slices.SortFunc(out, func(a, b psd2.Settlement) int { return strings.Compare(b.Day, a.Day) })
	return out, db.balances(ctx, accountID, from, out)
}

// explain adds what the ledger says, and what it cannot explain of the
// statement. The statement's entries and the postings are two books of the
// same days: the statement changes by what was initiated, less what is in
// clearing since, and by what nothing explains.
func (db *DB) explain(ctx context.Context, accountID, from, to string, of func(string) *psd2.Settlement) error {
	var rows []struct {
		Day    string `db:"day"`
		Debit  string `db:"debit"`
		Credit string `db:"credit"`
		Minor  int64  `db:"minor"`
	}
	if err := db.Select(ctx, &rows, postingSums, accountID, from, to); err != nil {
		return fmt.Errorf("settlements: %w", err)
	}
	explained := map[string]int64{}
	for _, r := range rows {
		d := of(r.Day)
		for _, side := range []struct {
			book  string
			minor int64
		}{{r.Debit, -r.Minor}, {r.Credit, r.Minor}} {
			switch side.book {
			case bookDeposits:
				d.Deposits += side.minor
			case bookRefunds:
				d.Refunds -= side.minor
			case bookPayouts:
				d.Payouts -= side.minor
			case bookReturns:
				d.Returns += side.minor
			}
			if side.book != bookBank {
				explained[r.Day] += side.minor // all other books together are what moved the statement
			}
		}
	}
	for day, minor := range explained {
		of(day).Difference = -minor
	}
	for day := range explained {
		d := of(day)
		for _, t := range d.Classes {
			d.Difference += t.Net()
		}
	}
	return nil
}

// balances adds each day's opening and closing balance.
func (db *DB) balances(ctx context.Context, accountID, from string, days []psd2.Settlement) error {
	var base sql.NullInt64
	err := db.Get(ctx, &base, `SELECT base_minor FROM statements WHERE account_id = ?`, accountID)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !base.Valid {
		return nil
	}
	var before []sums
	if err == nil {
		err = db.Select(ctx, &before, `SELECT '' AS day, class, incoming, COUNT(*) AS count, CAST(SUM(amount_minor) AS BIGINT) AS minor
			FROM statement_entries WHERE account_id = ? AND day < ? GROUP BY class, incoming`, accountID, from)
	}
	if err != nil {
		return fmt.Errorf("settlements: %w", err)
	}
	var all psd2.Tally
	for _, s := range before {
		s.into(&all)
	}
	balance := base.Int64 + all.Net()
	for i := len(days) - 1; i >= 0; i-- { // oldest first
		opening := balance
		for _, t := range days[i].Classes {
			balance += t.Net()
		}
		closing := balance
		days[i].Opening, days[i].Closing = &opening, &closing
	}
	return nil
}

// Books says where an account stands.
func (db *DB) Books(ctx context.Context, accountID string, missingBefore time.Time) (*psd2.Books, error) {
	days, err := db.Settlements(ctx, accountID, firstDay, lastDay, missingBefore)
	if err != nil {
		return nil, err
	}
	b := &psd2.Books{AccountID: accountID, Classes: map[psd2.EntryClass]psd2.Tally{}}
	add := func(to *psd2.Tally, t psd2.Tally) {
		to.Count, to.InMinor, to.OutMinor = to.Count+t.Count, to.InMinor+t.InMinor, to.OutMinor+t.OutMinor
	}
	var booked, unexplained int64
	for _, d := range days {
		for class, t := range d.Classes {
			sum := b.Classes[class]
			add(&sum, t)
			b.Classes[class] = sum
			booked += t.Net()
		}
		add(&b.Missing, d.Missing)
		add(&b.InTransit, d.InTransit)
		unexplained += d.Difference
	}
	var row struct {
		Base      sql.NullInt64 `db:"base_minor"`
		Balance   sql.NullInt64 `db:"balance_minor"`
		BalanceAt sql.NullInt64 `db:"balance_at"`
		Read      int64         `db:"read_at"`
	}
	err = db.Get(ctx, &row, `SELECT base_minor, balance_minor, balance_at, read_at FROM statements WHERE account_id = ?`, accountID)
	if errors.Is(err, sql.ErrNoRows) {
		return b, nil
	}
	if err != nil {
		return nil, fmt.Errorf("books: %w", err)
	}
	read := fromMicro(row.Read)
	b.ReadAt = &read
	if row.Balance.Valid {
		balance, at := psd2.Euro(row.Balance.Int64), fromMicro(row.BalanceAt.Int64)
		unexplained += row.Balance.Int64 - row.Base.Int64 - booked
		b.Balance, b.BalanceAt, b.Unexplained = &balance, &at, &unexplained
	}
	return b, nil
}

// EntryFilter chooses entries of an account's statement. Empty fields choose
// all.
type EntryFilter struct {
	AccountID string
	Class     psd2.EntryClass
	From, To  string // days, inclusive
	After     int64  // number of the last entry of the page before
	Limit     int    // 1 to 1000
}

type statementRow struct {
	AccountID  string `db:"account_id"`
	Number     int64  `db:"number"`
	BankID     string `db:"bank_id"`
	Kind       string `db:"kind"`
	Incoming   int64  `db:"incoming"`
	Minor      int64  `db:"amount_minor"`
	Currency   string `db:"currency"`
	BookedAt   int64  `db:"booked_at"`
	EndToEndID string `db:"end_to_end_id"`
	Reason     string `db:"reason"`
	Class      string `db:"class"`
	ObjectID   string `db:"object_id"`
	PersonID   string `db:"person_id"`
	Sealed     []byte `db:"sealed"`
	Wrapped    []byte `db:"wrapped"`
}

const selectEntries = `SELECT account_id, number, bank_id, kind, incoming, amount_minor, currency, booked_at, end_to_end_id, reason, class,
	object_id, statement_entries.person_id, sealed, wrapped
	FROM statement_entries LEFT JOIN person_keys ON person_keys.person_id = statement_entries.person_id`

// StatementEntries lists entries in the order they were read.
func (db *DB) StatementEntries(ctx context.Context, f EntryFilter) ([]psd2.StatementEntry, error) {
	query := selectEntries + ` WHERE account_id = ? AND number > ?`
	args := []any{f.AccountID, f.After}
	if f.Class != "" {
		query += ` AND class = ?`
		args = append(args, string(f.Class))
	}
	if f.From != "" {
		query += ` AND day >= ?`
		args = append(args, f.From)
	}
	if f.To != "" {
		query += ` AND day <= ?`
		args = append(args, f.To)
	}
	var rows []statementRow
	if err := db.Select(ctx, &rows, query+` ORDER BY number LIMIT ?`, append(args, min(max(f.Limit, 1), 1000))...); err != nil {
		return nil, fmt.Errorf("list statement entries: %w", err)
	}
	return db.entries(rows)
}

func (db *DB) entries(rows []statementRow) ([]psd2.StatementEntry, error) {
	out := make([]psd2.StatementEntry, 0, len(rows))
	for _, r := range rows {
		e := psd2.StatementEntry{
			AccountID: r.AccountID, Number: r.Number, BankID: r.BankID, Kind: psd2.EntryKind(r.Kind), Incoming: r.Incoming == 1,
			Amount: psd2.Money{AmountMinor: r.Minor, Currency: r.Currency}, BookedAt: fromMicro(r.BookedAt), EndToEndID: r.EndToEndID,
			Reason: r.Reason, Class: psd2.EntryClass(r.Class), ObjectID: r.ObjectID, PersonID: r.PersonID,
		}
		if err := db.openEntry(&e, r); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// openEntry reads what is personal, unless the person was erased.
func (db *DB) openEntry(e *psd2.StatementEntry, r statementRow) (err error) {
	if r.Sealed == nil || r.PersonID != "" && r.Wrapped == nil {
		return nil
	}
	key := db.keys.shared
	if r.PersonID != "" {
		if key, err = db.keys.unwrap(r.PersonID, r.Wrapped); err != nil {
			return err
		}
	}
	personal, err := db.keys.unseal(key, r.Sealed, entryPlace(r.AccountID, r.BankID))
	if errors.Is(err, ErrErased) {
		return nil
	}
	if err != nil {
		return err
	}
	var p entryPersonal
	if err := json.Unmarshal(personal, &p); err != nil {
		return fmt.Errorf("decode statement entry: %w", err)
	}
	e.Counterparty, e.Remittance = p.Counterparty, p.Remittance
	return nil
}

// Missing lists what was expected before a time and is on no statement, oldest
// first.
func (db *DB) Missing(ctx context.Context, accountID string, before time.Time, limit int) ([]psd2.ExpectedEntry, error) {
	var rows []struct {
		EndToEndID string `db:"end_to_end_id"`
		Leg        string `db:"leg"`
		ObjectID   string `db:"object_id"`
		Incoming   int64  `db:"incoming"`
		Minor      int64  `db:"amount_minor"`
		ExpectedAt int64  `db:"expected_at"`
	}
	err := db.Select(ctx, &rows, `SELECT end_to_end_id, leg, object_id, incoming, amount_minor, expected_at FROM expected_entries
		WHERE account_id = ? AND entry IS NULL AND withdrawn = 0 AND expected_at < ? ORDER BY expected_at LIMIT ?`, accountID, before.UnixMicro(), limit)
	if err != nil {
		return nil, fmt.Errorf("list missing entries: %w", err)
	}
	out := make([]psd2.ExpectedEntry, len(rows))
	for i, r := range rows {
		out[i] = psd2.ExpectedEntry{AccountID: accountID, EndToEndID: r.EndToEndID, Leg: psd2.EntryLeg(r.Leg), ObjectID: r.ObjectID,
			Incoming: r.Incoming == 1, Amount: psd2.Euro(r.Minor), ExpectedAt: fromMicro(r.ExpectedAt)}
	}
	return out, nil
}
