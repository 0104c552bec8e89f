package sca

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
	"github.com/rialto-hub/rialto/psd2/store"
)

// Receipt is what is signed of an authorisation: everything needed to check,
// without asking anybody, that this payer was shown this text and confirmed
// this amount to this payee. Where his bank alone has authenticated him, it is
// what the bank said of it: then nothing was shown here, and Display is empty.
type Receipt struct {
	Version     int       `json:"v"`
	Issuer      string    `json:"iss"`
	PaymentID   string    `json:"payment_id"`
	ChallengeID string    `json:"challenge_id"` // or the attempt's at the bank
	Linked      Linked    `json:"linked"`
	LinkHash    string    `json:"link_hash"` // SHA-256 of the canonical Linked
	Display     Display   `json:"display"`
	DisplayHash string    `json:"display_hash"`
	Method      Method    `json:"method"`
	PerformedBy string    `json:"sca_performed_by"` // "hub", "delegated" where the bank has handed it over, or "aspsp"
	Evidence    Evidence  `json:"evidence"`
	At          time.Time `json:"at"`
}

// Evidence is what the payer's factor left behind; the fields of its method
// are set. A passkey signed SHA-256(nonce ‖ link hash), a device signed the
// text and the link; of a TOTP code only a hash is left, which proves nothing
// to others (it is not bound to the amount by itself, RTS Art. 5).
type Evidence struct {
	ClientData        string          `json:"client_data,omitempty"`
	AuthenticatorData string          `json:"authenticator_data,omitempty"`
	Signature         string          `json:"signature,omitempty"`
	PublicKey         string          `json:"public_key,omitempty"` // COSE
	DeviceAnswer      string          `json:"device_answer,omitempty"`
	DeviceKey         json.RawMessage `json:"device_key,omitempty"` // JWKS
	StepHash          string          `json:"step_hash,omitempty"`
	Bank              *BankEvidence   `json:"bank,omitempty"`
}

// approved notes where an approval came from, and issues its receipt.
func (s *Service) approved(tx *store.Tx, row *challengeRow, doc *challengeDoc, method Method, e Evidence, from netip.Addr) error {
	if _, err := tx.Exec(`UPDATE sca_challenges SET country = ? WHERE id = ?`, s.cameFrom(doc.Country, from), row.ID); err != nil {
		return err
	}
	return s.issue(tx, row, doc, method, e)
}

// issue signs and keeps the receipt of an approval.
func (s *Service) issue(tx *store.Tx, row *challengeRow, doc *challengeDoc, method Method, e Evidence) error {
	if s.signer == nil {
		return nil
	}
	key, err := s.signer(tx.Now)
	if err != nil {
		return fmt.Errorf("sca: receipt: %w", err)
	}
	by := performedByHub
	if doc.Delegated {
		by = psd2.SCAByHub
	}
	r := Receipt{Version: 1, Issuer: s.cfg.Origin, PaymentID: row.PaymentID, ChallengeID: row.ID, Linked: doc.Linked, LinkHash: row.LinkHash,
		Display: doc.Display, DisplayHash: doc.Display.Hash(), Method: method, PerformedBy: by, Evidence: e, At: tx.Now}
	return s.keepReceipt(tx, key, r)
}

// keepReceipt signs a receipt and keeps it, and the key's public half.
func (s *Service) keepReceipt(tx *store.Tx, key *jose.Key, r Receipt) error {
	jws, err := signReceipt(key, r)
	if err != nil {
		return err
	}
	if err := s.keepKey(tx, key); err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO sca_receipts (challenge_id, payment_id, created_at, sealed) VALUES (?, ?, ?, ?)`,
		r.ChallengeID, r.PaymentID, tx.Now.UnixMicro(), s.db.SealShared("sca_receipts", r.ChallengeID, "sealed", []byte(jws)))
	return err
}

// signReceipt makes a compact JWS. It is signed as a detached one and put
// together, so that the profile (alg, kid, iat, nothing else) is the one every
// signature of ours has.
func signReceipt(key *jose.Key, r Receipt) (string, error) {
	payload, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	detached, err := jose.SignDetached(key, payload, r.At)
	if err != nil {
		return "", err
	}
	header, signature, _ := strings.Cut(detached, "..")
	return header + "." + base64.RawURLEncoding.EncodeToString(payload) + "." + signature, nil
}

// keepKey keeps the public half of a key that signs receipts.
func (s *Service) keepKey(tx *store.Tx, key *jose.Key) error {
	var have int
	if err := tx.Get(&have, `SELECT COUNT(*) FROM sca_receipt_keys WHERE kid = ?`, key.ID()); err != nil || have == 1 {
		return err
	}
	private, err := key.MarshalJWK()
	if err != nil {
		return err
	}
	var members map[string]any
	if err := json.Unmarshal(private, &members); err != nil {
		return err
	}
	for _, secret := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		delete(members, secret)
	}
	public, err := json.Marshal(members)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO sca_receipt_keys (kid, jwk, created_at) VALUES (?, ?, ?) ON CONFLICT (kid) DO NOTHING`, key.ID(), string(public), tx.Now.UnixMicro())
	return err
}

// Receipt is a payment's newest receipt, a compact JWS; not found until the
// payer has confirmed it here, or its bank has said that it is authorised.
func (s *Service) Receipt(ctx context.Context, paymentID string) (string, error) {
	var row struct {
		ChallengeID string `db:"challenge_id"`
		Sealed      []byte `db:"sealed"`
	}
	err := s.db.Get(ctx, &row, `SELECT challenge_id, sealed FROM sca_receipts WHERE payment_id = ? ORDER BY created_at DESC LIMIT 1`, paymentID)
	if errors.Is(err, sql.ErrNoRows) {
		return "", psd2.NotFound("receipt")
	}
	if err != nil {
		return "", err
	}
	jws, err := s.db.UnsealShared("sca_receipts", row.ChallengeID, "sealed", row.Sealed)
	return string(jws), err
}

