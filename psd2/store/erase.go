package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// Erasure is what an erasure closed.
type Erasure struct {
	PersonID  string
	Payments  int64
	Transfers int64
}

// ErasePerson destroys a person's data key and with it everything it sealed:
// names, accounts, references, addresses, the data of his events. What remains
// is what the books need and names nobody: amounts, times, states, our own ids.
// The keyed hashes he could be found by go as well. A backup from before still
// holds the key, and has to age out.
//
// The answers kept for a repeated Idempotency-Key are sealed with the
// deployment's key and go by their age, after 30 days. Whoever keeps data of
// the person elsewhere (officers, monitoring, screening, factors) erases it
// himself, in the same transaction.
//
// It refuses with a conflict while anything of his is under way. A person who
// comes back gets a new key under the same id: his old rows stay closed, for
// they name the key that is gone.
func (tx *Tx) ErasePerson(personID string) (Erasure, error) {
	e := Erasure{PersonID: personID}
	if !strings.HasPrefix(personID, personPrefix) { // merchants have keys too
		return e, psd2.NotFound("person")
	}
	// First, because it waits for whoever is creating a payment of his.
	n, err := tx.Exec(`DELETE FROM person_keys WHERE person_id = ?`, personID)
	if err != nil {
		return e, fmt.Errorf("erase person: %w", err)
	}
	if n == 0 {
		return e, psd2.NotFound("person")
	}
	tx.erased = true
	under, err := tx.UnderWay(personID)
	if err != nil {
		return e, err
	}
	if under {
		return e, psd2.Fail(psd2.CodeConflict, "under_way", "a payment, refund or payout of this person has not come to its end")
	}
	if e.Payments, err = tx.Exec(`UPDATE payments SET player_hash = '', reference_hash = '', source_hash = NULL WHERE person_id = ?`, personID); err != nil {
		return e, fmt.Errorf("erase person: %w", err)
	}
	e.Transfers, err = tx.Exec(`UPDATE transfers SET player_hash = '', reference_hash = '', payee_hash = '', loop_id = NULL WHERE person_id = ?`, personID)
	if err != nil {
		return e, fmt.Errorf("erase person: %w", err)
	}
	// An account he comes back with has to be proven anew.
	if _, err := tx.Exec(`DELETE FROM payment_sources WHERE person_id = ?`, personID); err != nil {
		return e, fmt.Errorf("erase person: %w", err)
	}
	return e, nil
}

// UnderWay reports whether something of a person has not ended, or is still
// watched.
func (tx *Tx) UnderWay(personID string) (bool, error) {
	var n int
	err := tx.Get(&n, `SELECT (SELECT COUNT(*) FROM payments WHERE person_id = ?
			AND (next_step_at IS NOT NULL OR state NOT IN ('executed', 'settled', 'failed')))
		+ (SELECT COUNT(*) FROM transfers WHERE person_id = ?
			AND (next_step_at IS NOT NULL OR state NOT IN ('executed', 'returned', 'failed')))`, personID, personID)
	if err != nil {
		return true, fmt.Errorf("under way: %w", err)
	}
	return n > 0, nil
}

// LastMoved is when money of a person last moved, or may have: the start of the
// time that transactions are kept for. Zero when none ever did.
func (tx *Tx) LastMoved(personID string) (time.Time, error) {
	var last int64
	err := tx.Get(&last, `SELECT COALESCE(MAX(created_at), 0) FROM (
		SELECT created_at FROM payments WHERE person_id = ? AND state IN ('executed', 'settled', 'outcome_unknown')
		UNION ALL SELECT created_at FROM transfers WHERE person_id = ? AND state IN ('executed', 'returned', 'outcome_unknown')) AS moved`, personID, personID)
	if err != nil || last == 0 {
		return time.Time{}, err
	}
	return fromMicro(last), nil
}

// IdlePersons lists persons, in order of their ids behind after, of whom
// nothing was created since a time and nothing is under way: those a retention
// job may erase. next is where to go on, "" at the end.
func (db *DB) IdlePersons(ctx context.Context, after string, since time.Time, limit int) (idle []string, next string, err error) {
	var rows []struct {
		ID   string `db:"person_id"`
		Busy int    `db:"busy"`
	}
	err = db.Select(ctx, &rows, `SELECT person_id,
		CASE WHEN EXISTS (SELECT 1 FROM payments WHERE payments.person_id = person_keys.person_id AND (created_at >= ? OR next_step_at IS NOT NULL
				OR state NOT IN ('executed', 'settled', 'failed')))
			OR EXISTS (SELECT 1 FROM transfers WHERE transfers.person_id = person_keys.person_id AND (created_at >= ? OR next_step_at IS NOT NULL
				OR state NOT IN ('executed', 'returned', 'failed')))
			THEN 1 ELSE 0 END AS busy
		FROM person_keys WHERE person_id > ? AND person_id LIKE 'psn\_%' ESCAPE '\' AND created_at < ? ORDER BY person_id LIMIT ?`,
		since.UnixMicro(), since.UnixMicro(), after, since.UnixMicro(), limit)
	if err != nil {
		return nil, "", fmt.Errorf("idle persons: %w", err)
	}
	for _, r := range rows {
		if r.Busy == 0 {
			idle = append(idle, r.ID)
		}
	}
	if len(rows) == limit {
		next = rows[limit-1].ID
	}
	return idle, next, nil
}

