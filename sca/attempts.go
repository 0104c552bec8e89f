package sca

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

// Limits of failed tries (RTS Art. 4(3)(b): at most five in a row). They count
// per person and method, not per challenge or address.
const (
	maxFailures = 5
	maxTotal    = 100 // over a lifetime, successes not counted; then the method must be enrolled anew
	nearTotal   = 90  // the person is warned
)

// nobody stands for everybody who does not exist: what is done for a person is
// done for him too, so that the two take as long.
const nobody = "nobody"

// perAddress begins the methods whose failures count per client address as well:
// the password's. What an outsider can fail at is never locked for good.
const perAddress = "password@"

func passwordFrom(addressHash string) Method { return Method(perAddress + addressHash) }

func (m Method) outsiders() bool { return strings.HasPrefix(string(m), perAddress) }

// blockFor is how long the nth block in a row lasts.
func blockFor(n int64) time.Duration {
	switch {
	case n <= 1:
		return 15 * time.Minute
	case n == 2:
		return time.Hour
	}
	return 24 * time.Hour
}

// ticket is the right to compare once. It has been paid for with a failure
// that is already committed; success gives it back.
type ticket struct {
	personID     string
	method       Method
	blockedUntil int64 // set by this very try, when it was the last one allowed
	locked       int64
}

type attemptRow struct {
	Failures     int64 `db:"failures"`
	Total        int64 `db:"total"`
	Blocks       int64 `db:"blocks"`
	BlockedUntil int64 `db:"blocked_until"`
	Locked       int64 `db:"locked"`
}

// raise counts a try as failed and commits that, before anything is compared:
// of any number of parallel tries only the first five get a ticket. The error
// of those that don't is errRefused; the same is written for them, and callers
// compare for them as well, so that a lock cannot be told by the time it takes.
func (s *Service) raise(ctx context.Context, personID string, method Method) (ticket, error) {
	t := ticket{personID: personID, method: method}
	refused := false
	var notice Notice
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		t.blockedUntil, t.locked, refused, notice = 0, 0, false, Notice{}
		var row attemptRow
		err := tx.Get(&row, `INSERT INTO sca_attempts (person_id, method, failures, total, blocks, blocked_until, locked, tried_at) VALUES (?, ?, 1, 1, 0, 0, 0, ?)
			ON CONFLICT (person_id, method) DO UPDATE SET
				failures = CASE WHEN sca_attempts.failures >= ? THEN 1 ELSE sca_attempts.failures + 1 END,
				total = sca_attempts.total + 1, tried_at = excluded.tried_at
			WHERE sca_attempts.locked = 0 AND sca_attempts.blocked_until <= ?
			RETURNING failures, total, blocks, blocked_until, locked`, personID, string(method), tx.Now.UnixMicro(), maxFailures, tx.Now.UnixMicro())
		if errors.Is(err, sql.ErrNoRows) {
			refused = true
			_, err = tx.Exec(`UPDATE sca_attempts SET tried_at = ? WHERE person_id = ? AND method = ?`, tx.Now.UnixMicro(), personID, string(method))
			return err
		}
		if err != nil {
			return err
		}
		notice, err = s.close(tx, &t, row)
		return err
	})
	if err != nil {
		return t, err
	}
	s.tell(ctx, notice)
	if refused {
		return t, errRefused
	}
	return t, nil
}

// close shuts the door behind the last try allowed.
func (s *Service) close(tx *store.Tx, t *ticket, row attemptRow) (Notice, error) {
	n := Notice{PersonID: t.personID, Method: t.method}
	if row.Failures >= maxFailures {
		n.What = MethodBlocked
		t.blockedUntil = tx.Now.Add(blockFor(row.Blocks + 1)).UnixMicro()
	}
	if row.Total == nearTotal && !t.method.outsiders() {
		n.What = MethodNearLock
	}
	if row.Total >= maxTotal && !t.method.outsiders() && t.personID != nobody {
		n.What, t.locked = MethodLocked, 1
	}
	if t.blockedUntil == 0 && t.locked == 0 && n.What == "" {
		return Notice{}, nil
	}
	if t.blockedUntil != 0 || t.locked != 0 {
		if _, err := tx.Exec(`UPDATE sca_attempts SET blocks = blocks + ?, blocked_until = ?, locked = ? WHERE person_id = ? AND method = ?`,
			min(t.blockedUntil, 1), t.blockedUntil, t.locked, t.personID, string(t.method)); err != nil {
			return n, err
		}
	}
	if t.personID == nobody {
		return Notice{}, nil
	}
	if n.Method.outsiders() {
		n.Method = Password // which address is nobody's business
	}
	return s.note(tx, n)
}

// settle gives a ticket back after success, in the transaction that the success
// belongs to. It fails when the method was blocked meanwhile by another try:
// a lock between start and finish counts (CVE-2026-16103).
func (t ticket) settle(tx *store.Tx) error {
	n, err := tx.Exec(`UPDATE sca_attempts SET failures = 0, total = total - 1, blocks = 0, blocked_until = 0, locked = 0
		WHERE person_id = ? AND method = ? AND (locked = 0 OR locked = ?) AND (blocked_until <= ? OR blocked_until = ?)`,
		t.personID, string(t.method), t.locked, tx.Now.UnixMicro(), t.blockedUntil)
	if err == nil && n != 1 {
		return errRefused
	}
	return err
}
