package limits

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// DefaultLimit is the monthly limit in cents unless the person has another
// (GlüStV 2021 §6c(1) s.2).
const DefaultLimit = 100_000

// Request asks for room for one deposit.
type Request struct {
	PaymentID   string
	PersonKey   string // the same at all merchants; opaque
	AmountMinor int64
	LimitMinor  int64 // the person's own; 0: DefaultLimit
}

// Answer says whether there is room, and how much is left for a smaller
// deposit when there is not.
type Answer struct {
	Granted   bool
	LeftMinor int64 // with a refusal: what could still be paid in this month
}

// Authority is the central limit file. Every call may be repeated with the same
// reservation; Client is one.
type Authority interface {
	Reserve(ctx context.Context, reservation, person string, amountMinor int64) (Answer, error)
	Confirm(ctx context.Context, reservation string) error
	Release(ctx context.Context, reservation string) error
}

// Keeper keeps limits. It is safe for concurrent use, also by several
// processes on one database.
type Keeper struct {
	db        *store.DB
	authority Authority // nil: the hub's own count is all there is
}

// New makes a keeper; authority may be nil.
func New(db *store.DB, authority Authority) *Keeper { return &Keeper{db, authority} }

var berlin = func() *time.Location {
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return time.UTC // a machine without zone files; psd2/page and compliance/rules bring them
	}
	return l
}()

func monthOf(t time.Time) string { return t.In(berlin).Format("2006-01") }

type reservation struct {
	PaymentID string `db:"payment_id"`
	PersonKey string `db:"person_key"`
	Month     string `db:"month"`
	Amount    int64  `db:"amount_minor"`
	State     string `db:"state"`
	Told      string `db:"told"`
	Tries     int64  `db:"tries"`
}

const selectReservations = `SELECT payment_id, person_key, month, amount_minor, state, told, tries FROM limit_reservations WHERE `

// errReleased refuses to take up what was given back.
var errReleased = psd2.Fail(psd2.CodeConflict, "reservation_ended", "the reservation has ended")

// Reserve takes room for a deposit, here and at the authority. An error means
// that nobody knows: do not initiate. Asking again for the same payment gives
// the same answer.
func (k *Keeper) Reserve(ctx context.Context, r Request) (Answer, error) {
	if r.PaymentID == "" || r.PersonKey == "" || r.AmountMinor <= 0 || r.LimitMinor < 0 {
		return Answer{}, psd2.Invalid("", "reservation_incomplete", "a reservation needs a payment, a person and an amount")
	}
	if r.LimitMinor == 0 {
		r.LimitMinor = DefaultLimit
	}
	var a Answer
	err := k.db.Tx(ctx, func(tx *store.Tx) (err error) {
		a, err = reserve(tx, r)
		return err
	})
	if err != nil || !a.Granted || k.authority == nil {
		return a, err
	}
	a, err = k.authority.Reserve(ctx, r.PaymentID, r.PersonKey, r.AmountMinor)
	if err == nil && a.Granted {
		return a, nil
	}
	// Refused, or nobody knows. The caller's context may be what ended it.
	if giveBack := k.db.Tx(context.WithoutCancel(ctx), func(tx *store.Tx) error { return k.Release(tx, r.PaymentID) }); giveBack != nil {
		return Answer{}, errors.Join(err, giveBack)
	}
	if err != nil {
		return Answer{}, &psd2.Error{Code: psd2.CodeUnavailable, Reason: "limit_service_unavailable", Message: "the limit service does not answer", Err: err}
	}
	return a, nil
}

func reserve(tx *store.Tx, r Request) (Answer, error) {
	var old reservation
	err := tx.Get(&old, selectReservations+`payment_id = ?`, r.PaymentID)
	switch {
	case err == nil && old.State == "released":
		return Answer{}, errReleased
	case err == nil:
		return Answer{Granted: true}, nil
	case !errors.Is(err, sql.ErrNoRows):
		return Answer{}, err
	}
	month := monthOf(tx.Now)
	if _, err := tx.Exec(`INSERT INTO limit_months (person_key, month, used_minor) VALUES (?, ?, 0) ON CONFLICT (person_key, month) DO NOTHING`, r.PersonKey, month); err != nil {
		return Answer{}, err
	}
	n, err := tx.Exec(`UPDATE limit_months SET used_minor = used_minor + ? WHERE person_key = ? AND month = ? AND used_minor <= ?`,
		r.AmountMinor, r.PersonKey, month, r.LimitMinor-r.AmountMinor)
	if err != nil {
		return Answer{}, err
	}
	if n == 0 {
		var used int64
		err := tx.Get(&used, `SELECT used_minor FROM limit_months WHERE person_key = ? AND month = ?`, r.PersonKey, month)
		return Answer{LeftMinor: max(0, r.LimitMinor-used)}, err
	}
	_, err = tx.Exec(`INSERT INTO limit_reservations (payment_id, person_key, month, amount_minor, state, told, tries, next_at, created_at)
		VALUES (?, ?, ?, ?, 'reserved', '', 0, 0, ?)`, r.PaymentID, r.PersonKey, month, r.AmountMinor, tx.Now.UnixMicro())
	return Answer{Granted: err == nil}, err
}

