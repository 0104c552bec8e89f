package berlingroup

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rialto-hub/rialto/banks"
	"github.com/rialto-hub/rialto/banks/courier"
	"github.com/rialto-hub/rialto/psd2"
)

// paymentInitiation is the JSON body of a SEPA credit transfer
// (paymentInitiation_json).
type paymentInitiation struct {
	EndToEndID      string   `json:"endToEndIdentification,omitempty"`
	DebtorAccount   *account `json:"debtorAccount,omitzero"`
	Amount          amount   `json:"instructedAmount"`
	CreditorAccount account  `json:"creditorAccount"`
	CreditorAgent   string   `json:"creditorAgent,omitempty"`
	CreditorName    string   `json:"creditorName"`
	Remittance      string   `json:"remittanceInformationUnstructured,omitempty"`
}

type account struct {
	IBAN psd2.IBAN `json:"iban,omitempty"`
}

type amount struct {
	Currency string `json:"currency"`
	Amount   string `json:"amount"`
}

// answer is a JSON object as the bank sent it. Members are decoded one by one,
// so that an odd value in one that nobody needs does not spoil the others.
// Duplicate members and invalid UTF-8 are refused for the whole object.
type answer map[string]jsontext.Value

func parse(body []byte) (answer, bool) {
	var a answer
	if body == nil || json.Unmarshal(body, &a) != nil || a == nil {
		return nil, false
	}
	return a, true
}

// text gives a string member, "" when it is absent or something else.
func (a answer) text(name string) string {
	var s string
	if v, ok := a[name]; !ok || json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

// code gives a member that is a code; "" when it is absent.
func (a answer) code(name string) string { return codeText(a.text(name)) }

// codeForm: the standard's and ISO's codes, and what banks add to them. Nothing
// that could be an account number, since codes are logged and shown.
var codeForm = regexp.MustCompile(`^([A-Za-z_]{1,40}|[A-Za-z0-9_-]{1,8})$`)

// codeText makes a bank's code harmless: what does not look like one becomes
// "?", which no table knows, so that it is counted and changes nothing.
func codeText(s string) string {
	if s != "" && !codeForm.MatchString(s) {
		return "?"
	}
	return s
}

// link gives the href of a member of _links.
func (a answer) link(name string) string {
	var links map[string]jsontext.Value
	if v, ok := a["_links"]; !ok || json.Unmarshal(v, &links) != nil {
		return ""
	}
	var target struct {
		Href string `json:"href"`
	}
	if v, ok := links[name]; !ok || json.Unmarshal(v, &target) != nil {
		return ""
	}
	return target.Href
}

// messages gives the codes of tppMessages that are errors, or the code of the
// problem details form (RFC 7807) of the standard's error body.
func (a answer) messages() []string {
	var list []struct {
		Category string `json:"category"`
		Code     string `json:"code"`
	}
	if v, ok := a["tppMessages"]; ok && json.Unmarshal(v, &list) == nil {
		var codes []string
		for _, m := range list {
			if m.Code != "" && m.Category != "WARNING" {
				codes = append(codes, codeText(m.Code))
			}
		}
		return codes
	}
	if c := a.code("code"); c != "" && a.text("type") != "" {
		return []string{c}
	}
	return nil
}

// reason gives the ISO 20022 reason of a refusal: from the profile's fields,
// else from the messages, four characters before any longer code.
func (a answer) reason(fields []string) string {
	for _, f := range fields {
		if c := a.code(f); c != "" {
			return c
		}
	}
	codes := a.messages()
	if i := slices.IndexFunc(codes, isReason); i >= 0 {
		return codes[i]
	}
	if len(codes) > 0 {
		return codes[0]
	}
	return ""
}

// isReason: ISO 20022 external status reason codes are four capitals or
// digits.
func isReason(c string) bool {
	return len(c) == 4 && strings.IndexFunc(c, func(r rune) bool { return !(r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') }) < 0
}

// holder gives a name from a member: a string, or a list of owners whose
// names are joined with " / ". What could not be a name is dropped.
func (a answer) holder(member string) string {
	name := a.text(member)
	if v, ok := a[member]; ok && name == "" {
		var owners []struct {
			Name string `json:"name"`
			Role string `json:"role"`
		}
		if json.Unmarshal(v, &owners) == nil {
			var names []string
			for _, o := range owners {
				if o.Name != "" && (o.Role == "" || o.Role == "owner") {
					names = append(names, o.Name)
				}
			}
			name = strings.Join(names, " / ")
		}
	}
	name = strings.TrimSpace(name)
	if psd2.CheckText("name", name, 140) != nil {
		return ""
	}
	return name
}

// iban gives an account's IBAN, "" when it has none or an impossible one.
func (a answer) iban(member string) psd2.IBAN {
	var acc struct {
		IBAN string `json:"iban"`
	}
	if v, ok := a[member]; !ok || json.Unmarshal(v, &acc) != nil {
		return ""
	}
	iban, err := psd2.ParseIBAN(acc.IBAN)
	if err != nil {
		return ""
	}
	return iban
}

// money gives an amount; ok is false when it is absent or not an amount.
func (a answer) money(member string) (m psd2.Money, ok bool) {
	var v amount
	raw, there := a[member]
	if !there || json.Unmarshal(raw, &v) != nil {
		return psd2.Money{}, false
	}
	m, err := psd2.ParseDecimal(v.Amount, v.Currency)
	return m, err == nil
}

// refusals are the message codes by which a bank says no to this payer or this
// order; every other code of a 4xx says that our request is wrong. They are
// plain strings in the standard's file. ISO reason codes are refusals too.
var refusals = map[string]bool{
	"PAYMENT_FAILED": true, "SERVICE_BLOCKED": true, "CORPORATE_ID_INVALID": true, "PSU_CREDENTIALS_INVALID": true,
	"FUNDS_NOT_AVAILABLE": true, "RESOURCE_BLOCKED": true,
}

// failed turns an answer that is not the wanted success into an error (package
// comment: what an answer means). creates is true for the call that may create
// an order.
func failed(rep *reply, creates bool, now time.Time) *banks.Error {
	body, standard := parse(rep.json)
	var codes []string
	if standard {
		codes = body.messages()
	}
	e := &banks.Error{Kind: banks.Uncertain, HTTPStatus: rep.status, RetryAfter: courier.RetryAfter(rep.header, now)}
	if len(codes) > 0 {
		e.Code = codes[0]
		if i := slices.IndexFunc(codes, isReason); i >= 0 {
			e.Code = codes[i]
		}
	}
	explained := len(codes) > 0
	switch s := rep.status; {
	case s == http.StatusTooManyRequests:
		e.Kind = banks.Unavailable
	case s == http.StatusServiceUnavailable:
		if explained || e.RetryAfter > 0 {
			e.Kind = banks.Unavailable
		}
	case s < 400 || s >= 500 || s == http.StatusRequestTimeout || s == http.StatusConflict && !explained:
	case !creates && (s == http.StatusNotFound || s == http.StatusGone || e.Code == "RESOURCE_UNKNOWN" || e.Code == "RESOURCE_EXPIRED"):
		if explained {
			e.Kind = banks.NotFound
		}
	case refusals[e.Code] || isReason(e.Code):
		e.Kind = banks.Refused
	default:
		e.Kind = banks.BadRequest
	}
	return e
}
