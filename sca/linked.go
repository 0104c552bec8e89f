package sca

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// linkVersion names the set of bound fields; another set is another version.
const linkVersion = 1

// Linked is what a confirmation is bound to (RTS Art. 5(1)): exactly this
// amount for exactly this payee. Changing one byte of it changes the hash, and
// with it every confirmation is void. It is JSON-encoded in receipts.
type Linked struct {
	PaymentID    string     `json:"payment_id"`
	Amount       psd2.Money `json:"amount"`
	CreditorName string     `json:"creditor_name"`
	CreditorIBAN psd2.IBAN  `json:"creditor_iban"`
	DebtorRef    string     `json:"debtor_ref"` // the payment's reference, as the payer's statement will show it
	// Nonce (32 random bytes, base64url) and Expires are the challenge's; a
	// caller leaves them empty.
	Nonce   string `json:"nonce"`
	Expires int64  `json:"exp"` // Unix seconds
}

// Canonical gives the bytes that are hashed: RFC 8785 JSON, so that no text in
// a name can pass for the boundary between two fields.
func (l Linked) Canonical() ([]byte, error) {
	return canonical(map[string]any{
		"v": int64(linkVersion), "payment_id": l.PaymentID,
		"amount_minor": l.Amount.AmountMinor, "currency": l.Amount.Currency,
		"creditor_name": l.CreditorName, "creditor_iban": string(l.CreditorIBAN),
		"debtor_ref": l.DebtorRef, "nonce": l.Nonce, "exp": l.Expires,
	})
}

// Hash is the link hash: SHA-256 of Canonical in lower-case hex.
func (l Linked) Hash() (string, error) {
	b, err := l.Canonical()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// with gives l the challenge's own nonce and expiry.
func (l Linked) with(nonce string, expires time.Time) Linked {
	l.Nonce, l.Expires = nonce, expires.Unix()
	return l
}

// same reports whether other, without nonce and expiry, hashes like l: whether
// nothing a payer has confirmed was changed since.
func (l Linked) same(hash string, other Linked) bool {
	other.Nonce, other.Expires = l.Nonce, l.Expires
	got, err := other.Hash()
	return err == nil && subtle.ConstantTimeCompare([]byte(got), []byte(hash)) == 1
}

// passkeyChallenge is SHA-256(nonce ‖ link hash): random, because the nonce is,
// and provable offline for whoever has the link.
func passkeyChallenge(nonce, linkHash string) ([]byte, error) {
	n, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(n) != 32 {
		return nil, errors.New("sca: the nonce must be 32 bytes in base64url")
	}
	h, err := hex.DecodeString(linkHash)
	if err != nil || len(h) != sha256.Size {
		return nil, errors.New("sca: the link hash must be 32 bytes in hex")
	}
	sum := sha256.Sum256(append(n, h...))
	return sum[:], nil
}
