package sandbox

import (
	"time"

	"github.com/rialto-hub/rialto/psd2"
)

// account is where money lies.
type account struct {
	IBAN     string `db:"iban"`
	Bank     string `db:"bank"`
	Username string `db:"username"`
	Holder   string `db:"holder"`
	Blocked  bool   `db:"blocked"`
	Capital  bool   `db:"capital"`
	Balance  int64  `db:"balance_minor"`
}

// Transfer is money that moved, as /sandbox/ledger shows it.
type Transfer struct {
	Position     int64      `json:"position" db:"position"`
	Bank         string     `json:"bank" db:"bank"`
	PaymentID    string     `json:"payment_id" db:"order_id"`
	EndToEndID   string     `json:"end_to_end_id" db:"end_to_end_id"`
	Amount       psd2.Money `json:"amount" db:"-"`
	DebtorIBAN   string     `json:"debtor_iban" db:"debtor_iban"`
	DebtorName   string     `json:"debtor_name" db:"debtor_name"`
	CreditorIBAN string     `json:"creditor_iban" db:"creditor_iban"`
	CreditorName string     `json:"creditor_name" db:"creditor_name"`
	Remittance   string     `json:"remittance" db:"remittance"`
	ExecutedAt   time.Time  `json:"executed_at" db:"-"`

	AmountMinor int64 `json:"-" db:"amount_minor"`
	Executed    int64 `json:"-" db:"executed_at"`
}

// Entry is one line of an account's statement. The counterparty's name is
// missing where the payer's bank keeps it to itself.
type Entry struct {
	Position         int64      `json:"position" db:"position"`
	Amount           psd2.Money `json:"amount" db:"-"` // credits positive, debits negative
	EndToEndID       string     `json:"end_to_end_id" db:"end_to_end_id"`
	CounterpartyIBAN string     `json:"counterparty_iban" db:"counterparty_iban"`
	CounterpartyName string     `json:"counterparty_name,omitempty" db:"counterparty_name"`
	Remittance       string     `json:"remittance" db:"remittance"`
	BookedAt         time.Time  `json:"booked_at" db:"-"`

	AmountMinor int64 `json:"-" db:"amount_minor"`
	Executed    int64 `json:"-" db:"executed_at"`
}

const accountColumns = `iban, bank, username, holder, blocked, capital, balance_minor`

// openAccount inserts an account unless it is there.
func openAccount(t *tx, a account) error {
	_, err := t.exec(`INSERT INTO accounts (`+accountColumns+`) VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
		a.IBAN, a.Bank, a.Username, a.Holder, a.Blocked, a.Capital, a.Balance)
	return err
}

// book moves the order's money: one transfer, two entries, two balances. The
// caller has checked that the debtor has it; the tables refuse a second
// execution and a negative balance on their own.
func book(t *tx, o *order, holder HolderMode, now time.Time) error {
	if err := openAccount(t, account{IBAN: o.CreditorIBAN, Holder: o.CreditorName}); err != nil {
		return err
	}
	position, err := t.insert(`INSERT INTO transfers (order_id, bank, end_to_end_id, amount_minor, debtor_iban, debtor_name,
		creditor_iban, creditor_name, remittance, executed_at) VALUES (?,?,?,?,?,?,?,?,?,?)`,
		o.ID, o.Bank, o.EndToEndID, o.AmountMinor, o.DebtorIBAN, o.DebtorName,
		o.CreditorIBAN, o.CreditorName, o.Remittance, now.UnixMicro())
	if err != nil {
		return err
	}
	shown := o.DebtorName
	if holder == HolderNever {
		shown = ""
	}
	if err := enter(t, position, o.DebtorIBAN, -o.AmountMinor, o.CreditorIBAN, o.CreditorName); err != nil {
		return err
	}
	return enter(t, position, o.CreditorIBAN, o.AmountMinor, o.DebtorIBAN, shown)
}

// book moves the order's money, and with a switch once too often: then the
// payer's bank owes him what it took.
func (b *bank) book(t *tx, o *order, now time.Time) error {
	if err := book(t, o, b.Holder, now); err != nil || !b.switches.get().DuplicateBooking {
		return err
	}
	again := *o
	again.ID += "-again"
	return book(t, &again, b.Holder, now)
}

func enter(t *tx, transfer int64, iban string, amount int64, otherIBAN, otherName string) error {
	if _, err := t.exec(`UPDATE accounts SET balance_minor = balance_minor + ? WHERE iban = ?`, amount, iban); err != nil {
		return err
	}
	_, err := t.exec(`INSERT INTO entries (transfer, iban, amount_minor, counterparty_iban, counterparty_name) VALUES (?,?,?,?,?)`,
		transfer, iban, amount, otherIBAN, otherName)
	return err
}

// endow gives new accounts their opening balances out of the bank's capital,
// as one transfer with an entry for each.
func endow(t *tx, b Bank, ibans []string, each int64, now time.Time) error {
	if each == 0 {
		return nil
	}
	capital := makeIBAN(b.BankCode, 0)
	if err := openAccount(t, account{IBAN: capital, Bank: b.ID, Holder: b.Name, Capital: true}); err != nil {
		return err
	}
	total := each * int64(len(ibans))
	position, err := t.insert(`INSERT INTO transfers (bank, end_to_end_id, amount_minor, debtor_iban, debtor_name, creditor_iban,
		creditor_name, remittance, executed_at) VALUES (?,'',?,?,?,'','','opening balance',?)`, b.ID, total, capital, b.Name, now.UnixMicro())
	if err != nil {
		return err
	}
	for _, iban := range ibans {
		if err := enter(t, position, iban, each, capital, b.Name); err != nil {
			return err
		}
	}
	return enter(t, position, capital, -total, "", "")
}

// makeIBAN makes a German IBAN from a bank code and an account number
// (ISO 13616; check digits by ISO 7064 MOD 97-10).
func makeIBAN(bankCode string, number int64) string {
	digits := make([]byte, 10)
	for i := 9; i >= 0; i-- {
		digits[i] = byte('0' + number%10)
		number /= 10
	}
	bban := bankCode + string(digits)
	rest := 0
	for _, c := range []byte(bban + "131400") { // D=13, E=14, check digits 00
		rest = (rest*10 + int(c-'0')) % 97
	}
	check := 98 - rest
	return "DE" + string([]byte{byte('0' + check/10), byte('0' + check%10)}) + bban
}
