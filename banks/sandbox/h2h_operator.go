package sandbox

import (
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/jose"
)

// h2hOperatorRoutes are the operator's calls about channels.
func (s *Sandbox) h2hOperatorRoutes(g *echo.Group) {
	g.GET("/h2h/keys", s.h2hKeys)
	g.POST("/:bank/h2h", s.postH2HClient)
	g.GET("/:bank/h2h/:client/orders", s.listH2HOrders)
	g.POST("/:bank/h2h/:client/recalls", s.postH2HRecall)
	g.GET("/:bank/h2h/:client/switches", s.getH2HSwitches)
	g.POST("/:bank/h2h/:client/switches", s.postH2HSwitches)
}

// newH2HClient is what POST /sandbox/{bank}/h2h asks for.
type newH2HClient struct {
	ID           string         `json:"id"`            // part of the channel's path
	IBAN         string         `json:"iban"`          // "" opens an account; one that is there already is taken over
	Name         string         `json:"name"`          // of the account's holder
	Keys         jsontext.Value `json:"keys"`          // JWKS of the keys the customer signs with
	CertSHA256   string         `json:"cert_sha256"`   // of his TLS certificate in hex; "" asks for none
	BalanceMinor int64          `json:"balance_minor"` // paid in when the account is registered for the first time
}

func (n newH2HClient) check() error {
	switch {
	case !isSlug(n.ID):
		return psd2.Invalid("id", "id_invalid", "an id has small letters, digits, hyphens and dots")
	case strings.TrimSpace(n.Name) == "" || psd2.CheckText("name", n.Name, 70) != nil:
		return psd2.Invalid("name", "name_invalid", "the name has 1 to 70 characters")
	case n.BalanceMinor < 0 || n.BalanceMinor > psd2.MaxSCTInstMinor:
		return psd2.Invalid("balance_minor", "balance_invalid", "the balance must be between 0 and 99999999999 cents")
	case n.CertSHA256 != "" && (len(n.CertSHA256) != 64 || strings.Trim(n.CertSHA256, "0123456789abcdef") != ""):
		return psd2.Invalid("cert_sha256", "cert_invalid", "the fingerprint is a SHA-256 in 64 small hexadecimal digits")
	}
	if n.IBAN != "" {
		if _, err := psd2.ParseIBAN(n.IBAN); err != nil {
			return err
		}
	}
	_, err := jose.ParseJWKS(n.Keys)
	return err
}

// postH2HClient registers a corporate customer, or gives one who is there new
// keys. Money that was paid to the account before is his.
func (s *Sandbox) postH2HClient(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	var n newH2HClient
	body, err := readBody(c.Request())
	if err == nil {
		err = decode(body, &n)
	}
	if err != nil {
		return badJSON
	}
	if err := n.check(); err != nil {
		return err
	}
	keys, err := s.signingKeys()
	if err != nil {
		return err
	}
	public, err := keys.PublicJWKS(s.now())
	if err != nil {
		return err
	}
	iban := compact(n.IBAN)
	err = s.file.do(func(t *tx) error { return s.registerH2H(t, b, n, &iban) })
	if err != nil {
		return err
	}
	path := "/" + b.ID + "/h2h/" + n.ID
	return c.JSON(http.StatusCreated, map[string]any{"id": n.ID, "iban": iban, "name": n.Name, "bic": b.BIC,
		"base_url": s.origin(c.Request()) + path, "bank_keys": jsontext.Value(public)})
}

