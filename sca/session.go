package sca

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

// Kinds of session.
const (
	SessionEnrol  = "enrol"  // a person at his own factors
	SessionDevice = "device" // a push device; it reads, its key answers
	SessionStaff  = "staff"  // somebody at work
)

// lives of sessions: without use, and in all. Enrolment follows RTS Art.
// 4(3)(d): five minutes.
var lives = map[string]struct{ idle, whole time.Duration }{
	SessionEnrol:  {5 * time.Minute, 30 * time.Minute},
	SessionStaff:  {15 * time.Minute, 8 * time.Hour},
	SessionDevice: {180 * 24 * time.Hour, 5 * 365 * 24 * time.Hour},
}

// Session is an open one. It is in the database, so that every process knows it
// and every process can end it.
type Session struct {
	Kind       string
	PersonID   string
	FactorID   string // of a device's session: the device
	VerifiedAt time.Time
	BeganAt    time.Time
	EndsAt     time.Time // unless it is used again
	// From is where its present request comes from; the caller says so.
	From    netip.Addr
	hash    string
	version int64
}

type sessionRow struct {
	Kind       string `db:"kind"`
	PersonID   string `db:"person_id"`
	FactorID   string `db:"factor_id"`
	Version    int64  `db:"version"`
	BeganAt    int64  `db:"began_at"`
	UsedAt     int64  `db:"used_at"`
	VerifiedAt int64  `db:"verified_at"`
}

// openSession begins one and gives its secret, which only the browser keeps.
func (s *Service) openSession(tx *store.Tx, sess Session) (secret string, err error) {
	if secret, err = s.secret(); err != nil {
		return "", err
	}
	verified := int64(0)
	if !sess.VerifiedAt.IsZero() {
		verified = sess.VerifiedAt.UnixMicro()
	}
	_, err = tx.Exec(`INSERT INTO sca_sessions (token_hash, kind, person_id, factor_id, version, began_at, used_at, verified_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		hashOf(secret), sess.Kind, sess.PersonID, sess.FactorID, sess.version, tx.Now.UnixMicro(), tx.Now.UnixMicro(), verified)
	return secret, err
}

// errNoSession says that there is none, or that it is over.
var errNoSession = errors.New("sca: no session")

// NoSession reports whether err says that a session is missing or over.
func NoSession(err error) bool { return errors.Is(err, errNoSession) }

// touchEvery bounds how often a session's use is written down.
const touchEvery = 15 * time.Second

// Session finds an open session of a kind. touch counts as use: only what a
// person did may, not what a page does by itself.
func (s *Service) Session(ctx context.Context, kind, secret string, touch bool) (Session, error) {
	if secret == "" {
		return Session{}, errNoSession
	}
	return s.byHash(ctx, kind, hashOf(secret), touch)
}

func (s *Service) byHash(ctx context.Context, kind, hash string, touch bool) (Session, error) {
	var row sessionRow
	err := s.db.Get(ctx, &row, `SELECT kind, person_id, factor_id, version, began_at, used_at, verified_at FROM sca_sessions WHERE token_hash = ? AND kind = ?`, hash, kind)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, errNoSession
	}
	if err != nil {
		return Session{}, err
	}
	now, life := s.db.Now(), lives[kind]
	used, began := time.UnixMicro(row.UsedAt), time.UnixMicro(row.BeganAt)
	if now.Sub(used) >= life.idle || now.Sub(began) >= life.whole {
		return Session{}, errors.Join(errNoSession, s.endHash(ctx, hash))
	}
	if touch && now.Sub(used) >= touchEvery {
		used = now
		err = s.db.Tx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE sca_sessions SET used_at = ? WHERE token_hash = ?`, tx.Now.UnixMicro(), hash)
			return err
		})
	}
	sess := Session{Kind: row.Kind, PersonID: row.PersonID, FactorID: row.FactorID, BeganAt: began.UTC(), EndsAt: used.Add(life.idle).UTC(), hash: hash, version: row.Version}
	if end := began.Add(life.whole).UTC(); end.Before(sess.EndsAt) {
		sess.EndsAt = end
	}
	if row.VerifiedAt != 0 {
		sess.VerifiedAt = time.UnixMicro(row.VerifiedAt).UTC()
	}
	return sess, err
}

// End ends the session of a secret, if there is one.
func (s *Service) End(ctx context.Context, secret string) error {
	return s.endHash(ctx, hashOf(secret))
}

func (s *Service) endHash(ctx context.Context, hash string) error {
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM sca_sessions WHERE token_hash = ?`, hash)
		return err
	})
}

// verified notes in a session that its person has just proved himself: with a
// factor he had, or by confirming one he was allowed to add. A session of
// somebody at work keeps the factor he signed in with.
func (s *Service) verified(tx *store.Tx, sess Session, factorID string) error {
	n, err := tx.Exec(`UPDATE sca_sessions SET verified_at = ?, used_at = ?, factor_id = CASE WHEN kind = 'enrol' THEN ? ELSE factor_id END WHERE token_hash = ?`,
		tx.Now.UnixMicro(), tx.Now.UnixMicro(), factorID, sess.hash)
	if err == nil && n != 1 {
		return errRefused
	}
	return err
}

// attemptsKept is how long the count of tries is kept that nobody has made since:
// of passwords per address, where an outsider could make rows without end, and of
// methods at which nothing has failed. A person's other failures count for good.
const attemptsKept = 7 * 24 * time.Hour

// Step deletes what is over: sessions, links, challenges nobody answered, and
// counts of tries that say nothing any more. It does a bounded piece of work.
func (s *Service) Step(ctx context.Context, now time.Time) (next time.Time, err error) {
	more := false
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		const batch = 500
		expired, err := tx.Exec(`UPDATE sca_challenges SET state = 'expired', ended_at = expires_at WHERE id IN
			(SELECT id FROM sca_challenges WHERE state = 'open' AND expires_at <= ? LIMIT ?)`, now.UnixMicro(), batch)
		if err != nil {
			return err
		}
		links, err := tx.Exec(`DELETE FROM sca_links WHERE token_hash IN (SELECT token_hash FROM sca_links WHERE expires_at <= ? LIMIT ?)`, now.UnixMicro(), batch)
		if err != nil {
			return err
		}
		sessions, err := tx.Exec(`DELETE FROM sca_sessions WHERE token_hash IN (SELECT token_hash FROM sca_sessions WHERE kind <> 'device' AND began_at <= ? LIMIT ?)`,
			now.Add(-lives[SessionStaff].whole).UnixMicro(), batch)
		attempts, err2 := tx.Exec(`DELETE FROM sca_attempts WHERE (person_id, method) IN (SELECT person_id, method FROM sca_attempts
			WHERE locked = 0 AND blocked_until <= ? AND tried_at <= ? AND (method LIKE 'password@%' OR failures = 0 AND total = 0) LIMIT ?)`,
			now.UnixMicro(), now.Add(-attemptsKept).UnixMicro(), batch)
		err = errors.Join(err, err2)
		more = expired == batch || links == batch || sessions == batch || attempts == batch
		return err
	})
	if err != nil || !more {
		return now.Add(time.Minute), err
	}
	return now, nil
}

// Refreshed reads an open session again, with what its person has proved
// meanwhile.
func (s *Service) Refreshed(ctx context.Context, sess Session) (Session, error) {
	return s.byHash(ctx, sess.Kind, sess.hash, false)
}
