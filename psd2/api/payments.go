package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
	"github.com/rialto-hub/rialto/psd2/edge"
	"github.com/rialto-hub/rialto/psd2/hub"
	"github.com/rialto-hub/rialto/psd2/store"
)

// createRequest is the body of POST /v1/payments. It holds what a merchant may
// say and nothing else: no id, no state, no merchant.
type createRequest struct {
	Amount struct {
		AmountMinor int64  `json:"amount_minor"`
		Currency    string `json:"currency"`
	} `json:"amount"`
	PayeeAccountID string `json:"payee_account_id"`
	Reference      string `json:"reference"`
	Player         struct {
		Reference                 string `json:"reference"`
		Name                      string `json:"name"`
		DateOfBirth               string `json:"date_of_birth"`
		Residence                 string `json:"residence"`
		KYCStatus                 string `json:"kyc_status"`
		RegisteredAt              string `json:"registered_at"`
		StakeMinorSinceLastPayout *int64 `json:"stake_minor_since_last_payout"`
	} `json:"player"`
	ReturnURI string            `json:"return_uri"`
	State     string            `json:"state"`
	BankID    string            `json:"bank_id"`
	Locale    string            `json:"locale"`
	DeviceID  string            `json:"device_id"`
	Metadata  map[string]string `json:"metadata"`
}

func (r *createRequest) start() hub.StartRequest {
	return hub.StartRequest{
		Amount:         psd2.Money{AmountMinor: r.Amount.AmountMinor, Currency: r.Amount.Currency},
		PayeeAccountID: r.PayeeAccountID, Reference: r.Reference,
		Player: psd2.Player{
			Reference: r.Player.Reference, Name: r.Player.Name, DateOfBirth: r.Player.DateOfBirth,
			Residence: r.Player.Residence, KYCStatus: r.Player.KYCStatus, RegisteredAt: r.Player.RegisteredAt,
			StakeMinorSinceLastPayout: r.Player.StakeMinorSinceLastPayout,
		},
		ReturnURI: r.ReturnURI, State: r.State, BankID: r.BankID, Locale: r.Locale, DeviceID: r.DeviceID, Metadata: r.Metadata,
	}
}

// createdPayment is the answer to a creation. The hosted page's link is a
// secret of this answer: we keep only its hash, and no other call returns it.
type createdPayment struct {
	psd2.PaymentView
	HostedPage hostedPage `json:"hosted_page"`
}

type hostedPage struct {
	URL string `json:"url"`
}

// createPayment writes key, answer and payment in one transaction.
func (a *room) createPayment(c echo.Context, o *order) error {
	p, ans, invalid := a.draft(o)
	ans, err := a.ready(c, o, ans, invalid, func(tx *store.Tx) error { return a.Hub.CreateIn(tx, p) })
	if err != nil {
		return err
	}
	var created string
	if ans.replayed {
		created = idOf(psd2.PrefixPayment, ans.body)
	} else {
		created = p.ID
	}
	edge.Annotate(c.Request().Context(), "payment_id", created)
	ans.location = "/v1/payments/" + created
	return ans.write(c)
}

// draft makes the payment that is asked for, and the answer to it.
func (a *room) draft(o *order) (*psd2.Payment, *answer, error) {
	var wish createRequest
	if err := edge.DecodeStrict(o.body, &wish); err != nil {
		return nil, nil, err
	}
	p, url, err := a.Hub.Draft(o.merchant, wish.start(), a.Store.Now())
	if err != nil {
		return nil, nil, err
	}
	ans, err := jsonAnswer(http.StatusCreated, createdPayment{p.View(), hostedPage{url}})
	return p, ans, err
}

// paymentID takes the id from the path and from nowhere else. What has not the
// form of one does not exist.
func paymentID(c echo.Context) (string, error) {
	id := c.Param("id")
	if !psd2.IsID(psd2.PrefixPayment, id) {
		return "", psd2.NotFound("payment")
	}
	edge.Annotate(c.Request().Context(), "payment_id", id)
	return id, nil
}

