package sandbox

import (
	"net/http"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

type h2hRecallRow struct {
	Bank     string `db:"bank"`
	Client   string `db:"client"`
	ID       string `db:"id"`
	OrderID  string `db:"order_id"`
	Original string `db:"original"`
	E2E      string `db:"e2e"`
	State    string `db:"state"`
	Reason   string `db:"reason"`
}

const recallQuery = `SELECT * FROM h2h_recalls WHERE bank = ? AND client = ? AND id = ?`

// h2hRecall takes a recall. A second one with the same id, or for the same
// transfer, gets the first one's answer: the scheme allows one.
func (s *Sandbox) h2hRecall(k *h2hCall) (h2hAnswer, error) {
	m, err := iso20022.ReadAs[*iso20022.Recall](k.body, iso20022.Strict)
	if err != nil || len(m.Transfers) != 1 {
		return h2hAnswer{status: http.StatusBadRequest}, nil
	}
	if k.board.take(func(s *H2HSwitches) *int { return &s.LoseInquiry }) {
		return h2hAnswer{lost: true}, nil
	}
	want := m.Transfers[0]
	row := h2hRecallRow{Bank: k.bank.ID, Client: k.client.ID, ID: m.ID, Original: want.Original.MessageID, E2E: want.EndToEndID, State: "pending"}
	err = s.file.do(func(t *tx) error {
		var before h2hRecallRow
		err := t.get(&before, recallQuery, row.Bank, row.Client, row.ID)
		if isNoRows(err) {
			err = t.get(&before, `SELECT * FROM h2h_recalls WHERE bank = ? AND client = ? AND original = ? AND e2e = ? LIMIT 1`,
				row.Bank, row.Client, row.Original, row.E2E)
		}
		if err == nil {
			row.OrderID, row.State, row.Reason = before.OrderID, before.State, before.Reason
		} else if !isNoRows(err) {
			return err
		}
		_, err = t.exec(`INSERT INTO h2h_recalls (bank, client, id, order_id, original, e2e, state, reason) VALUES (?,?,?,?,?,?,?,?)
			ON CONFLICT DO NOTHING`, row.Bank, row.Client, row.ID, row.OrderID, row.Original, row.E2E, row.State, row.Reason)
		return err
	})
	if err != nil {
		return h2hAnswer{}, err
	}
	return s.h2hRecallAnswer(k, row.ID)
}

func (s *Sandbox) h2hRecallStatus(k *h2hCall) (h2hAnswer, error) {
	return s.h2hRecallAnswer(k, k.echo.QueryParam("id"))
}

// h2hRecallAnswer decides a recall that waits, as the switches have it now, and
// gives its answer.
func (s *Sandbox) h2hRecallAnswer(k *h2hCall, id string) (h2hAnswer, error) {
	var row h2hRecallRow
	var o h2hOrder
	err := s.file.do(func(t *tx) error {
		row, o = h2hRecallRow{}, h2hOrder{}
		if err := t.get(&row, recallQuery, k.bank.ID, k.client.ID, id); err != nil {
			return err
		}
		err := t.get(&o, h2hOrderQuery, row.Bank, row.Client, row.Original, row.E2E)
		if err != nil && !isNoRows(err) {
			return err
		}
		if row.State != "pending" {
			return nil
		}
		return s.decideRecall(t, k, &row, &o)
	})
	switch {
	case isNoRows(err):
		return h2hAnswer{status: http.StatusNotFound}, nil
	case err != nil:
		return h2hAnswer{}, err
	case row.State == "pending":
		return h2hAnswer{status: http.StatusAccepted}, nil
	case row.State == "accepted":
		return k.say(s.returned(k, &row, &o))
	}
	return k.say(s.declined(k, &row))
}

func (s *Sandbox) decideRecall(t *tx, k *h2hCall, row *h2hRecallRow, o *h2hOrder) error {
	sw := k.board.get()
	switch {
	case o.ID == "" || o.Status == rejected:
		row.State, row.Reason = "refused", "NOOR"
	case o.Returned != 0:
		row.State, row.Reason = "refused", "ARDT"
	case sw.Recall == "pending" || o.Status == inProcess:
		return nil
	case sw.Recall == "refuse":
		row.State, row.Reason = "refused", firstOf(sw.RefuseReason, "CUST")
	default:
		back, err := s.giveBack(t, k.client, o, "FOCR", s.now())
		if err != nil {
			return err
		}
		if row.State = "accepted"; !back {
			row.State, row.Reason = "refused", reasonNoFunds
		}
	}
	row.OrderID = o.ID
	_, err := t.exec(`UPDATE h2h_recalls SET order_id = ?, state = ?, reason = ? WHERE bank = ? AND client = ? AND id = ?`,
		row.OrderID, row.State, row.Reason, row.Bank, row.Client, row.ID)
	return err
}

// returned is the positive answer.
func (s *Sandbox) returned(k *h2hCall, row *h2hRecallRow, o *h2hOrder) iso20022.Message {
	m := psd2.Euro(o.AmountMinor)
	return &iso20022.Return{MessageID: s.newMessageID(), CreatedAt: s.stamp(), SettlementDate: iso20022.Day(s.now()).Time,
		Transfers: []iso20022.ReturnedTransfer{{ID: s.newMessageID(), EndToEndID: row.E2E, OriginalAmount: m, Amount: m,
			Original: iso20022.Original{MessageID: row.Original, Message: initiationName},
			Reasons:  []iso20022.Reason{{Code: "FOCR", OriginBIC: k.bank.BIC}}}}}
}

// declined is the negative one.
func (s *Sandbox) declined(k *h2hCall, row *h2hRecallRow) iso20022.Message {
	return &iso20022.RecallAnswer{ID: s.newMessageID(), CreatedAt: s.stamp(), From: k.bank.BIC, To: k.bank.BIC, Status: "RJCR",
		Decisions: []iso20022.RecallDecision{{ID: s.newMessageID(), EndToEndID: row.E2E, Status: "RJCR",
			Original: iso20022.Original{MessageID: row.Original, Message: initiationName},
			Reasons:  []iso20022.Reason{{Code: row.Reason, OriginBIC: k.bank.BIC}}}}}
}
