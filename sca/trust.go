package sca

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Payee is one whom a payer trusts, or may (RTS Art. 13).
type Payee struct {
	ID    string // for Trust (a confirmed payment's challenge) or Distrust
	Name  string
	IBAN  string // masked
	Since time.Time
}

// mayTrustFor is how long after a payment its payee is offered, and offered how
// many payments are looked at for it.
const (
	mayTrustFor = 90 * 24 * time.Hour
	offered     = 20
)

// strongMethods are two elements each (RTS Art. 4).
var strongMethods = Strong.allowed([]Method{Passkey, Push})

// Trusted are the payees on a person's list, newest first, and those he may put
// on it: to whom he has lately confirmed a payment strongly.
func (s *Service) Trusted(ctx context.Context, personID string) (trusted, others []Payee, err error) {
	var rows []struct {
		Hash      string `db:"payee_hash"`
		CreatedAt int64  `db:"created_at"`
		Sealed    []byte `db:"sealed"`
	}
	if err := s.db.Select(ctx, &rows, `SELECT payee_hash, created_at, sealed FROM sca_trusted WHERE person_id = ? ORDER BY created_at DESC, payee_hash`, personID); err != nil {
		return nil, nil, err
	}
	var have []string
	for _, r := range rows {
		p := Payee{ID: r.Hash, Since: time.UnixMicro(r.CreatedAt).UTC()}
		plain, err := s.db.UnsealShared("sca_trusted", personID+"/"+r.Hash, "sealed", r.Sealed)
		if err == nil {
			err = json.Unmarshal(plain, &shownPayee{&p.Name, &p.IBAN})
		}
		if err != nil {
			return nil, nil, err
		}
		have, trusted = append(have, r.Hash), append(trusted, p)
	}
	var paid []challengeRow
	err = s.db.Select(ctx, &paid, challengeColumns+`WHERE person_id = ? AND purpose = 'payment' AND state = 'approved' AND used_at > 0 AND method IN ('passkey', 'push') AND created_at > ? ORDER BY id DESC LIMIT ?`,
		personID, s.db.Now().Add(-mayTrustFor).UnixMicro(), offered)
	for i := 0; err == nil && i < len(paid); i++ {
		var c Challenge
		if c, err = s.readChallenge(&paid[i]); err != nil {
			break
		}
		if hash := s.payee(c.Linked.CreditorIBAN); !slices.Contains(have, hash) {
			have = append(have, hash)
			others = append(others, Payee{ID: c.ID, Name: c.Linked.CreditorName, IBAN: c.Linked.CreditorIBAN.Masked(), Since: c.CreatedAt})
		}
	}
	return trusted, others, err
}

// shownPayee is what is sealed of a payee.
type shownPayee struct {
	Name *string `json:"name"`
	IBAN *string `json:"iban"`
}

// Trust puts the payee of a payment that was confirmed strongly on its payer's
// list. That takes an authentication of its own (Art. 13(1)): the session must
// have proved him just now, with two elements. What he pays to the payee next may
// be exempt at his bank, which alone decides; the hub asks as before.
func (s *Service) Trust(ctx context.Context, by Session, challengeID string) error {
	return s.amend(ctx, by, PayeeTrusted, func(tx *store.Tx) error {
		var row challengeRow
		var doc challengeDoc
		if err := s.loadChallenge(tx, challengeID, &row, &doc); err != nil {
			return err
		}
		if row.PersonID != by.PersonID || row.Purpose != "payment" || row.State != string(Approved) || row.UsedAt == 0 || !slices.Contains(strongMethods, Method(row.Method)) {
			return psd2.NotFound("payee")
		}
		hash, iban := s.payee(doc.Linked.CreditorIBAN), doc.Linked.CreditorIBAN.Masked()
		plain, err := json.Marshal(shownPayee{&doc.Linked.CreditorName, &iban})
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO sca_trusted (person_id, payee_hash, created_at, sealed) VALUES (?, ?, ?, ?) ON CONFLICT (person_id, payee_hash) DO NOTHING`,
			by.PersonID, hash, tx.Now.UnixMicro(), s.db.SealShared("sca_trusted", by.PersonID+"/"+hash, "sealed", plain))
		return err
	})
}

// Distrust takes a payee off the list, which is a change of it like any other.
func (s *Service) Distrust(ctx context.Context, by Session, payeeID string) error {
	return s.amend(ctx, by, PayeeDistrusted, func(tx *store.Tx) error {
		n, err := tx.Exec(`DELETE FROM sca_trusted WHERE person_id = ? AND payee_hash = ?`, by.PersonID, payeeID)
		if err == nil && n == 0 {
			err = psd2.NotFound("payee")
		}
		return err
	})
}

// amend changes a person's list after a fresh and strong proof, and tells him.
func (s *Service) amend(ctx context.Context, by Session, what string, change func(*store.Tx) error) error {
	var notice Notice
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		notice = Notice{}
		if err := s.mayChange(tx, by); err != nil {
			return err
		}
		with, err := s.provedWith(tx, by)
		if err != nil {
			return err
		}
		if !slices.Contains(strongMethods, with) {
			return errReauthenticate
		}
		if err := change(tx); err != nil {
			return err
		}
		notice, err = s.note(tx, Notice{PersonID: by.PersonID, What: what})
		return err
	})
	if err == nil {
		s.tell(ctx, notice)
	}
	return err
}