func (s *Sandbox) registerH2H(t *tx, b *bank, n newH2HClient, iban *string) error {
	var known h2hClient
	err := t.get(&known, `SELECT * FROM h2h_clients WHERE bank = ? AND id = ?`, b.ID, n.ID)
	switch {
	case err == nil && *iban == "":
		*iban = known.IBAN
	case err == nil && *iban != known.IBAN:
		return psd2.Fail(psd2.CodeConflict, "id_taken", "the id belongs to another account")
	case err != nil && !isNoRows(err):
		return err
	case err != nil && *iban == "":
		var next int64
		if err := t.get(&next, `UPDATE numbers SET next = next + 1 WHERE bank = ? RETURNING next`, b.ID); err != nil {
			return err
		}
		*iban = makeIBAN(b.BankCode, next-1)
	}
	if err := openAccount(t, account{IBAN: *iban, Holder: n.Name}); err != nil {
		return err
	}
	var a account
	if err := t.get(&a, `SELECT `+accountColumns+` FROM accounts WHERE iban = ?`, *iban); err != nil {
		return err
	}
	if a.Username != "" || a.Capital {
		return psd2.Fail(psd2.CodeConflict, "account_taken", "the account belongs to a customer or to the bank")
	}
	if _, err := t.exec(`UPDATE accounts SET holder = ? WHERE iban = ?`, n.Name, *iban); err != nil {
		return err
	}
	if known.ID == "" {
		var others int
		if err := t.get(&others, `SELECT count(*) FROM h2h_clients WHERE iban = ?`, *iban); err != nil {
			return err
		}
		if others > 0 {
			return psd2.Fail(psd2.CodeConflict, "account_taken", "the account belongs to another channel")
		}
		if err := endow(t, b.Bank, []string{*iban}, n.BalanceMinor, s.now()); err != nil {
			return err
		}
	}
	_, err = t.exec(`INSERT INTO h2h_clients (bank, id, iban, name, jwks, cert) VALUES (?,?,?,?,?,?)
		ON CONFLICT (bank, id) DO UPDATE SET name = excluded.name, jwks = excluded.jwks, cert = excluded.cert`,
		b.ID, n.ID, *iban, n.Name, string(n.Keys), n.CertSHA256)
	return err
}

// h2hKeys is the JWKS that answers are verified with.
func (s *Sandbox) h2hKeys(c echo.Context) error {
	keys, err := s.signingKeys()
	if err != nil {
		return err
	}
	public, err := keys.PublicJWKS(s.now())
	if err != nil {
		return err
	}
	return c.JSONBlob(http.StatusOK, public)
}

// h2hOrderView is an order as the operator sees it, whatever became of it.
type h2hOrderView struct {
	MessageID    string     `json:"message_id"`
	EndToEndID   string     `json:"end_to_end_id"`
	Amount       psd2.Money `json:"amount"`
	CreditorIBAN string     `json:"creditor_iban"`
	CreditorName string     `json:"creditor_name"`
	Status       string     `json:"status"`
	Reason       string     `json:"reason,omitempty"`
	Booked       bool       `json:"booked"`   // the account was debited
	Returned     bool       `json:"returned"` // and the money is back
	ReceivedAt   time.Time  `json:"received_at"`
}

func (s *Sandbox) listH2HOrders(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	q, args := `SELECT * FROM h2h_orders WHERE bank = ? AND client = ?`, []any{b.ID, c.Param("client")}
	if id := c.QueryParam("end_to_end_id"); id != "" {
		q, args = q+` AND end_to_end_id = ?`, append(args, id)
	}
	var rows []h2hOrder
	if err := s.file.sel(c.Request().Context(), &rows, q+` ORDER BY created_at, id LIMIT 1000`, args...); err != nil {
		return err
	}
	list := make([]h2hOrderView, len(rows))
	for i, o := range rows {
		list[i] = h2hOrderView{MessageID: o.MessageID, EndToEndID: o.EndToEndID, Amount: psd2.Euro(o.AmountMinor), CreditorIBAN: o.CreditorIBAN,
			CreditorName: o.CreditorName, Status: o.Status, Reason: o.Reason, Booked: o.booked(), Returned: o.Returned != 0,
			ReceivedAt: time.UnixMicro(o.CreatedAt).UTC()}
	}
	return c.JSON(http.StatusOK, map[string]any{"orders": list})
}

func (s *Sandbox) getH2HSwitches(c echo.Context) error {
	return c.JSON(http.StatusOK, s.h2hBoardOf(c.Get(bankKey).(*bank).ID, c.Param("client")).get())
}

func (s *Sandbox) postH2HSwitches(c echo.Context) error {
	body, err := readBody(c.Request())
	if err != nil {
		return badJSON
	}
	b := s.h2hBoardOf(c.Get(bankKey).(*bank).ID, c.Param("client"))
	now, ok := b.update(func(sw *H2HSwitches) bool { return decode(body, sw) == nil })
	if !ok {
		return psd2.Invalid("", "switches_invalid", "a switch is unknown or out of range; nothing was changed")
	}
	return c.JSON(http.StatusOK, now)
}
