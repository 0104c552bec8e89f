package sandbox

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
)

// routes puts all parts behind one handler.
func (s *Sandbox) routes() http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.answerPage
	s.xs2aRoutes(e)
	s.payerRoutes(e)
	s.oauthRoutes(e)
	s.h2hRoutes(e)
	s.vopRoutes(e)
	e.GET("/", s.index)
	e.GET("/favicon.ico", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	g := e.Group("/sandbox", s.operator)
	g.GET("/personas", s.listPersonas)
	g.GET("/orders", s.listOrders)
	g.GET("/ledger", s.ledger)
	g.GET("/accounts/:iban/entries", s.accountEntries)
	g.POST("/:bank/psus", s.postPSUs)
	g.GET("/:bank/switches", s.getSwitches)
	g.POST("/:bank/switches", s.postSwitches)
	s.h2hOperatorRoutes(g)
	s.vopOperatorRoutes(g)
	return secure(e)
}

// secure refuses forms from other sites and sets the headers every answer has.
// The referrer stays within the bank: its pages' addresses hold the order's
// token.
func secure(next http.Handler) http.Handler {
	guarded := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		guarded.ServeHTTP(w, r)
	})
}

// operator answers the operator's failures as JSON.
func (s *Sandbox) operator(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "no-store")
		if id := c.Param("bank"); id != "" {
			b := s.banks[id]
			if b == nil {
				return c.JSON(http.StatusNotFound, failure{"bank_not_found", "there is no such bank", ""})
			}
			c.Set(bankKey, b)
		}
		err := next(c)
		var e *psd2.Error
		if !errors.As(err, &e) {
			return err
		}
		status := http.StatusBadRequest
		switch e.Code {
		case psd2.CodeConflict:
			status = http.StatusConflict
		case psd2.CodeNotFound:
			status = http.StatusNotFound
		}
		return c.JSON(status, failure{e.Reason, e.Message, e.Field})
	}
}

type failure struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Field  string `json:"field,omitempty"`
}

// bankView is a bank as the index page and /sandbox/personas show it.
type bankView struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	BIC      string     `json:"bic"`
	Approach Approach   `json:"approach"`
	Features []string   `json:"features"` // what else is special about it: keys of the texts, without "has_"
	Holder   HolderMode `json:"holder"`
	Down     bool       `json:"down"`
	Hostile  bool       `json:"hostile"` // a switch is on
	Personas []PSU      `json:"personas"`

	Tint int    `json:"-"` // which colour of the sheet
	Mark string `json:"-"`
}

// features names what an adapter has to cope with at this bank.
func (b Bank) features() []string {
	list := []string{}
	for _, f := range []struct {
		has  bool
		name string
	}{
		{b.Approach == Redirect && !b.Explicit && b.OAuth == "", "implicit"},
		{b.Explicit && b.Approach != Embedded, "explicit"},
		{b.Confirmation, "confirmation"},
		{b.OAuth == OAuthPreStep, "oauth_before"},
		{b.OAuth == OAuthIntegrated, "oauth_integrated"},
		{b.CancelAuthorisation, "cancel_authorisation"},
		{b.PSUIDRequired, "psu_id"},
		{b.DebtorRequired, "debtor"},
		{b.XML, "xml"},
		{b.Signing != "", "signing_" + string(b.Signing)},
		{b.Final == "ACSC", "acsc"},
		{b.hint != "", b.hint},
	} {
		if f.has {
			list = append(list, f.name)
		}
	}
	return list
}

func (s *Sandbox) views() []bankView {
	list := make([]bankView, len(s.cfg.Banks))
	for i, b := range s.cfg.Banks {
		sw := s.banks[b.ID].switches.get()
		quiet := sw
		quiet.Down = false
		list[i] = bankView{ID: b.ID, Name: b.Name, BIC: b.BIC, Approach: b.Approach, Features: b.features(), Holder: b.Holder, Down: sw.Down,
			Hostile: !quiet.Quiet(), Personas: s.Personas(b.ID), Tint: i, Mark: s.banks[b.ID].mark}
	}
	return list
}

func (s *Sandbox) index(c echo.Context) error {
	page := struct {
		frame
		Origin   string
		Password string
		Banks    []bankView
	}{frame: frameOf(s.banks[s.cfg.Banks[0].ID]), Origin: s.origin(c.Request()), Password: personaPassword, Banks: s.views()}
	page.BankName, page.Mark, page.Wide = "Sandbox", "S", true
	return s.render(c, http.StatusOK, "index", "index_title", &page, "")
}

func (s *Sandbox) listPersonas(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]any{"banks": s.views()})
}

// orderView is an order as /sandbox/orders shows it, whatever became of it.
type orderView struct {
	PaymentID    string     `json:"payment_id"`
	Bank         string     `json:"bank"`
	EndToEndID   string     `json:"end_to_end_id"`
	Amount       psd2.Money `json:"amount"`
	CreditorIBAN string     `json:"creditor_iban"`
	CreditorName string     `json:"creditor_name"`
	DebtorAsked  string     `json:"debtor_asked,omitempty"` // the account the TPP named
	Status       string     `json:"status"`                 // transactionStatus
	Reason       string     `json:"reason,omitempty"`
	SCAStatus    string     `json:"sca_status"`
	Booked       bool       `json:"booked"` // the payer was debited
	ReceivedAt   time.Time  `json:"received_at"`
}

