package sca

import (
	"context"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

// A question to a push device lives for two minutes. Who needs longer may ask
// for it (WCAG 2.2.1), on the device or on the page that asked: again and again
// until the time is over that is part of what is confirmed. After that a new
// question is begun.

// mayWait reports whether a question to a device can be given more time.
func (c Challenge) mayWait() bool { return c.ExpiresAt.Unix() < c.Linked.Expires }

// MorePush gives the question a device was asked another two minutes. It is an
// error when it has ended or cannot wait any longer.
func (s *Service) MorePush(ctx context.Context, device Session, challengeID string) error {
	row, doc, _, err := s.pushAsked(ctx, device, challengeID)
	if err != nil {
		return err
	}
	return s.wait(ctx, row, doc)
}

// MoreVerify is MorePush for the session that asked with AskVerify.
func (s *Service) MoreVerify(ctx context.Context, by Session) error {
	row, err := s.lastVerify(ctx, by)
	if err != nil {
		return err
	}
	var doc challengeDoc
	if err := s.openChallenge(&row, &doc); err != nil {
		return err
	}
	return s.wait(ctx, &row, &doc)
}

func (s *Service) wait(ctx context.Context, row *challengeRow, doc *challengeDoc) error {
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		until := min(tx.Now.Add(pushLife).UnixMicro(), time.Unix(doc.Linked.Expires, 0).UnixMicro())
		n, err := tx.Exec(`UPDATE sca_challenges SET expires_at = ? WHERE id = ? AND state = 'open' AND expires_at > ? AND expires_at < ?`,
			until, row.ID, tx.Now.UnixMicro(), until)
		if err == nil && n != 1 {
			return errGone
		}
		return err
	})
}