// PersonData is everything the hub keeps about a person, as he may have it
// (GDPR Art. 15(3) and 20): what he and his merchant gave, what his banks said,
// and what became of it. What anybody thought of it is not the hub's to know,
// and a payout that is looked at is pending here as it is for the merchant (GwG
// §47(1)).
type PersonData struct {
	PersonID  string           `json:"person_id"`
	At        time.Time        `json:"at"`
	Payments  []PersonPayment  `json:"payments"`
	Transfers []PersonTransfer `json:"transfers"`
}

// PersonPayment is one of his deposits. Erased ones keep amounts and times.
type PersonPayment struct {
	ID            string             `json:"id"`
	MerchantID    string             `json:"merchant_id"`
	Status        psd2.State         `json:"status"`
	Failure       psd2.FailureReason `json:"failure_reason,omitempty"`
	Amount        psd2.Money         `json:"amount"`
	CreatedAt     time.Time          `json:"created_at"`
	UpdatedAt     time.Time          `json:"updated_at"`
	Reference     string             `json:"reference,omitempty"`
	Metadata      map[string]string  `json:"metadata,omitempty"`
	Player        psd2.Player        `json:"player,omitzero"`
	Payee         psd2.Party         `json:"payee,omitzero"`
	Source        psd2.Party         `json:"source,omitzero"`
	PayerCheck    psd2.PayerCheck    `json:"payer_check"`
	DeviceID      string             `json:"device_id,omitempty"`
	Locale        string             `json:"locale,omitempty"`
	Attempts      []PersonAttempt    `json:"attempts,omitempty"`
	RefundedMinor int64              `json:"refunded_minor,omitempty"`
}

// PersonAttempt is one try at one bank, and what his browser said then.
type PersonAttempt struct {
	BankID     string     `json:"bank_id"`
	StartedAt  time.Time  `json:"started_at"`
	EndedAt    *time.Time `json:"ended_at,omitempty"`
	EndToEndID string     `json:"end_to_end_id"`
	Browser    psd2.PSU   `json:"browser,omitzero"`
}

// PersonTransfer is a refund or payout to him.
type PersonTransfer struct {
	ID         string             `json:"id"`
	Kind       psd2.TransferKind  `json:"kind"`
	MerchantID string             `json:"merchant_id"`
	Status     psd2.TransferState `json:"status"`
	Failure    psd2.FailureReason `json:"failure_reason,omitempty"`
	Amount     psd2.Money         `json:"amount"`
	CreatedAt  time.Time          `json:"created_at"`
	EndToEndID string             `json:"end_to_end_id"`
	Reference  string             `json:"reference,omitempty"`
	Metadata   map[string]string  `json:"metadata,omitempty"`
	Player     psd2.Player        `json:"player,omitzero"`
	Payee      psd2.Party         `json:"payee,omitzero"`
}

// PersonData gathers all that is kept about a person.
func (db *DB) PersonData(ctx context.Context, personID string) (*PersonData, error) {
	d := &PersonData{PersonID: personID, At: db.Now(), Payments: []PersonPayment{}, Transfers: []PersonTransfer{}}
	var in, out []row
	err := errors.Join(
		db.Select(ctx, &in, selectPayments+` WHERE payments.person_id = ? ORDER BY payments.id`, personID),
		db.Select(ctx, &out, selectTransfers+` WHERE transfers.person_id = ? ORDER BY transfers.id`, personID))
	if err != nil {
		return nil, fmt.Errorf("person data: %w", err)
	}
	if len(in)+len(out) == 0 {
		return nil, psd2.NotFound("person")
	}
	deposits, err := payments.open(db, in)
	if err != nil {
		return nil, err
	}
	for _, p := range deposits {
		d.Payments = append(d.Payments, personPayment(p))
	}
	moved, err := transfers.open(db, out)
	if err != nil {
		return nil, err
	}
	for _, t := range moved {
		d.Transfers = append(d.Transfers, PersonTransfer{
			ID: t.ID, Kind: t.Kind, MerchantID: t.MerchantID, Status: t.State, Failure: t.Failure, Amount: t.Amount, CreatedAt: t.CreatedAt,
			EndToEndID: t.EndToEndID, Reference: t.Personal.Reference, Metadata: t.Personal.Metadata, Player: t.Personal.Player, Payee: t.Personal.Payee,
		})
	}
	return d, nil
}

func personPayment(p *psd2.Payment) PersonPayment {
	x := PersonPayment{
		ID: p.ID, MerchantID: p.MerchantID, Status: p.State, Failure: p.Failure, Amount: p.Amount, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
		Reference: p.Personal.Reference, Metadata: p.Personal.Metadata, Player: p.Personal.Player, Payee: p.Personal.Payee, Source: p.Personal.Source,
		PayerCheck: p.PayerCheck, DeviceID: p.Personal.DeviceID, Locale: p.Locale, RefundedMinor: p.RefundedMinor,
	}
	for _, a := range p.Attempts {
		x.Attempts = append(x.Attempts, PersonAttempt{BankID: a.BankID, StartedAt: a.StartedAt, EndedAt: a.EndedAt, EndToEndID: a.EndToEndID,
			Browser: p.Personal.Attempts[a.ID].PSU})
	}
	return x
}
