package sca

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strconv"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/rialto-hub/rialto/psd2/store"
)

// Answer is a try at a challenge from the browser it is bound to. Push devices
// answer with AnswerPush.
type Answer struct {
	Session   string // SessionHash of the browser
	Method    Method // Passkey or TOTP
	Code      string // TOTP: exactly its digits
	Assertion []byte // Passkey: the credential as JSON
	From      netip.Addr
}

// Result is a challenge's end.
type Result struct {
	State  State
	Method Method
}

// proof is a successful comparison that is not yet committed.
type proof struct {
	method     Method
	factorID   string
	step       int64 // TOTP
	code       string
	number     int // recovery code
	credential *webauthn.Credential
	parsed     *protocol.ParsedCredentialAssertionData
}

// Answer tries to confirm. Every failure is the same error (Refused), but for
// a challenge that has ended.
func (s *Service) Answer(ctx context.Context, challengeID string, a Answer) (Result, error) {
	row, doc, err := s.answerable(ctx, challengeID, a)
	if err != nil {
		return Result{}, err
	}
	ticket, p, err := s.attempt(ctx, row.PersonID, a.Method, func() (proof, error) {
		if a.Method == Passkey {
			return s.tryPasskey(ctx, row.PersonID, doc.Session, a.Assertion)
		}
		return s.tryTOTP(ctx, row.PersonID, a.Code)
	})
	if err != nil {
		return Result{}, s.alarmed(ctx, p, row.PersonID, row.PaymentID, err)
	}
	return s.approve(ctx, challengeID, ticket, p, a.From)
}

// attempt counts a try and then compares: also when the count refuses, for a
// lock must not be told by the time it takes. What it gives is believed in the
// transaction that takes it.
func (s *Service) attempt(ctx context.Context, personID string, method Method, try func() (proof, error)) (ticket, proof, error) {
	t, err := s.raise(ctx, personID, method)
	if err != nil && !Refused(err) {
		return t, proof{}, err
	}
	p, err2 := try()
	if err2 != nil && !Refused(err2) && !errors.Is(err2, errCloned) {
		return t, p, err2
	}
	if err != nil {
		return t, proof{}, err // refused, whatever the comparison says
	}
	return t, p, err2
}

// alarmed takes a passkey out of use whose own signature shows that it may have
// been copied; any other error is given on.
func (s *Service) alarmed(ctx context.Context, p proof, personID, paymentID string, err error) error {
	if !errors.Is(err, errCloned) {
		return err
	}
	return errors.Join(errRefused, s.blockCloned(ctx, &factor{ID: p.factorID, PersonID: personID}, paymentID))
}

// answerable finds the challenge when this browser may answer it in this way
// now. Nothing was tried yet, so nothing is counted.
func (s *Service) answerable(ctx context.Context, id string, a Answer) (*challengeRow, *challengeDoc, error) {
	var row challengeRow
	var doc challengeDoc
	err := s.db.Tx(ctx, func(tx *store.Tx) error { return s.loadChallenge(tx, id, &row, &doc) })
	if err != nil {
		return nil, nil, err
	}
	if row.Purpose != "payment" || !row.acts(a.Session) || !slices.Contains(doc.Methods, a.Method) || a.Method == Push {
		return nil, nil, errRefused
	}
	if row.State != string(Open) || s.db.Now().UnixMicro() >= row.ExpiresAt {
		return nil, nil, errGone
	}
	return &row, &doc, nil
}

func (s *Service) tryTOTP(ctx context.Context, personID, code string) (proof, error) {
	list, err := s.active(ctx, personID)
	if err != nil {
		return proof{}, err
	}
	now := s.db.Now()
	if !slices.ContainsFunc(list, func(f factor) bool { return f.secret.TOTP != nil }) {
		nobodysApp.match(code, now, 0) // as much work as for somebody who has one
	}
	p := proof{method: TOTP, code: code}
	for _, f := range list {
		if f.secret.TOTP == nil {
			continue
		}
		if step, ok := f.secret.TOTP.match(code, now, f.LastStep); ok && p.factorID == "" {
			p.factorID, p.step = f.ID, step
		}
	}
	if p.factorID == "" {
		return proof{}, errRefused
	}
	return p, nil
}

