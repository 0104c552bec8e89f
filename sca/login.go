package sca

import (
	"context"
	"database/sql"
	"errors"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/rialto-hub/rialto/psd2/store"
)

// LoginPasskey is the passkey's answer to BeginLogin. secret opens the session.
func (s *Staff) LoginPasskey(ctx context.Context, browser, ceremonyID string, response []byte) (secret string, u User, err error) {
	_, doc, err := s.takeCeremony(ctx, ceremonyID, "login", browser)
	if err != nil {
		return "", u, err
	}
	if len(response) > maxAssertion {
		return "", u, errRefused
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return "", u, errRefused
	}
	var row staffRow
	err = s.db.Get(ctx, &row, staffColumns+`WHERE active = 1 AND id = (SELECT person_id FROM sca_factors WHERE public_id = ? AND state = 'active')`, credentialID(parsed.RawID))
	if errors.Is(err, sql.ErrNoRows) {
		return "", u, errRefused
	}
	if err != nil {
		return "", u, err
	}
	ticket, p, err := s.attempt(ctx, row.ID, Passkey, func() (proof, error) {
		handle, err := s.handleOf(ctx, row.ID)
		if err != nil {
			return proof{}, err
		}
		doc.Session.UserID = handle // nobody in particular was asked; the signature says who it is
		return s.tryPasskey(ctx, row.ID, doc.Session, response)
	})
	if err != nil {
		return "", u, s.alarmed(ctx, p, row.ID, "", err)
	}
	return s.signIn(ctx, row, ticket, p)
}

// CodeLogin is a sign-in without a passkey: a password or a recovery code, and
// then a code of the authenticator app.
type CodeLogin struct {
	Login    string
	Password string // or a recovery code
	Code     string // TOTP
	Address  string // of the client, as the rate limits name it
}

// LoginCode signs somebody in by two elements. The password's failures count
// per address, those of the app only once the password was right: an outsider
// locks nobody out but himself. Every sign-in counts two tries and makes two
// comparisons, whoever it is and whatever was wrong, and all failures leave by
// one exit.
func (s *Staff) LoginCode(ctx context.Context, l CodeLogin) (secret string, u User, err error) {
	row, known, err := s.find(ctx, l.Login)
	if err != nil {
		return "", u, err
	}
	first, element, err := s.attempt(ctx, row.ID, passwordFrom(s.db.Lookup("sca/address", l.Address)), func() (proof, error) {
		return s.firstElement(ctx, row.ID, l.Password)
	})
	if err != nil && !Refused(err) {
		return "", u, err
	}
	right, whose := known && err == nil, nobody
	if right {
		whose = row.ID
	}
	second, p, err := s.attempt(ctx, whose, TOTP, func() (proof, error) { return s.tryTOTP(ctx, row.ID, l.Code) })
	if err != nil && !Refused(err) {
		return "", u, err
	}
	if err != nil || !right {
		return "", u, errRefused
	}
	return s.signIn(ctx, row, second, p, also{first, element})
}

// find is somebody by his login; who does not exist is somebody nobody knows.
func (s *Staff) find(ctx context.Context, login string) (row staffRow, known bool, err error) {
	err = s.db.Get(ctx, &row, staffColumns+`WHERE login_hash = ? AND active = 1`, s.loginHash(login))
	if errors.Is(err, sql.ErrNoRows) {
		return staffRow{ID: nobody}, false, nil
	}
	return row, err == nil, err
}

// firstElement compares a password and, at the same cost, a recovery code.
func (s *Staff) firstElement(ctx context.Context, personID, given string) (proof, error) {
	if len(given) > maxPassword {
		given = ""
	}
	list, err := s.active(ctx, personID)
	if err != nil {
		return proof{}, err
	}
	hash := ""
	if f := only(list, Password); f != nil {
		hash = f.secret.Password
	}
	right := checkPassword(hash, given)
	recovery := only(list, Recovery)
	number, recovered := checkRecovery(recovery, given)
	switch {
	case right:
		return proof{method: Password}, nil
	case recovered:
		return proof{method: Recovery, factorID: recovery.ID, number: number}, nil
	}
	return proof{}, errRefused
}

// also is another element of the same sign-in.
type also struct {
	ticket ticket
	proof  proof
}

// signIn uses the proofs up and opens the session, all or nothing.
func (s *Staff) signIn(ctx context.Context, row staffRow, t ticket, p proof, more ...also) (secret string, u User, err error) {
	if u, err = s.user(row); err != nil {
		return "", u, err
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := s.take(tx, row.ID, t, &p); err != nil {
			return err
		}
		for _, m := range more {
			if err := m.ticket.settle(tx); err != nil {
				return err
			}
			if m.proof.method == Recovery {
				if err := s.useRecovery(tx, row.ID, m.proof.factorID, m.proof.number); err != nil {
					return err
				}
			}
		}
		var now staffRow // roles may have changed meanwhile
		if err := tx.Get(&now, staffColumns+`WHERE id = ? AND active = 1`, row.ID); err != nil {
			return errRefused
		}
		if s.signedIn != nil {
			if err := s.signedIn(tx, u); err != nil {
				return err
			}
		}
		secret, err = s.openSession(tx, Session{Kind: SessionStaff, PersonID: row.ID, FactorID: p.factorID, VerifiedAt: tx.Now, version: now.Version})
		return err
	})
	if err != nil {
		return "", User{}, s.alarmed(ctx, p, row.ID, "", err)
	}
	return secret, u, nil
}
