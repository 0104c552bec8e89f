package psd2

import (
	"encoding/json"
	"time"
)

// Merchant is a client of the hub: who he is, which keys speak for him, and
// where money and payers may go on his behalf.
type Merchant struct {
	ID          string          `json:"id" yaml:"id"`     // mer_…; also the OAuth client_id
	Name        string          `json:"name" yaml:"name"` // as payers know him
	LegalName   string          `json:"legal_name" yaml:"legal_name"`
	Website     string          `json:"website" yaml:"website"` // host name shown to payers
	Keys        json.RawMessage `json:"keys" yaml:"-"`          // JWKS of his public keys
	KeyHistory  KeyHistory      `json:"key_history,omitzero" yaml:"-"`
	Scopes      []string        `json:"scopes" yaml:"scopes"` // what his tokens may hold
	Accounts    []PayeeAccount  `json:"accounts" yaml:"accounts"`
	ReturnURIs  []string        `json:"return_uris" yaml:"return_uris"` // compared byte by byte
	PayerPolicy Policy          `json:"payer_policy" yaml:"payer_policy"`
	SCA         MerchantSCA     `json:"sca,omitempty" yaml:"sca"`
	MaxMinor    int64           `json:"max_amount_minor" yaml:"max_amount_minor"` // 0: the scheme's limit
	Gambling    bool            `json:"gambling" yaml:"gambling"`
	// LowerToLimit lets a payer whose monthly limit leaves less than was asked pay
	// what is left, instead of failing the payment.
	LowerToLimit bool   `json:"lower_to_limit,omitempty" yaml:"lower_to_limit"`
	Accent       string `json:"accent,omitempty" yaml:"accent"` // #rrggbb
}

// KeyHistory is what has become of a merchant's keys since they were registered.
type KeyHistory struct {
	// Registered are the keys that the operator gave last, kid and RFC 7638
	// thumbprint: giving the same again does not undo what the merchant has done since.
	Registered []string `json:"registered"`
	// Ends are when keys that were replaced stop to count, by kid.
	Ends map[string]time.Time `json:"ends,omitempty"`
	// Retired are the RFC 7638 thumbprints of keys that were replaced and are gone:
	// no rollover brings them back.
	Retired []string `json:"retired,omitempty"`
}

// MerchantSCA is what a merchant wants his payers to do at the hub beside their
// bank's own authentication. The policy may ask for more, never for less.
type MerchantSCA string

// Wishes of a merchant.
const (
	SCAByPolicy MerchantSCA = "by_policy" // what the policy asks for, no more
	SCAAlways   MerchantSCA = "always"    // each payment is confirmed, with any factor
	SCAStrong   MerchantSCA = "strong"    // each payment is confirmed with a passkey or the push app
)

// PayeeAccount is an account of a merchant that deposits may go to.
type PayeeAccount struct {
	ID   string `json:"id" yaml:"id"` // acc_…
	Name string `json:"name" yaml:"name"`
	IBAN IBAN   `json:"iban" yaml:"iban"`
	BIC  string `json:"bic,omitempty" yaml:"bic"`
}

// Account finds a payee account of the merchant.
func (m *Merchant) Account(id string) (PayeeAccount, bool) {
	for _, a := range m.Accounts {
		if a.ID == id {
			return a, true
		}
	}
	return PayeeAccount{}, false
}
