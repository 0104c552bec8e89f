package psd2

import "encoding/json"

// Merchant is a client of the hub: who he is, which keys speak for him, and
// where money and payers may go on his behalf.
type Merchant struct {
	ID          string          `json:"id" yaml:"id"`     // mer_…; also the OAuth client_id
	Name        string          `json:"name" yaml:"name"` // as payers know him
	LegalName   string          `json:"legal_name" yaml:"legal_name"`
	Website     string          `json:"website" yaml:"website"` // host name shown to payers
	Keys        json.RawMessage `json:"keys" yaml:"-"`          // JWKS of his public keys
	Scopes      []string        `json:"scopes" yaml:"scopes"`   // what his tokens may hold
	Accounts    []PayeeAccount  `json:"accounts" yaml:"accounts"`
	ReturnURIs  []string        `json:"return_uris" yaml:"return_uris"` // compared byte by byte
	PayerPolicy Policy          `json:"payer_policy" yaml:"payer_policy"`
	MaxMinor    int64           `json:"max_amount_minor" yaml:"max_amount_minor"` // 0: the scheme's limit
	Gambling    bool            `json:"gambling" yaml:"gambling"`
	Accent      string          `json:"accent,omitempty" yaml:"accent"` // #rrggbb
}

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
