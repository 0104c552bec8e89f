package sandbox

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/rialto-hub/rialto/psd2"
)

// Methods of authentication that an embedded bank offers.
const (
	methodApp   = "app"   // the code of the customer's authenticator
	methodText  = "sms"   // a code for this order alone, sent to the phone
	methodPhoto = "photo" // the authenticator's code, with a picture to compare
)

// typeOf gives the authenticationType of a method, "" of none.
func typeOf(method string) string {
	switch method {
	case methodApp:
		return "CHIP_OTP"
	case methodText:
		return "SMS_OTP"
	case methodPhoto:
		return "PHOTO_OTP"
	}
	return ""
}

// method is a method as the customer is shown it, in his language.
func (s *Sandbox) method(c echo.Context, id string) authenticationObject {
	return authenticationObject{Type: typeOf(id), ID: id, Name: s.say(c, "method_"+id)}
}

// authorisationRoutes are the sub-resources of an order on which its payer is
// authenticated, once for the payment and once for its cancellation.
func (s *Sandbox) authorisationRoutes(g *echo.Group) {
	for name, cancelling := range map[string]bool{"authorisations": false, "cancellation-authorisations": true} {
		path := "/:service/:product/:id/" + name
		with := func(h func(echo.Context, bool) error) echo.HandlerFunc {
			return func(c echo.Context) error { return h(c, cancelling) }
		}
		g.POST(path, with(s.startAuthorisation))
		g.GET(path, with(s.authorisations))
		g.GET(path+"/:auth", with(s.authorisation))
		g.PUT(path+"/:auth", with(s.updateAuthorisation))
	}
}

// update is the body of a PUT, or of a POST that starts with data: at most one
// member is set.
type update struct {
	PSUData *struct {
		Password string `json:"password"`
	} `json:"psuData"`
	MethodID     string `json:"authenticationMethodId"`
	Code         string `json:"scaAuthenticationData"`
	Confirmation string `json:"confirmationCode"`
}

func readUpdate(r *http.Request) (u update, err error) {
	body, err := readBody(r)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return u, err
	}
	if decode(body, &u) != nil {
		return u, formatError("", "the body is not one of the forms of an authorisation")
	}
	return u, nil
}

// startAuthorisation begins the authentication anew. Wrong answers given before
// stay counted.
func (s *Sandbox) startAuthorisation(c echo.Context, cancelling bool) error {
	b := c.Get(bankKey).(*bank)
	u, err := readUpdate(c.Request())
	if err != nil {
		return err
	}
	h := c.Request().Header
	page, id := s.token(), s.uuid()
	var refused error
	o, err := s.change(b, s.byID(c.Param("id"), cancelling), func(t *tx, o *order) error {
		if cancelling && !b.CancelAuthorisation {
			refused = xs2aError(http.StatusMethodNotAllowed, "SERVICE_INVALID", "", "this bank cancels without an authorisation")
			return nil
		}
		if o.SCAStatus == scaUnconfirmed {
			refused = tooLate
			return nil
		}
		before := *o
		defer func() { // nothing was begun, but what was wrong stays counted
			if refused != nil && o.SCAStatus != scaFailed {
				tries := o.Tries
				*o = before
				o.Tries = tries
			}
		}()
		o.SCAID, o.SCAStatus, o.PageHash, o.SessionHash, o.Method, o.Code, o.GrantID = id, scaReceived, hash(page), "", "", "", ""
		if refused = o.takeReturns(h, b); refused != nil {
			return nil
		}
		if refused, err = s.identify(t, b, o, h.Get("PSU-ID")); err != nil || refused != nil {
			return err
		}
		if u != (update{}) {
			refused, err = s.advance(t, b, o, u)
		}
		return err
	})
	if err = s.refusal(o, id, refused, err); err != nil {
		return err
	}
	if b.switches.take(loseStep) {
		cut(c.Response())
		return nil
	}
	c.Response().Header().Set("ASPSP-SCA-Approach", approachHeader(b))
	return c.JSON(http.StatusCreated, s.process(c, b, &o, page))
}

var tooLate = xs2aError(http.StatusConflict, "STATUS_INVALID", "", "the payment does not wait for an authorisation")

// refusal is what the caller is told when an authorisation step did not happen.
func (s *Sandbox) refusal(o order, id string, refused, err error) error {
	switch {
	case isNoRows(err):
		return xs2aError(http.StatusNotFound, "RESOURCE_UNKNOWN", "", "no such payment")
	case err != nil:
		return err
	case refused != nil:
		return refused
	case o.SCAID != id:
		return tooLate
	}
	return nil
}