func (a *room) ownPayment(c echo.Context, who *call) (*psd2.Payment, error) {
	if _, err := query(c.Request()); err != nil {
		return nil, err
	}
	id, err := paymentID(c)
	if err != nil {
		return nil, err
	}
	return a.Store.MerchantPayment(c.Request().Context(), who.merchant.ID, id)
}

func (a *room) getPayment(c echo.Context, who *call) error {
	p, err := a.ownPayment(c, who)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, p.View())
}

// cancelPayment may have to ask the bank. Cancelling twice is cancelling once.
func (a *room) cancelPayment(c echo.Context, o *order) error {
	if err := o.empty(); err != nil {
		return err
	}
	p, err := a.ownPayment(c, o.call)
	if err != nil {
		return err
	}
	ans, err := a.apart(c, o, func() (*answer, error) {
		p, err := a.Hub.CancelByMerchant(c.Request().Context(), o.merchant.ID, p.ID)
		switch {
		case psd2.CodeOf(err) == psd2.CodeConflict && err != nil:
			return &answer{status: http.StatusConflict, body: edge.ProblemBody(c.Request(), err)}, nil
		case err != nil:
			return nil, err
		}
		return jsonAnswer(http.StatusOK, p.View())
	})
	if err != nil {
		return err
	}
	return ans.write(c)
}

type paymentList struct {
	Data       []psd2.PaymentView `json:"data"`
	NextCursor *string            `json:"next_cursor"` // null on the last page
}

func (a *room) listPayments(c echo.Context, who *call) error {
	f, err := filterOf(c.Request())
	if err != nil {
		return err
	}
	f.MerchantID = who.merchant.ID
	payments, next, err := a.Store.Payments(c.Request().Context(), f)
	if err != nil {
		return err
	}
	list := paymentList{Data: make([]psd2.PaymentView, 0, len(payments))}
	for _, p := range payments {
		list.Data = append(list.Data, p.View())
	}
	if next != "" {
		list.NextCursor = &next
	}
	return c.JSON(http.StatusOK, list)
}

func filterOf(r *http.Request) (f store.Filter, err error) {
	q, err := query(r, "status", "player_reference", "reference", "end_to_end_id", "created_from", "created_to", "limit", "cursor")
	if err != nil {
		return f, err
	}
	f = store.Filter{
		State: psd2.State(q["status"]), PlayerReference: q["player_reference"], Reference: q["reference"],
		EndToEndID: q["end_to_end_id"], Cursor: q["cursor"],
	}
	if _, given := q["status"]; given && !slices.Contains(psd2.States, f.State) {
		return f, psd2.Invalid("status", "status_unknown", "there is no such status")
	}
	if _, given := q["cursor"]; given && !psd2.IsID(psd2.PrefixPayment, f.Cursor) {
		return f, psd2.Invalid("cursor", "cursor_invalid", "take the cursor from next_cursor of the page before")
	}
	if err := checkFilterText(q, "player_reference", "reference", "end_to_end_id"); err != nil {
		return f, err
	}
	if f.CreatedFrom, err = timeOf(q, "created_from"); err != nil {
		return f, err
	}
	if f.CreatedTo, err = timeOf(q, "created_to"); err != nil {
		return f, err
	}
	f.Limit, err = limitOf(q)
	return f, err
}

// checkFilterText refuses texts that nothing can have.
func checkFilterText(q map[string]string, names ...string) error {
	for _, name := range names {
		max := psd2.MaxReference
		if name == "player_reference" {
			max = 64
		}
		value, given := q[name]
		if given && (value == "" || psd2.CheckText(name, value, max) != nil) {
			return psd2.Invalid(name, "text_invalid", "the value is empty, too long or has invisible characters")
		}
	}
	return nil
}

func timeOf(q map[string]string, name string) (time.Time, error) {
	raw, given := q[name]
	if !given {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, raw)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, psd2.Invalid(name, "time_invalid", "the time must be RFC 3339, such as 2026-01-31T12:00:00Z, with + written as %2B")
	}
	return t, nil
}
