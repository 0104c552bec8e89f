package sandbox

import (
	"time"
)

// book books an order, and then what the switches of the payee's channel do to
// the entry: a bank that makes mistakes makes them when it books.
func (s *Sandbox) book(t *tx, o *order, b *bank, now time.Time) error {
	if err := b.book(t, o, now); err != nil {
		return err
	}
	if !s.distorting() {
		return nil
	}
	var c h2hClient
	err := t.get(&c, `SELECT * FROM h2h_clients WHERE iban = ?`, o.CreditorIBAN)
	if isNoRows(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.distort(t, s.h2hBoardOf(c.Bank, c.ID), o, b)
}

// distorting reports whether any channel's switches want an entry changed, so
// that bookings pay nothing for it as long as none does.
func (s *Sandbox) distorting() bool {
	s.h2hs.mu.Lock()
	defer s.h2hs.mu.Unlock()
	for _, b := range s.h2hs.boards {
		if sw := b.get(); sw.WrongAmount > 0 || sw.Duplicate > 0 {
			return true
		}
	}
	return false
}

// distort changes what was booked for the payee. The other side is the bank's
// capital, so that entries still sum to zero.
func (s *Sandbox) distort(t *tx, board *h2hBoard, o *order, b *bank) error {
	var position int64
	if err := t.get(&position, `SELECT position FROM transfers WHERE order_id = ?`, o.ID); err != nil {
		return err
	}
	capital := makeIBAN(b.BankCode, 0)
	if err := openAccount(t, account{IBAN: capital, Bank: b.ID, Holder: b.Name, Capital: true}); err != nil {
		return err
	}
	if board.take(func(s *H2HSwitches) *int { return &s.WrongAmount }) {
		by := int64(-1)
		if o.AmountMinor == 1 {
			by = 1
		}
		if err := enter(t, position, capital, -by, "", ""); err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE entries SET amount_minor = amount_minor + ? WHERE transfer = ? AND iban = ?`, by, position, o.CreditorIBAN); err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE accounts SET balance_minor = balance_minor + ? WHERE iban = ?`, by, o.CreditorIBAN); err != nil {
			return err
		}
	}
	if board.take(func(s *H2HSwitches) *int { return &s.Duplicate }) {
		if err := enter(t, position, capital, -o.AmountMinor, "", ""); err != nil {
			return err
		}
		name := o.DebtorName
		if b.Holder == HolderNever {
			name = ""
		}
		return enter(t, position, o.CreditorIBAN, o.AmountMinor, o.DebtorIBAN, name)
	}
	return nil
}

// giveBack books a transfer back, as one of its own without an order: the payee
// pays. It reports false when he has not got the money any more.
func (s *Sandbox) giveBack(t *tx, client h2hClient, o *h2hOrder, reason string, now time.Time) (bool, error) {
	var a account
	if err := t.get(&a, `SELECT `+accountColumns+` FROM accounts WHERE iban = ?`, o.CreditorIBAN); err != nil {
		return false, err
	}
	if a.Balance < o.AmountMinor {
		return false, nil
	}
	position, err := t.insert(`INSERT INTO transfers (bank, end_to_end_id, amount_minor, debtor_iban, debtor_name, creditor_iban,
		creditor_name, remittance, executed_at) VALUES (?,?,?,?,?,?,?,?,?)`, o.Bank, o.EndToEndID, o.AmountMinor, o.CreditorIBAN,
		o.CreditorName, client.IBAN, client.Name, o.Remittance, now.UnixMicro())
	if err != nil {
		return false, err
	}
	if err := enter(t, position, o.CreditorIBAN, -o.AmountMinor, client.IBAN, client.Name); err != nil {
		return false, err
	}
	if err := enter(t, position, client.IBAN, o.AmountMinor, o.CreditorIBAN, o.CreditorName); err != nil {
		return false, err
	}
	if _, err := t.exec(`INSERT INTO h2h_returns (transfer, reason) VALUES (?,?)`, position, reason); err != nil {
		return false, err
	}
	o.Returned, o.ReturnReason, o.DueAt = 1, reason, 0
	return true, t.saveH2H(o)
}

// stepH2H executes late orders and sends back what is due, a bounded number of
// them, and gives the sooner of next and its own next time.
func (s *Sandbox) stepH2H(now, next time.Time) (time.Time, error) {
	var own time.Time
	err := s.file.do(func(t *tx) error {
		own = time.Time{}
		var due []h2hOrder
		if err := t.sel(&due, `SELECT * FROM h2h_orders WHERE due_at > 0 ORDER BY due_at LIMIT 101`); err != nil {
			return err
		}
		for i := range due {
			if at := time.UnixMicro(due[i].DueAt).UTC(); at.After(now) || i == 100 {
				own = at
				return nil
			}
			if err := s.h2hDue(t, &due[i], now); err != nil {
				return err
			}
		}
		return nil
	})
	if own.IsZero() || !next.IsZero() && next.Before(own) {
		return next, err
	}
	return own, err
}

// h2hDue does what an order waits for. One of a bank or customer that is no
// longer there waits no more.
func (s *Sandbox) h2hDue(t *tx, o *h2hOrder, now time.Time) error {
	var client h2hClient
	err := t.get(&client, `SELECT * FROM h2h_clients WHERE bank = ? AND id = ?`, o.Bank, o.Client)
	b := s.banks[o.Bank]
	o.DueAt = 0
	if isNoRows(err) || b == nil {
		return t.saveH2H(o)
	}
	if err != nil {
		return err
	}
	if o.Status == inProcess {
		if err := s.h2hExecute(t, b, client, o, now); err != nil {
			return err
		}
		return t.saveH2H(o)
	}
	back, err := s.giveBack(t, client, o, o.ReturnReason, now)
	if err == nil && !back {
		o.ReturnReason = ""
		err = t.saveH2H(o)
	}
	return err
}
