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
}

// Answer says whether there is room, and how much is left for a smaller
// deposit when there is not.
type Answer struct {
	Granted   bool
	LeftMinor int64 // with a refusal: what could still be paid in this month
	// LimitMinor is the person's own monthly limit, of an authority's answer; nil
	// when it does not tell.
	LimitMinor *int64
}

// Authority is the central limit file. Every call may be repeated with the same
// reservation; Client is one. A confirmation may be of less than was reserved:
// the difference is free again.
type Authority interface {
	Reserve(ctx context.Context, reservation, person string, amountMinor int64) (Answer, error)
	Confirm(ctx context.Context, reservation string, amountMinor int64) error
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
	Counted   bool   `db:"counted"`
	Told      string `db:"told"`
	Tries     int64  `db:"tries"`
}

const (
	columns            = `payment_id, person_key, month, amount_minor, state, counted, told, tries`
	selectReservations = `SELECT ` + columns + ` FROM limit_reservations WHERE `
)

// errReleased refuses to take up what was given back.
var errReleased = psd2.Fail(psd2.CodeConflict, "reservation_ended", "the reservation has ended")

// ErrLowered says that less is reserved for the payment by now than is asked for:
// its payer has taken less in another tab.
var ErrLowered = psd2.Fail(psd2.CodeConflict, "amount_lowered", "the payment's amount has been lowered meanwhile")

// Reserve takes room for a deposit: at the authority, if there is one, and then
// in the hub's own count, by the limit that the authority tells. An error means
// that nobody knows: do not initiate. Asking again for the same payment gives
// the same answer.
func (k *Keeper) Reserve(ctx context.Context, r Request) (a Answer, err error) {
	if r.PaymentID == "" || r.PersonKey == "" || r.AmountMinor <= 0 {
		return Answer{}, psd2.Invalid("", "reservation_incomplete", "a reservation needs a payment, a person and an amount")
	}
	counted := false
	err = k.db.Tx(ctx, func(tx *store.Tx) (err error) {
		a = Answer{}
		if counted, err = note(tx, r); err != nil || counted || k.authority != nil {
			a.Granted = counted
			return err
		}
		if a, err = count(tx, r.PaymentID); err != nil || a.Granted {
			return err
		}
		return forget(tx, r.PaymentID)
	})
	if err != nil || counted || k.authority == nil {
		return a, err
	}
	return k.ask(ctx, r)
}

// ask reserves at the authority what is noted here. What it grants is counted;
// what it refuses is forgotten; and when nobody knows, or the hub's own count is
// above the limit all the same, it is told that the reservation is over.
func (k *Keeper) ask(ctx context.Context, r Request) (Answer, error) {
	a, asked := k.authority.Reserve(ctx, r.PaymentID, r.PersonKey, r.AmountMinor)
	granted := asked == nil && a.Granted
	// The caller's context may be what ended the call.
	err := k.db.Tx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		if asked != nil {
			return k.Release(tx, r.PaymentID)
		}
		if a.LimitMinor != nil {
			if err := keepLimit(tx, r.PersonKey, *a.LimitMinor); err != nil {
				return err
			}
		}
		if !granted {
			return forget(tx, r.PaymentID)
		}
		own, err := count(tx, r.PaymentID)
		if a.Granted = own.Granted; err != nil || own.Granted {
			return err
		}
		a.LeftMinor = 0 // there it is reserved and has to be given back: no smaller amount can follow
		return k.Release(tx, r.PaymentID)
	})
	switch {
	case asked != nil:
		return Answer{}, &psd2.Error{Code: psd2.CodeUnavailable, Reason: "limit_service_unavailable", Message: "the limit service does not answer", Err: errors.Join(asked, err)}
	case err != nil:
		return Answer{}, err
	}
	return a, nil
}

// note keeps that a reservation is wanted, before anybody is asked. It says
// whether it is granted and counted already.
func note(tx *store.Tx, r Request) (counted bool, err error) {
	var old reservation
	err = tx.Get(&old, selectReservations+`payment_id = ?`, r.PaymentID)
	switch {
	case err == nil && old.State == "released":
		return false, errReleased
	case err == nil && old.Counted && old.Amount > r.AmountMinor:
		return true, shrink(tx, old, r.AmountMinor)
	case err == nil && old.Counted && old.Amount < r.AmountMinor:
		return false, ErrLowered
	case err == nil && old.Amount == r.AmountMinor:
		return old.Counted, nil
	case err == nil: // the last answer was never heard; that amount is not wanted any more
		return false, psd2.Fail(psd2.CodeConflict, "reservation_changed", "another amount is being asked for")
	case !errors.Is(err, sql.ErrNoRows):
		return false, err
	}
	month := monthOf(tx.Now)
	if _, err := tx.Exec(`INSERT INTO limit_months (person_key, month, used_minor) VALUES (?, ?, 0) ON CONFLICT (person_key, month) DO NOTHING`, r.PersonKey, month); err != nil {
		return false, err
	}
	_, err = tx.Exec(`INSERT INTO limit_reservations (payment_id, person_key, month, amount_minor, state, counted, told, tries, next_at, created_at)
		VALUES (?, ?, ?, ?, 'reserved', 0, '', 0, 0, ?)`, r.PaymentID, r.PersonKey, month, r.AmountMinor, tx.Now.UnixMicro())
	return false, err
}

