package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// What operators look for, over all merchants.

// FindTransfers is Find for refunds and payouts: by id, EndToEndId, reference,
// or the IBAN that is paid.
func (db *DB) FindTransfers(ctx context.Context, q string) ([]*psd2.Transfer, error) {
	q = strings.TrimSpace(q)
	iban, _ := psd2.ParseIBAN(strings.ToUpper(q))
	var rows []row
	err := db.Select(ctx, &rows, selectTransfers+` WHERE transfers.id IN (
		SELECT id FROM transfers WHERE id = ?
		UNION SELECT id FROM transfers WHERE end_to_end_id = ?
		UNION SELECT id FROM (SELECT id FROM transfers WHERE reference_hash = ? ORDER BY id DESC LIMIT 50) AS r
		UNION SELECT id FROM (SELECT id FROM transfers WHERE payee_hash = ? ORDER BY id DESC LIMIT 50) AS s
		) ORDER BY transfers.id DESC LIMIT 50`,
		q, strings.ToUpper(q), db.Lookup("reference", q), db.Lookup("iban", string(iban)))
	if err != nil {
		return nil, fmt.Errorf("find transfers: %w", err)
	}
	return transfers.open(db, rows)
}

// RecentTransfers lists the newest transfers of all merchants, optionally of
// one kind and one state.
func (db *DB) RecentTransfers(ctx context.Context, kind psd2.TransferKind, state psd2.TransferState, limit int) ([]*psd2.Transfer, error) {
	query, args := selectTransfers+` WHERE 1 = 1`, []any{}
	if kind != "" {
		query, args = query+` AND kind = ?`, append(args, string(kind))
	}
	switch state {
	case "":
	case psd2.TransferUnknown: // in words, so that its own index serves
		query += ` AND state = 'outcome_unknown'`
	default:
		query, args = query+` AND state = ?`, append(args, string(state))
	}
	var rows []row
	if err := db.Select(ctx, &rows, query+` ORDER BY transfers.id DESC LIMIT ?`, append(args, limit)...); err != nil {
		return nil, fmt.Errorf("recent transfers: %w", err)
	}
	return transfers.open(db, rows)
}

// Unknown lists orders whose outcome is unknown: up to limit deposits and up to
// limit transfers, oldest first.
func (db *DB) Unknown(ctx context.Context, limit int) ([]*psd2.Payment, []*psd2.Transfer, error) {
	var in, out []row
	if err := db.Select(ctx, &in, selectPayments+` WHERE payments.state = 'outcome_unknown' ORDER BY payments.id LIMIT ?`, limit); err != nil {
		return nil, nil, fmt.Errorf("unknown payments: %w", err)
	}
	if err := db.Select(ctx, &out, selectTransfers+` WHERE transfers.state = 'outcome_unknown' ORDER BY transfers.id LIMIT ?`, limit); err != nil {
		return nil, nil, fmt.Errorf("unknown transfers: %w", err)
	}
	ps, err := payments.open(db, in)
	if err != nil {
		return nil, nil, err
	}
	ts, err := transfers.open(db, out)
	return ps, ts, err
}

// EntriesOf lists what statements show of a payment or transfer, in the order
// they were read.
func (db *DB) EntriesOf(ctx context.Context, objectID string) ([]psd2.StatementEntry, error) {
	var rows []statementRow
	if err := db.Select(ctx, &rows, selectEntries+` WHERE object_id = ? ORDER BY booked_at, number LIMIT 100`, objectID); err != nil {
		return nil, fmt.Errorf("entries of an object: %w", err)
	}
	return db.entries(rows)
}

// SealPerson encrypts what belongs to a person, who must be known already, for
// one place in the database. Erasing him erases it.
func (tx *Tx) SealPerson(personID, table, row, column string, plain []byte) ([]byte, error) {
	query := keyOf
	if _, ok := tx.q.(pgQuerier); ok {
		query = keyOfKept
	}
	var wrapped []byte
	err := tx.Get(&wrapped, query, personID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, tx.fail(ErrErased)
	}
	if err != nil {
		return nil, err
	}
	key, err := tx.db.keys.unwrap(personID, wrapped)
	if err != nil {
		return nil, tx.fail(err)
	}
	return tx.db.keys.seal(key, plain, place(table, row, column)), nil
}

// UnsealPerson opens what SealPerson made; wrapped is the person's row of
// person_keys, nil once he is erased: then so is what it sealed, and plain is
// nil.
func (db *DB) UnsealPerson(personID string, wrapped []byte, table, row, column string, sealed []byte) (plain []byte, err error) {
	key, err := db.keys.unwrap(personID, wrapped)
	if errors.Is(err, ErrErased) || err == nil && key.(dataKey).other(sealed) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return db.keys.unseal(key, sealed, place(table, row, column))
}

// Stuck counts work that should have been done by now: what is due since before
// a time.
type Stuck struct {
	Payments  int64 `db:"payments"`
	Transfers int64 `db:"transfers"`
}

// Stuck counts what is overdue, each up to 1,000.
func (db *DB) Stuck(ctx context.Context, before time.Time) (s Stuck, err error) {
	at := before.UnixMicro()
	err = db.Get(ctx, &s, `SELECT
		(SELECT COUNT(*) FROM (SELECT 1 FROM payments WHERE next_step_at < ? LIMIT 1000) AS p) AS payments,
		(SELECT COUNT(*) FROM (SELECT 1 FROM transfers WHERE next_step_at < ? LIMIT 1000) AS t) AS transfers`, at, at)
	if err != nil {
		return s, fmt.Errorf("count overdue work: %w", err)
	}
	return s, nil
}
