package sandbox

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/rialto-hub/rialto/psd2"
)

// Behaviour is what becomes of a customer's payments.
type Behaviour string

// Behaviours. Insufficient funds and another holder's name need none: they
// follow from the balance and the account.
const (
	Settles  Behaviour = "settles"  // executed at once
	Late     Behaviour = "late"     // ACSP, executed by Step after Bank.LateBy
	Silent   Behaviour = "silent"   // executed at once, then the bank's answers are lost for a while
	Declines Behaviour = "declines" // the payer's confirmation counts as a refusal
	Blocked  Behaviour = "blocked"  // the accounts are blocked: RJCT AC06
)

func (b Behaviour) known() bool {
	switch b {
	case Settles, Late, Silent, Declines, Blocked:
		return true
	}
	return false
}

// PSU is a customer of a bank with everything needed to act as him.
type PSU struct {
	Bank       string    `json:"bank"`
	User       string    `json:"user"`
	Password   string    `json:"password"`
	TOTPSecret string    `json:"totp_secret"` // base32; 6 digits, 30 s, SHA-1 (RFC 6238)
	Behaviour  Behaviour `json:"behaviour"`
	Story      string    `json:"story,omitempty"` // of a persona: what happens to his payments
	Accounts   []Account `json:"accounts"`
}

// Account is a customer's account as it was opened.
type Account struct {
	IBAN         string `json:"iban"`
	Holder       string `json:"holder"`
	BalanceMinor int64  `json:"balance_minor"` // when it was opened
}

// personaPassword is the same for all personas: it is printed on the index page.
const personaPassword = "sandbox"

// personas are the customers every bank has from the start. Account numbers
// are fixed, so that an integrator's notes stay true.
var personas = []PSU{
	{User: "anna", Behaviour: Settles, Story: "settles", Accounts: []Account{{Holder: "Anna Beispiel", BalanceMinor: 10_000_000}}},
	{User: "bert", Behaviour: Settles, Story: "two_accounts", Accounts: []Account{{Holder: "Bert Muster", BalanceMinor: 500_000}, {Holder: "Bert Muster", BalanceMinor: 2_500_000}}},
	{User: "clara", Behaviour: Settles, Story: "insufficient_funds", Accounts: []Account{{Holder: "Clara Knapp", BalanceMinor: 5}}},
	{User: "dora", Behaviour: Declines, Story: "declines", Accounts: []Account{{Holder: "Dora Nein", BalanceMinor: 1_000_000}}},
	{User: "emil", Behaviour: Blocked, Story: "blocked", Accounts: []Account{{Holder: "Emil Sperre", BalanceMinor: 1_000_000}}},
	{User: "frieda", Behaviour: Late, Story: "late", Accounts: []Account{{Holder: "Frieda Langsam", BalanceMinor: 1_000_000}}},
	{User: "gustav", Behaviour: Silent, Story: "silent", Accounts: []Account{{Holder: "Gustav Still", BalanceMinor: 1_000_000}}},
	{User: "hanna", Behaviour: Settles, Story: "other_holder", Accounts: []Account{{Holder: "Erika Fremd", BalanceMinor: 1_000_000}}},
}

// personaSecret is public and the same after every restart.
func personaSecret(bank, user string) string {
	sum := sha256.Sum256([]byte("rialto sandbox " + bank + " " + user))
	return encodeSecret(sum[:20])
}

func encodeSecret(raw []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)
}

// Personas returns the bank's personas with their credentials; nil when there
// is no such bank.
func (s *Sandbox) Personas(bankID string) []PSU {
	b := s.banks[bankID]
	if b == nil {
		return nil
	}
	list := make([]PSU, len(personas))
	number := int64(firstPersonaAccount)
	for i, p := range personas {
		p.Bank, p.Password, p.TOTPSecret = b.ID, personaPassword, personaSecret(b.ID, p.User)
		p.Accounts = append([]Account(nil), p.Accounts...)
		for k := range p.Accounts {
			p.Accounts[k].IBAN = makeIBAN(b.BankCode, number)
			number++
		}
		list[i] = p
	}
	return list
}

// Account numbers: 0 is the bank's capital, personas and customers follow.
const (
	firstPersonaAccount  = 1001
	firstCustomerAccount = 1_000_001
)

// seedPersonas opens what is missing of them.
func (s *Sandbox) seedPersonas(t *tx, b *bank) error {
	for _, p := range s.Personas(b.ID) {
		n, err := s.insertPSU(t, p)
		if err != nil || n == 0 {
			if err != nil {
				return err
			}
			continue
		}
		for _, a := range p.Accounts {
			if err := openCustomerAccount(t, b, p, a); err != nil {
				return err
			}
			if err := endow(t, b.Bank, []string{a.IBAN}, a.BalanceMinor, s.now()); err != nil {
				return err
			}
		}
	}
	_, err := t.exec(`INSERT INTO numbers (bank, next) VALUES (?,?) ON CONFLICT DO NOTHING`, b.ID, int64(firstCustomerAccount))
	return err
}

func openCustomerAccount(t *tx, b *bank, p PSU, a Account) error {
	return openAccount(t, account{IBAN: a.IBAN, Bank: b.ID, Username: p.User, Holder: a.Holder, Blocked: p.Behaviour == Blocked})
}

