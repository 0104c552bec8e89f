package sandbox

import (
	"bytes"
	"net/http"
	"time"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

// h2hOrder is one transfer that a corporate customer ordered.
type h2hOrder struct {
	ID           string `db:"id"`
	Bank         string `db:"bank"`
	Client       string `db:"client"`
	MessageID    string `db:"message_id"`
	BatchID      string `db:"batch_id"`
	EndToEndID   string `db:"end_to_end_id"`
	AmountMinor  int64  `db:"amount_minor"`
	CreditorName string `db:"creditor_name"`
	CreditorIBAN string `db:"creditor_iban"`
	Remittance   string `db:"remittance"`
	Status       string `db:"status"`
	Reason       string `db:"reason"`
	CreatedAt    int64  `db:"created_at"`
	DueAt        int64  `db:"due_at"`
	ReturnReason string `db:"return_reason"`
	Returned     int64  `db:"returned"`
}

func (o *h2hOrder) booked() bool { return o.Status != rejected && o.Status != inProcess }

// Reasons of the channel, beside those of orders.
const (
	h2hDuplicate   = "AM05"
	h2hUnknown     = "AG09" // original payment never received
	h2hNoAccount   = "AC01" // no such account at this bank
	h2hNotYours    = "AC02" // debtor account
	h2hFormat      = "FF01"
	h2hUnexplained = "MS03"
)

const initiationName = "pain.001.001.09"

// h2hPay takes one instant transfer. A message that is no pain.001, or breaks
// a rule of the scheme, is answered 400: there is no reference to answer to.
func (s *Sandbox) h2hPay(k *h2hCall) (h2hAnswer, error) {
	m, err := iso20022.ReadAs[*iso20022.Initiation](k.body, iso20022.Strict)
	if err != nil {
		return h2hAnswer{status: http.StatusBadRequest}, nil
	}
	if k.board.take(func(s *H2HSwitches) *int { return &s.LoseBefore }) {
		return h2hAnswer{lost: true}, nil
	}
	if len(m.Batches) != 1 || len(m.Batches[0].Orders) != 1 || m.Batches[0].Orders[0].EndToEndID == "" {
		return k.say(s.report(k, m.MessageID, rejected, h2hFormat))
	}
	now, b := s.now(), m.Batches[0]
	p := b.Orders[0]
	o := h2hOrder{
		ID: psd2.NewUUID(now, bytes.NewReader(s.bytes(10))), Bank: k.bank.ID, Client: k.client.ID,
		MessageID: m.MessageID, BatchID: b.ID, EndToEndID: p.EndToEndID, AmountMinor: p.Amount.AmountMinor,
		CreditorName: p.Creditor.Name, CreditorIBAN: string(p.CreditorAccount), Remittance: p.Remittance.Text, CreatedAt: now.UnixMicro(),
	}
	if o.Remittance == "" {
		o.Remittance = p.Remittance.Reference
	}
	duplicate := false
	err = s.file.do(func(t *tx) error {
		if duplicate, err = s.h2hSeen(t, k, &o, now); err != nil || duplicate {
			return err
		}
		if string(b.DebtorAccount) != k.client.IBAN {
			o.Status, o.Reason = rejected, h2hNotYours
		} else if err := s.h2hDecide(t, k, &o, now); err != nil {
			return err
		}
		return t.insertH2H(&o)
	})
	if err != nil {
		return h2hAnswer{}, err
	}
	if k.board.take(func(s *H2HSwitches) *int { return &s.LoseAfter }) {
		return h2hAnswer{lost: true}, nil
	}
	if duplicate {
		return k.say(s.report(k, m.MessageID, rejected, h2hDuplicate))
	}
	if o.DueAt > 0 {
		s.nudge()
	}
	return k.say(s.statusOf(k, &o))
}

// h2hSeen reports whether the bank knows one of the references again: for as
// long as its window is, or for ever when it has said that it never got it.
func (s *Sandbox) h2hSeen(t *tx, k *h2hCall, o *h2hOrder, now time.Time) (bool, error) {
	var n int
	since := now.Add(-time.Duration(k.board.get().DedupHours) * time.Hour).UnixMicro()
	err := t.get(&n, `SELECT (SELECT count(*) FROM h2h_orders WHERE bank = ? AND client = ? AND message_id = ? AND created_at > ?)
		+ (SELECT count(*) FROM h2h_orders WHERE bank = ? AND client = ? AND end_to_end_id = ? AND created_at > ?)
		+ (SELECT count(*) FROM h2h_unknown WHERE bank = ? AND client = ? AND message_id = ?)`,
		o.Bank, o.Client, o.MessageID, since, o.Bank, o.Client, o.EndToEndID, since, o.Bank, o.Client, o.MessageID)
	return n > 0, err
}

func (t *tx) insertH2H(o *h2hOrder) error {
	_, err := t.exec(`INSERT INTO h2h_orders (id, bank, client, message_id, batch_id, end_to_end_id, amount_minor, creditor_name,
		creditor_iban, remittance, status, reason, created_at, due_at, return_reason) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		o.ID, o.Bank, o.Client, o.MessageID, o.BatchID, o.EndToEndID, o.AmountMinor, o.CreditorName,
		o.CreditorIBAN, o.Remittance, o.Status, o.Reason, o.CreatedAt, o.DueAt, o.ReturnReason)
	return err
}

func (t *tx) saveH2H(o *h2hOrder) error {
	_, err := t.exec(`UPDATE h2h_orders SET status = ?, reason = ?, due_at = ?, return_reason = ?, returned = ? WHERE id = ?`,
		o.Status, o.Reason, o.DueAt, o.ReturnReason, o.Returned, o.ID)
	return err
}

// h2hDecide gives a new order its outcome.
func (s *Sandbox) h2hDecide(t *tx, k *h2hCall, o *h2hOrder, now time.Time) error {
	sw := k.board.get()
	switch {
	case k.board.take(func(s *H2HSwitches) *int { return &s.Reject }):
		o.Status, o.Reason = rejected, firstOf(sw.RejectReason, h2hUnexplained)
		return nil
	case k.board.take(func(s *H2HSwitches) *int { return &s.Late }):
		o.Status, o.DueAt = inProcess, now.Add(k.bank.LateBy).UnixMicro()
		return nil
	}
	if k.board.take(func(s *H2HSwitches) *int { return &s.Return }) {
		o.ReturnReason, o.DueAt = firstOf(sw.ReturnReason, "AC04"), now.Add(k.bank.LateBy).UnixMicro()
	}
	return s.h2hExecute(t, k.bank, k.client, o, now)
}

// h2hExecute moves the money, or rejects the order: there is too little of it,
// or the payee's bank, when it is one of ours, cannot credit him.
func (s *Sandbox) h2hExecute(t *tx, b *bank, client h2hClient, o *h2hOrder, now time.Time) error {
	var from, to account
	if err := t.get(&from, `SELECT `+accountColumns+` FROM accounts WHERE iban = ?`, client.IBAN); err != nil {
		return err
	}
	err := t.get(&to, `SELECT `+accountColumns+` FROM accounts WHERE iban = ?`, o.CreditorIBAN)
	if err != nil && !isNoRows(err) {
		return err
	}
	switch {
	case from.Balance < o.AmountMinor:
		o.Status, o.Reason = rejected, reasonNoFunds
	case err != nil && s.bankOfIBAN(o.CreditorIBAN) != nil:
		o.Status, o.Reason = rejected, h2hNoAccount
	case to.Blocked:
		o.Status, o.Reason = rejected, reasonBlocked
	}
	if o.Status == rejected {
		o.DueAt, o.ReturnReason = 0, ""
		return nil
	}
	o.Status = b.Final
	return s.book(t, &order{ID: o.ID, Bank: o.Bank, EndToEndID: o.EndToEndID, AmountMinor: o.AmountMinor, DebtorIBAN: client.IBAN,
		DebtorName: client.Name, CreditorIBAN: o.CreditorIBAN, CreditorName: o.CreditorName, Remittance: o.Remittance}, b, now)
}

// bankOfIBAN is the sandbox bank that keeps accounts of that form, or nil.
func (s *Sandbox) bankOfIBAN(iban string) *bank {
	for _, b := range s.cfg.Banks {
		if len(iban) == 22 && iban[:2] == "DE" && iban[4:12] == b.BankCode {
			return s.banks[b.ID]
		}
	}
	return nil
}

// report answers a whole message.
func (s *Sandbox) report(k *h2hCall, messageID, status, reason string) *iso20022.InitiationStatus {
	return &iso20022.InitiationStatus{MessageID: s.newMessageID(), CreatedAt: s.stamp(), DebtorAgent: k.bank.BIC,
		Group: iso20022.GroupStatus{Original: iso20022.Original{MessageID: messageID, Message: initiationName}, Status: status,
			Reasons: []iso20022.Reason{{Code: reason, OriginBIC: k.bank.BIC}}}}
}

// statusOf answers one order.
func (s *Sandbox) statusOf(k *h2hCall, o *h2hOrder) *iso20022.InitiationStatus {
	t := iso20022.TransactionStatus{ID: s.newMessageID(), EndToEndID: o.EndToEndID, Status: o.Status}
	if o.Status == rejected {
		t.Reasons = []iso20022.Reason{{Code: o.Reason, OriginBIC: k.bank.BIC}}
	} else {
		t.AcceptedAt = time.UnixMicro(o.CreatedAt).UTC().Truncate(time.Millisecond)
	}
	return &iso20022.InitiationStatus{MessageID: s.newMessageID(), CreatedAt: s.stamp(), DebtorAgent: k.bank.BIC,
		Group:   iso20022.GroupStatus{Original: iso20022.Original{MessageID: o.MessageID, Message: initiationName}},
		Batches: []iso20022.BatchStatus{{OriginalID: o.BatchID, Transactions: []iso20022.TransactionStatus{t}}}}
}

// h2hInquire answers what became of an order. One that is unknown will be
// refused if it still comes: so the answer stays true.
func (s *Sandbox) h2hInquire(k *h2hCall) (h2hAnswer, error) {
	m, err := iso20022.ReadAs[*iso20022.StatusRequest](k.body, iso20022.Strict)
	if err != nil || len(m.Inquiries) != 1 {
		return h2hAnswer{status: http.StatusBadRequest}, nil
	}
	if k.board.take(func(s *H2HSwitches) *int { return &s.LoseInquiry }) {
		return h2hAnswer{lost: true}, nil
	}
	q := m.Inquiries[0]
	var o h2hOrder
	known := false
	err = s.file.do(func(t *tx) error {
		known = false
		err := t.get(&o, h2hOrderQuery, k.bank.ID, k.client.ID, q.Original.MessageID, q.EndToEndID)
		if err == nil {
			known = true
			return nil
		}
		if !isNoRows(err) {
			return err
		}
		_, err = t.exec(`INSERT INTO h2h_unknown (bank, client, message_id) VALUES (?,?,?) ON CONFLICT DO NOTHING`,
			k.bank.ID, k.client.ID, q.Original.MessageID)
		return err
	})
	if err != nil {
		return h2hAnswer{}, err
	}
	if !known {
		return k.say(s.report(k, q.Original.MessageID, rejected, h2hUnknown))
	}
	return k.say(s.statusOf(k, &o))
}

// The first of its references: what a bank took again after its window is
// another order.
const h2hOrderQuery = `SELECT * FROM h2h_orders WHERE bank = ? AND client = ? AND message_id = ? AND end_to_end_id = ?
	ORDER BY created_at, id LIMIT 1`
