package sca

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Limits of pushes to one person: against bombing him until he gives in.
const (
	pushLife     = 120 * time.Second
	pushPerShort = 3
	pushShort    = 5 * time.Minute
	pushPerDay   = 10
	pushDay      = 24 * time.Hour
	pushDenials  = 2 // within a day; then push is off until a factor is used to switch it on
)

// Subscription is where a device's push service listens (RFC 8030).
type Subscription struct {
	Endpoint string `json:"endpoint"`
	Auth     string `json:"auth"`
	P256DH   string `json:"p256dh"`
}

// deviceSecret is what is sealed of a push device.
type deviceSecret struct {
	JWK          json.RawMessage `json:"jwk"` // public; kid is its thumbprint
	Subscription *Subscription   `json:"subscription,omitempty"`
}

// Decisions of a device.
const (
	DecideApprove = "approve"
	DecideDecline = "decline"
	DecideNotMe   = "not_me"
)

// PushChallenge is what a device shows. The number is not among it: the person
// reads it on the payment page and types it.
type PushChallenge struct {
	ID        string    `json:"id"`
	Display   Display   `json:"display"`
	LinkHash  string    `json:"link_hash"`
	IssuedAt  int64     `json:"iat"` // Unix seconds, for the answer's header: the device's clock does not matter
	ExpiresAt time.Time `json:"expires_at"`
	Left      int       `json:"left"` // seconds until then, by our clock
	More      bool      `json:"more"` // MorePush would give more
	Again     bool      `json:"again,omitempty"`
}

// pushAnswer is what a device signs: the text it has shown, the link, the
// decision and the number.
type pushAnswer struct {
	Challenge string `json:"challenge"`
	Decision  string `json:"decision"`
	LinkHash  string `json:"link_hash"`
	Number    string `json:"number"`
	Text      string `json:"text"`
	TextHash  string `json:"text_hash"`
}

// StartPush asks the person's push devices. One may be open at a time, three
// within five minutes, ten within a day; the error then is a *psd2.Error with
// CodeRateLimited, and nothing is sent.
func (s *Service) StartPush(ctx context.Context, challengeID, session string) error {
	c, err := s.pushable(ctx, challengeID, session)
	if err != nil {
		return err
	}
	var devices []string
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		devices = nil
		if _, err := tx.Exec(`UPDATE sca_people SET created_at = created_at WHERE id = ?`, c.PersonID); err != nil { // one push at a time is decided
			return err
		}
		if err := s.pushAllowed(tx, c.PersonID); err != nil {
			return err
		}
		if err := tx.Select(&devices, `SELECT id FROM sca_factors WHERE person_id = ? AND kind = 'push' AND state = 'active' ORDER BY used_at DESC, id DESC`, c.PersonID); err != nil {
			return err
		}
		if len(devices) == 0 {
			return errRefused
		}
		expires := min(tx.Now.Add(pushLife).UnixMicro(), c.ExpiresAt.UnixMicro())
		n, err := tx.Exec(`UPDATE sca_challenges SET push_at = ?, push_factor = ?, expires_at = ? WHERE id = ? AND state = 'open' AND push_at = 0 AND `+actor,
			tx.Now.UnixMicro(), devices[0], expires, challengeID, session)
		if err == nil && n != 1 {
			return errGone
		}
		return err
	})
	if err != nil {
		return err
	}
	if s.ping != nil {
		if err := s.ping(ctx, devices[0]); err != nil {
			s.log.WarnContext(ctx, "sca", "what", "ping", "error", err.Error())
		}
	}
	return nil
}

// pushable finds the challenge when its browser may ask a device now.
func (s *Service) pushable(ctx context.Context, id, session string) (Challenge, error) {
	c, err := s.acting(ctx, id, session)
	switch {
	case err != nil:
		return c, err
	case c.State != Open:
		return c, errGone
	case !slices.Contains(c.Methods, Push):
		return c, errRefused
	}
	return c, nil
}

// pushAllowed counts what was sent already.
func (s *Service) pushAllowed(tx *store.Tx, personID string) error {
	now := tx.Now
	counts := struct {
		Open    int `db:"open"`
		Short   int `db:"short"`
		Day     int `db:"day"`
		Denials int `db:"denials"`
	}{}
	err := tx.Get(&counts, `SELECT
		COALESCE(SUM(CASE WHEN state = 'open' AND expires_at > ? THEN 1 ELSE 0 END), 0) AS open,
		COALESCE(SUM(CASE WHEN push_at > ? THEN 1 ELSE 0 END), 0) AS short,
		COALESCE(SUM(1), 0) AS day,
		COALESCE(SUM(CASE WHEN state IN ('declined', 'reported') AND method = 'push' THEN 1 ELSE 0 END), 0) AS denials
		FROM sca_challenges WHERE person_id = ? AND push_at > ?`,
		now.UnixMicro(), now.Add(-pushShort).UnixMicro(), personID, now.Add(-pushDay).UnixMicro())
	if err != nil {
		return err
	}
	if counts.Open > 0 || counts.Short >= pushPerShort || counts.Day >= pushPerDay || counts.Denials >= pushDenials {
		return &psd2.Error{Code: psd2.CodeRateLimited, Reason: "push_limit", Message: "please use another way to confirm", RetryAfter: pushShort}
	}
	return nil
}

