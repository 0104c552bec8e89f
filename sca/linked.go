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

// Versions name the set of bound fields: linkShown is what a payer is shown,
// with the shop; linkBare a link without one.
const (
	linkBare  = 1
	linkShown = 2
)

// Shop is where the payer buys, beside who holds the payee's account: somebody
// who was sent another's QR code sees that he knows nothing of it. Both are the
// merchant's registered data.
type Shop struct {
	Name   string `json:"name"`
	Domain string `json:"domain"` // host name
}

// Linked is what a confirmation is bound to (RTS Art. 5(1)): exactly this
// amount for exactly this payee. Changing one byte of it changes the hash, and
// with it every confirmation is void. It is JSON-encoded in receipts.
type Linked struct {
	PaymentID    string     `json:"payment_id"`
	Amount       psd2.Money `json:"amount"`
	CreditorName string     `json:"creditor_name"`
	CreditorIBAN psd2.IBAN  `json:"creditor_iban"`
	DebtorRef    string     `json:"debtor_ref"` // the payment's reference, as the payer's statement will show it
	// Shop is shown and bound, but no part of the order.
	Shop Shop `json:"shop,omitzero"`
	// Nonce (32 random bytes, base64url) and Expires are the challenge's; a
	// caller leaves them empty.
	Nonce   string `json:"nonce"`
	Expires int64  `json:"exp"` // Unix seconds
}

// Canonical gives the bytes that are hashed: RFC 8785 JSON, so that no text in
// a name can pass for the boundary between two fields.
func (l Linked) Canonical() ([]byte, error) {
	fields := map[string]any{
		"v": int64(linkBare), "payment_id": l.PaymentID,
		"amount_minor": l.Amount.AmountMinor, "currency": l.Amount.Currency,
		"creditor_name": l.CreditorName, "creditor_iban": string(l.CreditorIBAN),
		"debtor_ref": l.DebtorRef, "nonce": l.Nonce, "exp": l.Expires,
	}
	if l.Shop != (Shop{}) {
		fields["v"], fields["shop_name"], fields["shop_domain"] = int64(linkShown), l.Shop.Name, l.Shop.Domain
	}
	return canonical(fields)
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

// same reports whether other, without nonce, expiry and shop, hashes like l:
// whether nothing of the order was changed since its payer confirmed it.
func (l Linked) same(hash string, other Linked) bool {
	other.Nonce, other.Expires, other.Shop = l.Nonce, l.Expires, l.Shop
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