// listOrders lists what was received under an EndToEndId, or the one order of a
// payment id, oldest first. An EndToEndId is searched for without an index: an
// operator asks seldom, and every order would pay for it.
func (s *Sandbox) listOrders(c echo.Context) error {
	name, id := c.QueryParam("end_to_end_id"), c.QueryParam("payment_id")
	if (name == "") == (id == "") {
		return psd2.Invalid("end_to_end_id", "order_unnamed", "name the orders by either end_to_end_id or payment_id")
	}
	q, value := ordersQuery+`o.end_to_end_id = ? ORDER BY o.created_at, o.id LIMIT 1000`, name
	if id != "" {
		q, value = ordersQuery+`o.id = ?`, id
	}
	var found []struct {
		order
		Booked bool `db:"booked"`
	}
	if err := s.file.sel(c.Request().Context(), &found, q, value); err != nil {
		return err
	}
	list := make([]orderView, len(found))
	for i, f := range found {
		o := f.seen(s.now())
		list[i] = orderView{
			PaymentID: o.ID, Bank: o.Bank, EndToEndID: o.EndToEndID, Amount: psd2.Euro(o.AmountMinor),
			CreditorIBAN: o.CreditorIBAN, CreditorName: o.CreditorName, DebtorAsked: o.DebtorAsked,
			Status: o.Status, Reason: o.Reason, SCAStatus: o.SCAStatus, Booked: f.Booked, ReceivedAt: time.UnixMicro(o.CreatedAt).UTC(),
		}
	}
	return c.JSON(http.StatusOK, map[string]any{"orders": list})
}

const ordersQuery = `SELECT o.*, EXISTS (SELECT 1 FROM transfers t WHERE t.order_id = o.id) AS booked FROM orders o WHERE `

// ledger lists executed transfers, oldest first: of one EndToEndId, or all of
// them after a position. Opening balances are not among them.
func (s *Sandbox) ledger(c echo.Context) error {
	after, limit, err := paging(c)
	if err != nil {
		return err
	}
	q := `SELECT position, bank, order_id, end_to_end_id, amount_minor, debtor_iban, debtor_name, creditor_iban, creditor_name, remittance,
		executed_at FROM transfers WHERE order_id IS NOT NULL AND position > ?`
	args := []any{after}
	if e2e := c.QueryParam("end_to_end_id"); e2e != "" {
		q, args = q+` AND end_to_end_id = ?`, append(args, e2e)
	}
	list := []Transfer{}
	if err := s.file.sel(c.Request().Context(), &list, q+` ORDER BY position LIMIT ?`, append(args, limit)...); err != nil {
		return err
	}
	for i := range list {
		list[i].Amount, list[i].ExecutedAt = psd2.Euro(list[i].AmountMinor), time.UnixMicro(list[i].Executed).UTC()
	}
	return c.JSON(http.StatusOK, map[string]any{"transfers": list})
}

// accountEntries is an account's statement, oldest first, with its balance.
func (s *Sandbox) accountEntries(c echo.Context) error {
	after, limit, err := paging(c)
	if err != nil {
		return err
	}
	iban, ctx := compact(c.Param("iban")), c.Request().Context()
	var a account
	err = s.file.get(ctx, &a, `SELECT `+accountColumns+` FROM accounts WHERE iban = ?`, iban)
	if isNoRows(err) {
		return psd2.NotFound("account")
	}
	if err != nil {
		return err
	}
	list := []Entry{}
	err = s.file.sel(ctx, &list, `SELECT e.position, e.amount_minor, t.end_to_end_id, e.counterparty_iban, e.counterparty_name, t.remittance,
		t.executed_at FROM entries e JOIN transfers t ON t.position = e.transfer WHERE e.iban = ? AND e.position > ?
		ORDER BY e.position LIMIT ?`, iban, after, limit)
	if err != nil {
		return err
	}
	for i := range list {
		list[i].Amount, list[i].BookedAt = psd2.Euro(list[i].AmountMinor), time.UnixMicro(list[i].Executed).UTC()
	}
	return c.JSON(http.StatusOK, map[string]any{"iban": a.IBAN, "holder": a.Holder, "balance": psd2.Euro(a.Balance), "entries": list})
}

func paging(c echo.Context) (after, limit int64, err error) {
	after, limit = 0, 1000
	for name, to := range map[string]*int64{"after": &after, "limit": &limit} {
		v := c.QueryParam(name)
		if v == "" {
			continue
		}
		if *to, err = strconv.ParseInt(v, 10, 64); err != nil || *to < 0 {
			return 0, 0, psd2.Invalid(name, name+"_invalid", name+" must be a number")
		}
	}
	return after, min(limit, 1000), nil
}

func (s *Sandbox) postPSUs(c echo.Context) error {
	var n newPSUs
	body, err := readBody(c.Request())
	if err == nil {
		err = decode(body, &n)
	}
	if err != nil {
		return badJSON
	}
	list, err := s.createPSUs(c.Get(bankKey).(*bank), n)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, map[string]any{"psus": list})
}

func decode(body []byte, dst any) error {
	return json.Unmarshal(body, dst, json.RejectUnknownMembers(true))
}

var badJSON = psd2.Invalid("", "json_invalid", "the body is not the JSON this call reads")

func wantsPage(c echo.Context) bool {
	return strings.Contains(c.Request().Header.Get("Accept"), "text/html")
}