func (s *Service) tryPasskey(ctx context.Context, personID string, session webauthn.SessionData, response []byte) (proof, error) {
	k, err := s.holder(ctx, personID, "")
	if err != nil {
		return proof{}, err
	}
	credential, parsed, err := s.assert(k, session, response)
	p := proof{method: Passkey, credential: credential, parsed: parsed}
	if errors.Is(err, errCloned) {
		return s.whoseCopy(ctx, p, personID, parsed)
	}
	return p, err
}

// whoseCopy finds the factor of a passkey that gives itself away as a copy.
func (s *Service) whoseCopy(ctx context.Context, p proof, personID string, parsed *protocol.ParsedCredentialAssertionData) (proof, error) {
	err := s.db.Get(ctx, &p.factorID, `SELECT id FROM sca_factors WHERE public_id = ? AND person_id = ? AND state = 'active'`, credentialID(parsed.RawID), personID)
	if errors.Is(err, sql.ErrNoRows) {
		return p, errRefused
	}
	if err != nil {
		return p, err
	}
	return p, errCloned
}

func (s *Service) tryRecovery(ctx context.Context, personID, code string) (proof, error) {
	list, err := s.active(ctx, personID)
	if err != nil {
		return proof{}, err
	}
	f := only(list, Recovery)
	number, ok := checkRecovery(f, code)
	if !ok {
		return proof{}, errRefused
	}
	return proof{method: Recovery, factorID: f.ID, number: number}, nil
}

// take uses a proof up, in the transaction that believes it.
func (s *Service) take(tx *store.Tx, personID string, t ticket, p *proof) error {
	if err := t.settle(tx); err != nil {
		return err
	}
	switch p.method {
	case Passkey:
		if err := s.consumeChallenge(tx, p.parsed.Response.CollectedClientData.Challenge); err != nil {
			return err
		}
		f, err := s.useAssertion(tx, personID, p.credential)
		if f != nil {
			p.factorID = f.ID
		}
		return err
	case TOTP:
		f, err := s.oneFactor(tx, personID, p.factorID)
		if err != nil {
			return err
		}
		return s.useCode(tx, f, p.step, p.code)
	case Recovery:
		return s.useRecovery(tx, personID, p.factorID, p.number)
	}
	return errRefused
}

// approve commits a success: the proof is used up, the challenge ends, the
// receipt is there. All of it or nothing.
func (s *Service) approve(ctx context.Context, challengeID string, t ticket, p proof, from netip.Addr) (Result, error) {
	var paymentID string
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		var row challengeRow
		var doc challengeDoc
		if err := s.loadChallenge(tx, challengeID, &row, &doc); err != nil {
			return err
		}
		paymentID = row.PaymentID
		if err := s.take(tx, row.PersonID, t, &p); err != nil {
			return err
		}
		if err := s.endChallenge(tx, challengeID, Approved, p.method); err != nil {
			return err
		}
		return s.approved(tx, &row, &doc, p.method, p.evidence(row.LinkHash), from)
	})
	if err != nil {
		return Result{}, s.alarmed(ctx, p, t.personID, paymentID, err)
	}
	return Result{State: Approved, Method: p.method}, nil
}

// evidence is what a receipt keeps of a proof.
func (p *proof) evidence(linkHash string) Evidence {
	switch p.method {
	case Passkey:
		raw := p.parsed.Raw.AssertionResponse
		return Evidence{
			ClientData:        base64.RawURLEncoding.EncodeToString(raw.ClientDataJSON),
			AuthenticatorData: base64.RawURLEncoding.EncodeToString(raw.AuthenticatorData),
			Signature:         base64.RawURLEncoding.EncodeToString(raw.Signature),
			PublicKey:         base64.RawURLEncoding.EncodeToString(p.credential.PublicKey),
		}
	case TOTP:
		sum := sha256.Sum256([]byte(p.factorID + "/" + strconv.FormatInt(p.step, 10) + "/" + linkHash))
		return Evidence{StepHash: hex.EncodeToString(sum[:])}
	}
	return Evidence{}
}
