package sca

import (
	"context"
	"database/sql"
	"errors"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Latest is the newest challenge of a payment for the browser that may answer
// it; not found when it was never asked.
func (s *Service) Latest(ctx context.Context, paymentID, session string) (Challenge, error) {
	var row challengeRow
	err := s.db.Get(ctx, &row, challengeColumns+`WHERE payment_id = ? AND purpose = 'payment' AND session_hash = ? ORDER BY id DESC LIMIT 1`, paymentID, session)
	if errors.Is(err, sql.ErrNoRows) {
		return Challenge{}, psd2.NotFound("challenge")
	}
	if err != nil {
		return Challenge{}, err
	}
	return s.readChallenge(&row)
}

// Renew gives a payer more time (WCAG 2.2.1). The time is part of what is
// confirmed and cannot be moved, so a new challenge takes the place of the old
// one, which ends: same payment, same browser, same phone. It is for an open
// challenge only; the tries it has seen still count.
func (s *Service) Renew(ctx context.Context, id, session string) (Challenge, error) {
	c, err := s.acting(ctx, id, session)
	if err != nil {
		return Challenge{}, err
	}
	var old challengeRow
	var doc challengeDoc
	if err := s.db.Tx(ctx, func(tx *store.Tx) error { return s.loadChallenge(tx, id, &old, &doc) }); err != nil {
		return Challenge{}, err
	}
	next, row, err := s.prepare(ctx, BeginRequest{PersonID: c.PersonID, Linked: c.Linked, Level: c.Level, Session: old.Session,
		Language: c.Display.Language, Delegated: doc.Delegated, Again: doc.Again}, doc.Methods)
	if err != nil {
		return Challenge{}, err
	}
	row.Phone, next.Country = old.Phone, doc.Country // it was not asked for where it is renewed
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		var now challengeRow
		if err := tx.Get(&now, challengeColumns+`WHERE id = ?`, id); err != nil {
			return err
		}
		if now.Phone != old.Phone { // it was handed over, or taken back, meanwhile
			return errHandedOn
		}
		if err := s.endChallenge(tx, id, Cancelled, ""); err != nil {
			return err
		}
		if err := s.insertChallenge(tx, row, next); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE sca_challenges SET phone_hash = ? WHERE id = ?`, row.Phone, row.ID)
		return err
	})
	return challengeOf(row, next), err
}
