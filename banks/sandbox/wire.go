package sandbox

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

// The JSON of NextGenPSD2 1.3.12, as far as single instant payments need it.

type amount struct {
	Currency string `json:"currency"`
	Amount   string `json:"amount"`
}

type accountReference struct {
	IBAN string `json:"iban,omitempty"`
}

// payment is both paymentInitiation_json and paymentInitiationWithStatusResponse.
// debtorAccount is mandatory there but has no mandatory member: an order whose
// payer has not chosen his account yet shows an empty one.
type payment struct {
	EndToEndID        string           `json:"endToEndIdentification,omitempty"`
	DebtorName        string           `json:"debtorName,omitempty"`
	DebtorAccount     accountReference `json:"debtorAccount"`
	InstructedAmount  amount           `json:"instructedAmount"`
	CreditorAccount   accountReference `json:"creditorAccount"`
	CreditorAgent     string           `json:"creditorAgent,omitempty"`
	CreditorName      string           `json:"creditorName"`
	Remittance        string           `json:"remittanceInformationUnstructured,omitempty"`
	TransactionStatus string           `json:"transactionStatus,omitempty"`
	TPPMessages       []tppMessage     `json:"tppMessages,omitempty"`
}

type link struct {
	Href string `json:"href"`
}

type links map[string]link

// initiated is paymentInitiationRequestResponse-201.
type initiated struct {
	TransactionStatus string `json:"transactionStatus"`
	PaymentID         string `json:"paymentId"`
	SCAStatus         string `json:"scaStatus,omitempty"`
	Message           string `json:"psuMessage,omitempty"`
	Links             links  `json:"_links"`
}

// cancellation is paymentInitiationCancelResponse-202.
type cancellation struct {
	TransactionStatus string `json:"transactionStatus"`
	Links             links  `json:"_links"`
}

// scaProcess is startScaprocessResponse, and without its id the answers to the
// steps of an authorisation.
type scaProcess struct {
	SCAStatus string                 `json:"scaStatus"`
	ID        string                 `json:"authorisationId,omitempty"`
	Methods   []authenticationObject `json:"scaMethods,omitempty"`
	Chosen    *authenticationObject  `json:"chosenScaMethod,omitempty"`
	Challenge *challengeData         `json:"challengeData,omitempty"`
	Message   string                 `json:"psuMessage,omitempty"`
	Links     links                  `json:"_links"`
}

type authenticationObject struct {
	Type string `json:"authenticationType"`
	ID   string `json:"authenticationMethodId"`
	Name string `json:"name"`
}

type challengeData struct {
	Image      string `json:"image,omitempty"` // base64 of a PNG
	MaxLength  int    `json:"otpMaxLength"`
	Format     string `json:"otpFormat"`
	Additional string `json:"additionalInformation"`
}

type owner struct {
	Name string `json:"name"`
	Role string `json:"role,omitempty"`
}

// status is paymentInitiationStatusResponse-200_json.
type status struct {
	TransactionStatus string       `json:"transactionStatus"`
	OwnerNames        []owner      `json:"ownerNames,omitempty"`
	TPPMessages       []tppMessage `json:"tppMessages,omitempty"`
}

type tppMessage struct {
	Category string `json:"category"`
	Code     string `json:"code"`
	Path     string `json:"path,omitempty"`
	Text     string `json:"text,omitempty"`
}

// callError is a failure as the standard words it.
type callError struct {
	status  int
	message tppMessage
}

func (e *callError) Error() string { return e.message.Code + ": " + e.message.Text }

func xs2aError(status int, code, path, text string) error {
	return &callError{status: status, message: tppMessage{Category: "ERROR", Code: code, Path: path, Text: text}}
}

func formatError(path, text string) error {
	return xs2aError(http.StatusBadRequest, "FORMAT_ERROR", path, text)
}

// reasonMessages tells why an order was rejected: the code is the ISO 20022
// status reason, or the standard's own message code.
func reasonMessages(o *order) []tppMessage {
	if o.Status != rejected || o.Reason == "" {
		return nil
	}
	return []tppMessage{{Category: "ERROR", Code: o.Reason, Text: reasonTexts[o.Reason]}}
}

var reasonTexts = map[string]string{
	reasonNoFunds:     "insufficient funds",
	reasonBlocked:     "account blocked",
	reasonDeclined:    "declined by the payer",
	reasonLapsed:      "not authorised in time",
	reasonCredentials: "too many wrong credentials",
	reasonNoAccount:   "the customer has no such account",
}

var (
	uuidForm   = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	amountForm = regexp.MustCompile(`^-?[0-9]{1,14}(\.[0-9]{1,3})?$`)
	bicForm    = regexp.MustCompile(`^[A-Z]{6}[A-Z2-9][A-NP-Z0-9]([A-Z0-9]{3})?$`)
)

func isUUID(s string) bool { return uuidForm.MatchString(s) }

// accepts reports whether JSON may be answered; no header accepts everything.
func accepts(values []string) bool {
	if len(values) == 0 {
		return true
	}
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			switch t, _, _ := mime.ParseMediaType(part); t {
			case "application/json", "application/*", "*/*":
				return true
			}
		}
	}
	return false
}

