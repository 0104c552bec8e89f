package sandbox

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
)

const (
	product     = "instant-sepa-credit-transfers"
	maxBody     = 64 << 10
	bankKey     = "bank"
	requestIDHd = "X-Request-ID"
)

// xs2aRoutes is the interface for payment initiation service providers.
func (s *Sandbox) xs2aRoutes(e *echo.Echo) {
	g := e.Group("/:bank/v1", s.xs2a)
	g.POST("/:service/:product", s.initiate)
	g.GET("/:service/:product/:id", s.paymentInfo)
	g.DELETE("/:service/:product/:id", s.cancelPayment)
	g.GET("/:service/:product/:id/status", s.paymentStatus)
	g.GET("/:service/:product/:id/authorisations", s.authorisations)
	g.GET("/:service/:product/:id/authorisations/:auth", s.authorisation)
	g.Any("/*", func(echo.Context) error {
		return xs2aError(http.StatusNotFound, "RESOURCE_UNKNOWN", "", "no such resource")
	})
}

// xs2a is what precedes every call: which bank, is it open, is the call well
// formed. It answers every failure in the standard's form.
func (s *Sandbox) xs2a(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(requestIDHd)
		if !isUUID(id) {
			c.Response().Header().Set(requestIDHd, psd2.NewUUID(s.now(), bytes.NewReader(s.bytes(10))))
		} else {
			c.Response().Header().Set(requestIDHd, id)
		}
		b := s.banks[c.Param("bank")]
		if b == nil {
			return s.answerError(c, xs2aError(http.StatusNotFound, "RESOURCE_UNKNOWN", "", "no such bank"))
		}
		c.Set(bankKey, b)
		sw := b.switches.get()
		pause(c.Request().Context(), sw.LatencyMillis)
		if sw.Down {
			c.Response().Header().Set("Retry-After", strconv.Itoa(sw.RetryAfterSecs))
			return c.NoContent(http.StatusServiceUnavailable)
		}
		if err := checkCall(c, id); err != nil {
			return s.answerError(c, err)
		}
		if err := next(c); err != nil {
			return s.answerError(c, err)
		}
		return nil
	}
}

// checkCall checks what all calls have in common.
func checkCall(c echo.Context, requestID string) error {
	switch {
	case !isUUID(requestID):
		return xs2aError(http.StatusBadRequest, "FORMAT_ERROR", requestIDHd, "X-Request-ID must be a UUID")
	case !accepts(c.Request().Header.Values("Accept")):
		return xs2aError(http.StatusNotAcceptable, "REQUESTED_FORMATS_INVALID", "Accept", "this bank answers in application/json")
	}
	switch c.Param("service") {
	case "", "payments":
	case "bulk-payments", "periodic-payments":
		return xs2aError(http.StatusMethodNotAllowed, "SERVICE_INVALID", "", "this bank offers single payments only")
	default:
		return xs2aError(http.StatusNotFound, "RESOURCE_UNKNOWN", "", "no such resource")
	}
	if p := c.Param("product"); p != "" && p != product {
		return xs2aError(http.StatusNotFound, "PRODUCT_UNKNOWN", "", "this bank offers "+product+" only")
	}
	return nil
}

// initiate stores a new order, every time it is called.
func (s *Sandbox) initiate(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	o, err := readOrder(c.Request())
	if err != nil {
		return err
	}
	if b.switches.take(loseBefore) {
		cut(c.Response())
		return nil
	}
	now, page := s.now(), s.token()
	o.ID = psd2.NewUUID(now, bytes.NewReader(s.bytes(10)))
	o.SCAID = psd2.NewUUID(now, bytes.NewReader(s.bytes(10)))
	o.Bank, o.Product, o.Status, o.SCAStatus, o.PageHash = b.ID, product, received, scaReceived, hash(page)
	o.CreatedAt, o.ExpiresAt = now.UnixMicro(), now.Add(b.RedirectLife).UnixMicro()
	if err := s.insertOrder(o); err != nil {
		return err
	}
	if b.switches.take(loseAfter) {
		cut(c.Response())
		return nil
	}
	self := orderPath(o)
	h := c.Response().Header()
	h.Set("Location", self)
	h.Set("ASPSP-SCA-Approach", "REDIRECT")
	return c.JSON(http.StatusCreated, initiated{
		TransactionStatus: o.Status,
		PaymentID:         o.ID,
		SCAStatus:         o.SCAStatus,
		Links: links{
			"scaRedirect": {s.origin(c.Request()) + "/" + b.ID + "/pay/" + page},
			"self":        {self},
			"status":      {self + "/status"},
			"scaStatus":   {self + "/authorisations/" + o.SCAID},
		},
	})
}

