package sandbox

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/banks/iso20022"
	"github.com/rialto-hub/rialto/psd2"
)

// h2hIncomingRow is another bank's recall of what was paid to a customer.
type h2hIncomingRow struct {
	Bank        string `db:"bank"`
	Client      string `db:"client"`
	Number      int64  `db:"number"`
	E2E         string `db:"e2e"`
	AmountMinor int64  `db:"amount_minor"`
	Reason      string `db:"reason"`
	At          int64  `db:"at"`
}

// incomingPrefix begins the id of a recall's assignment; its number follows.
const incomingPrefix = "SBXRCL"

func (r *h2hIncomingRow) id() string { return fmt.Sprintf("%s%d", incomingPrefix, r.Number) }

// h2hIncoming gives the first recall after another one's id, or 202 when there
// is none yet.
func (s *Sandbox) h2hIncoming(k *h2hCall) (h2hAnswer, error) {
	after := int64(0)
	if id := k.echo.QueryParam("after"); id != "" {
		var err error
		if after, err = strconv.ParseInt(strings.TrimPrefix(id, incomingPrefix), 10, 64); err != nil || after < 1 || !strings.HasPrefix(id, incomingPrefix) {
			return h2hAnswer{status: http.StatusBadRequest}, nil
		}
	}
	var row h2hIncomingRow
	err := s.file.get(k.ctx, &row, `SELECT * FROM h2h_incoming WHERE bank = ? AND client = ? AND number > ? ORDER BY number LIMIT 1`,
		k.bank.ID, k.client.ID, after)
	if isNoRows(err) {
		return h2hAnswer{status: http.StatusAccepted}, nil
	}
	if err != nil {
		return h2hAnswer{}, err
	}
	at := time.UnixMicro(row.At).UTC().Truncate(time.Millisecond)
	return k.say(&iso20022.Recall{ID: row.id(), CreatedAt: at, From: k.bank.BIC, To: k.bank.BIC, Transfers: []iso20022.RecalledTransfer{{
		ID: row.id(), EndToEndID: row.E2E, Amount: psd2.Euro(row.AmountMinor),
		Original: iso20022.Original{MessageID: row.id(), Message: "pacs.008.001.08"},
		Reasons:  []iso20022.Reason{{Code: row.Reason, OriginBIC: k.bank.BIC}},
	}}})
}

// newRecall is what POST /sandbox/{bank}/h2h/{client}/recalls asks for: the
// bank of somebody who paid to this account wants it back.
type newRecall struct {
	EndToEndID  string `json:"end_to_end_id"`
	AmountMinor int64  `json:"amount_minor"`
	Reason      string `json:"reason"` // DUPL, TECH, FRAD, CUST, AC03 or AM09
}

var recallReason = regexp.MustCompile(`^(DUPL|TECH|FRAD|CUST|AC03|AM09)$`)

func (s *Sandbox) postH2HRecall(c echo.Context) error {
	body, err := readBody(c.Request())
	var n newRecall
	if err != nil || decode(body, &n) != nil {
		return badJSON
	}
	switch {
	case psd2.CheckReference(n.EndToEndID) != nil:
		return psd2.Invalid("end_to_end_id", "reference_invalid", "the EndToEndId has up to 35 EPC characters")
	case psd2.Euro(n.AmountMinor).CheckSCTInst() != nil:
		return psd2.Invalid("amount_minor", "amount_out_of_range", "the amount is that of the transfer")
	case !recallReason.MatchString(n.Reason):
		return psd2.Invalid("reason", "reason_invalid", "the reason is DUPL, TECH, FRAD, CUST, AC03 or AM09")
	}
	row := h2hIncomingRow{Bank: c.Get(bankKey).(*bank).ID, Client: c.Param("client"), E2E: n.EndToEndID, AmountMinor: n.AmountMinor, Reason: n.Reason, At: s.now().UnixMicro()}
	err = s.file.do(func(t *tx) error {
		var known h2hClient
		if err := t.get(&known, `SELECT * FROM h2h_clients WHERE bank = ? AND id = ?`, row.Bank, row.Client); err != nil {
			return err
		}
		if err := t.get(&row.Number, `SELECT COALESCE(MAX(number), 0) + 1 FROM h2h_incoming WHERE bank = ? AND client = ?`, row.Bank, row.Client); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO h2h_incoming (bank, client, number, e2e, amount_minor, reason, at) VALUES (?,?,?,?,?,?,?)`,
			row.Bank, row.Client, row.Number, row.E2E, row.AmountMinor, row.Reason, row.At)
		return err
	})
	if isNoRows(err) {
		return psd2.NotFound("client")
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, map[string]any{"id": row.id()})
}