// ReceiptKeys is the JWKS of every key that ever signed a receipt.
func (s *Service) ReceiptKeys(ctx context.Context) ([]byte, error) {
	var keys []string
	if err := s.db.Select(ctx, &keys, `SELECT jwk FROM sca_receipt_keys ORDER BY created_at, kid`); err != nil {
		return nil, err
	}
	return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`), nil
}

// KeyOf picks the key that a receipt names out of a JWKS, which may hold as many
// as there were ever.
func KeyOf(jws string, jwks []byte) (*jose.PublicKeySet, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		return nil, errors.New("the keys are not a JWKS")
	}
	type named struct {
		ID string `json:"kid"`
	}
	var header named
	part, _, _ := strings.Cut(strings.TrimSpace(jws), ".")
	if text, err := base64.RawURLEncoding.DecodeString(part); err != nil || json.Unmarshal(text, &header) != nil {
		return nil, errors.New("a receipt is a compact JWS of three parts")
	}
	for _, raw := range set.Keys {
		var k named
		if json.Unmarshal(raw, &k) == nil && k.ID != "" && k.ID == header.ID {
			return jose.ParseJWKS([]byte(`{"keys":[` + string(raw) + `]}`))
		}
	}
	return nil, errors.New("no key has signed it: its kid is not among them")
}

// VerifyReceipt checks a receipt offline: the signature by one of keys, then
// that link, text and the factor's own signature agree with one another. The
// error says which part does not, in words without values.
func VerifyReceipt(jws string, keys *jose.PublicKeySet) (*Receipt, error) {
	parts := strings.Split(strings.TrimSpace(jws), ".")
	if len(parts) != 3 {
		return nil, errors.New("a receipt is a compact JWS of three parts")
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return nil, errors.New("the payload is not base64url")
	}
	var r Receipt
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, errors.New("the payload is not a receipt")
	}
	if _, err := jose.VerifyDetached(parts[0]+".."+parts[2], keys, payload, r.At); err != nil {
		return nil, fmt.Errorf("the hub's signature: %w", err)
	}
	return &r, r.check()
}

// check holds the parts of a receipt against each other.
func (r *Receipt) check() error {
	hash, err := r.Linked.Hash()
	if err != nil || hash != r.LinkHash || r.Linked.PaymentID != r.PaymentID {
		return errors.New("the link hash is not that of the payment's data")
	}
	if r.Method == AtBank {
		return r.checkBank()
	}
	shown, err := Render(r.Display.Template, r.Display.Language, r.Linked)
	if err != nil || shown != r.Display || shown.Hash() != r.DisplayHash || shown.Template == verifyTemplate {
		return errors.New("the text is not what these data render to")
	}
	if r.PerformedBy != performedByHub && r.PerformedBy != psd2.SCAByHub || r.Evidence.Bank != nil {
		return errPerformer
	}
	switch r.Method {
	case Passkey:
		return r.checkPasskey()
	case Push:
		return r.checkPush()
	case TOTP:
		if b, err := hex.DecodeString(r.Evidence.StepHash); err != nil || len(b) != sha256.Size {
			return errors.New("the evidence of the code is missing")
		}
		return nil
	}
	return errors.New("the method is unknown")
}

func (r *Receipt) checkPasskey() error {
	var raw [4][]byte
	for i, s := range []string{r.Evidence.ClientData, r.Evidence.AuthenticatorData, r.Evidence.Signature, r.Evidence.PublicKey} {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || len(b) == 0 {
			return errors.New("the passkey's evidence is incomplete")
		}
		raw[i] = b
	}
	var client struct {
		Type      string                    `json:"type"`
		Challenge protocol.URLEncodedBase64 `json:"challenge"`
	}
	want, err := passkeyChallenge(r.Linked.Nonce, r.LinkHash)
	if err != nil {
		return err
	}
	if json.Unmarshal(raw[0], &client) != nil || client.Type != string(protocol.AssertCeremony) || !bytes.Equal(client.Challenge, want) {
		return errors.New("the passkey has signed another challenge")
	}
	key, err := webauthncose.ParsePublicKey(raw[3])
	if err != nil {
		return errors.New("the passkey's public key cannot be read")
	}
	sum := sha256.Sum256(raw[0])
	if ok, err := webauthncose.VerifySignature(key, append(bytes.Clone(raw[1]), sum[:]...), raw[2]); err != nil || !ok {
		return errors.New("the passkey's signature does not match")
	}
	if len(raw[1]) < 37 || raw[1][32]&0x05 != 0x05 {
		return errors.New("the passkey has not verified its user")
	}
	return nil
}

func (r *Receipt) checkPush() error {
	keys, err := jose.ParseJWKS(r.Evidence.DeviceKey)
	if err != nil {
		return errors.New("the device's key cannot be read")
	}
	payload, a, err := readPushAnswer(r.Evidence.DeviceAnswer)
	if err != nil || verifyDevice(keys, r.Evidence.DeviceAnswer, payload, r.At) != nil {
		return errors.New("the device's signature does not match")
	}
	if a.Decision != DecideApprove || a.LinkHash != r.LinkHash || a.Text != r.Display.Text || a.TextHash != r.DisplayHash || a.Challenge != r.ChallengeID {
		return errors.New("the device has approved something else")
	}
	return nil
}