// PairDevice makes the one-time token of the QR code that pairs a push device.
func (s *Service) PairDevice(ctx context.Context, by Session) (token string, err error) {
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := s.mayChange(tx, by); err != nil {
			return err
		}
		token, err = s.newLink(tx, link{Purpose: linkPair, PersonID: by.PersonID, SessionHash: by.hash})
		return err
	})
	return token, err
}

// RegisterDevice takes a device's public key (an EC P-256 JWK) and the proof
// that it holds the private one: a JWS over the token. The device counts once
// its person has confirmed the number it shows. secret opens its session.
func (s *Service) RegisterDevice(ctx context.Context, token, name string, jwk []byte, proof string) (secret, number string, err error) {
	if name, err = cleanName(name); err != nil {
		return "", "", err
	}
	keys, thumbprint, set, err := deviceKey(jwk)
	if err != nil {
		return "", "", err
	}
	if err := verifyDevice(keys, proof, []byte("rialto-device:"+token), s.db.Now()); err != nil {
		return "", "", errRefused
	}
	n, err := s.below(100)
	if err != nil {
		return "", "", err
	}
	number = string([]byte{'0' + byte(n/10), '0' + byte(n%10)})
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		l, err := s.useLink(tx, linkPair, token)
		if err != nil {
			return err
		}
		f := &factor{PersonID: l.PersonID, Kind: string(Push), State: factorPending, secret: factorSecret{Name: name, Device: &deviceSecret{JWK: set}}}
		if err := s.insertFactor(tx, f, "jkt:"+thumbprint); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM sca_challenges WHERE person_id = ? AND purpose = 'enrol' AND session_hash = ? AND push_factor <> ''`, l.PersonID, l.SessionHash); err != nil {
			return err
		}
		row := challengeRow{ID: psd2.NewID(prefixChallenge, tx.Now, s.random), PersonID: l.PersonID, Purpose: "enrol", State: string(Open), Session: l.SessionHash,
			CreatedAt: tx.Now.UnixMicro(), ExpiresAt: tx.Now.Add(pushLife).UnixMicro()}
		if err := s.insertChallenge(tx, &row, challengeDoc{Number: number}); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE sca_challenges SET push_factor = ? WHERE id = ?`, f.ID, row.ID); err != nil {
			return err
		}
		secret, err = s.openSession(tx, Session{Kind: SessionDevice, PersonID: l.PersonID, FactorID: f.ID})
		return err
	})
	return secret, number, err
}

// Pairing is a device that waits for its person's confirmation on the page that
// showed the QR code; "" when there is none yet.
func (s *Service) Pairing(ctx context.Context, by Session) (challengeID string, err error) {
	err = s.db.Get(ctx, &challengeID, `SELECT id FROM sca_challenges WHERE person_id = ? AND purpose = 'enrol' AND session_hash = ? AND push_factor <> '' AND state = 'open' AND expires_at > ? ORDER BY id DESC LIMIT 1`,
		by.PersonID, by.hash, s.db.Now().UnixMicro())
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return challengeID, err
}

// ConfirmDevice makes a paired device count when the number it shows was typed
// on the page with the QR code. A wrong one ends the pairing.
func (s *Service) ConfirmDevice(ctx context.Context, by Session, challengeID, number string) error {
	var notice Notice
	wrong := false
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		wrong = false
		if err := s.mayChange(tx, by); err != nil {
			return err
		}
		var row challengeRow
		var doc challengeDoc
		if err := s.loadChallenge(tx, challengeID, &row, &doc); err != nil {
			return err
		}
		if row.Session != by.hash || row.Purpose != "enrol" || row.PushFactor == "" {
			return errRefused
		}
		state := Approved
		if wrong = subtle.ConstantTimeCompare([]byte(number), []byte(doc.Number)) != 1; wrong {
			state = Cancelled
		}
		if err := s.endChallenge(tx, challengeID, state, Push); err != nil {
			return err
		}
		if wrong {
			f, err := s.oneFactor(tx, by.PersonID, row.PushFactor)
			if err != nil {
				return err
			}
			return s.revoke(tx, f)
		}
		n, err := tx.Exec(`UPDATE sca_factors SET state = 'active' WHERE id = ? AND person_id = ? AND state = 'pending'`, row.PushFactor, by.PersonID)
		if err != nil {
			return err
		}
		if n != 1 {
			return errRefused
		}
		if err := s.verified(tx, by, row.PushFactor); err != nil {
			return err
		}
		notice, err = s.note(tx, Notice{PersonID: by.PersonID, What: FactorAdded, Method: Push})
		return err
	})
	if err != nil {
		return err
	}
	s.tell(ctx, notice)
	if wrong {
		return errRefused
	}
	return nil
}

