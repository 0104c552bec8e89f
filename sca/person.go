package sca

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rialto-hub/rialto/psd2/store"
)

// Forget erases a person in the transaction of whoever has decided that nothing
// obliges to keep him: factors, sessions, browsers, what was shown to him and
// his receipts. Receipts that others hold verify as before: the keys stay. So do
// the amounts that fraud rates are made of, which no longer say whose they are,
// and the policy's decisions, which never did.
func (s *Service) Forget(tx *store.Tx, personID string) error {
	for _, q := range []string{
		`DELETE FROM sca_staff WHERE id = ?`,
		`DELETE FROM sca_factors WHERE person_id = ?`,
		`DELETE FROM sca_attempts WHERE person_id = ?`,
		`DELETE FROM sca_sessions WHERE person_id = ?`,
		`DELETE FROM sca_links WHERE person_id = ?`,
		`DELETE FROM sca_devices WHERE person_id = ?`,
		`DELETE FROM sca_trusted WHERE person_id = ?`,
		`DELETE FROM sca_accounts WHERE person_id = ?`,
		`DELETE FROM sca_changes WHERE person_id = ?`,
		`DELETE FROM sca_receipts WHERE challenge_id IN (SELECT id FROM sca_challenges WHERE person_id = ?)`,
		`DELETE FROM sca_receipts WHERE payment_id IN (SELECT id FROM payments WHERE person_id = ?)`,
		`DELETE FROM sca_challenges WHERE person_id = ?`,
		`UPDATE sca_transfers SET person_id = '', payee_hash = '' WHERE person_id = ?`,
		`DELETE FROM sca_people WHERE id = ?`,
	} {
		if _, err := tx.Exec(q, personID); err != nil {
			return fmt.Errorf("sca: forget: %w", err)
		}
	}
	return nil
}

// PersonData is what is kept of a person here, as he may have it (GDPR Art. 15
// and 20): his factors without their secrets, what happened to them, his
// browsers, and what he was asked to confirm. Why he was asked is not in it: a
// rule he may not know of may be the reason (GwG §47(1)).
type PersonData struct {
	Factors       []PersonFactor       `json:"factors,omitempty"`
	Changes       []PersonChange       `json:"changes,omitempty"`
	Browsers      []PersonBrowser      `json:"browsers,omitempty"`
	TrustedPayees int                  `json:"trusted_payees,omitempty"`
	Confirmations []PersonConfirmation `json:"confirmations,omitempty"`
}

// PersonFactor is one of his factors.
type PersonFactor struct {
	Method Method     `json:"method"`
	Name   string     `json:"name"`
	Added  time.Time  `json:"added_at"`
	Used   *time.Time `json:"used_at,omitempty"`
}

// PersonChange is something that happened to them.
type PersonChange struct {
	What   string    `json:"what"`
	Method Method    `json:"method,omitempty"`
	At     time.Time `json:"at"`
}

// PersonBrowser is a browser he has paid from.
type PersonBrowser struct {
	First    time.Time `json:"first_at"`
	Last     time.Time `json:"last_at"`
	Payments int       `json:"payments"`
}

// PersonConfirmation is a payment that he was asked to confirm.
type PersonConfirmation struct {
	PaymentID string    `json:"payment_id"`
	Text      string    `json:"text"` // as it was shown
	State     State     `json:"state"`
	Method    Method    `json:"method,omitempty"`
	At        time.Time `json:"at"`
}

// maxChanges bounds what of a person's history is given out at once.
const maxChanges = 1000

// PersonData gathers what is kept of a person; an empty one when nothing is.
func (s *Service) PersonData(ctx context.Context, personID string) (*PersonData, error) {
	d := &PersonData{}
	factors, err := s.Factors(ctx, personID)
	for _, f := range factors {
		d.Factors = append(d.Factors, PersonFactor{f.Method, f.Name, f.CreatedAt, f.UsedAt})
	}
	changes, err2 := s.Changes(ctx, personID, maxChanges)
	for _, c := range changes {
		d.Changes = append(d.Changes, PersonChange(c))
	}
	var devices []struct {
		First    int64 `db:"first_at"`
		Last     int64 `db:"last_at"`
		Payments int   `db:"payments"`
	}
	err = errors.Join(err, err2,
		s.db.Select(ctx, &devices, `SELECT first_at, last_at, payments FROM sca_devices WHERE person_id = ? ORDER BY first_at`, personID),
		s.db.Get(ctx, &d.TrustedPayees, `SELECT COUNT(*) FROM sca_trusted WHERE person_id = ?`, personID))
	for _, b := range devices {
		d.Browsers = append(d.Browsers, PersonBrowser{time.UnixMicro(b.First).UTC(), time.UnixMicro(b.Last).UTC(), b.Payments})
	}
	if err == nil {
		d.Confirmations, err = s.confirmations(ctx, personID)
	}
	if err != nil {
		return nil, fmt.Errorf("sca: person data: %w", err)
	}
	return d, nil
}

func (s *Service) confirmations(ctx context.Context, personID string) ([]PersonConfirmation, error) {
	var rows []challengeRow
	if err := s.db.Select(ctx, &rows, challengeColumns+`WHERE person_id = ? AND purpose = 'payment' ORDER BY id`, personID); err != nil {
		return nil, err
	}
	var list []PersonConfirmation
	for i := range rows {
		c, err := s.readChallenge(&rows[i])
		if err != nil {
			return nil, err
		}
		list = append(list, PersonConfirmation{c.PaymentID, c.Display.Text, c.State, c.Method, c.CreatedAt})
	}
	return list, nil
}