// takeReturns notes where this authorisation sends the payer afterwards.
func (o *order) takeReturns(h http.Header, b *bank) error {
	ok, nok := h.Get("TPP-Redirect-URI"), h.Get("TPP-Nok-Redirect-URI")
	if ok != "" {
		o.RedirectURI, o.NokURI = ok, firstOf(nok, ok)
	}
	if b.Approach == Redirect && (!isRedirectURI(o.RedirectURI) || !isRedirectURI(o.NokURI)) {
		return formatError("TPP-Redirect-URI", "TPP-Redirect-URI must be an absolute https URI")
	}
	return nil
}

// identify notes who the payer says he is. In his bank's app he is asked at
// once; an embedded bank believes him nothing before his password.
func (s *Sandbox) identify(t *tx, b *bank, o *order, user string) (refused, err error) {
	if b.Approach == Redirect {
		return nil, nil
	}
	if user = firstOf(user, o.SessionUser); user == "" {
		if b.Approach == Decoupled {
			return formatError("PSU-ID", "PSU-ID is mandatory: it says whose app is asked"), nil
		}
		return nil, nil
	}
	if psd2.CheckText("PSU-ID", user, 70) != nil {
		return formatError("PSU-ID", "PSU-ID is too long or has invisible characters"), nil
	}
	o.SessionUser, o.SCAStatus = user, scaIdentified
	if b.Approach == Embedded {
		return nil, nil
	}
	var psu psuRow
	if err := t.get(&psu, psuQuery, b.ID, user); isNoRows(err) {
		return wrongCredentials, nil
	} else if err != nil {
		return nil, err
	}
	o.SCAStatus = scaStarted
	return nil, nil
}

var wrongCredentials = xs2aError(http.StatusUnauthorized, "PSU_CREDENTIALS_INVALID", "", "the customer's credentials are not right")

// updateAuthorisation takes the next thing the payer said.
func (s *Sandbox) updateAuthorisation(c echo.Context, cancelling bool) error {
	b, id := c.Get(bankKey).(*bank), c.Param("auth")
	u, err := readUpdate(c.Request())
	if err != nil {
		return err
	}
	refused := tooLate // as long as nothing is done
	o, err := s.change(b, s.byID(c.Param("id"), cancelling), func(t *tx, o *order) (err error) {
		if refused = nil; o.SCAID != id {
			refused = xs2aError(http.StatusNotFound, "RESOURCE_UNKNOWN", "", "no such authorisation")
			return nil
		}
		if user := c.Request().Header.Get("PSU-ID"); user != "" && (o.SCAStatus == scaReceived || o.SCAStatus == scaIdentified) {
			if refused, err = s.identify(t, b, o, user); err != nil || refused != nil {
				return err
			}
		}
		if u != (update{}) {
			refused, err = s.advance(t, b, o, u)
		}
		return err
	})
	if err := s.refusal(o, id, refused, err); err != nil {
		return err
	}
	if b.switches.take(loseStep) {
		cut(c.Response())
		return nil
	}
	c.Response().Header().Set("ASPSP-SCA-Approach", approachHeader(b))
	p := s.process(c, b, &o, "")
	p.ID = "" // of a start alone
	return c.JSON(http.StatusOK, p)
}

// advance takes one step of an embedded authentication, or the code that the
// payer brought back from a redirect. refused is the customer's mistake or the
// TPP's; what was counted of it is kept.
func (s *Sandbox) advance(t *tx, b *bank, o *order, u update) (refused, err error) {
	order := xs2aError(http.StatusConflict, "STATUS_INVALID", "", "this step is not the next one")
	switch {
	case u.Confirmation != "" && b.Confirmation:
		if o.SCAStatus != scaUnconfirmed {
			return order, nil
		}
		return s.confirmed(t, b, o, u.Confirmation)
	case b.Approach != Embedded || o.SessionUser == "":
		return order, nil
	case u.PSUData != nil && (o.SCAStatus == scaReceived || o.SCAStatus == scaIdentified):
		known, err := t.knows(b, o.SessionUser, u.PSUData.Password)
		if err != nil {
			return nil, err
		}
		if !known {
			return o.wrong(), nil
		}
		o.SCAStatus = scaAuthenticated
	case u.MethodID != "" && (o.SCAStatus == scaAuthenticated || o.SCAStatus == scaSelected):
		if typeOf(u.MethodID) == "" {
			return formatError("authenticationMethodId", "the customer has no such method"), nil
		}
		o.SCAStatus, o.Method = scaSelected, u.MethodID
		if o.Code = ""; u.MethodID == methodText {
			o.Code = s.digits()
		}
	case u.Code != "" && o.SCAStatus == scaSelected:
		p, err := s.authorised(t, b, o, o.DebtorAsked, u.Code, s.now())
		switch {
		case err != nil:
			return nil, err
		case p == noAccount:
			o.Status, o.Reason, o.SCAStatus = rejected, reasonNoAccount, scaFailed
		case p != "":
			return o.wrong(), nil
		}
	default:
		return order, nil
	}
	return nil, nil
}

