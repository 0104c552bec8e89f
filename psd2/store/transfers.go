package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

const (
	selectTransfers = `SELECT transfers.id, transfers.person_id, transfers.version, transfers.doc, transfers.sealed, person_keys.wrapped
	FROM transfers LEFT JOIN person_keys ON person_keys.person_id = transfers.person_id`
	transferByID = selectTransfers + ` WHERE transfers.id = ?`
)

var transfers = &kind[psd2.Transfer]{
	name: "transfer", table: "transfers",
	byID:       transferByID,
	byIDLocked: transferByID + ` FOR UPDATE OF transfers`,
	update:     `UPDATE transfers SET state = ?, next_step_at = ?, version = ?, doc = ?, sealed = ? WHERE id = ? AND version = ?`,
	due:        `SELECT id FROM transfers WHERE next_step_at <= ? ORDER BY next_step_at LIMIT ?`,
	dueNext:    `SELECT MIN(next_step_at) FROM transfers WHERE next_step_at > ?`,
	postpone:   `UPDATE transfers SET next_step_at = ? WHERE id = ? AND next_step_at <= ?`,

	id:       func(t *psd2.Transfer) string { return t.ID },
	person:   func(t *psd2.Transfer) string { return t.PersonID },
	version:  func(t *psd2.Transfer) *int64 { return &t.Version },
	personal: func(t *psd2.Transfer) any { return &t.Personal },
	events:   (*psd2.Transfer).TakeEvents,
	values: func(tx *Tx, t *psd2.Transfer) []any {
		return []any{string(t.State), micros(t.NextStep(tx.db.opt.SubmitTimeout))}
	},
	watch: watchTransfer,
}

// watchTransfer keeps the deposit's sum of refunds true: a refund that failed
// frees its part, and takes it again if it turns out to have been executed.
func watchTransfer(t *psd2.Transfer) func(*Tx, *psd2.Transfer) error {
	failed := t.State == psd2.TransferFailed
	return func(tx *Tx, t *psd2.Transfer) error {
		if t.Kind != psd2.KindRefund || failed == (t.State == psd2.TransferFailed) {
			return nil
		}
		_, err := tx.UpdatePayment(t.PaymentID, func(p *psd2.Payment) (err error) {
			p.RefundedMinor, err = tx.Refunded(p.ID)
			return err
		})
		return err
	}
}

// Refunded is the sum of a deposit's refunds that have not failed. Read it
// within UpdatePayment of that payment, which settles who comes first.
func (tx *Tx) Refunded(paymentID string) (minor int64, err error) {
	err = tx.Get(&minor, `SELECT CAST(COALESCE(SUM(amount_minor), 0) AS BIGINT) FROM transfers
		WHERE payment_id = ? AND kind = 'refund' AND state <> 'failed'`, paymentID)
	return minor, err
}

