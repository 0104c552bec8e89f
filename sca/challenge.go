package sca

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/store"
)

// State is where a challenge is. All but Open are ends, and the first stays.
type State string

// States of a challenge; see the package comment.
const (
	Open      State = "open"
	Approved  State = "approved"
	Declined  State = "declined"
	Reported  State = "reported"
	Cancelled State = "cancelled"
	Expired   State = "expired"
	Void      State = "void"
)

// Challenge is what a page shows and asks.
type Challenge struct {
	ID        string
	PersonID  string
	PaymentID string
	State     State
	Level     Level
	Methods   []Method        // in which it can be answered, strongest first
	Linked    Linked          // what is confirmed
	LinkHash  string          //
	Display   Display         // as shown; frozen
	Number    string          // two digits for the push device, and for both screens of a hand-over
	Options   json.RawMessage // for navigator.credentials.get; nil without passkeys
	Method    Method          // that ended it
	PushSent  bool            // a device was asked
	HandedOn  bool            // a phone answers; the desktop only watches
	Again     bool            // the last confirmation of the payment did not suffice: it came from another country
	Stands    bool            // approved, not yet used for an order, and not too old for one
	CreatedAt time.Time
	ExpiresAt time.Time
}

// challengeRow is the table's row.
type challengeRow struct {
	ID         string `db:"id"`
	PersonID   string `db:"person_id"`
	PaymentID  string `db:"payment_id"`
	Purpose    string `db:"purpose"`
	State      string `db:"state"`
	Level      string `db:"level"`
	LinkHash   string `db:"link_hash"`
	Session    string `db:"session_hash"`
	Phone      string `db:"phone_hash"` // set: it answers, and the session only watches
	Method     string `db:"method"`
	PushFactor string `db:"push_factor"`
	PushAt     int64  `db:"push_at"`
	CreatedAt  int64  `db:"created_at"`
	ExpiresAt  int64  `db:"expires_at"`
	EndedAt    int64  `db:"ended_at"`
	UsedAt     int64  `db:"used_at"`
	Sealed     []byte `db:"sealed"`
}

// acts reports whether a browser may do something with the challenge: the phone
// once it was handed over, else the browser it is bound to. All a desktop may do
// besides watching is to take it back (RFC 10027).
func (r *challengeRow) acts(session string) bool {
	if r.Phone != "" {
		return session == r.Phone
	}
	return session != "" && session == r.Session
}

// actor is the same in SQL, for statements that decide.
const actor = `CASE WHEN phone_hash <> '' THEN phone_hash ELSE session_hash END = ?`

// errHandedOn tells a desktop that the phone goes on.
var errHandedOn = psd2.Fail(psd2.CodeConflict, "sca_handed_on", "the phone goes on with this confirmation; it can be taken back")

// orderWithin is how long after a challenge's end its approval is good for an
// order: enough to read a page and press a button.
func (s *Service) orderWithin() time.Duration { return s.cfg.ChallengeLife }

// stands reports whether an approval is still good for an order.
func (s *Service) stands(r *challengeRow) bool {
	return r.State == string(Approved) && r.UsedAt == 0 && s.db.Now().Before(time.UnixMicro(r.ExpiresAt).Add(s.orderWithin()))
}

// challengeDoc is what is sealed of a payment's challenge.
type challengeDoc struct {
	Linked  Linked               `json:"linked"`
	Display Display              `json:"display"`
	Number  string               `json:"number"`
	Methods []Method             `json:"methods"`
	Session webauthn.SessionData `json:"session"`
	Options json.RawMessage      `json:"options,omitempty"`

	Delegated bool   `json:"delegated,omitempty"`
	Country   string `json:"country,omitempty"` // in which it was asked for, when that is known
	Again     bool   `json:"again,omitempty"`
}

const challengeColumns = `SELECT id, person_id, payment_id, purpose, state, level, link_hash, session_hash, phone_hash, method, push_factor, push_at, created_at, expires_at, ended_at, used_at, sealed FROM sca_challenges `

