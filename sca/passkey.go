package sca

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// maxAssertion bounds what a browser sends of a passkey.
const maxAssertion = 32 << 10

// keyHolder is a person as the WebAuthn library wants him.
type keyHolder struct {
	handle      []byte
	name        string
	credentials []webauthn.Credential
}

func (k keyHolder) WebAuthnID() []byte                         { return k.handle }
func (k keyHolder) WebAuthnName() string                       { return k.name }
func (k keyHolder) WebAuthnDisplayName() string                { return k.name }
func (k keyHolder) WebAuthnCredentials() []webauthn.Credential { return k.credentials }

// holder finds a person's passkeys. name is what his authenticator shows.
func (s *Service) holder(ctx context.Context, personID, name string) (keyHolder, error) {
	handle, err := s.handleOf(ctx, personID)
	if err != nil {
		return keyHolder{}, err
	}
	list, err := s.active(ctx, personID)
	k := keyHolder{handle: handle, name: name}
	for _, f := range list {
		if f.secret.Passkey != nil {
			k.credentials = append(k.credentials, *f.secret.Passkey)
		}
	}
	return k, err
}

// Ceremony is a WebAuthn ceremony begun: its id, and the options for the
// browser as JSON (PublicKeyCredential.parse…OptionsFromJSON).
type Ceremony struct {
	ID      string
	Options json.RawMessage
}

// ceremonyDoc is what is kept of one until it ends.
type ceremonyDoc struct {
	Session webauthn.SessionData `json:"session"`
}

// BeginPasskey enrols a passkey. name is what the authenticator shows for the
// account; it stays on the person's device.
func (s *Service) BeginPasskey(ctx context.Context, by Session, name string) (Ceremony, error) {
	k, err := s.holder(ctx, by.PersonID, name)
	if err != nil {
		return Ceremony{}, err
	}
	creation, session, err := s.webauthn.BeginRegistration(k, webauthn.WithExclusions(webauthn.Credentials(k.credentials).CredentialDescriptors()))
	if err != nil {
		return Ceremony{}, err
	}
	options, err := json.Marshal(creation.Response)
	if err != nil {
		return Ceremony{}, err
	}
	c := Ceremony{Options: options}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := s.mayChange(tx, by); err != nil {
			return err
		}
		c.ID, err = s.openCeremony(tx, "enrol", by.PersonID, by.hash, *session)
		return err
	})
	return c, err
}

// openCeremony keeps a ceremony that belongs to no payment.
func (s *Service) openCeremony(tx *store.Tx, purpose, personID, sessionHash string, session webauthn.SessionData) (string, error) {
	row := challengeRow{ID: psd2.NewID(prefixChallenge, tx.Now, s.random), PersonID: personID, Purpose: purpose, State: string(Open),
		Session: sessionHash, CreatedAt: tx.Now.UnixMicro(), ExpiresAt: tx.Now.Add(s.cfg.ChallengeLife).UnixMicro()}
	err := s.insertChallenge(tx, &row, ceremonyDoc{session})
	return row.ID, err
}

// takeCeremony ends a ceremony and gives what was kept. It serves one try, in
// whatever process: the library itself would take the same answer again and
// again. Its challenge is used up with the success.
func (s *Service) takeCeremony(ctx context.Context, id, purpose, sessionHash string) (row challengeRow, doc ceremonyDoc, err error) {
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := s.loadChallenge(tx, id, &row, &doc); err != nil {
			return err
		}
		if row.Purpose != purpose || row.Session != sessionHash || row.State != string(Open) || tx.Now.UnixMicro() >= row.ExpiresAt {
			return errRefused
		}
		return s.endChallenge(tx, id, Approved, Passkey)
	})
	return row, doc, err
}

func (s *Service) consumeChallenge(tx *store.Tx, challenge string) error {
	first, err := tx.Consume("sca.webauthn", challenge, tx.Now.Add(2*s.cfg.ChallengeLife))
	if err == nil && !first {
		return errRefused
	}
	return err
}

// FinishPasskey takes the browser's answer (JSON of the new credential).
func (s *Service) FinishPasskey(ctx context.Context, by Session, ceremonyID string, response []byte, name string) error {
	name, err := cleanName(name)
	if err != nil {
		return err
	}
	_, doc, err := s.takeCeremony(ctx, ceremonyID, "enrol", by.hash)
	if err != nil {
		return err
	}
	parsed, err := parseCreation(response)
	if err != nil {
		return err
	}
	k, err := s.holder(ctx, by.PersonID, "")
	if err != nil {
		return err
	}
	credential, err := s.webauthn.CreateCredential(k, doc.Session, parsed)
	if err != nil {
		return errRefused
	}
	var notice Notice
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := s.mayChange(tx, by); err != nil {
			return err
		}
		if err := s.consumeChallenge(tx, doc.Session.Challenge); err != nil {
			return err
		}
		f := &factor{PersonID: by.PersonID, Kind: string(Passkey), State: factorActive, secret: factorSecret{Name: name, Passkey: credential}}
		if err := s.insertFactor(tx, f, credentialID(credential.ID)); err != nil {
			return err
		}
		if err := s.verified(tx, by, f.ID); err != nil {
			return err
		}
		notice, err = s.note(tx, Notice{PersonID: by.PersonID, What: FactorAdded, Method: Passkey})
		return err
	})
	if err == nil {
		s.tell(ctx, notice)
	}
	return err
}

