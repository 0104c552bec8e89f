package sca

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// AnswerPush takes a device's answer: a compact JWS by the key that was paired,
// over the text that was shown, the link hash, the decision and, to approve,
// the two digits of the payment page. One wrong number ends the challenge.
func (s *Service) AnswerPush(ctx context.Context, device Session, jws string) (Result, error) {
	if device.Kind != SessionDevice || len(jws) > 8<<10 {
		return Result{}, errRefused
	}
	payload, a, err := readPushAnswer(jws)
	if err != nil {
		return Result{}, err
	}
	row, doc, f, err := s.pushAsked(ctx, device, a.Challenge)
	if err != nil {
		return Result{}, err
	}
	ticket, err := s.raise(ctx, device.PersonID, Push)
	if err != nil {
		return Result{}, err
	}
	keys, err := jose.ParseJWKS(f.secret.Device.JWK)
	if err != nil {
		return Result{}, err
	}
	if verifyDevice(keys, jws, payload, s.db.Now()) != nil || !a.fits(row, doc) {
		return Result{}, errRefused
	}
	return s.endPush(ctx, device, row, doc, f, ticket, a, jws)
}

func readPushAnswer(jws string) (payload []byte, a pushAnswer, err error) {
	parts := strings.Split(jws, ".")
	if len(parts) != 3 {
		return nil, a, errRefused
	}
	payload, err = base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &a) != nil {
		return nil, a, errRefused
	}
	return payload, a, nil
}

// pushAsked finds the open challenge that this very device was asked about.
func (s *Service) pushAsked(ctx context.Context, device Session, id string) (*challengeRow, *challengeDoc, *factor, error) {
	var row challengeRow
	var doc challengeDoc
	var f *factor
	err := s.db.Tx(ctx, func(tx *store.Tx) (err error) {
		if err := s.loadChallenge(tx, id, &row, &doc); err != nil {
			return err
		}
		if row.PersonID != device.PersonID || row.PushFactor != device.FactorID || row.Purpose != "payment" && row.Purpose != "verify" {
			return errRefused
		}
		f, err = s.oneFactor(tx, device.PersonID, device.FactorID)
		return err
	})
	if err != nil {
		return nil, nil, nil, err
	}
	if f.State != factorActive || f.secret.Device == nil {
		return nil, nil, nil, errRefused
	}
	if row.State != string(Open) || s.db.Now().UnixMicro() >= row.ExpiresAt {
		return nil, nil, nil, errGone
	}
	return &row, &doc, f, nil
}

// fits reports whether the answer is about this link and this very text.
func (a *pushAnswer) fits(row *challengeRow, doc *challengeDoc) bool {
	same := func(x, y string) bool { return subtle.ConstantTimeCompare([]byte(x), []byte(y)) == 1 }
	return same(a.LinkHash, row.LinkHash) && same(a.Text, doc.Display.Text) && same(a.TextHash, doc.Display.Hash())
}

// endPush ends the challenge as the device decided. The state is the first
// that anybody reached.
func (s *Service) endPush(ctx context.Context, device Session, row *challengeRow, doc *challengeDoc, f *factor, t ticket, a pushAnswer, jws string) (Result, error) {
	r := Result{Method: Push}
	var notices []Notice
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		notices = nil
		switch {
		case a.Decision == DecideDecline:
			r.State = Declined
		case a.Decision == DecideNotMe:
			r.State = Reported
		case a.Decision == DecideApprove && subtle.ConstantTimeCompare([]byte(a.Number), []byte(doc.Number)) == 1:
			r.State = Approved
		case a.Decision == DecideApprove:
			r.State = Cancelled // one wrong number, and no second try
		default:
			return errRefused
		}
		first, err := tx.Consume("sca.push", row.ID, time.UnixMicro(row.ExpiresAt).Add(time.Hour))
		if err != nil {
			return err
		}
		if !first {
			return errGone
		}
		if err := s.endChallenge(tx, row.ID, r.State, Push); err != nil {
			return err
		}
		if r.State != Cancelled { // a wrong number stays counted as a failure
			if err := t.settle(tx); err != nil {
				return err
			}
		}
		if r.State == Approved {
			if err := s.saveFactor(tx, f); err != nil {
				return err
			}
			if row.Purpose == "verify" {
				return s.verified(tx, Session{hash: row.Session}, f.ID)
			}
			return s.approved(tx, row, doc, Push, Evidence{DeviceAnswer: jws, DeviceKey: f.secret.Device.JWK}, device.From)
		}
		notices, err = s.pushRefused(tx, row, r.State)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	s.tell(ctx, notices...)
	return r, nil
}

// pushRefused tells of a report, and of push having been switched off.
func (s *Service) pushRefused(tx *store.Tx, row *challengeRow, state State) ([]Notice, error) {
	var list []Notice
	if state == Reported {
		n, err := s.note(tx, Notice{PersonID: row.PersonID, PaymentID: row.PaymentID, What: NotMe, Method: Push})
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if row.Purpose == "verify" { // somebody else sits at his factors: out with him
			if err := s.shutOut(tx, row); err != nil {
				return nil, err
			}
		}
	}
	var denials int
	err := tx.Get(&denials, `SELECT COUNT(*) FROM sca_challenges WHERE person_id = ? AND push_at > ? AND method = 'push' AND state IN ('declined', 'reported')`,
		row.PersonID, tx.Now.Add(-pushDay).UnixMicro())
	if err != nil || denials != pushDenials {
		return list, err
	}
	n, err := s.note(tx, Notice{PersonID: row.PersonID, What: PushOff, Method: Push})
	return append(list, n), err
}

// shutOut ends the session that asked in a person's name, every other one at his
// factors, and the links that would open another.
func (s *Service) shutOut(tx *store.Tx, row *challengeRow) error {
	if _, err := tx.Exec(`DELETE FROM sca_sessions WHERE token_hash = ? OR person_id = ? AND kind = 'enrol'`, row.Session, row.PersonID); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM sca_links WHERE person_id = ? AND purpose IN ('enrol', 'pair')`, row.PersonID)
	return err
}