// shrink makes a reservation that counts smaller. The authority hears of it with
// the confirmation.
func shrink(tx *store.Tx, r reservation, minor int64) error {
	n, err := tx.Exec(`UPDATE limit_reservations SET amount_minor = ? WHERE payment_id = ? AND amount_minor = ? AND counted = 1`, minor, r.PaymentID, r.Amount)
	if err != nil || n == 0 { // another has done so
		return err
	}
	_, err = tx.Exec(`UPDATE limit_months SET used_minor = used_minor - ? WHERE person_key = ? AND month = ?`, r.Amount-minor, r.PersonKey, r.Month)
	return err
}

// Hold fails unless a payment's amount is reserved, and keeps it so until the
// transaction ends: the one that commits the order, since another tab's refusal
// may have withdrawn the reservation after this one was granted. It locks the
// reservation before the payment, as Withdraw does.
func (k *Keeper) Hold(tx *store.Tx, paymentID string, amountMinor int64) error {
	n, err := tx.Exec(`UPDATE limit_reservations SET state = state WHERE payment_id = ? AND counted = 1 AND amount_minor >= ?`, paymentID, amountMinor)
	if err == nil && n == 0 {
		err = errReleased
	}
	return err
}

// count takes a noted reservation into its month, if the person's limit leaves
// room for it there: one conditional update.
func count(tx *store.Tx, paymentID string) (Answer, error) {
	var r reservation
	if err := tx.Get(&r, selectReservations+`payment_id = ?`, paymentID); err != nil {
		return Answer{}, err
	}
	switch {
	case r.State == "released":
		return Answer{}, errReleased
	case r.Counted: // by another process, that was asked the same
		return Answer{Granted: true}, nil
	}
	limit, _, err := limitOf(tx.Get, r.PersonKey)
	if err != nil {
		return Answer{}, err
	}
	n, err := tx.Exec(`UPDATE limit_months SET used_minor = used_minor + ? WHERE person_key = ? AND month = ? AND used_minor <= ?`,
		r.Amount, r.PersonKey, r.Month, limit-r.Amount)
	if err != nil {
		return Answer{}, err
	}
	if n == 0 {
		var used int64
		err := tx.Get(&used, `SELECT used_minor FROM limit_months WHERE person_key = ? AND month = ?`, r.PersonKey, r.Month)
		return Answer{LeftMinor: max(0, limit-used)}, err
	}
	_, err = tx.Exec(`UPDATE limit_reservations SET counted = 1 WHERE payment_id = ?`, paymentID)
	return Answer{Granted: err == nil}, err
}

// forget undoes a reservation of which nobody else has to be told, so that a
// smaller amount may be asked for.
func forget(tx *store.Tx, paymentID string) error {
	var r reservation
	err := tx.Get(&r, `DELETE FROM limit_reservations WHERE payment_id = ? AND state = 'reserved' RETURNING `+columns, paymentID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // ended meanwhile
	}
	if err != nil || !r.Counted {
		return err
	}
	_, err = tx.Exec(`UPDATE limit_months SET used_minor = used_minor - ? WHERE person_key = ? AND month = ?`, r.Amount, r.PersonKey, r.Month)
	return err
}

// Withdraw gives room back that was granted to a deposit which something else
// stopped before its order. again says that the same payment may ask anew, for
// less; it may not where an authority has to be told first. Once the payment has
// an order out, by another tab of the payer's, nothing is given back: that money
// may move.
func (k *Keeper) Withdraw(ctx context.Context, paymentID string) (again bool, err error) {
	err = k.db.Tx(ctx, func(tx *store.Tx) error {
		again = false
		// An order that is being committed holds the reservation: its state is read
		// after that.
		if _, err := tx.Exec(`UPDATE limit_reservations SET state = state WHERE payment_id = ?`, paymentID); err != nil {
			return err
		}
		state, err := tx.PaymentState(paymentID)
		switch {
		case psd2.CodeOf(err) == psd2.CodeNotFound:
		case err != nil:
			return err
		case state != psd2.StateAuthorizationRequired:
			return nil
		}
		if again = k.authority == nil; again {
			return forget(tx, paymentID)
		}
		return k.Release(tx, paymentID)
	})
	return again && err == nil, err
}

