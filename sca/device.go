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

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Device is how familiar the payer's browser is: from a first-party cookie and
// a key the browser keeps and cannot give away. Nothing is read from the device
// that would tell it from others (EDPB Guidelines 2/2023), and nothing here is
// ever a factor.
type Device struct {
	Known    bool `json:"known"`    // he has paid from it before, and it is bound
	Bound    bool `json:"bound"`    // it proved that the cookie was not copied
	Days     int  `json:"days"`     // since the first time
	Payments int  `json:"payments"` // from it
}

// deviceProof is what a browser's key signs: the hash of its cookie.
func deviceProof(secretHash string) []byte { return []byte("rialto-known:" + secretHash) }

// KnownCookie names the cookie that marks a browser. Its value is a secret that
// says nothing.
const KnownCookie = "__Host-rs_known"

// NewDeviceSecret makes the cookie's value for a browser that has none.
func (s *Service) NewDeviceSecret() (string, error) { return s.secret() }

// Recognise says how familiar a browser is to a person. proof is a JWS by the
// browser's own key over "rialto-known:" and the SessionHash of the secret; ""
// when it has none. Without the key that was seen first a browser is unknown:
// its cookie was copied.
func (s *Service) Recognise(ctx context.Context, personID, secret, proof string) (Device, error) {
	if secret == "" {
		return Device{}, nil
	}
	var row struct {
		Thumbprint string `db:"thumbprint"`
		FirstAt    int64  `db:"first_at"`
		Payments   int    `db:"payments"`
	}
	err := s.db.Get(ctx, &row, `SELECT thumbprint, first_at, payments FROM sca_devices WHERE device_hash = ? AND person_id = ?`, hashOf(secret), personID)
	if errors.Is(err, sql.ErrNoRows) {
		return Device{}, nil
	}
	if err != nil {
		return Device{}, err
	}
	d := Device{Days: int(s.db.Now().Sub(time.UnixMicro(row.FirstAt)) / (24 * time.Hour)), Payments: row.Payments}
	d.Bound = s.proven(secret, proof) == row.Thumbprint
	d.Known = d.Bound && row.Payments > 0
	return d, nil
}

// splitProof reads "JWK.JWS", the JWK in base64url: browser keys are not kept
// as keys, only their thumbprints are.
func splitProof(proof string) (jwk []byte, jws string, err error) {
	for i := range len(proof) {
		if proof[i] == '.' {
			jwk, err = base64.RawURLEncoding.DecodeString(proof[:i])
			return jwk, proof[i+1:], err
		}
	}
	return nil, "", errors.New("sca: no proof")
}

// Meet is called when a person consents from a browser. The first proof that
// comes binds the browser's key to the cookie for good; without one the browser
// stays a stranger. It is false when the cookie is bound to a key that did not
// sign: it was copied, and the browser gets another one.
func (s *Service) Meet(ctx context.Context, personID, secret, proof string) (genuine bool, err error) {
	if secret == "" {
		return false, nil
	}
	thumbprint := s.proven(secret, proof)
	if thumbprint == "" {
		bound, err := s.met(ctx, personID, secret)
		return !bound, err
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`INSERT INTO sca_devices (device_hash, person_id, thumbprint, first_at, last_at, payments) VALUES (?, ?, ?, ?, ?, 0)
			ON CONFLICT (device_hash, person_id) DO UPDATE SET last_at = excluded.last_at WHERE sca_devices.thumbprint = excluded.thumbprint`,
			hashOf(secret), personID, thumbprint, tx.Now.UnixMicro(), tx.Now.UnixMicro())
		genuine = n == 1
		return err
	})
	return genuine, err
}

// met reports whether a browser has shown its key to be this person's before.
func (s *Service) met(ctx context.Context, personID, secret string) (bool, error) {
	var n int
	err := s.db.Get(ctx, &n, `SELECT COUNT(*) FROM sca_devices WHERE device_hash = ? AND person_id = ?`, hashOf(secret), personID)
	return n > 0, err
}

// proven is the thumbprint of the key that signed for a secret; "" when none
// did.
func (s *Service) proven(secret, proof string) string {
	jwk, jws, err := splitProof(proof)
	if err != nil {
		return ""
	}
	keys, thumbprint, _, err := deviceKey(jwk)
	if err != nil || verifyDevice(keys, jws, deviceProof(hashOf(secret)), s.db.Now()) != nil {
		return ""
	}
	return thumbprint
}

// paidKept is how long it is remembered that a payment was counted; the page
// that counts it is long gone by then.
const paidKept = 30 * 24 * time.Hour

// PaidFrom notes, once, that a person's payment succeeded from a browser that
// Meet has met.
func (s *Service) PaidFrom(ctx context.Context, personID, paymentID, secret string) error {
	known, err := s.met(ctx, personID, secret)
	if err != nil || !known {
		return err
	}
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		first, err := tx.Consume("sca_paid", paymentID, tx.Now.Add(paidKept))
		if err != nil || !first {
			return err
		}
		_, err = tx.Exec(`UPDATE sca_devices SET payments = payments + 1, last_at = ? WHERE device_hash = ? AND person_id = ?`,
			tx.Now.UnixMicro(), hashOf(secret), personID)
		return err
	})
}

// Behaviour is what a page may say, with the payer's consent, of how it was
// used: coarse buckets made in the browser, no measurements. It raises or
// lowers risk a little and never counts as inherence (EBA-Op-2019-06).
type Behaviour struct {
	Typing  string `json:"typing"`  // "steady", "uneven" or "none"
	Paste   string `json:"paste"`   // "none", "some" or "all" of the fields
	Pointer string `json:"pointer"` // "moved", "jumped", "touch" or "none"
}

var behaviours = struct{ typing, paste, pointer []string }{
	[]string{"steady", "uneven", "none"}, []string{"none", "some", "all"}, []string{"moved", "jumped", "touch", "none"},
}

// Check refuses what is not one of the buckets.
func (b Behaviour) Check() error {
	if !slices.Contains(behaviours.typing, b.Typing) || !slices.Contains(behaviours.paste, b.Paste) || !slices.Contains(behaviours.pointer, b.Pointer) {
		return psd2.Invalid("behaviour", "behaviour_invalid", "the buckets are unknown")
	}
	return nil
}

// readBehaviour reads what a page's script has put into its form; anything
// else is a payer who did not agree.
func readBehaviour(text string) Behaviour {
	var b Behaviour
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if len(text) > 200 || d.Decode(&b) != nil || b.Check() != nil {
		return Behaviour{}
	}
	return b
}

// Points is what the buckets add to a risk score: at most ten either way. The
// zero value, a payer who did not agree, adds nothing.
func (b Behaviour) Points() int {
	points := map[string]int{"steady": -3, "uneven": 2}[b.Typing] + map[string]int{"some": 1, "all": 5}[b.Paste] +
		map[string]int{"moved": -2, "touch": -2, "jumped": 3}[b.Pointer]
	return max(-10, min(10, points))
}
