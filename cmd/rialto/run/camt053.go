package run

import (
	"strings"
	"time"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

// camt053 writes settlement reports as banks do; the API does not know the
// format. It implements api.StatementWriter.
type camt053 struct{ now func() time.Time }

// Transaction codes of ISO 20022 for instant transfers: received, sent, and
// sent back.
var codes = map[psd2.EntryKind]iso20022.TransactionKind{
	psd2.EntryCredit: {Domain: "PMNT", Family: "RRCT", SubFamily: "ESCT"},
	psd2.EntryDebit:  {Domain: "PMNT", Family: "IRCT", SubFamily: "ESCT"},
	psd2.EntryReturn: {Domain: "PMNT", Family: "RRCT", SubFamily: "RRTN"},
}

// WriteStatement writes one day of an account. An entry's class stands in its
// AddtlNtryInf.
func (c camt053) WriteStatement(account psd2.PayeeAccount, s psd2.Settlement, entries []psd2.StatementEntry) ([]byte, error) {
	day, err := time.Parse(time.DateOnly, s.Day)
	if err != nil {
		return nil, err
	}
	now := c.now().UTC().Truncate(time.Second)
	id := "RLS" + strings.ReplaceAll(s.Day, "-", "") + short(strings.ToUpper(strings.TrimPrefix(account.ID, psd2.PrefixAccount+"_")), 24)
	r := iso20022.Report{
		ID: id, CreatedAt: now,
		Account: iso20022.Account{IBAN: account.IBAN, Currency: psd2.EUR, Owner: clean(account.Name, 70)},
		Balances: []iso20022.Balance{
			balance("OPBD", *s.Opening, iso20022.Day(day)), balance("CLBD", *s.Closing, iso20022.Day(day)),
		},
	}
	for i := range entries {
		r.Entries = append(r.Entries, entry(&entries[i]))
	}
	return iso20022.Write(&iso20022.Statement{MessageID: id, CreatedAt: now, Reports: []iso20022.Report{r}})
}

func balance(code string, minor int64, at iso20022.Moment) iso20022.Balance {
	b := iso20022.Balance{Code: code, Amount: psd2.Euro(minor), Direction: iso20022.Credit, At: at}
	if minor < 0 {
		b.Amount, b.Direction = psd2.Euro(-minor), iso20022.Debit
	}
	return b
}

func entry(e *psd2.StatementEntry) iso20022.Entry {
	direction := iso20022.Debit
	if e.Incoming {
		direction = iso20022.Credit
	}
	t := iso20022.Transaction{
		EndToEndID: clean(e.EndToEndID, 35), ServicerReference: clean(e.BankID, 35), Amount: e.Amount, Direction: direction,
		Remittance: iso20022.Remittance{Text: clean(e.Remittance, 140)}, ReturnReason: short(e.Reason, 4),
	}
	name, iban := clean(e.Counterparty.Name, 70), e.Counterparty.IBAN
	if e.Incoming {
		t.Debtor, t.DebtorAccount = iso20022.Party{Name: name}, iso20022.Account{IBAN: iban}
	} else {
		t.Creditor, t.CreditorAccount = iso20022.Party{Name: name}, iso20022.Account{IBAN: iban}
	}
	booked := iso20022.Day(e.BookedAt)
	return iso20022.Entry{
		Reference: clean(e.BankID, 35), Amount: e.Amount, Direction: direction, Status: "BOOK", BookedAt: booked, ValueAt: booked,
		ServicerReference: clean(e.BankID, 35), Kind: codes[e.Kind], Transactions: []iso20022.Transaction{t}, Info: string(e.Class),
	}
}

// clean writes a text in EPC characters, no longer than it may be.
func clean(s string, max int) string {
	return strings.TrimSpace(short(strings.TrimSpace(iso20022.Transliterate(s)), max))
}

func short(s string, max int) string { return s[:min(len(s), max)] }