// readOrder reads and checks an initiation, headers first.
func readOrder(r *http.Request, b *bank, product string) (*order, error) {
	h := r.Header
	wanted := "application/json"
	if product == productXML {
		wanted = "application/xml"
	}
	if t, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || t != wanted {
		return nil, xs2aError(http.StatusUnsupportedMediaType, "FORMAT_ERROR", "Content-Type", "this product is ordered in "+wanted)
	}
	if _, err := netip.ParseAddr(h.Get("PSU-IP-Address")); err != nil {
		return nil, formatError("PSU-IP-Address", "the payer's IP address is missing or malformed")
	}
	o := &order{Product: product, NotifyURI: h.Get("TPP-Notification-URI")}
	o.RedirectURI, o.NokURI = h.Get("TPP-Redirect-URI"), firstOf(h.Get("TPP-Nok-Redirect-URI"), h.Get("TPP-Redirect-URI"))
	if !isRedirectURI(o.RedirectURI) && (b.Approach == Redirect || o.RedirectURI != "") {
		return nil, formatError("TPP-Redirect-URI", "TPP-Redirect-URI is mandatory and must be an absolute https URI")
	}
	if !isRedirectURI(o.NokURI) && o.NokURI != "" {
		return nil, formatError("TPP-Nok-Redirect-URI", "TPP-Nok-Redirect-URI must be an absolute https URI")
	}
	if o.NotifyURI != "" && !isRedirectURI(o.NotifyURI) {
		return nil, formatError("TPP-Notification-URI", "TPP-Notification-URI must be an absolute https URI")
	}
	if b.PSUIDRequired && h.Get("PSU-ID") == "" {
		return nil, formatError("PSU-ID", "this bank wants to know which customer pays (PSU-ID)")
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	if product == productXML {
		err = o.takeXML(body)
	} else {
		var p payment
		if err := json.Unmarshal(body, &p); err != nil {
			return nil, formatError(pathOf(err), "the body is not the JSON of a single payment")
		}
		err = o.take(&p)
	}
	if err == nil && b.DebtorRequired && o.DebtorAsked == "" {
		err = formatError("debtorAccount/iban", "this bank wants to know from which account is paid")
	}
	return o, err
}

// pathOf is the JSON pointer a decoding error names, if it does.
func pathOf(err error) string {
	var e *json.SemanticError
	if errors.As(err, &e) {
		return string(e.JSONPointer)
	}
	return ""
}

// take checks the payment's fields and puts them into the order.
func (o *order) take(p *payment) error {
	for _, f := range []struct {
		path, value string
		max         int
		mandatory   bool
	}{
		{"creditorName", p.CreditorName, 70, true},
		{"endToEndIdentification", p.EndToEndID, 35, false},
		{"remittanceInformationUnstructured", p.Remittance, 140, false},
	} {
		if f.mandatory && strings.TrimSpace(f.value) == "" {
			return formatError(f.path, f.path+" is mandatory")
		}
		if utf8.RuneCountInString(f.value) > f.max || psd2.CheckText(f.path, f.value, f.max) != nil {
			return formatError(f.path, fmt.Sprintf("%s has more than %d characters or invisible ones", f.path, f.max))
		}
	}
	if !amountForm.MatchString(p.InstructedAmount.Amount) || p.InstructedAmount.Currency == "" {
		return formatError("instructedAmount", "instructedAmount needs a currency and an amount such as 12.50")
	}
	m, err := psd2.ParseDecimal(p.InstructedAmount.Amount, p.InstructedAmount.Currency)
	if err == nil {
		err = m.CheckSCTInst()
	}
	if err != nil {
		return formatError("instructedAmount", "an instant SEPA transfer has EUR 0.01 to 999999999.99, with two decimals at most")
	}
	if _, err := psd2.ParseIBAN(p.CreditorAccount.IBAN); err != nil {
		return formatError("creditorAccount/iban", "creditorAccount needs a valid IBAN")
	}
	if _, err := psd2.ParseIBAN(p.DebtorAccount.IBAN); err != nil && p.DebtorAccount.IBAN != "" {
		return formatError("debtorAccount/iban", "the IBAN of debtorAccount is not valid")
	}
	if p.CreditorAgent != "" && !bicForm.MatchString(p.CreditorAgent) {
		return formatError("creditorAgent", "creditorAgent is not a BIC")
	}
	o.EndToEndID, o.AmountMinor, o.Remittance = p.EndToEndID, m.AmountMinor, p.Remittance
	o.CreditorName, o.CreditorIBAN, o.CreditorBIC = p.CreditorName, compact(p.CreditorAccount.IBAN), p.CreditorAgent
	o.DebtorAsked = compact(p.DebtorAccount.IBAN)
	return nil
}

func compact(iban string) string { return strings.ReplaceAll(iban, " ", "") }

// isRedirectURI accepts absolute https URIs, and http to this machine.
func isRedirectURI(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || len(s) > 2000 || strings.ContainsAny(u.Host, "\";,'*") {
		return false
	}
	return banks.MayVisit(u, true)
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