func (s *Sandbox) insertPSU(t *tx, p PSU) (int64, error) {
	salt := s.bytes(8)
	return t.exec(`INSERT INTO psus (bank, username, salt, password_hash, totp_secret, behaviour) VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
		p.Bank, p.User, salt, hashPassword(salt, p.Password), p.TOTPSecret, p.Behaviour)
}

// hashPassword is one SHA-256: sandbox passwords are public, and a benchmark
// that measured a slow hash would measure nothing else.
func hashPassword(salt []byte, password string) []byte {
	sum := sha256.Sum256(append(bytes.Clone(salt), password...))
	return sum[:]
}

// newPSUs is what POST /sandbox/{bank}/psus asks for.
type newPSUs struct {
	Count        int       `json:"count"`         // 1 to maxNewPSUs; 0 is 1
	User         string    `json:"user"`          // with a count above 1, the beginning of the names
	Password     string    `json:"password"`      // "" draws one
	Holder       string    `json:"holder"`        // "" is "Probe Kunde"
	BalanceMinor int64     `json:"balance_minor"` // of each
	Behaviour    Behaviour `json:"behaviour"`     // "" is Settles
}

const maxNewPSUs = 10_000

func (n *newPSUs) check() error {
	setDefault(&n.Count, 1)
	setDefault(&n.Holder, "Probe Kunde")
	setDefault(&n.Behaviour, Settles)
	switch {
	case n.Count < 1 || n.Count > maxNewPSUs:
		return psd2.Invalid("count", "count_invalid", "the count must be between 1 and 10000")
	case n.User != "" && (!isSlug(n.User) || len(n.User) > 40):
		return psd2.Invalid("user", "user_invalid", "a user name has small letters, digits, hyphens and dots, at most 40")
	case len(n.Password) > 100:
		return psd2.Invalid("password", "password_invalid", "the password is too long")
	case n.BalanceMinor < 0 || n.BalanceMinor > psd2.MaxSCTInstMinor:
		return psd2.Invalid("balance_minor", "balance_invalid", "the balance must be between 0 and 99999999999 cents")
	case !n.Behaviour.known():
		return psd2.Invalid("behaviour", "behaviour_invalid", "the behaviour is one of settles, late, silent, declines, blocked")
	}
	return psd2.CheckText("holder", n.Holder, 70)
}

// createPSUs opens customers with one account each, all in one transaction.
func (s *Sandbox) createPSUs(b *bank, n newPSUs) ([]PSU, error) {
	if err := n.check(); err != nil {
		return nil, err
	}
	list := make([]PSU, n.Count)
	for i := range list {
		list[i] = PSU{Bank: b.ID, User: n.User, Password: n.Password, TOTPSecret: encodeSecret(s.bytes(20)), Behaviour: n.Behaviour}
		if n.User == "" || n.Count > 1 {
			list[i].User += "psu-" + s.token()[:12]
		}
		if n.Password == "" {
			list[i].Password = s.token()[:16]
		}
	}
	err := s.file.do(func(t *tx) error {
		var next int64
		if err := t.get(&next, `UPDATE numbers SET next = next + ? WHERE bank = ? RETURNING next`, n.Count, b.ID); err != nil {
			return err
		}
		ibans := make([]string, n.Count)
		for i := range list {
			a := Account{IBAN: makeIBAN(b.BankCode, next-int64(n.Count)+int64(i)), Holder: n.Holder, BalanceMinor: n.BalanceMinor}
			inserted, err := s.insertPSU(t, list[i])
			if err != nil {
				return err
			}
			if inserted == 0 {
				return psd2.Fail(psd2.CodeConflict, "user_taken", "there is a customer with this user name")
			}
			if err := openCustomerAccount(t, b, list[i], a); err != nil {
				return err
			}
			list[i].Accounts, ibans[i] = []Account{a}, a.IBAN
		}
		return endow(t, b.Bank, ibans, n.BalanceMinor, s.now())
	})
	return list, err
}

// psuRow is a customer as stored.
type psuRow struct {
	Salt         []byte    `db:"salt"`
	PasswordHash []byte    `db:"password_hash"`
	TOTPSecret   string    `db:"totp_secret"`
	LastStep     int64     `db:"last_step"`
	Behaviour    Behaviour `db:"behaviour"`
}

const psuQuery = `SELECT salt, password_hash, totp_secret, last_step, behaviour FROM psus WHERE bank = ? AND username = ?`

func (p *psuRow) passwordIs(password string) bool {
	return subtle.ConstantTimeCompare(p.PasswordHash, hashPassword(p.Salt, password)) == 1
}

const totpPeriod = 30 // seconds

// code gives the TOTP code of a time step.
func (p *psuRow) code(step int64) (string, error) {
	return hotp.GenerateCodeCustom(p.TOTPSecret, uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
}

// stepOf finds the step whose code was entered: the present one or one beside
// it. ok is false when none has it.
func (p *psuRow) stepOf(code string, now time.Time) (step int64, ok bool) {
	present := now.Unix() / totpPeriod
	for _, step := range []int64{present, present - 1, present + 1} {
		if want, err := p.code(step); err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			return step, true
		}
	}
	return 0, false
}
