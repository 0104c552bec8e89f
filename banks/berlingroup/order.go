package berlingroup

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/psd2"
)

var endToEndID = regexp.MustCompile(`^[A-Za-z0-9+?/:().,' -]{1,35}$`)

// compose checks the order and writes body and headers. Its errors are
// invalid: nothing was sent.
func (b *Bank) compose(o banks.Order) ([]byte, http.Header, error) {
	if code := b.fault(o); code != "" {
		return nil, nil, unsendable(code)
	}
	header := psuHeaders(o.PSU, http.MethodPost)
	b.identify(header, o.PSU.ID)
	b.wishes(header, visit{returnURL: o.ReturnURL, failURL: o.FailURL, notifyURL: o.NotifyURL})
	header.Set("TPP-Explicit-Authorisation-Preferred", truth(b.p.ExplicitAuthorisation))
	if b.p.RejectNoFunds {
		header.Set("TPP-Rejection-NoFunds-Preferred", "true")
	}
	if hint := b.p.ExemptionHint.of(o.Exemptions); hint != "" {
		header.Set(b.p.ExemptionHint.Header, hint)
	}
	for _, name := range b.p.RequiredHeaders {
		if header.Get(name) == "" && b.p.fixed.Get(name) == "" {
			return nil, nil, unsendable("HEADER_MISSING")
		}
	}
	write := b.json
	if b.p.xml {
		write = b.pain001
	}
	body, err := write(o)
	if err != nil {
		return nil, nil, unsendable("ORDER_INVALID")
	}
	return body, header, nil
}

// fault names what keeps an order from being sent, "" when nothing does.
func (b *Bank) fault(o banks.Order) string {
	_, ibanErr := psd2.ParseIBAN(string(o.Creditor.IBAN))
	_, debtorErr := psd2.ParseIBAN(string(o.Debtor))
	_, idErr := uuid.Parse(o.RequestID)
	switch {
	case o.Amount.CheckSCTInst() != nil:
		return "AMOUNT_INVALID"
	case ibanErr != nil:
		return "CREDITOR_ACCOUNT_INVALID"
	case strings.TrimSpace(o.Creditor.Name) == "" || psd2.CheckText("name", o.Creditor.Name, 70) != nil:
		return "CREDITOR_NAME_INVALID"
	case !endToEndID.MatchString(o.EndToEndID) || psd2.CheckReference(o.EndToEndID) != nil:
		return "END_TO_END_ID_INVALID"
	case len(o.Remittance) > 140 || !psd2.IsEPC(o.Remittance):
		return "REMITTANCE_INVALID"
	case idErr != nil:
		return "REQUEST_ID_INVALID"
	case o.PSU.IP == "":
		return "PSU_IP_ADDRESS_MISSING"
	case o.PSU.ID == "" && b.info.First == psd2.PromptIdentify, !sendable(o.PSU.ID):
		return "PSU_ID_MISSING"
	case o.Debtor == "" && b.p.DebtorAccount == DebtorMandatory:
		return "DEBTOR_ACCOUNT_MISSING"
	case o.Debtor != "" && debtorErr != nil:
		return "DEBTOR_ACCOUNT_INVALID"
	case !absolute(o.ReturnURL) || o.FailURL != "" && !absolute(o.FailURL) || o.NotifyURL != "" && !absolute(o.NotifyURL):
		return "RETURN_URL_INVALID"
	}
	return ""
}

// json writes the order as paymentInitiation_json.
func (b *Bank) json(o banks.Order) ([]byte, error) {
	order := paymentInitiation{
		EndToEndID:      o.EndToEndID,
		Amount:          amount{Currency: o.Amount.Currency, Amount: o.Amount.Decimal()},
		CreditorAccount: account{o.Creditor.IBAN},
		CreditorName:    o.Creditor.Name,
		Remittance:      o.Remittance,
	}
	if o.Debtor != "" || b.p.DebtorAccount == DebtorEmpty {
		order.DebtorAccount = &account{o.Debtor}
	}
	if bicfi.MatchString(o.Creditor.BIC) {
		order.CreditorAgent = o.Creditor.BIC
	}
	return json.Marshal(order)
}

// bicfi is the standard's form of a BIC, narrower than ISO 9362's; others are
// left out, the IBAN alone is enough in SEPA.
var bicfi = regexp.MustCompile(`^[A-Z]{6}[A-Z2-9][A-NP-Z0-9]([A-Z0-9]{3})?$`)

func absolute(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && headerText(s) == s
}

// psuHeaders forwards what is known of the payer's browser; method is that of
// his own request, "" when he is not there.
func psuHeaders(psu psd2.PSU, method string) http.Header {
	h := http.Header{}
	for name, value := range map[string]string{
		"PSU-IP-Address": psu.IP, "PSU-IP-Port": psu.Port, "PSU-User-Agent": psu.UserAgent,
		"PSU-Accept": psu.Accept, "PSU-Accept-Language": psu.AcceptLanguage, "PSU-Http-Method": method,
	} {
		if value = headerText(value); value != "" && psu.IP != "" {
			h.Set(name, value)
		}
	}
	return h
}

// sendable holds for what a header can carry as it is: a name that would have
// to be altered would be another one's.
func sendable(s string) bool { return len(s) <= 256 && headerText(s) == s }

// identify names the payer to his bank.
func (b *Bank) identify(h http.Header, psuID string) {
	if psuID == "" {
		return
	}
	h.Set("PSU-ID", psuID)
	if b.p.PSUIDType != "" {
		h.Set("PSU-ID-Type", b.p.PSUIDType)
	}
}

// wishes are the headers that say how we would like the payer to be
// authenticated, and where he and the news go afterwards.
func (b *Bank) wishes(h http.Header, v visit) {
	first := b.p.Approaches[0]
	h.Set("TPP-Redirect-Preferred", truth(first == banks.Redirect))
	if first == banks.Decoupled {
		h.Set("TPP-Decoupled-Preferred", "true")
	}
	if v.returnURL != "" {
		h.Set("TPP-Redirect-URI", v.returnURL)
	}
	if v.failURL != "" {
		h.Set("TPP-Nok-Redirect-URI", v.failURL)
	}
	if v.notifyURL != "" && b.p.Notifications {
		h.Set("TPP-Notification-URI", v.notifyURL)
		h.Set("TPP-Notification-Content-Preferred", "status=SCA,PROCESS,LAST")
	}
}

func truth(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
