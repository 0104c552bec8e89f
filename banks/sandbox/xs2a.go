package sandbox

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
)

const (
	product     = "instant-sepa-credit-transfers"
	productXML  = "pain.001-" + product
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
	s.authorisationRoutes(g)
	g.POST("/funds-confirmations", s.fundsConfirmation)
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
			c.Response().Header().Set(requestIDHd, s.uuid())
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
		if err := checkCall(c, b, id); err != nil {
			return s.answerError(c, err)
		}
		if err := s.checkSignature(c.Request(), b); err != nil {
			return s.answerError(c, err)
		}
		if err := s.checkToken(c, b); err != nil {
			return s.answerError(c, err)
		}
		if err := next(c); err != nil {
			return s.answerError(c, err)
		}
		return nil
	}
}

// checkCall checks what all calls have in common.
func checkCall(c echo.Context, b *bank, requestID string) error {
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
	if p := c.Param("product"); p != "" && p != product && (p != productXML || !b.XML) {
		return xs2aError(http.StatusNotFound, "PRODUCT_UNKNOWN", "", "this bank does not offer this product")
	}
	return nil
}

// initiate stores a new order, every time it is called.
func (s *Sandbox) initiate(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	o, err := readOrder(c.Request(), b, c.Param("product"))
	if err != nil {
		return err
	}
	if done, err := b.switches.refuse(c, b.switches.get().InitiationAnswer); done {
		return err
	}
	if b.switches.take(loseBefore) {
		cut(c.Response())
		return nil
	}
	now, page := s.now(), s.token()
	o.ID = s.uuid()
	o.Bank, o.Status, o.PageHash = b.ID, received, hash(page)
	o.CreatedAt, o.ExpiresAt = now.UnixMicro(), now.Add(b.RedirectLife).UnixMicro()
	if err := s.begin(c, b, o); err != nil {
		return err
	}
	b.switches.distort(o)
	if err := s.insertOrder(o); err != nil {
		return err
	}
	if b.switches.take(loseAfter) {
		cut(c.Response())
		return nil
	}
	if done, err := b.switches.answerInitiation(c); done {
		return err
	}
	answer := initiated{TransactionStatus: o.Status, PaymentID: o.ID, SCAStatus: o.SCAStatus, Links: s.initiationLinks(c, b, o, page)}
	if o.SCAStatus == scaStarted {
		answer.Message = s.say(c, "open_app", "bank", b.Name)
	}
	h := c.Response().Header()
	h.Set("Location", orderPath(o))
	h.Set("ASPSP-SCA-Approach", approachHeader(b))
	if o.NotifyURI != "" {
		h.Set("ASPSP-Notification-Support", "true")
		h.Set("ASPSP-Notification-Content", "status=LAST")
	}
	return c.JSON(http.StatusCreated, answer)
}

// begin starts the authorisation with the order, where the bank does that
// (implicit start).
func (s *Sandbox) begin(c echo.Context, b *bank, o *order) error {
	user := c.Request().Header.Get("PSU-ID")
	if b.Explicit || b.Approach == Decoupled && user == "" {
		if user != "" && psd2.CheckText("PSU-ID", user, 70) == nil {
			o.SessionUser = user
		}
		return nil
	}
	o.SCAID, o.SCAStatus = s.uuid(), scaReceived
	if b.Approach == Redirect {
		return nil
	}
	var refused error
	err := s.file.do(func(t *tx) (err error) {
		refused, err = s.identify(t, b, o, user)
		return err
	})
	return errors.Join(err, refused)
}