func (s *Service) insertChallenge(tx *store.Tx, row *challengeRow, doc any) error {
	plain, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO sca_challenges (id, person_id, payment_id, purpose, state, level, link_hash, session_hash, phone_hash, method, push_factor, push_at, created_at, expires_at, ended_at, sealed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', '', '', 0, ?, ?, 0, ?)`,
		row.ID, row.PersonID, row.PaymentID, row.Purpose, row.State, row.Level, row.LinkHash, row.Session, row.CreatedAt, row.ExpiresAt,
		s.db.SealShared("sca_challenges", row.place(), "sealed", plain))
	return err
}

// place ties what is sealed to the row, its person and its payment.
func (r *challengeRow) place() string { return r.ID + "/" + r.PersonID + "/" + r.PaymentID }

func (s *Service) openChallenge(row *challengeRow, doc any) error {
	plain, err := s.db.UnsealShared("sca_challenges", row.place(), "sealed", row.Sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, doc)
}

// loadChallenge reads a challenge in a transaction; there being none looks
// like any refusal.
func (s *Service) loadChallenge(tx *store.Tx, id string, row *challengeRow, doc any) error {
	*row = challengeRow{}
	err := tx.Get(row, challengeColumns+`WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return errRefused
	}
	if err != nil {
		return err
	}
	return s.openChallenge(row, doc)
}

// endChallenge brings an open challenge to its end. Whoever comes second, in
// whatever process, gets errGone.
func (s *Service) endChallenge(tx *store.Tx, id string, state State, method Method) error {
	n, err := tx.Exec(`UPDATE sca_challenges SET state = ?, method = ?, ended_at = ? WHERE id = ? AND state = 'open' AND expires_at > ?`,
		string(state), string(method), tx.Now.UnixMicro(), id, tx.Now.UnixMicro())
	if err == nil && n != 1 {
		return errGone
	}
	return err
}

// BeginRequest asks for a confirmation.
type BeginRequest struct {
	PersonID string // store.PersonID(merchant, player reference)
	Linked   Linked // nonce and expiry are the challenge's own
	Level    Level  // Any, Strong or WithPasskey: what Require said
	Session  string // SessionHash of the browser that may answer
	Language string // "de" or "en"
	// Delegated says that the bank has handed its authentication over to us by
	// contract; the receipt says so too.
	Delegated bool
	From      netip.Addr // of that browser
	Again     bool       // as the requirement has it
	// Keep is the requirement's, for the transaction that opens the challenge; nil
	// when it was kept before.
	Keep func(*store.Tx) error
}

// Begin freezes what is shown and opens the challenge. A person without a
// factor for the level gets a *psd2.Error with reason sca_no_factor. An earlier
// open challenge of the same payment is cancelled.
func (s *Service) Begin(ctx context.Context, r BeginRequest) (Challenge, error) {
	have, err := s.Methods(ctx, r.PersonID)
	if err != nil {
		return Challenge{}, err
	}
	methods := r.Level.allowed(have)
	if len(methods) == 0 {
		return Challenge{}, psd2.Fail(psd2.CodeConflict, "sca_no_factor", "there is no factor with which this can be confirmed")
	}
	doc, row, err := s.prepare(ctx, r, methods)
	if err != nil {
		return Challenge{}, err
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if r.Keep != nil {
			if err := r.Keep(tx); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(`UPDATE sca_challenges SET state = 'cancelled', ended_at = ? WHERE payment_id = ? AND state = 'open'`, tx.Now.UnixMicro(), row.PaymentID); err != nil {
			return err
		}
		return s.insertChallenge(tx, row, doc)
	})
	return challengeOf(row, doc), err
}

// prepare makes the challenge: link, text, number, and the passkey's options.
func (s *Service) prepare(ctx context.Context, r BeginRequest, methods []Method) (*challengeDoc, *challengeRow, error) {
	now := s.db.Now()
	nonce, err := s.secret()
	if err != nil {
		return nil, nil, err
	}
	number, err := s.below(100)
	if err != nil {
		return nil, nil, err
	}
	expires := now.Add(s.cfg.ChallengeLife).Truncate(time.Second)
	doc := &challengeDoc{Linked: r.Linked.with(nonce, expires), Methods: methods, Delegated: r.Delegated, Again: r.Again, Country: s.country(r.From), Number: string([]byte{'0' + byte(number/10), '0' + byte(number%10)})}
	row := &challengeRow{ID: psd2.NewID(prefixChallenge, now, s.random), PersonID: r.PersonID, PaymentID: r.Linked.PaymentID, Purpose: "payment",
		State: string(Open), Level: string(r.Level), Session: r.Session, CreatedAt: now.UnixMicro(), ExpiresAt: expires.UnixMicro()}
	if row.LinkHash, err = doc.Linked.Hash(); err != nil {
		return nil, nil, err
	}
	if doc.Display, err = Render(doc.Linked.template(), r.Language, doc.Linked); err != nil {
		return nil, nil, err
	}
	if slices.Contains(methods, Passkey) {
		err = s.preparePasskey(ctx, doc, row)
	}
	return doc, row, err
}

func (s *Service) preparePasskey(ctx context.Context, doc *challengeDoc, row *challengeRow) error {
	challenge, err := passkeyChallenge(doc.Linked.Nonce, row.LinkHash)
	if err != nil {
		return err
	}
	k, err := s.holder(ctx, row.PersonID, "")
	if err != nil {
		return err
	}
	assertion, session, err := s.webauthn.BeginLogin(k, webauthn.WithChallenge(challenge), webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return err
	}
	doc.Session = *session
	doc.Options, err = json.Marshal(assertion.Response)
	return err
}

func challengeOf(row *challengeRow, doc *challengeDoc) Challenge {
	return Challenge{
		ID: row.ID, PersonID: row.PersonID, PaymentID: row.PaymentID, State: State(row.State), Level: Level(row.Level), Methods: doc.Methods,
		Linked: doc.Linked, LinkHash: row.LinkHash, Display: doc.Display, Number: doc.Number, Options: doc.Options, Method: Method(row.Method),
		PushSent: row.PushAt != 0, HandedOn: row.Phone != "", Again: doc.Again,
		CreatedAt: time.UnixMicro(row.CreatedAt).UTC(), ExpiresAt: time.UnixMicro(row.ExpiresAt).UTC(),
	}
}

// Challenge reads a challenge for the browser that is bound to it, or the phone
// it was handed to.
func (s *Service) Challenge(ctx context.Context, id, session string) (Challenge, error) {
	row, err := s.seen(ctx, id, session)
	if err != nil {
		return Challenge{}, err
	}
	return s.readChallenge(row)
}

func (s *Service) seen(ctx context.Context, id, session string) (*challengeRow, error) {
	var row challengeRow
	err := s.db.Get(ctx, &row, challengeColumns+`WHERE id = ? AND purpose = 'payment'`, id)
	if errors.Is(err, sql.ErrNoRows) || err == nil && session != row.Session && (row.Phone == "" || session != row.Phone) {
		return nil, psd2.NotFound("challenge")
	}
	return &row, err
}

// acting is Challenge for the browser that may do something with it now.
func (s *Service) acting(ctx context.Context, id, session string) (Challenge, error) {
	row, err := s.seen(ctx, id, session)
	if err != nil {
		return Challenge{}, err
	}
	if !row.acts(session) {
		return Challenge{}, errHandedOn
	}
	return s.readChallenge(row)
}

func (s *Service) readChallenge(row *challengeRow) (Challenge, error) {
	var doc challengeDoc
	if err := s.openChallenge(row, &doc); err != nil {
		return Challenge{}, err
	}
	c := challengeOf(row, &doc)
	c.Stands = s.stands(row)
	if c.State == Open && !s.db.Now().Before(c.ExpiresAt) {
		c.State = Expired
	}
	return c, nil
}

// Cancel ends an open challenge for the browser that may act.
func (s *Service) Cancel(ctx context.Context, id, session string) error {
	if _, err := s.acting(ctx, id, session); err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`UPDATE sca_challenges SET state = 'cancelled', ended_at = ? WHERE id = ? AND state = 'open' AND `+actor+` AND purpose = 'payment'`,
			tx.Now.UnixMicro(), id, session)
		if err == nil && n != 1 {
			return errGone
		}
		return err
	})
}

// errVoid says that what was confirmed is not what would be sent.
var errVoid = psd2.Fail(psd2.CodeConflict, "sca_void", "the payment changed after it was confirmed; it must be confirmed again")

// Recheck holds a payment against what its payer has confirmed, in the
// transaction that commits the order to the bank (RTS Art. 5(1)(d)). It fails
// with reason sca_void when anything differs or no confirmation is there; the
// caller must not send the order then, and calls Voided after the rollback.
// Payments for which the policy asked nothing pass. An approval is used up: it is
// good for one order (RTS Art. 4(1)), and another bank needs another one.
func (s *Service) Recheck(tx *store.Tx, paymentID string, now Linked) error {
	d, err := s.decided(tx, paymentID)
	if err != nil || d.Level == None {
		return err
	}
	row, err := s.confirmed(tx, paymentID, d, now)
	if err != nil {
		return err
	}
	first, err := tx.Consume("sca.approval", row.ID, time.UnixMicro(row.ExpiresAt).Add(2*s.orderWithin()))
	if err != nil {
		return err
	}
	if !first {
		return errVoid
	}
	_, err = tx.Exec(`UPDATE sca_challenges SET used_at = ? WHERE id = ?`, tx.Now.UnixMicro(), row.ID)
	return err
}

// Confirmed is Recheck by a decision that is not yet kept; it uses nothing up.
func (s *Service) Confirmed(tx *store.Tx, paymentID string, d Decision, now Linked) error {
	if d.Level == None {
		return nil
	}
	_, err := s.confirmed(tx, paymentID, d, now)
	return err
}

// confirmed is the approval that stands for a payment as it is now.
func (s *Service) confirmed(tx *store.Tx, paymentID string, d Decision, now Linked) (*challengeRow, error) {
	row, doc, err := s.approval(tx, paymentID, 0)
	if err != nil {
		return nil, err
	}
	if row == nil || !s.stands(row) || !slices.Contains(d.Level.allowed([]Method{Passkey, Push, TOTP}), Method(row.Method)) {
		return nil, errVoid
	}
	if now.PaymentID != paymentID || !doc.Linked.same(row.LinkHash, now) {
		return nil, errVoid
	}
	if d.Again {
		before, doc, err := s.approval(tx, paymentID, 1)
		if err != nil {
			return nil, err
		}
		if before == nil || !s.stands(before) || !doc.Linked.same(before.LinkHash, now) { // used for an order that is over, or of another amount
			return nil, errVoid
		}
	}
	return row, nil
}

// approval is a payment's last confirmation, or one of those before it; nil when
// there is none.
func (s *Service) approval(tx *store.Tx, paymentID string, before int) (*challengeRow, *challengeDoc, error) {
	var row challengeRow
	err := tx.Get(&row, challengeColumns+`WHERE payment_id = ? AND purpose = 'payment' AND state = 'approved' ORDER BY id DESC LIMIT 1 OFFSET ?`, paymentID, before)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var doc challengeDoc
	return &row, &doc, s.openChallenge(&row, &doc)
}

// Voided ends what was confirmed of a payment that Recheck refused: it has to
// be confirmed anew.
func (s *Service) Voided(ctx context.Context, paymentID string) error {
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE sca_challenges SET state = 'void', ended_at = ? WHERE payment_id = ? AND purpose = 'payment' AND state IN ('open', 'approved') AND used_at = 0`, tx.Now.UnixMicro(), paymentID)
		return err
	})
}