// CreateTransfer stores a new transfer and the events it has recorded. A
// payout with a SourceID is refused by the database unless that account has
// paid in for this very person.
func (tx *Tx) CreateTransfer(t *psd2.Transfer) error {
	t.Version = 1
	key, err := tx.personKey(t.PersonID)
	if err != nil {
		return err
	}
	doc, sealed, err := transfers.encode(tx.db, t, key)
	if err != nil {
		return err
	}
	var payment, loop any
	if t.PaymentID != "" {
		payment = t.PaymentID
	}
	if t.Kind == psd2.KindPayout && t.SourceID != "" {
		loop = t.SourceID
	}
	l := tx.db.Lookup
	_, err = tx.Exec(`INSERT INTO transfers (id, kind, merchant_id, person_id, account_id, payment_id, loop_id, version, state, amount_minor,
		currency, created_at, next_step_at, end_to_end_id, player_hash, reference_hash, payee_hash, doc, sealed)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		t.ID, string(t.Kind), t.MerchantID, t.PersonID, t.AccountID, payment, loop, t.Version, string(t.State), t.Amount.AmountMinor,
		t.Amount.Currency, t.CreatedAt.UnixMicro(), micros(t.NextStep(tx.db.opt.SubmitTimeout)), t.EndToEndID,
		l("player/"+t.MerchantID, t.Personal.Player.Reference), l("reference", t.Personal.Reference), l("iban", string(t.Personal.Payee.IBAN)), doc, sealed)
	if err != nil {
		return fmt.Errorf("create transfer: %w", err)
	}
	once := *t
	return transfers.tell(tx, &once, key)
}

// UpdateTransfer is UpdatePayment for a transfer.
func (db *DB) UpdateTransfer(ctx context.Context, id string, fn func(*psd2.Transfer) error) (t *psd2.Transfer, err error) {
	err = db.Tx(ctx, func(tx *Tx) error {
		t, err = tx.UpdateTransfer(id, fn)
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// UpdateTransfer is DB.UpdateTransfer within a transaction.
func (tx *Tx) UpdateTransfer(id string, fn func(*psd2.Transfer) error) (*psd2.Transfer, error) {
	return transfers.change(tx, id, fn)
}

// Transfer loads a transfer by its id.
func (db *DB) Transfer(ctx context.Context, id string) (*psd2.Transfer, error) {
	return transfers.find(ctx, db, transferByID, id)
}

// TransferOutline is Transfer without what is personal: nothing sealed is opened.
func (db *DB) TransferOutline(ctx context.Context, id string) (*psd2.Transfer, error) {
	return transfers.outline(ctx, db, id)
}

// MerchantTransfer loads a merchant's own transfer of one kind; another's does
// not exist for him.
func (db *DB) MerchantTransfer(ctx context.Context, merchantID string, k psd2.TransferKind, id string) (*psd2.Transfer, error) {
	t, err := transfers.find(ctx, db, selectTransfers+` WHERE transfers.id = ? AND merchant_id = ? AND kind = ?`, id, merchantID, string(k))
	if psd2.CodeOf(err) == psd2.CodeNotFound {
		return nil, psd2.NotFound(string(k))
	}
	return t, err
}

// TransferFilter chooses a merchant's transfers, newest first. Empty fields
// choose all.
type TransferFilter struct {
	MerchantID      string
	Kind            psd2.TransferKind
	State           psd2.TransferState
	PaymentID       string
	PlayerReference string
	Reference       string
	EndToEndID      string
	Limit           int    // 1 to 100
	Cursor          string // id of the last one of the page before
}

// Transfers lists a merchant's transfers. next is the cursor of the next page,
// empty on the last one.
func (db *DB) Transfers(ctx context.Context, f TransferFilter) (list []*psd2.Transfer, next string, err error) {
	query, args := selectTransfers+` WHERE merchant_id = ?`, []any{f.MerchantID}
	and := func(condition string, arg any) {
		query += " AND " + condition
		args = append(args, arg)
	}
	if f.Kind != "" {
		and("kind = ?", string(f.Kind))
	}
	if f.State != "" {
		and("state = ?", string(f.State))
	}
	if f.PaymentID != "" {
		and("payment_id = ?", f.PaymentID)
	}
	if f.PlayerReference != "" {
		and("transfers.person_id = ?", db.PersonID(f.MerchantID, f.PlayerReference)) // has the index
		and("player_hash = ?", db.Lookup("player/"+f.MerchantID, f.PlayerReference))
	}
	if f.Reference != "" {
		and("reference_hash = ?", db.Lookup("reference", f.Reference))
	}
	if f.EndToEndID != "" {
		and("end_to_end_id = ?", f.EndToEndID)
	}
	if f.Cursor != "" {
		and("transfers.id < ?", f.Cursor)
	}
	f.Limit = min(max(f.Limit, 1), 100)
	var rows []row
	if err := db.Select(ctx, &rows, query+" ORDER BY transfers.id DESC LIMIT ?", append(args, f.Limit+1)...); err != nil {
		return nil, "", fmt.Errorf("list transfers: %w", err)
	}
	rows, next = page(rows, f.Limit)
	list, err = transfers.open(db, rows)
	return list, next, err
}

// DueTransfers is Due for transfers.
func (db *DB) DueTransfers(ctx context.Context, now time.Time, limit int) (ids []string, next time.Time, err error) {
	return transfers.dueList(ctx, db, now, limit)
}

// PostponeTransfer is Postpone for transfers.
func (db *DB) PostponeTransfer(ctx context.Context, id string, until time.Time) error {
	return transfers.putOff(ctx, db, id, until)
}

// proveSource notes that a deposit came from an account of the player's own.
func (tx *Tx) proveSource(p *psd2.Payment) error {
	_, err := tx.Exec(`INSERT INTO payment_sources (id, person_id, payment_id, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (id, person_id) DO NOTHING`,
		p.SourceID, p.PersonID, p.ID, tx.Now.UnixMicro())
	if err != nil {
		return fmt.Errorf("write payment source: %w", err)
	}
	return nil
}

// Source loads the deposit that proves an account to be a person's own; not
// found when there is none.
func (tx *Tx) Source(sourceID, personID string) (*psd2.Payment, error) {
	var r row
	err := tx.Get(&r, selectPayments+` JOIN payment_sources ON payment_sources.payment_id = payments.id
		WHERE payment_sources.id = ? AND payment_sources.person_id = ?`, sourceID, personID)
	p, err := payments.one(tx.db, err, r)
	if psd2.CodeOf(err) == psd2.CodeNotFound {
		return nil, psd2.NotFound("payment_source")
	}
	return p, err
}

// Ordered is the object that an EndToEndId of ours belongs to: one of the two.
// The object of an erased person lacks what is personal and cannot be changed
// any more.
type Ordered struct {
	Payment  *psd2.Payment
	Attempt  *psd2.Attempt // of Payment
	Transfer *psd2.Transfer
	Erased   bool
}

// ByEndToEndID finds what an EndToEndId belongs to; nil when it is not ours.
func (tx *Tx) ByEndToEndID(endToEndID string) (*Ordered, error) {
	var r row
	err := tx.Get(&r, selectPayments+` JOIN attempts ON attempts.payment_id = payments.id WHERE attempts.end_to_end_id = ?`, endToEndID)
	if err == nil {
		p, err := payments.one(tx.db, nil, r)
		if err != nil {
			return nil, err
		}
		for i := range p.Attempts {
			if p.Attempts[i].EndToEndID == endToEndID {
				return &Ordered{Payment: p, Attempt: &p.Attempts[i], Erased: tx.db.keys.erased(r)}, nil
			}
		}
		return nil, fmt.Errorf("payment %s has lost an attempt", p.ID)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	err = tx.Get(&r, selectTransfers+` WHERE end_to_end_id = ?`, endToEndID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	t, err := transfers.one(tx.db, err, r)
	if err != nil {
		return nil, err
	}
	return &Ordered{Transfer: t, Erased: tx.db.keys.erased(r)}, nil
}
