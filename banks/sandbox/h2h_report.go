package sandbox

import (
	"net/http"
	"strconv"
	"time"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

// h2hEntry is an entry of the account with all a customer is told of it.
type h2hEntry struct {
	Position         int64  `db:"position"`
	AmountMinor      int64  `db:"amount_minor"`
	CounterpartyIBAN string `db:"counterparty_iban"`
	CounterpartyName string `db:"counterparty_name"`
	EndToEndID       string `db:"end_to_end_id"`
	Remittance       string `db:"remittance"`
	Executed         int64  `db:"executed_at"`
	ReturnReason     string `db:"return_reason"`
}

const h2hEntryQuery = `SELECT e.position, e.amount_minor, e.counterparty_iban, e.counterparty_name, t.end_to_end_id, t.remittance,
	t.executed_at, COALESCE(r.reason, '') AS return_reason
	FROM entries e JOIN transfers t ON t.position = e.transfer LEFT JOIN h2h_returns r ON r.transfer = t.position WHERE e.iban = ? AND `

// h2hNotify tells the entries after a sequence number, oldest first. The
// notification's own number is that of its last entry.
func (s *Sandbox) h2hNotify(k *h2hCall) (h2hAnswer, error) {
	after, limit, err := paging(k.echo)
	if err != nil || limit == 0 {
		return h2hAnswer{status: http.StatusBadRequest}, nil
	}
	var rows []h2hEntry
	if err := s.file.sel(k.ctx, &rows, h2hEntryQuery+`e.position > ? ORDER BY e.position LIMIT ?`, k.client.IBAN, after, limit); err != nil {
		return h2hAnswer{}, err
	}
	if len(rows) > 0 {
		after = rows[len(rows)-1].Position
	}
	id := s.newMessageID()
	return k.say(&iso20022.Notification{MessageID: id, CreatedAt: s.stamp(), Reports: []iso20022.Report{{
		ID: id, Sequence: after, CreatedAt: s.stamp(), Account: k.account(), Entries: k.entries(rows),
	}}})
}

func (k *h2hCall) account() iso20022.Account {
	return iso20022.Account{IBAN: psd2.IBAN(k.client.IBAN), Currency: psd2.EUR, Owner: shown(k.client.Name, 70)}
}

func (k *h2hCall) entries(rows []h2hEntry) []iso20022.Entry {
	list := make([]iso20022.Entry, len(rows))
	for i, r := range rows {
		list[i] = k.entry(r)
	}
	return list
}

// entry writes one line. Of a payment that came back, debtor and creditor are
// those of the payment.
func (k *h2hCall) entry(r h2hEntry) iso20022.Entry {
	at := time.UnixMicro(r.Executed).UTC().Truncate(time.Millisecond)
	e := iso20022.Entry{
		Amount: psd2.Euro(r.AmountMinor), Direction: iso20022.Credit, Status: "BOOK",
		BookedAt: iso20022.Moment{Time: at}, ValueAt: iso20022.Day(at), ServicerReference: "SBX" + strconv.FormatInt(r.Position, 10),
		Kind: iso20022.TransactionKind{Domain: "PMNT", Family: "RRCT", SubFamily: "ESCT"}, // received instant credit transfer
	}
	other := iso20022.Party{Name: shown(r.CounterpartyName, 70)}
	otherAccount := iso20022.Account{}
	if iban, err := psd2.ParseIBAN(r.CounterpartyIBAN); err == nil {
		otherAccount.IBAN = iban
	}
	tx := iso20022.Transaction{EndToEndID: iso20022.TransliterateReference(r.EndToEndID), Remittance: iso20022.Remittance{Text: shown(r.Remittance, 140)},
		ReturnReason: r.ReturnReason}
	in := r.AmountMinor > 0
	if !in {
		e.Amount, e.Direction, e.Kind.Family = psd2.Euro(-r.AmountMinor), iso20022.Debit, "IRCT"
	}
	if r.ReturnReason != "" {
		e.Kind.SubFamily = "RRTN"
		if e.Kind.Family = "IRCT"; !in {
			e.Kind.Family = "RRCT"
		}
	}
	own := iso20022.Party{Name: shown(k.client.Name, 70)}
	ownAccount := iso20022.Account{IBAN: psd2.IBAN(k.client.IBAN)}
	if in != (r.ReturnReason != "") {
		tx.Debtor, tx.DebtorAccount, tx.Creditor, tx.CreditorAccount = other, otherAccount, own, ownAccount
	} else {
		tx.Debtor, tx.DebtorAccount, tx.Creditor, tx.CreditorAccount = own, ownAccount, other, otherAccount
	}
	e.Transactions = []iso20022.Transaction{tx}
	return e
}

// h2hStatement is the statement of one day (UTC), or the one that still goes
// on: with an interim balance in place of the closing one.
func (s *Sandbox) h2hStatement(k *h2hCall) (h2hAnswer, error) {
	now := s.now().UTC()
	from := iso20022.Day(now).Time
	if day := k.echo.Param("day"); day != "latest" {
		t, err := time.Parse(time.DateOnly, day)
		if err != nil || t.After(now) {
			return h2hAnswer{status: http.StatusNotFound}, nil
		}
		from = t
	}
	until := from.AddDate(0, 0, 1)
	end := iso20022.Balance{Code: "CLBD", At: iso20022.Day(from)}
	if until.After(now) {
		end = iso20022.Balance{Code: "ITBD", At: iso20022.Moment{Time: now.Truncate(time.Millisecond)}}
	}
	var rows []h2hEntry
	var opening int64
	err := s.file.do(func(t *tx) error {
		rows = nil
		if err := t.get(&opening, `SELECT COALESCE(sum(e.amount_minor), 0) FROM entries e JOIN transfers t ON t.position = e.transfer
			WHERE e.iban = ? AND t.executed_at < ?`, k.client.IBAN, from.UnixMicro()); err != nil {
			return err
		}
		return t.sel(&rows, h2hEntryQuery+`t.executed_at >= ? AND t.executed_at < ? ORDER BY e.position`, k.client.IBAN, from.UnixMicro(), until.UnixMicro())
	})
	if err != nil {
		return h2hAnswer{}, err
	}
	closing := opening
	for _, r := range rows {
		closing += r.AmountMinor
	}
	id := s.newMessageID()
	end.Amount, end.Direction = signed(closing)
	start := iso20022.Balance{Code: "OPBD", At: iso20022.Day(from)}
	start.Amount, start.Direction = signed(opening)
	return k.say(&iso20022.Statement{MessageID: id, CreatedAt: s.stamp(), Reports: []iso20022.Report{{
		ID: id, CreatedAt: s.stamp(), Account: k.account(), Balances: []iso20022.Balance{start, end}, Entries: k.entries(rows),
	}}})
}

func signed(minor int64) (psd2.Money, iso20022.Direction) {
	if minor < 0 {
		return psd2.Euro(-minor), iso20022.Debit
	}
	return psd2.Euro(minor), iso20022.Credit
}
