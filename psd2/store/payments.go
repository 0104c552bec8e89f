package store

import (
	"context"
	"crypto/cipher"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

type paymentRow struct {
	ID       string `db:"id"`
	PersonID string `db:"person_id"`
	Version  int64  `db:"version"`
	Doc      []byte `db:"doc"`
	Sealed   []byte `db:"sealed"`
	Wrapped  []byte `db:"wrapped"` // the person's key; nil once he is erased
}

const selectPayments = `SELECT payments.id, payments.person_id, payments.version, payments.doc, payments.sealed, person_keys.wrapped
	FROM payments LEFT JOIN person_keys ON person_keys.person_id = payments.person_id`

// CreatePayment stores a new payment and the events it has recorded. p keeps
// them, so that a transaction that runs again writes them again.
func (tx *Tx) CreatePayment(p *psd2.Payment) error {
	p.Version = 1
	key, err := tx.personKey(p.PersonID)
	if err != nil {
		return err
	}
	doc, sealed, err := tx.encode(p, key)
	if err != nil {
		return err
	}
	l := tx.db.Lookup
	_, err = tx.Exec(`INSERT INTO payments (id, merchant_id, person_id, version, state, amount_minor, currency, created_at,
		next_step_at, link_hash, player_hash, reference_hash, doc, sealed) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		p.ID, p.MerchantID, p.PersonID, p.Version, string(p.State), p.Amount.AmountMinor, p.Amount.Currency, p.CreatedAt.UnixMicro(),
		tx.nextStep(p), p.LinkHash, l("player/"+p.MerchantID, p.Personal.Player.Reference), l("reference", p.Personal.Reference), doc, sealed)
	if err != nil {
		return fmt.Errorf("create payment: %w", err)
	}
	once := *p
	return tx.writeEvents(&once, key)
}

// UpdatePayment loads a payment, lets fn change it, and writes it back with
// its events if nobody else has changed it meanwhile; otherwise everything is
// run again. An error of fn leaves the payment as it was.
func (db *DB) UpdatePayment(ctx context.Context, id string, fn func(*psd2.Payment) error) (p *psd2.Payment, err error) {
	err = db.Tx(ctx, func(tx *Tx) error {
		p, err = tx.UpdatePayment(id, fn)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// UpdatePayment is DB.UpdatePayment within a transaction. After any error but
// one of fn, or not found, the transaction cannot be committed any more.
func (tx *Tx) UpdatePayment(id string, fn func(*psd2.Payment) error) (*psd2.Payment, error) {
	var row paymentRow
	err := tx.Get(&row, selectPayments+` WHERE payments.id = ?`+tx.forUpdate, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, psd2.NotFound("payment")
	}
	if err != nil {
		return nil, fmt.Errorf("load payment: %w", err)
	}
	key, err := tx.db.keys.unwrap(row.PersonID, row.Wrapped)
	if err != nil {
		return nil, tx.fail(err)
	}
	p, err := tx.db.decode(row, key)
	if err != nil {
		return nil, tx.fail(err)
	}
	attempts := len(p.Attempts)
	if err := fn(p); err != nil {
		return nil, err
	}
	p.Version = row.Version + 1
	if err := tx.writePayment(p, key, row.Version, attempts); err != nil {
		return nil, tx.fail(err)
	}
	return p, nil
}

// writePayment writes a payment back over the version it was loaded with, and
// the attempts and events that are new.
func (tx *Tx) writePayment(p *psd2.Payment, key cipher.AEAD, version int64, attempts int) error {
	doc, sealed, err := tx.encode(p, key)
	if err != nil {
		return err
	}
	n, err := tx.Exec(`UPDATE payments SET version = ?, state = ?, next_step_at = ?, source_hash = ?, doc = ?, sealed = ? WHERE id = ? AND version = ?`,
		p.Version, string(p.State), tx.nextStep(p), tx.sourceHash(p), doc, sealed, p.ID, version)
	if err != nil {
		return fmt.Errorf("update payment: %w", err)
	}
	if n != 1 {
		return errChanged
	}
	for _, a := range p.Attempts[attempts:] {
		if _, err := tx.Exec(`INSERT INTO attempts (id, payment_id, end_to_end_id) VALUES (?, ?, ?)`, a.ID, p.ID, a.EndToEndID); err != nil {
			return fmt.Errorf("write attempt: %w", err)
		}
	}
	return tx.writeEvents(p, key)
}

func (tx *Tx) nextStep(p *psd2.Payment) any {
	if at, ok := p.NextStep(tx.db.opt.SubmitTimeout); ok {
		return at.UnixMicro()
	}
	return nil
}

func (tx *Tx) sourceHash(p *psd2.Payment) any {
	if iban := p.Personal.Source.IBAN; iban != "" {
		return tx.db.Lookup("iban", string(iban))
	}
	return nil
}

func (tx *Tx) encode(p *psd2.Payment, key cipher.AEAD) (doc string, sealed []byte, err error) {
	d, err := json.Marshal(p)
	if err != nil {
		return "", nil, fmt.Errorf("encode payment: %w", err)
	}
	personal, err := json.Marshal(p.Personal)
	if err != nil {
		return "", nil, fmt.Errorf("encode payment: %w", err)
	}
	return string(d), tx.db.keys.seal(key, personal, place("payments", p.ID, "sealed")), nil
}

// decode reads a row; without a key it leaves Personal empty.
func (db *DB) decode(row paymentRow, key cipher.AEAD) (*psd2.Payment, error) {
	p := new(psd2.Payment)
	if err := json.Unmarshal(row.Doc, p); err != nil {
		return nil, fmt.Errorf("decode payment: %w", err)
	}
	p.Version = row.Version
	if key == nil {
		return p, nil
	}
	personal, err := db.keys.unseal(key, row.Sealed, place("payments", row.ID, "sealed"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(personal, &p.Personal); err != nil {
		return nil, fmt.Errorf("decode payment: %w", err)
	}
	return p, nil
}

// load opens payments. One whose person was erased keeps everything but its
// Personal, so that one erased player does not hide a merchant's list.
func (db *DB) load(rows []paymentRow) ([]*psd2.Payment, error) {
	out := make([]*psd2.Payment, 0, len(rows))
	for _, row := range rows {
		key, err := db.keys.unwrap(row.PersonID, row.Wrapped)
		if err != nil && !errors.Is(err, ErrErased) {
			return nil, err
		}
		p, err := db.decode(row, key)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (db *DB) one(ctx context.Context, query string, args ...any) (*psd2.Payment, error) {
	var row paymentRow
	err := db.Get(ctx, &row, query, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, psd2.NotFound("payment")
	}
	if err != nil {
		return nil, fmt.Errorf("load payment: %w", err)
	}
	ps, err := db.load([]paymentRow{row})
	if err != nil {
		return nil, err
	}
	return ps[0], nil
}

// Payment loads a payment by its id.
func (db *DB) Payment(ctx context.Context, id string) (*psd2.Payment, error) {
	return db.one(ctx, selectPayments+` WHERE payments.id = ?`, id)
}

// MerchantPayment loads a merchant's own payment; another's does not exist
// for him.
func (db *DB) MerchantPayment(ctx context.Context, merchantID, id string) (*psd2.Payment, error) {
	return db.one(ctx, selectPayments+` WHERE payments.id = ? AND merchant_id = ?`, id, merchantID)
}

// PaymentByLink loads the payment a hosted page's link belongs to.
func (db *DB) PaymentByLink(ctx context.Context, linkHash string) (*psd2.Payment, error) {
	return db.one(ctx, selectPayments+` WHERE link_hash = ?`, linkHash)
}

// PaymentByAttempt loads the payment an attempt belongs to.
func (db *DB) PaymentByAttempt(ctx context.Context, attemptID string) (*psd2.Payment, error) {
	return db.one(ctx, selectPayments+` JOIN attempts ON attempts.payment_id = payments.id WHERE attempts.id = ?`, attemptID)
}

// Filter chooses a merchant's payments, newest first. Empty fields choose all.
type Filter struct {
	MerchantID      string
	State           psd2.State
	PlayerReference string
	Reference       string
	EndToEndID      string
	CreatedFrom     time.Time // inclusive
	CreatedTo       time.Time // exclusive
	Limit           int       // 1 to 100
	Cursor          string    // id of the last payment of the page before
}

// Payments lists a merchant's payments. next is the cursor of the next page,
// empty on the last one.
func (db *DB) Payments(ctx context.Context, f Filter) (list []*psd2.Payment, next string, err error) {
	query, args := selectPayments+` WHERE merchant_id = ?`, []any{f.MerchantID}
	and := func(condition string, arg any) {
		query += " AND " + condition
		args = append(args, arg)
	}
	if f.State != "" {
		and("state = ?", string(f.State))
	}
	if f.PlayerReference != "" {
		and("player_hash = ?", db.Lookup("player/"+f.MerchantID, f.PlayerReference))
	}
	if f.Reference != "" {
		and("reference_hash = ?", db.Lookup("reference", f.Reference))
	}
	if f.EndToEndID != "" {
		and("payments.id IN (SELECT payment_id FROM attempts WHERE end_to_end_id = ?)", f.EndToEndID)
	}
	if !f.CreatedFrom.IsZero() {
		and("payments.created_at >= ?", f.CreatedFrom.UnixMicro())
	}
	if !f.CreatedTo.IsZero() {
		and("payments.created_at < ?", f.CreatedTo.UnixMicro())
	}
	if f.Cursor != "" {
		and("payments.id < ?", f.Cursor)
	}
	f.Limit = min(max(f.Limit, 1), 100)
	var rows []paymentRow
	if err := db.Select(ctx, &rows, query+" ORDER BY payments.id DESC LIMIT ?", append(args, f.Limit+1)...); err != nil {
		return nil, "", fmt.Errorf("list payments: %w", err)
	}
	if len(rows) > f.Limit {
		rows = rows[:f.Limit]
		next = rows[f.Limit-1].ID
	}
	list, err = db.load(rows)
	return list, next, err
}

// Find looks a payment up for an operator: by payment or attempt id,
// EndToEndId, reference, or the IBAN it was paid from. At most 50, newest
// first.
func (db *DB) Find(ctx context.Context, q string) ([]*psd2.Payment, error) {
	q = strings.TrimSpace(q)
	iban, _ := psd2.ParseIBAN(strings.ToUpper(q))
	var rows []paymentRow
	// One look-up per index: an OR over them reads the whole table on PostgreSQL.
	err := db.Select(ctx, &rows, selectPayments+` WHERE payments.id IN (
		SELECT id FROM payments WHERE id = ?
		UNION SELECT payment_id FROM attempts WHERE id = ?
		UNION SELECT payment_id FROM attempts WHERE end_to_end_id = ?
		UNION SELECT id FROM (SELECT id FROM payments WHERE reference_hash = ? ORDER BY id DESC LIMIT 50) AS r
		UNION SELECT id FROM (SELECT id FROM payments WHERE source_hash = ? ORDER BY id DESC LIMIT 50) AS s
		) ORDER BY payments.id DESC LIMIT 50`,
		q, q, strings.ToUpper(q), db.Lookup("reference", q), db.Lookup("iban", string(iban)))
	if err != nil {
		return nil, fmt.Errorf("find payments: %w", err)
	}
	return db.load(rows)
}

// Recent lists the newest payments of all merchants, optionally of one state.
func (db *DB) Recent(ctx context.Context, state psd2.State, limit int) ([]*psd2.Payment, error) {
	where, args := ``, []any{limit}
	switch state {
	case "":
	case psd2.StateOutcomeUnknown: // in words, so that its own index serves
		where = ` WHERE payments.state = 'outcome_unknown'`
	default:
		where, args = ` WHERE payments.state = ?`, []any{string(state), limit}
	}
	var rows []paymentRow
	err := db.Select(ctx, &rows, selectPayments+where+` ORDER BY payments.id DESC LIMIT ?`, args...)
	if err != nil {
		return nil, fmt.Errorf("recent payments: %w", err)
	}
	return db.load(rows)
}

// CountUnknown is how many payments have an unknown outcome, counted up to a
// limit.
func (db *DB) CountUnknown(ctx context.Context, limit int) (n int, err error) {
	err = db.Get(ctx, &n, `SELECT COUNT(*) FROM (SELECT 1 FROM payments WHERE state = 'outcome_unknown' LIMIT ?) AS u`, limit)
	if err != nil {
		return 0, fmt.Errorf("count unknown payments: %w", err)
	}
	return n, nil
}

// Postpone puts off the next look at a payment that could not be looked at,
// e.g. because its person was erased. It leaves the payment itself alone.
func (db *DB) Postpone(ctx context.Context, id string, until time.Time) error {
	return db.Tx(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`UPDATE payments SET next_step_at = ? WHERE id = ? AND next_step_at <= ?`, until.UnixMicro(), id, tx.Now.UnixMicro())
		return err
	})
}

// Due lists payments that background work should look at, longest due first,
// and the time of the first that is not due yet (zero: none).
func (db *DB) Due(ctx context.Context, now time.Time, limit int) (ids []string, next time.Time, err error) {
	err = db.Select(ctx, &ids, `SELECT id FROM payments WHERE next_step_at <= ? ORDER BY next_step_at LIMIT ?`, now.UnixMicro(), limit)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("due payments: %w", err)
	}
	var at sql.NullInt64
	if err := db.Get(ctx, &at, `SELECT MIN(next_step_at) FROM payments WHERE next_step_at > ?`, now.UnixMicro()); err != nil {
		return nil, time.Time{}, fmt.Errorf("due payments: %w", err)
	}
	if at.Valid {
		next = fromMicro(at.Int64)
	}
	return ids, next, nil
}
