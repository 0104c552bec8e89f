package sca

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// verifyTemplate is the text a device shows when its person wants to change his
// factors.
const verifyTemplate = "v1"

// AskVerify asks a person's push device whether it is he who is at his factors:
// the proof of somebody who has nothing else. The device shows its own text,
// and the number of the page is typed there, as for a payment; it counts
// against the same limits.
func (s *Service) AskVerify(ctx context.Context, by Session, language string) error {
	nonce, err := s.secret()
	if err != nil {
		return err
	}
	n, err := s.below(100)
	if err != nil {
		return err
	}
	doc := challengeDoc{Number: string([]byte{'0' + byte(n/10), '0' + byte(n%10)})}
	device := ""
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE sca_people SET created_at = created_at WHERE id = ?`, by.PersonID); err != nil { // one push at a time is decided
			return err
		}
		if err := s.pushAllowed(tx, by.PersonID); err != nil {
			return err
		}
		err := tx.Get(&device, `SELECT id FROM sca_factors WHERE person_id = ? AND kind = 'push' AND state = 'active' ORDER BY used_at DESC, id DESC LIMIT 1`, by.PersonID)
		if errors.Is(err, sql.ErrNoRows) {
			return errRefused
		}
		if err != nil {
			return err
		}
		expires := tx.Now.Add(pushLife).Truncate(time.Second)
		doc.Linked = Linked{}.with(nonce, tx.Now.Add(max(pushLife, s.cfg.ChallengeLife)).Truncate(time.Second))
		if doc.Display, err = Render(verifyTemplate, language, doc.Linked); err != nil {
			return err
		}
		row := challengeRow{ID: psd2.NewID(prefixChallenge, tx.Now, s.random), PersonID: by.PersonID, Purpose: "verify", State: string(Open), Session: by.hash,
			CreatedAt: tx.Now.UnixMicro(), ExpiresAt: expires.UnixMicro()}
		if row.LinkHash, err = doc.Linked.Hash(); err != nil {
			return err
		}
		if err := s.insertChallenge(tx, &row, doc); err != nil {
			return err
		}
		_, err = tx.Exec(`UPDATE sca_challenges SET push_factor = ?, push_at = ? WHERE id = ?`, device, tx.Now.UnixMicro(), row.ID)
		return err
	})
	if err == nil && s.ping != nil {
		if err := s.ping(ctx, device); err != nil {
			s.log.WarnContext(ctx, "sca", "what", "ping", "error", err.Error())
		}
	}
	return err
}

// Asked is a question of AskVerify.
type Asked struct {
	State     State  // "" when there is none
	Number    string // to be typed on the device while it is open
	ExpiresAt time.Time
	More      bool // MoreVerify would give more time
}

// VerifyAsked is the last question of AskVerify for a session.
func (s *Service) VerifyAsked(ctx context.Context, by Session) (Asked, error) {
	row, err := s.lastVerify(ctx, by)
	if errors.Is(err, errGone) {
		return Asked{}, nil
	}
	if err != nil {
		return Asked{}, err
	}
	c, err := s.readChallenge(&row)
	return Asked{c.State, c.Number, c.ExpiresAt, c.State == Open && c.mayWait()}, err
}

func (s *Service) lastVerify(ctx context.Context, by Session) (row challengeRow, err error) {
	err = s.db.Get(ctx, &row, challengeColumns+`WHERE person_id = ? AND purpose = 'verify' AND session_hash = ? AND push_at > 0 ORDER BY id DESC LIMIT 1`, by.PersonID, by.hash)
	if errors.Is(err, sql.ErrNoRows) {
		err = errGone
	}
	return row, err
}
