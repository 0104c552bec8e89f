package sca

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

// Purposes of one-time links.
const (
	linkEnrol    = "enrol"    // to a person's own factors
	linkPair     = "pair"     // from the desktop's QR code to a push device
	linkHandover = "handover" // a payment page goes on with the phone
)

// QRLife is how long what travels as a QR code works (RFC 10027: an
// unauthenticated channel).
const QRLife = 120 * time.Second

// linkLife by purpose.
var linkLife = map[string]time.Duration{linkEnrol: 15 * time.Minute, linkPair: QRLife, linkHandover: QRLife}

type link struct {
	Purpose     string `db:"purpose"`
	PersonID    string `db:"person_id"`
	ChallengeID string `db:"challenge_id"`
	SessionHash string `db:"session_hash"`
	ExpiresAt   int64  `db:"expires_at"`
}

// newLink makes a one-time token.
func (s *Service) newLink(tx *store.Tx, l link) (token string, err error) {
	if token, err = s.secret(); err != nil {
		return "", err
	}
	_, err = tx.Exec(`INSERT INTO sca_links (token_hash, purpose, person_id, challenge_id, session_hash, expires_at) VALUES (?, ?, ?, ?, ?, ?)`,
		hashOf(token), l.Purpose, l.PersonID, l.ChallengeID, l.SessionHash, tx.Now.Add(linkLife[l.Purpose]).UnixMicro())
	return token, err
}

// useLink uses a token up. Every failure looks the same.
func (s *Service) useLink(tx *store.Tx, purpose, token string) (link, error) {
	var l link
	err := tx.Get(&l, `DELETE FROM sca_links WHERE token_hash = ? AND purpose = ? AND expires_at > ? RETURNING purpose, person_id, challenge_id, session_hash, expires_at`,
		hashOf(token), purpose, tx.Now.UnixMicro())
	if errors.Is(err, sql.ErrNoRows) {
		return l, errRefused
	}
	if err != nil {
		return l, err
	}
	first, err := tx.Consume("sca.link", hashOf(token), tx.Now.Add(linkLife[purpose]))
	if err == nil && !first {
		err = errRefused
	}
	return l, err
}

// EnrolPayer makes a link with which a payer gets to his own factors: to be
// offered after a successful payment, never forced. The first factor may be
// enrolled with the link alone; afterwards a change needs proof by a factor.
func (s *Service) EnrolPayer(ctx context.Context, personID string) (token string, err error) {
	return s.enrolLink(ctx, personID, kindPayer)
}

// Kinds of people.
const (
	kindPayer = "payer"
	kindStaff = "staff"
)

func (s *Service) enrolLink(ctx context.Context, personID, kind string) (token string, err error) {
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := s.ensurePerson(tx, personID, kind); err != nil {
			return err
		}
		token, err = s.newLink(tx, link{Purpose: linkEnrol, PersonID: personID})
		return err
	})
	return token, err
}

// OpenEnrolment trades a link for a session at the person's own factors.
func (s *Service) OpenEnrolment(ctx context.Context, token string) (secret string, err error) {
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		l, err := s.useLink(tx, linkEnrol, token)
		if err != nil {
			return err
		}
		secret, err = s.openSession(tx, Session{Kind: SessionEnrol, PersonID: l.PersonID})
		return err
	})
	return secret, err
}