func parseCreation(response []byte) (*protocol.ParsedCredentialCreationData, error) {
	if len(response) > maxAssertion {
		return nil, errRefused
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return nil, errRefused
	}
	return parsed, nil
}

func credentialID(id []byte) string { return "cred:" + base64.RawURLEncoding.EncodeToString(id) }

// assert verifies an assertion by one of a person's passkeys. What it returns
// is not yet believed: the caller takes it over with useAssertion in the
// transaction of the success.
func (s *Service) assert(k keyHolder, session webauthn.SessionData, response []byte) (*webauthn.Credential, *protocol.ParsedCredentialAssertionData, error) {
	if len(response) > maxAssertion {
		return nil, nil, errRefused
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return nil, nil, errRefused
	}
	data := parsed.Response.CollectedClientData
	// The library checks these too. They are what keeps a page from asking in
	// our name, and a payment assertion (SPC) from passing for a login.
	if data.Type != protocol.AssertCeremony || data.CrossOrigin || data.TopOrigin != "" || len(session.Challenge) == 0 {
		return nil, nil, errRefused
	}
	credential, err := s.webauthn.ValidateLogin(k, session, parsed)
	if err != nil && s.flipped(k, session, parsed) {
		return nil, parsed, errCloned
	}
	if err != nil || !parsed.Response.AuthenticatorData.Flags.HasUserVerified() {
		return nil, nil, errRefused
	}
	return credential, parsed, nil
}

// errCloned says that a passkey's own signature shows that it may have been
// copied: its counter went back, or what it says of its backups cannot be.
var errCloned = errors.New("sca: the passkey may have been copied")

// flipped reports whether an answer is truly by one of the person's passkeys but
// contradicts what that said of its backups: whether it can be backed up never
// changes, and what cannot be is not (WebAuthn §6.1.3).
func (s *Service) flipped(k keyHolder, session webauthn.SessionData, parsed *protocol.ParsedCredentialAssertionData) bool {
	i := slices.IndexFunc(k.credentials, func(c webauthn.Credential) bool { return bytes.Equal(c.ID, parsed.RawID) })
	flags := parsed.Response.AuthenticatorData.Flags
	if i < 0 || flags.HasBackupEligible() == k.credentials[i].Flags.BackupEligible && (flags.HasBackupEligible() || !flags.HasBackupState()) {
		return false
	}
	c := s.webauthn.Config
	return parsed.Verify(session.Challenge, c.RPID, "", c.RPOrigins, nil, nil, protocol.TopOriginExplicitVerificationMode, false, true, true,
		k.credentials[i].PublicKey, c.Signature) == nil
}

// useAssertion writes the passkey's new counter down. A counter that did not
// grow, compared with what is stored now, means that a copy exists: the
// caller blocks the factor.
func (s *Service) useAssertion(tx *store.Tx, personID string, credential *webauthn.Credential) (*factor, error) {
	var id string
	err := tx.Get(&id, `SELECT id FROM sca_factors WHERE public_id = ? AND person_id = ? AND state = 'active'`, credentialID(credential.ID), personID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errRefused
	}
	if err != nil {
		return nil, err
	}
	f, err := s.oneFactor(tx, personID, id)
	if err != nil {
		return nil, err
	}
	stored, now := f.secret.Passkey.Authenticator.SignCount, credential.Authenticator.SignCount
	if credential.Authenticator.CloneWarning || (stored != 0 || now != 0) && now <= stored {
		return f, errCloned
	}
	if !bytes.Equal(f.secret.Passkey.ID, credential.ID) {
		return nil, errRefused
	}
	f.secret.Passkey = credential
	return f, s.saveFactor(tx, f)
}

// blockCloned takes a passkey out of use and raises the alarm.
func (s *Service) blockCloned(ctx context.Context, f *factor, paymentID string) error {
	var notice Notice
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`UPDATE sca_factors SET state = 'blocked' WHERE id = ? AND state = 'active'`, f.ID)
		notice = Notice{}
		if err != nil || n == 0 {
			return err
		}
		notice, err = s.note(tx, Notice{PersonID: f.PersonID, PaymentID: paymentID, What: FactorCloned, Method: Passkey})
		return err
	})
	s.tell(ctx, notice)
	return err
}
