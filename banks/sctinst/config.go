package sctinst

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/psd2"
)

// Config is the profile of one channel. BaseURL, Account and the two key files
// have no usable zero value.
type Config struct {
	// BaseURL is what the paths of the package comment are appended to, e.g.
	// https://h2h.bank.example/customers/4711.
	BaseURL string `yaml:"base_url"`
	// Account is whose account it is, as payees read it.
	Account Account `yaml:"account"`
	// SigningKeyFile holds our private JWK set, ES256; BankKeysFile the bank's
	// public one.
	SigningKeyFile string `yaml:"signing_key_file"`
	BankKeysFile   string `yaml:"bank_keys_file"`
	// TLS is our client certificate and whom we trust.
	TLS courier.TLS `yaml:"tls"`
	// DedupWindow is how long the bank refuses a MsgId or EndToEndId it has seen;
	// 0 is 24 h, the shortest that banks have. Others keep them for 240 h.
	DedupWindow time.Duration `yaml:"dedup_window"`
	// UnknownIsFinal: a bank that answers AG09 to an inquiry refuses the order
	// if it arrives later. Only then does the answer prove anything.
	UnknownIsFinal bool `yaml:"unknown_is_final"`
	// InsecureLoopback allows plain http to a loopback address, for a sandbox
	// on this machine. It allows nothing else.
	InsecureLoopback bool `yaml:"insecure_loopback"`
	// ConnectTimeout bounds TCP and TLS together; 0 is 5 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// Timeout bounds a call whose context has no nearer deadline; 0 is 30 s.
	Timeout time.Duration `yaml:"timeout"`
	// IdleConnections is how many connections are kept alive; 0 is 8.
	IdleConnections int `yaml:"idle_connections"`
}

// Account is the merchant's account.
type Account struct {
	Name string `yaml:"name"` // at most 70 EPC characters
	IBAN string `yaml:"iban"`
	BIC  string `yaml:"bic"` // of the bank that keeps it
}

const defaultDedup = 24 * time.Hour

// check validates the whole Config and says everything that is wrong with it.
func (c Config) check() (base *url.URL, account psd2.Party, err error) {
	base, baseErr := courier.ParseBase(c.BaseURL, c.InsecureLoopback)
	iban, ibanErr := psd2.ParseIBAN(c.Account.IBAN)
	wrong := []error{baseErr}
	if ibanErr != nil {
		wrong = append(wrong, fmt.Errorf("account.iban: %w", ibanErr))
	}
	if !psd2.IsBIC(c.Account.BIC) {
		wrong = append(wrong, errors.New("account.bic is not a BIC"))
	}
	if n := c.Account.Name; strings.TrimSpace(n) == "" || len(n) > 70 || !psd2.IsEPC(n) {
		wrong = append(wrong, errors.New("account.name must have 1 to 70 characters of A-Z, a-z, 0-9, blanks and / - ? : ( ) . , ' +"))
	}
	if c.SigningKeyFile == "" || c.BankKeysFile == "" {
		wrong = append(wrong, errors.New("signing_key_file and bank_keys_file are needed: both sides sign"))
	}
	if c.DedupWindow < 0 || c.ConnectTimeout < 0 || c.Timeout < 0 || c.IdleConnections < 0 {
		wrong = append(wrong, errors.New("times and counts must not be negative"))
	}
	return base, psd2.Party{Name: c.Account.Name, IBAN: iban, BIC: c.Account.BIC}, errors.Join(wrong...)
}
