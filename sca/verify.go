package sca

import (
	"context"
	"encoding/json"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/rialto-hub/rialto/psd2/store"
)

// A person at his own factors proves himself anew before he changes them
// (ASVS 7.5.1): with a passkey, a code of his app, a recovery code or his push
// device (verifypush.go).

// BeginVerify starts a passkey proof for a session.
func (s *Service) BeginVerify(ctx context.Context, by Session) (Ceremony, error) {
	k, err := s.holder(ctx, by.PersonID, "")
	if err != nil {
		return Ceremony{}, err
	}
	if len(k.credentials) == 0 {
		return Ceremony{}, errRefused
	}
	assertion, session, err := s.webauthn.BeginLogin(k, webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return Ceremony{}, err
	}
	c := Ceremony{}
	if c.Options, err = json.Marshal(assertion.Response); err != nil {
		return c, err
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		c.ID, err = s.openCeremony(tx, "verify", by.PersonID, by.hash, *session)
		return err
	})
	return c, err
}

// VerifyPasskey is the passkey's answer to BeginVerify.
func (s *Service) VerifyPasskey(ctx context.Context, by Session, ceremonyID string, response []byte) error {
	_, doc, err := s.takeCeremony(ctx, ceremonyID, "verify", by.hash)
	if err != nil {
		return err
	}
	return s.prove(ctx, by, Passkey, func() (proof, error) { return s.tryPasskey(ctx, by.PersonID, doc.Session, response) })
}

// VerifyCode proves a person with a code of his app (TOTP) or a recovery code.
func (s *Service) VerifyCode(ctx context.Context, by Session, method Method, code string) error {
	switch method {
	case TOTP:
		return s.prove(ctx, by, TOTP, func() (proof, error) { return s.tryTOTP(ctx, by.PersonID, code) })
	case Recovery:
		return s.prove(ctx, by, Recovery, func() (proof, error) { return s.tryRecovery(ctx, by.PersonID, code) })
	}
	return errRefused
}

// prove counts, compares, and notes the success in the session.
func (s *Service) prove(ctx context.Context, by Session, method Method, try func() (proof, error)) error {
	ticket, p, err := s.attempt(ctx, by.PersonID, method, try)
	if err != nil {
		return s.alarmed(ctx, p, by.PersonID, "", err)
	}
	var notice Notice
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		notice = Notice{}
		if err := s.take(tx, by.PersonID, ticket, &p); err != nil {
			return err
		}
		if method == Recovery {
			if notice, err = s.note(tx, Notice{PersonID: by.PersonID, What: RecoveryUsed, Method: Recovery}); err != nil {
				return err
			}
		}
		return s.verified(tx, by, p.factorID)
	})
	if err != nil {
		return s.alarmed(ctx, p, by.PersonID, "", err)
	}
	s.tell(ctx, notice)
	return nil
}
