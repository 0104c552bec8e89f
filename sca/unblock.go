package sca

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Blocked are a person's methods that take no tries now, each with the time at
// which it does again; the zero time when it does not by itself.
func (s *Service) Blocked(ctx context.Context, personID string) (map[Method]time.Time, error) {
	var rows []struct {
		Method string `db:"method"`
		Until  int64  `db:"blocked_until"`
		Locked int64  `db:"locked"`
	}
	err := s.db.Select(ctx, &rows, `SELECT method, blocked_until, locked FROM sca_attempts WHERE person_id = ? AND (locked = 1 OR blocked_until > ?)`,
		personID, s.db.Now().UnixMicro())
	if err != nil {
		return nil, err
	}
	blocked := map[Method]time.Time{}
	for _, r := range rows {
		switch m := Method(r.Method); {
		case m.outsiders():
		case r.Locked == 1:
			blocked[m] = time.Time{}
		default:
			blocked[m] = time.UnixMicro(r.Until).UTC()
		}
	}
	return blocked, nil
}

// Unblock lifts the block or lock of a person's method (RTS Art. 4(4)(c)). The
// session must have proved him just now, and with another method: what was
// guessed at does not lift its own block.
func (s *Service) Unblock(ctx context.Context, by Session, method Method) error {
	var notice Notice
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		notice = Notice{}
		if err := s.mayChange(tx, by); err != nil {
			return err
		}
		with, err := s.provedWith(tx, by)
		if err != nil {
			return err
		}
		if with == "" || with == method {
			return errReauthenticate
		}
		notice, err = s.unblock(tx, by.PersonID, method)
		return err
	})
	if err == nil {
		s.tell(ctx, notice)
	}
	return err
}

// provedWith is the method with which a session has proved its person; "" when
// it never did, or when the factor is gone.
func (s *Service) provedWith(tx *store.Tx, by Session) (Method, error) {
	var kinds []string
	err := tx.Select(&kinds, `SELECT f.kind FROM sca_sessions s JOIN sca_factors f ON f.id = s.factor_id AND f.person_id = s.person_id
		WHERE s.token_hash = ? AND s.verified_at > 0 AND f.state = 'active'`, by.hash)
	if err != nil || len(kinds) == 0 {
		return "", err
	}
	return Method(kinds[0]), nil
}

func (s *Service) unblock(tx *store.Tx, personID string, method Method) (Notice, error) {
	n, err := tx.Exec(`DELETE FROM sca_attempts WHERE person_id = ? AND method = ? AND (locked = 1 OR blocked_until > ?)`,
		personID, string(method), tx.Now.UnixMicro())
	if err != nil || n == 0 {
		return Notice{}, err
	}
	return s.note(tx, Notice{PersonID: personID, What: MethodUnblocked, Method: method})
}

// ResetPayer takes all factors, blocks and sessions from a payer who has lost
// them, so that he pays as somebody without factors does, and may enrol anew
// after a payment from his verified account. Whoever calls it has checked who
// asks. It is not found when there is no such payer.
func (s *Service) ResetPayer(ctx context.Context, personID string) error {
	var notice Notice
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		var known int
		if err := tx.Get(&known, `SELECT COUNT(*) FROM sca_people WHERE id = ? AND kind = 'payer'`, personID); err != nil {
			return err
		}
		if known == 0 {
			return psd2.NotFound("payer")
		}
		if _, err := tx.Exec(`UPDATE sca_challenges SET state = 'cancelled', ended_at = ? WHERE person_id = ? AND state = 'open'`, tx.Now.UnixMicro(), personID); err != nil {
			return err
		}
		var err error
		notice, err = s.reset(tx, personID)
		return err
	})
	if err == nil {
		s.tell(ctx, notice)
	}
	return err
}

// reset takes everything from a person with which he could prove himself.
func (s *Service) reset(tx *store.Tx, personID string) (Notice, error) {
	for _, q := range []string{
		`DELETE FROM sca_factors WHERE person_id = ?`, `DELETE FROM sca_attempts WHERE person_id = ?`,
		`DELETE FROM sca_sessions WHERE person_id = ?`, `DELETE FROM sca_links WHERE person_id = ?`,
	} {
		if _, err := tx.Exec(q, personID); err != nil {
			return Notice{}, err
		}
	}
	return s.note(tx, Notice{PersonID: personID, What: FactorsReset})
}