func keepLimit(tx *store.Tx, personKey string, minor int64) error {
	_, err := tx.Exec(`INSERT INTO limit_persons (person_key, limit_minor, told_at) VALUES (?, ?, ?)
		ON CONFLICT (person_key) DO UPDATE SET limit_minor = excluded.limit_minor, told_at = excluded.told_at`, personKey, max(0, minor), tx.Now.UnixMicro())
	return err
}

// limitOf is a person's monthly limit: his own, else the DefaultLimit.
func limitOf(get func(dst any, query string, args ...any) error, personKey string) (minor int64, own bool, err error) {
	err = get(&minor, `SELECT limit_minor FROM limit_persons WHERE person_key = ?`, personKey)
	if errors.Is(err, sql.ErrNoRows) {
		return DefaultLimit, false, nil
	}
	return minor, err == nil, err
}

// Limit is the monthly limit that a person has himself, as far as the authority
// has told it; nil: that of everybody.
func (k *Keeper) Limit(ctx context.Context, personKey string) (*int64, error) {
	minor, own, err := limitOf(k.reader(ctx), personKey)
	if err != nil || !own {
		return nil, err
	}
	return &minor, nil
}

func (k *Keeper) reader(ctx context.Context) func(dst any, query string, args ...any) error {
	return func(dst any, query string, args ...any) error { return k.db.Get(ctx, dst, query, args...) }
}

// Left is what a person can still pay in this month by the hub's own count: the
// hosted page offers it where the merchant allows a smaller deposit.
func (k *Keeper) Left(ctx context.Context, personKey string) (int64, error) {
	limit, _, err := limitOf(k.reader(ctx), personKey)
	if err != nil {
		return 0, err
	}
	var used int64
	err = k.db.Get(ctx, &used, `SELECT used_minor FROM limit_months WHERE person_key = ? AND month = ?`, personKey, monthOf(k.db.Now()))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	return max(0, limit-used), nil
}

// Confirm makes a reservation final, of as much as the payment is, in the
// transaction that learns that the money has moved. It also takes a released one up again: money that moved
// counts, whatever was believed before.
func (k *Keeper) Confirm(tx *store.Tx, paymentID string) error {
	paid, err := tx.PaymentAmount(paymentID)
	if err != nil && psd2.CodeOf(err) != psd2.CodeNotFound {
		return err
	}
	return k.end(tx, paymentID, "confirmed", paid)
}

// Release gives the room back, in the transaction that learns that no money
// moves. An unknown outcome is no reason to call it.
func (k *Keeper) Release(tx *store.Tx, paymentID string) error {
	return k.end(tx, paymentID, "released", 0)
}

// end takes a reservation to its end; paid is what the payment is, 0 when that
// is not known.
func (k *Keeper) end(tx *store.Tx, paymentID, state string, paid int64) error {
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
	told, change, amount, counted := "", int64(0), r.Amount, state == "confirmed"
	if paid > 0 && paid < amount {
		amount = paid
	}
	if k.authority != nil {
		told = map[string]string{"confirmed": "confirm", "released": "release"}[state]
	}
	switch {
	case r.Counted && !counted:
		change = -r.Amount
	case counted && !r.Counted:
		change = amount
	case counted:
		change = amount - r.Amount
	}
	n, err := tx.Exec(`UPDATE limit_reservations SET state = ?, amount_minor = ?, counted = ?, told = ?, tries = 0, next_at = ? WHERE payment_id = ? AND state = ? AND counted = ? AND amount_minor = ?`,
		state, amount, number(counted), told, tx.Now.UnixMicro(), paymentID, r.State, number(r.Counted), r.Amount)
	if err != nil {
		return err
	}
	if n == 0 {
		return psd2.Fail(psd2.CodeConflict, "reservation_changed", "the reservation has changed meanwhile")
	}
	_, err = tx.Exec(`UPDATE limit_months SET used_minor = used_minor + ? WHERE person_key = ? AND month = ?`, change, r.PersonKey, r.Month)
	return err
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
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
		var failed error
		if r.Told == "confirm" {
			failed = k.authority.Confirm(ctx, r.PaymentID, r.Amount)
		} else {
			failed = k.authority.Release(ctx, r.PaymentID)
		}
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
