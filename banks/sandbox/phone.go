package sandbox

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
)

// ask is something the bank's app wants confirmed, or a text message with a
// code.
type ask struct {
	order
	Action   string // where the answer goes; "" for a message
	Accounts []account
}

// phonePage is the customer's phone: authenticator, the bank's app, messages.
type phonePage struct {
	frame
	Code     string
	Used     bool
	Left     int
	Asks     []ask
	Messages []ask
	App      bool // the bank asks its customers in the app
}

// showPhone is the customer's phone. It needs no login: it is in his hand.
func (s *Sandbox) showPhone(c echo.Context) error {
	return s.phonePage(c, http.StatusOK, "")
}

func (s *Sandbox) phonePage(c echo.Context, code int, p problem) error {
	b, user := c.Get(bankKey).(*bank), c.Param("user")
	var psu psuRow
	if err := s.file.get(c.Request().Context(), &psu, psuQuery, b.ID, user); err != nil {
		return err
	}
	now := s.now().Unix()
	totp, err := psu.code(now / totpPeriod)
	if err != nil {
		return err
	}
	left := int(totpPeriod - now%totpPeriod)
	page := phonePage{frame: frameOf(b), Code: totp, Used: psu.LastStep >= now/totpPeriod, Left: left, App: b.Approach == Decoupled}
	if page.Asks, page.Messages, err = s.asks(c, b, user); err != nil {
		return err
	}
	page.Problem, page.Refresh = p, min(left, 5)
	if len(page.Asks) > 0 {
		page.Refresh = left // he may be choosing an account
	}
	return s.render(c, code, "phone", "phone_title", &page, "", "user", user)
}

// asks are what waits for this customer, oldest first.
func (s *Sandbox) asks(c echo.Context, b *bank, user string) (asks, messages []ask, err error) {
	ctx := c.Request().Context()
	var waiting []order
	err = s.file.sel(ctx, &waiting, `SELECT * FROM orders WHERE bank = ? AND session_user = ? AND sca_status IN ('started', 'scaMethodSelected')
		ORDER BY created_at LIMIT 20`, b.ID, user)
	if err != nil {
		return nil, nil, err
	}
	var ids []string
	err = s.file.sel(ctx, &ids, `SELECT c.order_id FROM cancellations c JOIN orders o ON o.id = c.order_id
		WHERE o.bank = ? AND c.session_user = ? AND c.sca_status IN ('started', 'scaMethodSelected') AND o.status = 'RCVD' LIMIT 20`, b.ID, user)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		o, err := s.loadCancelling(s.reading(ctx), b.ID, id)
		if err != nil {
			return nil, nil, err
		}
		waiting = append(waiting, o)
	}
	var accounts []account
	if err := s.file.sel(ctx, &accounts, accountsQuery, b.ID, user); err != nil {
		return nil, nil, err
	}
	for _, o := range waiting {
		if o = o.seen(s.now()); !o.waits() {
			continue
		}
		a := ask{order: o, Accounts: usable(accounts, o.DebtorAsked)}
		if o.SCAStatus == scaStarted {
			a.Action = "/" + b.ID + "/phone/" + url.PathEscape(user) + "/" + o.SCAID
			asks = append(asks, a)
		} else if o.Code != "" {
			messages = append(messages, a)
		}
	}
	return asks, messages, nil
}

// postPhone takes the customer's answer in the app.
func (s *Sandbox) postPhone(c echo.Context) error {
	b, user := c.Get(bankKey).(*bank), c.Param("user")
	which, err := s.askedInApp(c, b)
	if err != nil {
		return err
	}
	var p problem
	mine := func(o *order) bool {
		return o.waits() && o.SCAStatus == scaStarted && o.SessionUser == user && o.SCAID == c.Param("auth")
	}
	switch c.FormValue("action") {
	case "pay", "cancel":
		_, err = s.change(b, which, func(t *tx, o *order) error {
			if p = ""; !mine(o) {
				return nil
			}
			var psu psuRow
			if err := t.get(&psu, psuQuery, b.ID, user); err != nil {
				return err
			}
			a, err := payingAccount(t, b, o, c.FormValue("account"))
			if err != nil {
				return err
			}
			if a == nil && !o.Cancelling {
				p = noAccount
				return nil
			}
			return s.settle(t, b, o, psu.Behaviour, a, s.now())
		})
	case "decline", "keep":
		_, err = s.change(b, which, func(_ *tx, o *order) error {
			if mine(o) {
				o.declined()
			}
			return nil
		})
	default:
		return echo.ErrBadRequest
	}
	if err != nil {
		return err
	}
	if p != "" {
		return s.phonePage(c, http.StatusUnprocessableEntity, p)
	}
	return c.Redirect(http.StatusSeeOther, "/"+b.ID+"/phone/"+url.PathEscape(user))
}

// askedInApp finds what an authorisation in the app is about.
func (s *Sandbox) askedInApp(c echo.Context, b *bank) (finder, error) {
	get, sca := s.reading(c.Request().Context()), c.Param("auth")
	var id string
	err := get(&id, `SELECT order_id FROM cancellations WHERE sca_id = ?`, sca)
	if err == nil {
		return s.byID(id, true), nil
	}
	if !isNoRows(err) {
		return nil, err
	}
	err = get(&id, `SELECT id FROM orders WHERE sca_id = ? AND bank = ? AND session_user = ? AND sca_status = 'started'`, sca, b.ID, c.Param("user"))
	if isNoRows(err) {
		return nil, psd2.NotFound("confirmation")
	}
	return s.byID(id, false), err
}