// deviceKid is the kid under which each device's one key is known and signs.
const deviceKid = "device"

// deviceKey reads a device's public JWK.
func deviceKey(jwk []byte) (keys *jose.PublicKeySet, thumbprint string, set json.RawMessage, err error) {
	var k struct {
		Kty string `json:"kty"`
		Crv string `json:"crv"`
		X   string `json:"x"`
		Y   string `json:"y"`
		D   string `json:"d"`
	}
	if json.Unmarshal(jwk, &k) != nil || k.Kty != "EC" || k.Crv != "P-256" || k.D != "" {
		return nil, "", nil, psd2.Invalid("jwk", "jwk_invalid", "the key must be a public EC key on P-256")
	}
	set, err = json.Marshal(map[string]any{"keys": []any{map[string]string{"kty": k.Kty, "crv": k.Crv, "x": k.X, "y": k.Y, "kid": deviceKid, "alg": "ES256", "use": "sig"}}})
	if err != nil {
		return nil, "", nil, err
	}
	if keys, err = jose.ParseJWKS(set); err != nil {
		return nil, "", nil, err
	}
	key, _ := keys.Key(deviceKid)
	return keys, key.Thumbprint(), set, nil
}

// verifyDevice checks a compact JWS by a device over exactly these bytes.
func verifyDevice(keys *jose.PublicKeySet, jws string, payload []byte, now time.Time) error {
	header, rest, ok := strings.Cut(jws, ".")
	body, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || body != base64.RawURLEncoding.EncodeToString(payload) {
		return errors.New("sca: not a JWS over what was asked")
	}
	_, err := jose.VerifyDetached(header+".."+signature, keys, payload, now)
	return err
}

// PushChallenges are the open ones that wait for a device.
func (s *Service) PushChallenges(ctx context.Context, device Session) ([]PushChallenge, error) {
	var rows []challengeRow
	err := s.db.Select(ctx, &rows, challengeColumns+`WHERE person_id = ? AND state = 'open' AND purpose IN ('payment', 'verify') AND push_factor = ? AND expires_at > ? ORDER BY id`,
		device.PersonID, device.FactorID, s.db.Now().UnixMicro())
	if err != nil {
		return nil, err
	}
	list := make([]PushChallenge, 0, len(rows))
	for i := range rows {
		c, err := s.readChallenge(&rows[i])
		if err != nil {
			return nil, err
		}
		list = append(list, PushChallenge{ID: c.ID, Display: c.Display, LinkHash: c.LinkHash, IssuedAt: rows[i].PushAt / 1e6, ExpiresAt: c.ExpiresAt,
			Left: int(c.ExpiresAt.Sub(s.db.Now()) / time.Second), More: c.mayWait(), Again: c.Again})
	}
	return list, nil
}

// Subscribe keeps where a device's push service listens.
func (s *Service) Subscribe(ctx context.Context, device Session, sub Subscription) error {
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		f, err := s.oneFactor(tx, device.PersonID, device.FactorID)
		if err != nil {
			return err
		}
		if f.secret.Device == nil {
			return errRefused
		}
		f.secret.Device.Subscription = &sub
		return s.saveFactor(tx, f)
	})
}

// Unsubscribe forgets where a device listened, unless it has subscribed anew.
func (s *Service) Unsubscribe(ctx context.Context, deviceID string, was Subscription) error {
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		var f factor
		if err := tx.Get(&f, factorColumns+`WHERE id = ? AND kind = 'push'`, deviceID); err != nil {
			return err
		}
		if err := s.openFactor(&f); err != nil {
			return err
		}
		if f.secret.Device == nil || f.secret.Device.Subscription == nil || *f.secret.Device.Subscription != was {
			return nil
		}
		f.secret.Device.Subscription = nil
		return s.saveFactor(tx, &f)
	})
}

// SubscriptionOf is where a device's push service listens; nil when nowhere.
func (s *Service) SubscriptionOf(ctx context.Context, deviceID string) (*Subscription, error) {
	var f factor
	err := s.db.Get(ctx, &f, factorColumns+`WHERE id = ? AND kind = 'push' AND state = 'active'`, deviceID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = s.openFactor(&f)
	}
	if err != nil || f.secret.Device == nil {
		return nil, err
	}
	return f.secret.Device.Subscription, nil
}
