package sca

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Method is a kind of factor, and a way to answer.
type Method string

// Methods. Recovery codes and passwords never confirm a payment.
const (
	Passkey  Method = "passkey"
	Push     Method = "push"
	TOTP     Method = "totp"
	Recovery Method = "recovery"
	Password Method = "password"
)

// States of a factor.
const (
	factorPending = "pending" // enrolled, not yet confirmed
	factorActive  = "active"
	factorBlocked = "blocked" // an alarm; only its revocation ends it
	factorRevoked = "revoked"
)

// Prefixes of this package's ids.
const (
	prefixFactor    = "fac"
	prefixChallenge = "chl"
	prefixDecision  = "dec"
	prefixUser      = "usr"
)

// maxFactors is how many a person may have, revoked ones not counted.
const maxFactors = 20

// Factor is one of a person's, as he sees it.
type Factor struct {
	ID        string
	Method    Method
	Name      string
	Blocked   bool
	Left      int // recovery codes not yet used
	Digits    int // of an authenticator app's codes
	CreatedAt time.Time
	UsedAt    *time.Time
}

// factor is the whole of it.
type factor struct {
	ID        string `db:"id"`
	PersonID  string `db:"person_id"`
	Kind      string `db:"kind"`
	State     string `db:"state"`
	LastStep  int64  `db:"last_step"`
	Sealed    []byte `db:"sealed"`
	CreatedAt int64  `db:"created_at"`
	UsedAt    int64  `db:"used_at"`

	secret factorSecret
}

// factorSecret is what is sealed of a factor; the fields of its kind are set.
type factorSecret struct {
	Name     string               `json:"name"`
	TOTP     *totpSecret          `json:"totp,omitempty"`
	Passkey  *webauthn.Credential `json:"passkey,omitempty"`
	Device   *deviceSecret        `json:"device,omitempty"`
	Recovery []string             `json:"recovery,omitempty"` // argon2id by number; "" when used
	Password string               `json:"password,omitempty"` // argon2id
}

const factorColumns = `SELECT id, person_id, kind, state, last_step, sealed, created_at, used_at FROM sca_factors `

// place binds a sealed factor to its owner: moved to another person or another
// factor it does not open.
func (f *factor) place() string { return f.PersonID + "/" + f.ID }

func (s *Service) sealFactor(f *factor) error {
	plain, err := json.Marshal(f.secret)
	if err != nil {
		return err
	}
	f.Sealed = s.db.SealShared("sca_factors", f.place(), "sealed", plain)
	return nil
}

func (s *Service) openFactor(f *factor) error {
	plain, err := s.db.UnsealShared("sca_factors", f.place(), "sealed", f.Sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, &f.secret)
}

func (s *Service) openAll(list []factor) ([]factor, error) {
	for i := range list {
		if err := s.openFactor(&list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// active are a person's usable factors, opened.
func (s *Service) active(ctx context.Context, personID string) ([]factor, error) {
	var list []factor
	if err := s.db.Select(ctx, &list, factorColumns+`WHERE person_id = ? AND state = 'active' ORDER BY created_at, id`, personID); err != nil {
		return nil, err
	}
	return s.openAll(list)
}

// oneFactor reads a factor of a person in a transaction.
func (s *Service) oneFactor(tx *store.Tx, personID, id string) (*factor, error) {
	var f factor
	err := tx.Get(&f, factorColumns+`WHERE id = ? AND person_id = ?`, id, personID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, psd2.NotFound("factor")
	}
	if err != nil {
		return nil, err
	}
	return &f, s.openFactor(&f)
}

// insertFactor adds a factor. publicID, when given, must be nobody's yet.
func (s *Service) insertFactor(tx *store.Tx, f *factor, publicID string) error {
	var count int
	if err := tx.Get(&count, `SELECT COUNT(*) FROM sca_factors WHERE person_id = ? AND state IN ('pending', 'active', 'blocked')`, f.PersonID); err != nil {
		return err
	}
	if count >= maxFactors {
		return psd2.Fail(psd2.CodeConflict, "too_many_factors", "remove a factor before you add another")
	}
	// The first of its kind begins with a clean count: a method that was locked for
	// good is enrolled anew (RTS Art. 4(4)).
	if _, err := tx.Exec(`DELETE FROM sca_attempts WHERE person_id = ? AND method = ?
		AND NOT EXISTS (SELECT 1 FROM sca_factors WHERE person_id = ? AND kind = ? AND state IN ('active', 'blocked'))`, f.PersonID, f.Kind, f.PersonID, f.Kind); err != nil {
		return err
	}
	f.ID, f.CreatedAt = psd2.NewID(prefixFactor, tx.Now, s.random), tx.Now.UnixMicro()
	if err := s.sealFactor(f); err != nil {
		return err
	}
	var public any
	if publicID != "" {
		public = publicID
	}
	n, err := tx.Exec(`INSERT INTO sca_factors (id, person_id, kind, state, public_id, last_step, sealed, created_at, used_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (public_id) DO NOTHING`,
		f.ID, f.PersonID, f.Kind, f.State, public, f.LastStep, f.Sealed, f.CreatedAt)
	if err == nil && n != 1 {
		return psd2.Fail(psd2.CodeConflict, "factor_known", "this authenticator is already in use")
	}
	return err
}

// saveFactor writes a changed secret back and notes the use.
func (s *Service) saveFactor(tx *store.Tx, f *factor) error {
	if err := s.sealFactor(f); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE sca_factors SET sealed = ?, used_at = ? WHERE id = ? AND person_id = ?`, f.Sealed, tx.Now.UnixMicro(), f.ID, f.PersonID)
	return err
}

// Factors are a person's, oldest first.
func (s *Service) Factors(ctx context.Context, personID string) ([]Factor, error) {
	var rows []factor
	if err := s.db.Select(ctx, &rows, factorColumns+`WHERE person_id = ? AND state IN ('active', 'blocked') ORDER BY created_at, id`, personID); err != nil {
		return nil, err
	}
	rows, err := s.openAll(rows)
	list := make([]Factor, len(rows))
	for i, f := range rows {
		list[i] = Factor{ID: f.ID, Method: Method(f.Kind), Name: f.secret.Name, Blocked: f.State == factorBlocked, CreatedAt: time.UnixMicro(f.CreatedAt).UTC()}
		if f.secret.TOTP != nil {
			list[i].Digits = f.secret.TOTP.Digits
		}
		for _, code := range f.secret.Recovery {
			if code != "" {
				list[i].Left++
			}
		}
		if f.UsedAt != 0 {
			at := time.UnixMicro(f.UsedAt).UTC()
			list[i].UsedAt = &at
		}
	}
	return list, err
}

// Methods are the ways in which a person can confirm a payment.
func (s *Service) Methods(ctx context.Context, personID string) ([]Method, error) {
	var kinds []string
	err := s.db.Select(ctx, &kinds, `SELECT kind FROM sca_factors WHERE person_id = ? AND state = 'active'`, personID)
	var list []Method
	for _, m := range []Method{Passkey, Push, TOTP} { // strongest first
		if slices.Contains(kinds, string(m)) {
			list = append(list, m)
		}
	}
	return list, err
}

// Rename gives a factor another name. The session must have proved the person
// just now.
func (s *Service) Rename(ctx context.Context, by Session, factorID, name string) error {
	name, err := cleanName(name)
	if err != nil {
		return err
	}
	return s.change(ctx, by, FactorRenamed, factorID, func(tx *store.Tx, f *factor) error {
		f.secret.Name = name
		if err := s.sealFactor(f); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE sca_factors SET sealed = ? WHERE id = ? AND person_id = ?`, f.Sealed, f.ID, f.PersonID)
		return err
	})
}

