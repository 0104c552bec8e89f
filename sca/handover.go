package sca

import (
	"context"

	"github.com/rialto-hub/rialto/psd2/store"
)

// HandOver makes the token of the QR code with which a payer goes on with his
// phone (RFC 10027: one use, 120 seconds, bound to the desktop's session; both
// screens show amount, payee and the same two digits). It is offered, never
// forced.
func (s *Service) HandOver(ctx context.Context, challengeID, session string) (token string, err error) {
	c, err := s.acting(ctx, challengeID, session)
	if err != nil {
		return "", err
	}
	if c.State != Open {
		return "", errGone
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM sca_links WHERE challenge_id = ?`, c.ID); err != nil { // the last code shown is the one that works
			return err
		}
		token, err = s.newLink(tx, link{Purpose: linkHandover, PersonID: c.PersonID, ChallengeID: c.ID, SessionHash: session})
		return err
	})
	return token, err
}

// TakeOver trades the token for the challenge on the phone. From then on the
// desktop only watches; secret is the phone's own.
func (s *Service) TakeOver(ctx context.Context, token string) (challengeID, secret string, err error) {
	if secret, err = s.secret(); err != nil {
		return "", "", err
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		l, err := s.useLink(tx, linkHandover, token)
		if err != nil {
			return err
		}
		n, err := tx.Exec(`UPDATE sca_challenges SET phone_hash = ? WHERE id = ? AND session_hash = ? AND phone_hash = '' AND state = 'open' AND expires_at > ?`,
			hashOf(secret), l.ChallengeID, l.SessionHash, tx.Now.UnixMicro())
		challengeID = l.ChallengeID
		if err == nil && n != 1 {
			return errRefused
		}
		return err
	})
	return challengeID, secret, err
}

// TakeBack gives the challenge back to the desktop.
func (s *Service) TakeBack(ctx context.Context, challengeID, session string) error {
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`UPDATE sca_challenges SET phone_hash = '' WHERE id = ? AND session_hash = ? AND state = 'open'`, challengeID, session)
		if err == nil && n != 1 {
			return errGone
		}
		return err
	})
}