// Left is what a person can still pay in this month by the hub's own count: the
// hosted page offers it where the merchant allows a smaller deposit.
func (k *Keeper) Left(ctx context.Context, personKey string, limitMinor int64) (int64, error) {
	if limitMinor == 0 {
		limitMinor = DefaultLimit
	}
	var used int64
	err := k.db.Get(ctx, &used, `SELECT used_minor FROM limit_months WHERE person_key = ? AND month = ?`, personKey, monthOf(k.db.Now()))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	return max(0, limitMinor-used), nil
}

// Confirm makes a reservation final, in the transaction that learns that the
// money has moved. It also takes a released one up again: money that moved
// counts, whatever was believed before.
func (k *Keeper) Confirm(tx *store.Tx, paymentID string) error {
	return k.end(tx, paymentID, "confirmed")
}

// Release gives the room back, in the transaction that learns that no money
// moves. An unknown outcome is no reason to call it.
func (k *Keeper) Release(tx *store.Tx, paymentID string) error {
	return k.end(tx, paymentID, "released")
}

func (k *Keeper) end(tx *store.Tx, paymentID, state string) error {
	var r reservation
	err := tx.Get(&r, selectReservations+`payment_id = ?`, paymentID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // never reserved: not a gambling deposit
	}
	if err != nil {
		return err
	}
	if r.State == state || r.State == "confirmed" {
		return nil
	}
	told, change := "", int64(0)
	if k.authority != nil {
		told = map[string]string{"confirmed": "confirm", "released": "release"}[state]
	}
	switch {
	case state == "released":
		change = -r.Amount
	case r.State == "released":
		change = r.Amount
	}
	n, err := tx.Exec(`UPDATE limit_reservations SET state = ?, told = ?, tries = 0, next_at = ? WHERE payment_id = ? AND state = ?`,
		state, told, tx.Now.UnixMicro(), paymentID, r.State)
	if err != nil {
		return err
	}
	if n == 0 {
		return psd2.Fail(psd2.CodeConflict, "reservation_changed", "the reservation has changed meanwhile")
	}
	_, err = tx.Exec(`UPDATE limit_months SET used_minor = used_minor + ? WHERE person_key = ? AND month = ?`, change, r.PersonKey, r.Month)
	return err
}

const (
	stepBatch = 16
	idle      = 5 * time.Second
	longest   = 15 * time.Minute // between two tries
)

// Step tells the authority what it has yet to hear, in the order it became
// due. It says when it wants to run again.
func (k *Keeper) Step(ctx context.Context, now time.Time) (time.Time, error) {
	if k.authority == nil {
		return now.Add(time.Hour), nil
	}
	var due []reservation
	err := k.db.Select(ctx, &due, selectReservations+`told <> '' AND next_at <= ? ORDER BY next_at LIMIT ?`, now.UnixMicro(), stepBatch)
	if err != nil {
		return now.Add(idle), fmt.Errorf("limits: %w", err)
	}
	for _, r := range due {
		tell := k.authority.Release
		if r.Told == "confirm" {
			tell = k.authority.Confirm
		}
		failed := tell(ctx, r.PaymentID)
		if err := k.heard(ctx, now, r, failed); err != nil {
			return now.Add(idle), fmt.Errorf("limits: %w", err)
		}
	}
	if len(due) == stepBatch {
		return now, nil
	}
	return now.Add(idle), nil
}

// heard notes how a call ended. What was decided anew meanwhile is told anew.
func (k *Keeper) heard(ctx context.Context, now time.Time, r reservation, failed error) error {
	return k.db.Tx(ctx, func(tx *store.Tx) error {
		if failed == nil {
			_, err := tx.Exec(`UPDATE limit_reservations SET told = '' WHERE payment_id = ? AND told = ?`, r.PaymentID, r.Told)
			return err
		}
		wait := min(longest, time.Second<<min(r.Tries, 10))
		_, err := tx.Exec(`UPDATE limit_reservations SET tries = tries + 1, next_at = ? WHERE payment_id = ? AND told = ?`, now.Add(wait).UnixMicro(), r.PaymentID, r.Told)
		return err
	})
}