// initiationLinks say what is wanted next of a new order.
func (s *Sandbox) initiationLinks(c echo.Context, b *bank, o *order, page string) links {
	self := orderPath(o)
	l := links{"self": {self}, "status": {self + "/status"}}
	if o.SCAID != "" {
		l["scaStatus"] = link{self + "/authorisations/" + o.SCAID}
		if b.Approach == Redirect {
			s.redirectLinks(c, b, o, page, l)
		}
		return l
	}
	start := link{self + "/authorisations"}
	switch {
	case b.Approach == Decoupled || b.Approach == Embedded && o.SessionUser == "":
		l["startAuthorisationWithPsuIdentification"] = start
		if b.Approach == Embedded {
			l["startAuthorisationWithPsuAuthentication"] = start
		}
	case b.Approach == Embedded:
		l["startAuthorisationWithPsuAuthentication"] = start
	default:
		l["startAuthorisation"] = start
	}
	return l
}

// paymentInfo answers with the order and, once the payer has confirmed, with
// the account he chose and, where the bank says so, its holder.
func (s *Sandbox) paymentInfo(c echo.Context) error {
	b, o, err := s.asked(c, false)
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
	b, o, err := s.asked(c, false)
	if err != nil || o == nil {
		return err
	}
	answer := status{TransactionStatus: o.Status, TPPMessages: reasonMessages(o)}
	if name := shownHolder(b, o); name != "" {
		answer.OwnerNames = []owner{{Name: name, Role: "owner"}}
	}
	return c.JSON(http.StatusOK, answer)
}

// cancelPayment ends an order before the payer has confirmed it; afterwards an
// instant payment cannot be cancelled. Where the payer has to authorise that,
// the order stands until he has.
func (s *Sandbox) cancelPayment(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	if b.CancelAuthorisation {
		o, err := s.order(c.Request().Context(), b.ID, c.Param("id"))
		if err == nil && o.Status == received && o.SCAID != "" {
			return c.JSON(http.StatusAccepted, cancellation{o.Status, links{"startAuthorisation": {orderPath(&o) + "/cancellation-authorisations"}}})
		}
		if err != nil && !isNoRows(err) {
			return err
		}
	}
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
func (s *Sandbox) asked(c echo.Context, cancelling bool) (*bank, *order, error) {
	b := c.Get(bankKey).(*bank)
	o, err := s.byID(c.Param("id"), cancelling)(s.reading(c.Request().Context()), b.ID)
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
	if done, err := b.switches.answerStatus(c); done {
		return nil, nil, err
	}
	b.switches.mislead(&o)
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

func orderPath(o *order) string { return "/" + o.Bank + "/v1/payments/" + o.Product + "/" + o.ID }

// say is a sentence in the language the payer's browser prefers.
func (s *Sandbox) say(c echo.Context, key string, pairs ...any) string {
	text, err := s.pages.say(firstOf(c.Request().Header.Get("PSU-Accept-Language"), c.Request().Header.Get("Accept-Language")), key, pairs...)
	if err != nil {
		s.log.Error("sandbox", "err", err)
	}
	return text
}

// fundsConfirmation says whether an account of the bank holds an amount (PIIS).
func (s *Sandbox) fundsConfirmation(c echo.Context) error {
	b := c.Get(bankKey).(*bank)
	var q struct {
		Account accountReference `json:"account"`
		Amount  amount           `json:"instructedAmount"`
	}
	body, err := readBody(c.Request())
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return formatError(pathOf(err), "the body is not a confirmation of funds request")
	}
	m, err := psd2.ParseDecimal(q.Amount.Amount, q.Amount.Currency)
	if err != nil || !amountForm.MatchString(q.Amount.Amount) || m.AmountMinor < 0 {
		return formatError("instructedAmount", "instructedAmount needs a currency and an amount such as 12.50")
	}
	var a account
	err = s.file.get(c.Request().Context(), &a, `SELECT `+accountColumns+` FROM accounts WHERE iban = ? AND bank = ?`, compact(q.Account.IBAN), b.ID)
	if isNoRows(err) {
		return formatError("account/iban", "this bank keeps no such account")
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]bool{"fundsAvailable": m.Currency == psd2.EUR && !a.Blocked && a.Balance >= m.AmountMinor})
}

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
