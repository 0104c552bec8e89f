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

const (
	selectPayments = `SELECT payments.id, payments.person_id, payments.version, payments.doc, payments.sealed, person_keys.wrapped
	FROM payments LEFT JOIN person_keys ON person_keys.person_id = payments.person_id`
	paymentByID = selectPayments + ` WHERE payments.id = ?`
)

var payments = &kind[psd2.Payment]{
	name: "payment", table: "payments",
	byID:       paymentByID,
	byIDLocked: paymentByID + ` FOR UPDATE OF payments`,
	update:     `UPDATE payments SET state = ?, next_step_at = ?, source_hash = ?, version = ?, doc = ?, sealed = ? WHERE id = ? AND version = ?`,
	due:        `SELECT id FROM payments WHERE next_step_at <= ? ORDER BY next_step_at LIMIT ?`,
	dueNext:    `SELECT MIN(next_step_at) FROM payments WHERE next_step_at > ?`,
	postpone:   `UPDATE payments SET next_step_at = ? WHERE id = ? AND next_step_at <= ?`,

	id:       func(p *psd2.Payment) string { return p.ID },
	person:   func(p *psd2.Payment) string { return p.PersonID },
	version:  func(p *psd2.Payment) *int64 { return &p.Version },
	personal: func(p *psd2.Payment) any { return &p.Personal },
	events:   (*psd2.Payment).TakeEvents,
	values: func(tx *Tx, p *psd2.Payment) []any {
		return []any{string(p.State), tx.nextStep(p), tx.sourceHash(p)}
	},
	watch: watchPayment,
}

// watchPayment writes attempts that are new, and the paying account once it is
// proven to be the player's own.
func watchPayment(p *psd2.Payment) func(*Tx, *psd2.Payment) error {
	attempts, proven := len(p.Attempts), p.SourceProven()
	return func(tx *Tx, p *psd2.Payment) error {
		for _, a := range p.Attempts[attempts:] {
			if _, err := tx.Exec(`INSERT INTO attempts (id, payment_id, end_to_end_id) VALUES (?, ?, ?)`, a.ID, p.ID, a.EndToEndID); err != nil {
				return fmt.Errorf("write attempt: %w", err)
			}
		}
		if !proven && p.SourceProven() {
			return tx.proveSource(p)
		}
		return nil
	}
}

// CreatePayment stores a new payment and the events it has recorded. p keeps
// them, so that a transaction that runs again writes them again.
func (tx *Tx) CreatePayment(p *psd2.Payment) error {
	p.Version = 1
	key, err := tx.personKey(p.PersonID)
	if err != nil {
		return err
	}
	doc, sealed, err := payments.encode(tx.db, p, key)
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
	return payments.tell(tx, &once, key)
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
	return payments.change(tx, id, fn)
}

// PaymentState is the state of a payment, as this transaction sees it.
func (tx *Tx) PaymentState(id string) (s psd2.State, err error) {
	err = tx.Get(&s, `SELECT state FROM payments WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", psd2.NotFound("payment")
	}
	return s, err
}

// PaymentAmount is the amount of a payment in its smallest unit, as this
// transaction sees it.
func (tx *Tx) PaymentAmount(id string) (minor int64, err error) {
	err = tx.Get(&minor, `SELECT amount_minor FROM payments WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, psd2.NotFound("payment")
	}
	return minor, err
}

// LowerPayment makes a payment's amount smaller, in its column too.
func (tx *Tx) LowerPayment(id string, to psd2.Money) (*psd2.Payment, error) {
	p, err := tx.UpdatePayment(id, func(p *psd2.Payment) error { return p.Lower(to, tx.Now) })
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(`UPDATE payments SET amount_minor = ? WHERE id = ?`, to.AmountMinor, id)
	return p, err
}

func (tx *Tx) nextStep(p *psd2.Payment) any {
	return micros(p.NextStep(tx.db.opt.SubmitTimeout))
}

func (tx *Tx) sourceHash(p *psd2.Payment) any {
	if iban := p.Personal.Source.IBAN; iban != "" {
		return tx.db.Lookup("iban", string(iban))
	}
	return nil
}

// Payment loads a payment by its id.
func (db *DB) Payment(ctx context.Context, id string) (*psd2.Payment, error) {
	return payments.find(ctx, db, paymentByID, id)
}

// PaymentOutline is Payment without what is personal: nothing sealed is opened.
func (db *DB) PaymentOutline(ctx context.Context, id string) (*psd2.Payment, error) {
	return payments.outline(ctx, db, id)
}

// MerchantPayment loads a merchant's own payment; another's does not exist
// for him.
func (db *DB) MerchantPayment(ctx context.Context, merchantID, id string) (*psd2.Payment, error) {
	return payments.find(ctx, db, selectPayments+` WHERE payments.id = ? AND merchant_id = ?`, id, merchantID)
}

// PaymentByLink loads the payment a hosted page's link belongs to.
func (db *DB) PaymentByLink(ctx context.Context, linkHash string) (*psd2.Payment, error) {
	return payments.find(ctx, db, selectPayments+` WHERE link_hash = ?`, linkHash)
}

// PaymentByAttempt loads the payment an attempt belongs to.
func (db *DB) PaymentByAttempt(ctx context.Context, attemptID string) (*psd2.Payment, error) {
	return payments.find(ctx, db, selectPayments+` JOIN attempts ON attempts.payment_id = payments.id WHERE attempts.id = ?`, attemptID)
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
		and("payments.person_id = ?", db.PersonID(f.MerchantID, f.PlayerReference)) // has the index
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
	var rows []row
	if err := db.Select(ctx, &rows, query+" ORDER BY payments.id DESC LIMIT ?", append(args, f.Limit+1)...); err != nil {
		return nil, "", fmt.Errorf("list payments: %w", err)
	}
	rows, next = page(rows, f.Limit)
	list, err = payments.open(db, rows)
	return list, next, err
}

// Find looks a payment up for an operator: by payment or attempt id,
// EndToEndId, reference, or the IBAN it was paid from. At most 50, newest
// first.
func (db *DB) Find(ctx context.Context, q string) ([]*psd2.Payment, error) {
	q = strings.TrimSpace(q)
	iban, _ := psd2.ParseIBAN(strings.ToUpper(q))
	var rows []row
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
	return payments.open(db, rows)
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
	var rows []row
	err := db.Select(ctx, &rows, selectPayments+where+` ORDER BY payments.id DESC LIMIT ?`, args...)
	if err != nil {
		return nil, fmt.Errorf("recent payments: %w", err)
	}
	return payments.open(db, rows)
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
	return payments.putOff(ctx, db, id, until)
}

// Due lists payments that background work should look at, longest due first,
// and the time of the first that is not due yet (zero: none).
func (db *DB) Due(ctx context.Context, now time.Time, limit int) (ids []string, next time.Time, err error) {
	return payments.dueList(ctx, db, now, limit)
}