// paymentInfo answers with the order and, once the payer has confirmed, with
// the account he chose and, where the bank says so, its holder.
func (s *Sandbox) paymentInfo(c echo.Context) error {
	b, o, err := s.asked(c)
	if err != nil || o == nil {
		return err
	}
	return c.JSON(http.StatusOK, payment{
		EndToEndID:        o.EndToEndID,
		DebtorName:        shownHolder(b, o),
		DebtorAccount:     accountReference{IBAN: firstOf(o.DebtorIBAN, o.DebtorAsked)},
		InstructedAmount:  amount{Currency: psd2.EUR, Amount: psd2.Euro(o.AmountMinor).Decimal()},
		CreditorAccount:   accountReference{IBAN: o.CreditorIBAN},
		CreditorAgent:     o.CreditorBIC,
		CreditorName:      o.CreditorName,
		Remittance:        o.Remittance,
		TransactionStatus: o.Status,
		TPPMessages:       reasonMessages(o),
	})
}

func (s *Sandbox) paymentStatus(c echo.Context) error {
	b, o, err := s.asked(c)
	if err != nil || o == nil {
		return err
	}
	answer := status{TransactionStatus: o.Status, TPPMessages: reasonMessages(o)}
	if name := shownHolder(b, o); name != "" {
		answer.OwnerNames = []owner{{Name: name, Role: "owner"}}
	}
	return c.JSON(http.StatusOK, answer)
}

func (s *Sandbox) authorisations(c echo.Context) error {
	_, o, err := s.asked(c)
	if err != nil || o == nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string][]string{"authorisationIds": {o.SCAID}})
}

func (s *Sandbox) authorisation(c echo.Context) error {
	_, o, err := s.asked(c)
	if err != nil || o == nil {
		return err
	}
	if c.Param("auth") != o.SCAID {
		return xs2aError(http.StatusNotFound, "RESOURCE_UNKNOWN", "", "no such authorisation")
	}
	return c.JSON(http.StatusOK, map[string]string{"scaStatus": o.SCAStatus})
}

// cancelPayment ends an order before the payer has confirmed it; afterwards an
// instant payment cannot be cancelled.
func (s *Sandbox) cancelPayment(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	ok, err := s.cancel(b.ID, c.Param("id"))
	switch {
	case isNoRows(err):
		return xs2aError(http.StatusNotFound, "RESOURCE_UNKNOWN", "", "no such payment")
	case err != nil:
		return err
	case !ok:
		return xs2aError(http.StatusMethodNotAllowed, "CANCELLATION_INVALID", "", "the payment can no longer be cancelled")
	}
	return c.NoContent(http.StatusNoContent)
}

// asked loads the order a question is about. A nil order without an error
// means that the answer is lost: the connection is gone already.
func (s *Sandbox) asked(c echo.Context) (*bank, *order, error) {
	b := c.Get(bankKey).(*bank)
	o, err := s.order(c.Request().Context(), b.ID, c.Param("id"))
	if isNoRows(err) {
		return nil, nil, xs2aError(http.StatusNotFound, "RESOURCE_UNKNOWN", "", "no such payment")
	}
	if err != nil {
		return nil, nil, err
	}
	mute, err := s.muted(o)
	if err != nil {
		return nil, nil, err
	}
	if mute || b.switches.take(loseStatus) {
		cut(c.Response())
		return nil, nil, nil
	}
	return b, &o, nil
}

// shownHolder is the account holder where this bank's interface names him,
// which is after successful authentication only.
func shownHolder(b *bank, o *order) string {
	if b.Holder == HolderInStatus && o.SCAStatus == scaFinalised {
		return o.DebtorName
	}
	return ""
}

func orderPath(o *order) string { return "/" + o.Bank + "/v1/payments/" + product + "/" + o.ID }

// origin is where the payer's browser finds the bank.
func (s *Sandbox) origin(r *http.Request) string {
	switch {
	case s.cfg.URL != "":
		return s.cfg.URL
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// answerError writes a failure in the standard's form; what is not the
// caller's fault is told to the log alone.
func (s *Sandbox) answerError(c echo.Context, err error) error {
	if c.Response().Committed {
		return nil
	}
	var x *callError
	if !errors.As(err, &x) {
		s.log.Error("sandbox", "path", c.Path(), "err", err)
		x = &callError{status: http.StatusInternalServerError, message: tppMessage{Category: "ERROR", Code: "INTERNAL_SERVER_ERROR"}}
	}
	return c.JSON(x.status, map[string][]tppMessage{"tppMessages": {x.message}})
}

// readBody reads at most maxBody bytes.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return nil, xs2aError(http.StatusBadRequest, "FORMAT_ERROR", "", "the body is too long or broke off")
	}
	return body, nil
}