// wrong is the answer to a mistake that fail has counted, or counts now.
func (o *order) wrong() error {
	if o.SCAStatus == scaReceived || o.SCAStatus == scaIdentified {
		o.fail()
	}
	if o.SCAStatus == scaFailed {
		return xs2aError(http.StatusForbidden, "SERVICE_BLOCKED", "", "too many wrong answers")
	}
	return wrongCredentials
}

// digits draws a code of six digits.
func (s *Sandbox) digits() string {
	n := uint32(0)
	for _, x := range s.bytes(4) {
		n = n<<8 | uint32(x)
	}
	return fmt.Sprintf("%06d", n%1_000_000)
}

// confirmed takes the code that the payer brought back.
func (s *Sandbox) confirmed(t *tx, b *bank, o *order, code string) (refused, err error) {
	if hash(code) != o.ConfirmHash {
		o.fail()
		return o.wrong(), nil
	}
	var psu psuRow
	if err := t.get(&psu, psuQuery, b.ID, o.SessionUser); err != nil {
		return nil, err
	}
	var a account
	if err := t.get(&a, `SELECT `+accountColumns+` FROM accounts WHERE iban = ?`, o.DebtorIBAN); err != nil {
		return nil, err
	}
	return nil, s.decide(t, b, o, psu.Behaviour, &a, s.now())
}

// process is an authorisation as its answers show it: what has been said, and
// by links what is wanted next.
func (s *Sandbox) process(c echo.Context, b *bank, o *order, page string) scaProcess {
	self := orderPath(o) + "/authorisations/" + o.SCAID
	if o.Cancelling {
		self = orderPath(o) + "/cancellation-authorisations/" + o.SCAID
	}
	p := scaProcess{SCAStatus: o.SCAStatus, ID: o.SCAID, Links: links{"scaStatus": {self}}}
	switch b.Approach {
	case Redirect:
		if page != "" {
			s.redirectLinks(c, b, o, page, p.Links)
		}
	case Decoupled:
		if o.SCAStatus == scaStarted {
			p.Message = s.say(c, "open_app", "bank", b.Name)
		}
	case Embedded:
		s.embedded(c, &p, o, self)
	}
	return p
}

// embedded says what an embedded bank wants next.
func (s *Sandbox) embedded(c echo.Context, p *scaProcess, o *order, self string) {
	switch o.SCAStatus {
	case scaReceived:
		p.Links["updatePsuIdentification"] = link{self}
		p.Links["updatePsuAuthentication"] = link{self}
	case scaIdentified:
		p.Links["updatePsuAuthentication"] = link{self}
	case scaAuthenticated:
		for _, id := range []string{methodApp, methodText, methodPhoto} {
			p.Methods = append(p.Methods, s.method(c, id))
		}
		p.Links["selectAuthenticationMethod"] = link{self}
	case scaSelected:
		m := s.method(c, o.Method)
		p.Chosen, p.Links["authoriseTransaction"] = &m, link{self}
		p.Challenge = &challengeData{MaxLength: 6, Format: "integer",
			Additional: s.say(c, "challenge", "amount", psd2.Euro(o.AmountMinor).Decimal()+" EUR", "payee", o.CreditorName)}
		if o.Method == methodPhoto {
			p.Challenge.Image = base64.StdEncoding.EncodeToString(picture(o))
		}
	}
}

// redirectLinks lead the payer to the bank's pages.
func (s *Sandbox) redirectLinks(c echo.Context, b *bank, o *order, page string, l links) {
	if b.OAuth == OAuthIntegrated && !o.Cancelling {
		l["scaOAuth"] = link{"/" + b.ID + wellKnown}
		return
	}
	l["scaRedirect"] = link{b.switches.redirect(s.origin(c.Request()), "/"+b.ID+"/pay/"+page)}
	if b.Confirmation && !o.Cancelling {
		l["confirmation"] = link{orderPath(o) + "/authorisations/" + o.SCAID}
	}
}

func approachHeader(b *bank) string {
	switch b.Approach {
	case Decoupled:
		return "DECOUPLED"
	case Embedded:
		return "EMBEDDED"
	}
	return "REDIRECT"
}

// authorisations lists the one authorisation there is, if it was started.
func (s *Sandbox) authorisations(c echo.Context, cancelling bool) error {
	_, o, err := s.asked(c, cancelling)
	if err != nil || o == nil {
		return err
	}
	ids := []string{}
	if o.SCAID != "" {
		ids = append(ids, o.SCAID)
	}
	return c.JSON(http.StatusOK, map[string][]string{"authorisationIds": ids})
}

func (s *Sandbox) authorisation(c echo.Context, cancelling bool) error {
	_, o, err := s.asked(c, cancelling)
	if err != nil || o == nil {
		return err
	}
	if c.Param("auth") != o.SCAID {
		return xs2aError(http.StatusNotFound, "RESOURCE_UNKNOWN", "", "no such authorisation")
	}
	return c.JSON(http.StatusOK, map[string]string{"scaStatus": o.SCAStatus})
}