// Revoke ends a factor, and every challenge that waits for it.
func (s *Service) Revoke(ctx context.Context, by Session, factorID string) error {
	return s.change(ctx, by, FactorRevoked, factorID, s.revoke)
}

func (s *Service) revoke(tx *store.Tx, f *factor) error {
	f.secret = factorSecret{Name: f.secret.Name} // the secret itself is gone
	if err := s.sealFactor(f); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE sca_factors SET state = 'revoked', sealed = ? WHERE id = ?`, f.Sealed, f.ID); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE sca_challenges SET state = 'cancelled', ended_at = ? WHERE push_factor = ? AND state = 'open'`, tx.Now.UnixMicro(), f.ID); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM sca_sessions WHERE kind = 'device' AND factor_id = ?`, f.ID)
	return err
}

// change applies a change to a person's own factor and tells him.
func (s *Service) change(ctx context.Context, by Session, what, factorID string, fn func(*store.Tx, *factor) error) error {
	var notice Notice
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := s.mayChange(tx, by); err != nil {
			return err
		}
		f, err := s.oneFactor(tx, by.PersonID, factorID)
		if err != nil {
			return err
		}
		if f.State == factorRevoked {
			return psd2.NotFound("factor")
		}
		if err := fn(tx, f); err != nil {
			return err
		}
		notice, err = s.note(tx, Notice{PersonID: by.PersonID, What: what, Method: Method(f.Kind)})
		return err
	})
	if err == nil {
		s.tell(ctx, notice)
	}
	return err
}

// freshness is how long a proof allows changes to one's factors (ASVS 7.5.1).
const freshness = 5 * time.Minute

// errReauthenticate asks for a proof before a change.
var errReauthenticate = psd2.Fail(psd2.CodeForbidden, "reauthenticate", "please confirm with a factor you already have")

// mayChange lets a session change factors: with a fresh proof, or when there is
// no factor yet to prove anything with. A link alone never overrules factors.
func (s *Service) mayChange(tx *store.Tx, by Session) error {
	if by.Kind != SessionEnrol && by.Kind != SessionStaff {
		return errReauthenticate
	}
	if !by.VerifiedAt.IsZero() && tx.Now.Sub(by.VerifiedAt) < freshness {
		return nil
	}
	var count int
	err := tx.Get(&count, `SELECT COUNT(*) FROM sca_factors WHERE person_id = ? AND state IN ('active', 'blocked')`, by.PersonID)
	if err == nil && count > 0 {
		return errReauthenticate
	}
	return err
}

// cleanName takes a name for a factor: 1 to 40 characters that can be seen.
func cleanName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if n := utf8.RuneCountInString(name); n < 1 || n > 40 || oneLine(name) != name {
		return "", psd2.Invalid("name", "name_invalid", "the name must have 1 to 40 ordinary characters")
	}
	return name, nil
}

// ensurePerson makes the row of somebody seen for the first time.
func (s *Service) ensurePerson(tx *store.Tx, id, kind string) error {
	var have int
	if err := tx.Get(&have, `SELECT COUNT(*) FROM sca_people WHERE id = ?`, id); err != nil || have == 1 {
		return err
	}
	handle, err := s.secret()
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO sca_people (id, kind, handle, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`, id, kind, handle, tx.Now.UnixMicro())
	return err
}

// handleOf is a person's WebAuthn user handle: 32 random bytes that say nothing
// about him.
func (s *Service) handleOf(ctx context.Context, personID string) ([]byte, error) {
	var handle string
	if err := s.db.Get(ctx, &handle, `SELECT handle FROM sca_people WHERE id = ?`, personID); err != nil {
		return nil, err
	}
	return base64.RawURLEncoding.DecodeString(handle)
}
